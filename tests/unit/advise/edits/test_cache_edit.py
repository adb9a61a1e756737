"""`.cache()` behind a stage, in the style of the chain that it joins."""

from __future__ import annotations

import pytest

CASES = {"test_cache_joins_the_chain_in_its_style": "cache.txt"}


def test_cache_joins_the_chain_in_its_style(workplace, before, after):
    workplace.check(before, after, "cache")


@pytest.mark.parametrize(
    ("filename", "literal"),
    [("/tmp/c", '"/tmp/c"'), ('a"b', "'a\"b'"), ("dön", '"d\\xf6n"'), ("a'b", '"a\'b"'), ("a\\b", '"a\\\\b"'), ("", "")],
)
def test_a_file_name_becomes_a_plain_literal(workplace, filename, literal):
    workplace.check("ds = ds.map(f)§\n", f"ds = ds.map(f).cache({literal})\n", "cache", filename=filename)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ds = tfds.load('mnist')§\n", ".load(...) is not known to return one tf.data.Dataset"),
        ("ds = build(files)§\n", "build(...) is not known to return one tf.data.Dataset"),
        ("n = range(8)§\n", "range(...) is not known to return one tf.data.Dataset"),
        ("n = ds.map(f).cardinality()§\n", ".cardinality(...) is not known to return one tf.data.Dataset"),
        ("ds = ds.map(f)§.cache('x')\n", ".map(...) is already followed by .cache()"),
        ("ds = ds.map(f)§\nds = ds.cache().batch(8)\n", ".map(...) is already followed by .cache()"),
        ("ds = ds.cache()§\n", ".cache(...) is already followed by .cache()"),
    ],
)
def test_what_is_no_dataset_or_is_cached_is_refused(workplace, text, reason):
    patch = workplace.plan(text, "cache")

    assert patch.diff is None
    assert patch.reason == f"train.py:1: {reason}."


def test_a_class_alias_is_followed_to_its_meaning(workplace):
    header = "import tensorflow as tf\nD = tf.data.Dataset\n"

    workplace.check(f"{header}ds = D.range(8)§\n", f"{header}ds = D.range(8).cache()\n", "cache")
