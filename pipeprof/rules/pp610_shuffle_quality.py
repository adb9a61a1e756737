"""PP610: a shuffle that mixes less, or other things, than its author may think.

The one idea: a shuffle mixes within its buffer, at the place where it stands, anew in each pass; each of the three can go
wrong without an error. This is about what the model learns, not about time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.looks import ElementLook, LookKind, LookOrder
from pipeprof.model.profile import CallSite, Role
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.cache_point import count_objects
from pipeprof.rules.freshness import repeats, reshuffles
from pipeprof.rules.needs import Need
from pipeprof.rules.observed import observed

CAUSE = "cause"
_FEWEST = 1000  # elements: of smaller data sets little is known from one run
_MOST_READ = 20_000  # elements of a pass
_BUFFERS_READ = 10  # full, before the order of what came is said to be kept: within one buffer everything is mixed
_HARDLY_MIXED = 0.9  # rank correlation of the places in two passes
_WELL_MIXED = 0.5


class Cause(StrEnum):
    """What is wrong with a shuffle."""

    LEAK = "split-reshuffles"
    MIXES_EPOCHS = "repeat-before-shuffle"
    SMALL_BUFFER = "small-buffer"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffleQualityParameters(Parameters):
    """Thresholds of PP610."""

    min_of_data: float = parameter(
        0.02, unit="share of the data set", low=0, high=1, doc="a smaller buffer, the only shuffle there is, is said"
    )


class ShuffleQuality(Rule[ShuffleQualityParameters]):
    """Shuffle quality.

    What it looks for:
        Two pipelines that split one shuffled order with take() and skip(),
        while the shuffle makes a new order in each pass; a repeat() before a
        shuffle; a buffer much smaller than the data, the only shuffle there is.

    Why it costs time:
        It costs accuracy, not time. A new order in each pass puts other
        elements into both parts of a split: the model is validated on what it
        was trained on. A repeat before a shuffle mixes the end of an epoch with
        the next one, so that some elements come twice before others came once.
        A small buffer keeps the order of the files: one class after the other.

    How it is measured:
        From the written stages and their arguments; nothing is timed. Severity
        is low, whatever the input costs. Where the pipelines can be read again
        after the script, hashes show it: elements that both parts of a split
        had in two passes, elements that came twice before others came once,
        the rank correlation of the places of elements in two passes.

    When it is wrong:
        Where epochs are mixed on purpose. A small buffer is right where the
        files were written in random order: it is information only. It is silent
        where the elements, read again, show nothing of the kind.

    What to do:
        Split first and shuffle the training part after it, or shuffle with
        reshuffle_each_iteration=False (list_files: shuffle=False or a seed and
        one pass) before a split. shuffle before repeat. Shuffle file names too,
        and interleave files.

    What that can change:
        Which elements are in which part, and their order: that is the purpose.

    References:
        TensorFlow guide "tf.data: Build TensorFlow input pipelines", on
        shuffle and repeat; tf.data.Dataset.shuffle, on
        reshuffle_each_iteration.
    """

    code = "PP610"
    name = "shuffle-quality"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.PIPELINES,)
    parameters = ShuffleQualityParameters

    def looks(self, analysis: Analysis) -> Iterator[LookOrder]:
        """Order a look for each shuffle of doubtful quality."""
        for doubt in _find_doubts(analysis, ShuffleQualityParameters()):
            yield from () if doubt.order is None else (doubt.order,)

    def check(self, analysis: Analysis, params: ShuffleQualityParameters) -> Iterator[Finding]:
        """Yield a finding for each shuffle of doubtful quality, for its gravest cause."""
        for doubt in _find_doubts(analysis, params):
            look = None if doubt.order is None else analysis.look(doubt.order)
            if not _is_disproved(doubt, look):
                report = {
                    Cause.LEAK: self._report_leak,
                    Cause.MIXES_EPOCHS: self._report_mixed,
                    Cause.SMALL_BUFFER: self._report_small,
                }[doubt.cause]
                yield report(doubt, look, params)

    def _report_leak(self, doubt: _Doubt, look: ElementLook | None, params: ShuffleQualityParameters) -> Finding:  # noqa: ARG002
        mine, other = doubt.others
        is_shown = _excess(look) > 0
        seen = f" (read again for two passes, {units.percent(look.same)} of the smaller part)" if look and is_shown else ""
        return self.report(
            f"{name_stage(doubt.shuffle)} makes a new order in every pass, and {name_stage(mine)} and {name_stage(other)} "
            f"split that order: in each epoch both parts hold other elements, so that training sees what validation is "
            f"measured on{seen}. Split first, or shuffle with reshuffle_each_iteration=False.",
            severity=Severity.LOW,
            confidence=Confidence.HIGH,
            pipeline=doubt.pipeline,
            view=doubt.shuffle,
            evidence=(
                Evidence(name=CAUSE, value=doubt.cause),
                Evidence(name="parts", value=f"{mine.id} {other.id}"),
                *observed(look, "in_both_parts"),
            ),
        )

    def _report_mixed(self, doubt: _Doubt, look: ElementLook | None, params: ShuffleQualityParameters) -> Finding:  # noqa: ARG002
        (repeat,) = doubt.others
        is_shown = _excess(look) > 0
        seen = f" ({units.percent(_excess(look))} of one pass, read again)" if is_shown else ""
        return self.report(
            f"{name_stage(repeat)} stands before {name_stage(doubt.shuffle)}, which mixes the end of an epoch with the start "
            f"of the next: some elements come twice before others came once{seen}. Put the repeat after the shuffle.",
            severity=Severity.LOW,
            confidence=Confidence.HIGH if is_shown else Confidence.MEDIUM,
            pipeline=doubt.pipeline,
            view=doubt.shuffle,
            evidence=(
                Evidence(name=CAUSE, value=doubt.cause),
                Evidence(name="repeat", value=repeat.id),
                *observed(look, "came_twice"),
            ),
        )

    def _report_small(self, doubt: _Doubt, look: ElementLook | None, params: ShuffleQualityParameters) -> Finding:
        kept = _order_kept(doubt, look)
        is_shown = kept is not None and kept >= _HARDLY_MIXED
        seen = f"; two passes gave them in nearly the same order (rank correlation {kept:.2f})" if is_shown else ""
        rank = Evidence(name="order_kept", value=kept, unit="rank correlation", threshold=_HARDLY_MIXED)
        return self.report(
            f"{name_stage(doubt.shuffle)} mixes {doubt.size:,} of {doubt.total:,.0f} elements at a time, and nothing before "
            f"it is shuffled: elements stay within {units.percent(doubt.size / doubt.total)} of the data of where they "
            f"were{seen}. Where the files are in some order (by class, by date), shuffle file names too, or take a larger "
            "buffer.",
            severity=Severity.INFO,
            confidence=Confidence.MEDIUM if is_shown else Confidence.LOW,
            pipeline=doubt.pipeline,
            view=doubt.shuffle,
            evidence=(
                Evidence(name=CAUSE, value=doubt.cause),
                Evidence(name="of_data", value=doubt.size / doubt.total, unit="share", threshold=params.min_of_data),
                *(() if kept is None else (rank,)),
            ),
        )


# --- what the graph says -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Doubt:
    """One shuffle and what the graph says against it."""

    cause: Cause
    pipeline: PipelineView
    shuffle: StageView
    others: tuple[StageView, ...] = ()  # LEAK: both parts; MIXES_EPOCHS: the repeat
    size: int = 0  # SMALL_BUFFER: of the buffer
    total: float = 1.0  # SMALL_BUFFER: elements of a pass
    order: LookOrder | None = None  # of the look that can show it


def _find_doubts(analysis: Analysis, params: ShuffleQualityParameters) -> Iterator[_Doubt]:
    """Yield what the graph says against shuffles, of each the gravest; of one call's leaks the first."""
    said: set[CallSite | None] = set()
    for pipeline in analysis.pipelines:
        for shuffle in pipeline.stages:
            if shuffle.written is None or shuffle.written.op != "shuffle":
                continue
            leak = _doubt_of_split(analysis, pipeline, shuffle)
            if leak is not None and shuffle.stage.call_site not in said:
                said.add(shuffle.stage.call_site)
                yield leak
            elif leak is None and pipeline.record.role is not Role.VALIDATION:
                doubt = _doubt_of_repeat(pipeline, shuffle) or _doubt_of_size(pipeline, shuffle, params)
                yield from () if doubt is None else (doubt,)


