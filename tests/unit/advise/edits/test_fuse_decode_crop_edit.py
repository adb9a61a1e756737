"""A decoding and its crop that become one call in the user's source."""

from __future__ import annotations

import pytest

from pipeprof.advise.source_edit import Edit, plan_edit
from pipeprof.model.profile import Change

CASES = {"test_only_the_window_is_decoded": "fuse_decode_crop.txt"}
HEAD = "import tensorflow as tf\nSIDE = 32\nOTHER = side()\n"
MAPPED = "ds = src.map(load)§\n"
DECODE = "x = tf.io.decode_jpeg(x, channels=3)"
CROP = "x = tf.image.random_crop(x, [32, 32, 3])"
RETURN = "return x"


def test_only_the_window_is_decoded(workplace, before, after):
    patch = workplace.plan(before, "fuse_decode_crop")

    assert patch.diff is not None, patch.reason
    assert patch.files[workplace.name].decode() == after
    assert workplace.apply(patch) == patch.files[workplace.name]


def load(*lines: str) -> str:
    return HEAD + "def load(x, y):\n" + "".join(f"    {line}\n" for line in lines) + MAPPED


def crop(code: str) -> str:
    return load(DECODE, f"x = tf.{code}", RETURN)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (load(CROP, RETURN), "load itself does not decode JPEGs by one call of decode_jpeg"),
        (load(DECODE, DECODE, CROP, RETURN), "load itself does not decode JPEGs by one call of decode_jpeg"),
        (load("x = tf.io.decode_png(x, channels=3)", CROP, RETURN), "does not decode JPEGs by one call"),
        (load("x = tf.io.decode_jpeg(x)", CROP, RETURN), "is not called with the file's contents and a number of channels"),
        (load("x = tf.io.decode_jpeg(x, channels=3, ratio=2)", CROP, RETURN), "is not called with the file's contents and"),
        (load("x = tf.io.decode_jpeg(x, *y)", CROP, RETURN), "is not called with the file's contents and"),
        (load("x = tf.io.decode_jpeg(x, channels=SIDE)", CROP, RETURN), "is not called with the file's contents and"),
        (load("x = tf.io.decode_jpeg(x, channels=0)", CROP, RETURN), "ask for 1 or 3"),
        (load(DECODE, RETURN), "what is decoded is not cropped in the next line"),
        (load(DECODE, "x = tf.cast(x, tf.float32)", CROP, RETURN), "what is decoded is not cropped in the next line"),
        (load(DECODE, "x = tf.image.central_crop(x, 0.5)", RETURN), "what is decoded is not cropped in the next line"),
        (load(DECODE, "x = x[:32, :32]", RETURN), "what is decoded is not cropped in the next line"),
        (load(DECODE, "if y:", f"    {CROP}", RETURN), "what is decoded is not cropped in the next line"),
        (load(DECODE, "z = [tf.image.random_crop(x, [32, 32, 3]) for _ in y]", RETURN), "not cropped in the next line"),
        (load(DECODE, CROP.replace("x =", "z ="), "return z, x"), "x is read by more than the crop"),
        (load(DECODE.replace("x =", "z ="), "x = tf.slice(z, [tf.size(z), 0, 0], [2, 2, 3])", RETURN), "z is read by more"),
        (load("x = f(y := x)", DECODE, CROP, RETURN), "load is more than a plain function of its arguments"),
        (crop("image.random_crop(x, [32, 32, 3], seed=4)"), "random_crop is not called with a place and a size alone"),
        (crop("image.random_crop(x, [32, 32, 1])"), "does not keep the 3 channels by rows, columns and a last 3"),
        (crop("image.random_crop(x, y)"), "does not keep the 3 channels by rows, columns and a last 3"),
        (crop("image.random_crop(x, [32, y, 3])"), "the size that random_crop keeps is not written as numbers"),
        (crop("image.random_crop(x, [32, OTHER, 3])"), "the size that random_crop keeps is not written as numbers"),
        (crop("slice(x, [y, y, 1], [32, 32, 3])"), "by rows, columns and a last 0"),
        (crop("slice(x, [y, y, 0], [-1, 32, 3])"), "the size that slice keeps is not written as numbers"),
        (crop("slice(x, [y, y, 0], [0, 32, 3])"), "the size that slice keeps is not written as numbers"),
        (crop("image.crop_to_bounding_box(x, y, y, tf.shape(y)[0], 3)"), "is not written as numbers"),
        (load(DECODE, CROP, RETURN) + "other = held_out.map(load)\n", "load is used by more than this map"),
        (load(DECODE, CROP, RETURN) + "def held_out():\n    return paths.map(load)\n", "load is used by more than this map"),
        (load(f"{DECODE}  # whole", CROP, RETURN), "a comment would be lost"),
        (load(DECODE, CROP, RETURN).replace("(load)", "(lambda x: load(x, 1))"), "the function has no name of its own"),
        (load(DECODE, CROP, RETURN).replace(".map", ".filter"), ".filter(...) is not a .map(...) of a dataset"),
    ],
)
def test_what_is_not_decoded_only_to_be_cropped_is_refused(workplace, text, reason):
    patch = workplace.plan(text, "fuse_decode_crop")

    assert patch.diff is None
    assert reason in patch.reason


