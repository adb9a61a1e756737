"""Cuts a map's function in two: where it first draws at random, or before the casts that make its results wider.

The one idea: an op belongs to the second part where it draws, or reads what hangs on a draw, in data or in order; all else is
the first's, whose outputs become the second's arguments. Where such an output is a narrow value cast to a wider type, the
narrow one crosses, and the second part casts it. Only library functions are edited here: where the two parts stand in the
pipeline is the caller's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.neutralise import is_random
from pipeprof.advise.reset import seed_states
from pipeprof.capture.functions import may_change
from pipeprof.errors import TrialError

_ELEMENTWISE = frozenset({"Add", "AddV2", "Sub", "Mul", "Div", "RealDiv", "DivNoNan", "Identity", "Maximum", "Minimum"})
_SECOND = "_second_"
_NO_WORK = frozenset({"Identity", "NoOp"})
_UNKEPT = ("resource", "variant")


@dataclass(frozen=True, slots=True)
class Parts:
    """The two functions, which are in the library now.

    Attributes:
        first: name of the first, which takes what the whole function took.
        second: name of the second, which takes the first's outputs, then the captured values of the whole.
        types: of what crosses, as TensorFlow's DataType numbers.
    """

    first: str
    second: str
    types: tuple[int, ...]


def split_map_node(graph: Any, node: Any, *, at_draws: bool) -> Parts:
    """Add the two parts of a map node's function to ``graph``; the node stays as it is (see ``split_function``).

    Raises:
        TrialError: with the reason why it cannot be cut.
    """
    name = node.attr["f"].func.name
    whole = next(function for function in graph.library.function if function.signature.name == name)
    captured = len(node.attr["Targuments"].list.type)
    return split_function(graph, name, len(whole.signature.input_arg) - captured, at_draws=at_draws)


def split_function(graph: Any, name: str, arguments: int, *, at_draws: bool) -> Parts:
    """Add two parts of a library function to ``graph``; the whole stays.

    Args:
        graph: a GraphDef.
        name: of the function.
        arguments: how many of its inputs are the element; the others are captured.
        at_draws: whether the first part is what is the same for one element in every epoch; else it is all but the casts that
            make the results wider, and the second part, elementwise but for constants, means the same on a batch.

    Raises:
        TrialError: with the reason why it cannot be cut.
    """
    cut = _Cut(graph, name, arguments, at_draws=at_draws)
    known = {function.signature.name for function in graph.library.function}
    parts = (cut.first(), cut.second())
    for part in parts:
        if part.signature.name not in known:
            graph.library.function.add().CopyFrom(part)
    return Parts(parts[0].signature.name, parts[1].signature.name, tuple(cut.types))


def is_second_part(name: str) -> bool:
    """Tell whether a function is what a split left behind a cache, or behind a batch."""
    return re.search(rf"{_SECOND}[0-9a-f]{{12}}$", name) is not None


class _Cut:
    """One function, and which of its nodes belong where."""

    def __init__(self, graph: Any, name: str, arguments: int, *, at_draws: bool) -> None:
        self._graph = graph
        self._function = next(function for function in graph.library.function if function.signature.name == name)
        self._nodes = graphs.function_nodes(self._function)
        inputs = list(self._function.signature.input_arg)
        self._element = {str(item.name): int(item.type) for item in inputs[:arguments]}
        self._captured = inputs[arguments:]
        drawn = self._find_drawn()
        self._is_second = drawn if at_draws else set()  # what only the second part does
        self._is_settled = self._find_settled(set() if at_draws else drawn)
        self._is_sunk = self._find_sunk()  # settled, and done again by the second part, which reads what they are made of
        self._crossing = list(dict.fromkeys(text for text in self._read_by_second() if self._crosses(text)))
        if at_draws and not drawn:
            raise TrialError("the function draws nothing at random: keep its result as it is")
        if at_draws and not self._has_work():
            raise TrialError("nothing of the function comes before its first draw")
        if not at_draws and not self._is_sunk:
            raise TrialError("none of the function's results is a narrower value that was cast")
        self.types = [self._type_of(text) for text in self._crossing]

    def _has_work(self) -> bool:
        """Tell whether the first part does more than to hand its arguments on."""
        needed = self._needed([graphs.node_name(text) for text in self._crossing], self._is_settled)
        return any(self._nodes[name].op not in _NO_WORK for name in needed & self._is_settled)

    # --- what belongs where ---------------------------------------------------------------------------------------

    def _find_drawn(self) -> set[str]:
        """Return the nodes that can differ at the next call with the same element, and all that hangs on them."""
        seeds = seed_states(self._function)
        found = {
            name
            for name, node in self._nodes.items()
            if any(map(_may_differ, self._ops(node))) or not seeds.isdisjoint(node.input[:1])
        }
        grown = True
        while grown:
            more = {name for name, node in self._nodes.items() if name not in found and self._reads(node) & found}
            found |= more
            grown = bool(more)
        return found

    @staticmethod
    def _reads(node: Any) -> set[str]:
        return {graphs.node_name(text) for text in node.input}

    def _ops(self, node: Any) -> list[Any]:
        """Return what a node runs: itself, or the ops of the functions that it calls."""
        called = graphs.reachable_functions(self._graph, [node])
        inner = [item for function in called.values() for item in function.node_def]
        return [item for item in inner if called.keys().isdisjoint(graphs.function_references(item))] if called else [node]

    def _find_settled(self, drawn: set[str]) -> set[str]:
        """Return the nodes of the first part, these draws among them; those made of constants alone are in either part."""
        found = set(drawn)
        grown = True
        while grown:
            more = {
                name
                for name, node in self._nodes.items()
                if name not in found and name not in self._is_second and self._reads(node) & (found | self._element.keys())
            }
            found |= more
            grown = bool(more)
        return found

    def _find_sunk(self) -> set[str]:
        """Return the nodes by which the second part makes wide values of narrow ones, a cast and what follows elementwise."""
        read = [text for name in self._is_second for text in _data(self._nodes[name])]
        read += [str(text) for text in self._function.ret.values()]
        return {name for text in read for name in self._widening_chain(graphs.node_name(text))}

    def _widening_chain(self, name: str) -> list[str]:
        """Return settled elementwise nodes up to and including a cast that widens; none where they do not lead to one."""
        chain: list[str] = []
        while name in self._is_settled:
            node = self._nodes[name]
            chain.append(name)
            if node.op == "Cast":
                return chain if _size(node.attr["DstT"].type) > _size(node.attr["SrcT"].type) else []
            made_of = [text for text in _data(node) if self._is_of_element(text)]
            if node.op not in _ELEMENTWISE or len(made_of) != 1:
                return []
            name = graphs.node_name(made_of[0])
        return []

    def _read_by_second(self) -> Iterator[str]:
        """Yield what the second part reads, its own values included: its nodes' inputs, and the function's results."""
        for node in self._function.node_def:
            if node.name in self._is_second | self._is_sunk:
                yield from _data(node)
        for item in self._function.signature.output_arg:
            yield str(self._function.ret[item.name])

    def _is_of_element(self, text: str) -> bool:
        return text in self._element or graphs.node_name(text) in self._is_settled

    def _crosses(self, text: str) -> bool:
        return self._is_of_element(text) and graphs.node_name(text) not in self._is_sunk

    # --- the parts ------------------------------------------------------------------------------------------------

    def first(self) -> Any:
        """Return the first part."""
        checks = [name for name in self._nodes if name in self._is_settled and self._must_run(self._nodes[name])]
        part = self._begin(self._needed([graphs.node_name(text) for text in self._crossing] + checks, self._is_settled))
        part.signature.input_arg.extend(self._function.signature.input_arg)
        for index, (text, dtype) in enumerate(zip(self._crossing, self.types, strict=True)):
            argument = part.signature.output_arg.add()
            argument.name, argument.type = f"kept_{index}", dtype
            part.ret[argument.name] = text
        for name in checks:
            part.signature.control_output.append(name)
            part.control_ret[name] = name
        return _named(part, f"{self._function.signature.name}_first_")

    def _must_run(self, node: Any) -> bool:
        """Tell whether an op is there for what it does: a check, also within what it calls, or an effect."""
        return any(item.op == "Assert" or (_may_differ(item) and not is_random(item.op)) for item in self._ops(node))

    def second(self) -> Any:
        """Return the second part."""
        arguments = {text: f"kept_{index}" for index, text in enumerate(self._crossing)}
        ends = [graphs.node_name(text) for text in self._function.ret.values()]
        part = self._begin(self._needed([*self._is_second, *ends], self._is_second | self._is_sunk))
        for name, dtype in zip(arguments.values(), self.types, strict=True):
            argument = part.signature.input_arg.add()
            argument.name, argument.type = name, dtype
        part.signature.input_arg.extend(self._captured)
        part.signature.output_arg.extend(self._function.signature.output_arg)
        for node in part.node_def:
            texts = [arguments.get(text, text) for text in node.input]
            node.ClearField("input")
            node.input.extend(texts)
        for key, text in self._function.ret.items():
            part.ret[key] = arguments.get(text, text)
        for key, name in self._function.control_ret.items():
            if name in self._is_second:
                part.signature.control_output.append(key)
                part.control_ret[key] = name
        return _named(part, f"{self._function.signature.name}{_SECOND}")

    def _needed(self, ends: Iterable[str], own: set[str]) -> set[str]:
        """Return the nodes of a part: its own ones that its ends need, and the constants that they read."""
        found: set[str] = set()
        waiting = list(ends)
        while waiting:
            name = waiting.pop()
            is_free = name in self._nodes and name not in self._is_settled and name not in self._is_second
            if name in found or not (is_free or name in own):
                continue
            found.add(name)
            waiting += self._reads(self._nodes[name])
        return found

    def _begin(self, names: set[str]) -> Any:
        """Return a function with these nodes, in their order, that no longer wait for any other."""
        from tensorflow.core.framework import function_pb2

        part = function_pb2.FunctionDef()
        part.signature.is_stateful = self._function.signature.is_stateful
        for key, value in self._function.attr.items():
            part.attr[key].CopyFrom(value)
        for node in self._function.node_def:
            if node.name in names:
                copy = part.node_def.add()
                copy.CopyFrom(node)
                texts = [text for text in node.input if not text.startswith("^") or graphs.node_name(text) in names]
                copy.ClearField("input")
                copy.input.extend(texts)
        return part

    def _type_of(self, text: str) -> int:
        """Return the type of a value, as it is read in the function (``node:output:index``).

        Raises:
            TrialError: it is not said, or a value of this type cannot be kept.
        """
        import tensorflow as tf

        found = self._element.get(text) or self._output_type(text)
        if tf.as_dtype(found).name in _UNKEPT:
            raise TrialError("what comes before the first draw is no plain tensor, and cannot be kept")
        return found

    def _output_type(self, text: str) -> int:
        from tensorflow.python.framework import op_def_registry

        name, output, index = text.split(":")
        node = self._nodes[name]
        called = graphs.reachable_functions(self._graph, [node]).get(node.op)
        made = op_def_registry.get(node.op) if called is None else called.signature
        argument = next((item for item in made.output_arg if item.name == output), None) if made is not None else None
        if argument is None:
            raise TrialError(f"TensorFlow's {node.op} does not say what it gives")
        if argument.type_list_attr:
            return int(node.attr[argument.type_list_attr].list.type[int(index)])
        return int(argument.type or node.attr[argument.type_attr].type)


def _data(node: Any) -> list[str]:
    return [str(text) for text in node.input if not text.startswith("^")]


def _may_differ(node: Any) -> bool:
    """Say whether an op that calls no function can give something else at the next call, or is called for its effect."""
    return may_change(node.op) or is_random(node.op)


def _size(dtype: int) -> int:
    import tensorflow as tf

    return int(tf.as_dtype(dtype).size or 0)


def _named(part: Any, prefix: str) -> Any:
    """Name a part by its content, because TensorFlow takes the first of two bodies of one name."""
    part.signature.name = f"{prefix}{hashlib.blake2b(part.SerializeToString(deterministic=True), digest_size=6).hexdigest()}"
    return part
