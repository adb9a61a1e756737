"""PP302: the prefetch stands in the middle, and the stages after it run on the training loop's own thread.

The one idea: a prefetch overlaps what stands before it, never what stands after it. Pipelines without a prefetch are PP301's,
those whose AUTOTUNE is off PP207's.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import Rule, Status, grade, name_place, name_stage, say_wait, weakest
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.needs import Need
from pipeprof.rules.overlap import NoOverlap, OverlapParameters, evidence_of, find_no_overlap, is_autotune_off, middle_prefetch


class PrefetchNotLast(Rule[OverlapParameters]):
    """Prefetch not last.

    What it looks for:
        A prefetch that is followed by stages which take a notable part of the
        step and which TensorFlow runs on the training loop's own thread.

    Why it costs time:
        The prefetch keeps its elements ready, but batching, filtering or
        mapping them afterwards is left to the loop: a step takes that work and
        its own, one after the other.

    How it is measured:
        From the executed graph: the busy time of all stages up to the first
        asynchronous one is the loop's own. It must account for most of the
        wait, and a core must be free to overlap on. The cost is what goes away
        when a step takes the longer of making and using.

    When it is wrong:
        Where the loop looks ahead itself, in a thread of its own or by a queue.
        Where the training step keeps all cores busy for a part of its time.

    What to do:
        Move the prefetch to the end, or end with prefetch(tf.data.AUTOTUNE).

    What that can change:
        Nothing in the elements. The buffer then holds whole batches: mind its
        size.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        prefetching; tensorflow/tensorflow issues 31616 and 60384.
    """

    code = "PP302"
    name = "prefetch-not-last"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS)
    parameters = OverlapParameters

    def check(self, analysis: Analysis, params: OverlapParameters) -> Iterator[Finding]:
        """Yield one finding where training does what stands after the last prefetch itself."""
        train = analysis.train
        if train is None or not is_input_bound(analysis) or is_autotune_off(train):
            return
        prefetch, found = middle_prefetch(train), find_no_overlap(analysis, train, params)
        if prefetch is not None and found is not None:
            yield self._report_end(analysis, train, prefetch, found, params)

    def _report_end(
        self, analysis: Analysis, train: PipelineView, prefetch: StageView, found: NoOverlap, params: OverlapParameters
    ) -> Finding:
        site = prefetch.stage.call_site
        where = "" if site is None else f" at {name_place(site)}"
        message = (
            f"The prefetch{where} is not the last stage: up to {name_stage(found.last)} the loop does the work on its own "
            f"thread, {units.duration(found.own_s)} for each step, and then its own, {units.duration(train.gap_s)}. "
            f"{say_wait(analysis)}. Move the prefetch to the end."
        )
        return self.report(
            message,
            severity=grade(found.cost),
            confidence=weakest(Confidence.HIGH, analysis.verdict.confidence),
            pipeline=train,
            view=found.last,
            evidence=(*evidence_of(found, analysis, train, params), Evidence(name="prefetch", value=prefetch.id)),
        )
