"""Editor of ``cache``: one more call, ``.cache()``, directly behind the call of a stage.

It joins the stage's chain in that chain's own style. A call whose value may be anything but one dataset is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.assignments import is_followed_by
from pipeprof.advise.edits.chains import append_call, described, method, require_dataset
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.source_text import RefusalError
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, wrap_call

_NAME = "cache"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text that caches what the one call makes, in memory or, given ``filename``, on disk.

    Raises:
        RefusalError: the call's value may be no dataset, or is cached already.
    """
    (call,) = calls
    require_dataset(document, call)
    if method(call) == _NAME or is_followed_by(document, call, _NAME):
        raise RefusalError(f"{described(call)} is already followed by .cache()")
    filename = params.get("filename")
    argument = _literal(filename) if isinstance(filename, str) and filename else ""
    end = document.end(call)

    def expect(tree: SyntaxTree) -> None:
        wrap_call(tree.call(end), _NAME, argument)

    return Rewrite(splices=(append_call(document, call, f"{_NAME}({argument})"),), expect=expect)


def _literal(text: str) -> str:
    """Return a string literal in plain ASCII, with double quotes where that needs no escapes."""
    literal = ascii(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal
