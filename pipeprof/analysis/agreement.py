"""This module says whether a replayed loop may speak for the run: the ready-element control is believed only if it does.

Its one idea: a replay is evidence about the run only where it shows the run's own mean wait and its own time between two
elements, and where it is steadier than what is read from it. A control that fails is kept with the reason, and nothing is
graded by it. It must not grade anything itself.
"""

from __future__ import annotations

from dataclasses import replace

from pipeprof import units
from pipeprof.analysis.grading import MAX_WIDTH, MODERATELY
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Steps
from pipeprof.model.profile import Control

NOT_REPRODUCED = "replay does not reproduce the run: "
WAIT_TOLERANCE = 0.15  # of the step, at most
GAP_TOLERANCE = 0.25
_OF_THE_WAIT = 1 / 3


def check_control(control: Control, steps: Steps, view: PipelineView) -> Control:
    """Return the control as it is, or marked as one that does not reproduce the run, with the reason.

    The run's number is its mean over all steps and boundaries, which is what is graded. The wait share may differ by a third
    of itself, by 15 points at most, and by 5 (a band's edge) in any case; the time between two elements by a quarter. Fed by
    a ready element the loop may be quicker than in the run, when the input takes its cores, but not slower.
    """
    if not control.reproduces_run:
        return control
    reason = _noise(control) or _wait(control, steps) or _gap(control, view)
    return replace(control, reproduces_run=False, reason=NOT_REPRODUCED + reason) if reason else control


def describe_doubt(control: Control) -> str:
    """Return why the control was not believed, without the words that are the same for all."""
    return control.reason.removeprefix(NOT_REPRODUCED)


def _noise(control: Control) -> str:
    if control.noise_high - control.noise_low <= MAX_WIDTH:
        return ""
    return f"it differs from itself by {units.ratio_interval(control.noise_low, control.noise_high)}"


def _wait(control: Control, steps: Steps) -> str:
    share = steps.wait_share or 0.0
    tolerance = min(WAIT_TOLERANCE, max(MODERATELY, share * _OF_THE_WAIT))
    if abs(control.baseline_wait_share - share) <= tolerance:
        return ""
    return f"waiting {units.percent(control.baseline_wait_share)} against {units.percent(share)}"


def _gap(control: Control, view: PipelineView) -> str:
    run = view.gap_s
    if not run:
        return ""
    replayed = control.baseline_step_s * (1 - control.baseline_wait_share)
    ready = control.ready_step_s * (1 - control.ready_wait_share)
    most = run * (1 + GAP_TOLERANCE)
    if run / (1 + GAP_TOLERANCE) <= replayed <= most and ready <= most:
        return ""
    worse = ready if ready > most else replayed
    return f"{units.duration(worse)} between two elements against {units.duration(run)}"
