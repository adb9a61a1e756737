"""Making the Profile: everything observed so far, as one frozen document.

Runs about once a second and at the end; it copies and never changes what it reads.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeprof._version import __version__
from pipeprof.capture.call_sites import source_digest
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.capture.file_writes import FileWrites
from pipeprof.capture.host import host_facts
from pipeprof.capture.pipelines import PipelineBook, PipelineEntry
from pipeprof.capture.trace_book import TraceBook
from pipeprof.model.profile import (
    Autotune,
    CallSite,
    EmptyPipeline,
    ExecutedStage,
    GpuSeries,
    Host,
    HostSeries,
    Loop,
    PipelineRecord,
    Profile,
    PythonCalls,
    Role,
    RunInfo,
    SourceFile,
    Versions,
    WrittenStage,
)

_LINES_UNKNOWN = (
    "the lines of a pipeline are not known: it was built before the capture began "
    "(build it inside the block, or use pipeprof run)"
)
_AS_LONG = 0.9  # of the longest loop
_NO_WINDOW = (
    "its stages are only seen in trace windows, and none was taken: the run was too short, or the profiler was in use; "
    "run longer, or iterate over the dataset in Python"
)
_IN_WORKERS = (
    "what is above distribute() runs in the workers of a tf.data service and is not seen here; "
    "to see it, run the pipeline without distribute()"
)
_LOOPS = {"gaps": "tf.function", "trace": "loop inside TensorFlow"}
_ROLES = {"validation": Role.VALIDATION, "evaluate": Role.OTHER, "predict": Role.OTHER, "adapt": Role.OTHER}
_CONSUMERS = {
    "fit": "Keras fit",
    "validation": "Keras validation",
    "evaluate": "Keras evaluate",
    "predict": "Keras predict",
    "adapt": "Keras adapt",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What is known of a run before it begins."""

    id: str
    command: tuple[str, ...]
    started_at: str
    working_directory: str
    own_directory: str = ""  # what pipeprof writes of the run goes there
    printed_into: tuple[str, ...] = ()  # files that its standard output and standard error go to
    is_rerunnable: bool = False  # a script in a process of its own: what it writes matters to whoever runs it again


class ProfileMaker:
    """Makes Profiles of one session."""

    def __init__(self, facts: RunFacts, registry: DatasetRegistry, pipelines: PipelineBook, traces: TraceBook) -> None:
        """Remember where everything comes from."""
        self._facts = facts
        self._registry = registry
        self._pipelines = pipelines
        self._traces = traces
        self.host: Host = host_facts()
        self._digests: dict[str, SourceFile | None] = {}

    def make(
        self,
        *,
        wall_s: float,
        problems: Sequence[str],
        file_writes: FileWrites,
        overhead_share: float,
        host: HostSeries,
        gpus: tuple[GpuSeries, ...],
        python_calls: Mapping[str, PythonCalls],
        children: int,
    ) -> Profile:
        """Return the Profile as of now."""
        facts = self._facts
        run = RunInfo(
            id=facts.id,
            command=facts.command,
            started_at=facts.started_at,
            working_directory=facts.working_directory,
            versions=_versions(),
            host=replace(self.host, gpus=tuple(gpu.name for gpu in gpus)),
            wall_s=wall_s,
            capture_overhead_share=overhead_share,
            problems=(*problems, *file_writes.problems, *self._lines_unknown(), *self._out_of_sight()),
            sources=self._sources(),
            printed_into=facts.printed_into,
            wrote_outside=file_writes.paths(),
            wrote_more=file_writes.is_full,
        )
        entries = [entry for entry in self._pipelines.all() if entry.recorder.elements or entry.is_in_graph]
        loops = {entry.id: self._loop(entry) for entry in entries}
        main = _main_loop(entries, loops)
        records = tuple(
            self._record(entry, loops[entry.id], is_main=entry is main, python_calls=python_calls) for entry in entries
        )
        return Profile(
            run=run,
            pipelines=records,
            empty_pipelines=tuple(_empty(entry) for entry in self._pipelines.all() if _is_empty(entry)),
            host=host,
            gpus=gpus,
            children_not_observed=children,
        )

    def _loop(self, entry: PipelineEntry) -> Loop:
        """Return how a pipeline was consumed: as its calls were seen, else as the windows of a trace showed it."""
        if entry.recorder.elements or not entry.is_in_graph:
            return entry.recorder.freeze()
        return self._traces.loop(entry.id) or Loop(method="trace")

    def _record(
        self, entry: PipelineEntry, loop: Loop, *, is_main: bool, python_calls: Mapping[str, PythonCalls]
    ) -> PipelineRecord:
        tree = entry.tree
        role = _ROLES.get(entry.keras_role, Role.TRAIN if is_main or entry.keras_role == "fit" else Role.OTHER)
        traced = _scaled(self._traces.stages(entry.id), loop) if entry.is_blind else ()
        source = self._traces.source(entry.id)
        return PipelineRecord(
            id=entry.id,
            role=role,
            output=tree.output,
            written=tuple(_with_calls(stage, python_calls) for stage in entry.outside.told(entry.objects.describe())),
            executed=traced or self._traces.beside(entry.id, entry.counters.freeze()),
            loop=loop,
            call_site=tree.call_site,
            consumer=_CONSUMERS.get(entry.keras_role) or _LOOPS.get(loop.method, "for loop"),
            counters=source if traced else entry.counters_note,
            windows="" if traced else source,
            levels=() if traced else entry.levels.freeze(entry.counters.ids()),
            autotune=_autotune_off(tree.options) if tree.options.get("autotune") is False else entry.autotune,
            iterators=entry.iterators,
            threadpool_size=tree.options.get("threadpool_size"),
            deterministic=tree.options.get("deterministic"),
            global_seed_set=_global_seed_is_set(),
            files=entry.files.describe(),
            kept=entry.dataset is not None,
            kept_reason=entry.kept_reason,
        )

    def _lines_unknown(self) -> tuple[str, ...]:
        if all(entry.tree.origin is not None for entry in self._pipelines.all() if entry.recorder.elements):
            return ()
        return (_LINES_UNKNOWN,)

    def _out_of_sight(self) -> tuple[str, ...]:
        """Say of what could not be seen why, and how to see it."""
        lines: dict[str, None] = {}
        for entry in self._pipelines.all():
            where = _where(entry.tree.call_site)
            if entry.is_blind and not self._traces.source(entry.id):
                lines.setdefault(f"{where}{_NO_WINDOW}")
            if any(stage.op == "data_service" for stage in entry.tree.stages):
                lines.setdefault(f"{where}{_IN_WORKERS}")
            for problem in (entry.files.problem, entry.outside.problem):
                if problem:
                    lines.setdefault(f"{where}{problem}")
        return tuple(lines)

    def _sources(self) -> tuple[SourceFile, ...]:
        for path in list(self._registry.files):
            if path not in self._digests:
                self._digests[path] = source_digest(path)
        return tuple(found for found in self._digests.values() if found is not None)


