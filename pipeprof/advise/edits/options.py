"""Finds the ``tf.data.Options()`` that a function already makes for one pipeline, and the value of one option set on it.

Options count as a pipeline's own only when the function uses them for it alone: made once, given to exactly one
``with_options`` call on that pipeline, and otherwise only written to. Everything else is left to its owner.
"""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
from libcst.metadata import BaseAssignment, GlobalScope

from pipeprof.advise.edits.assignments import Step, is_passed_on, step_of
from pipeprof.advise.edits.chains import chain_down, chain_root, chain_top, method
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import OPTIONS, Place, meaning
from pipeprof.advise.edits.source_text import RefusalError


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnOptions:
    """Options that belong to one pipeline alone."""

    name: str
    made_by: Step
    value: cst.BaseExpression | None  # what the option is set to


def own_options(document: Document, call: cst.Call, option: str) -> OwnOptions | None:
    """Return the options of the pipeline that ``call`` is a stage of, where it has its own.

    Args:
        document: the file.
        call: a stage of the pipeline.
        option: the path of an attribute: ``threading.private_threadpool_size``.

    Raises:
        RefusalError: the option is set more than once.
    """
    for applied in document.nodes(cst.Call):
        name = _options_name(applied)
        if name is None or not _is_same_pipeline(document, call, applied):
            continue
        step = _made_by(document, applied, name)
        if step is None:
            continue
        values = _values(document, applied, name, option)
        if values is None:
            continue
        if len(values) > 1:
            raise RefusalError(f"{name}.{option} is set more than once")
        return OwnOptions(name=name, made_by=step, value=values[0] if values else None)
    return None


def _options_name(call: cst.Call) -> str | None:
    """Return the name of the options in ``x.with_options(name)``."""
    if method(call) != "with_options" or not isinstance(call.func, cst.Attribute) or not call.args:
        return None
    value = call.args[0].value
    return value.value if isinstance(value, cst.Name) and not call.args[0].star else None


def _is_same_pipeline(document: Document, call: cst.Call, applied: cst.Call) -> bool:
    top = chain_top(document, call)
    if any(item is applied for item in chain_down(top)):
        return True
    if document.scope(call) is not document.scope(applied):
        return False
    here, there = document.statement(call), document.statement(applied)
    made, root = Step.read(here), chain_root(top)
    if (
        made is not None
        and made.value is top
        and chain_root(applied) == made.target
        and is_passed_on(document, made.target, here, there)
    ):
        return True
    other = Step.read(there)
    if other is None or other.target != root or chain_top(document, applied) is not other.value:
        return False
    return is_passed_on(document, other.target, there, here)


def _made_by(document: Document, applied: cst.Call, name: str) -> Step | None:
    """Return the statement ``name = tf.data.Options()`` in the same function."""
    binding = _only_binding(document, applied, name)
    if binding is None:
        return None
    step = step_of(document, binding)
    if step is None or step.target != name or not isinstance(step.value, cst.Call) or step.value.args:
        return None
    is_options = meaning(document, step.value.func, Place.of(document, step.value)) == OPTIONS
    return step if is_options else None


def _only_binding(document: Document, node: cst.CSTNode, name: str) -> cst.CSTNode | None:
    """Return where a name is bound, if it is bound once, in the scope of the statement around ``node``."""
    bindings = _visible(document, node, name)
    if len(bindings) != 1:
        return None
    (binding,) = bindings
    made = getattr(binding, "node", None)
    is_here = binding.scope is document.scope(document.statement(node))
    return made if is_here and isinstance(made, cst.Name) else None


def _visible(document: Document, node: cst.CSTNode, name: str) -> set[BaseAssignment]:
    scope = document.scope(node)
    return set() if scope is None else set(scope[name])


def _values(document: Document, applied: cst.Call, name: str, option: str) -> list[cst.BaseExpression] | None:
    """Return the values that the option is set to; None where the options are used for anything else too."""
    bindings = _visible(document, applied, name)
    if name in document.hidden_names and any(isinstance(binding.scope, GlobalScope) for binding in bindings):
        return None
    values: list[cst.BaseExpression] = []
    for node in document.nodes(cst.Name):
        if node.value != name or _visible(document, node, name) != bindings or node is applied.args[0].value:
            continue
        parent = document.parent(node)
        if isinstance(parent, cst.AssignTarget | cst.AnnAssign) or document.is_label(node):
            continue
        written = _written_attribute(document, node)
        if written is None:
            return None
        path, value = written
        if path == option:
            values.append(value)
        elif path == option.partition(".")[0]:
            return None
    return values


def _written_attribute(document: Document, name: cst.Name) -> tuple[str, cst.BaseExpression] | None:
    """Return the attribute path and the value of ``name.path = value``."""
    path: list[str] = []
    node: cst.CSTNode = name
    while isinstance(parent := document.parent(node), cst.Attribute):
        path.append(parent.attr.value)
        node = parent
    statement = document.parent(parent) if isinstance(parent, cst.AssignTarget) else None
    if not path or not isinstance(statement, cst.Assign) or len(statement.targets) != 1:
        return None
    return ".".join(path), statement.value
