"""A pipeline alone, without training: consumed at full speed under the capture, then every stage by itself.

The capture sees the user's own dataset, so that its lines are known and the same rules can judge; the stages are measured on
isolated copies. What was measured before something broke is kept. Nothing of the user's is called more often than once,
but for what the pipeline itself calls. It must not print.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeprof.advise.guard import HungError, Pulse, run_guarded
from pipeprof.analysis.operational import view_pipeline
from pipeprof.analysis.scaling import probe_counts
from pipeprof.api import Profiling
from pipeprof.errors import TrialError, UserError
from pipeprof.launch import streams
from pipeprof.launch.target import Target, load_function, make_dataset
from pipeprof.model.looks import ElementLook
from pipeprof.model.profile import IsolatedPrefix, PipelineRecord, Profile, Role, ScalingPoint, WrittenStage
from pipeprof.report.progress import TrialProgress
from pipeprof.settings import Settings
from pipeprof.store import TrialEvent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeprof.advise.isolation import Arm

LOG_FILE = "output.log"
_WHOLE_SHARE = 0.35  # of the time, for the whole pipeline
_LEAST_WHOLE_S = 3.5  # what a verdict needs
_SCALING_SHARE = 0.3  # of what is left, for more calls at once
_HAS_CALLS = frozenset({"map", "interleave"})
_SLACK_S = 60.0
_LOOKS_FOR_EACH_S = 3  # seconds of a budget for trials, of which looks take a small share
_MOST_TEXT = 160
_TRIALS_NOTE = "bench measures and tries nothing; pipeprof run tries the changes"


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchOrder:
    """What one bench was asked to do."""

    target: Target
    arguments: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 10.0
    step_s: float = 0.0  # the stand-in consumer's own time
    deadline_s: float = 60.0  # for one element
    command: tuple[str, ...] = ()


@dataclass(slots=True)
class Benched:
    """What came of it."""

    path: Path
    mistake: UserError | None = None  # why it ended early
    interrupted: bool = False
    left_behind: bool = False  # a thread hangs inside TensorFlow: the process cannot end by itself


def run_bench(order: BenchOrder, settings: Settings) -> Benched:
    """Measure a pipeline alone and keep it as a run.

    Raises:
        UserError: nothing could be measured; there is no run then.
    """
    profiling = Profiling(settings, order.target.name)
    done = Benched(profiling.path)
    try:
        with streams.redirected(profiling.path / LOG_FILE), TrialProgress(streams.terminal(), first="importing") as progress:
            profile = _Bench(order, profiling, settings, done, progress.update).run()
    except BaseException:
        profiling.stop("raised")
        shutil.rmtree(profiling.path, ignore_errors=True)
        raise
    profiling.keep(profile)
    return done


class _Bench:
    """One measurement."""

    def __init__(
        self,
        order: BenchOrder,
        profiling: Profiling,
        settings: Settings,
        done: Benched,
        on_progress: Callable[[str, float], None],
    ) -> None:
        self._order = order
        self._profiling = profiling
        self._settings = settings
        self._done = done
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._elements = 0

    def run(self) -> Profile:
        """Measure the whole pipeline, then its stages."""
        self._profiling.start()
        dataset = make_dataset(load_function(self._order.target), self._order.target.function, self._order.arguments)
        with self._keeping_what_was_measured():
            self._guarded(self._consume(dataset), self._whole_s)
        pipeline_id = self._profiling.pipeline_id(dataset)
        self._profiling.stop()
        profile = self._described(self._profiling.profile, pipeline_id)
        if self._done.mistake is not None and not self._elements:
            raise self._done.mistake
        if self._done.left_behind or self._done.interrupted:
            return profile
        profile = self._with_stages(profile, dataset, pipeline_id)
        return profile if self._done.left_behind or self._done.interrupted else self._with_looks(profile, dataset, pipeline_id)

    @property
    def _whole_s(self) -> float:
        return max(_LEAST_WHOLE_S, self._order.seconds * _WHOLE_SHARE)

    def _guarded(self, work: Callable[[Pulse], None], seconds: float) -> None:
        run_guarded(
            work,
            stop=self._stop,
            deadline_s=2 * seconds + self._order.deadline_s + _SLACK_S,
            stall_s=self._order.deadline_s,
            on_progress=self._on_progress,
        )

    @contextmanager
    def _keeping_what_was_measured(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._done.interrupted = True
        except HungError:
            self._done.left_behind = True
            self._done.mistake = self._hung()
        except UserError as mistake:
            self._done.mistake = mistake
        except Exception as error:  # noqa: BLE001 - a pipeline raises what its functions raise
            self._done.mistake = self._raised(error)

    def _consume(self, dataset: Any) -> Callable[[Pulse], None]:
        """Return the loop over the user's own dataset: epoch after epoch until the time is over."""

        def work(pulse: Pulse) -> None:
            started: float | None = None
            while not pulse.halt.is_set():
                before = self._elements
                for _ in dataset:
                    self._elements += 1
                    started = started or time.monotonic()
                    pulse.beat()
                    pulse.report("the whole pipeline", 0.0)
                    if self._order.step_s:
                        time.sleep(self._order.step_s)
                    if pulse.halt.is_set() or time.monotonic() - started > self._whole_s:
                        return
                if self._elements == before:
                    raise _empty(self._elements)

        return work

    def _hung(self) -> UserError:
        seen = f"after {self._elements:,} elements" if self._elements else "at all"
        waited = f"{self._order.deadline_s:g} s"
        return UserError(
            f"the pipeline gave no element {seen} within {waited}",
            "a filter that drops everything, or a slow start: wait longer with --deadline S",
        )

    def _raised(self, error: Exception) -> UserError:
        seen = f"after {self._elements:,} elements" if self._elements else "before its first element"
        return UserError(f"the pipeline raised {type(error).__name__} {seen}: {_message(error)}", "mend it first, then measure")

    def _described(self, profile: Profile, pipeline_id: str | None) -> Profile:
        """Say what was consumed and how; the pipeline that was asked for is the one that is judged."""
        order = self._order
        how = f"a step of {order.step_s * 1e3:g} ms" if order.step_s else "alone at full speed"

        def told(record: PipelineRecord) -> PipelineRecord:
            if record.id != pipeline_id:
                return replace(record, role=Role.OTHER)
            return replace(record, role=Role.TRAIN, consumer=how, loop=replace(record.loop, in_background=False))

        run = replace(profile.run, command=order.command, bench_step_s=order.step_s, exit_status=self._status())
        return replace(
            profile, run=run, pipelines=tuple(told(record) for record in profile.pipelines), trials_note=_TRIALS_NOTE
        )

    def _status(self) -> int:
        return 130 if self._done.interrupted else 0 if self._done.mistake is None else 2

    def _with_looks(self, profile: Profile, dataset: Any, pipeline_id: str | None) -> Profile:
        """Read elements again where a rule on randomness or order asks for it."""
        from pipeprof.advise.looking import take_looks
        from pipeprof.analysis import analyse

        datasets = {} if pipeline_id is None else {pipeline_id: dataset}
        settings = replace(self._settings, budget_s=_LOOKS_FOR_EACH_S * self._order.seconds)
        taken: list[ElementLook] = []

        def work(pulse: Pulse) -> None:
            def keep(event: TrialEvent) -> None:
                pulse.beat()
                taken.extend([] if event.look is None else [event.look])

            take_looks(analyse(profile), datasets, settings, keep)

        try:
            self._guarded(work, _SLACK_S)
        except HungError:
            self._done.left_behind = True
        except KeyboardInterrupt:
            self._done.interrupted = True
        return replace(profile, looks=tuple(taken))

    # --- each stage alone ------------------------------------------------------------------------------------------

    def _with_stages(self, profile: Profile, dataset: Any, pipeline_id: str | None) -> Profile:
        from pipeprof.advise.prefixes import arms_of

        record = next((item for item in profile.pipelines if item.id == pipeline_id), None)
        if record is None:
            return profile
        host = profile.run.host
        limit = host.memory_limit_bytes or host.memory_bytes
        try:
            arms = arms_of(dataset, record.written, record.output, limit)
        except TrialError as error:
            return _with_problems(profile, [f"no stage was measured alone: {error}"])
        left_s = max(1.0, self._order.seconds - self._whole_s)
        problem = self._measure_rounds(arms, left_s * (1 - _SCALING_SHARE), "measuring each stage alone")
        results = {key: arm.result for key, arm in arms.items()}
        record = replace(record, written=tuple(_with_prefix(stage, results) for stage in record.written))
        problems = [*([problem] if problem else []), *_not_measured(record)]
        if not problem:
            record, told = self._with_scaling(record, dataset, host.cores, limit, left_s * _SCALING_SHARE)
            problems += told
        pipelines = tuple(record if item.id == record.id else item for item in profile.pipelines)
        return _with_problems(replace(profile, pipelines=pipelines), problems)

    def _with_scaling(
        self, record: PipelineRecord, dataset: Any, cores: int, memory_bytes: int | None, seconds: float
    ) -> tuple[PipelineRecord, list[str]]:
        """Measure the slowest stage at several numbers of calls at once, where it has calls."""
        from pipeprof.advise.prefixes import arms_of_calls

        stage = view_pipeline(record, cores).bottleneck
        if stage is None or stage.stage.op not in _HAS_CALLS:
            return record, []
        counts = probe_counts(cores, record.threadpool_size, stage.chosen_calls)
        try:
            arms = arms_of_calls(dataset, record, stage.id, counts, memory_bytes)
        except TrialError as error:
            return record, [f"more calls of {stage.stage.op} at once were not tried: {error}"]
        problem = self._measure_rounds(arms, max(1.0, seconds), "measuring more calls at once")
        points = tuple(ScalingPoint(calls=int(key), prefix=arm.result) for key, arm in arms.items())
        return replace(record, scaling_stage=stage.id, scaling=points), [problem] if problem else []

    def _measure_rounds(self, arms: dict[str, Arm], seconds: float, what: str) -> str:
        """Measure arms in rounds; return what kept it from ending, empty where nothing did."""
        from pipeprof.advise.isolation import Isolation, IsolationPlan
        from pipeprof.advise.prefixes import handing_over

        def work(pulse: Pulse) -> None:
            plan = IsolationPlan(seconds=seconds, stop=pulse.halt, beat=pulse.beat, on_progress=pulse.report, what=what)
            Isolation(arms, handing_over(), plan).run()

        try:
            self._guarded(work, seconds)
        except HungError:
            self._done.left_behind = True
            return "a stage alone gave no element, and the rest was not measured alone"
        except KeyboardInterrupt:
            self._done.interrupted = True
            return "interrupted before every stage was measured alone"
        return ""


