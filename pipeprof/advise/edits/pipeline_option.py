"""Sets one option of a pipeline through ``tf.data.Options``: what the editors of such changes share.

The pipeline's own options get one line more where it has some. Otherwise options are made under a new name: behind the
statement that assigns the pipeline, or before the statement that uses it. Nothing is imported for it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst
from libcst.metadata import ClassScope, Scope

from pipeprof.advise.edits.assignments import Step, step_of
from pipeprof.advise.edits.chains import append_call, chain_top, described, require_dataset
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import OPTIONS, Place, spelling
from pipeprof.advise.edits.options import OwnOptions, own_options
from pipeprof.advise.edits.source_text import RefusalError, Splice
from pipeprof.advise.edits.verify import Rewrite, SyntaxTree, expression, wrap_call

_WANTED_NAME = "options"


def set_option(document: Document, call: cst.Call, option: str, value: str) -> Rewrite:
    """Return the text that sets an option of the pipeline whose last stage is ``call``.

    Args:
        document: the file.
        call: the pipeline's last stage.
        option: the path of an attribute of the options.
        value: the code of a literal.

    Raises:
        RefusalError: there is no safe place, TensorFlow has no name in the file, or the option has this value already.
    """
    require_dataset(document, call)
    own = own_options(document, call, option)
    if own is not None:
        return _extend(document, own, option, value)
    step = step_of(document, call)
    top = chain_top(document, call)
    if step is not None and step.value is top and not isinstance(document.scope(step.statement), ClassScope):
        return _append_statements(document, step, option, value)
    return _wrap(document, top, option, value)


def _extend(document: Document, own: OwnOptions, option: str, value: str) -> Rewrite:
    if own.value is None:
        return _insert_after(document, own.made_by, [f"{own.name}.{option} = {value}"])
    if _literal(document, own.value) == ast.literal_eval(value):
        raise RefusalError(f"{own.name}.{option} is already {value}")
    start, end = document.start(own.value), document.end(own.value)
    statement = document.start(document.statement(own.value))

    def expect(tree: SyntaxTree) -> None:
        body, index = tree.statement_slot(statement)
        body[index].value = expression(value)  # type: ignore[attr-defined]  # an assignment, or the trees differ

    return Rewrite(splices=(Splice(start=start, end=end, text=value),), expect=expect)


def _literal(document: Document, node: cst.BaseExpression) -> object:
    """Return a literal's value, None where it is none."""
    try:
        return ast.literal_eval(document.code(node))
    except (ValueError, SyntaxError):
        return None


def _append_statements(document: Document, step: Step, option: str, value: str) -> Rewrite:
    name = document.fresh_name(_WANTED_NAME)
    made = _options_code(document, Place(node=step.statement, offset=document.start(step.statement)))
    lines = [f"{name} = {made}", f"{name}.{option} = {value}", f"{step.target} = {step.target}.with_options({name})"]
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


def _wrap(document: Document, top: cst.Call, option: str, value: str) -> Rewrite:
    statement = document.statement(top)
    _check_scopes(document.scope(top), document.scope(statement), described(top))
    _, indent = document.first_line(statement)
    at, start, end = document.attached_start(statement), document.start(statement), document.end(top)
    name = document.fresh_name(_WANTED_NAME)
    lines = [f"{name} = {_options_code(document, Place(node=statement, offset=start))}", f"{name}.{option} = {value}"]
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
