"""The page on accuracy: a summary, a row for each case, and every miss, as Markdown. It measures and judges nothing itself."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable, Iterable, Sequence

from benchmarks.accuracy_judging import Verdicts, main_pipeline
from tests.ground_truth.registry import Kind

HEADER = (
    "case", "seed", "truth", "measured", "points", "verdict", "stage", "named", "alarms", "explained", "overhead", "XProf",
)  # fmt: skip

_PAGE = """# How often is pipeprof right?

{count} runs of {cases} small programs: {planted} in which something was planted, {healthy} healthy, {confounder} that mislead.
Costs, counts, batch sizes and orders come from a seed (here {seeds}). Each program measures by its own clock how much of its
loop it waits; the verdict that is right follows from that, and within three points of an edge (5 %, 20 %) either side is. The
stage that is right is the one call that is marked in the program's source, by line and by op. `make benchmark-accuracy` made
this page, on {cores} cores.

| | planted | healthy | confounders | all |
|---|---|---|---|---|
{summary}

A verdict is *withheld* where pipeprof says "unknown" of a loop whose waiting is known. A *false alarm* is a finding of medium
or high severity (other than PP101, which repeats the verdict) or any change that is advised, where nothing is wrong. Explained
is the share of the busy time that a written stage or a named rewrite accounts for; overhead is pipeprof's own account of it.

The program's clock counts more than waiting for data in some ways of consuming, and pipeprof does not: under Keras its own
dispatch of a step (one or two milliseconds); inside a graph the call of the clock, which is a `numpy_function` and may wait for
the interpreter's lock or for a thread. With `steps_per_execution` the clock counts less, since TensorFlow fetches a batch while
it still works on the one before. Of a thread that feeds a queue pipeprof sees the thread's waiting, not that of the loop behind
the queue, and says so.

XProf is asked about the runs of one seed, as `pipeprof report --tensorboard` writes them; it names no stage.

## Misses

{misses}

{alone}
How far predictions can be trusted is measured by another benchmark: [prediction.md](prediction.md).

## Every run

{table}
"""


def page(verdicts: Sequence[Verdicts], alone: str = "") -> str:
    """Return the whole page; ``alone`` is the part on the stages measured by themselves."""
    counts = {kind: len({item.case.name for item in verdicts if item.case.kind is kind}) for kind in Kind}
    return _PAGE.format(
        count=len(verdicts),
        cases=sum(counts.values()),
        seeds=", ".join(str(seed) for seed in sorted({item.observation.seed for item in verdicts})),
        cores=len(os.sched_getaffinity(0)),
        summary="\n".join(_summary(verdicts)),
        misses="\n".join(_misses(verdicts)) or "None.",
        alone=alone,
        table="\n".join([_line(HEADER), "|" + "---|" * len(HEADER), *(row_text(item) for item in verdicts)]),
        **{str(kind): count for kind, count in counts.items()},
    )


def row_text(item: Verdicts) -> str:
    """Return one run as a row."""
    return _line(_cells(item))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(item: Verdicts) -> tuple[str, ...]:
    diagnosis, observation = item.observation.diagnosis, item.observation
    if diagnosis is None:
        return (item.case.name, str(observation.seed), "failed", *[""] * (len(HEADER) - 4), observation.failure)
    right = "right" if item.is_verdict_right else ("withheld" if item.is_withheld else "WRONG")
    stage = "-" if item.is_stage_right is None else ("right" if item.is_stage_right else "WRONG")
    pipeline = main_pipeline(diagnosis)
    return (
        item.case.name,
        str(observation.seed),
        _percent(observation.truth.get("wait_share")),
        _percent(diagnosis.steps.wait_share),
        "-" if item.points is None else f"{item.points:+.1f}",
        f"{item.said}, {right}",
        stage,
        item.answer if item.case.planted else "-",
        "; ".join(item.false_alarms) or "-",
        _percent(None if pipeline is None else pipeline.explained_share),
        _percent(diagnosis.run.capture_overhead_share, 2),
        _xprof(observation.xprof),
    )


def _xprof(conclusion: str) -> str:
    """Shorten XProf's sentence to its class and its number."""
    found = re.search(r"(HIGHLY|MODERATELY|POTENTIALLY|NOT) input-bound.*?([\d.]+) ?%", conclusion, re.DOTALL)
    return f"{found.group(1)} {found.group(2)} %" if found else conclusion[:60]


