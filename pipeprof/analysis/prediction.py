"""Prediction: what a change would give, as a ratio of step times, before it is tried.

A step takes as long as the slowest of three: the consumer's own time, the slowest segment of the pipeline, and the CPU
seconds of a step spread over the cores (the roofline of operational analysis; Plumber, MLSys 2022, section 4.3). The
measured step over that model carries what the model leaves out (hand-over, boundaries) to the prediction. The interval's
ends come from a hopeful and a doubtful reading of the same change; every prediction is scored by its trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change

_DISPATCH_S = (10e-6, 15e-6, 25e-6)  # one call of a map's function: low, likely, high (measured, TensorFlow 2.21)
_COPY_BYTES_PER_S = 2e9  # replay from a memory cache, elements copied
_DOUBT = 0.6  # the doubtful reading keeps this share of the cost that a change removes by running in parallel


@dataclass(frozen=True, slots=True)
class _Effect:
    """A change's effect on one segment's demand: busy seconds per step and slots, per reading."""

    likely: Mapping[str, tuple[float, float]]  # stage id -> (busy_s_per_step, slots)
    doubtful: Mapping[str, tuple[float, float]]
    hopeful: Mapping[str, tuple[float, float]]
    cpu_saved_s: float = 0.0
    ends_hand_over: bool = False  # what the counters do not see of handing single elements on goes too


def predict(analysis: Analysis, view: PipelineView, stage_id: str, change: Change) -> Prediction | None:
    """Predict a change of one stage; None where the evidence does not suffice."""
    effect = _effect(analysis, view, view.stage(stage_id), change)
    if effect is None or not view.step_s or view.gap_s is None:
        return None
    cores = analysis.profile.run.host.cpu_quota or analysis.profile.run.host.cores
    now = _step(view, {}, cores, view.cpu_s_per_step)
    scale = view.step_s / now if now > 0 else 1.0
    cpu = view.cpu_s_per_step
    saved = max(0.0, cpu - effect.cpu_saved_s) if cpu is not None and not effect.ends_hand_over else None
    control = analysis.control(view.record.id)
    roof = control.ceiling_high if control is not None and control.reproduces_run else view.step_s / max(view.gap_s, 1e-9)
    likely = (view.step_s if effect.ends_hand_over else now) / _step(view, effect.likely, cores, saved)
    low = now / (_step(view, effect.doubtful, cores, cpu) * min(1.0, max(scale, 0.8)))
    high = view.step_s / _step(view, effect.hopeful, cores, None)
    return Prediction(
        speedup=_clip(likely, 1.0, max(1.0, roof)),
        low=_clip(min(low, likely), 0.9, max(1.0, roof)),
        high=_clip(max(high, likely), 1.0, max(1.0, roof) * 1.1),
    )


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _step(view: PipelineView, changed: Mapping[str, tuple[float, float]], cores: float, cpu_s: float | None) -> float:
    """Return the modelled step: the slowest of the consumer, every segment, and the cores."""
    limits = [view.gap_s or 0.0, 1e-9]
    for segment in view.segments:
        kept = segment.busy_s_per_step
        for stage_id in segment.stage_ids:
            if stage_id in changed:
                busy, slots = changed[stage_id]
                kept -= view.stage(stage_id).busy_s_per_step or 0.0
                limits.append(busy / slots)
        limits.append(max(0.0, kept) / segment.slots)
    if cpu_s is not None:
        limits.append(cpu_s / cores)
    return max(limits)


def _effect(analysis: Analysis, view: PipelineView, stage: StageView, change: Change) -> _Effect | None:
    makers = {
        "parallel_calls": _parallel_calls,
        "thread_pool": _thread_pool,
        "cache": _cache,
        "vectorize": _vectorize,
    }
    maker = makers.get(change.kind)
    is_known = stage.busy_s_per_step is not None or change.kind == "cache"  # a fused stage's time is its partner's
    return maker(analysis, view, stage, change) if maker is not None and is_known else None


def _parallel_calls(analysis: Analysis, view: PipelineView, stage: StageView, change: Change) -> _Effect:
    del view
    busy = stage.busy_s_per_step or 0.0
    cores = float(analysis.profile.run.host.cores)
    asked = float(change.params.get("num_parallel_calls") or -1)
    slots = cores if asked <= 0 else min(asked, cores)
    stretched = busy * (1 + (slots - 1) * (1 - _DOUBT))
    return _Effect(likely={stage.id: (busy, slots)}, doubtful={stage.id: (stretched, slots)}, hopeful={stage.id: (busy, slots)})


def _thread_pool(analysis: Analysis, view: PipelineView, stage: StageView, change: Change) -> _Effect:
    del analysis, view
    busy = stage.busy_s_per_step or 0.0
    slots = float(change.params["private_threadpool_size"] or 1)
    half = stage.slots + (slots - stage.slots) * 0.3
    return _Effect(
        likely={stage.id: (busy, stage.slots + (slots - stage.slots) * 0.7)},
        doubtful={stage.id: (busy, half)},
        hopeful={stage.id: (busy, slots)},
    )


def _cache(analysis: Analysis, view: PipelineView, stage: StageView, change: Change) -> _Effect:
    """From the second epoch on everything above the cache costs no more than a copy of its elements."""
    del analysis, change
    above = ancestors(view, stage.id)
    visits = stage.visit_ratio or 0.0
    size = element_bytes(stage) or 0.0
    copy = visits * (size / _COPY_BYTES_PER_S + 2e-6)
    freed = dict.fromkeys(above, (0.0, 1.0))
    busy = sum(view.stage(key).busy_s_per_step or 0.0 for key in above) + (stage.busy_s_per_step or 0.0)
    return _Effect(
        likely={**freed, stage.id: (copy, 1.0)},
        doubtful={**freed, stage.id: (copy * 3, 1.0)},
        hopeful={**freed, stage.id: (0.0, 1.0)},
        cpu_saved_s=busy,
    )


def _vectorize(analysis: Analysis, view: PipelineView, stage: StageView, change: Change) -> _Effect:
    """One call per batch instead of one per element: the dispatch of all others is saved, and most of the tiny kernels."""
    del analysis, view, change
    busy, visits = stage.busy_s_per_step or 0.0, stage.visit_ratio or 1.0
    low, _likely, high = _DISPATCH_S
    return _Effect(
        likely={stage.id: (max(busy * 0.1, high), 1.0)},
        doubtful={stage.id: (max(busy - visits * low, busy * 0.4, high), 1.0)},
        hopeful={stage.id: (max(busy * 0.02, low), 1.0)},
        cpu_saved_s=busy * 0.8,
        ends_hand_over=True,
    )


def ancestors(view: PipelineView, stage_id: str) -> tuple[str, ...]:
    """Return the ids of every stage above one, nearest first."""
    found: dict[str, None] = {}
    stack = list(view.stage(stage_id).stage.inputs)
    while stack:
        current = stack.pop(0)
        if current not in found:
            found[current] = None
            stack.extend(view.stage(current).stage.inputs)
    return tuple(found)


def element_bytes(stage: StageView) -> float | None:
    """Return the size of one element of a stage: as counted by TensorFlow, else static."""
    if stage.stage.bytes and stage.stage.elements and not stage.shares_node_with:
        return stage.stage.bytes / stage.stage.elements
    return stage.written.element_bytes if stage.written is not None else None
