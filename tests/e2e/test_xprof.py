"""XProf itself opens what ``report --tensorboard`` writes, and comes to the same share of waiting."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeprof.cli.main import main
from pipeprof.interop.logdir import find_profile
from pipeprof.interop.xplane import read_space
from tests.support.traces import CALL, PROCESS, Loop, event, space, to_bytes

if find_spec("tensorflow") is None:
    pytest.skip("TensorFlow's xplane_pb2.py is not installed", allow_module_level=True)

NEEDS_XPROF = pytest.mark.skipif(find_spec("xprof") is None, reason="xprof is not installed (pip install xprof)")
ASK = """
import json, sys
from xprof.convert import raw_to_tool_data
data, _ = raw_to_tool_data.xspace_to_tool_data([sys.argv[1]], "input_pipeline_analyzer", {"use_saved_result": False})
print(data if isinstance(data, str) else data.decode())
"""


def export(folder: Path, wait_ms: float) -> tuple[Path, dict]:
    """Make a run of 40 steps of 10 ms, and write it for TensorBoard."""
    loop = Loop(count=41, wait_ms=wait_ms)
    calls = [event(CALL, at + 0.2, wait_ms * 0.8, id=100 + index) for index, at in enumerate(loop.starts())]
    pool = [event(PROCESS, at + 0.3, wait_ms * 0.7, id=100 + index) for index, at in enumerate(loop.starts())]
    stages = [*loop.inside("Map", name="MapDataset:1"), *loop.inside("Map::Range", 0.01)]
    source = folder / "source.xplane.pb"
    source.write_bytes(to_bytes(space(python=[*loop.waits(), *stages, *calls], tf_data_private_threadpool__1=pool)))
    assert main(["analyze", str(source), "--output", str(folder / "runs"), "--json", str(folder / "said.json")]) == 0
    (run,) = (folder / "runs").iterdir()
    assert main(["report", str(run), "--tensorboard", str(folder / "logs")]) == 0
    (file,) = find_profile(folder / "logs").files
    return file, json.loads((folder / "said.json").read_text())


def test_what_was_written_can_be_read_again_and_holds_every_step(tmp_path: Path) -> None:
    file, said = export(tmp_path, wait_ms=6)

    lines = read_space(file).lines
    steps = [item for item in lines[0].events if item.stats.get("_r") == 1]
    waits = [item for item in lines[0].events if "_ipl_stage_name" in item.stats]
    share = sum(item.end_ps - item.start_ps for item in waits) / sum(item.end_ps - item.start_ps for item in steps)

    assert len(steps) == said["steps"]["count"] == 40
    assert share == pytest.approx(said["steps"]["wait_share"], abs=0.001)
    assert {line.events[0].name for line in lines[1:]} == {"range", ".map"}


@NEEDS_XPROF
@pytest.mark.parametrize(("wait_ms", "conclusion"), [(6.0, "HIGHLY"), (1.0, "MODERATELY"), (0.3, "NOT")])
def test_xprof_comes_to_the_same_share_and_shows_our_stages(tmp_path: Path, wait_ms: float, conclusion: str) -> None:
    file, said = export(tmp_path, wait_ms)

    answer = subprocess.run([sys.executable, "-c", ASK, str(file)], capture_output=True, check=True, timeout=200, text=True)
    tables = json.loads(answer.stdout)

    summary = next(table["p"] for table in tables if "input_conclusion" in table.get("p", {}))
    names = {row["c"][0]["v"] for table in tables if "opName" in str(table.get("cols")) for row in table["rows"]}
    percent = float(re.search(r"([\d.]+)% of the total step time", summary["input_conclusion"]).group(1))
    assert conclusion in summary["input_conclusion"]
    assert percent / 100 == pytest.approx(said["steps"]["wait_share"], abs=0.01)
    assert {".map", "range"} <= names
