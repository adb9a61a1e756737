"""The page on predictions: figures, misses and what they are due to, as Markdown. It measures and judges nothing itself."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prediction import Score
    from prediction_probes import Probe

_CHANGED_LOAD = 1.25  # the same pipeline ran that much slower or faster than when it was captured

_PAGE = """# How good are predictions?

Each pipeline is captured as a user's loop would run it, the change is predicted, and then really made in a twin that was
written by hand. Both are measured in turn (A B B A) with the same consumer; whole epochs where there are epochs. Costs are
drawn from a seed that was not used while the model was built. *Held* means that the 90 % interval holds the measured
speed-up; *within the noise* that it overlaps the measured speed-up's own 90 % interval.

`make benchmark-prediction` made this page: seed {seed}, {cores} cores shared with other processes, load average
{least_load:.0f} to {most_load:.0f} while it ran (a quiet machine of {cores} cores has less than {cores}).

| predicted from | median error | held | within the noise | changes |
|---|---|---|---|---|
{alone}
{controlled}

{table}

## Misses

{misses}

## The simulation against real pipelines

Sleeping functions with planted times; the simulation gets the times that they really took, and judges only buffers, slots,
threads, order and filling. The real step includes making the iterator.

| pipeline | real step | simulated | difference |
|---|---|---|---|
{probes}

## Do parallel calls scale?

A computing map with a fixed `num_parallel_calls`, rounds in turn, on {cores} cores: beyond {cores} calls this machine cannot
tell.

| calls | elements/s | against one |
|---|---|---|
{scaling}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """Everything that the page shows."""

    seed: int
    alone: Sequence[Score]
    controlled: Sequence[Score]
    table: str
    probes: Sequence[Probe]
    scaling: Mapping[int, float]


def page(results: Results) -> str:
    """Return the page."""
    loads = [item.truth.load for item in results.alone]
    cores = os.cpu_count()
    probes = (
        f"| {item.name} | {item.real_s * 1e3:.2f} ms | {item.simulated_s * 1e3:.2f} ms "
        f"| {item.simulated_s / item.real_s - 1:+.0%} |"
        for item in results.probes
    )
    scaling = (
        f"| {calls} | {rate:,.0f} | {rate / results.scaling[1]:.2f}× |" for calls, rate in sorted(results.scaling.items())
    )
    return _PAGE.format(
        seed=results.seed,
        cores=cores,
        least_load=min(loads),
        most_load=max(loads),
        alone=_summary("the run alone", results.alone),
        controlled=_summary("the run and the ready-element control", results.controlled),
        table=results.table,
        misses="\n".join(_misses(results.controlled)),
        probes="\n".join(probes),
        scaling="\n".join(scaling),
    )


def _summary(name: str, scores: Sequence[Score]) -> str:
    errors = [abs(item.error) for item in scores if item.error is not None]
    held = sum(item.is_held for item in scores)
    near = sum(item.is_within_noise for item in scores)
    return f"| {name} | {statistics.median(errors):.0%} | {held} of {len(scores)} | {near} of {len(scores)} | {len(scores)} |"


def _misses(scores: Sequence[Score]) -> list[str]:
    """Say of each miss what the figures show: the truth's own noise, another load than in the capture, or neither."""
    missed = [item for item in scores if not item.is_held]
    if not missed:
        return ["None."]
    return [f"- **{item.truth.case}** ({item.truth.change.kind}): {_reason(item)}" for item in missed]


def _reason(item: Score) -> str:
    if item.predicted is None:
        return "there was no prediction."
    found = []
    ratio = item.truth.before_s / item.captured_step_s if item.captured_step_s else 1.0
    if item.is_within_noise:
        found.append("the measured speed-up's own interval overlaps the predicted one")
    if not 1 / _CHANGED_LOAD < ratio < _CHANGED_LOAD:
        found.append(f"unchanged, the pipeline took {ratio:.2f} times the captured step in these blocks: the load was another")
    return "; ".join(found) + "." if found else "neither noise nor load explains it: the model is wrong here."
