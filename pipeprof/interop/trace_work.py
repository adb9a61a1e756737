"""Second pass over a trace: what the threads of the pool did for each stage's function.

A stage's thread that started a function only waits for it; the work is where ``ExecutorState::Process`` and the callback
that hands the results over carry the same number (TensorFlow's counters hold both, checked with 2.21), and what a call
waited for a thread is what is left. Collects only, like the first pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeprof.interop.trace_events import Call, Kind, Scan, Track, kind_of
from pipeprof.interop.xplane import Event, Line, Space

_ONEDNN = re.compile(r"^_Mkl(Native)?(?=[A-Z])")


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

    first_ps: int | None = None  # its first piece begins
    last_ps: int | None = None
    busy_ps: int = 0
    handing_over_ps: int = 0
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
        _add(found.calls[number], execution, executions)
    return executions


def _add(call: Call, execution: _Execution, executions: Executions) -> None:
    if call.owner is None or execution.first_ps is None:
        return
    work = executions.by_owner.setdefault(call.owner, Work())
    work.calls += 1
    work.busy_ps += execution.busy_ps + execution.handing_over_ps
    waited = execution.first_ps - call.start_ps
    if call.is_awaited and not execution.is_suspended:
        waited = call.end_ps - call.start_ps - execution.busy_ps
    work.slot_wait_ps += max(0, waited)


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
            stack.append(_Open(end_ps, stack[-1].owner, _op_type(name), end_ps - start_ps))
    while stack:
        _close(stack, executions)


def _op_type(name: str) -> str:
    """Return the type of op that the function was traced with: oneDNN's kernel of it has a name of its own."""
    return _ONEDNN.sub("", name.rpartition(":")[2])


def _open_execution(event: Event, kind: Kind, stack: list[_Open], found: Scan, executions: Executions) -> None:
    number = event.stats.get("step_id" if kind is Kind.SUSPEND else "id")
    call = found.calls.get(number) if isinstance(number, int) else None
    if kind is Kind.PROCESS:
        stack.append(_Open(event.end_ps, call.owner if call is not None else None))
    if call is None or not isinstance(number, int):
        return
    execution = executions.by_call.setdefault(number, _Execution())
    if kind is Kind.SUSPEND:
        execution.is_suspended = True
    elif kind is Kind.DONE:
        execution.handing_over_ps += event.end_ps - event.start_ps
    else:
        first, last = execution.first_ps, execution.last_ps
        execution.first_ps = event.start_ps if first is None else min(first, event.start_ps)
        execution.last_ps = event.end_ps if last is None else max(last, event.end_ps)
        execution.busy_ps += event.end_ps - event.start_ps


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
