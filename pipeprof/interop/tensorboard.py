"""A TensorBoard profile directory that XProf opens, with the stages and lines that pipeprof found.

XProf knows a step by an event marked ``_r``, and takes any event with ``_ipl_stage_*`` for a stage of the input pipeline.
So one step is written for each bin of the loop, with its measured wait inside, and beside it every stage at work. What is
written are means of bins: shares are those of the run, single steps are not. Nothing is measured here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pipeprof.errors import UserError
from pipeprof.interop.logdir import PROFILE_FOLDER
from pipeprof.interop.xplane import xplane_messages
from pipeprof.model.diagnosis import Diagnosis, Pipeline, Stage
from pipeprof.model.profile import LoopBin, PipelineRecord, Profile, Role

FILE = "pipeprof.xplane.pb"
_PS = 1e12
_PS_PER_NS = 1000
_CACHED = "ALL_HOSTS.*"  # XProf keeps its conclusions beside the file, and would show them instead of a newer one's
_LOOP_LINE = "training loop"
_STEP = "train"
_COMPUTING = "ExecutorState::Process"  # XProf counts a step only where it sees TensorFlow compute in it (xprof 2.24)
_FIRST_STAGE_ID = 1_000_000  # XProf has one table for stages and events: a stage must not have an event's number
_WAITING = "unknown"  # a category that XProf leaves out of its breakdown: waiting is no work
_SOURCES = ("Dataset", "generator")  # ends of what reads, though it may have inputs: names of files
_MOST_LINES = 8  # of one stage

_Value = int | str
_Item = tuple[str, int, int, Mapping[str, _Value]]  # name, start and length, stats; picoseconds


@dataclass(frozen=True, slots=True)
class _Step:
    """One step for each bin: the mean of its steps, with what was waited between epochs before it.

    Whole picoseconds: events that overlap by one are taken for nested ones.
    """

    start_ps: int
    wait_ps: int
    length_ps: int


def write_logdir(profile: Profile, diagnosis: Diagnosis, folder: Path) -> Path:
    """Write one run below a TensorBoard log directory and return the file.

    Args:
        profile: what was measured.
        diagnosis: what was concluded from it.
        folder: the log directory; it need not exist.

    Raises:
        UserError: there is no step to write, or no place to write to.
    """
    content = encode(profile, diagnosis)
    place = folder / PROFILE_FOLDER / (profile.run.id or "pipeprof")
    try:
        place.mkdir(parents=True, exist_ok=True)
        for stale in place.glob(_CACHED):
            stale.unlink()
        (place / FILE).write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write to {place}: {error.strerror}", "choose another place with --tensorboard DIR") from None
    return place / FILE


def encode(profile: Profile, diagnosis: Diagnosis) -> bytes:
    """Return a run as a serialised XSpace.

    Raises:
        UserError: no step of it was measured.
    """
    record, pipeline = _main_pipeline(profile, diagnosis)
    steps = _steps(record.loop.bins)
    if not steps:
        raise UserError("this run has no measured steps to export", "profile a script that iterates over a tf.data dataset")
    plane = _Plane()
    plane.add_line(_LOOP_LINE, _loop_items(steps, pipeline))
    for number, stage in enumerate(pipeline.stages):
        if stage.busy_s_per_step:
            lines = max(1, min(_MOST_LINES, math.ceil(stage.parallelism or 1)))
            items = list(_stage_items(stage, number, steps, lines, diagnosis))
            for line in range(lines):
                plane.add_line(f"stage {number} {_stage_name(stage)} #{line + 1}", items)
    return plane.finish(steps[-1].start_ps + steps[-1].length_ps, profile.run.id)


def _main_pipeline(profile: Profile, diagnosis: Diagnosis) -> tuple[PipelineRecord, Pipeline]:
    pipelines = {item.id: item for item in diagnosis.pipelines}
    records = [item for item in profile.pipelines if item.id in pipelines]
    training = [item for item in records if item.role is Role.TRAIN]
    record = max(training or records, key=lambda item: item.loop.wall_s, default=None)
    if record is None:
        raise UserError("this run has no pipeline to export", "profile a script that iterates over a tf.data dataset")
    return record, pipelines[record.id]


def _steps(bins: Sequence[LoopBin]) -> list[_Step]:
    steps: list[_Step] = []
    carried = 0.0  # waiting for the iterator of the next epoch belongs to its first step
    free_ps = 0
    for item in bins:
        if not item.steps:
            carried += item.wait_s
            continue
        wait = round((item.wait_s / item.steps + carried) * _PS)
        length = wait + round(item.gap_s / item.steps * _PS)
        start = max(round(item.start_s * _PS), free_ps)
        steps.append(_Step(start, wait, length))
        carried, free_ps = 0.0, start + length
    return steps


def _loop_items(steps: Sequence[_Step], pipeline: Pipeline) -> Iterator[_Item]:
    """Yield each step, and inside it the wait for its element."""
    last = next((stage for stage in reversed(pipeline.stages) if not stage.injected), None)
    name = "waiting for input" + (f": {_stage_name(last)}" if last is not None else "")
    stats: dict[str, _Value] = {
        "_ipl_stage_name": name,
        "_ipl_stage_id": _FIRST_STAGE_ID + len(pipeline.stages),
        "_ipl_stage_cat": _WAITING,
    }
    for number, step in enumerate(steps):
        yield _STEP, step.start_ps, step.length_ps, {"_r": 1, "step_num": number}
        yield name, step.start_ps, step.wait_ps, stats
        yield _COMPUTING, step.start_ps + step.wait_ps, step.length_ps - step.wait_ps, {}


def _stage_items(stage: Stage, number: int, steps: Sequence[_Step], lines: int, diagnosis: Diagnosis) -> Iterator[_Item]:
    """Yield a stage's work for each step, as one of its ``lines`` threads does it."""
    is_source = not stage.injected and (not stage.inputs or stage.op.endswith(_SOURCES))
    stats: dict[str, _Value] = {
        "_ipl_stage_name": _stage_name(stage),
        "_ipl_stage_id": _FIRST_STAGE_ID + number,
        "_ipl_stage_cat": "read" if is_source else "preprocessing",
        "executed_as": stage.executed_as or "",
    }
    findings = [f"{item.code} {item.name}" for item in diagnosis.all_findings if item.stage_id == stage.id]
    if findings:
        stats["findings"] = ", ".join(findings)
    if stage.is_bottleneck:
        stats["bottleneck"] = "yes"
    length = round((stage.busy_s_per_step or 0.0) / lines * _PS)
    free_ps = 0
    for step in steps:
        start = max(step.start_ps, free_ps)
        yield _stage_name(stage), start, length, stats
        free_ps = start + length


