"""A map and the filter behind it that change places, made where the filter is made.

The new predicate is the two traced functions one after the other, cut down to what its answer needs; it takes what both have
captured. Nothing is traced again. The map stays as it is for whoever else reads it. Whether it may be done is ``applying``'s to
say, but for what only the functions show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # TensorFlow's datasets and protocol buffers carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.applied_exchanges import map_before
from pipeprof.advise.applied_functions import argument_count, library_of, make_known
from pipeprof.advise.applied_maps import map_variant
from pipeprof.advise.changes.filter_earlier import keep_needed, refuse_effects
from pipeprof.advise.neutralise import is_random
from pipeprof.capture.functions import CALLS, may_change
from pipeprof.errors import TrialError

_JOINED = "pipeprof_predicate_of_"


def filter_before_map(dataset: Any, _params: Mapping[str, Any]) -> None:
    """Put a filter, with its new predicate, before the map that it reads."""
    from tensorflow.python.ops import gen_dataset_ops

    first = map_before(dataset)
    mapped, kept = first._map_func.function, dataset._predicate.function
    source = first._input_dataset
    filtered = gen_dataset_ops.filter_dataset(
        source._variant_tensor,
        other_arguments=[*mapped.captured_inputs, *kept.captured_inputs],
        predicate=_predicate_of(mapped, kept),
        metadata=dataset._metadata.SerializeToString(),
        **source._flat_structure,
    )
    dataset._variant_tensor_attr = map_variant(first, filtered, mapped, dataset._flat_structure)


def _predicate_of(mapped: Any, kept: Any) -> str:
    """Return the name of a function that asks ``kept`` about what ``mapped`` would make, and makes no more of it than that."""
    graph = library_of(mapped, kept)
    for function, who in ((mapped, "the map"), (kept, "the filter")):
        _refuse_lost(library_of(function).library.function, who)
    joined = graph.library.function.add()
    _join(joined, mapped, kept)
    name = keep_needed(graph, str(joined.signature.name))
    make_known(graph, [name])
    return name


def _refuse_lost(functions: Sequence[Any], who: str) -> None:
    """Refuse a function that is called for more than its result: of the map it would be lost where an element is rejected."""
    refuse_effects(functions, who)
    ops = {node.op for function in functions for node in function.node_def}
    ops -= {function.signature.name for function in functions} | CALLS
    found = sorted(op for op in ops if may_change(op) and not is_random(op))
    if found:
        raise TrialError(f"{who} may do more than make elements ({', '.join(found)})")


def _join(joined: Any, mapped: Any, kept: Any) -> None:
    """Fill an empty function with two traced ones, of which the second takes what the first gives."""
    first, second = mapped.function_def, kept.function_def
    elements, asked = argument_count(mapped), argument_count(kept)
    made, wanted = first.signature.output_arg, second.signature.input_arg
    if [item.type for item in made] != [item.type for item in wanted[:asked]]:
        raise TrialError("the filter takes something else than what the map gives")
    joined.signature.name = f"{_JOINED}{first.signature.name}_{second.signature.name}"
    for key, value in second.attr.items():
        joined.attr[key].CopyFrom(value)
    own = _arguments(joined, first.signature.input_arg[:elements], "element")
    own |= _arguments(joined, first.signature.input_arg[elements:], "of_map")
    _copy_nodes(joined, first, own, "map")
    given = {item.name: _moved(first.ret[output.name], own, "map") for item, output in zip(wanted, made, strict=False)}
    given |= _arguments(joined, wanted[asked:], "of_filter")
    _copy_nodes(joined, second, given, "filter")
    for output in second.signature.output_arg:
        joined.signature.output_arg.add().CopyFrom(output)
        joined.ret[output.name] = _moved(second.ret[output.name], given, "filter")


def _arguments(joined: Any, arguments: Sequence[Any], prefix: str) -> dict[str, str]:
    """Give the joined function these arguments; return their old names with the new."""
    names = {}
    for index, argument in enumerate(arguments):
        copy = joined.signature.input_arg.add()
        copy.CopyFrom(argument)
        copy.name = names[argument.name] = f"{prefix}_{index}"
    return names


def _copy_nodes(joined: Any, function: Any, given: Mapping[str, str], prefix: str) -> None:
    for node in function.node_def:
        copy = joined.node_def.add()
        copy.CopyFrom(node)
        copy.name = f"{prefix}/{node.name}"
        copy.attr.pop("_class", None)  # where it stands by the name of another node
        copy.ClearField("input")
        data = [text for text in node.input if not text.startswith("^")]  # who is only waited for has an effect: refused
        copy.input.extend(_moved(text, given, prefix) for text in data)


def _moved(text: str, given: Mapping[str, str], prefix: str) -> str:
    """Return what reads the same value in the joined function: an argument's place, or a node under its new name."""
    return given.get(graphs.node_name(text)) or f"{prefix}/{text}"
