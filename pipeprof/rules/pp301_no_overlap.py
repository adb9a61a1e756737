"""PP301: the training loop makes each batch itself, on its own thread, before it can use it.

The one idea: TensorFlow puts a prefetch at the end by itself, unless options forbid it; so only executed graphs that end
without an asynchronous stage are looked at. Pipelines with a prefetch further up are PP302's, those whose AUTOTUNE is off
PP207's.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import Rule, Status, grade, name_stage, say_wait, weakest
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.needs import Need
from pipeprof.rules.overlap import NoOverlap, OverlapParameters, evidence_of, find_no_overlap, is_autotune_off, middle_prefetch


class NoOverlapAtTheEnd(Rule[OverlapParameters]):
    """No overlap.

    What it looks for:
        A pipeline that TensorFlow runs without an asynchronous stage at its
        end and without any prefetch, so that the work of its last stages is
        done on the training loop's own thread.

    Why it costs time:
        Making a batch and using it come one after the other: a step takes the
        sum of both in place of the longer one. A prefetch makes the next batch
        while this one is in use.

    How it is measured:
        From the executed graph: the busy time of all stages up to the first
        asynchronous one is the loop's own. It must account for most of the
        wait, and a core must be free to overlap on. The cost is what goes away
        when a step takes the longer of making and using.

    When it is wrong:
        Where the loop looks ahead itself, in a thread of its own or by a queue.
        Where the training step keeps all cores busy for a part of its time.

    What to do:
        prefetch(tf.data.AUTOTUNE) as the last stage, or leave the option
        inject_prefetch on.

    What that can change:
        Nothing in the elements. A few more batches are held in memory.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        prefetching; inject_prefetch in
        tf.data.experimental.OptimizationOptions.
    """

    code = "PP301"
    name = "no-overlap"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS)
    parameters = OverlapParameters

    def check(self, analysis: Analysis, params: OverlapParameters) -> Iterator[Finding]:
        """Yield one finding where training makes its batches itself."""
        train = analysis.train
        if train is None or not is_input_bound(analysis) or is_autotune_off(train) or middle_prefetch(train) is not None:
            return
        found = find_no_overlap(analysis, train, params)
        if found is not None:
            yield self._report_end(analysis, train, found, params)

    def _report_end(self, analysis: Analysis, train: PipelineView, found: NoOverlap, params: OverlapParameters) -> Finding:
        message = (
            f"{name_stage(found.last)} ends the pipeline without a prefetch: the loop makes each batch on its own thread, "
            f"{units.duration(found.own_s)}, and then uses it, {units.duration(train.gap_s)}, one after the other. "
            f"{say_wait(analysis)}. End with prefetch(tf.data.AUTOTUNE)."
        )
        return self.report(
            message,
            severity=grade(found.cost),
            confidence=weakest(Confidence.HIGH, analysis.verdict.confidence),
            pipeline=train,
            view=found.last,
            evidence=(*evidence_of(found, analysis, train, params), Evidence(name="step_s", value=train.step_s, unit="s")),
        )
