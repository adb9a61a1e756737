"""Editor of ``limit_memory``: gives AUTOTUNE's buffers a budget of bytes through ``tf.data.Options``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.pipeline_option import set_option
from pipeprof.advise.edits.source_text import RefusalError
from pipeprof.advise.edits.verify import Rewrite

_PARAMETER = "ram_budget"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text that sets the budget of the pipeline whose last stage is the one call.

    Raises:
        RefusalError: there is no safe place, TensorFlow has no name in the file, or the budget is set already.
    """
    budget = params.get(_PARAMETER)
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise RefusalError(f"{budget!r} is no value for {_PARAMETER}")
    (call,) = calls
    return set_option(document, call, f"autotune.{_PARAMETER}", str(budget))
