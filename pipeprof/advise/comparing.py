"""What is compared of one change before it is timed: each kind asks of its elements what it can promise.

How elements are compared is ``equivalence``'s. Nothing here is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pipeprof.advise.changes import find_change
from pipeprof.advise.changes.bucket import BUCKET, with_single_rows
from pipeprof.advise.changes.repeat_once import REPEAT
from pipeprof.advise.changes.shrink_prefetch import SHRINK
from pipeprof.advise.changes.split_map import SPLIT, fixed_source
from pipeprof.advise.equivalence import compare
from pipeprof.advise.graph import node_name, nodes_by_name
from pipeprof.advise.live_state import live_state_above
from pipeprof.advise.recommend import PROVEN, UNTIMED
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sides import Equivalence, Leeway
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.profile import ElementsState

ELEMENTS = 512
_FREES = "it frees memory and makes nothing faster, so that there is nothing to time: pipeprof fix --untried writes it"
_ROW_BY_ROW = "the same rows, compared one by one; other rows meet in a batch"


def compare_change(
    item: Recommendation,
    pair: tuple[Replayable, Replayable],
    rewrite: Callable[[Replayable], Replayable],
    names: Mapping[str, str],
    seconds: float,
) -> Equivalence:
    """Compare the elements of a pipeline with those of its changed form.

    Args:
        item: the change.
        pair: the pipeline, and what the change made of it.
        rewrite: makes the change in another form of the pipeline.
        names: of the nodes of its stages.
        seconds: for all of it.

    Raises:
        TrialError: one of them cannot be rewritten or loaded.
    """
    kind, kept_at = item.change.kind, _kept_at(pair[0], item, names)
    may_reorder = item.safety is Safety.REORDERS
    if kind == BUCKET:  # of one row each, buckets are full at once, and keep the order
        rows, may_reorder = with_single_rows(pair[0]), False
        pair = rows, rewrite(rows)
    found = compare(
        *pair,
        limit_elements=ELEMENTS,
        epochs=2,
        time_budget_s=seconds,
        kept_at=kept_at,
        leeway=Leeway(may_reorder=may_reorder, cuts_functions=kind == SPLIT, in_one=kind == REPEAT),
    )
    if kind == BUCKET and found.state in PROVEN:
        return replace(found, state=ElementsState.REORDERED, note=_ROW_BY_ROW)
    return found


def why_untimed(item: Recommendation, view: PipelineView, found: ElementsState) -> str:
    """Return why a change is not timed that pays in memory or in the model's step, and what to do; "" for any other."""
    if item.change.kind not in UNTIMED:
        return ""
    if item.change.kind == SHRINK:
        return _FREES
    shared = live_state_above(view, item.stage_id or "")
    if found is not ElementsState.REORDERED:
        how = "and its rows were not proven to stay the same"
    elif shared:
        how = f"and {shared}, so that it is not made in the running script: the patch can be tried by hand"
    else:
        how = "and pipeprof confirm --rerun 3 --allow reorders runs your script with it"
    return f"it pays in the model's step, which a replay repeats as it was, {how}"


def _kept_at(current: Replayable, item: Recommendation, names: Mapping[str, str]) -> str:
    """Return the node whose elements a change keeps for later epochs, empty where it keeps none; of a cache what it reads."""
    name = names.get(item.stage_id or "", "") if find_change(item.change.kind).freezes else ""
    node = nodes_by_name(current.graph).get(name)
    if node is not None and item.change.kind == SPLIT:
        return fixed_source(current.graph, name)
    return node_name(node.input[0]) if node is not None and node.op.startswith("CacheDataset") else name
