"""Two calls that change places, whichever change asks for it."""

from __future__ import annotations

import pytest

from pipeprof.advise.source_edit import Edit, plan_edit
from pipeprof.model.profile import Change

SWAPS = [
    ("skip_earlier", "map(f, num_parallel_calls=4)", "skip(10)"),
    ("skip_earlier", "map(f)", "take(n)"),
    ("skip_earlier", "map(f)", "shard(workers, index=me)"),
    ("shuffle_earlier", "map(f)", "shuffle(1000, seed=3)"),
    ("move_cache", "cache()", "take(100)"),
    ("move_cache", "map(augment)", "cache()"),
    ("move_cache", "shuffle(1000)", "cache('x')"),
]


@pytest.mark.parametrize(("kind", "first", "second"), SWAPS)
def test_neighbours_change_places_in_a_chain(workplace, kind, first, second):
    before = f"ds = (\n    src\n    .{first}§  # one\n    .{second}¤  # two\n    .batch(8)\n)\n"
    after = f"ds = (\n    src\n    .{second}  # two\n    .{first}  # one\n    .batch(8)\n)\n"

    workplace.check(before, after, kind)


@pytest.mark.parametrize(("kind", "first", "second"), SWAPS)
def test_neighbours_change_places_as_statements(workplace, kind, first, second):
    workplace.check(f"ds = ds.{first}§\nds = ds.{second}¤\n", f"ds = ds.{second}\nds = ds.{first}\n", kind)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("skip_earlier", "ds = ds.map(f)§.batch(8)¤\n", ".batch(...) is not a .shard(...) or .skip(...) or .take(...) of a"),
        ("skip_earlier", "ds = ds.map(f)§.cache().skip(8)¤\n", "do not follow each other directly"),
        ("shuffle_earlier", "ds = ds.map(f)§.skip(8)¤\n", ".skip(...) is not a .shuffle(...) of a dataset"),
        ("move_cache", "ds = ds.batch(8)§.cache()¤\n", ".batch(...) is not a .map(...) or .shuffle(...) of a dataset"),
        ("move_cache", "ds = ds.cache()§\nprint(ds)\nds = ds.take(8)¤\n", "do not follow each other directly"),
    ],
)
def test_what_may_not_change_places_is_refused(workplace, kind, text, reason):
    patch = workplace.plan(text, kind)

    assert patch.diff is None
    assert reason in patch.reason


def test_two_exchanges_of_one_call_have_no_one_meaning(workplace):
    text, calls = workplace.marked("ds = ds.map(f)§.shuffle(9)¤\n")
    workplace.write(text)
    sites = workplace.sites(text, calls)
    edits = [Edit(change=Change(kind=kind), sites=sites) for kind in ("skip_earlier", "shuffle_earlier")]

    patch = plan_edit(edits, workplace.sources(), root=workplace.root)

    assert patch.reason == "train.py:1: skip_earlier overlaps with shuffle_earlier at train.py:1."
