"""Where a cache could stand: how large the data are there, how often they come by, and whether they repeat exactly.

The one idea: a cache point is any stage below which everything is the same in every epoch; what is stored is counted as
elements of one pass times bytes of one element. Sizes that are not known are ``None``, never guessed. Nothing here judges cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeprof.analysis.stage_graph import downstream, elements_per_step, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.profile import ElementsState
from pipeprof.rules.freshness import CACHE_OPS, Difference, Freshness, judge_freshness, repeats, reshuffles
from pipeprof.rules.tried import trials_of

NEVER_FULL_SHARE = 0.8  # of the passes, those in which what stands before a cache ran
_STOPS_EARLY = frozenset({"take", "take_while"})


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSize:
    """What a cache at one point would hold."""

    elements: float  # of one pass over the data
    element_bytes: float
    is_exact: bool  # both are static; otherwise measured in this run

    def total_bytes(self, tensors: int, tensor_overhead_bytes: float) -> float:
        """Return the bytes in memory, with TensorFlow's own for each tensor."""
        return self.elements * (self.element_bytes + tensors * tensor_overhead_bytes)


def find_disproved(analysis: Analysis, pipeline: PipelineView) -> tuple[StageView, ...]:
    """Return the stages after which a trial's cache would have frozen what is drawn anew at every epoch."""
    known = {view.id: view for view in pipeline.stages}
    tried = (trial for trial in trials_of(analysis, pipeline, "cache") if trial.stage_id in known)
    return tuple(known[trial.stage_id] for trial in tried if trial.elements is ElementsState.DIFFERENT)


def find_refusal(analysis: Analysis, pipeline: PipelineView, view: StageView) -> str:
    """Return why a trial found that no cache can be put after a stage, "" where none did."""
    tried = (trial for trial in trials_of(analysis, pipeline, "cache") if trial.stage_id == view.id)
    return next((trial.reason for trial in tried if trial.impossible), "")


def find_suspects(pipeline: PipelineView, disproved: Iterable[StageView]) -> frozenset[str]:
    """Return the stages that may be what differs: those of which something was assumed, or all where nothing was."""
    suspects: set[str] = set()
    for view in disproved:
        before = upstream(pipeline, view.id)
        assumed = [item.id for item in before if item.written is not None and judge_freshness(item.written).assumption]
        suspects.update(assumed or (item.id for item in before))
    return frozenset(suspects)


def find_assumptions(pipeline: PipelineView, view: StageView, suspects: frozenset[str] = frozenset()) -> tuple[str, ...] | None:
    """Return what must be assumed for the stage's output to repeat exactly; None where it does not, or is cached already."""
    if not _may_store(pipeline, view) or any(item.id in suspects for item in upstream(pipeline, view.id)):
        return None
    after = downstream(pipeline, view.id)
    order_matters = not any(item.written is not None and reshuffles(item.written) for item in after)
    assumptions: dict[str, None] = {}
    for item in upstream(pipeline, view.id):
        freshness = judge_freshness(item.written) if item.written is not None else Freshness()
        if freshness.change in {Difference.RANDOM, Difference.STATE}:
            return None
        if freshness.change is Difference.ORDER and order_matters:
            return None
        if freshness.assumption:
            assumptions[freshness.assumption] = None
    return tuple(assumptions)


def is_repeated(pipeline: PipelineView, view: StageView) -> bool:
    """Tell whether one object at the stage is read more than once: in several epochs, or by a repeat after the stage."""
    return pipeline.record.loop.epoch_count >= 2 * count_objects(view) or _repeats_after(pipeline, view)


def is_built_anew(pipeline: PipelineView, view: StageView) -> bool:
    """Tell whether each epoch reads a dataset object of its own at the stage, made with the same arguments as the last."""
    return count_objects(view) > 1 and not is_repeated(pipeline, view) and not differs_by_object(pipeline, view)


def differs_by_object(pipeline: PipelineView, view: StageView) -> bool:
    """Tell whether the stage, or one before it, was made with other arguments from object to object."""
    return any(item.written is not None and item.written.objects_differ for item in upstream(pipeline, view.id))


def count_objects(view: StageView) -> int:
    """Return how many dataset objects stood at the stage: a cache lives no longer than its own."""
    return view.written.objects if view.written is not None else 1


