"""Run one case: ``python tests/ground_truth/case.py NAME --seed N``; prints what the script itself measured, as JSON."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.ground_truth.clock import Clock
from tests.ground_truth.draws import Draw
from tests.ground_truth.registry import every_case


def main() -> None:
    """Build the case from its seed, run its loop, say what it measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(every_case()), metavar="NAME")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        draw = Draw(options.name, options.seed, Path(folder))
        case = every_case()[options.name]
        loop = case.build(draw)
        try:
            loop(clock)
        finally:
            del loop
            gc.collect()  # an iterator that is left to the interpreter's end waits for Python calls that never come: it hangs
            planted = [(mark.file, mark.line, mark.op) for mark in case.planted]
            print(json.dumps({**clock.truth(), "planted": planted, "drawn": dict(draw.log)}), flush=True)


if __name__ == "__main__":
    main()