def _doubt_of_repeat(pipeline: PipelineView, shuffle: StageView) -> _Doubt | None:
    before = [view for view in upstream(pipeline, shuffle.id) if view.id != shuffle.id]
    repeat = next((view for view in before if _mixes_epochs(pipeline, view)), None)
    if repeat is None:
        return None
    order = LookOrder(
        kind=LookKind.REPEATS,
        pipeline_id=pipeline.record.id,
        stage_id=shuffle.id,
        other_stage_id=repeat.id,
        elements=_MOST_READ,
    )
    is_direct = shuffle.stage.inputs == (repeat.id,)  # else a pass may have another number of elements at the shuffle
    return _Doubt(
        cause=Cause.MIXES_EPOCHS,
        pipeline=pipeline,
        shuffle=shuffle,
        others=(repeat,),
        order=order if is_direct else None,
    )


def _doubt_of_size(pipeline: PipelineView, shuffle: StageView, params: ShuffleQualityParameters) -> _Doubt | None:
    before = [view for view in upstream(pipeline, shuffle.id) if view.id != shuffle.id]
    size, total = _buffer(shuffle), _elements(pipeline, shuffle)
    if size is None or total is None or size >= params.min_of_data * total or _is_shuffled(before):
        return None
    wanted = min(_MOST_READ, max(_FEWEST, 2 * _BUFFERS_READ * size))
    order = LookOrder(kind=LookKind.PASSES, pipeline_id=pipeline.record.id, stage_id=shuffle.id, elements=wanted)
    return _Doubt(cause=Cause.SMALL_BUFFER, pipeline=pipeline, shuffle=shuffle, size=size, total=total, order=order)


