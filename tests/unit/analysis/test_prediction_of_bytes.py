"""Predictions of changes whose effect is on bytes: shorter padded batches, smaller buffers, a cache that fills first."""

from __future__ import annotations

import pytest

from pipeprof.advise.changes import KINDS
from pipeprof.analysis.effects import EFFECTS
from pipeprof.analysis.place import Place
from pipeprof.analysis.prediction import predict
from pipeprof.analysis.step_model import Effect
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change
from tests.support.builders import Scene, function, stage

PADDED = Scene(
    stages=(
        stage("range", segment=1),
        stage("map", 0.004, visits=32.0, segment=1),
        stage("padded_batch", 0.004, segment=1),
        stage("map", 0.012, segment=1),
        stage("prefetch", segment=0),
    ),
    step_s=0.031, gap_s=0.030, cpu_s_per_step=0.02,
)  # fmt: skip
WAITING = PADDED.but(step_s=0.021, gap_s=0.001)
HALF = {"padding_now": 0.6, "padding_then": 0.2}  # of the bytes of a batch half are left


def predicted(scene: Scene, kind: str, stage_id: str, **params: float) -> Prediction | None:
    analysis = scene.analysis()
    return predict(analysis, analysis.pipelines[0], stage_id, Change(kind=kind, params=params))


def known(scene: Scene, kind: str, stage_id: str, **params: float) -> Prediction:
    found = predicted(scene, kind, stage_id, **params)
    assert found is not None
    return found


def test_every_kind_that_can_be_tried_has_a_model_of_its_effect() -> None:
    assert set(KINDS) <= set(EFFECTS)


def test_shorter_batches_give_between_nothing_and_all_of_the_step_in_proportion() -> None:
    found = known(PADDED, "bucket", "s2", **HALF)

    assert 0.9 < found.low < 1.1
    assert 1.75 < found.high < 2.25
    assert 1.2 < found.speedup < 1.5  # half of the step follows the length, in the middle
    assert "was not measured" in found.basis


def test_shorter_batches_also_spare_the_pipeline_work_behind_them_and_no_work_before() -> None:
    found = known(WAITING, "bucket", "s2", **HALF)  # 16 of 20 ms are behind the batch: at most 12 ms are left

    assert 0.9 < found.low < 1.1
    assert 1.5 < found.high < 20 / 12 * 1.15

    before = WAITING.but(stages=(WAITING.stages[0], stage("map", 0.02, segment=1), stage("padded_batch"), stage("prefetch")))
    assert known(before, "bucket", "s2", **HALF).high < 1.15


def test_less_padding_saved_is_less_gained() -> None:
    much, little = (known(PADDED, "bucket", "s2", padding_now=0.6, padding_then=then) for then in (0.05, 0.5))

    assert little.high < much.high


@pytest.mark.parametrize("params", [{}, {"padding_now": 0.4}, {"padding_now": 0.4, "padding_then": 0.4}])
def test_buckets_that_were_not_measured_or_do_not_help_have_no_prediction(params: dict[str, float]) -> None:
    assert predicted(PADDED, "bucket", "s2", **params) is None


BUFFERED = PADDED.but(stages=(*PADDED.stages[:4], stage("prefetch", segment=0, buffered=(8.0, 10.0, 1e9))))


def test_a_budget_above_what_the_buffers_held_changes_no_time() -> None:
    found = known(BUFFERED, "limit_memory", "s4", ram_budget=2_000_000_000)

    assert found.low < 1 < found.high
    assert found.speedup == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("budget", "left"), [(2_000_000_000, None), (300_000_000, 3), (1, 1)])
def test_a_budget_below_what_the_buffers_held_leaves_a_smaller_one_to_the_consumer(budget: int, left: int | None) -> None:
    analysis = BUFFERED.analysis()
    view = analysis.pipelines[0]
    change = Change(kind="limit_memory", params={"ram_budget": budget})

    effect = EFFECTS["limit_memory"](Place(analysis=analysis, view=view, stage=view.stage("s4"), change=change))

    assert effect == Effect(buffer=left)


