"""Cuts a pipeline behind each of its stages: every prefix of the written chain as a dataset that can be run alone.

The one idea: a prefix is drawn by the thousand within TensorFlow (``window``), so that what the Python loop costs for each
element is not taken for the stage's. Prefixes are cut from the isolated copy of the graph and keep the pipeline's options;
the user's own dataset, its caches and its shuffle seeds are never touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any  # TensorFlow's objects carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.parallel_calls import ParallelCalls
from pipeprof.advise.isolation import Arm
from pipeprof.advise.match import match_stages
from pipeprof.advise.neutralise import limit_shuffles
from pipeprof.advise.replay import Drive, EmptyPipelineError, StoppedError, fill
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import sources_first
from pipeprof.errors import TrialError
from pipeprof.model.profile import PipelineRecord, WrittenStage

MOST_SHUFFLED = 64  # elements that a shuffle's buffer holds in a prefix: filling it is no cost of an element
_REPEATS = {"RepeatDataset": 1, "ShuffleAndRepeatDataset": 4, "ShuffleAndRepeatDatasetV2": 4}  # position of the count


@dataclass(kw_only=True, eq=False, slots=True)
class Prefix:
    """The chain up to and including one stage."""

    stage_id: str
    replayable: Replayable
    options: Any  # of the whole pipeline
    element_bytes: int | None
    has_cache: bool = False
    _loaded: Any = None  # kept, so that a cache that was filled stays full

    def fill(self, limit_s: float, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Draw one whole pass, so that its caches are full, as they are in every epoch but the first.

        Raises:
            TrialError: that takes too long, or it was stopped.
        """
        if self.has_cache:
            self._loaded = self.replayable.load()
            loaded = self._loaded
            drive = Drive(lambda: loaded, beat=beat)
            try:
                fill(drive, stop, elements=None, limit_s=limit_s)
            except EmptyPipelineError:
                raise
            except StoppedError:
                raise
            except TrialError:
                raise TrialError(f"one pass takes longer than {limit_s:.0f} s, so that its cache could not be filled") from None

    def load(self, size: int) -> Any:
        """Return a fresh endless dataset, each element of which stands for ``size`` of the prefix's.

        Raises:
            TrialError: TensorFlow does not accept it.
        """
        import tensorflow as tf

        try:
            loaded = self.replayable.load() if self._loaded is None else self._loaded
            counted = loaded.repeat().window(size).map(_drop, name="pipeprof_drop")
            return counted.with_options(self.options)
        except (tf.errors.OpError, ValueError, TypeError, NotImplementedError) as error:
            raise TrialError(f"its elements cannot be counted: {type(error).__name__}") from error


def handing_over() -> Arm:
    """Return an arm that costs nothing but the handing over of its elements."""

    def load(_size: int) -> Any:
        import tensorflow as tf

        return tf.data.Dataset.from_tensors(0).repeat().window(1).map(_drop)

    return Arm(id="", load=load)


def arms_of(dataset: Any, written: Sequence[WrittenStage], output: str, memory_limit_bytes: int | None) -> dict[str, Arm]:
    """Return what is measured of each stage, source first.

    Raises:
        TrialError: the pipeline cannot be replayed at all.
    """
    prefixes = cut_prefixes(dataset, written, output, memory_limit_bytes)
    return {
        key: Arm(id=key, load=prefix.load, element_bytes=prefix.element_bytes, fill=prefix.fill)
        for key, prefix in prefixes.items()
    }


def arms_of_calls(
    dataset: Any, record: PipelineRecord, stage_id: str, counts: Sequence[int], memory_limit_bytes: int | None
) -> dict[str, Arm]:
    """Return the chain up to one stage, at each number of calls of that stage at once, by that number.

    Raises:
        TrialError: the stage has no parallel form, its node is not known, or a cache would keep it from running.
    """
    whole = Replayable.of(dataset, memory_limit_bytes)
    names = match_stages(whole.graph, record.written, record.output)
    pairs = zip(record.written, sources_first(dataset), strict=True)
    stage, part = next(pair for pair in pairs if pair[0].id == stage_id)
    if stage_id not in names:
        raise TrialError("its node in TensorFlow's graph is not known")
    arms = {}
    for count in counts:
        changed = ParallelCalls().rewrite(whole, names, stage_id, {"num_parallel_calls": count})
        graph = changed.copy_graph()
        graphs.set_output(graph, names[stage_id])
        if any(node.op.startswith("CacheDataset") for node in graph.node):
            raise TrialError("a cache keeps it from running in every pass")
        limit_shuffles(graph, MOST_SHUFFLED)
        prefix = Prefix(
            stage_id=stage_id,
            replayable=changed.with_graph(graph, part.element_spec),
            options=dataset.options(),
            element_bytes=stage.element_bytes,
        )
        arms[str(count)] = Arm(id=str(count), load=prefix.load, element_bytes=stage.element_bytes)
    return arms


def cut_prefixes(
    dataset: Any, written: Sequence[WrittenStage], output: str, memory_limit_bytes: int | None
) -> dict[str, Prefix]:
    """Return the prefixes by stage, source first; stages whose node is not beyond doubt have none.

    Raises:
        TrialError: the pipeline cannot be replayed at all.
    """
    whole = Replayable.of(dataset, memory_limit_bytes)
    names = match_stages(whole.graph, written, output)
    options = dataset.options()
    found = {}
    for stage, part in zip(written, sources_first(dataset), strict=True):
        if stage.id not in names:
            continue
        graph = whole.copy_graph()
        graphs.set_output(graph, names[stage.id])
        limit_shuffles(graph, MOST_SHUFFLED)
        has_cache = any(node.op.startswith("CacheDataset") for node in graph.node)
        if has_cache:
            _end_repeats(graph)
        found[stage.id] = Prefix(
            stage_id=stage.id,
            replayable=whole.with_graph(graph, part.element_spec),
            options=options,
            element_bytes=stage.element_bytes,
            has_cache=has_cache,
        )
    return found


def _drop(*_: Any) -> Any:
    import tensorflow as tf

    return tf.constant(0, tf.int64)


def _end_repeats(graph: Any) -> None:
    """Turn endless repeats into one pass: a prefix is repeated as a whole, and a pass that ends can fill a cache."""
    import tensorflow as tf

    nodes = graphs.nodes_by_name(graph)
    for node in [node for node in graph.node if node.op in _REPEATS]:
        position = _REPEATS[node.op]
        if graphs.constant_value(nodes.get(graphs.node_name(node.input[position]))) == -1:
            node.input[position] = graphs.add_constant(graph, 1, tf.int64)
