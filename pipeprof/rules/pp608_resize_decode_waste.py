"""PP608: pixels are decoded to be cropped away, or shrunk by a filter that costs many times the usual one.

The one idea: which ops take a decoded picture is read from the graph, and what they cost from trace windows. Only what can be
done cheaper with a call that TensorFlow has is told: a crop while decoding, and resizing without antialias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, is_input_bound
from pipeprof.rules.needs import Need
from pipeprof.rules.reordering import share_saved_by

_ANTIALIAS = "ScaleAndTranslate"
_CROPS = frozenset({"CropAndResize", "Slice", "StridedSlice"})
DECODE = "DecodeJpeg"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResizeDecodeParameters(Parameters):
    """Thresholds of PP608."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="the cheaper call must save this much")
    antialias_saved: float = parameter(
        0.8, unit="share of the resizing", low=0, high=1, doc="that goes away without antialias: 0.87 was measured"
    )
    crop_saved: float = parameter(
        0.4, unit="share of the decoding", low=0, high=1, doc="that goes away with a crop while decoding: 0.5 was measured"
    )


class ResizeDecodeWaste(Rule[ResizeDecodeParameters]):
    """Resize and decode waste.

    What it looks for:
        A map that decodes a JPEG and then crops it, or that resizes with
        antialias=True, and that training waits for.

    Why it costs time:
        Decoding a picture of 500 x 375 took 404 microseconds, decoding only the
        part that a crop keeps 203. Resizing it took 213 with the bilinear
        filter and 1659 with antialias.

    How it is measured:
        The ops that take the decoded picture, from the traced graph; the time
        of each op, from trace windows. Of that, what the cheaper call saved
        where it was measured, counted a little lower.

    When it is wrong:
        What a crop saves depends on how much it keeps, which is not known here;
        hence low confidence. Antialias may be there for the sake of accuracy.
        Silent without trace windows, and for pictures that are decoded in one
        map and cropped in the next.

    What to do:
        tf.io.decode_and_crop_jpeg for a crop; resize() without antialias, or
        resize once when the files are written.

    What that can change:
        Pixels: resizing without antialias gives others, so check the model's
        accuracy. A crop while decoding gives the same ones, but for the window's
        outermost rows and columns where colour is subsampled (by up to 43 of
        255): decode two pixels more on each side, and crop them off. It reads
        JPEGs only; decode_jpeg takes PNGs, too.

    References:
        TensorFlow Datasets, "Performance tips", on decoding; tensorflow/
        tensorflow issue 2584.
    """

    code = "PP608"
    name = "resize-decode-waste"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS)
    parameters = ResizeDecodeParameters

    def check(self, analysis: Analysis, params: ResizeDecodeParameters) -> Iterator[Finding]:
        """Yield a finding for each map that training waits for and that makes pixels in vain."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            waste = _find_waste(view, params)
            if waste is None:
                continue
            cost = share_saved_by(analysis, train, {view.id: busy_of(view) * waste.saved})
            if cost >= params.min_share and cost > 0:
                yield self._report_map(analysis, train, view, waste, cost)

    def _report_map(self, analysis: Analysis, train: PipelineView, view: StageView, waste: _Waste, cost: float) -> Finding:
        return self.report(
            f"{name_stage(view)} spends {units.percent(waste.share)} of its time {waste.text}. {say_wait(analysis)}. "
            f"{waste.cure}",
            severity=grade(cost),
            confidence=weakest(waste.confidence, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="op", value=waste.op),
                Evidence(name="op_share", value=waste.share, unit="share of the stage"),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Waste:
    """What one map does in vain."""

    op: str
    share: float  # of the stage's time that the op takes
    saved: float  # of the stage's time that the cheaper call saves
    text: str
    cure: str
    confidence: Confidence


def _find_waste(view: StageView, params: ResizeDecodeParameters) -> _Waste | None:
    """Return the dearer of the two kinds of waste, None where there is none or the ops were not seen at work."""
    function = view.written.function if view.written is not None else None
    shares = {item.op: item.share for item in view.stage.ops}
    if function is None or view.stage.op != "map":
        return None
    found = []
    antialias = shares.get(_ANTIALIAS, 0.0)
    if antialias:
        found.append(
            _Waste(
                _ANTIALIAS, antialias, antialias * params.antialias_saved, "on resizing with antialias",
                "Without antialias it takes an eighth of that; or resize once, when the files are written.", Confidence.MEDIUM,
            )
        )  # fmt: skip
    decode = shares.get(DECODE, 0.0)
    if decode and not _CROPS.isdisjoint(function.after_decode):
        found.append(
            _Waste(
                DECODE, decode, decode * params.crop_saved, "on decoding whole pictures, which it then crops",
                "Decode only what the crop keeps: tf.io.decode_and_crop_jpeg.", Confidence.LOW,
            )
        )  # fmt: skip
    return max(found, key=lambda item: item.saved, default=None)
