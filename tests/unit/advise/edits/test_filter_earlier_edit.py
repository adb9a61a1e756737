"""A filter that comes before the map in the user's source, and asks its function for what it reads."""

from __future__ import annotations

import pytest

CASES = {"test_the_filter_comes_first": "filter_earlier.txt"}
SEVERAL = {"unpacks": True}


def test_the_filter_comes_first(workplace, before, after):
    workplace.check(before, after, "filter_earlier", **SEVERAL)


def test_a_private_source_is_no_hindrance(workplace):
    before = "def f(self):\n    return self.__src().map(decode)§.filter(keep)¤\n"
    after = "def f(self):\n    return self.__src().filter(lambda *row: keep(*decode(*row))).map(decode)\n"

    workplace.check(before, after, "filter_earlier", **SEVERAL)


def test_one_value_is_handed_on_as_it_is(workplace):
    before = "ds = src.map(decode)§.filter(lambda row: row['label'] == 3)¤\n"
    after = "ds = src.filter(lambda *row_2: (lambda row: row['label'] == 3)(decode(*row_2))).map(decode)\n"

    workplace.check(before, after, "filter_earlier", unpacks=False)


@pytest.mark.parametrize(
    ("text", "params", "reason"),
    [
        ("ds = src.map(lambda x: (x, x))§.filter(keep)¤\n", SEVERAL, "the function of .map(...) would stand twice, and has no"),
        ("ds = src.map(make())§.filter(keep)¤\n", SEVERAL, "would stand twice, and has no name"),
        ("ds = src.map(make().decode)§.filter(keep)¤\n", SEVERAL, "would stand twice, and has no name"),
        ("ds = src.map(decode)§.filter(super().keep)¤\n", SEVERAL, "is neither a name nor a lambda"),
        ("def f(self):\n    return src.map(self.__f)§.filter(keep)¤\n", SEVERAL, "AutoGraph does not follow private names"),
        ("def f(self):\n    return src.map(f)§.filter(lambda x: self.__g(x))¤\n", SEVERAL, "AutoGraph does not follow private"),
        ("ds = src.map(decode)§.filter(make())¤\n", SEVERAL, "the predicate of .filter(...) is neither a name nor a lambda"),
        ("ds = src.map(decode)§.filter(*keep)¤\n", SEVERAL, "so its predicate cannot be seen"),
        ("ds = src.map(decode)§.filter(keep)¤\n", {}, "whether the map gives one value or several was not recorded"),
        ("class Data:\n    ds = src.map(f)§.filter(g)¤\n", SEVERAL, "in the body of a class a lambda does not see its names"),
        ("ds = src.map(decode)§.batch(2).filter(keep)¤\n", SEVERAL, "do not follow each other directly"),
        ("ds = src.map(decode)§.filter(lambda x: (y := x))¤\n", SEVERAL, "an argument assigns a name"),
    ],
)
def test_what_would_not_mean_the_same_is_refused(workplace, text, params, reason):
    patch = workplace.plan(text, "filter_earlier", **params)

    assert patch.diff is None
    assert reason in patch.reason
