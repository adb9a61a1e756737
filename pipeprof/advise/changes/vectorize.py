"""Calls a map's function once for a whole batch: ``.map(f).batch(b)`` becomes ``.batch(b).map(f)``.

The function is the user's own, traced again on the batched spec, exactly as the edited source would do it. It is accepted
only when its graph is proven elementwise *and* real elements come out equal for several batch sizes with a short last
batch. Anything else is refused with the reason; nothing is swapped blindly.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any  # TensorFlow's datasets and graphs carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, find_node, stage_label
from pipeprof.advise.changes.python_stage import cut_at, python_stage
from pipeprof.advise.digest import digest, equal_within_rounding, flatten
from pipeprof.advise.neutralise import is_random, neutralise
from pipeprof.advise.replayable import Replayable, first_line
from pipeprof.advise.sampling import limit_records
from pipeprof.advise.splice import add_output_of
from pipeprof.capture.elementwise import why_not_elementwise
from pipeprof.errors import TrialError
from pipeprof.interop.node_kinds import PYTHON_OPS
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

_MAPS = frozenset({"MapDataset", "ParallelMapDataset", "ParallelMapDatasetV2"})
_BATCHES = frozenset({"BatchDatasetV2", "ParallelBatchDataset"})
_CHECKED_ELEMENTS = 7
_CHECKED_BATCHES = (1, 2, 3)  # 7 elements make a short last batch of 2s and of 3s
_PARSERS = frozenset({"ParseExampleV2", "ParseSingleExample", "ParseSequenceExampleV2", "ParseSingleSequenceExample"})


class Vectorize:
    """A map and the batch behind it change places."""

    kind = "vectorize"
    freezes = False
    parses = False  # whether the function may parse records, one at a time as it is written

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Batch before {stage_label(view.stage(stage_id))}, so that one call serves a whole batch"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:
        """Return that elements stay: it is not rewritten otherwise."""
        written = view.stage(stage_id).written
        function = written.function if written is not None else None
        if function is not None and (function.random_ops or function.python_ops):
            return Safety.CHANGES_DATA, "one call would draw, or run Python, for a whole batch"
        return Safety.SAFE, "one bad record fails its whole batch instead of itself alone" if params.get(
            "ignore_errors"
        ) else ""

    def memory_bytes(self, view: PipelineView, stage_id: str, params: Params) -> int | None:  # noqa: ARG002
        """Return 0: one batch is held before the map instead of after it."""
        return 0

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:  # noqa: ARG002
        """Swap map and batch where the function is proven elementwise.

        Raises:
            TrialError: it is not proven, or the stages are not a map and its batch.
        """
        graph = replayable.copy_graph()
        site = _find_site(replayable, graph, find_node(graph, node_names, stage_id))
        refuse_function(_ops_of(graph, site), site.python_map._map_func.function.graph, parses=self.parses)
        few = _few_records(replayable, site)
        if not _compare_on_elements(few, site) and not _compare_on_elements(replayable, site):
            raise TrialError("there is no element to compare the function on")
        batches = cut_at(few, site.source, site.source_spec).batch(site.batch_size, drop_remainder=site.drop_remainder)
        mapped = _call_on_batches(batches, site)
        _refuse_changed_spec(site, mapped.element_spec, few)
        _swap(graph, mapped, site)
        return replayable.with_graph(graph)


@dataclass(frozen=True, slots=True)
class _Site:
    """A map, the batch behind it, and the Python dataset the map came from."""

    map_node: Any
    batch_node: Any
    source: str  # the map's input
    python_map: Any
    batch_size: int
    drop_remainder: bool

    @property
    def function(self) -> Any:
        """The user's function."""
        return self.python_map._map_func._func

    @property
    def source_spec(self) -> Any:
        """What the map reads."""
        return self.python_map._input_dataset.element_spec

    @property
    def calls(self) -> int | None:
        """``num_parallel_calls`` of the map: any number for a parallel one, it only decides the class that is made."""
        return None if self.map_node.op == "MapDataset" else 1


def _find_site(replayable: Replayable, graph: Any, node: Any) -> _Site:
    if node.op not in _MAPS:
        raise TrialError(f"{node.op} is no map")
    readers = graphs.consumers(graph, node.name)
    if len(readers) != 1 or readers[0].op not in _BATCHES:
        raise TrialError("the map is not followed directly by a batch")
    nodes = graphs.nodes_by_name(graph)
    size, drop = (graphs.constant_value(nodes.get(text)) for text in (readers[0].input[1], readers[0].input[-1]))
    if not isinstance(size, int) or not isinstance(drop, bool):
        raise TrialError("the batch size is not a constant")
    python_map = python_stage(replayable, node.attr["f"].func.name)
    return _Site(node, readers[0], graphs.node_name(node.input[0]), python_map, size, drop)