def test_a_function_whose_casts_leave_it_decodes_the_window_in_what_is_left(workplace):
    text, calls = workplace.marked(load(DECODE, CROP, "return tf.cast(x, tf.float32), y").replace("§\n", "§.batch(8)¤\n"))
    workplace.write(text)
    mapped, batch = workplace.sites(text, calls)
    fuse = Edit(change=Change(kind="fuse_decode_crop"), sites=(mapped,))
    cast = Edit(change=Change(kind="cast_later"), sites=(mapped, batch))

    patch = plan_edit([fuse, cast], workplace.sources(), root=workplace.root)

    assert patch.diff is not None, patch.reason
    assert "+def load_narrow(x, y):\n+    x = decode_crop(x, 32, 32)\n+    return x, y\n" in patch.diff
    assert "+    return tf.cast(x, tf.float32), y\n" in patch.diff


def test_what_a_function_keeps_of_its_picture_is_decoded_alone_where_it_is_cut(workplace):
    crop = "x = tf.image.crop_to_bounding_box(x, 1, 2, 32, 32)"
    text, calls = workplace.marked(load(DECODE, crop, "return tf.image.random_flip_left_right(x), y"))
    workplace.write(text)
    sites = workplace.sites(text, calls)
    fuse = Edit(change=Change(kind="fuse_decode_crop"), sites=sites)
    split = Edit(change=Change(kind="split_map"), sites=sites, lines=(4, 7))

    patch = plan_edit([fuse, split], workplace.sources(), root=workplace.root)

    assert patch.diff is not None, patch.reason
    assert "+def load_fixed(x, y):\n+    x = decode_crop(x, 1, 2, 32, 32)\n+    return x, y\n" in patch.diff
    assert "+ds = src.map(load_fixed).cache().map(load_drawn)\n" in patch.diff


def test_without_a_name_for_what_the_window_needs_it_is_refused(workplace):
    text = load(DECODE, CROP, RETURN).replace("import tensorflow as tf", "from tensorflow import image, io")

    patch = workplace.plan(text.replace("tf.", ""), "fuse_decode_crop")

    assert patch.reason == "train.py:8: tensorflow.random.uniform has no name here."


@pytest.mark.parametrize(("code", "is_written"), [(CROP, False), ("x = tf.slice(x, [y, y, 0], [32, 32, 3])", True)])
def test_a_place_that_is_drawn_by_seeds_stays(workplace, code, is_written):
    patch = workplace.plan(load(DECODE, code, RETURN), "fuse_decode_crop", seeded=True)

    assert (patch.diff is not None) is is_written
    assert is_written or patch.reason == "train.py:8: seeds are set, and its crop would draw other places than before."
