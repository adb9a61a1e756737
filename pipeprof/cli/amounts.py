"""Words of a command line that stand for an amount or a choice: read, and refused with the way to write them.

Nothing here knows a command.
"""

from __future__ import annotations

import re

from pipeprof.errors import UserError
from pipeprof.model.diagnosis import Safety

_BUDGET = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>s|m|min)?")
_FASTEST_HZ = 1000.0
_MOST_PAIRS = 50


def parse_budget(text: str) -> float:
    """Return seconds from ``60``, ``60s``, ``2m`` or ``1.5min``.

    Raises:
        UserError: it is none of these.
    """
    found = _BUDGET.fullmatch(text.strip())
    if found is None:
        raise UserError(f"--budget {text}: not a time", "write it as 90, 90s or 2m")
    return float(found["number"]) * (60.0 if found["unit"] in {"m", "min"} else 1.0)


def parse_allowed(text: str) -> tuple[Safety, ...]:
    """Return what changes may do to the data, from words with commas between them.

    Raises:
        UserError: one of them is nothing that can be allowed.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word != Safety.REORDERS:
            raise UserError(f"--allow {word}: nothing that can be allowed", "write reorders")
    return tuple(Safety(word) for word in dict.fromkeys(words))


def parse_rate(text: str) -> float:
    """Return a rate in Hz.

    Raises:
        UserError: it is no number above 0 and up to 1000.
    """
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= _FASTEST_HZ:
        raise UserError(f"--sample-hz {text}: not a rate", f"write a number above 0, up to {_FASTEST_HZ:g}")
    return rate


def parse_pairs(text: str) -> int:
    """Return a number of pairs.

    Raises:
        UserError: it is none from 1 to 50.
    """
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_PAIRS:
        raise UserError(f"--rerun {text}: not a number of pairs", f"write a number from 1 to {_MOST_PAIRS}")
    return int(text)
