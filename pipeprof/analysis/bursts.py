"""Bursts: whether a loop waits a little in most steps, or long in few.

The one idea: a wait longer than half the consumer's own time is long, since no hand-over takes that; what matters is which part
of the loop the long ones take, in how many steps, and that they come again: a start that is slow once is none. Long waits that
on average are shorter than a step are none either: threads that wait for cores make them too, and no buffer bridges those.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof.analysis.histograms import total
from pipeprof.model.profile import Loop

_LONG = 0.5  # of the consumer's own time between two elements
_FEWEST = 4  # long waits
_MOSTLY = 0.5  # of the waiting must be in long waits; the rest is handing over
_EACH_THIRD = 0.1  # of the waiting lies in each third of the loop, where waits come again


@dataclass(frozen=True, kw_only=True, slots=True)
class Bursts:
    """The long waits of a loop."""

    wait_share: float  # of the loop's wall time
    steps_share: float
    usual_s: float  # their mean
    longest_s: float


def find_bursts(loop: Loop, gap_s: float) -> Bursts | None:
    """Return the long waits within epochs, None where they are few, not most of the waiting, short, or not spread over the run.

    Args:
        loop: the loop.
        gap_s: the consumer's own time for one step.
    """
    base, counts = loop.wait_histogram.base, loop.wait_histogram.counts
    waits = [(float(base ** (int(bucket) + 0.5)), count) for bucket, count in counts.items() if count]
    wall_s = sum(item.wait_s + item.gap_s for item in loop.bins)
    long = [(value, count) for value, count in waits if value > _LONG * gap_s]
    number, waited_s = sum(count for _, count in long), sum(value * count for value, count in long)
    if number - _edges(loop) < _FEWEST or wall_s <= 0 or not _comes_again(loop):
        return None
    within_s = waited_s - loop.boundary_wait_s
    all_s = sum(value * count for value, count in waits) - loop.boundary_wait_s
    if waited_s <= gap_s * number or within_s <= 0 or within_s < _MOSTLY * all_s:
        return None
    return Bursts(
        wait_share=within_s / wall_s,
        steps_share=number / total(loop.wait_histogram),
        usual_s=waited_s / number,
        longest_s=max(value for value, _ in long),
    )


def _edges(loop: Loop) -> int:
    return max(0, loop.epoch_count - 1)


def _comes_again(loop: Loop) -> bool:
    """Tell whether each third of the loop has a part of the waiting."""
    start, span = loop.bins[0].start_s, loop.bins[-1].end_s - loop.bins[0].start_s
    thirds = [0.0, 0.0, 0.0]
    for item in loop.bins:
        at = ((item.start_s + item.end_s) / 2 - start) / span if span > 0 else 0.0
        thirds[min(2, int(3 * at))] += item.wait_s
    return min(thirds) >= _EACH_THIRD * sum(thirds)
