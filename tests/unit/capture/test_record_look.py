"""What the start of a file tells: records, how far they compress, what their Examples waste."""

from __future__ import annotations

import gzip
import random
import struct
import zlib

import pytest

from pipeprof.capture.record_look import look_into


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def int64s(*values: int) -> bytes:
    return message(3, message(1, b"".join(varint(value) for value in values)))


def floats(*values: float) -> bytes:
    return message(2, message(1, struct.pack(f"<{len(values)}f", *values)))


def text(value: bytes) -> bytes:
    return message(1, message(1, value))


def example(**features: bytes) -> bytes:
    entries = (message(1, message(1, name.encode()) + message(2, feature)) for name, feature in features.items())
    return message(1, b"".join(entries))


def records(*contents: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(item)) + b"head" + item + b"tail" for item in contents)


def waste(record: bytes) -> list[tuple[str, str]]:
    return [(item.feature, item.kind) for item in look_into(records(record), "tfrecord", "").waste]


PIXELS = random.Random(3).choices(range(256), k=3000)


def test_records_that_are_whole_give_the_mean_size() -> None:
    assert look_into(records(b"a" * 100, b"b" * 300)[:-5] + b"", "tfrecord", "").record_bytes == 100
    assert look_into(records(b"a" * 100, b"b" * 300), "tfrecord", "").record_bytes == 200
    assert look_into(records(b"a" * 100), "text", "").record_bytes is None


def test_plain_content_is_tried_with_zlib_and_noise_does_not_compress() -> None:
    noise = random.Random(1).randbytes(50_000)

    assert look_into(b"abcd" * 10_000, "text", "").compresses > 20
    assert look_into(noise, "text", "").compresses == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_compressed_records_are_inflated_and_timed(pack) -> None:
    plain = records(*[b"abcd" * 5000] * 20)
    clock = iter([0.0, 0.5, 1.0, 1.25, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0])

    look = look_into(pack(plain), "tfrecord", "GZIP", lambda: next(clock))

    assert look.record_bytes == 20_000
    assert look.compresses == pytest.approx(len(plain) / len(pack(plain)))
    assert look.inflate_bytes_per_s == pytest.approx(len(plain) / 0.25)


def test_what_is_not_what_its_name_says_gives_nothing() -> None:
    assert look_into(b"", "tfrecord", "").compresses is None
    assert look_into(b"no gzip at all", "tfrecord", "GZIP").compresses is None
    assert look_into(b"\xff" * 1000, "tfrecord", "").record_bytes is None


def test_pixels_kept_as_numbers_are_named_with_what_they_take() -> None:
    record = example(pixels=int64s(*PIXELS), label=int64s(7))

    (found,) = look_into(records(record), "tfrecord", "").waste

    assert (found.feature, found.kind, found.raw_bytes) == ("pixels", "int64-list", 3000)
    assert found.record_bytes > 4000
    assert waste(example(pixels=floats(*PIXELS))) == [("pixels", "float-list")]


def test_numbers_that_are_no_bytes_are_left_alone() -> None:
    assert waste(example(ids=int64s(*[value * 100 for value in PIXELS]))) == []
    assert waste(example(audio=floats(*[value / 255 for value in PIXELS]))) == []
    assert waste(example(few=int64s(*PIXELS[:100]))) == []
    assert waste(example(negative=int64s(*PIXELS[:300], 2**64 - 1))) == []


def test_base64_is_told_from_text_and_from_bytes() -> None:
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    coded = bytes(random.Random(2).choices(letters, k=4000))

    assert waste(example(picture=text(coded))) == [("picture", "base64")]
    assert waste(example(story=text(b"once upon a time there was " * 100))) == []
    assert waste(example(jpeg=text(random.Random(4).randbytes(4000)))) == []


def test_a_record_that_is_no_example_wastes_nothing() -> None:
    assert waste(random.Random(5).randbytes(5000)) == []
    assert waste(b"plain text that says nothing of features") == []
