"""Editor of ``thread_pool``: gives a pipeline a private thread pool of a given size through ``tf.data.Options``.

The pipeline's own options get one line more where it has some. Otherwise options are made under a new name: behind the
statement that assigns the pipeline, or before the statement that uses it. Nothing is imported for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst
from libcst.metadata import ClassScope, Scope

from pipeprof.advise.edits.assignments import Step, step_of
from pipeprof.advise.edits.chains import append_call, chain_top, described, require_dataset
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import OPTIONS, Place, spelling
from pipeprof.advise.edits.options import SIZE, OwnOptions, own_options
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression, wrap_call

_PARAMETER = "private_threadpool_size"
_WANTED_NAME = "options"


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text that sets the private thread pool of the pipeline whose last stage is the one call.

    Raises:
        RefusalError: there is no safe place, TensorFlow has no name in the file, or the size is set already.
    """
    size = params.get(_PARAMETER)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise RefusalError(f"{size!r} is no value for {_PARAMETER}")
    (call,) = calls
    require_dataset(document, call)
    own = own_options(document, call)
    if own is not None:
        return _extend(document, own, size)
    step = step_of(document, call)
    top = chain_top(document, call)
    if step is not None and step.value is top and not isinstance(document.scope(step.statement), ClassScope):
        return _append_statements(document, step, size)
    return _wrap(document, top, size)


def _extend(document: Document, own: OwnOptions, size: int) -> Rewrite:
    if own.size is None:
        return _insert_after(document, own.made_by, [f"{own.name}.{SIZE} = {size}"])
    if isinstance(own.size, cst.Integer) and own.size.evaluated_value == size:
        raise RefusalError(f"{own.name}.{SIZE} is already {size}")
    start, end = document.start(own.size), document.end(own.size)
    statement = document.start(document.statement(own.size))

    def expect(tree: SyntaxTree) -> None:
        body, index = tree.statement_slot(statement)
        body[index].value = expression(str(size))  # type: ignore[attr-defined]  # an assignment, or the trees differ

    return Rewrite(splices=(Splice(start=start, end=end, text=str(size)),), expect=expect)


def _append_statements(document: Document, step: Step, size: int) -> Rewrite:
    name = document.fresh_name(_WANTED_NAME)
    made = _options_code(document, Place(node=step.statement, offset=document.start(step.statement)))
    lines = [f"{name} = {made}", f"{name}.{SIZE} = {size}", f"{step.target} = {step.target}.with_options({name})"]
    return _insert_after(document, step, lines)


def _insert_after(document: Document, step: Step, lines: Sequence[str]) -> Rewrite:
    _, indent = document.first_line(step.statement)
    rest = document.rest_of_line(document.end(step.statement))
    if rest is None:
        raise RefusalError("the statement does not end its line")
    start, at = document.start(step.statement), rest[1]
    newline = document.newline_at(start)
    ended = at > rest[0] and document.text[at - 1] in "\r\n"
    body = newline.join(indent + line for line in lines)

    def expect(tree: SyntaxTree) -> None:
        tree.insert_statements(start, "\n".join(lines), after=True)

    text = f"{body}{newline}" if ended else f"{newline}{body}"
    return Rewrite(splices=(Splice(start=at, end=at, text=text),), expect=expect)


def _wrap(document: Document, top: cst.Call, size: int) -> Rewrite:
    statement = document.statement(top)
    _check_scopes(document.scope(top), document.scope(statement), described(top))
    _, indent = document.first_line(statement)
    at, start, end = document.attached_start(statement), document.start(statement), document.end(top)
    name = document.fresh_name(_WANTED_NAME)
    lines = [f"{name} = {_options_code(document, Place(node=statement, offset=start))}", f"{name}.{SIZE} = {size}"]
    newline = document.newline_at(at)
    block = "".join(f"{indent}{line}{newline}" for line in lines)

    def expect(tree: SyntaxTree) -> None:
        wrap_call(tree.call(end), "with_options", name)
        tree.insert_statements(start, "\n".join(lines), after=False)

    splices = (Splice(start=at, end=at, text=block), append_call(document, top, f"with_options({name})"))
    return Rewrite(splices=splices, expect=expect)


def _check_scopes(used_in: Scope | None, made_in: Scope | None, what: str) -> None:
    """Make sure that a name made next to the statement is visible in the call, and becomes no attribute of a class.

    Raises:
        RefusalError: it is not.
    """
    if used_in is None or made_in is None or isinstance(made_in, ClassScope):
        raise RefusalError(f"{what} is in the body of a class, where the options would become an attribute")
    scope = used_in
    while scope is not made_in:
        if isinstance(scope, ClassScope) or scope.parent is scope:
            raise RefusalError(f"options made before the statement would not be visible at {what}")
        scope = scope.parent


def _options_code(document: Document, place: Place) -> str:
    name = spelling(document, OPTIONS, place)
    if name is None:
        raise RefusalError("TensorFlow has no name here under which tf.data.Options could be made")
    return f"{name}()"
