"""Which iterators are epochs of one pipeline, and which of them were made within the window.

Two iterators are of one pipeline when the stages next to their consumer have the same nodes and the same names: names
carry a number that is given to each dataset once. It must not join what only looks alike, as training and validation do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeprof.interop.node_kinds import FAN_OUT, stem
from pipeprof.interop.trace_events import Scan, Track
from pipeprof.interop.trace_loops import Consumed

_INJECTED_NUMBER = re.compile(r"(?<=^inject/).*")
_MADE_ANEW = frozenset({"Rebatch", "Options"})  # by TensorFlow for each iterator: their names say nothing
_CACHE = "Cache"  # behind it only the first epoch has stages


def group_epochs(consumed: Sequence[Consumed]) -> list[list[Consumed]]:
    """Group the lives of one pipeline, in their order."""
    groups: dict[tuple[object, ...], list[Consumed]] = {}
    for item in consumed:
        groups.setdefault((item.consumption, *_signature(item)), []).append(item)
    return list(groups.values())


def _signature(consumed: Consumed) -> list[tuple[str, str]]:
    """Return nodes and names from the consumer upwards, as far as every epoch has them."""
    found: list[tuple[str, str]] = []
    below: Sequence[Track] = consumed.tops
    while len(below) == 1:
        track = below[0]
        name = str(track.stats.get("name", ""))
        is_anew = stem(track.node) in _MADE_ANEW
        found.append((track.node, "" if is_anew else _INJECTED_NUMBER.sub("", name)))
        if stem(track.node) in FAN_OUT or _CACHE in track.node:
            break
        below = track.children
    return found


class Makings:
    """Which iterators were made within the window: each making is that of the next new root."""

    def __init__(self, found: Scan) -> None:
        """Give every making to a root."""
        makings = sorted(found.makings)
        self._of: dict[Track, float] = {}
        for root in sorted(found.roots, key=lambda track: track.life):
            before = [making for making in makings if making[1] <= root.life[0]]
            if before:
                makings.remove(before[-1])
                self._of[root] = (before[-1][1] - before[-1][0]) * 1e-12

    def seconds(self, root: Track) -> float | None:
        """Return how long the making of a root took, None where the window does not show it."""
        return self._of.get(root)
