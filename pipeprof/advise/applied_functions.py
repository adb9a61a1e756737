"""Traced functions of a program's stages, taken out to be edited, and what was made of them given to TensorFlow.

The one idea: a traced function is a FunctionDef; an edited copy under a name of its own can be named by a stage, and nothing is
traced again. What is edited is the caller's; the program's own functions are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any  # protocol buffers and functions of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.function_split import Parts, split_function


def library_of(*functions: Any) -> Any:
    """Return a graph whose library holds copies of traced functions and of all that they call."""
    from tensorflow.core.framework import graph_pb2
    from tensorflow.python.eager import context

    known = context.context()
    graph = graph_pb2.GraphDef()
    waiting = [function.function_def for function in functions]
    seen = {str(definition.signature.name) for definition in waiting}
    while waiting:
        definition = waiting.pop()
        graph.library.function.add().CopyFrom(definition)
        called = {name for node in definition.node_def for name in graphs.function_references(node)} - seen
        found = [name for name in sorted(called) if known.has_function(name)]
        seen |= called
        waiting += [known.get_function_def(name) for name in found]
    return graph


def make_known(graph: Any, names: Iterable[str]) -> None:
    """Let TensorFlow know functions of a graph's library, those that it does not know yet."""
    from tensorflow.python.eager import context

    known, wanted = context.context(), set(names)
    for item in graph.library.function:
        if item.signature.name in wanted and not known.has_function(item.signature.name):
            known.add_function_def(item)


def cut(function: Any, *, at_draws: bool) -> Parts:
    """Cut a traced function in two (``function_split``), and let TensorFlow know the parts."""
    graph = library_of(function)
    parts = split_function(graph, function.function_def.signature.name, argument_count(function), at_draws=at_draws)
    make_known(graph, (parts.first, parts.second))
    return parts


def argument_count(function: Any) -> int:
    """Return how many arguments of a traced function are of the element; the captured ones stand behind them."""
    return len(function.function_def.signature.input_arg) - len(function.captured_inputs)
