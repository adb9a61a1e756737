"""Editor of ``prefetch``: one more call, ``.prefetch(tf.data.AUTOTUNE)``, behind the last call of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.assignments import is_followed_by
from pipeprof.advise.edits.chains import append_call, described, method, require_dataset
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import AUTOTUNE, Place, spelling
from pipeprof.advise.edits.source_text import RefusalError
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, wrap_call

_NAME = "prefetch"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text that prefetches what the one call makes.

    Raises:
        RefusalError: the call's value may be no dataset, or is prefetched already.
    """
    del params  # it has none
    (call,) = calls
    require_dataset(document, call)
    if method(call) == _NAME or is_followed_by(document, call, _NAME):
        raise RefusalError(f"{described(call)} is already followed by .{_NAME}()")
    size = spelling(document, AUTOTUNE, Place.of(document, call)) or "-1"
    end = document.end(call)

    def expect(tree: SyntaxTree) -> None:
        wrap_call(tree.call(end), _NAME, size)

    return Rewrite(splices=(append_call(document, call, f"{_NAME}({size})"),), expect=expect)
