"""Patches that reach into the functions of the pipeline: the diff of a run, applied, is the same program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.tf, pytest.mark.slow]

SCRIPT = Path(__file__).parent / "scripts" / "one_by_one.py"


def run(folder: Path, *command: str) -> str:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=200, check=True
    ).stdout


@pytest.mark.parametrize(
    ("way", "kind", "added"),
    [
        ("parser", "parse_batch", ["    parsed = tf.io.parse_example(record, FEATURES)", "    rows = rows.batch(128)"]),
        ("reader", "parallel_inside", ["    return numbers.map(noisy, num_parallel_calls=tf.data.AUTOTUNE)"]),
        (
            "drawer",
            "split_map",
            [
                "def draw_fixed(number):",
                '    return kept["f0"], kept["square"]',
                "",
                "",
                "def draw_drawn(f0, kept_square):",
                '    return {"f0": f0, "drawn": kept_square + noise}',
                "",
                "",
                "def draw(number):",
                "    return draw_drawn(*draw_fixed(number))",
                "    return tf.data.Dataset.range(192).map(draw_fixed).cache().shuffle(192).map(draw_drawn).batch(8)",
            ],
        ),
    ],
)
def test_the_patch_of_a_run_is_the_same_program(way: str, kind: str, added: list[str], tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    shutil.copy(SCRIPT, script)
    options = ["--no-trials", "--no-html", "--quiet", "--json", "diagnosis.json"]

    plain = run(tmp_path, "-m", "pipeprof", "run", *options, "train.py", way)
    found = json.loads((tmp_path / "diagnosis.json").read_text())["recommendations"]
    (diff,) = [item["diff"] for item in found if item["change"]["kind"] == kind]
    subprocess.run(["patch", "-p1"], cwd=tmp_path, input=diff, text=True, capture_output=True, check=True)

    assert [line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")] == added
    assert run(tmp_path, "train.py", way) == plain
