"""PP608: pixels that are made in vain."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity, StageOp
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp608_resize_decode_waste import ResizeDecodeParameters, ResizeDecodeWaste
from tests.support.builders import Scene, function, number, stage


def ops(**shares: float) -> tuple[StageOp, ...]:
    return tuple(StageOp(op=op, share=share, busy_s_per_step=0.036 * share, calls_per_step=1.0) for op, share in shares.items())


def scene(after_decode: tuple[str, ...], seen: tuple[StageOp, ...], busy_s: float = 0.036, **numbers: object) -> Scene:
    made_of = function("DecodeJpeg", *after_decode, after_decode=after_decode)
    load = stage("map", busy_s, function=made_of, shown_ops=seen, line=12, code="ds.map(load)")
    return Scene(stages=(stage("from_tensor_slices"), load, stage("batch"), stage("prefetch", segment=0))).but(**numbers)


SMOOTH = scene(("ScaleAndTranslate",), ops(ScaleAndTranslate=0.8, DecodeJpeg=0.2))
CROPPED = scene(("Slice",), ops(DecodeJpeg=0.9, Slice=0.1))


def check(given: Scene, **params: float) -> list:
    return list(ResizeDecodeWaste().check(given.analysis(), ResizeDecodeParameters(**params)))


def test_resizing_with_antialias_fires_at_the_map() -> None:
    (finding,) = check(SMOOTH)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP608", "s1", Severity.HIGH, Confidence.MEDIUM,
    )  # fmt: skip
    assert finding.message == (
        "train.py:12 .map(load) spends 80 % of its time on resizing with antialias. Training waits 75 % (71–79 %) of each "
        "step. Without antialias it takes an eighth of that; or resize once, when the files are written."
    )
    assert number(finding, "cost_share") == pytest.approx(0.036 * 0.8 * 0.8 / 0.04)


def test_a_crop_of_a_whole_decoded_picture_fires_at_low_confidence() -> None:
    (finding,) = check(CROPPED)

    assert finding.confidence is Confidence.LOW
    assert finding.message == (
        "train.py:12 .map(load) spends 90 % of its time on decoding whole pictures, which it then crops. Training waits 75 % "
        "(71–79 %) of each step. Decode only what the crop keeps: tf.io.decode_and_crop_jpeg."
    )
    assert number(finding, "cost_share") == pytest.approx(0.036 * 0.9 * 0.4 / 0.04)


def test_of_the_two_the_dearer_is_told() -> None:
    (finding,) = check(scene(("ScaleAndTranslate", "Slice"), ops(ScaleAndTranslate=0.3, DecodeJpeg=0.7)))

    assert number(finding, "op") == "DecodeJpeg"


def test_it_leads_to_a_change_by_hand() -> None:
    (made,) = recommend(SMOOTH.analysis(), check(SMOOTH))

    assert (made.change.kind, made.safety.value) == ("resize_once", "manual")


def test_a_crop_leads_to_one_while_decoding_that_is_tried_and_sketched() -> None:
    (made,) = recommend(CROPPED.analysis(), check(CROPPED))

    assert (made.change.kind, made.safety.value) == ("fuse_decode_crop", "safe")
    assert made.predicted is not None
    assert 1.0 <= made.predicted.low <= made.predicted.speedup
    assert "decode_and_crop_jpeg" in made.sketch


def test_the_cured_twin_is_silent() -> None:
    assert check(scene(("ResizeBilinear",), ops(DecodeJpeg=0.7, ResizeBilinear=0.3))) == []
    assert check(scene((), ops(DecodeAndCropJpeg=0.9))) == []


@pytest.mark.parametrize("given", [SMOOTH, CROPPED])
def test_it_fires_just_over_the_threshold_and_not_just_under(given: Scene) -> None:
    cost = number(check(given)[0], "cost_share")

    assert len(check(given, min_share=cost - 0.001)) == 1
    assert check(given, min_share=cost + 0.001) == []


def test_without_the_time_of_the_ops_it_is_silent() -> None:
    assert check(scene(("ScaleAndTranslate",), ())) == []


def test_a_pipeline_that_keeps_up_is_silent() -> None:
    assert check(SMOOTH.but(gap_s=0.0395)) == []


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(SMOOTH.but(has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP608"]
    assert outcome.outcome == NOT_APPLICABLE
