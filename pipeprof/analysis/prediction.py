"""Prediction: what a change would give, as a ratio of step times, before it is tried.

A change says what it does to the stages (``effects``), the step model what becomes of the step; both in readings that are as
wide as the evidence leaves them, so that the interval is theirs: 90 % of what the evidence allows, the noise of measuring
included. Every prediction is scored by its trial. Nothing here knows a kind of change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeprof.analysis import doubt
from pipeprof.analysis.effects import EFFECTS, Place
from pipeprof.analysis.step_model import StepModel
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change

if TYPE_CHECKING:
    from pipeprof.analysis.doubt import Readings
    from pipeprof.analysis.step_model import Effect

__all__ = ["predict"]

# Their effect does not hang on the stage's own time, which is not known where it is fused: it is its partner's then.
_OF_SEVERAL_STAGES = frozenset(
    {
        "cache",
        "move_cache",
        "prefetch",
        "enable_autotune",
        "nondeterministic",
        "shuffle_earlier",
        "repeat_once",
        "bucket",
        "limit_memory",
        "shrink_prefetch",
    }
)


def predict(analysis: Analysis, view: PipelineView, stage_id: str, change: Change) -> Prediction | None:
    """Predict a change of one stage; None where the evidence does not suffice.

    Raises:
        KeyError: there is no such stage.
    """
    stage = view.stage(stage_id)
    known = EFFECTS.get(change.kind)
    is_known = stage.busy_s_per_step is not None or change.kind in _OF_SEVERAL_STAGES
    model = StepModel.of(analysis, view)
    if known is None or not is_known or model is None:
        return None
    effect = known(Place(analysis=analysis, view=view, stage=stage, change=change))
    if effect is None:
        return None
    ratios = model.predict(effect)
    speedup, low, high = doubt.summary(ratios)
    earned, earned_high = _break_even(effect, ratios, view.step_s or 0.0)
    return Prediction(
        speedup=speedup, low=low, high=high, basis=effect.unmeasured, break_even_epochs=earned, break_even_high=earned_high
    )


def _break_even(effect: Effect, ratios: Readings, step_s: float) -> tuple[float | None, float | None]:
    """Return after how many epochs filling is earned back, the median and the high end; None where it never is, or is free.

    The first epoch is as long as before, and stores; each later one gains. Both are in its steps, which cancel out.
    """
    import numpy as np

    if not np.any(effect.fill_s):
        return None, None
    gained_s = step_s * (1 - 1 / ratios)
    epochs = np.full(ratios.shape, np.inf)
    np.divide(effect.fill_s, gained_s, out=epochs, where=gained_s > 0)
    middle, high = (float(1 + value) for value in np.quantile(epochs, [0.5, doubt.HIGH], method="higher"))
    return (None, None) if np.isinf(middle) else (middle, None if np.isinf(high) else high)