def _is_empty(entry: PipelineEntry) -> bool:
    return not entry.recorder.elements and not entry.is_in_graph and entry.recorder.empty_passes > 0


def _empty(entry: PipelineEntry) -> EmptyPipeline:
    last = next((stage.op for stage in entry.tree.stages if stage.id == entry.tree.output), "")
    return EmptyPipeline(op=last, passes=entry.recorder.empty_passes, call_site=entry.tree.call_site)


def _main_loop(entries: Sequence[PipelineEntry], loops: Mapping[str, Loop]) -> PipelineEntry | None:
    """Return the loop that the verdict is about: not Keras' validation where there is another, and the longest.

    Pipelines that one loop reads in turns take equally long: of those the one that is waited for most.
    """
    training = [entry for entry in entries if entry.keras_role not in _ROLES] or entries
    longest = max((loops[entry.id].wall_s for entry in training), default=0.0)
    together = [entry for entry in training if loops[entry.id].wall_s >= _AS_LONG * longest]
    return max(together, key=lambda entry: loops[entry.id].wait_s, default=None)


def _autotune_off(options: Mapping[str, object]) -> Autotune:
    """Return that AUTOTUNE was off, and the budget that it would have."""
    budget = options.get("ram_budget")
    return Autotune(enabled=False, ram_budget_bytes=float(budget) if isinstance(budget, int) and budget > 0 else None)


def _scaled(traced: tuple[ExecutedStage, ...], loop: Loop) -> tuple[ExecutedStage, ...]:
    """Scale what windows saw of a run to the whole of it, where its steps were counted by their calls."""
    if not traced or loop.method == "trace" or not traced[0].elements:
        return traced
    factor = loop.elements / traced[0].elements
    return tuple(
        replace(
            stage,
            elements=round(stage.elements * factor),
            busy_s=stage.busy_s * factor,
            bytes_produced=round(stage.bytes_produced * factor),
        )
        for stage in traced
    )


def _with_calls(stage: WrittenStage, totals: Mapping[str, PythonCalls]) -> WrittenStage:
    tokens = stage.function.python_tokens if stage.function else ()
    calls = [totals[token] for token in tokens if token in totals]
    if not calls:
        return stage
    summed = PythonCalls(
        calls=sum(item.calls for item in calls),
        wall_s=sum(item.wall_s for item in calls),
        cpu_s=sum(item.cpu_s for item in calls),
    )
    return replace(stage, python=summed)


def _global_seed_is_set() -> bool:
    context = sys.modules.get("tensorflow.python.eager.context")
    return context is not None and context.global_seed() is not None


def _where(site: CallSite | None) -> str:
    return "" if site is None else f"{Path(site.file).name}:{site.shown_line}: "


def _versions() -> Versions:
    tensorflow, keras = sys.modules.get("tensorflow"), sys.modules.get("keras")
    backend = sys.modules.get("keras.src.backend.config")
    return Versions(
        pipeprof=__version__,
        python=platform.python_version(),
        tensorflow=getattr(tensorflow, "__version__", None),
        keras=getattr(keras, "__version__", None),
        keras_backend=backend.backend() if backend is not None and hasattr(backend, "backend") else None,
    )
