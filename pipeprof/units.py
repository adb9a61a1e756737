"""Numbers turned into words: the only place where a quantity is rounded.

Every function takes a plain number in SI units (seconds, bytes, a share of 0-1) and returns short text. Nothing here
calculates; ``None`` means "not measured" and is said so.
"""

from __future__ import annotations

import math

NOT_MEASURED = "not measured"

_TIME_STEPS = ((60.0, 1 / 60.0, "min"), (1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (1e-6, 1e6, "µs"))
_BYTE_STEPS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def significant(value: float, digits: int = 2) -> str:
    """Format ``value`` with ``digits`` significant digits and no exponent (``0.042``, ``3.1``, ``120``)."""
    if not math.isfinite(value):
        return NOT_MEASURED
    if value == 0:
        return "0"
    magnitude = f"{value:.{digits - 1}e}"
    rounded = float(magnitude)
    exponent = int(magnitude.split("e")[1])
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def duration(seconds: float | None) -> str:
    """Format a duration: ``1.2 s``, ``34 ms``, ``0 s``; minutes from two minutes on."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_MEASURED
    size = abs(seconds)
    if size >= 120:
        return f"{significant(seconds / 60)} min"
    for limit, scale, unit in _TIME_STEPS[1:]:
        if size >= limit * 0.9995:
            return f"{significant(seconds * scale)} {unit}"
    return "0 s" if size < 1e-9 else f"{significant(seconds * 1e9)} ns"


def byte_count(size: float | None) -> str:
    """Format a number of bytes with decimal units: ``1.5 GB``, ``320 kB``, ``12 B``."""
    if size is None or not math.isfinite(size):
        return NOT_MEASURED
    for limit, unit in _BYTE_STEPS:
        if abs(size) >= limit:
            return f"{significant(size / limit)} {unit}"
    return f"{size:.0f} B"


def percent(share: float | None) -> str:
    """Format a share of 0-1 as a percentage: ``37 %``, ``0.4 %``."""
    if share is None or not math.isfinite(share):
        return NOT_MEASURED
    value = share * 100
    return f"{value:.0f} %" if abs(value) >= 1 or value == 0 else f"{significant(value, 1)} %"


def percent_interval(low: float, high: float) -> str:
    """Format an interval of shares: ``31-44 %``."""
    low_text, high_text = percent(low)[:-2], percent(high)[:-2]
    return f"{low_text} %" if low_text == high_text else f"{low_text}\N{EN DASH}{high_text} %"


def ratio(value: float | None) -> str:
    """Format a speed-up: ``1.42×``."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    return f"{value:.2f}×" if value < 10 else f"{value:.0f}×"


def ratio_interval(low: float, high: float) -> str:
    """Format an interval of speed-ups: ``1.31-1.52×``."""
    return f"{ratio(low)[:-1]}\N{EN DASH}{ratio(high)}"


def rate(per_second: float | None, what: str = "/s") -> str:
    """Format a rate: ``120/s``, ``3.4 steps/s`` with ``what=" steps/s"``."""
    if per_second is None or not math.isfinite(per_second):
        return NOT_MEASURED
    text = f"{float(significant(per_second, 3)):,.0f}" if per_second >= 100 else significant(per_second)
    return f"{text}{what}"


def count_of(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 pair``, ``12 pairs``, ``1,200 steps``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
