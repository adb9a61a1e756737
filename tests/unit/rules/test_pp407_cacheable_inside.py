"""PP407: dear work before the first random draw of one function."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity, StageOp
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp407_cacheable_inside import CacheableInside, CacheableInsideParameters
from tests.support.builders import Scene, StageSpec, function, number, random_function, stage

SOURCE = stage("from_tensor_slices", cardinality=1000)


def ops(decode: float) -> tuple[StageOp, ...]:
    shares = {"DecodeJpeg": decode, "ResizeBilinear": 1 - decode}
    return tuple(
        StageOp(op=op, share=share, busy_s_per_step=0.036 * share, calls_per_step=1.0, where="train.py:5")
        for op, share in shares.items()
    )


def load(decode: float = 0.75, **details: object) -> StageSpec:
    made_of = random_function(**({"before_draws": ("DecodeJpeg",), "drawn_from_bytes": 30_000} | details))
    return stage("map", 0.036, function=made_of, shown_ops=ops(decode), line=12, code="ds.map(load)")


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=(*stages, stage("batch"), stage("prefetch", segment=0)), epochs=4).but(**numbers)


def check(given: Scene, **params: float) -> list:
    return list(CacheableInside().check(given.analysis(), CacheableInsideParameters(**params)))


def test_a_map_that_decodes_before_it_draws_fires() -> None:
    given = scene(SOURCE, load())

    (finding,) = check(given)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP407", "s1", Severity.HIGH, Confidence.MEDIUM,
    )  # fmt: skip
    assert finding.message.startswith(
        "train.py:12 .map(load) spends 75 % of its time on what it does before it first draws at random (DecodeJpeg "
        "train.py:5), and does so again in every epoch: 27 ms for each 40 ms step."
    )
    assert "Split the function there, and put .cache() between the two maps; it takes " in finding.message
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.010) / 0.04)  # not below the consumer's own 10 ms
    (made,) = [item for item in recommend(given.analysis(), [finding]) if item.change.kind == "split_map"]
    assert ".cache()\n" in made.sketch
    assert "before the first draw: DecodeJpeg" in made.sketch


def test_the_cured_twin_that_draws_in_a_map_of_its_own_is_silent() -> None:
    decode = stage("map", 0.027, function=function("DecodeJpeg"), shown_ops=ops(1.0), line=12)
    draw = stage("map", 0.009, function=random_function(), shown_ops=ops(0.0), line=13)

    assert check(scene(SOURCE, decode, stage("cache"), draw)) == []


@pytest.mark.parametrize(("threshold", "fires"), [(0.649, True), (0.651, False)])
def test_just_over_its_threshold_fires_and_just_under_is_silent(threshold: float, fires: bool) -> None:
    assert bool(check(scene(SOURCE, load()), min_share=threshold)) is fires


def test_a_shuffle_before_the_map_is_named_as_what_moves() -> None:
    shuffle = stage("shuffle", line=11, code="ds.shuffle(64)", arguments={"buffer_size": 64})

    (finding,) = check(scene(SOURCE, shuffle, load()))

    assert "with train.py:11 .shuffle(64) behind it" in finding.message


@pytest.mark.parametrize(
    "given",
    [
        scene(SOURCE, load(), epochs=1),
        scene(SOURCE, load(before_draws=())),
        scene(SOURCE, load(python_ops=("PyFunc",))),
        scene(SOURCE, stage("map", 0.001, function=random_function(), line=11), load()),
        scene(SOURCE, load(), gap_s=0.0399),
    ],
    ids=["one epoch", "draws first", "Python", "random before it", "training does not wait"],
)
def test_what_would_not_be_kept_or_not_be_waited_for_is_silent(given: Scene) -> None:
    assert check(given) == []


def test_a_size_that_is_not_known_is_said_so() -> None:
    (finding,) = check(scene(SOURCE, load(drawn_from_bytes=None)))

    assert finding.message.endswith("how much memory that takes is not known.")


def test_it_does_not_apply_without_counters() -> None:
    outcomes = judge(scene(SOURCE, load(), has_counters=False).analysis()).outcomes

    (outcome,) = [item for item in outcomes if item.code == "PP407"]
    assert outcome.outcome == NOT_APPLICABLE
