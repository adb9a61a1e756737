"""PP401: work that repeats in every epoch and would fit into memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Severity
from pipeprof.model.profile import Change, ElementsState, TrialRecord, TrialState
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp401_cacheable_prefix import CacheablePrefix, CacheablePrefixParameters
from tests.support.builders import (
    Scene,
    StageSpec,
    function,
    number,
    python_calls,
    python_function,
    random_function,
    stage,
)

SOURCE = stage("from_tensor_slices", cardinality=6400, element_bytes=20)
OUTPUT = stage("prefetch", segment=0, node="Prefetch")
RANDOM = stage("map", 0.002, visits=32.0, segment=2, function=random_function())


def decode(busy_s: float = 0.036, **details: object) -> StageSpec:
    given = {
        "visits": 32.0, "cardinality": 6400, "element_bytes": 150_000, "function": function("DecodeJpeg"),
        "line": 12, "code": "ds.map(decode)",
    }  # fmt: skip
    return stage("map", busy_s, **(given | details))


def scene(*stages: StageSpec, **numbers: object) -> Scene:
    return Scene(stages=stages).but(**numbers)


SLOW = scene(SOURCE, decode(), RANDOM, OUTPUT)


def check(given: Scene, **params: float) -> list:
    return list(CacheablePrefix().check(given.analysis(), CacheablePrefixParameters(**params)))


def test_a_decode_before_random_augmentation_fires_at_the_decode() -> None:
    (finding,) = check(SLOW)

    assert (finding.code, finding.stage_id, finding.severity, finding.confidence) == (
        "PP401", "s1", Severity.HIGH, Confidence.HIGH,
    )  # fmt: skip
    assert finding.message == (
        "Everything up to train.py:12 .map(decode) gives the same elements in every epoch, and is read 3 times in this run: "
        "36 ms of work for each 40 ms step. The result takes 960 MB; 14 GB are free. Training waits 75 % (71–79 %) of each "
        "step. Put .cache() right after it."
    )
    assert number(finding, "cache_bytes") == 6400 * (150_000 + 185)
    assert number(finding, "cost_share") == pytest.approx((0.036 - 0.010) / 0.04)
    assert number(finding, "busy_share_upstream") == pytest.approx(36 / 38)


@pytest.mark.parametrize("place", [2, 3])
def test_the_cured_twin_with_a_cache_after_it_is_silent(place: int) -> None:
    stages = [SOURCE, decode(), RANDOM, OUTPUT]
    stages.insert(place, stage("cache"))

    assert check(scene(*stages)) == []


def test_stages_that_a_cache_before_them_serves_save_nothing_more() -> None:
    assert check(scene(SOURCE, decode(), stage("cache"), decode(0.001, element_bytes=10), RANDOM, OUTPUT)) == []


def test_a_second_expensive_stage_after_a_cache_is_found() -> None:
    given = scene(SOURCE, decode(0.0), stage("cache", cardinality=6400), decode(line=14), RANDOM, OUTPUT)

    (finding,) = check(given)

    assert finding.stage_id == "s3"


def test_a_single_epoch_gains_nothing() -> None:
    assert check(SLOW.but(epochs=1)) == []


def test_a_repeat_after_it_counts_as_more_epochs() -> None:
    given = scene(SOURCE, decode(incarnations=1), stage("repeat", cardinality=-1, arguments={"count": -1}), OUTPUT, epochs=1)

    (finding,) = check(given)

    assert "is read again by the repeat after it" in finding.message
    assert finding.confidence is Confidence.MEDIUM


def test_a_repeat_of_one_is_no_repeat() -> None:
    assert check(scene(SOURCE, decode(), stage("repeat", arguments={"count": 1}), OUTPUT, epochs=1)) == []


def test_nothing_behind_an_endless_source_is_cached() -> None:
    assert check(scene(SOURCE, decode(cardinality=-1), RANDOM, OUTPUT)) == []


def test_it_fits_just_under_the_bound_and_not_just_over() -> None:
    size = 6400 * (150_000 + 185)

    assert len(check(SLOW.but(memory_bytes=2_000_000_000 + 2 * size))) == 1
    assert check(SLOW.but(memory_bytes=2_000_000_000 + 2 * size - 2)) == []


def test_the_limit_of_the_container_counts_where_it_is_lower() -> None:
    assert check(SLOW.but(memory_limit_bytes=3_000_000_000)) == []


def test_where_decoded_data_do_not_fit_the_last_point_that_fits_is_named() -> None:
    read = stage("map", 0.02, visits=32.0, cardinality=6400, element_bytes=8_000, function=function("ReadFile"))

    (finding,) = check(scene(SOURCE, read, decode(0.016, element_bytes=3_000_000), RANDOM, OUTPUT))

    assert finding.stage_id == "s1"
    assert number(finding, "saved_s_per_step") == pytest.approx(0.02)


def test_of_points_that_save_the_same_the_smallest_is_named() -> None:
    cast = stage("map", 0.0005, visits=32.0, cardinality=6400, element_bytes=600_000, function=function("Cast"))

    (finding,) = check(scene(SOURCE, decode(), cast, RANDOM, OUTPUT))

    assert finding.stage_id == "s1"


def test_work_that_nobody_waits_for_yet_counts_where_it_would_be_the_next_limit() -> None:
    pad = stage(
        "map", 0.009, visits=32.0, segment=2, cardinality=6400, element_bytes=200_000, function=function("Pad"), line=14
    )

    (finding,) = check(scene(SOURCE, decode(segment=3), pad, RANDOM, OUTPUT))

    assert finding.stage_id == "s2", "a fifth of the work, and a third more bytes"


def test_it_fires_just_over_the_threshold_and_not_just_under() -> None:
    assert len(check(SLOW, min_share=0.649)) == 1
    assert check(SLOW, min_share=0.651) == []


def test_a_cheap_prefix_beside_the_real_bottleneck_is_silent() -> None:
    assert check(scene(SOURCE, decode(0.002), stage("map", 0.038, segment=2, function=random_function()), OUTPUT)) == []


@pytest.mark.parametrize(
    "made_of",
    [
        random_function(),
        random_function("RngReadAndSkip"),
        function(stateful_ops=("AssignAddVariableOp",), assigns_variables=True),
        function(stateful_ops=("LookupTableInsertV2",)),
        function(stateful_ops=("QueueDequeueV2",)),
    ],
)
def test_what_may_differ_between_epochs_is_never_cached(made_of: object) -> None:
    assert check(scene(SOURCE, decode(function=made_of), OUTPUT)) == []


@pytest.mark.parametrize("op", ["LookupTableFindV2", "Assert", "PrintV2", "StatefulPartitionedCall"])
def test_state_that_is_only_read_repeats(op: str) -> None:
    (finding,) = check(scene(SOURCE, decode(function=function(stateful_ops=(op,))), OUTPUT))

    assert (finding.stage_id, finding.confidence) == ("s1", Confidence.HIGH)


def test_a_reshuffle_before_the_work_is_never_frozen() -> None:
    assert check(scene(SOURCE, stage("shuffle"), decode(), OUTPUT)) == []


def test_a_shuffle_that_does_not_reshuffle_is_no_hindrance() -> None:
    fixed = stage("shuffle", arguments={"reshuffle_each_iteration": False})

    assert [finding.stage_id for finding in check(scene(SOURCE, fixed, decode(), OUTPUT))] == ["s2"]


def test_shuffled_file_names_are_no_hindrance_where_a_shuffle_follows() -> None:
    given = scene(SOURCE, stage("shuffle", arguments={"reshuffle_each_iteration": True}), decode(), stage("shuffle"), OUTPUT)

    assert [finding.stage_id for finding in check(given)] == ["s2"]


def test_python_code_is_an_assumption_that_is_said() -> None:
    given = decode(
        function=function(python_ops=("PyFunc",), stateful_ops=("PyFunc",)), python=python_calls(wall_s=20, cpu_share=0.9)
    )

    (finding,) = check(scene(SOURCE, given, OUTPUT))

    assert "assuming that its Python code is deterministic," in finding.message
    assert finding.confidence is Confidence.LOW


def test_variables_that_are_read_are_an_assumption() -> None:
    (finding,) = check(scene(SOURCE, decode(function=function(stateful_ops=("ReadVariableOp",))), OUTPUT))

    assert "assuming that the variables it reads stay as they are" in finding.message


def test_an_epoch_that_ends_early_never_completes_a_cache() -> None:
    assert check(scene(SOURCE, decode(), stage("take", arguments={"count": 100}), OUTPUT)) == []
    ending = scene(SOURCE, decode(), stage("batch", cardinality=200), stage("prefetch", segment=0, cardinality=200))

    assert check(ending.but(epoch_elements=(199, 199, 199))) == []
    assert len(check(ending.but(epoch_elements=(200, 200, 100)))) == 1


def test_sizes_are_measured_where_they_are_not_static() -> None:
    source = stage("TFRecordDataset", visits=32.0)
    given = decode(cardinality=-2, element_bytes=None, node_element_bytes=90_000)

    (finding,) = check(scene(source, given, RANDOM, OUTPUT))

    assert number(finding, "elements_per_epoch") == 32 * 600 / 3
    assert number(finding, "cache_bytes") == 6400 * (90_000 + 185)
    assert finding.confidence is Confidence.MEDIUM


def test_a_map_fused_with_its_batch_is_sized_by_its_inputs_elements() -> None:
    source = stage("TFRecordDataset", visits=32.0)
    fused = {"cardinality": -2, "element_bytes": None, "node": "MapAndBatch", "node_element_bytes": 3_200_000, "visits": 1.0}
    given = scene(source, decode(fused_with=("s2",), **fused), stage("batch", fused_with=("s1",), tensors=8, **fused), OUTPUT)

    (finding,) = check(given)

    assert number(finding, "cache_bytes") == pytest.approx(200 * (3_200_000 + 8 * 185))
    assert finding.stage_id == "s2"


def test_the_last_repetition_is_not_counted_as_a_whole_one() -> None:
    source = stage("TFRecordDataset", visits=32.0)
    given = decode(cardinality=-2, element_bytes=None, node_element_bytes=90_000, incarnations=4)

    (finding,) = check(scene(source, given, stage("repeat", arguments={"count": -1}), RANDOM, OUTPUT, epochs=1))

    assert number(finding, "elements_per_epoch") == 32 * 600 / 3


def test_an_unknown_size_is_never_guessed() -> None:
    assert check(scene(SOURCE, decode(element_bytes=None), RANDOM, OUTPUT)) == []


def test_it_does_not_apply_where_the_memory_was_not_measured() -> None:
    outcomes = {item.code: item for item in judge(SLOW.but(rss_bytes=None).analysis()).outcomes}

    assert (outcomes["PP401"].outcome, outcomes["PP401"].reason) == (NOT_APPLICABLE, "the memory in use was not measured")


GENERATE = stage("from_generator", 0.036, visits=16.0, python=python_calls(wall_s=20, cpu_share=0.9), element_bytes=260)
BATCHED = stage("batch", 0.0001, element_bytes=4_000, cardinality=200, line=12, code="ds.batch(16)")


def disproved(given: Scene, stage_id: str) -> Analysis:
    """Return the scene's analysis with a trial that saw a cache after the stage freeze what is drawn anew."""
    analysis = given.analysis()
    trial = TrialRecord(
        id=f"cache-p0-{stage_id}", pipeline_id="p0", stage_id=stage_id, change=Change(kind="cache"),
        state=TrialState.WORSE, elements=ElementsState.DIFFERENT,
    )  # fmt: skip
    return replace(analysis, profile=replace(analysis.profile, trials=(trial,)))


