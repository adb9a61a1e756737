"""PP609: epochs are so short, and so many, that making an iterator for each takes a good part of the loop.

The one idea: TensorFlow optimises the graph and starts its threads anew for every iterator; one iterator that repeats does that
once. Epochs whose start waits for elements instead are PP105's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import changed_state
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Evidence, Finding, Safety, Severity
from pipeprof.model.profile import ElementsState
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter
from pipeprof.rules.cache_point import differs_by_object
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.epoch_edges import is_rebuilding, share_of_edges
from pipeprof.rules.needs import Need
from pipeprof.rules.tried import trials_of

_REPEAT = "repeat_once"  # kind of change


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatPerEpochParameters(Parameters):
    """Thresholds of PP609."""

    min_share: float = parameter(0.05, unit="share of the loop", low=0, high=1, doc="that edges of epochs take, to report them")


class RepeatPerEpoch(Rule[RepeatPerEpochParameters]):
    """Repeat per epoch.

    What it looks for:
        A loop over epochs that makes a new iterator for each, where making and
        taking down iterators takes a good part of the loop's time.

    Why it costs time:
        Every iterator optimises the graph again and starts threads and buffers
        anew: 14 milliseconds for a small pipeline, some 300 for a map of 600
        operations. One iterator for all epochs took 15 milliseconds in all.
        Where AUTOTUNE is on, taking one down now and then takes half a second
        more (TensorFlow 2.21: 35 of 70 epochs of one pipeline; none of 14
        epochs with autotune.enabled = False).

    How it is measured:
        The making and the taking down of iterators and the wait for the first
        element of each later epoch: the median of these, times their number, as
        a share of the loop's wall time. It speaks where the first two are the
        larger part; where the wait is, or of fewer than five epochs, PP105 does.

    When it is wrong:
        Where each epoch must end at its own last element, as in evaluation, or
        where code at the end of an epoch relies on the loop's end.

    What to do:
        dataset.repeat(epochs) behind the last stage and one loop over it that
        counts its steps, with steps_per_epoch in Keras; or longer epochs.

    What that can change:
        With repeat after shuffle and before batch, a batch can hold the end of
        one epoch and the start of the next; after batch nothing changes.

    References:
        tf.data.Dataset.repeat; tensorflow/tensorflow issues 14868, 85667.
    """

    code = "PP609"
    name = "repeat-per-epoch"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.WAITS)
    parameters = RepeatPerEpochParameters

    def check(self, analysis: Analysis, params: RepeatPerEpochParameters) -> Iterator[Finding]:
        """Yield one finding where iterators are made too often."""
        train, steps = analysis.train, analysis.steps
        if train is None or not is_input_bound(analysis) or not is_rebuilding(steps):
            return
        view = next((item for item in train.stages if item.id == train.record.output), None)
        share = share_of_edges(steps, train)
        if view is None or differs_by_object(train, view) or share < params.min_share or share <= 0:
            return
        yield self._report_loop(analysis, train, view, share, params)

    def _report_loop(
        self, analysis: Analysis, train: PipelineView, view: StageView, share: float, params: RepeatPerEpochParameters
    ) -> Finding:
        steps, refusal = analysis.steps, _refusal(analysis, train)
        rebuilt_s = (steps.creation_s or 0.0) + (steps.teardown_s or 0.0)
        remedy = f"Let one iterator serve all epochs: {name_stage(view)}, then .repeat({steps.epochs})."
        return self.report(
            f"{units.count_of(steps.epochs, 'epoch')} of {steps.count / steps.epochs:.0f} steps make a new iterator each: "
            f"{units.duration(rebuilt_s)}, and {units.percent(share)} of the loop with the wait for its first element. "
            "TensorFlow optimises the graph and starts its threads again each time. "
            + (f"One iterator for all epochs would give other elements: {refusal}." if refusal else remedy),
            severity=Severity.INFO if refusal else grade(share),
            confidence=analysis.verdict.confidence,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=share, unit="share", threshold=params.min_share, n=max(0, steps.epochs - 1)),
                Evidence(name="creation_s", value=steps.creation_s, unit="s"),
                Evidence(name="teardown_s", value=steps.teardown_s, unit="s"),
                Evidence(name="first_wait_s", value=steps.epoch_first_wait_s, unit="s"),
            ),
        )


def _refusal(analysis: Analysis, train: PipelineView) -> str:
    """Return what one iterator for all epochs would change, as a trial saw it or the stages tell, "" where that is nothing."""
    tried = trials_of(analysis, train, _REPEAT)
    seen = next((item for item in tried if item.elements is ElementsState.DIFFERENT), None)
    if seen is not None:
        return seen.elements_note or "a trial saw it"
    changed = changed_state(train.stages)
    return f"it reads on before {changed} changes for the next epoch" if changed else ""