def _doubt_of_split(analysis: Analysis, pipeline: PipelineView, shuffle: StageView) -> _Doubt | None:
    found = _find_other_part(analysis, pipeline, shuffle)
    if found is None:
        return None
    mine, holder, other = found
    order = LookOrder(
        kind=LookKind.PARTS,
        pipeline_id=pipeline.record.id,
        stage_id=mine.id,
        other_pipeline_id=holder.record.id,
        other_stage_id=other.id,
        elements=_MOST_READ,
    )
    return _Doubt(cause=Cause.LEAK, pipeline=pipeline, shuffle=shuffle, others=(mine, other), order=order)


# --- what the elements say ---------------------------------------------------------------------------------------


def _is_disproved(doubt: _Doubt, look: ElementLook | None) -> bool:
    """Tell whether the elements, read again, show nothing of what the graph lets expect."""
    if look is None:
        return False
    if doubt.cause is Cause.SMALL_BUFFER:
        kept = _order_kept(doubt, look)
        return kept is not None and kept < _WELL_MIXED
    return look.whole and _excess(look) <= 0


def _excess(look: ElementLook | None) -> float:
    """Return by how much the share that was looked for exceeds that of its control."""
    if look is None or look.same is None or look.control is None:
        return 0.0
    return look.same - look.control


def _order_kept(doubt: _Doubt, look: ElementLook | None) -> float | None:
    """Return how far two passes kept the order; None where so few buffers full were read that they are mixed in any case."""
    return None if look is None or look.elements < _BUFFERS_READ * doubt.size else look.order_kept


# --- stages ------------------------------------------------------------------------------------------------------


def _mixes_epochs(pipeline: PipelineView, view: StageView) -> bool:
    """Tell whether a stage repeats passes; of one single element there is nothing to mix."""
    if view.written is None or not repeats(view.written):
        return False
    above = [item.written for item in upstream(pipeline, view.id) if item.id in view.written.inputs]
    return not any(item is not None and item.cardinality == 1 for item in above)


def _find_other_part(
    analysis: Analysis, pipeline: PipelineView, shuffle: StageView
) -> tuple[StageView, PipelineView, StageView] | None:
    """Return the stages that split what this shuffle gives, one take and one skip: here, and in which other pipeline."""
    if shuffle.written is None or not reshuffles(shuffle.written) or shuffle.stage.call_site is None:
        return None
    mine = _splitter(pipeline, shuffle)
    if mine is None:
        return None
    for other in analysis.pipelines:
        same = [view for view in other.stages if view.stage.call_site == shuffle.stage.call_site and view.stage.op == "shuffle"]
        for view in same if other is not pipeline else ():
            part = _splitter(other, view)
            if part is not None and part.stage.op != mine.stage.op:
                return mine, other, part
    return None


def _splitter(pipeline: PipelineView, shuffle: StageView) -> StageView | None:
    """Return the first take or skip after the shuffle, with no cache between, which would fix the order."""
    for view in downstream(pipeline, shuffle.id):
        if view.stage.op in {"cache", "snapshot"}:
            return None
        if view.stage.op in {"take", "skip"}:
            return view
    return None


def _is_shuffled(before: list[StageView]) -> bool:
    return any("shuffle" in view.stage.op or "random" in view.stage.op or _shuffles_inside(view) for view in before)


def _shuffles_inside(view: StageView) -> bool:
    function = view.written.function if view.written is not None else None
    return function is not None and any("Shuffle" in name for name in function.inner_datasets)


def _buffer(shuffle: StageView) -> int | None:
    size = shuffle.written.arguments.get("buffer_size") if shuffle.written is not None else None
    return size if isinstance(size, int) and size > 0 else None


def _elements(pipeline: PipelineView, shuffle: StageView) -> float | None:
    """Return the elements of a whole pass over the data, None where they are few or not known."""
    written = shuffle.written
    if written is None or written.cardinality == -1:
        return None
    loop = pipeline.record.loop
    passes = max(1, loop.epoch_count // count_objects(shuffle))
    seen = (shuffle.visit_ratio or 0.0) * loop.elements / passes / count_objects(shuffle)
    total = float(written.cardinality) if written.cardinality > 0 else seen
    return total if total >= _FEWEST else None
