"""XSpace files (``*.xplane.pb``, the format of TensorFlow's profiler) as plain frozen data.

The message classes come from TensorFlow's own generated module, loaded alone: that takes 0.05 s and only protobuf, where
``import tensorflow`` takes seconds. Only host planes are read, and of those only the events that are asked for. It must
not know what an event means.
"""

from __future__ import annotations

import functools
import gzip
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pipeprof.errors import UserError

Stat = int | float | str | bytes

_MODULE = "tensorflow.tsl.profiler.protobuf.xplane_pb2"  # the same from TensorFlow 2.17 to 2.21
_LOADED_AS = "_pipeprof_xplane_pb2"
_GZIP_MAGIC = b"\x1f\x8b"
_HOST_PLANE = "/host:CPU"
_ENVIRONMENT_PLANE = "Task Environment"
_NO_STATS: Mapping[str, Stat] = MappingProxyType({})
_PS_PER_NS = 1000
_WHAT_TO_NAME = "name a profile that tf.profiler or the TensorBoard callback wrote"


class Detail(IntEnum):
    """How much of an event is read."""

    SKIP = 0
    TIMES = 1
    STATS = 2


class Event(NamedTuple):
    """One event of one thread. Picoseconds since the profiler started; integers, since they are compared for nesting."""

    name: str
    start_ps: int
    end_ps: int
    stats: Mapping[str, Stat] = _NO_STATS


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One thread: its events by start, an enclosing one before what it encloses."""

    name: str
    events: tuple[Event, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """What a profiler recorded on one host."""

    source: str  # the file, for messages
    host: str
    lines: tuple[Line, ...]
    started_ns: int | None = None  # wall clock since 1970
    window_s: float | None = None  # how long the profiler ran; None where the file does not say
    event_count: int = 0  # of the host, those that were not asked for included


def read_space(path: Path, detail: Callable[[str], Detail] = lambda _name: Detail.STATS) -> Space:
    """Read a file, compressed by gzip or not.

    Args:
        path: the file.
        detail: how much to read of an event with this name; asked once a name.

    Raises:
        UserError: it cannot be read, or is no profile.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", _WHAT_TO_NAME) from None
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise UserError(f"{path} is cut short or damaged: it cannot be uncompressed", "profile again") from None
    name = path.name.removesuffix(".gz").removesuffix(".pb").removesuffix(".xplane")
    return parse_space(content, str(path), detail, host=name)


def parse_space(
    content: bytes, source: str, detail: Callable[[str], Detail] = lambda _name: Detail.STATS, *, host: str = ""
) -> Space:
    """Read the bytes of an XSpace.

    Raises:
        UserError: they are none, or TensorFlow's message classes cannot be found.
    """
    if not content:
        raise UserError(f"{source} is empty", "profile again; the profiler was stopped before it could write")
    messages = xplane_messages()
    try:
        space = messages.XSpace.FromString(content)
    except Exception as error:
        if type(error).__name__ != "DecodeError":  # of google.protobuf.message, which is imported with the messages
            raise
        raise UserError(f"{source} is cut short, damaged or no profile", _WHAT_TO_NAME) from None
    planes = {plane.name: plane for plane in space.planes}
    if not planes or not any(name.startswith("/") or name == _ENVIRONMENT_PLANE for name in planes):
        raise UserError(f"{source} is no profile of TensorFlow's", _WHAT_TO_NAME)
    if _HOST_PLANE not in planes:
        raise UserError(f"{source} holds no events of the host", "profile with the host tracer on (host_tracer_level=2)")
    started_ns, window_s = _window(planes.get(_ENVIRONMENT_PLANE))
    plane = planes[_HOST_PLANE]
    return Space(
        source=source,
        host=(space.hostnames[0] if len(space.hostnames) else "") or host,
        lines=_read_lines(plane, detail),
        started_ns=started_ns,
        window_s=window_s,
        event_count=sum(len(line.events) for line in plane.lines),
    )


@functools.cache
def xplane_messages() -> Any:  # Any: a generated protobuf module
    """Return TensorFlow's generated module of XSpace messages, without importing TensorFlow.

    Raises:
        UserError: TensorFlow is not installed, or has no such file.
    """
    imported = sys.modules.get(_MODULE)
    if imported is not None:
        return imported
    top, *parts = _MODULE.split(".")
    package = PathFinder.find_spec(top)
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    file = next((path for path in (Path(folder, *parts).with_suffix(".py") for folder in folders) if path.is_file()), None)
    spec = spec_from_file_location(_LOADED_AS, file) if file is not None else None
    if spec is None or spec.loader is None:
        raise UserError(
            "reading profiles needs TensorFlow's xplane_pb2.py, which is not installed here",
            "install TensorFlow 2.17 or newer into this environment; it is not imported",
        )
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _window(plane: Any) -> tuple[int | None, float | None]:  # Any: an XPlane or None
    if plane is None:
        return None, None
    stats = {plane.stat_metadata[stat.metadata_id].name: _value(plane, stat) for stat in plane.stats}
    start, stop = stats.get("profile_start_time"), stats.get("profile_stop_time")
    if not isinstance(start, int):
        return None, None
    return start, (stop - start) * 1e-9 if isinstance(stop, int) else None


def _read_lines(plane: Any, detail: Callable[[str], Detail]) -> tuple[Line, ...]:  # Any: an XPlane
    names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
    wanted = {key: detail(name) for key, name in names.items()}
    stat_names = {key: metadata.name for key, metadata in plane.stat_metadata.items()}
    lines = []
    for line in plane.lines:
        begin_ps = line.timestamp_ns * _PS_PER_NS
        events = []
        for event in line.events:
            key = event.metadata_id
            how = wanted.get(key, Detail.SKIP)
            if not how:
                continue
            start = begin_ps + event.offset_ps
            stats = _NO_STATS
            if how is Detail.STATS:
                stats = {stat_names.get(stat.metadata_id, ""): _value(plane, stat) for stat in event.stats}
            events.append(Event(names[key], start, start + event.duration_ps, stats))
        events.sort(key=itemgetter(2), reverse=True)  # of events that start together the longest comes first
        events.sort(key=itemgetter(1))
        lines.append(Line(name=line.name, events=tuple(events)))
    return tuple(lines)


def _value(plane: Any, stat: Any) -> Stat:  # Any: an XPlane and one XStat of it
    kind = stat.WhichOneof("value")
    if kind is None:
        return ""
    value: Stat = getattr(stat, kind)
    return plane.stat_metadata[value].name if kind == "ref_value" else value
