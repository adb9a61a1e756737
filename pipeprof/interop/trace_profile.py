"""A Profile from a trace: the same document that a run gives, with what a trace cannot tell named as not measured.

Pure but for the list of files that it is given to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeprof import units
from pipeprof._version import __version__
from pipeprof.errors import UserError
from pipeprof.interop.as_executed import distorted_stages, executed_stages
from pipeprof.interop.as_loop import traced_loop
from pipeprof.interop.as_written import written_stages
from pipeprof.interop.logdir import Found
from pipeprof.interop.trace_stages import Consumption, TracedPipeline, detail_of, read_windows
from pipeprof.interop.xplane import Space, read_space
from pipeprof.model.profile import TRACED, Autotune, Host, PipelineRecord, Profile, Role, RunInfo, Versions

NO_TRIALS = "a trace holds no data set to replay; pipeprof run train.py tries the changes"
_NO_LINES = "the lines of your code: a trace does not hold them; pipeprof run train.py sees every line and writes the patches"
_NO_LOAD = "the load of the machine: a trace of the input pipeline does not hold it"
_NO_COUNTS = (
    "how full the buffers were, as TensorFlow counts it: AUTOTUNE was off; they are worked out from the times at which "
    "elements went in and out"
)
_CONSUMERS = {
    Consumption.GRAPH_LOOP: "loop inside a tf.function",
    Consumption.REDUCE: "Dataset.reduce",
    Consumption.HAND_OVER: "tf.distribute",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Host:
    """What one host's file holds."""

    space: Space
    pipelines: tuple[TracedPipeline, ...]

    @property
    def weight(self) -> float:
        """Seconds of consumed pipelines."""
        return sum(step.wait_s + step.gap_s for pipeline in self.pipelines for step in pipeline.steps)


def profile_of(found: Found, *, command: Sequence[str]) -> Profile:
    """Read the files of one profile and make a Profile of the host that waited longest for its pipelines.

    Args:
        found: the files, one for each host.
        command: what the user typed.

    Raises:
        UserError: a file cannot be read, or none shows a pipeline.
    """
    hosts = [_read(path) for path in found.files]
    best = max(hosts, key=lambda host: host.weight)
    if not best.weight:
        raise _nothing_seen(best, len(hosts))
    problems = [_NO_LINES, *_hosts_left_out(hosts, best), *_older_runs(found), *_limits(best), _NO_LOAD]
    pipelines = [item for item in best.pipelines if item.steps]
    main = max(pipelines, key=lambda item: sum(step.wait_s + step.gap_s for step in item.steps))
    window_s = best.space.window_s or max(item.epochs[-1].last_s for item in pipelines)
    return Profile(
        run=RunInfo(
            id="",  # given with the directory that it is kept in
            command=tuple(command),
            started_at=_started_at(best.space),
            versions=Versions(pipeprof=__version__, python=""),
            host=_machine(pipelines),
            wall_s=window_s,
            ended=TRACED,
            problems=tuple(problems),
        ),
        pipelines=tuple(_record(f"p{number}", item, window_s, is_main=item is main) for number, item in enumerate(pipelines)),
        trials_note=NO_TRIALS,
    )


def _read(path: Path) -> _Host:
    space = read_space(path, detail_of)
    return _Host(space=space, pipelines=read_windows(space))


def _nothing_seen(host: _Host, count: int) -> UserError:
    where = host.space.source if count == 1 else f"any of the {count} files"
    if host.pipelines:
        return UserError(f"no whole step of a tf.data pipeline in {where}", "profile for longer: ten steps or more")
    return UserError(
        f"no tf.data pipeline was at work in {where}",
        "profile while training runs; data that do not come through tf.data are not seen",
    )


def _hosts_left_out(hosts: Sequence[_Host], best: _Host) -> list[str]:
    if len(hosts) == 1:
        return []
    others = ", ".join(host.space.host for host in hosts if host is not best)
    return [f"other hosts: this is {best.space.host}, with the longest loop of {len(hosts)}; name a file to see {others}"]


def _older_runs(found: Found) -> list[str]:
    if not found.other_runs:
        return []
    count = f"{found.other_runs} older profile{'' if found.other_runs == 1 else 's'}"
    return [f"{count} in the same directory: this is the newest, {found.files[0].parent.name}"]


def _limits(host: _Host) -> list[str]:
    problems = []
    if any(not item.is_autotuned for item in host.pipelines):
        problems.append(_NO_COUNTS)
    lost = host.pipelines[0].lost_calls
    if lost:
        problems.append(f"{lost:,} calls of stages whose consumer the window does not show")
    names = list(dict.fromkeys(stage.node for item in host.pipelines for stage in distorted_stages(item)))
    if names:
        problems.append(
            f"the exact cost of {', '.join(names)}: so many small elements that recording them took a good part of it; "
            "its share is too high"
        )
    return problems


def _machine(pipelines: Sequence[TracedPipeline]) -> Host:
    """Return what a trace knows of the machine: TensorFlow's budget is its schedulable cores, as is its pool where unset."""
    cores = max((item.cpu_budget or item.threadpool_size or 1 for item in pipelines), default=1)
    return Host(cores=max(1, round(cores)), memory_bytes=max((item.memory_bytes or 0 for item in pipelines), default=0) or None)


def _started_at(space: Space) -> str:
    return datetime.fromtimestamp(space.started_ns * 1e-9, UTC).isoformat(timespec="seconds") if space.started_ns else ""


def _record(name: str, pipeline: TracedPipeline, window_s: float, *, is_main: bool) -> PipelineRecord:
    written = written_stages(pipeline)
    on_main_thread = "for loop" if pipeline.thread == "python" else "tf.function"
    return PipelineRecord(
        id=name,
        role=Role.TRAIN if is_main else Role.OTHER,
        output=written[-1].id if written else "",
        written=written,
        executed=executed_stages(pipeline) if written else (),
        loop=traced_loop(pipeline),
        consumer=_CONSUMERS.get(pipeline.consumption, on_main_thread),
        counters=f"trace window of {units.duration(window_s)}",
        autotune=Autotune(
            enabled=pipeline.is_autotuned, cpu_budget=pipeline.cpu_budget, ram_budget_bytes=pipeline.ram_budget_bytes
        ),
        iterators=len(pipeline.epochs),
        threadpool_size=None,  # the trace shows the pool's size in force, not whether the user set it
        kept_reason=NO_TRIALS,
    )
