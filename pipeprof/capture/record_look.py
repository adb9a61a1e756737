"""What the start of one file tells of its content: size of a record, whether it compresses, what it wastes.

The one idea: 256 kB are enough for a ratio, and one record for its encoding. It works on bytes alone, imports no TensorFlow,
and what it does not understand it leaves out.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeprof.capture.example_bytes import find_waste
from pipeprof.model.profile import FeatureWaste

_AUTO_HEADER = 47  # zlib's own way to ask for GZIP or ZLIB by the header
_TRIED_BYTES = 262_144  # of them zlib is tried on so many
_MOST_INFLATED = 4_194_304
_HEAD, _TAIL = 12, 4  # of a record: its length with a checksum, and a checksum
_LEAST_TIMED = 65_536  # bytes; fewer are inflated too fast to time
_TIMED = 5
_LEVEL = 6  # what writers use by default


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the start of a file showed; None where it did not."""

    record_bytes: float | None = None
    compresses: float | None = None
    inflate_bytes_per_s: float | None = None
    waste: tuple[FeatureWaste, ...] = ()


def look_into(start: bytes, kind: str, compression: str, clock: Callable[[], float] = time.thread_time) -> Look:
    """Look into the start of a file.

    Args:
        start: its first bytes.
        kind: "tfrecord", "text" and so on.
        compression: "", "GZIP" or "ZLIB".
        clock: seconds of CPU of this thread.
    """
    if not start:
        return Look()
    tried = start[:_TRIED_BYTES]
    plain = start if not compression else _inflate(tried)
    if not plain:
        return Look()
    records = list(_records(plain)) if kind == "tfrecord" else []
    return Look(
        record_bytes=sum(len(item) for item in records) / len(records) if records else None,
        compresses=len(plain) / len(tried) if compression else len(tried) / len(zlib.compress(tried, _LEVEL)),
        inflate_bytes_per_s=_inflate_rate(tried, len(plain), clock) if compression else None,
        waste=find_waste(records[0]) if records else (),
    )


def _inflate(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=_AUTO_HEADER).decompress(start, _MOST_INFLATED)
    except zlib.error:
        return b""


def _inflate_rate(start: bytes, size: int, clock: Callable[[], float]) -> float | None:
    """Return how many bytes a second of CPU inflates, by the fastest of some turns: others may use the core meanwhile."""
    if size < _LEAST_TIMED:
        return None
    taken = []
    for _ in range(_TIMED):
        began = clock()
        _inflate(start)
        taken.append(clock() - began)
    return size / min(taken) if min(taken) > 0 else None


def _records(content: bytes) -> Iterator[bytes]:
    """Yield the records that are whole."""
    at = 0
    while at + _HEAD <= len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        begin = at + _HEAD
        if begin + size > len(content):
            return
        yield content[begin : begin + size]
        at = begin + size + _TAIL
