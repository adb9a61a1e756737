"""What a serialised ``tf.train.Example`` wastes: bytes kept as numbers, and bytes kept as text.

Reads the wire format of protocol buffers: an Example is a map from names to lists of bytes, floats or integers. A feature is
only named where every one of its values fits into a byte, or its text is base64 and nothing else; short ones never are.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator

from pipeprof.model.profile import FeatureWaste

_LEAST_VALUES = 256  # fewer values are no picture and no sound
_LEAST_TEXT = 1024
_MOST_FEATURES = 512
_MOST_VALUES = 4096  # that are looked at: of a picture kept as numbers these are enough
_CONTINUED = bytes(range(128, 256))  # bytes of a number in base 128 that is not over with them
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_BYTE_MAX = 255
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_LETTERS = 40  # different ones that a base64 text of more than a thousand letters has at least


def find_waste(record: bytes) -> tuple[FeatureWaste, ...]:
    """Return the features that take more bytes than they hold; nothing where the record is no Example."""
    try:
        return tuple(found for name, feature in _features(record) if (found := _judge(name, feature)) is not None)
    except (ValueError, IndexError, struct.error):
        return ()


def _features(record: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield names and features: Example.features is field 1, Features.feature is field 1, a map."""
    count = 0
    for features in _submessages(record, 1):
        for entry in _submessages(features, 1):
            count += 1
            if count > _MOST_FEATURES:
                return
            name, feature = next(_submessages(entry, 1), b""), next(_submessages(entry, 2), b"")
            yield name.decode(errors="replace"), feature


def _judge(name: str, feature: bytes) -> FeatureWaste | None:
    for field, content in _fields(feature):
        if not isinstance(content, bytes):
            continue
        if field == _INT64_LIST:
            packed = next(_submessages(content, 1), b"")
            return _as_bytes(name, "int64-list", feature, _integers(packed), len(packed.translate(None, _CONTINUED)))
        if field == _FLOAT_LIST:
            packed = next(_submessages(content, 1), b"")
            return _as_bytes(name, "float-list", feature, _floats(packed), len(packed) // 4)
        if field == _BYTES_LIST:
            return _as_text(name, feature, next(_submessages(content, 1), b""))
    return None


def _as_bytes(name: str, kind: str, feature: bytes, values: Iterator[float], count: int) -> FeatureWaste | None:
    """Name a long list whose values all are whole numbers of one byte, as far as they are looked at."""
    if count < _LEAST_VALUES:
        return None
    if any(not 0 <= value <= _BYTE_MAX or value != int(value) for value in itertools.islice(values, _MOST_VALUES)):
        return None
    return FeatureWaste(feature=name, kind=kind, record_bytes=len(feature), raw_bytes=count)


def _as_text(name: str, feature: bytes, value: bytes) -> FeatureWaste | None:
    """Name a long text that is base64: only its letters, and many of them."""
    is_base64 = len(value) >= _LEAST_TEXT and len(value) % 4 == 0 and _BASE64.fullmatch(value) is not None
    mixed = is_base64 and len(set(value)) >= _LETTERS
    return (
        FeatureWaste(feature=name, kind="base64", record_bytes=len(feature), raw_bytes=len(value) * 3 // 4) if mixed else None
    )


def _integers(packed: bytes) -> Iterator[int]:
    at = 0
    while at < len(packed):
        number, at = _varint(packed, at)
        yield number


def _floats(packed: bytes) -> Iterator[float]:
    return (value for (value,) in struct.iter_unpack("<f", packed[: 4 * _MOST_VALUES]))


def _submessages(content: bytes, wanted: int) -> Iterator[bytes]:
    return (value for field, value in _fields(content) if field == wanted and isinstance(value, bytes))


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbers of fields with their values.

    Raises:
        ValueError: it is no protocol buffer.
    """
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            number, at = _varint(content, at)
            yield field, number
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            size, at = _varint(content, at)
        if size is None or field == 0 or at + size > len(content):
            raise ValueError("no protocol buffer")
        yield field, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the high bit says that more follow
            return number, at
        if shift > 63:  # noqa: PLR2004 - bits of the widest number
            raise ValueError("no protocol buffer")
