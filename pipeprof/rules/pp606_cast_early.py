"""PP606: integers are cast to floats long before floats are needed, and are carried through buffers at several times the size.

The one idea: a cast, and a scaling by constants, can be done once for the batch at its end; until then each byte that it adds
is held, copied and handed on by every stage after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, weakest
from pipeprof.rules.cache_point import measure_stored
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.needs import Need
from pipeprof.rules.reordering import held_elements, share_saved_by, walk_on

_CARRIES = frozenset({"batch", "cache", "prefetch", "repeat", "shuffle", "skip", "take"})
_COPIES = frozenset({"BatchV2", "ParallelBatch", "Batch"})
_MIB = 1024.0 * 1024.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CastEarlyParameters(Parameters):
    """Thresholds of PP606."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="copying less must save this much")
    min_bytes: float = parameter(
        64 * _MIB, unit="bytes", low=0, high=1e15, doc="or the buffers must hold so much less with a later cast"
    )
    min_ratio: float = parameter(1.5, unit="times", low=1.1, high=8, doc="by which the cast makes an element larger")


class CastEarly(Rule[CastEarlyParameters]):
    """Cast early.

    What it looks for:
        A map whose result is a cast of integers to a wider type, scaled by
        constants at most, with a shuffle, a cache or a batch right behind it.

    Why it costs time:
        float32 takes four times the bytes of the uint8 that it was made from:
        in the shuffle buffer and the cache, in each copy into a batch, on the
        way to the device. A batch of 64 pictures of 224 x 224 took 17.9
        microseconds a picture to assemble as uint8 and 43.5 as float32; 1500 of
        them in a shuffle buffer 232 and 945 MB.

    How it is measured:
        From the traced graph: an output that is a cast, followed back through
        constants. Bytes of an element before and after it, times the elements
        that the buffers behind it hold; the busy time of a batch node of its
        own, as far as bytes explain it.

    When it is wrong:
        Where a function behind it needs floats: the walk ends there. Resizing
        gives floats by itself, and that is no cast.

    What to do:
        Cast after batch(), or in the model (a Rescaling layer).

    What that can change:
        Nothing where the cast moves as it is; on a device floats may round
        differently.

    References:
        TensorFlow guide "Better performance with the tf.data API", on reducing
        memory footprint; tensorflow/tensorflow issue 44836.
    """

    code = "PP606"
    name = "cast-early"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.COUNTERS)
    parameters = CastEarlyParameters

    def check(self, analysis: Analysis, params: CastEarlyParameters) -> Iterator[Finding]:
        """Yield a finding for each map that casts what buffers then carry."""
        train = analysis.train
        if train is None:
            return
        for view in train.stages:
            growth = _growth(view)
            if growth is None or growth < params.min_ratio:
                continue
            carriers = _carriers(train, view)
            if not any(item.stage.op == "batch" for item in carriers) and not any(_keeps(item) for item in carriers):
                continue
            held = sum(_bytes_held(train, item) for item in carriers)
            saved = held * (1 - 1 / growth)
            copied_s = {item.id: busy_of(item) * (1 - 1 / growth) for item in carriers if item.stage.executed_as in _COPIES}
            cost = share_saved_by(analysis, train, copied_s) if is_input_bound(analysis) else 0.0
            if saved >= params.min_bytes or (cost >= params.min_share and cost > 0):
                yield self._report_map(analysis, train, view, carriers, growth, held, cost, params)

    def _report_map(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        carriers: list[StageView],
        growth: float,
        held: float,
        cost: float,
        params: CastEarlyParameters,
    ) -> Finding:
        function = view.written.function if view.written is not None else None
        source = function.widened_from if function is not None else "integers"
        most = max(carriers, key=lambda item: (_bytes_held(train, item), busy_of(item)))
        is_waited = cost >= params.min_share
        return self.report(
            f"{name_stage(view)} casts {source} to a type that makes each element {growth:.1f} times as large, long before it "
            f"is needed: {name_stage(most)} and what else holds elements behind it take {units.byte_count(held)} where "
            f"{units.byte_count(held / growth)} would do. Cast after the batch, or in the model.",
            severity=grade(cost) if is_waited else Severity.LOW,
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence) if is_waited else Confidence.HIGH,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="growth", value=growth, unit="times", threshold=params.min_ratio),
                Evidence(name="held_bytes", value=held, unit="bytes"),
                Evidence(name="cast_from", value=source),
            ),
        )


def _growth(view: StageView) -> float | None:
    """Return by how many times a map's cast makes its elements larger; None where there is none, or sizes are not known."""
    written = view.written
    function = written.function if written is not None else None
    if view.stage.op != "map" or not view.executed or written is None or function is None or not function.widened_from:
        return None
    if not written.element_bytes or not function.narrow_bytes:
        return None
    return written.element_bytes / function.narrow_bytes


def _carriers(train: PipelineView, view: StageView) -> list[StageView]:
    """Return the stages behind a map that carry its elements as they are: all, up to the batch, whose own buffers come last."""
    found = []
    for item in walk_on(train, view, _CARRIES):
        found.append(item)
        if item.stage.op == "batch":
            break
    return found


def _keeps(view: StageView) -> bool:
    return view.stage.op in {"shuffle", "cache"}


def _bytes_held(train: PipelineView, view: StageView) -> float:
    """Return the bytes that a buffer holds: a shuffle's by what it held, a memory cache's by what it stores."""
    size = view.written.element_bytes if view.written is not None else None
    if not view.executed or view.written is None or not size:
        return 0.0
    if view.stage.op == "cache" and not view.written.arguments.get("filename"):
        stored = measure_stored(train, view)
        return stored.total_bytes(0, 0.0) if stored is not None else 0.0
    return held_elements(view) * size if view.stage.op in {"shuffle", "prefetch"} else 0.0
