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
from pipeprof.model.profile import CallSite, Role
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.cache_point import count_objects
from pipeprof.rules.freshness import repeats, reshuffles
from pipeprof.rules.needs import Need

CAUSE = "cause"
_FEWEST = 1000  # elements: of smaller data sets little is known from one run


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
        is low, whatever the input costs.

    When it is wrong:
        Where epochs are mixed on purpose. A small buffer is right where the
        files were written in random order: it is information only.

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

    def check(self, analysis: Analysis, params: ShuffleQualityParameters) -> Iterator[Finding]:
        """Yield a finding for each shuffle of doubtful quality, for its gravest cause."""
        said: set[CallSite | None] = set()
        for pipeline in analysis.pipelines:
            for shuffle in pipeline.stages:
                if shuffle.written is None or shuffle.written.op != "shuffle":
                    continue
                other = _find_other_part(analysis, pipeline, shuffle)
                if other is not None and shuffle.stage.call_site not in said:
                    said.add(shuffle.stage.call_site)
                    yield self._report_leak(pipeline, shuffle, other)
                elif other is None and pipeline.record.role is not Role.VALIDATION:
                    yield from self._report_order(pipeline, shuffle, params)

    def _report_leak(self, pipeline: PipelineView, shuffle: StageView, parts: tuple[StageView, StageView]) -> Finding:
        mine, other = parts
        return self.report(
            f"{name_stage(shuffle)} makes a new order in every pass, and {name_stage(mine)} and {name_stage(other)} split that "
            "order: in each epoch both parts hold other elements, so that training sees what validation is measured on. Split "
            "first, or shuffle with reshuffle_each_iteration=False.",
            severity=Severity.LOW,
            confidence=Confidence.HIGH,
            pipeline=pipeline,
            view=shuffle,
            evidence=(Evidence(name=CAUSE, value=Cause.LEAK), Evidence(name="parts", value=f"{mine.id} {other.id}")),
        )

    def _report_order(self, pipeline: PipelineView, shuffle: StageView, params: ShuffleQualityParameters) -> Iterator[Finding]:
        before = [view for view in upstream(pipeline, shuffle.id) if view.id != shuffle.id]
        repeat = next((view for view in before if _mixes_epochs(pipeline, view)), None)
        size, total = _buffer(shuffle), _elements(pipeline, shuffle)
        if repeat is not None:
            yield self.report(
                f"{name_stage(repeat)} stands before {name_stage(shuffle)}, which mixes the end of an epoch with the start of "
                "the next: some elements come twice before others came once. Put the repeat after the shuffle.",
                severity=Severity.LOW,
                confidence=Confidence.MEDIUM,
                pipeline=pipeline,
                view=shuffle,
                evidence=(Evidence(name=CAUSE, value=Cause.MIXES_EPOCHS), Evidence(name="repeat", value=repeat.id)),
            )
        elif size is not None and total is not None and size < params.min_of_data * total and not _is_shuffled(before):
            yield self.report(
                f"{name_stage(shuffle)} mixes {size:,} of {total:,.0f} elements at a time, and nothing before it is shuffled: "
                f"elements stay within {units.percent(size / total)} of the data of where they were. Where the files are in "
                "some order (by class, by date), shuffle file names too, or take a larger buffer.",
                severity=Severity.INFO,
                confidence=Confidence.LOW,
                pipeline=pipeline,
                view=shuffle,
                evidence=(
                    Evidence(name=CAUSE, value=Cause.SMALL_BUFFER),
                    Evidence(name="of_data", value=size / total, unit="share", threshold=params.min_of_data),
                ),
            )


def _mixes_epochs(pipeline: PipelineView, view: StageView) -> bool:
    """Tell whether a stage repeats passes; of one single element there is nothing to mix."""
    if view.written is None or not repeats(view.written):
        return False
    above = [item.written for item in upstream(pipeline, view.id) if item.id in view.written.inputs]
    return not any(item is not None and item.cardinality == 1 for item in above)


def _find_other_part(analysis: Analysis, pipeline: PipelineView, shuffle: StageView) -> tuple[StageView, StageView] | None:
    """Return the stages that split what this shuffle gives between two pipelines, one with take and one with skip."""
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
                return mine, part
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
