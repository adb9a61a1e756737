"""Hand-made pipelines for tests of what comes after the capture: a Scene is a few numbers, and gives a Profile and an Analysis.

Numbers are planted, never measured; whatever a test does not name has a plain default. Nothing here imports TensorFlow, and
nothing here calculates what ``pipeprof.analysis`` calculates: the Analysis holds the numbers that the test planted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pipeprof.model.analysis import Analysis, PipelineView, SegmentView, StageView
from pipeprof.model.diagnosis import (
    Confidence,
    Finding,
    Gpu,
    InputBound,
    Limit,
    Resources,
    Stage,
    StageOp,
    Steps,
    Verdict,
)
from pipeprof.model.profile import (
    Autotune,
    CallSite,
    Control,
    EpochRecord,
    ExecutedStage,
    GpuSeries,
    Host,
    HostBin,
    HostSeries,
    LevelBin,
    Loop,
    LoopBin,
    OpCost,
    PipelineRecord,
    Profile,
    PythonCalls,
    Role,
    RunInfo,
    ScalingPoint,
    SourceFiles,
    StageFunction,
    TrialRecord,
    Versions,
    WrittenStage,
)

NODES = {
    "map": "Map",
    "batch": "BatchV2",
    "shuffle": "Shuffle",
    "repeat": "ForeverRepeat",
    "cache": "MemoryCache",
    "prefetch": "Prefetch",
    "interleave": "Interleave",
    "from_generator": "FlatMap",
    "from_tensor_slices": "TensorSlice",
    "TFRecordDataset": "FlatMap",
}


def function(*ops: str, **details: Any) -> StageFunction:
    """Make a stage's function of these ops; random, stateful and Python ops are given apart; it works on batches."""
    details = {"not_elementwise": ""} | details
    named = (*ops, *details.get("stateful_ops", ()), *details.get("random_ops", ()), *details.get("python_ops", ()))
    return StageFunction(
        name="f", op_types=tuple(sorted({"Placeholder", "Identity", *named})), op_count=len(named) + 2, **details
    )


def random_function(*ops: str, **details: Any) -> StageFunction:
    """Make a function that draws random numbers, and is stateful for it."""
    drawn = ops or ("RandomUniform",)
    return function(random_ops=drawn, stateful_ops=drawn, **details)


def python_function(op: str = "EagerPyFunc") -> StageFunction:
    """Make a function that calls Python."""
    return function(python_ops=(op,), stateful_ops=(op,))


def python_calls(*, wall_s: float, cpu_share: float, calls: int = 1000) -> PythonCalls:
    """Make the record of Python calls: total wall seconds, and the share of it that was CPU time."""
    return PythonCalls(calls=calls, wall_s=wall_s, cpu_s=wall_s * cpu_share)