def check_analysis(analysis: Analysis) -> list:
    return list(CacheablePrefix().check(analysis, CacheablePrefixParameters()))


def test_a_cache_that_a_trial_saw_freeze_fresh_draws_is_no_advice_any_more() -> None:
    given = scene(GENERATE, BATCHED, OUTPUT)
    assert [finding.severity for finding in check(given)] == [Severity.HIGH]

    (finding,) = check_analysis(disproved(given, "s1"))

    assert (finding.stage_id, finding.severity, finding.confidence) == ("s1", Severity.INFO, Confidence.HIGH)
    assert finding.message == (
        "What comes up to train.py:12 .batch(16) is drawn anew in every epoch: two passes over it gave other elements. A "
        "cache there would make every epoch the first one's data. Make it faster instead of keeping it; where it need not "
        "differ, seed it, and a cache can keep it."
    )


def test_a_place_before_the_code_that_was_disproved_is_still_found() -> None:
    augment = stage("map", 0.0001, visits=32.0, cardinality=6400, element_bytes=100, function=python_function(), line=13)

    found = check_analysis(disproved(scene(SOURCE, decode(), augment, OUTPUT), "s2"))

    assert [(finding.stage_id, finding.severity) for finding in found] == [("s1", Severity.HIGH), ("s2", Severity.INFO)]


