"""Why a change is not tried on a pipeline, whatever time there is: by its kind, its place, what it may do, what it would hold.

Pure. Nothing here runs a pipeline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pipeprof.advise.recommend import APPLIED_UNASKED, MANUAL, UNTIMED
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Finding, Recommendation, Safety
from pipeprof.model.profile import Control
from pipeprof.rules.memory_room import memory_limit
from pipeprof.units import byte_count

_USABLE = 0.9  # of the memory; what is beyond the process's own peak
_NOISY = "PP002"
_ELSEWHERE = "only the training pipeline is tried"


def why_not_tried(item: Recommendation, pipeline_id: str, allow: Collection[Safety]) -> str:
    """Return why a change is not tried on a pipeline, empty where it may be."""
    if item.change.kind in MANUAL:
        return item.trial.reason
    if item.pipeline_id != pipeline_id:
        return _ELSEWHERE
    if item.change.kind not in UNTIMED and item.safety not in APPLIED_UNASKED.union(allow):
        if item.safety is Safety.REORDERS:
            return f"it is not tried without being asked for (--allow reorders tries it): {item.caution}"
        return f"it is not tried, since it changes the data: {item.caution}"
    return ""


def why_not_timed(control: Control | None, findings: Iterable[Finding]) -> str:
    """Return why no change may be timed, empty where the replay shows the run or was not measured, and what may help."""
    if control is None or control.reproduces_run:
        return ""
    was_noisy = any(finding.code == _NOISY for finding in findings)
    return f"{control.reason}; the machine was not quiet: run again when it is" if was_noisy else control.reason


def free_memory(analysis: Analysis) -> float | None:
    """Return the bytes that changes may hold together: the limit less what the process held at its peak; None if not known."""
    limit, peak = memory_limit(analysis), analysis.resources.rss_peak_bytes
    return None if limit is None or peak is None else max(0.0, _USABLE * limit - peak)


def why_too_large(item: Recommendation, held_bytes: int, free_bytes: float | None) -> str:
    """Return that a change would hold more than there is, with those that were kept before it; empty where it fits."""
    wanted = held_bytes + (item.memory_bytes or 0)
    if free_bytes is None or not item.memory_bytes or wanted <= free_bytes:
        return ""
    beside = " with the changes kept before it" if held_bytes else ""
    return f"it would hold {byte_count(wanted)}{beside}, and the process has {byte_count(int(free_bytes))} of memory left"
