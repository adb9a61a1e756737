"""The page on what pipeprof makes of pipelines: ratios with intervals, and where it falls short. It measures nothing itself."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeprof.analysis.significance import Interval, ratio_interval

if TYPE_CHECKING:
    from benchmarks.speedup import Result

OTHERS = ("naive", "AUTOTUNE", "HEURISTIC", "hand-tuned")
OWN = "pipeprof"
AIM = 1.3

_PAGE = """# What does pipeprof make of a pipeline?

Pipelines with the published structure of Plumber's study (MLSys 2022) on small synthetic data, the guide "Better performance
with the tf.data API", and this project's slow samples: each as a beginner writes it, with AUTOTUNE everywhere, with one call
for each core (HEURISTIC), tuned by hand, and as pipeprof leaves the pipeline that it is given ({start}): with the changes that
its own trials confirmed, and that need no asking. All forms of a workload run in one process, in turn, over epochs; caches
are full, as they are from the second epoch on, and the edges of epochs are left out: TensorFlow 2.21 now and then loses half a
second there, which is as much as an epoch of these data. The step costs nothing, or sleeps as a loop waits for an accelerator.
`make benchmark-speedup` made this page, on {cores} cores.

Times are medians in milliseconds a step. *Over AUTOTUNE* and *over the best other* are ratios of step times, with 90 %
intervals: above 1 pipeprof's is quicker.

| workload | step | naive | AUTOTUNE | HEURISTIC | by hand | pipeprof | over AUTOTUNE | over the best other | applied |
|---|---|---|---|---|---|---|---|---|---|
{rows}

Geometric mean over AUTOTUNE: **{mean:.2f}×** (aim {aim}×); with a step that costs nothing {free:.2f}×, before an accelerator
{busy:.2f}×. Slower than the best other form beyond noise: {slower} of {count}.

## Where it falls short

{short}

The guide's single steps, and advice that harms: [speedup-steps.md](speedup-steps.md).
"""

_STEPS = """# The guide's single steps, and advice that harms

Each pipeline of the guide "Better performance with the tf.data API" that lacks one of its steps, measured as in
[speedup.md](speedup.md): pipeprof gets the one without it (naive), *by hand* has it. `make benchmark-speedup` made this page,
on {cores} cores.

| workload | step | naive | AUTOTUNE | HEURISTIC | by hand | pipeprof | over AUTOTUNE | over the best other | applied |
|---|---|---|---|---|---|---|---|---|---|
{rows}

Slower than the best other form beyond noise: {slower} of {count}.

{short}

## Advice that harms

Plumber lost on Mask-RCNN by the split of the calls, 95 to 1, that its model had to make. Here the same pipeline with one call
for each core gets such a split on purpose, upside down, as two changes to be tried:

{split}
"""


def page(results: Sequence[Result], start: str) -> str:
    """Return the page on the published pipelines and the samples."""
    gains = [_gain(item, "AUTOTUNE") for item in results]
    return _PAGE.format(
        start=start,
        mean=_geometric(gains),
        free=_geometric([gain for gain, item in zip(gains, results, strict=True) if not item.step_s]),
        busy=_geometric([gain for gain, item in zip(gains, results, strict=True) if item.step_s]),
        aim=AIM,
        **_common(results),
    )


def steps_page(results: Sequence[Result], split: str) -> str:
    """Return the page on the guide's single steps, and on the split that harms."""
    return _STEPS.format(split=split, **_common(results))


def _common(results: Sequence[Result]) -> dict[str, object]:
    slower = [item for item in results if _interval(item, _best(item)).high < 1]
    lines = [
        f"- {item.workload}, step {item.step_s * 1e3:.0f} ms: {_best(item)} is quicker, "
        f"{1 / _interval(item, _best(item)).value:.2f}×. pipeprof applied {', '.join(item.applied) or 'nothing'}"
        f"{'; ' if item.refused else ''}{'; '.join(item.refused)}. {item.verdict}"
        for item in slower
    ]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "rows": "\n".join(map(_row, results)),
        "slower": len(slower),
        "count": len(results),
        "short": "\n".join(lines) or "Nowhere.",
    }


def _median(item: Result, form: str) -> float:
    times = sorted(item.rounds[form])
    return times[len(times) // 2]


def _best(item: Result) -> str:
    return min(OTHERS, key=lambda form: _median(item, form))


def _interval(item: Result, other: str) -> Interval:
    return ratio_interval(list(zip(item.rounds[other], item.rounds[OWN], strict=True)))


def _gain(item: Result, other: str) -> float:
    return float(_interval(item, other).value)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else math.nan


def _row(item: Result) -> str:
    times = " | ".join(f"{_median(item, form) * 1e3:.2f}" for form in (*OTHERS, OWN))
    best = _best(item)
    ratios = " | ".join(
        f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f}){'' if other == 'AUTOTUNE' else f' {best}'}"
        for other, found in (("AUTOTUNE", _interval(item, "AUTOTUNE")), (best + " ", _interval(item, best)))
    )
    step = "free" if not item.step_s else f"{item.step_s * 1e3:.0f} ms"
    return f"| {item.workload} | {step} | {times} | {ratios} | {', '.join(item.applied) or 'nothing'} |"
