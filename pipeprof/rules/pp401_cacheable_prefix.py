"""PP401: the same expensive work is done again in every epoch, and its result would fit into memory.

The one idea: find the last point up to which everything repeats exactly and fits, and count what the stages before it cost.
It never proposes to cache what is drawn anew in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.analysis.stage_graph import changed_state
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import COST_SHARE, Rule, Status, grade, name_stage, say_wait, weakest
from pipeprof.rules.cache_point import count_objects, count_passes, find_disproved, find_refusal
from pipeprof.rules.cache_weight import CacheablePrefixParameters, CachePoint, find_best, find_points, find_withheld, free_bytes
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.needs import Need

WITHHELD = "withheld_s_per_step"
"""Evidence of a finding that advises no cache: what one would save, if the program changed nothing that is read before it."""
_REMEDY = "Put .cache() right after it"


class CacheablePrefix(Rule[CacheablePrefixParameters]):
    """Cacheable prefix.

    What it looks for:
        The longest first part of the training pipeline that gives the same
        elements in every epoch, costs a good part of each step, and whose
        result fits into the memory that is free.

    Why it costs time:
        Reading, parsing and decoding are done again in every epoch although
        the result is the same.

    How it is measured:
        From the traced functions: no random operation, no shuffle that
        reshuffles (unless one follows the cache), no state. Bytes are the
        elements of one epoch times the bytes of one element, static where
        shapes are, else as TensorFlow counted them, and 185 bytes for each
        tensor. Free memory is the limit less the peak that was seen. Of
        points that save nearly the same, of the wait and of the work, the
        smallest is taken.

    When it is wrong:
        Python code is taken to be deterministic, which is said and lowers the
        confidence. Where a trial reads the data twice and they differ, the
        advice is taken back and the finding says so instead. A loop that ends
        its epochs early never completes a cache: it stays silent where it can
        see that. Memory that later epochs would need is not foreseen. With one
        epoch, or one more, a cache gains little.

        A dataset that is built anew in every epoch is told apart by its
        objects and their arguments; other arrays of the same size are not seen.
        Variables, tables, files and Python objects that its functions read are
        watched as each iterator is made; of large ones a part, of tables the
        size. Where one changed, and a cache would else be worth it, the finding
        says what changed and that none is advised; something that only counts
        calls is taken for such a change too.

    What to do:
        Put .cache() right after the named stage and before shuffle, repeat and
        random augmentation: source, decode, cache, shuffle, augment, batch.
        A cache lives as long as its dataset object: build it once, outside the
        loop over epochs.

    What that can change:
        Memory grows by the stated bytes during the first epoch. Anything
        random before the cache would be frozen.

    References:
        TensorFlow guide "Better performance with the tf.data API", on caching;
        Plumber (MLSys 2022) on cache placement; tensorflow/tensorflow issues
        27128 and 29697 for caches that did not fit.
    """

    code = "PP401"
    name = "cacheable-prefix"
    status = Status.STABLE
    remedy_safety = Safety.USES_MEMORY
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.MEMORY)
    cures_upstream = True
    parameters = CacheablePrefixParameters

    def check(self, analysis: Analysis, params: CacheablePrefixParameters) -> Iterator[Finding]:
        """Yield one finding for the best place for a cache, where there is one."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        best = find_best(analysis, find_points(analysis, train, params), params)
        if best is not None:
            yield self._report_point(analysis, train, best, free_bytes(analysis), params)
        for view in find_disproved(analysis, train):
            yield self._report_disproved(train, view)
        withheld = find_withheld(analysis, train, params)
        if withheld is not None:
            yield self._report_withheld(train, *withheld)

    def _report_withheld(self, train: PipelineView, point: CachePoint, reader: StageView) -> Finding:
        changed = changed_state([reader])
        return self.report(
            f"{name_stage(reader)} reads {changed}, which the program changed in the run: a cache after it would make every "
            f"epoch the first one's data, and none is advised. It would save {units.duration(point.busy_s)} of work for each "
            f"{units.duration(train.step_s)} step. Where {changed} does not decide what the elements are, keep it out of what "
            "the function reads; where it does, put what does not depend on it into a stage of its own before this one.",
            severity=Severity.INFO,
            confidence=Confidence.MEDIUM,
            pipeline=train,
            view=reader,
            evidence=(Evidence(name=WITHHELD, value=point.busy_s, unit="s"),),
        )

    def _report_disproved(self, train: PipelineView, view: StageView) -> Finding:
        return self.report(
            f"What comes up to {name_stage(view)} is drawn anew in every epoch: two passes over it gave other elements. A "
            "cache there would make every epoch the first one's data. Make it faster instead of keeping it; where it need "
            "not differ, seed it, and a cache can keep it.",
            severity=Severity.INFO,
            confidence=Confidence.HIGH,
            pipeline=train,
            view=view,
        )

    def _report_point(
        self,
        analysis: Analysis,
        train: PipelineView,
        point: CachePoint,
        free: float,
        params: CacheablePrefixParameters,
    ) -> Finding:
        passes = count_passes(train, point.view)
        describe = _describe_anew if point.is_anew else _describe
        return self.report(
            describe(analysis, train, point, free),
            severity=grade(point.cost),
            confidence=weakest(_find_confidence(point, passes), analysis.verdict.confidence),
            pipeline=train,
            view=point.view,
            evidence=(
                Evidence(name=COST_SHARE, value=point.cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="saved_s_per_step", value=point.busy_s, unit="s"),
                Evidence(name="busy_share_upstream", value=_busy_share(train, point), unit="share"),
                Evidence(name="cache_bytes", value=point.stored_bytes, unit="bytes", threshold=params.max_of_free * free),
                Evidence(name="elements_per_epoch", value=point.stored.elements, unit="elements"),
                Evidence(name="passes", value=passes, unit="epochs"),
                *((Evidence(name="objects", value=count_objects(point.view), unit="objects"),) if point.is_anew else ()),
            ),
        )


