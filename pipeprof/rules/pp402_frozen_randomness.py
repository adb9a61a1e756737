"""PP402: something random stands before a cache, so that it is the same in every epoch.

The one idea: this is about correctness, not time: the model sees less variety than its author believes. It never asks
whether the pipeline is fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.looks import ElementLook, LookKind, LookOrder
from pipeprof.model.profile import Role
from pipeprof.rules.base import Parameters, Rule, Status, name_stage
from pipeprof.rules.cache_point import count_objects, count_passes, is_never_full, is_repeated
from pipeprof.rules.freshness import CACHE_OPS, Difference, judge_freshness, reshuffles
from pipeprof.rules.needs import Need
from pipeprof.rules.observed import observed
from pipeprof.rules.python_work import runs_python

_FEWEST = 4  # elements, whose equal order in two passes is no accident


class FrozenRandomness(Rule[Parameters]):
    """Frozen randomness.

    What it looks for:
        A map with random operations before a cache() or snapshot(), or a
        shuffle that reshuffles before one without another shuffle after it.

    Why it costs time:
        It costs accuracy, not time: the cache keeps what was drawn in the
        first epoch, so that every later epoch sees the same "random" crops and
        flips, or the same order. No error and no slowdown shows it. It is
        therefore always of medium severity, whatever the input's share of the
        step.

    How it is measured:
        From the traced functions and the arguments; nothing is timed. Where the
        pipeline can be read again after the script, two passes up to the cache
        are compared by hashes: what differs in them is what the cache freezes.
        That finds random Python code too, and is silent where nothing differs.

    When it is wrong:
        Where frozen draws are wanted: a fixed random subset, a validation set
        (those are not looked at). Random Python code is not seen without the
        second reading. With an operation seed or a global seed and one iterator
        per epoch, TensorFlow repeats the draws anyway: the message says so, and
        the confidence is medium.

    What to do:
        Move the cache before the first random stage: source, decode, cache,
        shuffle, random augmentation, batch.

    What that can change:
        The data: later epochs get new random values, which is the purpose.
        Each epoch then pays for the stages after the cache.

    References:
        TensorFlow tutorial "Image segmentation", fixed after
        tensorflow/tensorflow issue 47755; TensorFlow guide "Better performance
        with the tf.data API", on caching.
    """

    code = "PP402"
    name = "frozen-randomness"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.PIPELINES,)

    def looks(self, analysis: Analysis) -> Iterator[LookOrder]:
        """Order two passes up to each cache that something random, or Python code, stands before."""
        for pipeline, cache in _find_filled_caches(analysis):
            if _find_frozen(pipeline, cache) or _find_python(pipeline, cache):
                yield _order_passes(pipeline, cache)

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:  # noqa: ARG002 - rules share one shape
        """Yield a finding for each cache with something random before it."""
        for pipeline, cache in _find_filled_caches(analysis):
            look = analysis.look(_order_passes(pipeline, cache))
            frozen = _find_frozen(pipeline, cache)
            if frozen and not (_shows_nothing(look) and not _seed_repeats(pipeline, cache, frozen)):
                yield self._report_cache(pipeline, cache, frozen, look)
            elif not frozen and _shows_other_values(pipeline, cache, look):
                yield self._report_python(pipeline, cache, look)

    def _report_cache(
        self, pipeline: PipelineView, cache: StageView, frozen: Sequence[StageView], look: ElementLook | None
    ) -> Finding:
        first = frozen[0]
        reason = "" if first.written is None else judge_freshness(first.written).reason
        others = f" The same holds for {' and '.join(name_stage(view) for view in frozen[1:])}." if len(frozen) > 1 else ""
        seeded = _seed_repeats(pipeline, cache, frozen)
        note = " A seed with a new iterator for each epoch repeats the draws even without the cache." if seeded else ""
        confidence = Confidence.HIGH if is_repeated(pipeline, cache) and not seeded else Confidence.MEDIUM
        return self.report(
            f"{name_stage(first)} {reason}, but {name_stage(cache)} comes after it: every later epoch gets the first epoch's "
            f"again.{others}{note} Put the cache before it.",
            severity=Severity.MEDIUM,
            confidence=confidence,
            pipeline=pipeline,
            view=cache,
            evidence=(*_evidence(pipeline, cache, frozen), *observed(look, "same_before_cache")),
        )

    def _report_python(self, pipeline: PipelineView, cache: StageView, look: ElementLook | None) -> Finding:
        python = _find_python(pipeline, cache)
        shown = "" if look is None else f"{units.percent(1 - (look.same or 0.0))} of {look.elements:,}"
        return self.report(
            f"{name_stage(python[0])} runs Python code before {name_stage(cache)}, and two passes up to there gave other "
            f"elements ({shown}): the cache freezes them, every later epoch gets the first epoch's again. Put the cache before "
            "what is random in it.",
            severity=Severity.MEDIUM,
            confidence=Confidence.HIGH if is_repeated(pipeline, cache) else Confidence.MEDIUM,
            pipeline=pipeline,
            view=cache,
            evidence=(*_evidence(pipeline, cache, python), *observed(look, "same_before_cache")),
        )


def _evidence(pipeline: PipelineView, cache: StageView, frozen: Sequence[StageView]) -> tuple[Evidence, ...]:
    inputs = frozen[0].stage.inputs
    return (
        Evidence(name="frozen_stages", value=" ".join(view.id for view in frozen)),
        Evidence(name="cache_after", value=inputs[0] if inputs else None),
        Evidence(name="passes", value=count_passes(pipeline, cache), unit="epochs"),
    )


def _find_filled_caches(analysis: Analysis) -> Iterator[tuple[PipelineView, StageView]]:
    """Yield the caches of training that hold a pass for the next: neither made anew in each epoch nor never full."""
    for pipeline in analysis.pipelines:
        if pipeline.record.role is Role.VALIDATION:
            continue
        for cache in _find_caches(pipeline):
            if not _starts_empty(pipeline, cache) and not is_never_full(pipeline, cache):
                yield pipeline, cache


# --- what the elements say ---------------------------------------------------------------------------------------


def _order_passes(pipeline: PipelineView, cache: StageView) -> LookOrder:
    """Order two passes up to a cache, made as the run makes its epochs."""
    return LookOrder(
        kind=LookKind.PASSES,
        pipeline_id=pipeline.record.id,
        stage_id=cache.stage.inputs[0] if cache.stage.inputs else cache.id,
        one_iterator=_is_repeated_after(pipeline, cache),
    )


def _shows_nothing(look: ElementLook | None) -> bool:
    """Tell whether two passes were equal, element by element."""
    return look is not None and look.same_order is True and look.elements >= _FEWEST


def _shows_other_values(pipeline: PipelineView, cache: StageView, look: ElementLook | None) -> bool:
    """Tell whether two passes gave other elements; of passes read in part, only where another order would be frozen too."""
    if look is None or look.same_order is not False or look.same is None or look.same == 1:
        return False
    return look.whole or not _is_reshuffled(pipeline, cache)


def _find_python(pipeline: PipelineView, cache: StageView) -> list[StageView]:
    """Return the stages, source first, whose Python code was taken to be deterministic, and that end in no earlier cache."""
    return [view for view in _between(pipeline, cache) if runs_python(view)]


# --- what the graph says -----------------------------------------------------------------------------------------


def _find_caches(pipeline: PipelineView) -> tuple[StageView, ...]:
    return tuple(view for view in pipeline.stages if view.written is not None and view.written.op in CACHE_OPS)


def _starts_empty(pipeline: PipelineView, cache: StageView) -> bool:
    """Tell whether each epoch has a new cache in memory, because the dataset is built anew."""
    written = cache.written
    is_on_disk = written is not None and (written.op != "cache" or bool(written.arguments.get("filename")))
    return count_objects(cache) > 1 and not is_repeated(pipeline, cache) and not is_on_disk


def _find_frozen(pipeline: PipelineView, cache: StageView) -> list[StageView]:
    """Return the stages, source first, whose fresh draws end in this cache and not in an earlier one."""
    is_reshuffled = _is_reshuffled(pipeline, cache)
    frozen = []
    for view in _between(pipeline, cache):
        change = Difference.NOTHING if view.written is None else judge_freshness(view.written).change
        if change is Difference.RANDOM or (change is Difference.ORDER and not is_reshuffled):
            frozen.append(view)
    return frozen


def _between(pipeline: PipelineView, cache: StageView) -> tuple[StageView, ...]:
    """Return the cache and what is before it, up to an earlier cache."""
    earlier = frozenset(view.id for view in _find_caches(pipeline) if view.id != cache.id)
    return upstream(pipeline, cache.id, stop_at=earlier)


def _is_reshuffled(pipeline: PipelineView, cache: StageView) -> bool:
    return any(view.written is not None and reshuffles(view.written) for view in downstream(pipeline, cache.id))


def _is_repeated_after(pipeline: PipelineView, cache: StageView) -> bool:
    return any(view.written is not None and view.written.op == "repeat" for view in downstream(pipeline, cache.id))


def _seed_repeats(pipeline: PipelineView, cache: StageView, frozen: Sequence[StageView]) -> bool:
    """Tell whether a seed makes every new iterator draw the same, with no repeat inside one iterator."""
    if _is_repeated_after(pipeline, cache):
        return False
    functions = [view.written.function for view in frozen if view.written is not None]
    return bool(functions) and all(
        function is not None and (function.has_op_seed or pipeline.record.global_seed_set) for function in functions
    )
