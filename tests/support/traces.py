"""Hand-made traces: threads of named events, in milliseconds, as a plain Space or as the bytes of a file.

Events are planted, never calculated. Nothing here imports TensorFlow; ``to_bytes`` needs its generated message module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeprof.interop.xplane import Event, Line, Space, xplane_messages

MS = 10**9  # picoseconds
ROOT = "Iterator::Root"
TUNED = {"algorithm": "DEFAULT", "cpu_budget": 4, "ram_budget_megabytes": 1000, "threadpool_size": 4}
NEXT = "IteratorGetNextOp::DoCompute"
MAKING = "MakeIterator::RootDataset"
CALL = "InstantiatedCapturedFunction::Run"
CALL_ASYNC = "InstantiatedCapturedFunction::RunAsync"
PROCESS = "ExecutorState::Process"


def event(name: str, at_ms: float, for_ms: float, /, **stats: Any) -> Event:
    """Make one event."""
    start = round(at_ms * MS)
    return Event(name, start, start + round(for_ms * MS), stats)


def stage(path: str, at_ms: float, for_ms: float, /, **stats: Any) -> Event:
    """Make one call of a stage below the root; ids are those of the path unless given."""
    name = f"{ROOT}::{path}" if path else ROOT
    parent, _, _ = name.rpartition("::")
    given = {"id": number(name), "parent_id": number(parent), **stats}
    if not path:
        given = {**TUNED, **{key: value for key, value in given.items() if key != "parent_id"}}
    return event(name, at_ms, for_ms, **given)


def number(name: str) -> int:
    """Return the number of the iterator at a path."""
    return sum(ord(char) * 31**place for place, char in enumerate(name)) % 2**63


def space(**threads: list[Event]) -> Space:
    """Make a window of named threads; a double underscore in a name stands for the slash before its number."""
    lines = tuple(
        Line(name=name.replace("__", "/"), events=tuple(sorted(events, key=lambda item: (item.start_ps, -item.end_ps))))
        for name, events in threads.items()
    )
    return Space(source="made by hand", host="hand", lines=lines, window_s=1.0, started_ns=1_700_000_000_000_000_000)


@dataclass
class Loop:
    """An eager loop over one stage: every ``period_ms`` a wait of ``wait_ms``."""

    count: int = 12
    period_ms: float = 10.0
    wait_ms: float = 4.0
    start_ms: float = 1.0
    root: dict[str, Any] = field(default_factory=dict)

    def starts(self) -> list[float]:
        """Return when each step begins."""
        return [self.start_ms + index * self.period_ms for index in range(self.count)]

    def waits(self) -> list[Event]:
        """Return the ops and the roots of all steps."""
        made = []
        for at in self.starts():
            made += [
                event(NEXT, at, self.wait_ms, id=1, iter_num=0, element_size=64),
                stage("", at + 0.01, self.wait_ms - 0.02, **self.root),
            ]
        return made

    def inside(self, path: str, part: float = 1.0, /, **stats: Any) -> list[Event]:
        """Return one call of a stage inside each wait, ``part`` of it long."""
        return [stage(path, at + 0.1, (self.wait_ms - 0.2) * part, **stats) for at in self.starts()]


def to_bytes(made: Space) -> bytes:
    """Return a window as a profiler writes it."""
    messages = xplane_messages()
    whole = messages.XSpace()
    plane = whole.planes.add(name="/host:CPU")
    events: dict[str, int] = {}
    stats: dict[str, int] = {}

    def known(name: str, table: dict[str, int], metadata: Any) -> int:
        if name not in table:
            table[name] = len(table) + 1
            metadata[table[name]].id = table[name]
            metadata[table[name]].name = name
        return table[name]

    for index, line in enumerate(made.lines):
        target = plane.lines.add(id=index + 1, name=line.name, timestamp_ns=0)
        for item in line.events:
            written = target.events.add(
                metadata_id=known(item.name, events, plane.event_metadata),
                offset_ps=item.start_ps,
                duration_ps=item.end_ps - item.start_ps,
            )
            for name, value in item.stats.items():
                stat = written.stats.add(metadata_id=known(name, stats, plane.stat_metadata))
                if isinstance(value, int):
                    stat.uint64_value = value
                else:  # as TensorFlow does: texts are kept once, in the table of names
                    stat.ref_value = known(str(value), stats, plane.stat_metadata)
    environment = whole.planes.add(name="Task Environment")
    for key, (name, value) in enumerate(
        (("profile_start_time", made.started_ns), ("profile_stop_time", made.started_ns + round(made.window_s * 1e9))), start=1
    ):
        environment.stat_metadata[key].id = key
        environment.stat_metadata[key].name = name
        environment.stats.add(metadata_id=key, uint64_value=value)
    return whole.SerializeToString()
