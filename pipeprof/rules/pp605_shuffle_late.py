"""PP605: a shuffle buffer holds what a map has blown up, where it could hold what the map was made from.

The one idea: a shuffle mixes file names, records or numbers as well as it mixes pictures. What its buffer holds too much, in
bytes and in work before the first element, is what a map before it adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter
from pipeprof.rules.needs import Need
from pipeprof.rules.reordering import ONE_TO_ONE, held_bytes, held_elements, input_of, seconds_to_make, walk_back

_MIB = 1024.0 * 1024.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffleLateParameters(Parameters):
    """Thresholds of PP605."""

    min_ratio: float = parameter(4.0, unit="times", low=1.5, high=1e6, doc="the elements must have grown so much, in bytes")
    min_bytes: float = parameter(
        64 * _MIB, unit="bytes", low=0, high=1e15, doc="the buffer must hold so much too much, or its filling be waited for"
    )
    min_share: float = parameter(0.05, unit="share of the loop", low=0, high=1, doc="waits for the buffer's filling to report")


class ShuffleLate(Rule[ShuffleLateParameters]):
    """Shuffle late.

    What it looks for:
        A shuffle() behind maps that make elements several times as large as
        those that they take.

    Why it costs time:
        The buffer holds decoded elements: 1500 pictures of 224 x 224 took 232
        MB as bytes and 945 as float32, their numbers next to nothing. And at
        the start of each epoch training waits until the maps have filled it.

    How it is measured:
        Elements that the buffer held, times the bytes of one element behind the
        maps and before them, 170 bytes for each tensor included, which is what
        TensorFlow itself takes. The waiting is the time to make so many
        elements, but no more than the wait for the first element of each epoch,
        as a share of the whole loop.

    When it is wrong:
        Where a map gives several elements' worth of data that must be mixed
        apart (it then stands before an unbatch, where this rule stays silent).

    What to do:
        Put shuffle() before the map that decodes.

    What that can change:
        The order, as between any two epochs: elements are mixed just as well.
        Maps that draw random numbers draw them for other elements.

    References:
        TensorFlow guide "Better performance with the tf.data API", on reducing
        memory footprint; tensorflow/tensorflow issues 32376, 42586.
    """

    code = "PP605"
    name = "shuffle-late"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.COUNTERS)
    rivals = ("PP105", "PP405")
    parameters = ShuffleLateParameters

    def check(self, analysis: Analysis, params: ShuffleLateParameters) -> Iterator[Finding]:
        """Yield a finding for each shuffle whose elements a map before it has made much larger."""
        train = analysis.train
        if train is None:
            return
        for view in train.stages:
            late = _find_growth(analysis, train, view) if view.stage.op == "shuffle" and view.executed else None
            if late is None or late.after_bytes < params.min_ratio * late.before_bytes:
                continue
            cost = _cost(train, late)
            too_much = late.elements * (late.after_bytes - late.before_bytes)
            if too_much >= params.min_bytes or (cost >= params.min_share and cost > 0):
                yield self._report_shuffle(analysis, train, view, late, cost, params)

    def _report_shuffle(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        late: _Late,
        cost: float,
        params: ShuffleLateParameters,
    ) -> Finding:
        is_waited = cost >= params.min_share
        filling = f" and takes {units.duration(late.fill_s)} to fill at the start of each epoch" if is_waited else ""
        held, could = (late.elements * size for size in (late.after_bytes, late.before_bytes))
        return self.report(
            f"{name_stage(view)} holds {late.elements:,.0f} elements that {name_stage(late.map)} has made "
            f"{late.after_bytes / late.before_bytes:.0f} times as large: the buffer takes {units.byte_count(held)} where "
            f"{units.byte_count(could)} would do{filling}. Shuffle before the map.",
            severity=grade(cost) if is_waited else Severity.LOW,
            confidence=Confidence.MEDIUM if is_waited else Confidence.HIGH,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="growth", value=late.after_bytes / late.before_bytes, unit="times", threshold=params.min_ratio),
                Evidence(name="buffer_bytes", value=held, unit="bytes"),
                Evidence(name="fill_s", value=late.fill_s, unit="s"),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Late:
    """What a buffer holds, and what it would hold before the first of the maps that make it larger."""

    map: StageView
    elements: float
    before_bytes: float
    after_bytes: float
    fill_s: float


def _find_growth(analysis: Analysis, train: PipelineView, view: StageView) -> _Late | None:
    """Return the place before the shuffle where elements are smallest; None where sizes are not known."""
    made, elements = input_of(train, view), held_elements(view)
    after_bytes = held_bytes(made) if made is not None else None
    best: _Late | None = None
    passed: list[StageView] = []
    for item in walk_back(train, view, ONE_TO_ONE):
        passed.append(item)
        source = input_of(train, item)
        before_bytes = held_bytes(source) if source is not None else None
        if item.stage.op != "map" or before_bytes is None or after_bytes is None or made is None or not elements:
            continue
        if best is None or before_bytes < best.before_bytes:
            fill_s = elements * seconds_to_make(analysis, train, passed, made)
            largest = max((one for one in passed if one.stage.op == "map"), key=lambda one: _growth(train, one))
            best = _Late(largest, elements, before_bytes, after_bytes, fill_s)
    return best


def _growth(train: PipelineView, view: StageView) -> float:
    source = input_of(train, view)
    before, after = held_bytes(source) if source is not None else None, held_bytes(view)
    return after / before if before and after else 0.0


def _cost(train: PipelineView, late: _Late) -> float:
    """Return the share of the loop that the filling explains of the waits for the first element of each epoch."""
    loop = train.record.loop
    if not loop.wall_s:
        return 0.0
    return sum(min(late.fill_s, epoch.first_wait_s) for epoch in loop.epochs) / loop.wall_s
