"""How much of a pipeline's CPU do its stages account for, measured alone, and is the dearest of them the planted one?

The one idea: ``pipeprof bench`` measures the whole pipeline at full speed and, apart from it, each stage on a copy of the chain
cut behind it; the two are held against each other. Only cases that are read by a loop in Python have a pipeline alone.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeprof.model.diagnosis import Pipeline, Stage
from pipeprof.report.machine import from_json
from tests.ground_truth.registry import Case, Kind, all_cases

ROOT = Path(__file__).parents[1]
TARGET = "tests/ground_truth/as_dataset.py:make"
MODULES = ("planted_chains", "planted_files")
LIMIT_S = 200
SECONDS = 12

_SECTION = """## CPU of the stages

`pipeprof bench` on {count} of the planted pipelines: each stage measured alone, on a copy of the chain cut behind it. The CPU
of all stages is {middle} of what the whole pipeline used at full speed (median; from {least} to {most}), its hand-over of
elements to Python included, which no stage accounts for. The dearest stage is the planted one in {right} of {count}.

| case | seed | CPU accounted for | dearest stage | |
|---|---|---|---|---|
{rows}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attributed:
    """One pipeline alone."""

    case: str
    seed: int
    coverage: float | None = None
    dearest: str = ""
    is_right: bool | None = None
    failure: str = ""


def cases_alone() -> Iterator[Case]:
    """Yield the planted cases that are read by a loop in Python."""
    for case in all_cases().values():
        if case.kind is Kind.PLANTED and case.build.__module__.rpartition(".")[2] in MODULES:
            yield case


def attribute(case: Case, seed: int, scratch: Path) -> Attributed:
    """Measure one pipeline alone."""
    said = scratch / "bench.json"
    command = [sys.executable, "-m", "pipeprof", "bench", TARGET, "--arg", f"name={case.name}", "--arg", f"seed={seed}"]
    command += ["--seconds", str(SECONDS), "--output", str(scratch), "--json", str(said)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode or not said.exists():
        failure = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return Attributed(case=case.name, seed=seed, failure=failure)
    pipeline = next((item for item in from_json(said.read_bytes()).pipelines if item.role == "train"), None)
    stage = None if pipeline is None else _dearest(pipeline)
    site = None if stage is None else stage.call_site
    is_right = (
        site is not None
        and stage is not None
        and (Path(site.file).name, site.shown_line, stage.op) in {(mark.file, mark.line, mark.op) for mark in case.planted}
    )
    dearest = "" if site is None or stage is None else f"{Path(site.file).name}:{site.shown_line} {stage.op}"
    coverage = None if pipeline is None else pipeline.cpu_coverage
    return Attributed(case=case.name, seed=seed, coverage=coverage, dearest=dearest, is_right=is_right)


def _dearest(pipeline: Pipeline) -> Stage | None:
    def cost(stage: Stage) -> float:
        alone = stage.isolated
        return 0.0 if alone is None else max(alone.cpu_s, alone.wall_s)

    return max(pipeline.stages, key=cost, default=None)


def section(seen: Sequence[Attributed]) -> str:
    """Return the page's part on it."""
    shares = [item.coverage for item in seen if item.coverage is not None]
    if not shares:
        return ""
    rows = "\n".join(_row(item) for item in seen)
    return _SECTION.format(
        count=len(seen),
        middle=_share(statistics.median(shares)),
        least=_share(min(shares)),
        most=_share(max(shares)),
        right=sum(item.is_right is True for item in seen),
        rows=rows,
    )


def _row(item: Attributed) -> str:
    return f"| {item.case} | {item.seed} | {_share(item.coverage)} | {item.dearest or '-'} | {_said(item)} |"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _said(item: Attributed) -> str:
    return item.failure or ("right" if item.is_right else "WRONG")


def keep(item: Attributed, folder: Path) -> None:
    """Write one of them, to be read again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{item.case}.{item.seed}.json").write_text(json.dumps(asdict(item)))


def kept_in(folder: Path) -> list[Attributed]:
    """Read those of a folder."""
    order = [case.name for case in cases_alone()]
    paths = sorted(folder.glob("*.json"), key=lambda path: (order.index(path.name.split(".")[0]), path.name))
    return [Attributed(**json.loads(path.read_text())) for path in paths]
