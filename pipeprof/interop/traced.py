"""Pipelines as a trace shows them: data only.

Times are seconds; moments count from the profiler's start. ``None`` always means that the trace does not say. Nothing here
calculates or reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Consumption(StrEnum):
    """What took the elements of a pipeline, and so what its waits are."""

    ITERATOR = "iterator"  # next, an eager loop, Keras fit: the time inside IteratorGetNext
    GRAPH_LOOP = "loop inside a tf.function"  # the loop's body is a stage of it: the time inside that stage's input
    REDUCE = "Dataset.reduce"  # the time inside the iterator of the reduction
    HAND_OVER = "tf.distribute"  # a shared pipeline and one iterator for each replica: the replicas' waits


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedOp:
    """Calls of one kind of TensorFlow op inside a stage's function."""

    op: str  # the type: "DecodeJpeg"
    calls: int
    busy_s: float  # without what is nested in it


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedBuffer:
    """What a stage's buffer held."""

    mean: float  # elements
    most: float
    empty_share: float  # of the times it was looked at
    bytes_max: float | None = None
    by_lag: bool = False  # not as TensorFlow counted, but from when each element went in and out


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedStage:
    """One node of the executed graph, summed over what the window saw of it (inner pipelines share one position)."""

    id: str  # position below the root, as in ``ExecutedStage``: "0", "0.0"
    node: str  # "ParallelMapV2"
    name: str  # of the graph node: "MapDataset:2", the user's own name, "fused(MapDataset:1,BatchDatasetV2:2)"
    inputs: tuple[str, ...] = ()
    elements: int = 0  # calls that lie whole within the window; an end of sequence is one too
    busy_s: float = 0.0  # work, summed over threads; never a consumer's waiting for it
    blocked_s: float = 0.0  # of an asynchronous stage: how long its consumer was inside it, that is waited
    slot_wait_s: float = 0.0  # its function's calls waited so long for a thread of the pool
    function_calls: int = 0
    is_asynchronous: bool = False
    ops: tuple[TracedOp, ...] = ()  # inside its function, the dearest first
    passed: int | None = None  # of a filter, within the window
    filtered: int | None = None
    parallelism: float | None = None
    is_tuned: bool = False  # by AUTOTUNE
    buffer_size: float | None = None
    buffer: TracedBuffer | None = None
    batch_size: int | None = None
    incarnations: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedStep:
    """One whole step: waiting for an element, then the consumer's own time until it asks again."""

    start_s: float
    wait_s: float
    gap_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedEpoch:
    """One iterator's life within the window."""

    id: int  # TensorFlow's number of its root; it is given again once the iterator is gone
    steps: tuple[TracedStep, ...]
    first_s: float  # the first wait begins
    last_s: float  # the last wait ends
    is_born: bool = False  # it was made within the window, so that its first step is a start
    made_s: float | None = None  # how long the making took, where it was seen


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedPipeline:
    """One pipeline: the root first in ``stages``, its elements those handed to the consumer."""

    consumption: Consumption
    stages: tuple[TracedStage, ...]  # over all epochs
    epochs: tuple[TracedEpoch, ...]  # by start
    thread: str = ""  # where its elements were asked for: "python", "tf_data_iterator_get_next"
    replicas: int = 1
    element_bytes: float | None = None  # mean, as TensorFlow counted what it handed over
    is_autotuned: bool = False
    cpu_budget: float | None = None
    ram_budget_bytes: float | None = None
    threadpool_size: int | None = None
    memory_bytes: int | None = None  # of the machine
    lost_calls: int = 0  # of stages whose consumer the window does not show; told at the first pipeline of a window

    @property
    def steps(self) -> tuple[TracedStep, ...]:
        """The whole steps of all epochs."""
        return tuple(step for epoch in self.epochs for step in epoch.steps)