def _stage_name(stage: Stage) -> str:
    """Return ``train.py:39 .map``; where there is no line only the operation."""
    if stage.injected:
        return f"{stage.executed_as} (added by TensorFlow)"
    op = f".{stage.op}" if stage.inputs else stage.op
    site = stage.call_site
    return op if site is None else f"{PurePath(site.file).name}:{site.shown_line} {op}"


class _Plane:
    """The host's plane under construction."""

    def __init__(self) -> None:
        messages = xplane_messages()
        self._space: Any = messages.XSpace()
        self._plane: Any = self._space.planes.add(name="/host:CPU", id=0)
        self._events: dict[str, int] = {}
        self._stats: dict[str, int] = {}

    def add_line(self, name: str, items: Iterator[_Item] | Sequence[_Item]) -> None:
        """Add one thread."""
        number = len(self._plane.lines) + 1
        line = self._plane.lines.add(id=number, display_id=number, name=name)
        for label, start_ps, length_ps, stats in items:
            event = line.events.add(metadata_id=self._event_id(label), offset_ps=start_ps, duration_ps=length_ps)
            _set_stats(event, stats, self._stat_id)

    def finish(self, end_ps: int, run_id: str) -> bytes:
        """Add what says when it was and return the bytes."""
        environment = self._space.planes.add(name="Task Environment", id=1)
        for key, (name, value) in enumerate((("profile_start_time", 0), ("profile_stop_time", end_ps // _PS_PER_NS)), start=1):
            environment.stat_metadata[key].id = key
            environment.stat_metadata[key].name = name
            environment.stats.add(metadata_id=key, uint64_value=value)
        self._space.hostnames.append(run_id)
        content: bytes = self._space.SerializeToString(deterministic=True)
        return content

    def _event_id(self, name: str) -> int:
        return _id_of(name, self._events, self._plane.event_metadata)

    def _stat_id(self, name: str) -> int:
        return _id_of(name, self._stats, self._plane.stat_metadata)


def _id_of(name: str, known: dict[str, int], metadata: Any) -> int:
    if name not in known:
        number = known[name] = len(known) + 1
        metadata[number].id = number
        metadata[number].name = name
    return known[name]


def _set_stats(event: Any, stats: Mapping[str, _Value], id_of: Any) -> None:
    for name, value in stats.items():
        stat = event.stats.add(metadata_id=id_of(name))
        if isinstance(value, int):
            stat.int64_value = value
        else:
            stat.str_value = value
