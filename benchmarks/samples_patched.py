"""Patches a sample as ``pipeprof fix --apply`` does, and runs it again: is the program itself faster?

The one idea: what is timed is the whole program, natively, TensorFlow's start included, the plain and the patched one in turn
(A B B A), in processes of their own. Nothing of pipeprof runs meanwhile.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipeprof.analysis.significance import Interval, ratio_interval
from pipeprof.report.machine import from_json

HEADER = ("sample", "changes in the patch", "lines", "as it was, s", "patched, s", "ratio")
ROUNDS = 3  # A B B A each


@dataclass(frozen=True)
class Patched:
    """One sample before and after its patch; without pairs where there was nothing to patch."""

    sample: str
    changes: tuple[str, ...]
    lines: int = 0  # added or taken away
    pairs: tuple[tuple[float, float], ...] = ()

    @property
    def ratio(self) -> Interval | None:
        """How many times faster the patched program is."""
        return ratio_interval(self.pairs) if self.pairs else None

    def cells(self) -> tuple[str, ...]:
        """Return the row's texts."""
        if self.ratio is None:
            return (self.sample, "none", "0", "-", "-", "-")
        plain, patched = (statistics.median(side) for side in zip(*self.pairs, strict=True))
        ratio = f"{self.ratio.value:.2f} ({self.ratio.low:.2f}-{self.ratio.high:.2f})"
        return (self.sample, ", ".join(self.changes), str(self.lines), f"{plain:.1f}", f"{patched:.1f}", ratio)


def run_patched(folder: Path, budget: float, rounds: int = ROUNDS) -> Patched:
    """Observe a copy of a sample, patch it, and time both.

    Args:
        folder: of the sample; its data lie beside it.
        budget: seconds for trials.
        rounds: of four runs each.
    """
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "samples"
        place = samples / folder.name
        shutil.copytree(folder, place)
        (samples / "data").symlink_to(folder.parent / "data")
        plain, patched, target = place / "train.py", place / "patched.py", Path(scratch) / "diagnosis.json"
        shutil.copy(plain, Path(scratch) / "plain.py")
        command = [sys.executable, "-m", "pipeprof", "run", "--quiet", "--no-html", "--budget", f"{budget:.0f}"]
        subprocess.run([*command, "--json", str(target), str(plain)], check=True, capture_output=True, cwd=scratch)
        found = from_json(target.read_bytes())
        changes = tuple(item.change.kind for item in found.recommendations if item.accepted and item.diff)
        if not changes:
            return Patched(folder.name, ())
        fix = [sys.executable, "-m", "pipeprof", "fix", "--apply"]
        subprocess.run(fix, check=True, capture_output=True, cwd=scratch)
        plain.rename(patched)
        shutil.copy(Path(scratch) / "plain.py", plain)
        return Patched(folder.name, changes, _changed_lines(plain, patched), tuple(_pairs(plain, patched, rounds)))


def _pairs(plain: Path, patched: Path, rounds: int) -> list[tuple[float, float]]:
    pairs = []
    for _ in range(rounds):
        first, second = _seconds(plain), _seconds(patched)
        third, fourth = _seconds(patched), _seconds(plain)
        pairs += [(first, second), (fourth, third)]
    return pairs


def _seconds(script: Path) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, str(script)], check=True, capture_output=True)
    return time.monotonic() - began


def _changed_lines(plain: Path, patched: Path) -> int:
    import difflib

    texts = [path.read_text().splitlines() for path in (plain, patched)]
    found = difflib.unified_diff(*texts, lineterm="", n=0)
    return sum(line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"} for line in found)
