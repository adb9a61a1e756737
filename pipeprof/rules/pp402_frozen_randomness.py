"""PP402: something random stands before a cache, so that it is the same in every epoch.

The one idea: this is about correctness, not time: the model sees less variety than its author believes. It never asks
whether the pipeline is fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeprof.analysis.stage_graph import downstream, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.profile import Role
from pipeprof.rules.base import Parameters, Rule, Status, name_stage
from pipeprof.rules.cache_point import count_objects, count_passes, is_repeated
from pipeprof.rules.freshness import CACHE_OPS, Difference, judge_freshness, reshuffles
from pipeprof.rules.needs import Need


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
        From the traced functions and the arguments; nothing is timed.

    When it is wrong:
        Where frozen draws are wanted: a fixed random subset, a validation set
        (those are not looked at). Random Python code is not seen. With an
        operation seed or a global seed and one iterator per epoch, TensorFlow
        repeats the draws anyway: the message says so, and the confidence is
        medium.

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

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:  # noqa: ARG002 - rules share one shape
        """Yield a finding for each cache with something random before it."""
        for pipeline in analysis.pipelines:
            if pipeline.record.role is Role.VALIDATION:
                continue
            for cache in _find_caches(pipeline):
                frozen = _find_frozen(pipeline, cache)
                if frozen and not _starts_empty(pipeline, cache):
                    yield self._report_cache(pipeline, cache, frozen)

    def _report_cache(self, pipeline: PipelineView, cache: StageView, frozen: Sequence[StageView]) -> Finding:
        first = frozen[0]
        reason = "" if first.written is None else judge_freshness(first.written).reason
        others = f" The same holds for {' and '.join(name_stage(view) for view in frozen[1:])}." if len(frozen) > 1 else ""
        seeded = _seed_repeats(pipeline, cache, frozen)
        note = " A seed with a new iterator for each epoch repeats the draws even without the cache." if seeded else ""
        confidence = Confidence.HIGH if is_repeated(pipeline, cache) and not seeded else Confidence.MEDIUM
        inputs = first.stage.inputs
        return self.report(
            f"{name_stage(first)} {reason}, but {name_stage(cache)} comes after it: every later epoch gets the first epoch's "
            f"again.{others}{note} Put the cache before it.",
            severity=Severity.MEDIUM,
            confidence=confidence,
            pipeline=pipeline,
            view=cache,
            evidence=(
                Evidence(name="frozen_stages", value=" ".join(view.id for view in frozen)),
                Evidence(name="cache_after", value=inputs[0] if inputs else None),
                Evidence(name="passes", value=count_passes(pipeline, cache), unit="epochs"),
            ),
        )


def _find_caches(pipeline: PipelineView) -> tuple[StageView, ...]:
    return tuple(view for view in pipeline.stages if view.written is not None and view.written.op in CACHE_OPS)


def _starts_empty(pipeline: PipelineView, cache: StageView) -> bool:
    """Tell whether each epoch has a new cache in memory, because the dataset is built anew."""
    written = cache.written
    is_on_disk = written is not None and (written.op != "cache" or bool(written.arguments.get("filename")))
    return count_objects(cache) > 1 and not is_repeated(pipeline, cache) and not is_on_disk


def _find_frozen(pipeline: PipelineView, cache: StageView) -> list[StageView]:
    """Return the stages, source first, whose fresh draws end in this cache and not in an earlier one."""
    earlier = frozenset(view.id for view in _find_caches(pipeline) if view.id != cache.id)
    is_reshuffled = any(view.written is not None and reshuffles(view.written) for view in downstream(pipeline, cache.id))
    frozen = []
    for view in upstream(pipeline, cache.id, stop_at=earlier):
        change = Difference.NOTHING if view.written is None else judge_freshness(view.written).change
        if change is Difference.RANDOM or (change is Difference.ORDER and not is_reshuffled):
            frozen.append(view)
    return frozen


def _seed_repeats(pipeline: PipelineView, cache: StageView, frozen: Sequence[StageView]) -> bool:
    """Tell whether a seed makes every new iterator draw the same, with no repeat inside one iterator."""
    if any(view.written is not None and view.written.op == "repeat" for view in downstream(pipeline, cache.id)):
        return False
    functions = [view.written.function for view in frozen if view.written is not None]
    return bool(functions) and all(
        function is not None and (function.has_op_seed or pipeline.record.global_seed_set) for function in functions
    )