def _percent(share: float | None, digits: int = 0) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


# --- summary -----------------------------------------------------------------------------------------------------


def _summary(verdicts: Sequence[Verdicts]) -> list[str]:
    rows: list[tuple[str, Callable[[Sequence[Verdicts]], str]]] = [
        ("verdict right", lambda items: _of(items, lambda item: item.is_verdict_right)),
        ("verdict withheld", lambda items: _of(items, lambda item: item.is_withheld)),
        ("stage right, by line and op", _stages),
        ("runs with a false alarm", lambda items: _of(items, lambda item: bool(item.false_alarms))),
        ("share of waiting off by, median points", lambda items: _points(items, statistics.median)),
        ("share of waiting off by, 95 % below", lambda items: _points(items, _most)),
        ("busy time explained, median", _explained),
        ("capture's overhead, median", _overhead),
    ]
    return [_line((name, *(cell(part) for part in _parts(verdicts)))) for name, cell in rows]


def _parts(verdicts: Sequence[Verdicts]) -> list[Sequence[Verdicts]]:
    return [*([item for item in verdicts if item.case.kind is kind] for kind in Kind), verdicts]


def _of(items: Sequence[Verdicts], holds: Callable[[Verdicts], bool]) -> str:
    return f"{sum(map(holds, items))} of {len(items)}"


def _stages(items: Sequence[Verdicts]) -> str:
    asked = [item for item in items if item.is_stage_right is not None]
    return _of(asked, lambda item: bool(item.is_stage_right)) if asked else "-"


def _points(items: Sequence[Verdicts], pick: Callable[[Sequence[float]], float]) -> str:
    off = [abs(item.points) for item in items if item.points is not None]
    return f"{pick(off):.1f}" if off else "-"


def _most(values: Sequence[float]) -> float:
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]


def _explained(items: Sequence[Verdicts]) -> str:
    pipelines = [main_pipeline(item.observation.diagnosis) for item in items if item.observation.diagnosis is not None]
    shares = [item.explained_share for item in pipelines if item is not None and item.explained_share is not None]
    return _percent(statistics.median(shares)) if shares else "-"


def _overhead(items: Sequence[Verdicts]) -> str:
    runs = [item.observation.diagnosis.run for item in items if item.observation.diagnosis is not None]
    shares = [run.capture_overhead_share for run in runs if run.capture_overhead_share is not None]
    return _percent(statistics.median(shares), 2) if shares else "-"


def _misses(verdicts: Sequence[Verdicts]) -> list[str]:
    """Return a line for each thing that was wrong, the worst share first."""
    lines = []
    for item in verdicts:
        where = f"`{item.case.name}` (seed {item.observation.seed})"
        if item.observation.failure:
            lines.append(f"- {where}: failed: {item.observation.failure}")
            continue
        if not item.is_verdict_right:
            truth = _percent(item.observation.truth.get("wait_share"), 1)
            lines.append(f"- {where}: said {item.said}, right is {' or '.join(item.expected)}; the truth is {truth}.")
        if item.is_stage_right is False:
            marks = item.observation.truth.get("planted") or [(mark.file, mark.line, mark.op) for mark in item.case.planted]
            planted = " or ".join(f"{file}:{line} {op}" for file, line, op in marks)
            lines.append(f"- {where}: blamed {item.answer}, planted is {planted}.")
        lines += [f"- {where}: {alarm}." for alarm in item.false_alarms]
    return lines