def test_where_no_cache_can_stand_the_finding_says_why_and_does_not_ask_for_one() -> None:
    analysis = SLOW.analysis()
    trial = TrialRecord(
        id="cache-p0-s1", pipeline_id="p0", stage_id="s1", change=Change(kind="cache"), state=TrialState.NOT_TRIED,
        reason="the same call makes the validation pipeline, and there: it draws", impossible=True,
    )  # fmt: skip

    (finding,) = check_analysis(replace(analysis, profile=replace(analysis.profile, trials=(trial,))))

    assert finding.message.endswith(
        "each step. No cache can stand right after it: the same call makes the validation pipeline, and there: it draws."
    )


def test_what_reads_what_the_program_changes_is_never_kept() -> None:
    parse = stage("map", 0.036, visits=32.0, cardinality=6400, element_bytes=100, function=function("ParseExample"), line=11)
    reading = decode(0.001, changed_state="current.epoch")

    (finding,) = check(scene(SOURCE, parse, reading, RANDOM, OUTPUT))

    assert finding.stage_id == "s1"


def test_that_a_change_of_what_is_read_forbids_a_cache_is_said() -> None:
    (finding,) = check(scene(SOURCE, decode(changed_state="level"), RANDOM, OUTPUT))

    assert (finding.stage_id, finding.severity) == ("s1", Severity.INFO)
    assert finding.message == (
        "train.py:12 .map(decode) reads level, which the program changed in the run: a cache after it would make every "
        "epoch the first one's data, and none is advised. It would save 36 ms of work for each 40 ms step. Where level does "
        "not decide what the elements are, keep it out of what the function reads; where it does, put what does not depend "
        "on it into a stage of its own before this one."
    )


