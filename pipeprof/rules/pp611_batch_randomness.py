"""PP611: one random draw for a whole batch, where each element may have been meant to get its own.

The one idea: a function after batch() that draws a single number (one brightness, one corner of a crop) changes all elements of
the batch alike. It speaks only where the shape of the draw is known, and never of draws that have a batch dimension.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof.analysis.stage_graph import upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.looks import ElementLook, LookKind, LookOrder
from pipeprof.model.profile import Role
from pipeprof.rules.base import Parameters, Rule, Status, name_stage
from pipeprof.rules.needs import Need
from pipeprof.rules.observed import observed

_BATCHES = frozenset({"batch", "padded_batch", "ragged_batch", "dense_to_ragged_batch"})
_UNBATCHES = frozenset({"unbatch", "flat_map", "interleave", "window", "group_by_window"})


class BatchRandomness(Rule[Parameters]):
    """Batch randomness.

    What it looks for:
        A map after batch() whose function draws a single random value, or a
        single corner for tf.image.random_crop, for all elements of the batch.

    Why it costs time:
        It costs variety, not time: all images of a batch get the same
        brightness, the same crop, the same decision to flip. Moving a map
        behind the batch for speed does this without an error. Severity is
        always low.

    How it is measured:
        From the static shapes of the random operations in the traced function.
        Draws inside a loop (tf.map_fn) and draws of unknown shape are not
        counted; nothing is timed. Where the pipeline can be read again after
        the script, the map gets batches made of one element again and again:
        rows that stay alike while batches differ are the proof.

    When it is wrong:
        Where one draw for a batch is meant, as in some forms of mixup. That
        cannot be seen, so the confidence is never high, and low where the rows
        were not seen.

    What to do:
        Draw with the batch dimension: tf.random.uniform([tf.shape(x)[0], 1, 1,
        1]), or do the random map before the batch.

    What that can change:
        The data: each element gets its own draw, which is the purpose.

    References:
        tf.image.random_brightness ("delta" is one value); tf.image.random_crop
        ("a randomly chosen offset").
    """

    code = "PP611"
    name = "batch-randomness"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.PIPELINES,)

    def looks(self, analysis: Analysis) -> Iterator[LookOrder]:
        """Order batches of one element for each such map."""
        for pipeline in analysis.pipelines:
            yield from (_order_batch(pipeline, view, batch) for view, batch, _ in _find_single_draws(pipeline))

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:  # noqa: ARG002 - rules share one shape
        """Yield a finding for each map that draws once for a batch."""
        for pipeline in analysis.pipelines:
            for view, batch, draws in _find_single_draws(pipeline):
                look = analysis.look(_order_batch(pipeline, view, batch))
                yield self._report_map(pipeline, view, batch, draws, look)

    def _report_map(
        self, pipeline: PipelineView, view: StageView, batch: StageView, draws: tuple[str, ...], look: ElementLook | None
    ) -> Finding:
        is_shown = look is not None and look.same == 1 and look.control is not None and look.control < 1
        seen = ", as batches of one element showed" if is_shown else ""
        return self.report(
            f"{name_stage(view)} draws one random value ({', '.join(draws)}) for a whole batch of {name_stage(batch)}: all its "
            f"elements are changed alike{seen}. Where each should get its own, draw with the batch dimension, or put the map "
            "before the batch.",
            severity=Severity.LOW,
            confidence=Confidence.MEDIUM if is_shown else Confidence.LOW,
            pipeline=pipeline,
            view=view,
            evidence=(
                Evidence(name="single_draws", value=" ".join(draws)),
                Evidence(name="batch", value=batch.id),
                *observed(look, "rows_alike"),
            ),
        )


def _order_batch(pipeline: PipelineView, view: StageView, batch: StageView) -> LookOrder:
    return LookOrder(kind=LookKind.BATCH, pipeline_id=pipeline.record.id, stage_id=view.id, other_stage_id=batch.id)


def _find_single_draws(pipeline: PipelineView) -> Iterator[tuple[StageView, StageView, tuple[str, ...]]]:
    """Yield the maps that draw once for a batch, with that batch and the draws."""
    if pipeline.record.role is Role.VALIDATION:
        return
    for view in pipeline.stages:
        batch = _find_batch(pipeline, view)
        if batch is not None and view.written is not None and view.written.function is not None:
            draws = view.written.function.single_draws
            if view.written.op == "map" and draws:
                yield view, batch, draws


def _find_batch(pipeline: PipelineView, view: StageView) -> StageView | None:
    """Return the batch whose batches the stage gets, None where it gets elements."""
    for item in reversed(upstream(pipeline, view.id)):
        if item.id == view.id:
            continue
        if item.stage.op in _UNBATCHES or len(item.stage.inputs) > 1:
            return None
        if item.stage.op in _BATCHES:
            size = item.written.arguments.get("batch_size") if item.written is not None else None
            return None if size == 1 else item
    return None
