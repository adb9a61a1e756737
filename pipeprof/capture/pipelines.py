"""Pipelines: which iterators belong together, and the datasets that are kept for trials.

Two iterators are of one pipeline when their datasets were made on the same lines, called from the same lines, for the
same purpose and with the same stages; so a helper that builds training and validation gives two pipelines. Datasets are
kept only within a limit of memory, one for each pipeline.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeprof.capture.call_sites import keras_role
from pipeprof.capture.datasets import DatasetRegistry, WrittenTree, sources_first
from pipeprof.capture.file_book import FileBook
from pipeprof.capture.instances import StageObjects
from pipeprof.capture.levels import Levels
from pipeprof.capture.model_tree import Snapshot
from pipeprof.capture.outside_state import OutsideState
from pipeprof.capture.runtime import IteratorCounters, PipelineCounters
from pipeprof.capture.steps import LoopRecorder
from pipeprof.model.profile import Autotune

MAX_KEPT = 8
_CACHE_NODES = ("MemoryCache", "MemoryCacheImpl")


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used in a stretch of time; ``input_cpu_s`` since the beginning."""

    cpu_s: float  # of the whole process
    run_delay_s: float | None
    input_cpu_s: float | None  # of the pipeline's own threads


class PipelineEntry:
    """One pipeline under observation."""

    def __init__(self, number: int, tree: WrittenTree, role: str) -> None:
        """Wrap a tree that was just read."""
        self.id = f"p{number}"
        self.tree = tree
        self.objects = StageObjects(tree.stages)
        self.keras_role = role
        self.recorder = LoopRecorder()
        self.counters = PipelineCounters()
        self.levels = Levels()
        self.files = FileBook()
        self.outside = OutsideState(tree.stages, ())
        self.counters_note = "tf.data model"
        self.iterators = 0
        self.is_in_graph = False  # consumed inside TensorFlow, where no call of next is seen
        # Its iterator is one over devices, or copies to one: its stages run behind a generator, which has no counters of them.
        self.is_behind_devices = any(stage.op == "copy_to_device" for stage in tree.stages)
        self.has_no_counters = False  # TensorFlow keeps none
        self.dataset: Any = None  # kept for trials
        self.kept_reason = ""
        self.autotune: Autotune | None = None
        self.cache_bytes = 0
        self._seen_wall_s = self._seen_loop_s = self._input_cpu_s = 0.0

    @property
    def is_blind(self) -> bool:
        """Whether only a trace can show its stages."""
        return self.is_in_graph or self.is_behind_devices or self.has_no_counters

    def add(self, counters: IteratorCounters, snapshot: Snapshot, at_s: float) -> None:
        """Add one snapshot of one of its iterators."""
        if not snapshot.samples:
            return
        self.counters.add(counters, snapshot)
        self.levels.add(at_s, snapshot)
        self.autotune = Autotune(enabled=True, cpu_budget=snapshot.cpu_budget, ram_budget_bytes=snapshot.ram_budget_bytes)
        cached = sum(sample.buffered_bytes for sample in snapshot.samples if sample.node in _CACHE_NODES)
        self.cache_bytes = max(self.cache_bytes, cached)

    def take_cpu(self, spent: Spent, wall_s: float) -> None:
        """Take the share of what was spent that falls on this loop's steps."""
        recorded, looped = self.recorder.bins_wall_s, self.recorder.wall_s
        in_bins, in_loop = recorded - self._seen_wall_s, looped - self._seen_loop_s
        self._seen_wall_s, self._seen_loop_s = recorded, looped
        before, self._input_cpu_s = self._input_cpu_s, spent.input_cpu_s or 0.0
        share, of_loop = min(1.0, in_bins / wall_s), min(1.0, in_bins / in_loop) if in_loop > 0 else 1.0
        if share > 0:
            self.recorder.add_cpu(
                spent.cpu_s * share,
                None if spent.run_delay_s is None else spent.run_delay_s * share,
                None if spent.input_cpu_s is None else (spent.input_cpu_s - before) * of_loop,
            )


class PipelineBook:
    """All pipelines of the run."""

    def __init__(self, registry: DatasetRegistry, keep_limit_bytes: int | None = None) -> None:
        """Start empty; datasets that hold more than ``keep_limit_bytes`` are not kept."""
        self._registry = registry
        self.keep_limit_bytes = keep_limit_bytes
        self._entries: dict[tuple[Any, ...], PipelineEntry] = {}
        self._known: weakref.WeakKeyDictionary[Any, dict[str, PipelineEntry]] = weakref.WeakKeyDictionary()

    def all(self) -> Iterator[PipelineEntry]:
        """Yield every pipeline, in the order in which they were first iterated."""
        yield from list(self._entries.values())

    def find(self, dataset: Any) -> PipelineEntry:
        """Return the pipeline of a dataset that is being iterated; its tree is read at the first time."""
        role = keras_role(skip=2)
        by_role = self._known.setdefault(dataset, {})
        entry = by_role.get(role)
        if entry is None:
            entry = self._match(dataset, role)
            by_role[role] = entry
        entry.iterators += 1
        entry.outside.look(dataset)
        return entry

    def look_again(self) -> None:
        """Look at what pipelines read whose one iterator served all epochs: it may have changed since."""
        for entry in self.all():
            if entry.iterators == 1 and entry.dataset is not None:
                entry.outside.look(entry.dataset, is_last=True)

    def id_of(self, dataset: Any) -> str | None:
        """Return the pipeline of a dataset that was iterated, None where it was not."""
        return next((entry.id for entry in self._known.get(dataset, {}).values()), None)

    def drop_outgrown(self) -> None:
        """Let go of datasets whose caches have outgrown the limit."""
        for entry in self.all():
            if entry.dataset is not None and self._too_large(entry.cache_bytes):
                entry.dataset = None
                entry.kept_reason = "not kept: its cache holds too much memory"

    def release(self) -> None:
        """Let go of every dataset that was kept."""
        for entry in self.all():
            entry.dataset = None

    def _match(self, dataset: Any, role: str) -> PipelineEntry:
        tree = self._registry.read_tree(dataset)
        where = tree.origin.stack if tree.origin is not None else (id(dataset),)
        key = (where, tree.signature, role)
        entry = self._entries.get(key)
        if entry is None:
            entry = PipelineEntry(len(self._entries), tree, role)
            entry.outside = OutsideState(tree.stages, entry.files.find(dataset))
            self._entries[key] = entry
            self._keep(entry, dataset)
        elif entry.dataset is not None:
            entry.dataset = dataset  # the newest, so that the older ones can go
        entry.objects.note(tuple(sources_first(dataset)), tree.stages)
        return entry

    def _keep(self, entry: PipelineEntry, dataset: Any) -> None:
        if len(self._entries) > MAX_KEPT:
            entry.kept_reason = f"not kept: only the first {MAX_KEPT} pipelines are"
        elif self._too_large(entry.tree.constant_bytes):
            entry.kept_reason = "not kept: its in-memory arrays are too large"
        else:
            entry.dataset = dataset

    def _too_large(self, size: int) -> bool:
        return self.keep_limit_bytes is not None and size > self.keep_limit_bytes