def count_passes(pipeline: PipelineView, view: StageView) -> int:
    """Return how many passes over one object's data were seen at the stage; at least 1."""
    counts = [pipeline.record.loop.epoch_count]
    if _repeats_after(pipeline, view):
        counts += [node.incarnations for node in view.executed[:1]]
    return max(1, max(counts) // count_objects(view))


def measure_stored(pipeline: PipelineView, view: StageView) -> StoredSize | None:
    """Return what a cache after the stage would hold, None where a part of it is not known."""
    written = view.written
    if written is None:
        return None
    elements = float(written.cardinality) if written.cardinality > 0 else _count_elements(pipeline, view)
    size = measure_element(pipeline, view)
    if not elements or size is None:
        return None
    return StoredSize(
        elements=elements, element_bytes=size, is_exact=written.cardinality > 0 and written.element_bytes is not None
    )


def measure_element(pipeline: PipelineView, view: StageView) -> float | None:
    """Return the bytes of one element of the stage: static where shapes are, else as TensorFlow counted them."""
    if view.written is not None and view.written.element_bytes is not None:
        return float(view.written.element_bytes)
    return _count_bytes(pipeline, view)


def find_cached(pipeline: PipelineView, view: StageView) -> frozenset[str]:
    """Return the stages before the stage that a cache among them serves already."""
    served: set[str] = set()
    for item in upstream(pipeline, view.id):
        if item.written is not None and item.written.op in CACHE_OPS:
            served |= {before.id for before in upstream(pipeline, item.id)}
    return frozenset(served)


def share_made_again(pipeline: PipelineView, cache: StageView) -> float | None:
    """Return the share of a cache's elements that were made anew; None where it is none, or too little was seen."""
    is_cache = cache.written is not None and cache.written.op == "cache" and not cache.written.arguments.get("filename")
    if not is_cache or not cache.visit_ratio or not cache.stage.inputs:
        return None
    if count_passes(pipeline, cache) < 2 or count_objects(cache) > 1:  # noqa: PLR2004 - built anew it starts empty
        return None
    if any(item.written is not None and item.written.op in CACHE_OPS for item in downstream(pipeline, cache.id)):
        return None  # one that is full reads this one no more
    before = next((view for view in pipeline.stages if view.id == cache.stage.inputs[0]), None)
    return None if before is None or before.visit_ratio is None else before.visit_ratio / cache.visit_ratio


def is_never_full(pipeline: PipelineView, cache: StageView) -> bool:
    """Tell whether a cache was seen to be made anew in nearly every pass."""
    share = share_made_again(pipeline, cache)
    return share is not None and share >= NEVER_FULL_SHARE


def reads_everything(pipeline: PipelineView, view: StageView) -> bool:
    """Tell whether the consumer reads the stage's data to their end, without which a cache never completes."""
    after = [item.written for item in downstream(pipeline, view.id) if item.written is not None]
    if any(written.op in _STOPS_EARLY and written.arguments.get("count") != -1 for written in after):
        return False
    output = next((item.written for item in pipeline.stages if item.id == pipeline.record.output), None)
    total = output.cardinality if output is not None else -2
    epochs = pipeline.record.loop.epochs
    return not (total > 0 and epochs and max(epoch.elements for epoch in epochs) < total)


def _may_store(pipeline: PipelineView, view: StageView) -> bool:
    written = view.written
    if written is None or not view.executed or written.op in CACHE_OPS or written.cardinality == -1:
        return False
    if any(item.written is not None and item.written.op in CACHE_OPS for item in downstream(pipeline, view.id)):
        return False
    has_repeat = any(item.written is not None and repeats(item.written) for item in upstream(pipeline, view.id))
    return not (has_repeat and written.cardinality < 0)


def _repeats_after(pipeline: PipelineView, view: StageView) -> bool:
    return any(item.written is not None and repeats(item.written) for item in downstream(pipeline, view.id))


def _count_elements(pipeline: PipelineView, view: StageView) -> float | None:
    """Return the elements of one pass: all that passed over the epochs, or over the complete repetitions where one follows.

    Counters miss elements of stages that come and go, so that the consumer's own count is used; the last repetition may be
    cut short and is not counted as one: the result is an upper bound.
    """
    loop, visits = pipeline.record.loop, elements_per_step(pipeline, view)
    if not visits:
        return None
    if not _repeats_after(pipeline, view):
        return visits * loop.elements / max(1, loop.epoch_count)
    if not view.executed or view.executed[0].incarnations <= 1:
        return None
    return visits * loop.elements / (view.executed[0].incarnations - 1)


def _count_bytes(pipeline: PipelineView, view: StageView) -> float | None:
    """Return the bytes of one element; in a fused node, those that the node made in one step shared out by visits."""
    if not view.executed or not view.executed[0].elements or not view.executed[0].bytes_produced:
        return None
    node_bytes = view.executed[0].bytes_produced / view.executed[0].elements
    visits = elements_per_step(pipeline, view)
    last = [item for item in pipeline.stages if item.id in view.shares_node_with or item.id == view.id][-1]
    if last.id == view.id:
        return node_bytes
    return node_bytes * last.visit_ratio / visits if visits and last.visit_ratio is not None else None
