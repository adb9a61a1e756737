"""How good is each rule? Every case of tests/ground_truth under ``pipeprof run``, all rules on each.

    PYTHONPATH=. python benchmarks/rules.py [--seed 11] [--only NAME] [--keep DIR] [--again DIR] [--write PAGE]

The one idea: a rule is right where it names the marked call of a case that says so, and wrong where it speaks of a call that
nobody planted, of a healthy loop, or of its own problem cured. ``--again DIR`` judges kept observations without running, also
those that ``benchmarks/accuracy.py --keep DIR`` left. It tunes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accuracy import keep, observe, read
from benchmarks.accuracy_judging import Observation
from benchmarks.rules_judging import judge_rules, line_of, table
from tests.ground_truth.registry import every_case


def observations(seed: int, only: str, folder: Path | None) -> Iterator[Observation]:
    """Run the cases, one at a time; what is kept already is not run again."""
    for case in every_case().values():
        if only not in case.name:
            continue
        known = folder / f"{case.name}.{seed}.json" if folder is not None else None
        if known is not None and known.exists():
            yield read(known)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            seen = observe(case, seed, Path(scratch), trials=case.trials)
        if folder is not None:
            keep(seen, folder)
        yield seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or read the observations, judge the rules, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("--keep", type=Path, help="keep every observation in this folder; what is there is not run again")
    parser.add_argument("--again", type=Path, help="judge the observations of this folder, run nothing")
    parser.add_argument("--write", type=Path, help="write the page here")
    options = parser.parse_args(arguments)
    if options.again:
        seen = [read(path) for path in sorted(options.again.glob("*.json")) if path.name.split(".")[0] in every_case()]
    else:
        seen = []
        for item in observations(options.seed, options.only, options.keep):
            seen.append(item)
            sys.stdout.write(line_of(item) + "\n")
            sys.stdout.flush()
    page = table(judge_rules(seen))
    if options.write is not None:
        options.write.write_text(page)
    sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
