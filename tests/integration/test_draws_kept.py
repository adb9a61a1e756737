"""Draws of changed pipelines, on real graphs: as varied within a batch and as repeatable as before, or refused."""

from __future__ import annotations

import pytest

from pipeprof.advise.draws_kept import FROM_SEED, WITHIN_BATCH, with_draws
from pipeprof.advise.equivalence import compare
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.sides import Equivalence, Leeway, Limits, Pair
from pipeprof.model.profile import ElementsState

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

SAME = Equivalence(state=ElementsState.SAME_BUT_RANDOM)


def judge(left, right, **leeway):
    import time

    pair = Pair(Replayable.of(left), Replayable.of(right), is_sampled=False)
    return with_draws(SAME, pair, Limits(64, 2, time.monotonic() + 20, Leeway(**leeway)))


ROWS = []  # one dataset for both sides, as a changed pipeline has it


def rows():
    if not ROWS:
        ROWS.append(tf.data.Dataset.range(200).map(lambda value: tf.fill([4], tf.cast(value, tf.float32))))
    return ROWS[0]


def own(row, seed=None):
    return row + tf.random.uniform([], seed=seed)


@pytest.mark.parametrize("drop", [False, True])
def test_one_draw_for_a_batch_where_each_row_had_its_own_is_refused(drop):
    original = rows().map(own).batch(16, drop_remainder=drop)

    found = judge(original, rows().batch(16, drop_remainder=drop).map(own))

    assert found.state is ElementsState.DIFFERENT
    assert "draws for several elements at once: of one record" in found.note


def test_draws_with_the_batch_dimension_are_as_varied_as_before():
    original = rows().map(own).batch(16)

    found = judge(original, rows().batch(16).map(lambda batch: batch + tf.random.uniform([tf.shape(batch)[0], 1])))

    assert found.state is ElementsState.SAME_BUT_RANDOM
    assert WITHIN_BATCH in found.also_compared


def test_parts_of_other_numbers_of_rows_are_no_batch_and_stop_nothing():
    def parts(batch):
        return tf.concat([batch, batch], 0), batch + tf.random.uniform([])

    batches = rows().batch(16, drop_remainder=True)
    sides = (Replayable.of(batches.map(parts)), Replayable.of(batches.map(parts, num_parallel_calls=2)))

    found = compare(*sides, limit_elements=64, time_budget_s=10)

    assert found.state is ElementsState.SAME_BUT_RANDOM
    assert WITHIN_BATCH not in found.also_compared


def test_a_batch_that_shared_its_draw_before_may_go_on_to():
    original = rows().batch(16).map(own)

    found = judge(original, rows().batch(16).map(own, num_parallel_calls=2))

    assert found.state is ElementsState.SAME_BUT_RANDOM
    assert WITHIN_BATCH in found.also_compared


def test_draws_from_a_state_that_a_load_copies_are_not_taken_for_seeded():
    generator = tf.random.Generator.from_non_deterministic_state()

    found = judge(rows().map(lambda row: row + generator.uniform([])), rows().map(own))

    assert (found.state, found.also_compared) == (ElementsState.SAME_BUT_RANDOM, ())


def test_seeds_that_no_longer_fix_what_they_fixed_are_refused():
    found = judge(rows().map(lambda row: own(row, seed=3)), rows().map(own))

    assert found.state is ElementsState.DIFFERENT
    assert found.note == "two loads from the same seeds gave equal elements, and with the change other ones"


def test_seeds_that_fix_what_they_fixed_are_compared():
    found = judge(rows().map(lambda row: own(row, seed=3)), rows().map(lambda row: own(row, seed=3)).prefetch(2))

    assert found.also_compared == (FROM_SEED,)


def test_what_no_seed_fixed_cannot_be_lost():
    found = judge(rows().map(own), rows().map(own, num_parallel_calls=4))

    assert (found.state, found.also_compared) == (ElementsState.SAME_BUT_RANDOM, (FROM_SEED,))


def test_an_order_that_may_change_is_not_held_against_the_seeds():
    found = judge(rows().map(lambda row: own(row, seed=3)), rows().map(own), may_reorder=True)

    assert (found.state, found.also_compared) == (ElementsState.SAME_BUT_RANDOM, ())


def test_a_pipeline_without_draws_has_none_to_compare():
    assert judge(rows().batch(4), rows().batch(4).prefetch(2)) is SAME


def test_the_comparison_says_what_it_compared():
    plain = compare(Replayable.of(rows()), Replayable.of(rows().prefetch(2)), limit_elements=20, time_budget_s=20.0)
    random = rows().map(own).batch(16)
    drawn = compare(
        Replayable.of(random),
        Replayable.of(rows().map(own, num_parallel_calls=2).batch(16)),
        limit_elements=20,
        time_budget_s=30.0,
    )

    assert plain.also_compared == ("element_spec", "cardinality")
    assert drawn.also_compared == ("element_spec", "cardinality", "freshness across epochs", WITHIN_BATCH, FROM_SEED)