def _message(error: Exception) -> str:
    """Return what an error of a pipeline says, without TensorFlow's names of its nodes and iterators."""
    text = str(getattr(error, "message", "") or error)
    text = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]( name:)?", "", text, flags=re.DOTALL)
    told = re.sub(r"Error in user-defined function passed to .*? transformation with iterator: [\w:\[\]]+:", "", text)
    lines = [" ".join(line.split()) for line in told.splitlines() if line.strip()]
    short = lines[0] if lines else type(error).__name__
    return short if len(short) <= _MOST_TEXT else f"{short[: _MOST_TEXT - 1]}…"


def _with_prefix(stage: WrittenStage, results: Mapping[str, IsolatedPrefix]) -> WrittenStage:
    missing = IsolatedPrefix(note="its node in TensorFlow's graph is not known")
    return replace(stage, isolated=results.get(stage.id, missing))


def _not_measured(record: PipelineRecord) -> list[str]:
    """Say of the stages that could not be measured alone why, once for each reason."""
    by_note: dict[str, list[str]] = {}
    for stage in record.written:
        if stage.isolated is not None and not stage.isolated.blocks:
            by_note.setdefault(stage.isolated.note or "the time was over", []).append(stage.op)
    return [f"not measured alone: {', '.join(names)} ({note})" for note, names in by_note.items()]


def _with_problems(profile: Profile, texts: Sequence[str]) -> Profile:
    return replace(profile, run=replace(profile.run, problems=(*profile.run.problems, *texts)))


def _empty(elements: int) -> UserError:
    when = " in its second pass" if elements else ""
    return UserError(f"the pipeline gave no element{when}: it is empty", "look at its files and its filters")
