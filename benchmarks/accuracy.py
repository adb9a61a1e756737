"""How often is pipeprof right? Every case of tests/ground_truth under ``pipeprof run``, against what its script measured.

    PYTHONPATH=. python benchmarks/accuracy.py [--seeds 11 12] [--only NAME] [--trials] [--xprof PYTHON] [--keep DIR]
        [--write PAGE]

The one idea: the truth comes from the case's own clock in the very run that pipeprof watched, and what is expected follows from
it. ``--keep DIR`` keeps truth and diagnosis of every run, ``--again DIR`` judges them again without running. It tunes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import accuracy_attribution
from benchmarks.accuracy_attribution import Attributed
from benchmarks.accuracy_judging import Observation, judge
from benchmarks.accuracy_page import page, row_text
from pipeprof.report.machine import from_json
from tests.ground_truth.registry import Case, all_cases

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "ground_truth" / "case.py"
LIMIT_S = 300
ALONE = "alone"
NOT_AVAILABLE = "not available"

_ASK = """
import json, sys
from xprof.convert import raw_to_tool_data
data, _ = raw_to_tool_data.xspace_to_tool_data([sys.argv[1]], "input_pipeline_analyzer", {"use_saved_result": False})
tables = json.loads(data if isinstance(data, str) else data.decode())
print(next(table["p"]["input_conclusion"] for table in tables if "input_conclusion" in table.get("p", {})))
"""


def observe(case: Case, seed: int, scratch: Path, *, trials: bool = False, xprof: str = "") -> Observation:
    """Run one case under pipeprof; return its own truth and what pipeprof says. A pipeline alone has no loop, and no truth."""
    said = scratch / "diagnosis.json"
    asked = _bench(case, seed) if case.alone else _run(case, seed, trials=trials)
    command = [sys.executable, "-m", "pipeprof", *asked[0], "--output", str(scratch), "--json", str(said), *asked[1]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    last = "{}" if case.alone else (done.stdout.strip().splitlines()[-1:] or [""])[0]
    if done.returncode != case.status or not last.startswith("{") or not said.exists():
        return Observation(case=case.name, seed=seed, failure=(done.stderr.strip().splitlines() or ["no output"])[-1])
    return Observation(
        case=case.name,
        seed=seed,
        truth=json.loads(last),
        diagnosis=from_json(said.read_bytes()),
        xprof=NOT_AVAILABLE if case.alone else _ask_xprof(scratch, xprof),
    )


def _run(case: Case, seed: int, *, trials: bool) -> tuple[list[str], list[str]]:
    """Return the words of ``pipeprof run`` for a case, before and after where its output goes."""
    options = ["--quiet", "--no-html", *([] if trials else ["--no-trials"])]
    return ["run", *options], [str(SCRIPT), case.name, "--seed", str(seed)]


def _bench(case: Case, seed: int) -> tuple[list[str], list[str]]:
    """Return the words of ``pipeprof bench`` for a case, before and after where its output goes."""
    arguments = ["--arg", f"name={case.name}", "--arg", f"seed={seed}"]
    return ["bench", accuracy_attribution.TARGET, "--seconds", str(accuracy_attribution.SECONDS), *arguments], []


def _ask_xprof(scratch: Path, python: str) -> str:
    """Return XProf's conclusion on the same run, as ``report --tensorboard`` writes it."""
    python = python or sys.executable
    if subprocess.run([python, "-c", "import xprof"], capture_output=True, check=False).returncode:
        return NOT_AVAILABLE
    logs = scratch / "logs"
    report = [sys.executable, "-m", "pipeprof", "report", "--output", str(scratch), "--tensorboard", str(logs)]
    done = subprocess.run(report, cwd=ROOT, capture_output=True, text=True, check=False)
    files = sorted(logs.rglob("*.xplane.pb"))
    if done.returncode or not files:
        return f"nothing to open: {(done.stderr.strip().splitlines() or ['no profile'])[-1]}"
    answer = subprocess.run([python, "-c", _ASK, str(files[0])], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return answer.stdout.strip() or "no answer"


# --- keeping -----------------------------------------------------------------------------------------------------


def keep(observation: Observation, folder: Path) -> None:
    """Write one observation, to be judged again."""
    from pipeprof.report.machine import to_json

    said = None if observation.diagnosis is None else json.loads(to_json(observation.diagnosis))
    kept = {"truth": observation.truth, "diagnosis": said, "xprof": observation.xprof, "failure": observation.failure}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{observation.case}.{observation.seed}.json").write_text(json.dumps(kept))


def kept_in(folder: Path) -> Iterator[Observation]:
    """Read the observations of a folder."""
    order = list(all_cases())
    for path in sorted(folder.glob("*.json"), key=lambda path: (order.index(path.name.split(".")[0]), path.name)):
        yield read(path)


def read(path: Path) -> Observation:
    """Read one observation."""
    name, seed, _ = path.name.split(".")
    kept: dict[str, Any] = json.loads(path.read_text())
    said = kept.pop("diagnosis")
    diagnosis = None if said is None else from_json(json.dumps(said).encode())
    return Observation(case=name, seed=int(seed), diagnosis=diagnosis, **kept)


def observations(options: argparse.Namespace) -> Iterator[Observation]:
    """Run the cases that are asked for, one at a time."""
    for seed in options.seeds:
        for case in all_cases().values():
            if options.only and options.only not in case.name:
                continue
            if options.keep and (options.keep / f"{case.name}.{seed}.json").exists():
                yield read(options.keep / f"{case.name}.{seed}.json")  # an interrupted benchmark goes on where it was
                continue
            with tempfile.TemporaryDirectory() as scratch:
                observation = observe(case, seed, Path(scratch), trials=options.trials, xprof=options.xprof)
            if options.keep:
                keep(observation, options.keep)
            yield observation


def attributions(options: argparse.Namespace) -> Iterator[Attributed]:
    """Measure the pipelines of the first seed alone, one at a time."""
    for case in accuracy_attribution.cases_alone():
        if options.only and options.only not in case.name:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            item = accuracy_attribution.attribute(case, options.seeds[0], Path(scratch))
        if options.keep:
            accuracy_attribution.keep(item, options.keep / ALONE)
        yield item


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or read the observations, judge them, print a line each and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("--trials", action="store_true", help="let pipeprof try its changes")
    parser.add_argument("--xprof", default=os.environ.get("XPROF_PYTHON", ""), help="a Python that can import xprof")
    parser.add_argument("--keep", type=Path, help="keep every observation in this folder; what is there is not run again")
    parser.add_argument("--again", type=Path, help="judge the observations of this folder, run nothing")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args(arguments)
    if options.again:
        verdicts = [judge(all_cases()[item.case], item) for item in kept_in(options.again)]
        alone = accuracy_attribution.kept_in(options.again / ALONE)
    else:
        verdicts = []
        for item in observations(options):
            verdicts.append(judge(all_cases()[item.case], item))
            sys.stdout.write(row_text(verdicts[-1]) + "\n")
            sys.stdout.flush()
        alone = list(attributions(options))
    text = page(verdicts, accuracy_attribution.section(alone))
    if options.write is not None:
        options.write.write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
