"""Room for more calls: how many of a stage's calls could run at once on this machine, and how sure that is.

The one idea: work that computes needs a free core for each further call, work that waits only a thread of the pool. It judges
nothing: what more calls would save is for the rules to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import granted_cores, is_host_crowded, pool_threads, used_cores, waits_surely
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence
from pipeprof.rules.base import Parameters, parameter, weakest
from pipeprof.rules.cost import busy_of
from pipeprof.rules.python_work import computes_in_python, find_python_calls, runs_python


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomParameters(Parameters):
    """Thresholds of the rules that look for room."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="more calls at once must save this much")
    busy_cores: float = parameter(
        0.85, unit="share of the cores", low=0.1, high=1, doc="a program that uses this much leaves no core free"
    )
    waits_below: float = parameter(0.5, unit="CPU s per busy s", low=0, high=1, doc="a stage with less CPU waits")


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What there is to run calls on."""

    calls: float  # that would run at once
    waits: bool  # the stage is known to wait rather than compute
    used: float | None  # cores busy now
    cores: float


def find_room(analysis: Analysis, train: PipelineView, view: StageView, params: RoomParameters, now: float = 1.0) -> Room:
    """Return how many calls could run at once: on free cores for work that computes, on all threads for work that waits.

    Args:
        analysis: the run.
        train: the pipeline.
        view: the stage.
        params: thresholds.
        now: how many of its calls run at once already.
    """
    cores, used = granted_cores(analysis), used_cores(analysis, train)
    threads = float(pool_threads(analysis, train))
    waits = computes_in_python(view) is False or waits_surely(analysis, train, busy_of(view), params.waits_below)
    if waits:
        return Room(calls=threads, waits=True, used=used, cores=cores)
    if used is None:
        return Room(calls=min(cores, threads), waits=False, used=None, cores=cores)
    free = 0.0 if used >= params.busy_cores * cores else cores - used
    return Room(calls=max(now, min(threads, now + free)), waits=False, used=used, cores=cores)


def find_confidence(analysis: Analysis, train: PipelineView, view: StageView, room: Room) -> Confidence:
    """Return how sure the room is."""
    own = Confidence.HIGH if room.used is not None else Confidence.MEDIUM
    if runs_python(view) and find_python_calls(view) is None:
        own = Confidence.LOW  # computing Python would not gain from parallel calls
    if is_host_crowded(analysis, train) and not room.waits:
        own = Confidence.LOW  # other processes may take the cores that this one leaves
    return weakest(own, analysis.verdict.confidence)


def describe_room(room: Room) -> str:
    """Say what there is to run calls on, as a part of a sentence."""
    if room.waits:
        return f"it waits rather than computes, and {room.calls:.0f} calls could wait at once"
    if room.used is None:
        return f"there are {room.cores:g} cores"
    return f"{units.significant(room.used)} of {room.cores:g} cores are in use"
