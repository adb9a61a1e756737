"""Says whether what a change would keep for later epochs is drawn anew at each of them.

The one idea: whatever differs between two passes over the *unchanged* pipeline, up to the point where it would be kept, is
meant to differ, and a change that hands out the first pass for ever takes it away. The traced functions cannot tell that of
Python code; reading twice can. It must not call anything steady that it did not read twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.neutralise import is_reshuffling
from pipeprof.advise.reading import Bounds, Epoch, is_reordered, read_epochs
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.interop.node_kinds import PYTHON_OPS

_ELEMENTS = 64
_LONGEST_PASS_S = 1.0  # one that takes longer is read in part
_SAME_ELEMENTS_SHARE = 0.5  # overlap from which two partial passes are taken for one pass in two orders


@dataclass(frozen=True, kw_only=True, slots=True)
class Steadiness:
    """Whether the original repeats itself up to a point; None where that could not be seen."""

    is_steady: bool | None
    note: str = ""


def find_steadiness(original: Replayable, name: str, deadline_s: float) -> Steadiness:
    """Read the original up to node ``name`` three times: two epochs of one load, and one of another.

    Args:
        original: the unchanged pipeline.
        name: the node whose elements would be kept.
        deadline_s: of time.monotonic().
    """
    graph = original.graph
    after = _downstream(graph, name)
    order_matters = not any(is_reshuffling(node) for node in after)
    is_python = any(node.op in PYTHON_OPS for node in graphs.upstream_nodes(graph, name))
    try:
        cut = cut_at(original, name)
        passes = [*_read(cut, 2, deadline_s), *_read(cut, 1, deadline_s)]
    except TrialError as error:
        return Steadiness(is_steady=None, note=str(error))
    return judge_steadiness(passes, order_matters=order_matters, is_python=is_python)


def judge_steadiness(passes: Sequence[Epoch], *, order_matters: bool, is_python: bool) -> Steadiness:
    """Compare each pass with the first; what could not be seen leaves ``is_steady`` None."""
    first, *others = passes
    found = {_compare(first, other, is_python=is_python) for other in others if len(first) and len(other)}
    if not found:
        return Steadiness(is_steady=None, note="no two passes over the original could be read")
    if "values" in found or (order_matters and "order" in found) or (order_matters and is_python and "other" in found):
        what = "elements" if found & {"values", "other"} else "orders"
        return Steadiness(
            is_steady=False,
            note=f"it freezes what is drawn anew at every epoch: two passes over the original gave other {what}",
        )
    if "other" in found:
        return Steadiness(is_steady=None, note="only a part of a pass could be read, and it differed")
    return Steadiness(is_steady=True)


def _compare(one: Epoch, other: Epoch, *, is_python: bool) -> str:
    """Return "same", "order", "values", or "other" where only the beginnings are known and differ."""
    length = min(len(one), len(other))
    is_whole = one.complete and other.complete and not one.error and not other.error
    if one.digests[:length] == other.digests[:length] and (not is_whole or len(one) == len(other)):
        return "same"
    if is_whole:
        return "order" if Counter(one.digests) == Counter(other.digests) else "values"
    shared = sum((Counter(one.digests[:length]) & Counter(other.digests[:length])).values())
    if not is_python or shared < _SAME_ELEMENTS_SHARE * length:
        return "other"
    return "order" if is_reordered(one, other) else "values"


def _read(replayable: Replayable, epochs: int, deadline_s: float) -> list[Epoch]:
    bounds = Bounds(elements=_ELEMENTS, deadline_s=deadline_s, epochs=epochs, epoch_s=_LONGEST_PASS_S)
    return read_epochs(replayable, bounds)


def cut_at(replayable: Replayable, name: str) -> Replayable:
    """Return a pipeline that ends at one of its nodes, and gives the flat tensors of that.

    Raises:
        TrialError: what they are is not said, or they are no plain tensors.
    """
    graph = replayable.copy_graph()
    spec = element_spec(graph, name)
    graphs.set_output(graph, name)
    return replayable.with_graph(graph, spec)


def element_spec(graph: Any, name: str) -> Any:
    """Return the flat tensors that a node gives, which is all that a digest needs.

    Raises:
        TrialError: they are not said, or are no plain tensors.
    """
    import tensorflow as tf

    probe = graphs.copy_graph(graph)
    node = graphs.add_node(probe, "CacheDatasetV2")
    graphs.copy_element_types(probe, name, node)
    types = [tf.as_dtype(item) for item in node.attr["output_types"].list.type]
    shapes = [tf.TensorShape(item) for item in node.attr["output_shapes"].list.shape]
    if any(item in (tf.variant, tf.resource) for item in types):
        raise TrialError("what would be kept is no plain tensor, and was not compared from epoch to epoch")
    return tuple(tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, types, strict=True))


def _downstream(graph: Any, name: str) -> list[Any]:
    return [node for node in graph.node if node.name != name and name in graphs.ancestors(graph, str(node.name))]