def _describe(analysis: Analysis, train: PipelineView, point: CachePoint, free: float) -> str:
    passes, refusal = count_passes(train, point.view), find_refusal(analysis, train, point.view)
    seen = f"read {passes} times in this run" if passes > 1 else "read again by the repeat after it"
    return (
        f"Everything up to {name_stage(point.view)} gives the same elements in every epoch{_assumed(point)}, and is {seen}: "
        f"{units.duration(point.busy_s)} of work for each {units.duration(train.step_s)} step. The result takes "
        f"{units.byte_count(point.stored_bytes)}; {units.byte_count(free)} are free. "
        f"{say_wait(analysis)}. {f'No cache can stand right after it: {refusal}' if refusal else _REMEDY}."
    )


def _describe_anew(analysis: Analysis, train: PipelineView, point: CachePoint, free: float) -> str:
    objects, epochs = count_objects(point.view), train.record.loop.epoch_count
    return (
        f"{name_stage(point.view)} and all before it are built anew in every epoch: {objects} dataset objects for {epochs} "
        f"epochs, {units.duration(point.busy_s)} of work for each {units.duration(train.step_s)} step. A cache lives as long "
        f"as its dataset, so that it would save nothing here. Where the data are the same each time{_assumed(point)}, build "
        f"it once, outside the loop, with .cache() there; the result takes {units.byte_count(point.stored_bytes)}, "
        f"{units.byte_count(free)} are free. {say_wait(analysis)}."
    )


def _assumed(point: CachePoint) -> str:
    return f", assuming that {' and '.join(point.assumptions)}" if point.assumptions else ""


def _busy_share(train: PipelineView, point: CachePoint) -> float | None:
    total_s = train.busy_s_per_step or sum(busy_of(view) for view in train.stages)
    return point.busy_s / total_s if total_s else None


def _find_confidence(point: CachePoint, passes: int) -> Confidence:
    if point.assumptions or point.is_anew:
        return Confidence.LOW
    return Confidence.HIGH if point.stored.is_exact and passes > 1 else Confidence.MEDIUM