def _ops_of(graph: Any, site: _Site) -> set[str]:
    """Return the types of the ops that the function runs."""
    return {node.op for function in graphs.reachable_functions(graph, [site.map_node]).values() for node in function.node_def}


def refuse_function(ops: Set[str], function: Any, *, parses: bool) -> None:
    """Refuse a function that is not proven to give, of a batch, the batch of its results.

    Args:
        ops: the types of the ops that it runs, in what it calls too.
        function: its traced graph.
        parses: whether it may parse records.

    Raises:
        TrialError: with the reason.
    """
    if any(is_random(op) for op in ops):
        raise TrialError("the function draws random numbers: a batch would share one draw")
    if ops & PYTHON_OPS:
        raise TrialError("the function calls Python, which would get a whole batch")
    parsers = sorted(ops & _PARSERS)
    if parsers and not parses:
        raise TrialError(
            "the function parses one record at a time; tf.io.parse_example behind the batch parses them together (parse_batch)"
        )
    reason = why_not_elementwise(function)
    if reason:
        raise TrialError(f"not proven to work on a batch ({reason}); it may need tf.vectorized_map")


def _few_records(replayable: Replayable, site: _Site) -> Replayable:
    """Return the pipeline cut to a few records at its sources, so that no shuffle buffer has to be filled for them."""
    limited = limit_records(replayable.graph, replayable.graph, _CHECKED_ELEMENTS // site.batch_size + 2)
    return replayable if limited is None else replayable.with_graph(limited[0])


def _compare_on_elements(replayable: Replayable, site: _Site) -> bool:
    """Compare the function one by one and on batches; False where there is no element.

    Raises:
        TrialError: the elements differ.
    """
    still = replayable.with_graph(neutralise(replayable.graph).graph)
    for size in _CHECKED_BATCHES:
        plain = cut_at(still, site.map_node.name, site.python_map.element_spec).take(_CHECKED_ELEMENTS).batch(size)
        swapped = _call_on_batches(cut_at(still, site.source, site.source_spec).take(_CHECKED_ELEMENTS).batch(size), site)
        if not _equal_elements(plain, swapped, size):
            return False
    return True


def _call_on_batches(batches: Any, site: _Site) -> Any:
    """Trace the user's function on batches, as the edited source would; see ``parse_batch`` for what parses records."""
    try:
        return batches.map(site.function, num_parallel_calls=site.calls)
    except Exception as error:  # whatever the user's function raises: it takes no batch
        raise TrialError(f"the function does not take a batch: {first_line(error)}") from error


def _equal_elements(plain: Any, swapped: Any, size: int) -> bool:
    """Compare two datasets; False where both are empty.

    Raises:
        TrialError: they differ, or cannot be read.
    """
    import tensorflow as tf

    try:
        ours, theirs = ([flatten(element) for element in side] for side in (plain, swapped))
    except tf.errors.OpError as error:
        raise TrialError(f"the function could not be compared on batches of {size}: {first_line(error)}") from error
    same = len(ours) == len(theirs) and all(
        digest(one) == digest(other) or equal_within_rounding(one, other) for one, other in zip(ours, theirs, strict=True)
    )
    if not same:
        raise TrialError(f"the function gives other elements for a batch of {size} than one by one")
    return bool(ours)


def _swap(graph: Any, mapped: Any, site: _Site) -> None:
    """Exchange the two nodes in ``graph``; their names stay, so that later changes find them."""
    new = add_output_of(graph, mapped)
    batch, node = site.batch_node, site.map_node
    readers = [reader.name for reader in graphs.consumers(graph, batch.name)]
    parallel = [node.input[-1]] if node.op != "MapDataset" else []
    batch.input[0] = site.source
    for key in ("output_types", "output_shapes"):
        batch.attr[key].CopyFrom(new.batch_attributes[key])
        node.attr[key].CopyFrom(new.node.attr[key])
    node.attr["f"].CopyFrom(new.node.attr["f"])
    node.attr["Targuments"].CopyFrom(new.node.attr["Targuments"])
    node.ClearField("input")
    node.input.extend([batch.name, *new.captured, *parallel])
    graphs.redirect(graph, batch.name, node.name, keep={item.name for item in graph.node} - set(readers))


def _refuse_changed_spec(site: _Site, spec: Any, replayable: Replayable) -> None:
    import tensorflow as tf

    mapped = cut_at(replayable, site.map_node.name, site.python_map.element_spec)
    before = mapped.batch(site.batch_size, drop_remainder=site.drop_remainder).element_spec
    try:
        tf.nest.assert_same_structure(before, spec)
    except (TypeError, ValueError):
        raise TrialError("the function gives another structure for a batch") from None
    for one, other in zip(tf.nest.flatten(before), tf.nest.flatten(spec), strict=True):
        if not other.is_subtype_of(one):
            raise TrialError(f"the function gives {other} for a batch instead of {one}")
