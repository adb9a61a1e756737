"""Runs every sample and its cured twin under pipeprof, and compares what it says with what is expected.

    python benchmarks/samples.py [--only NAME] [--budget SECONDS] [--write docs/samples.md]

Prints one row a script; the exit status is 1 where an expectation failed. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.samples_patched import HEADER as PATCHED
from benchmarks.samples_patched import run_patched
from pipeprof.model.diagnosis import Diagnosis, InputBound
from pipeprof.report.machine import from_json

SAMPLES = Path(__file__).parents[1] / "sample_pipelines"
HEADER = ("sample", "script", "verdict", "waiting", "bottleneck", "findings", "trial", "expected")
PAGE = """# What pipeprof says of the samples

Made by `make benchmark-samples`.

{said}

## Patched, and run again

Each sample as `pipeprof fix --apply` left a copy of it, against the sample as it was: whole programs without pipeprof,
TensorFlow's start included, in turn (A B B A, six pairs); medians, and the ratio with its 90 % interval.

{patched}
"""
_ORDER = ("info", "low", "medium", "high")


@dataclass
class Row:
    """One script, as pipeprof saw it."""

    sample: str
    script: str
    diagnosis: Diagnosis
    failures: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)  # what a noisy machine may withhold: the outcome of a timing

    def cells(self) -> tuple[str, ...]:
        """Return the row's texts."""
        steps, verdict = self.diagnosis.steps, self.diagnosis.verdict
        waiting = "-" if steps.wait_share is None else f"{steps.wait_share:.0%}"
        codes = " ".join(f"{item.code}({item.severity})" for item in self.diagnosis.all_findings) or "none"
        trials = "; ".join(_trial_text(item) for item in self.diagnosis.recommendations) or "none"
        outcome = "; ".join([*self.failures, *self.unproven]) or "as expected"
        return (
            self.sample,
            self.script,
            verdict.input_bound,
            waiting,
            _bottleneck(self.diagnosis) or "-",
            codes,
            trials,
            outcome,
        )


def _trial_text(item: Any) -> str:
    trial = item.trial
    ratio = "" if trial.speedup is None else f" {trial.speedup:.2f} ({trial.low:.2f}-{trial.high:.2f})"
    predicted = "" if item.predicted is None else f", predicted {item.predicted.speedup:.2f}"
    return f"{item.change.kind}: {trial.state}{ratio}{predicted}, elements {trial.elements}"


def _bottleneck(diagnosis: Diagnosis) -> str:
    train = [pipeline for pipeline in diagnosis.pipelines if pipeline.role == "train"]
    return next((stage.op for pipeline in train for stage in pipeline.stages if stage.is_bottleneck), "")


def observe(script: Path, budget: float) -> Diagnosis:
    """Run one script under pipeprof and return the diagnosis."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "diagnosis.json"
        command = [sys.executable, "-m", "pipeprof", "run", "--quiet", "--no-html", "--budget", f"{budget:.0f}"]
        command += ["--output", scratch, "--json", str(target), str(script)]
        subprocess.run(command, check=True, capture_output=True)
        return from_json(target.read_bytes())


def _check_verdict(row: Row, expected: str) -> None:
    """A verdict that is withheld is no wrong one; on a noisy machine pipeprof may say that it does not know."""
    said = row.diagnosis.verdict.input_bound
    if said == InputBound.UNKNOWN:
        row.unproven.append("verdict withheld")
    elif said != expected:
        row.failures.append(f"verdict is not {expected}")


def check_slow(row: Row, expected: dict[str, Any]) -> None:
    """Compare a slow sample with its expectation."""
    diagnosis = row.diagnosis
    codes = {item.code for item in diagnosis.all_findings}
    _check_verdict(row, expected["input_bound"])
    if expected["bottleneck_op"] and _bottleneck(diagnosis) != expected["bottleneck_op"]:
        row.failures.append(f"bottleneck is not {expected['bottleneck_op']}")
    row.failures += [f"{code} is silent" for code in expected["must_fire"] if code not in codes]
    row.failures += [f"{code} fires" for code in expected["must_not_fire"] if code in codes]
    highest = max((_ORDER.index(item.severity) for item in diagnosis.all_findings), default=0)
    if highest > _ORDER.index(expected["highest_severity"]):
        row.failures.append(f"a finding is {_ORDER[highest]}")
    _check_changes(row, expected["confirmed_change"])


def _check_changes(row: Row, wanted: str) -> None:
    """Compare the recommended changes with the one that is to be confirmed; an empty name: none is to be."""
    changes = row.diagnosis.recommendations
    confirmed = {item.change.kind for item in changes if item.trial.state == "confirmed"}
    row.failures += [f"{item.change.kind} changes the elements" for item in changes if item.trial.elements == "different"]
    if wanted and wanted not in {item.change.kind for item in changes}:
        row.failures.append(f"{wanted} is not recommended")
    if wanted and wanted not in confirmed:
        row.unproven.append(f"{wanted} is not confirmed")
    if not wanted and confirmed:
        row.failures.append(f"{', '.join(confirmed)} is confirmed")


def check_twin(row: Row, expected: dict[str, Any]) -> None:
    """Compare a cured twin with its expectation."""
    codes = {item.code for item in row.diagnosis.all_findings}
    row.failures += [f"{code} still fires" for code in expected["twin"]["gone"] if code in codes]


def run_sample(folder: Path, budget: float) -> list[Row]:
    """Run one sample, and its twin where it has one."""
    expected = tomllib.loads((folder / "expected.toml").read_text())
    slow = Row(folder.name, "train.py", observe(folder / "train.py", budget))
    check_slow(slow, expected)
    rows = [slow]
    if expected["twin"]["script"] != "train.py":
        twin = Row(folder.name, expected["twin"]["script"], observe(folder / expected["twin"]["script"], budget))
        check_twin(twin, expected)
        rows.append(twin)
    return rows


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    folders = [path.parent for path in sorted(SAMPLES.glob("*/expected.toml")) if options.only in path.parent.name]
    said, patched = [*_head(HEADER)], [*_head(PATCHED)]
    has_failed = False
    for folder in folders:
        for row in run_sample(folder, options.budget):
            has_failed = has_failed or bool(row.failures or row.unproven)
            said.append(_told(row.cells()))
        patched.append(_told(run_patched(folder, options.budget).cells()))
    if options.write is not None:
        options.write.parent.mkdir(exist_ok=True)
        options.write.write_text(PAGE.format(said="\n".join(said), patched="\n".join(patched)))
    return int(has_failed)


def _head(names: Sequence[str]) -> tuple[str, str]:
    return "| " + " | ".join(names) + " |", "|" + "---|" * len(names)


def _told(cells: Sequence[str]) -> str:
    line = "| " + " | ".join(cells) + " |"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return line


if __name__ == "__main__":
    sys.exit(main())
