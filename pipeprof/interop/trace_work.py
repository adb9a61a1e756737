"""Second pass over a trace: what the threads of the pool did for each stage's function.

A stage's thread that started a function only waits for it; the work is where ``ExecutorState::Process`` carries the same
number, and what a call waited for a thread is what is left. Collects only, like the first pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeprof.interop.trace_events import Kind, Scan, Track, kind_of
from pipeprof.interop.xplane import Event, Line, Space


@dataclass(slots=True)
class Work:
    """What was done for one iterator's function."""

    busy_ps: int = 0
    slot_wait_ps: int = 0
    calls: int = 0
    ops: dict[str, list[int]] = field(default_factory=dict)  # type -> [calls, picoseconds without what is nested]


@dataclass(slots=True)
class _Execution:
    """One call of a function on the pool."""

    first_ps: int
    last_ps: int
    busy_ps: int = 0
    is_suspended: bool = False


@dataclass(slots=True)
class Executions:
    """All calls that the window saw."""

    by_call: dict[int, _Execution] = field(default_factory=dict)
    by_owner: dict[Track, Work] = field(default_factory=dict)

    def end_of(self, call: int) -> int | None:
        """Return when a call was over, None where it was not seen."""
        found = self.by_call.get(call)
        return None if found is None else found.last_ps


def measure_work(space: Space, found: Scan) -> Executions:
    """Go over all threads once more, now that it is known whose every function call is."""
    executions = Executions()
    kinds: dict[str, Kind | None] = {}
    for line in space.lines:
        _read_thread(line, found, executions, kinds)
    for number, execution in executions.by_call.items():
        call = found.calls[number]
        if call.owner is None:
            continue
        work = executions.by_owner.setdefault(call.owner, Work())
        work.calls += 1
        work.busy_ps += execution.busy_ps
        waited = execution.first_ps - call.start_ps
        if call.is_awaited and not execution.is_suspended:
            waited = call.end_ps - call.start_ps - execution.busy_ps
        work.slot_wait_ps += max(0, waited)
    return executions


@dataclass(slots=True)
class _Open:
    """An execution, or an op of it, that encloses those that follow."""

    end_ps: int
    owner: Track | None
    op: str = ""
    length_ps: int = 0
    nested_ps: int = 0


def _read_thread(line: Line, found: Scan, executions: Executions, kinds: dict[str, Kind | None]) -> None:
    stack: list[_Open] = []
    for event in line.events:
        name, start_ps, end_ps, _stats = event
        if name not in kinds:
            kinds[name] = kind_of(name)
        kind = kinds[name]
        if kind is None or kind < Kind.PROCESS:
            continue
        while stack and stack[-1].end_ps <= start_ps:
            _close(stack, executions)
        if kind is not Kind.OP:
            _open_execution(event, kind, stack, found, executions)
        elif stack:
            stack.append(_Open(end_ps, stack[-1].owner, name.rpartition(":")[2], end_ps - start_ps))
    while stack:
        _close(stack, executions)


def _open_execution(event: Event, kind: Kind, stack: list[_Open], found: Scan, executions: Executions) -> None:
    if kind is Kind.PROCESS:
        owner = _execute(event.stats.get("id"), event.start_ps, event.end_ps, found, executions)
        stack.append(_Open(event.end_ps, owner))
    elif kind is Kind.SUSPEND:
        execution = executions.by_call.get(_number(event.stats.get("step_id")))
        if execution is not None:
            execution.is_suspended = True


def _execute(call: object, start_ps: int, end_ps: int, found: Scan, executions: Executions) -> Track | None:
    """Count one piece of a call's execution and return whose call it is, None where that is not known."""
    number = _number(call)
    made = found.calls.get(number)
    if made is None:
        return None
    execution = executions.by_call.setdefault(number, _Execution(start_ps, end_ps))
    execution.first_ps = min(execution.first_ps, start_ps)
    execution.last_ps = max(execution.last_ps, end_ps)
    execution.busy_ps += end_ps - start_ps
    return made.owner


def _close(stack: list[_Open], executions: Executions) -> None:
    frame = stack.pop()
    if not frame.op:
        return
    if stack:
        stack[-1].nested_ps += frame.length_ps
    if frame.owner is not None:
        totals = executions.by_owner.setdefault(frame.owner, Work()).ops.setdefault(frame.op, [0, 0])
        totals[0] += 1
        totals[1] += frame.length_ps - frame.nested_ps


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
