"""Does a stage's rate grow with its calls at once? Checked at a few numbers of calls instead of assumed to be linear.

The one idea: rates of one round are compared with that of one call in the same round, so that the machine's drift cancels. It
concludes nothing about why a rate stops growing.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.analysis.significance import mean_interval
from pipeprof.model.diagnosis import ScaledRate
from pipeprof.model.profile import IsolatedPrefix, PipelineRecord


def probe_counts(cores: int, threads: int | None = None, chosen: int | None = None) -> tuple[int, ...]:
    """Return the numbers of calls at which a stage is measured: one, two, one for each core, and twice as many.

    Args:
        cores: of the machine.
        threads: of the pipeline's own pool, where it has one: as many calls can wait at once.
        chosen: AUTOTUNE's number, where it chose one: what the others are compared with.
    """
    counts = (1, 2, cores, 2 * cores, threads or 1, chosen or 1)
    return tuple(sorted({max(1, count) for count in counts}))


def scaled_rates(record: PipelineRecord) -> tuple[ScaledRate, ...]:
    """Return the rate at each number of calls, and how it compares with that of one call; empty where none was measured."""
    rates = {point.calls: _rates(point.prefix) for point in record.scaling}
    one = rates.get(1, {})
    found = []
    for calls, own in sorted(rates.items()):
        ratios = [own[number] / one[number] for number in own if number in one]
        if not ratios:
            continue
        interval = mean_interval(ratios)
        mean = sum(own.values()) / len(own)
        found.append(
            ScaledRate(calls=calls, elements_per_s=mean, speedup=interval.value, low=max(0.0, interval.low), high=interval.high)
        )
    return tuple(found)


def _rates(prefix: IsolatedPrefix) -> Mapping[int, float]:
    return {block.round: block.elements / block.wall_s for block in prefix.blocks if block.elements and block.wall_s > 0}
