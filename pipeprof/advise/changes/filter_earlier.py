"""Filters before a map instead of behind it, so that nothing is made that the filter rejects.

The new predicate is the old one of what the map makes, cut down to the part of the map that it needs. That part must be
free of state: it runs once more for what is kept. Elements and their order stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any  # protocol buffers and datasets of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, stage_label
from pipeprof.advise.changes.exchange import MAPS, find_pair, moved_map_safety, require_one_for_one
from pipeprof.advise.changes.python_stage import cut_at, python_stage
from pipeprof.advise.replayable import Replayable, first_line
from pipeprof.advise.splice import Spliced, add_output_of
from pipeprof.analysis.stage_graph import neighbours
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

FILTER = "filter_earlier"
_FILTERS = frozenset({"FilterDataset"})
_HARMLESS = frozenset({"LookupTableFind", "LookupTableFindV2"})  # stateful in name: they read what does not change
EFFECTS = ("Assert", "Print", "WriteFile", "WriteSummary")  # in the map, they would no longer be seen of what is rejected


class FilterEarlier:
    """A map and the filter behind it change places, the predicate taking over what it needs of the map."""

    kind = FILTER
    freezes = False

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        pair = neighbours(view, stage_id)
        name = "the map" if pair is None else stage_label(pair[0])
        return f"Filter before {name}, which then makes nothing that is rejected"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:  # noqa: ARG002
        """Return what fewer calls of the map's function can change."""
        python, otherwise = "is no longer called for what is rejected", "that it raises for what is rejected is no longer seen"
        return moved_map_safety(view, stage_id, f"its Python function {python}", f"an error {otherwise}")

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: nothing is held."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Put the filter, with its new predicate, in front of the map.

        Raises:
            TrialError: they do not follow each other directly, or the predicate needs what must not run twice.
        """
        graph = replayable.copy_graph()
        mapped, kept = find_pair(graph, node_names, stage_id, MAPS, _FILTERS)
        require_one_for_one(mapped)
        refuse_effects(graphs.reachable_functions(graph, [mapped]).values())
        python_map = python_stage(replayable, mapped.attr["f"].func.name)
        python_filter = python_stage(replayable, kept.attr["predicate"].func.name, "_predicate")
        predicate = _composed(python_map._map_func._func, python_filter._predicate._func)
        source = graphs.node_name(mapped.input[0])
        before = cut_at(replayable, source, python_map._input_dataset.element_spec)
        try:
            new = add_output_of(graph, before.filter(predicate))
        except TrialError:
            raise
        except Exception as error:  # whatever the user's functions raise when they are traced once more
            raise TrialError(f"the predicate cannot be put before the map: {first_line(error)}") from error
        name = keep_needed(graph, new.node.attr["predicate"].func.name)
        _place(graph, mapped, kept, new)
        kept.attr["predicate"].func.name = name
        return replayable.with_graph(graph)


def _composed(mapped: Callable[..., Any], kept: Callable[..., Any]) -> Callable[..., Any]:
    def predicate(*element: Any) -> Any:
        made = mapped(*element)
        if isinstance(made, list):
            made = tuple(made)
        return kept(*made) if type(made) is tuple else kept(made)

    return predicate


def refuse_effects(functions: Iterable[Any], who: str = "the map") -> None:
    """Refuse what does more, in these library functions, than make elements.

    Raises:
        TrialError: it checks, prints or writes, which would no longer be seen of what is rejected.
    """
    found = sorted({node.op for function in functions for node in function.node_def if node.op.startswith(EFFECTS)})
    if found:
        raise TrialError(f"{who} does more than make elements ({', '.join(found)})")


def keep_needed(graph: Any, name: str) -> str:
    """Cut a function down to what its result needs, and return its new name.

    Raises:
        TrialError: that holds state, draws random numbers or calls Python.
    """
    function = next(item for item in graph.library.function if item.signature.name == name)
    nodes, needed = graphs.function_nodes(function), set()
    stack = [graphs.node_name(text) for text in function.ret.values()]
    while stack:
        current = stack.pop()
        if current in needed or current not in nodes:
            continue
        needed.add(current)
        inputs = [text for text in nodes[current].input if not text.startswith("^")]
        nodes[current].ClearField("input")
        nodes[current].input.extend(inputs)  # what it waited for had an effect, or is needed anyway
        stack.extend(graphs.node_name(text) for text in inputs)
    for index in range(len(function.node_def) - 1, -1, -1):
        if function.node_def[index].name not in needed:
            del function.node_def[index]
    function.control_ret.clear()
    del function.signature.control_output[:]
    _refuse_state(graph, function)
    function.signature.is_stateful = False
    return graphs.rename_edited(graph, [name])[name]


def _refuse_state(graph: Any, function: Any) -> None:
    from tensorflow.python.framework import op_def_registry

    nested = graphs.reachable_functions(graph, function.node_def).values()
    nodes = [node for item in (function, *nested) for node in item.node_def]
    known = {item.signature.name for item in graph.library.function}
    ops = {node.op for node in nodes} - known - _HARMLESS
    found = sorted(op for op in ops if (definition := op_def_registry.get(op)) is None or definition.is_stateful)
    found = [op for op in found if not op.startswith("StatefulPartitionedCall")]  # what it calls is looked at as well
    if found:
        raise TrialError(f"the predicate needs a part of the map that must not run twice ({', '.join(found)})")


def _place(graph: Any, mapped: Any, kept: Any, new: Spliced) -> None:
    readers = {reader.name for reader in graphs.consumers(graph, kept.name)}
    source = mapped.input[0]
    for key in ("Targuments", "output_types", "output_shapes"):
        kept.attr[key].CopyFrom(new.node.attr[key])
    kept.ClearField("input")
    kept.input.extend([source, *new.captured])
    mapped.input[0] = kept.name
    graphs.redirect(graph, kept.name, mapped.name, keep={item.name for item in graph.node} - readers)
