"""Prediction: what a change would give, as a ratio of step times, before it is tried.

A change says what it does to the stages (``effects``), the step model what becomes of the step; both in readings that are as
wide as the evidence leaves them, so that the interval is theirs: 90 % of what the evidence allows, the noise of measuring
included. Every prediction is scored by its trial. Nothing here knows a kind of change.
"""

from __future__ import annotations

from pipeprof.analysis import doubt
from pipeprof.analysis.effects import EFFECTS, Place
from pipeprof.analysis.step_model import StepModel
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change

__all__ = ["predict"]

# Their effect does not hang on the stage's own time, which is not known where it is fused: it is its partner's then.
_OF_SEVERAL_STAGES = frozenset(
    {"cache", "move_cache", "prefetch", "enable_autotune", "nondeterministic", "shuffle_earlier", "repeat_once"}
)


def predict(analysis: Analysis, view: PipelineView, stage_id: str, change: Change) -> Prediction | None:
    """Predict a change of one stage; None where the evidence does not suffice.

    Raises:
        KeyError: there is no such stage.
    """
    stage = view.stage(stage_id)
    effect = EFFECTS.get(change.kind)
    is_known = stage.busy_s_per_step is not None or change.kind in _OF_SEVERAL_STAGES
    model = StepModel.of(analysis, view)
    if effect is None or not is_known or model is None:
        return None
    speedup, low, high = doubt.summary(model.predict(effect(Place(analysis=analysis, view=view, stage=stage, change=change))))
    return Prediction(speedup=speedup, low=low, high=high)