def call_site(line: int, code: str, file: str = "/home/user/train.py") -> CallSite:
    """Make a call site on one line."""
    return CallSite(file=file, line=line, column=5, end_line=line, end_column=5 + len(code), function="main", code=code)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage in a few words; times are busy seconds per step."""

    op: str
    busy_s: float = 0.0
    node: str | None = ""  # "" the usual one, None: TensorFlow removed the stage
    slots: float = 1.0
    segment: int = 1
    tuned: bool = False
    visits: float = 1.0
    inputs: tuple[str, ...] | None = None  # the stage before it where None
    arguments: dict[str, Any] = field(default_factory=dict)
    function: StageFunction | None = None
    python: PythonCalls | None = None
    element_bytes: int | None = None
    tensors: int = 1
    cardinality: int = -2
    line: int = 0  # of train.py; 10 + position where 0
    code: str = ""
    incarnations: int = 1
    objects: int = 1
    objects_differ: bool = False
    changed_state: str = ""
    node_element_bytes: int = 0  # as TensorFlow counted
    fused_with: tuple[str, ...] = ()
    inner_nodes: tuple[tuple[str, float], ...] = ()  # nodes of inner pipelines with their share of the busy time
    traced: tuple[int, float] = (0, 0.0)  # elements that trace windows saw, and their busy seconds
    buffered: tuple[float, float, float] | None = None  # elements in the node's buffer: mean and most, and the most bytes
    most_calls: float | None = None  # up to which AUTOTUNE may go
    inputs_per_element: float | None = None  # as TensorFlow states it
    held: tuple[float, float] = (0.0, 0.0)  # most elements and bytes that the node's buffer held
    ops: tuple[OpCost, ...] = ()  # of its node's function, as trace windows saw them
    node_bytes_taken: int = 0  # for each element, as TensorFlow counted
    shown_ops: tuple[StageOp, ...] = ()  # inside its function, brought to a step


def stage(op: str, busy_s: float = 0.0, **details: Any) -> StageSpec:
    """Describe a stage."""
    return StageSpec(op=op, busy_s=busy_s, **details)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A run with one pipeline: 600 steps of 40 ms in 3 epochs, 30 ms of them waited, on 4 cores."""

    stages: tuple[StageSpec, ...] = ()
    step_s: float = 0.04
    gap_s: float = 0.01
    wait_margin: float = 0.04  # the interval of the wait share, to each side
    step_count: int = 600
    epochs: int = 3
    epoch_elements: tuple[int, ...] = ()
    bins: tuple[tuple[int, float, float], ...] = ()  # steps, waited and own seconds of consecutive stretches
    boundary_s: float = 0.0  # waited for the first element of each epoch but the first
    wall_s: float = 24.0
    input_bound: InputBound | None = None  # by the wait share where None
    limit: Limit | None = None
    confidence: Confidence = Confidence.HIGH
    ceiling: float | None = None
    cores: int = 4
    cpu_quota: float | None = None
    cpu_s_per_step: float | None = 0.044
    run_delay_s_per_step: float | None = None
    system_cpu_share: float | None = None
    memory_bytes: int | None = 16_000_000_000
    memory_limit_bytes: int | None = None
    rss_bytes: int | None = 2_000_000_000
    rss_series: tuple[int, ...] = ()  # memory in use over the loop, in equal parts of it
    level_series: tuple[tuple[str, tuple[float, ...]], ...] = ()  # likewise: elements in the buffer of a node, by its id
    lock_held_share: float | None = None
    boundary_wait_share: float | None = None
    edges: tuple[float, float, float] | None = None  # seconds to take an iterator down, to make one, to the first element
    windows: str = ""
    method: str = "next"
    pool: int | None = None
    role: Role = Role.TRAIN
    seed_set: bool = False
    seen_share: float = 1.0
    counters: str = "tf.data model"
    has_counters: bool = True
    has_train: bool = True
    problems: tuple[str, ...] = ()
    gpus: tuple[GpuSeries, ...] = ()
    gpu_share: float | None = None  # of the time that the GPU was in use
    children: int = 0
    controls: tuple[Control, ...] = ()
    autotune: Autotune | None = None
    deterministic: bool | None = None
    scaling: tuple[str, tuple[ScalingPoint, ...]] = ("", ())  # the stage, and its rates at several numbers of calls
    trials: tuple[TrialRecord, ...] = ()
    alone: bool = False  # without a consumer
    files: tuple[SourceFiles, ...] = ()
    read_bytes: int | None = None  # that storage gave in the run

    def but(self, **changes: Any) -> Scene:
        """Return this scene with some numbers changed."""
        return replace(self, **changes)

    @property
    def wait_share(self) -> float:
        """The share of the step that is waited."""
        return (self.step_s - self.gap_s) / self.step_s

    def analysis(self) -> Analysis:
        """Return the Analysis with the planted numbers."""
        profile = self.profile()
        view = self._pipeline(profile.pipelines[0])
        ceiling = self.ceiling if self.ceiling is not None else self.step_s / self.gap_s
        bound = self.input_bound or _band(self.wait_share)
        limit = self.limit or (Limit.COMPUTE if bound is InputBound.NOT else Limit.INPUT)
        return Analysis(
            profile=profile,
            steps=Steps(
                count=self.step_count,
                median_s=self.step_s,
                wait_share=self.wait_share,
                wait_share_low=max(0.0, self.wait_share - self.wait_margin),
                wait_share_high=min(1.0, self.wait_share + self.wait_margin),
                epochs=self.epochs,
                boundary_wait_share=self.boundary_wait_share,
                teardown_s=self.edges[0] if self.edges else None,
                creation_s=self.edges[1] if self.edges else None,
                epoch_first_wait_s=self.edges[2] if self.edges else None,
                edge_s=sum(self.edges) if self.edges else None,
            ),
            resources=Resources(
                rss_peak_bytes=self.rss_bytes,
                memory_limit_bytes=self.memory_limit_bytes,
                lock_held_share=self.lock_held_share,
                gpus=() if self.gpu_share is None else (Gpu(name="GPU", sm_share=self.gpu_share),),
            ),
            timeline=(),
            verdict=Verdict(
                input_bound=bound,
                limit=limit,
                sentence="",
                confidence=self.confidence,
                ceiling_speedup=None if bound is InputBound.UNKNOWN and self.ceiling is None else ceiling,
                ceiling_low=ceiling * 0.9,
                ceiling_high=ceiling * 1.1,
                nothing_to_fix=bound is InputBound.NOT and limit in {Limit.COMPUTE, Limit.HOST},
            ),
            pipelines=(view,),
            train_id=view.record.id if self.has_train else None,
        )

    def profile(self) -> Profile:
        """Return the Profile with the planted numbers."""
        return Profile(
            run=RunInfo(
                id="run",
                command=("train.py",),
                started_at="2025-01-01T00:00:00+00:00",
                versions=Versions(pipeprof="0.1", python="3.11"),
                host=Host(
                    cores=self.cores,
                    cpu_quota=self.cpu_quota,
                    memory_bytes=self.memory_bytes,
                    memory_limit_bytes=self.memory_limit_bytes,
                ),
                wall_s=self.wall_s,
                problems=self.problems,
                bench_step_s=0.0 if self.alone else None,
            ),
            trials=self.trials,
            pipelines=(self._record(),),
            host=HostSeries(bins=self._host_bins(), read_bytes=self.read_bytes),
            gpus=self.gpus,
            controls=self.controls,
            children_not_observed=self.children,
        )

    def _record(self) -> PipelineRecord:
        nodes = self._nodes()
        return PipelineRecord(
            id="p0",
            role=self.role,
            output=f"s{len(self.stages) - 1}",
            written=tuple(self._written(index) for index in range(len(self.stages))),
            executed=tuple(node for group in nodes for node in group) if self.has_counters else (),
            loop=Loop(
                method=self.method,
                elements=self.step_count,
                end_s=self.wall_s,
                wall_s=self.wall_s,
                epochs=tuple(
                    EpochRecord(
                        start_s=self.wall_s * index / len(self.epoch_elements),
                        elements=count,
                        creation_s=0.0,
                        first_wait_s=self.boundary_s,
                        wait_s=0.0,
                        wall_s=self.wall_s / len(self.epoch_elements),
                    )
                    for index, count in enumerate(self.epoch_elements)
                ),
                bins=tuple(
                    LoopBin(
                        start_s=0.0,
                        end_s=0.0,
                        steps=count,
                        wait_s=wait_s,
                        gap_s=gap_s,
                        wait_max_s=0.0,
                        step_max_s=0.0,
                        step_min_s=0.0,
                    )
                    for count, wait_s, gap_s in self.bins
                ),
                epoch_count=self.epochs,
                boundary_wait_s=self.boundary_s * max(0, self.epochs - 1),
                seen_share=self.seen_share,
            ),
            call_site=call_site(30, "dataset.prefetch(2)"),
            counters=self.counters,
            windows=self.windows,
            levels=self._levels(),
            threadpool_size=self.pool,
            autotune=self.autotune,
            deterministic=self.deterministic,
            scaling_stage=self.scaling[0],
            scaling=self.scaling[1],
            global_seed_set=self.seed_set,
            files=self.files,
        )

    def _written(self, index: int) -> WrittenStage:
        spec = self.stages[index]
        return WrittenStage(
            id=f"s{index}",
            op=spec.op,
            class_name="",
            inputs=self._inputs(index),
            call_site=call_site(spec.line or 10 + index, spec.code or f"dataset.{spec.op}(f)"),
            arguments=spec.arguments,
            function=spec.function,
            python=spec.python,
            element_bytes=spec.element_bytes,
            element_tensors=spec.tensors,
            cardinality=spec.cardinality,
            objects=spec.objects,
            objects_differ=spec.objects_differ,
            changed_state=spec.changed_state,
        )

    def _inputs(self, index: int) -> tuple[str, ...]:
        given = self.stages[index].inputs
        if given is not None:
            return given
        return (f"s{index - 1}",) if index else ()

    def _nodes(self) -> list[tuple[ExecutedStage, ...]]:
        """Return the nodes of each stage, outermost first."""
        groups = []
        for index, spec in enumerate(self.stages):
            if spec.node is None:
                groups.append(())
                continue
            elements = max(1, round(spec.visits * self.step_count))
            inner_share = sum(share for _, share in spec.inner_nodes)
            own = ExecutedStage(
                id=f"0.{index}",
                node=spec.node or NODES.get(spec.op, spec.op),
                elements=elements,
                busy_s=spec.busy_s * self.step_count * (1 - inner_share),
                bytes_produced=spec.node_element_bytes * elements,
                bytes_consumed=spec.node_bytes_taken * elements,
                parallelism=spec.slots if spec.slots > 1 or spec.tuned else None,
                parallelism_tuned=spec.tuned,
                incarnations=spec.incarnations,
                traced_elements=spec.traced[0],
                traced_busy_s=spec.traced[1],
                known_ratio=spec.inputs_per_element,
                parallelism_max=spec.most_calls,
                buffered_elements=spec.buffered[0] if spec.buffered else None,
                buffered_elements_max=spec.buffered[1] if spec.buffered else spec.held[0] or None,
                buffered_bytes_max=spec.buffered[2] if spec.buffered else spec.held[1] or None,
                ops=spec.ops,
            )
            inner = (
                ExecutedStage(
                    id=f"0.{index}.{number}", node=name, elements=elements, busy_s=spec.busy_s * self.step_count * share
                )
                for number, (name, share) in enumerate(spec.inner_nodes)
            )
            groups.append((own, *inner))
        return groups

    def _pipeline(self, record: PipelineRecord) -> PipelineView:
        segments = self._segments() if self.has_counters else ()
        bound = max(segments, key=lambda item: item.busy_s_per_step / item.slots, default=None)
        members = [index for index, spec in enumerate(self.stages) if bound is not None and spec.segment == bound.index]
        slowest = max(members, key=lambda index: self.stages[index].busy_s, default=None)
        return PipelineView(
            record=record,
            stages=tuple(self._view(index, record.written[index], nodes) for index, nodes in enumerate(self._nodes())),
            segments=segments,
            bottleneck_id=None if slowest is None else f"s{slowest}",
            production_s_per_step=None if bound is None else bound.busy_s_per_step / bound.slots,
            busy_s_per_step=sum(spec.busy_s for spec in self.stages),
            step_s=self.step_s,
            gap_s=self.gap_s,
            wait_s=self.step_s - self.gap_s,
            cpu_s_per_step=self.cpu_s_per_step,
            run_delay_s_per_step=self.run_delay_s_per_step,
        )

    def _view(self, index: int, written: WrittenStage, nodes: tuple[ExecutedStage, ...]) -> StageView:
        spec = self.stages[index]
        return StageView(
            stage=Stage(
                id=written.id,
                op=spec.op,
                executed_as=nodes[0].node if nodes else None,
                inputs=written.inputs,
                call_site=written.call_site,
                ops=spec.shown_ops,
            ),
            written=written,
            executed=nodes if self.has_counters else (),
            shares_node_with=spec.fused_with,
            visit_ratio=spec.visits,
            busy_s_per_element=spec.busy_s / spec.visits if spec.visits else None,
            busy_s_per_step=spec.busy_s,
            slots=spec.slots,
            segment=spec.segment,
            is_sequential=spec.slots <= 1,
            is_parallel_by_autotune=spec.tuned,
        )

    def _segments(self) -> tuple[SegmentView, ...]:
        found = []
        for index in sorted({spec.segment for spec in self.stages}):
            members = [(number, spec) for number, spec in enumerate(self.stages) if spec.segment == index]
            busy = sum(spec.busy_s for _, spec in members)
            slots = max(spec.slots for _, spec in members)
            found.append(
                SegmentView(
                    index=index,
                    stage_ids=tuple(f"s{number}" for number, _ in members),
                    busy_s_per_step=busy,
                    slots=slots,
                    max_steps_per_s=slots / busy if busy else None,
                )
            )
        return tuple(found)

    def _levels(self) -> tuple[LevelBin, ...]:
        count = max((len(values) for _, values in self.level_series), default=0)
        return tuple(
            LevelBin(
                start_s=self.wall_s * index / count,
                end_s=self.wall_s * (index + 1) / count,
                buffered={name: values[index] for name, values in self.level_series},
            )
            for index in range(count)
        )

    def _host_bins(self) -> tuple[HostBin, ...]:
        if self.rss_series:
            part_s = self.wall_s / len(self.rss_series)
            return tuple(
                HostBin(
                    start_s=part_s * index,
                    end_s=part_s * (index + 1),
                    cpu_share=0.0,
                    system_cpu_share=None,
                    rss_max_bytes=size,
                    read_bytes=0,
                )
                for index, size in enumerate(self.rss_series)
            )
        if self.system_cpu_share is None:
            return ()
        return (
            HostBin(
                start_s=0.0,
                end_s=self.wall_s,
                cpu_share=0.0,
                system_cpu_share=self.system_cpu_share,
                rss_max_bytes=0,
                read_bytes=0,
            ),
        )