def test_a_change_of_what_is_read_is_no_matter_where_a_cache_would_not_stand_anyway() -> None:
    drawn = decode(changed_state="level", function=random_function())

    assert check(scene(SOURCE, drawn, RANDOM, OUTPUT)) == []


def rebuilt(**numbers: object) -> Scene:
    """Return the slow scene as a program that builds its dataset anew in each of 5 epochs."""
    return scene(*(replace(item, objects=5, **numbers) for item in (SOURCE, decode(), OUTPUT)), epochs=5)


def test_a_dataset_that_is_built_anew_in_every_epoch_is_to_be_built_once() -> None:
    (finding,) = check(rebuilt())

    assert (finding.stage_id, finding.severity, finding.confidence) == ("s1", Severity.HIGH, Confidence.LOW)
    assert finding.message == (
        "train.py:12 .map(decode) and all before it are built anew in every epoch: 5 dataset objects for 5 epochs, 36 ms of "
        "work for each 40 ms step. A cache lives as long as its dataset, so that it would save nothing here. Where the data "
        "are the same each time, build it once, outside the loop, with .cache() there; the result takes 960 MB, 14 GB are "
        "free. Training waits 75 % (71–79 %) of each step."
    )
    assert number(finding, "passes") == 1
    assert number(finding, "objects") == 5


def test_a_dataset_that_is_built_with_other_arguments_in_every_epoch_does_not_repeat() -> None:
    assert check(rebuilt(objects_differ=True)) == []


def test_a_base_that_is_built_once_under_a_tail_that_is_not_is_cached_at_the_base() -> None:
    tail = stage("batch", 0.0001, element_bytes=4_000, cardinality=200, objects=5)

    (finding,) = check(scene(SOURCE, decode(), tail, replace(OUTPUT, objects=5), epochs=5))

    assert (finding.stage_id, number(finding, "passes")) == ("s1", 5)
    assert "is read 5 times in this run" in finding.message


def test_passes_are_those_over_one_object() -> None:
    given = scene(*(replace(item, objects=2) for item in (SOURCE, decode(), OUTPUT)), epochs=6)

    (finding,) = check(given)

    assert number(finding, "passes") == 3


def test_a_repeat_within_a_dataset_that_is_built_anew_fills_its_own_cache() -> None:
    stages = (SOURCE, decode(incarnations=9), stage("repeat", cardinality=30, arguments={"count": 3}), OUTPUT)

    (finding,) = check(scene(*(replace(item, objects=3) for item in stages), epochs=3))

    assert "Put .cache() right after it" in finding.message