def test_a_smaller_prefetch_makes_nothing_faster_and_is_the_consumers_buffer_where_it_is_last() -> None:
    analysis = BUFFERED.analysis()
    view = analysis.pipelines[0]
    change = Change(kind="shrink_prefetch", params={"buffer_size": 2})

    effects = [
        EFFECTS["shrink_prefetch"](Place(analysis=analysis, view=view, stage=view.stage(name), change=change))
        for name in ("s4", "s1")
    ]

    assert effects == [Effect(buffer=2), Effect()]
    assert known(BUFFERED, "shrink_prefetch", "s4", buffer_size=2).speedup == pytest.approx(1, abs=0.05)


def test_a_synchronous_map_spares_its_calls_the_pool_and_works_on_its_readers_thread() -> None:
    cheap, dear = (
        Scene(
            stages=(
                stage("range", segment=1),
                stage("map", busy_s, visits=2000.0, segment=1, slots=2, tuned=True, node="ParallelMapV2"),
                stage("batch", 0.001, segment=0),
            ),
            step_s=0.021, gap_s=0.001, cpu_s_per_step=0.02,
        )
        for busy_s in (0.021, 0.2)
    )  # fmt: skip

    assert known(cheap, "synchronous", "s1").high > 1  # 2000 calls through a pool are up to 30 ms
    assert known(dear, "synchronous", "s1").high < 1, "what two threads did, one does now"


def test_no_budget_has_no_prediction() -> None:
    assert predicted(BUFFERED, "limit_memory", "s4") is None


DECODE = Scene(
    stages=(
        stage("range", cardinality=6400),
        stage("map", 0.036, visits=32.0, element_bytes=1000, cardinality=6400),
        stage("batch", 0.0005, segment=1),
    ),
    step_s=0.0365, gap_s=0.01, cpu_s_per_step=0.03,
)  # fmt: skip


def test_a_cache_pays_from_the_second_epoch_where_storing_is_cheap_beside_its_gain() -> None:
    found = known(DECODE, "cache", "s1")

    assert found.break_even_epochs is not None
    assert found.break_even_high is not None
    assert 1 < found.break_even_epochs < found.break_even_high < 1.2


def test_a_cache_of_many_cheap_elements_pays_later() -> None:
    cheap = DECODE.but(
        stages=(stage("range"), stage("map", 0.012, visits=2000.0, element_bytes=8), stage("batch", 0.0005, segment=1)),
        step_s=0.0125,
        cpu_s_per_step=0.01,
    )  # storing 2000 elements takes up to 12 ms of a step, which gains 2.5 ms

    found = known(cheap, "cache", "s1")

    assert found.break_even_epochs is not None
    assert found.break_even_high is not None
    assert 2 < found.break_even_epochs < found.break_even_high < 12


def test_a_cache_that_may_gain_nothing_may_never_pay() -> None:
    idle = DECODE.but(stages=(stage("range"), stage("map", 0.0, visits=32.0), stage("batch", 0.0005, segment=1)), step_s=0.0105)

    found = known(idle, "cache", "s1")

    assert found.low < 1
    assert found.break_even_high is None


def test_what_is_split_and_what_is_moved_behind_a_take_cost_first_too() -> None:
    taken = DECODE.but(stages=(*DECODE.stages[:2], stage("cache", visits=32.0), stage("take", visits=32.0), stage("batch")))

    assert known(DECODE, "split_map", "s1").break_even_high is None  # nothing is known to be before its draws
    assert known(taken, "move_cache", "s2").break_even_epochs == pytest.approx(1.05, abs=0.06)


@pytest.mark.parametrize("kind", ["parallel_calls", "vectorize", "prefetch", "thread_pool", "nondeterministic"])
def test_what_costs_nothing_first_has_no_epoch_from_which_it_pays(kind: str) -> None:
    mapped = DECODE.but(stages=(DECODE.stages[0], stage("map", 0.036, visits=32.0, function=function("Mul")), DECODE.stages[2]))

    found = known(mapped, kind, "s1", num_parallel_calls=-1, private_threadpool_size=8)

    assert (found.break_even_epochs, found.break_even_high) == (None, None)
