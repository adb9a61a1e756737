"""Editor of ``thread_pool``: gives a pipeline a private thread pool of a given size through ``tf.data.Options``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.pipeline_option import set_option
from pipeprof.advise.edits.source_text import RefusalError
from pipeprof.advise.edits.verify import Rewrite

_PARAMETER = "private_threadpool_size"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text that sets the private thread pool of the pipeline whose last stage is the one call.

    Raises:
        RefusalError: there is no safe place, TensorFlow has no name in the file, or the size is set already.
    """
    size = params.get(_PARAMETER)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise RefusalError(f"{size!r} is no value for {_PARAMETER}")
    (call,) = calls
    return set_option(document, call, f"threading.{_PARAMETER}", str(size))
