"""PP207: pipelines whose options switch AUTOTUNE off."""

from __future__ import annotations

import pytest

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import Autotune, Change
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp201_sequential_map import SequentialMap
from pipeprof.rules.pp207_autotune_disabled import AutotuneDisabled
from pipeprof.rules.room import RoomParameters
from tests.support.builders import Scene, StageSpec, function, number, random_function, stage

OFF = Autotune(enabled=False)


def scene(*middle: StageSpec, **numbers: object) -> Scene:
    """Return a loop with 16 ms of its own in a step of 48 ms."""
    numbers = {"step_s": 0.048, "gap_s": 0.016, "cpu_s_per_step": 0.048, "autotune": OFF} | numbers
    options = stage("with_options", node=None, segment=0, line=33, code="ds.with_options(options)")
    first, last = stage("from_tensor_slices", segment=0), stage("batch", segment=0)
    return Scene(stages=(first, *middle, last, options)).but(**numbers)


def decode(busy_s: float = 0.03, **details: object) -> StageSpec:
    details = {"function": function("DecodeJpeg"), "segment": 0, "line": 31, "code": "ds.map(decode)"} | details
    return stage("map", busy_s, **details)


SLOW = scene(decode())


def check(given: Scene, **params: float) -> list:
    return list(AutotuneDisabled().check(given.analysis(), RoomParameters(**params)))


def test_a_map_that_stays_sequential_and_a_missing_prefetch_fire_as_one() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity) == ("PP207", "s3", Severity.HIGH)
    assert finding.confidence is Confidence.MEDIUM
    assert finding.message == (
        "train.py:33 .with_options(options) runs with AUTOTUNE switched off: train.py:31 .map(decode) stays sequential, 30 ms "
        "for each step, and no prefetch overlaps making a batch with using it. Training waits 67 % (63–71 %) of each step. "
        "Leave options.autotune.enabled on."
    )
    assert number(finding, "cost_share") == pytest.approx(0.03 / 0.048)  # 46 ms become the loop's own 16 ms


def test_a_missing_prefetch_alone_fires() -> None:
    (finding,) = check(scene(stage("filter", 0.03, segment=0)))

    assert "stays sequential" not in finding.message
    assert number(finding, "cost_share") == pytest.approx(0.016 / 0.048)  # 46 ms become the filter's 30 ms


def test_it_leads_to_a_trial_with_autotune() -> None:
    (made,) = recommend(SLOW.analysis(), check(SLOW))

    assert made.change == Change(kind="enable_autotune")


def test_the_rule_on_sequential_maps_leaves_it_what_autotune_would_do() -> None:
    def found(given: Scene) -> list:
        return list(SequentialMap().check(given.analysis(), RoomParameters()))

    assert found(SLOW) == []
    assert len(found(SLOW.but(autotune=None))) == 1
    assert len(found(scene(decode(function=random_function())))) == 1  # AUTOTUNE would not make it parallel


@pytest.mark.parametrize("autotune", [None, Autotune(enabled=True)])
def test_the_cured_twin_is_silent(autotune: Autotune | None) -> None:
    assert check(SLOW.but(autotune=autotune)) == []


def test_what_autotune_would_not_do_is_no_cost() -> None:
    with_prefetch = (stage("prefetch", segment=0), decode(segment=1, function=random_function()))

    assert check(scene(*with_prefetch)) == []


def test_a_program_that_keeps_all_cores_busy_is_silent() -> None:
    assert check(SLOW.but(cpu_s_per_step=0.048 * 4 * 0.9)) == []


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.62)) == 1
    assert check(SLOW, min_share=0.63) == []


def test_it_does_not_apply_without_a_trace_window() -> None:
    (outcome,) = [item for item in judge(SLOW.but(has_counters=False).analysis()).outcomes if item.code == "PP207"]

    assert outcome.outcome == NOT_APPLICABLE
