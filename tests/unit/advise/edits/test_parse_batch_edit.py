"""A parser takes whole batches: its map and the batch change places, and its call reads any number of records."""

from __future__ import annotations

import pytest

from pipeprof.advise.source_edit import Edit, plan_edit
from pipeprof.model.profile import Change

LAMBDA = "ds = ds.map(lambda r: tf.io.parse_single_example(r, F)♦)§.batch(8)¤.prefetch(2)\n"
FUNCTION = """def parse(record):
    row = tf.io.parse_single_example(
        record,
        FEATURES,  # all of them
    )♦
    return row["a"] / 2


ds = tf.data.TFRecordDataset(paths)
ds = ds.map(parse, num_parallel_calls=2)§
ds = ds.batch(8)¤
"""
PATCHED = """def parse(record):
    row = tf.io.parse_example(
        record,
        FEATURES,  # all of them
    )
    return row["a"] / 2


ds = tf.data.TFRecordDataset(paths)
ds = ds.batch(8)
ds = ds.map(parse, num_parallel_calls=2)
"""


def plan(workplace, marked):
    """Plan both halves of the change, as they are planned for a recommendation; the parser's call is marked with a diamond."""
    text, pair = workplace.marked(marked.replace("♦", ""))
    _, parser = workplace.marked(marked.replace("§", "").replace("¤", "").replace("♦", "§"))
    workplace.write(text)
    edits = [
        Edit(change=Change(kind="parse_together"), sites=workplace.sites(text, parser)),
        Edit(change=Change(kind="parse_batch"), sites=workplace.sites(text, pair)),
    ]
    return plan_edit(edits, workplace.sources(), root=workplace.root)


def test_a_parser_inside_the_maps_own_call_moves_with_it(workplace):
    patched = workplace.apply(plan(workplace, LAMBDA)).decode()

    assert patched == "ds = ds.batch(8).map(lambda r: tf.io.parse_example(r, F)).prefetch(2)\n"


def test_a_parser_elsewhere_in_the_file_is_edited_where_it_stands(workplace):
    assert workplace.apply(plan(workplace, FUNCTION)).decode() == PATCHED


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("tf.io.parse_tensor(r, F)§", "does not parse a single example"),
        ("parse_single_example(r, F)§", "does not parse a single example"),
        ("tf.io.parse_example(r, F)§", "already takes many records"),
    ],
)
def test_other_calls_are_refused(workplace, call, reason):
    patch = workplace.plan(f"a = {call}\n", "parse_together")

    assert patch.diff is None
    assert reason in patch.reason
