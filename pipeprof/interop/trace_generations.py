"""When TensorFlow gives an iterator's number to another one.

The numbers are made of addresses, so that the iterator of the next epoch often gets that of the last, and so do those of
its stages. Looks at nothing but the makings of pipelines and the calls of their roots.
"""

from __future__ import annotations

from bisect import bisect_left

from pipeprof.interop.xplane import Space

ROOT_NAMES = frozenset({"Iterator::Root", "ReduceIterator::Root"})
MAKING_NAME = "MakeIterator::RootDataset"


def find_generations(space: Space) -> list[int]:
    """Return the moments (picoseconds) from which on a number that was in use is another iterator's.

    A making is followed by the first call of a new root. Where only roots that are known already are called until the
    next making, the new one goes under an old one's number. (Or it is not used at all while the old one goes on: then one
    life is taken for two, which costs one step.)
    """
    makings = sorted(_spans(space, frozenset({MAKING_NAME})))
    calls = sorted(_roots(space))
    starts = [start for start, _ in calls]
    first_of: dict[int, int] = {}
    for start, number in calls:
        first_of.setdefault(number, start)
    found = []
    for (begin, end), following in zip(makings, [*makings[1:], None], strict=False):
        left = bisect_left(starts, begin)
        right = len(starts) if following is None else bisect_left(starts, following[0])
        called = {number for _, number in calls[left:right]}
        if called and all(first_of[number] < begin for number in called):
            found.append(end)
    return found


def _spans(space: Space, names: frozenset[str]) -> list[tuple[int, int]]:
    return [(event.start_ps, event.end_ps) for line in space.lines for event in line.events if event.name in names]


def _roots(space: Space) -> list[tuple[int, int]]:
    found = []
    for line in space.lines:
        for event in line.events:
            number = event.stats.get("id") if event.name in ROOT_NAMES else None
            if isinstance(number, int):
                found.append((event.start_ps, number))
    return found
