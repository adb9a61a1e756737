"""A map and the batch behind it change places, with everything that is theirs."""

from __future__ import annotations

import pytest

CASES = {"test_map_and_batch_change_places": "vectorize.txt"}


def test_map_and_batch_change_places(workplace, before, after):
    workplace.check(before, after, "vectorize")


def test_a_comment_stays_with_its_statement_at_the_end_without_a_newline(workplace):
    workplace.check("ds = ds.map(f)§  # b\nds = ds.batch(8)¤", "ds = ds.batch(8)\nds = ds.map(f)  # b", "vectorize")


APART = "do not follow each other directly"
REFUSED = {
    "a stage between": ("ds = ds.map(f)§.shuffle(9).batch(8)¤\n", APART),
    "another name": ("ds = ds.map(f)§\nother = ds.batch(8)¤\n", APART),
    "a statement between": ("ds = ds.map(f)§\nprint(ds)\nds = ds.batch(8)¤\n", APART),
    "a branch between": ("ds = ds.map(f)§\nif a:\n    ds = ds.batch(8)¤\n", APART),
    "more in the first statement": ("ds = ds.shuffle(9).map(f)§\nds = ds.batch(8)¤\n", APART),
    "more in the second statement": ("ds = ds.map(f)§\nds = ds.batch(8)¤.prefetch(1)\n", APART),
    "one line for two statements": ("ds = ds.map(f)§; ds = ds.batch(8)¤\n", APART),
    "return": ("def make(ds):\n    ds = ds.map(f)§\n    return ds.batch(8)¤\n", APART),
    "parentheses between": ("ds = (ds.map(f)§).batch(8)¤\n", APART),
    "two pipelines": ("a, b = x.map(f)§, y.batch(8)¤\n", APART),
    "no map": ("ds = ds.filter(f)§.batch(8)¤\n", ".filter(...) is not a .map(...) of a dataset"),
    "no batch": ("ds = ds.map(f)§.padded_batch(8)¤\n", ".padded_batch(...) is not a .batch(...) of a dataset"),
    "an argument that the other needs": ("ds = ds.map(f, n := 4)§.batch(n)¤\n", "an argument assigns a name"),
    "a comment that belongs to neither": (
        "ds = (src.\n      map(f)§.  # b\n      batch(8)¤)\n",
        "a comment between the calls cannot be moved with them",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_calls_that_are_no_neighbours_are_refused(workplace, case):
    text, reason = REFUSED[case]

    patch = workplace.plan(text, "vectorize")

    assert patch.diff is None
    assert patch.reason.startswith("train.py:")
    assert reason in patch.reason


def test_one_call_is_not_enough(workplace):
    patch = workplace.plan("ds = ds.map(f)§\n", "vectorize")

    assert patch.reason == "train.py:1: the change vectorize needs 2 call sites, not 1."