def files_of(stage_id: str, format: str, files: int, mean_bytes: float, **details: Any) -> SourceFiles:  # noqa: A002
    """Make what a stage reads: so many files of one size."""
    size = round(mean_bytes)
    planted: dict[str, Any] = {"looked_at": files, "bytes": size * files, "smallest_bytes": size, "largest_bytes": size}
    return SourceFiles(stage_id=stage_id, format=format, files=files, **(planted | details))


def control(recoverable_low: float, recoverable_high: float, **details: Any) -> Control:
    """Make the ready-element control of the scene's pipeline."""
    low, high = 1 / (1 - recoverable_low), 1 / (1 - recoverable_high)
    planted: dict[str, Any] = {
        "pipeline_id": "p0",
        "pairs": 8,
        "baseline_step_s": 0.04,
        "ready_step_s": 0.04 / low,
        "baseline_wait_share": recoverable_high,
        "ready_wait_share": 0.02,
        "recoverable_low": recoverable_low,
        "recoverable_high": recoverable_high,
        "ceiling": (low + high) / 2,
        "ceiling_low": low,
        "ceiling_high": high,
    }
    return Control(**(planted | details))


def number(finding: Finding, name: str) -> Any:
    """Return the value of one piece of a finding's evidence.

    Raises:
        KeyError: the finding has none of this name.
    """
    values = {item.name: item.value for item in finding.evidence}
    return values[name]


def _band(share: float) -> InputBound:
    if share >= 0.20:
        return InputBound.HIGHLY
    return InputBound.MODERATELY if share >= 0.05 else InputBound.NOT
