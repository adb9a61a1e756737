"""What a stage's function does with its arguments, followed through real graphs."""

from __future__ import annotations

import pytest

from pipeprof.capture.functions import describe_function
from pipeprof.model.profile import StageFunction

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


def pairs():
    return tf.data.Dataset.range(4).map(lambda x: {"text": tf.as_string(x), "label": x})


def described(dataset) -> StageFunction:
    found = describe_function(dataset)
    assert found is not None
    return found


def test_what_is_handed_on_and_what_is_made_are_told_apart():
    found = described(pairs().map(lambda row: (row["text"], row["label"] + 1, row["label"])))

    assert found.passes == (1, -1, 0)  # "label" comes before "text" in the flat order
    assert found.reads == (0, 1)


def test_a_predicate_reads_what_its_result_depends_on():
    assert described(pairs().filter(lambda row: row["label"] > 1)).reads == (0,)
    assert described(pairs().filter(lambda _row: tf.random.uniform([]) > 0.5)).reads == ()


def test_a_call_of_another_function_reads_all_that_it_is_given():
    called = tf.function(lambda one, _other: one)

    found = described(pairs().map(lambda row: called(row["label"], row["text"])))

    assert (found.passes, found.reads) == ((-1,), (0, 1))


@pytest.mark.parametrize(
    ("cast", "narrow"),
    [
        (lambda x: tf.cast(x, tf.float32), 12),
        (lambda x: tf.image.convert_image_dtype(x, tf.float32), 12),
        (lambda x: (tf.cast(x, tf.float32) - 127.5) / 127.5, 12),
        (lambda x: (tf.cast(x, tf.float32) / 255, tf.cast(3, tf.int64)), 20),
    ],
)
def test_a_cast_that_is_scaled_at_most_is_wider_than_what_it_was_made_of(cast, narrow):
    pictures = tf.data.Dataset.from_tensors(tf.zeros([2, 2, 3], tf.uint8))

    found = described(pictures.map(cast))

    assert (found.widened_from, found.narrow_bytes) == ("uint8", narrow)


@pytest.mark.parametrize(
    "made",
    [
        lambda x: x + 1,
        lambda x: tf.cast(x, tf.int8),
        lambda x: tf.image.resize(x, [4, 4]),
        lambda x: tf.exp(tf.cast(x, tf.float32)),
        lambda x: tf.cast(x, tf.float32) * tf.cast(x, tf.float32),
    ],
)
def test_what_is_computed_is_no_wider_copy(made):
    found = described(tf.data.Dataset.from_tensors(tf.zeros([2, 2, 3], tf.uint8)).map(made))

    assert (found.widened_from, found.narrow_bytes) == ("", None)


@pytest.mark.parametrize(
    ("shrink", "ops"),
    [
        (lambda image: tf.image.resize(tf.cast(image, tf.float32), [8, 8]), ("ResizeBilinear",)),
        (lambda image: tf.image.resize(image, [8, 8], antialias=True), ("ScaleAndTranslate",)),
        (lambda image: tf.image.crop_to_bounding_box(image, 0, 0, 4, 4), ("Slice",)),
        (lambda image: tf.image.random_crop(image, [4, 4, 3]), ("Slice",)),
        (lambda image: image[:4, :4], ("StridedSlice",)),
        (lambda image: image[:, :, 0], ()),
        (lambda image: tf.image.resize(tf.cast(image[4:], tf.float32) / 255, [8, 8]), ("StridedSlice",)),
        (lambda image: tf.reduce_mean(tf.cast(image, tf.float32)), ()),
    ],
)
def test_what_leaves_pixels_out_after_a_decoding_is_found(shrink, ops):
    encoded = tf.data.Dataset.from_tensors(tf.io.encode_jpeg(tf.zeros([16, 16, 3], tf.uint8)))

    assert described(encoded.map(lambda text: shrink(tf.io.decode_jpeg(text, 3)))).after_decode == ops


def test_a_crop_while_decoding_leaves_nothing_to_leave_out():
    encoded = tf.data.Dataset.from_tensors(tf.io.encode_jpeg(tf.zeros([16, 16, 3], tf.uint8)))

    assert described(encoded.map(lambda text: tf.io.decode_and_crop_jpeg(text, [0, 0, 4, 4]))).after_decode == ()


def test_what_a_function_does_before_it_draws_is_told_from_the_rest():
    def augment(text):
        picture = tf.io.decode_jpeg(text, 3)
        small = tf.image.resize(picture, [8, 8])
        return tf.image.random_flip_left_right(small) + tf.random.uniform([])

    function = described(tf.data.Dataset.from_tensor_slices([b""]).map(augment))

    assert {"DecodeJpeg", "ResizeBilinear"} <= set(function.before_draws)
    assert not {"RandomUniform", "AddV2"} & set(function.before_draws)
    assert function.drawn_from_bytes == 8 * 8 * 3 * 4


def test_work_behind_a_draw_or_without_one_or_behind_python_is_not_before_a_draw():
    def crops_first(text):
        side = tf.cast(tf.random.uniform([], 4, 8), tf.int32)
        return tf.image.resize(tf.io.decode_and_crop_jpeg(text, [0, 0, side, side]), [8, 8])

    def sizes_unknown(text):
        return tf.image.random_crop(tf.io.decode_jpeg(text, 3), [4, 4, 3])

    def by_python(value):
        return tf.sqrt(tf.ensure_shape(tf.numpy_function(lambda x: x, [value], tf.float32), [])) + tf.random.uniform([])

    texts, numbers = tf.data.Dataset.from_tensor_slices([b""]), tf.data.Dataset.from_tensor_slices([1.0])
    assert not {"DecodeAndCropJpeg", "ResizeBilinear"} & set(described(texts.map(crops_first)).before_draws)
    assert "DecodeJpeg" in described(texts.map(sizes_unknown)).before_draws
    assert described(texts.map(sizes_unknown)).drawn_from_bytes is None
    assert "Sqrt" not in described(numbers.map(by_python)).before_draws
    assert described(numbers.map(tf.sqrt)).before_draws == ()


def test_a_draw_in_a_function_that_is_called_counts_as_one():
    @tf.function
    def noise(value):
        return value * tf.random.uniform([])

    function = described(tf.data.Dataset.from_tensor_slices([1.0]).map(lambda value: tf.exp(noise(tf.sqrt(value)))))

    assert function.before_draws == ("Sqrt",)
    assert function.drawn_from_bytes == 4
