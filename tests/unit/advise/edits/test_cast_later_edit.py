"""Casts at the end of a map's function that come behind the batch in the user's source."""

from __future__ import annotations

import pytest

CASES = {"test_the_casts_come_behind_the_last_call": "cast_later.txt"}
HEAD = "import tensorflow as tf\n"
CHAIN = "ds = src.map(load)§.batch(8)¤\n"
CAST = "return tf.cast(x, tf.float32) / 255"


def test_the_casts_come_behind_the_last_call(workplace, before, after):
    patch = workplace.plan(before, "cast_later")

    assert patch.diff is not None, patch.reason
    assert patch.files[workplace.name].decode() == after
    assert workplace.apply(patch) == patch.files[workplace.name]


def load(*lines: str, chain: str = CHAIN) -> str:
    return HEAD + "def load(x):\n" + "".join(f"    {line}\n" for line in lines) + chain


def mapped(chain: str, *, cast: str = CAST) -> str:
    return load("x = tf.sqrt(x)", cast, chain=chain)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (load("return tf.sqrt(x)"), "none of its results is a cast"),
        (load("x = tf.sqrt(x)", "return tf.reduce_mean(tf.cast(x, tf.float32))"), "none of its results is a cast"),
        (load("x = tf.cast(x, tf.float32)", "return x, tf.reduce_sum(x)"), "none of its results is a cast"),
        (load("y = tf.sqrt(x)", "return tf.cast(y, tf.float32) * y"), "none of its results is a cast"),
        (load("y = tf.sqrt(x)", "return tf.cast(y, y.dtype)"), "none of its results is a cast"),
        (load("y = parts(x)", "return tf.cast(y, tf.float32)"), "y, which is cast, is not known to be one tensor"),
        (load("y = [x, x]", "return tf.cast(y, tf.float32)"), "y, which is cast, is not known to be one tensor"),
        (load("import tensorflow as here", CAST.replace("tf.cast", "here.cast")), "none of its results is a cast"),
        (load("y = 2", CAST.replace("255", "y")), "none of its results is a cast"),
        (load("return (*x, tf.cast(x, tf.float32))"), "what it returns is not written part by part"),
        (load("return {**x, 'y': tf.cast(x['y'], tf.float32)}"), "what it returns is not written part by part"),
        (load("return tf.cast((y := x), tf.float32)"), "y := x, which is cast, is not known to be one tensor"),
        (load("return tf.cast(x, tf.float32), f(y := x)"), "an expression in what it returns assigns a name"),
        (load("if x > 2:", "    return x", CAST), "load can return before its casts"),
        (load("pass"), "the last statement of its function does not return a value"),
        (HEAD + f"@tf.function\ndef load(x):\n    {CAST}\n" + CHAIN, "load is decorated, generic or asynchronous"),
        (HEAD + f"def load(x, y=3):\n    {CAST}\n" + CHAIN, "load takes more than plain arguments"),
        (HEAD + "from mine import load\n" + CHAIN, "load is not the name of one function in this file"),
        (HEAD + CHAIN.replace("load", "self.load"), "the function has no name of its own"),
        (HEAD + CHAIN.replace("load", "lambda x: tf.cast(tf.sqrt(x), tf.int64)"), "the lambda does more than cast"),
        (HEAD + CHAIN.replace("load", "lambda *x: tf.cast(x, tf.int64)"), "the lambda takes more than plain arguments"),
        (HEAD + CHAIN.replace("load", "lambda x: x"), "none of its results is a cast"),
    ],
)
def test_what_is_more_than_casts_at_the_end_of_a_function_is_refused(workplace, text, reason):
    patch = workplace.plan(text, "cast_later")

    assert patch.diff is None
    assert reason in patch.reason


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ("ds = src.map(load)§.filter(keep).batch(8)¤\n", ".filter(...) stands between, and may need what is cast"),
        ("ds = src.map(load)§.cache('/tmp/c').batch(8)¤\n", "the file of .cache(...) may hold elements that were cast before"),
        ("ds = src.map(load)§.take(3)¤\n", ".take(...) holds no elements"),
        ("ds = src.map(load, 2, False)§.batch(8)¤\n", ".map(...) may give its elements in any order"),
        ("ds = src.map(load, next(calls))§.batch(8)¤\n", "an argument of .map(...) is worked out where it stands"),
        ("ds = src.map(load)§\nseen(ds)\nds = ds.batch(8)¤\n", "do not stand in one chain, or in steps on one name"),
        ("ds = src.map(load)§\nother = ds.batch(8)¤\n", "do not stand in one chain, or in steps on one name"),
        ("ds = src.map(load)§\nif A:\n    ds = ds.batch(8)¤\n", "do not stand in one chain, or in steps on one name"),
        ("ds = src.map(load)§\nds = ds.shuffle(len(ds)).batch(8)¤\n", "do not stand in one chain, or in steps on one name"),
        ("ds = [src.map(load)§]\nds = ds.batch(8)¤\n", "do not stand in one chain, or in steps on one name"),
        ("ds = ds.batch(8)¤\nds = ds.map(load)§\n", "do not stand in one chain, or in steps on one name"),
        ("ds = (kept := src.map(load)§).batch(8)¤\n", "do not stand in one chain, or in steps on one name"),
        (
            "try:\n    ds = src.map(load)§\n    ds = ds.batch(8)¤\nexcept ValueError:\n    show(ds)\n",
            "do not stand in one chain, or in steps on one name",
        ),
    ],
)
def test_where_something_could_see_the_elements_before_their_cast_it_is_refused(workplace, chain, reason):
    patch = workplace.plan(mapped(chain), "cast_later")

    assert patch.diff is None
    assert reason in patch.reason


@pytest.mark.parametrize("constant", ["[1.0, 2.0, 3.0]", "MEAN", "config.mean", "tf.constant([1.0, 2.0])"])
def test_a_constant_of_several_numbers_is_known_to_fit_once_elements_were_compared(workplace, constant):
    text = mapped(CHAIN, cast=f"return tf.cast(x, tf.float32) - {constant}")

    untried, compared = workplace.plan(text, "cast_later"), workplace.plan(text, "cast_later", compared=True)

    assert untried.reason == f"train.py:5: whether {constant} fits a batch, too, is known once the change was tried."
    assert compared.diff is not None, compared.reason
    assert f"\n+    return tf.cast(x, tf.float32) - {constant}\n" in compared.diff


def test_a_comment_is_not_lost(workplace):
    text = f"{HEAD}def load(x):\n    {CAST}\nds = src\nds = ds.map(load)§  # scaled\nds = ds.batch(8)¤\n"

    assert workplace.plan(text, "cast_later").reason == "train.py:5: a comment would be lost."
