"""Editor of ``enable_autotune``: turns AUTOTUNE on, through ``tf.data.Options``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.pipeline_option import set_option
from pipeprof.advise.edits.verify import Rewrite


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text that sets the option of the pipeline whose last stage is the one call.

    Raises:
        RefusalError: there is no safe place, TensorFlow has no name in the file, or the option is set already.
    """
    del params  # it has none
    (call,) = calls
    return set_option(document, call, "autotune.enabled", "True")
