"""A pipeline that tf.distribute took over is replayed as the user wrote it: one element of it is one step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

SCRIPT = """
import json
import sys
import tempfile

import tensorflow as tf

import pipeprof
from pipeprof.advise import graph as graphs
from pipeprof.advise.handed_over import as_written
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable

replicas = int(sys.argv[1])
devices = [tf.config.LogicalDeviceConfiguration()] * replicas
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
strategy = tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(replicas)])
files = tf.data.Dataset.from_tensor_slices(sys.argv[2:])
with pipeprof.profile(output=tempfile.mkdtemp(), name="taken") as prof:
    own = files.interleave(tf.data.TextLineDataset, cycle_length=2).map(tf.strings.length).shuffle(4).batch(4)
    for batch in strategy.experimental_distribute_dataset(own):
        pass
session = prof._session
record = prof.profile.pipelines[0]
dataset = next(entry.dataset for entry in session.pipelines.all() if entry.id == record.id)
whole = Replayable.of(dataset)
names = match_stages(whole.graph, record.written, record.output)
cut = as_written(whole, names, record)
stages = {stage.id: stage.op for stage in record.written}
node = graphs.nodes_by_name(cut.graph)[graphs.output_name(cut.graph)]
sizes = [int(tf.size(element[0])) for element in cut.load()]
print(json.dumps({"matched": sorted(stages[name] for name in names), "output": node.op, "sizes": sizes}))
"""


@pytest.mark.parametrize("replicas", [1, 2])
def test_it_ends_where_the_strategy_took_it_over(replicas: int, tmp_path: Path) -> None:
    script = tmp_path / "taken.py"
    script.write_text(SCRIPT)
    files = [tmp_path / f"{number}.txt" for number in range(3)]
    for file in files:
        file.write_text("one\ntwo\nthree\nfour\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    done = subprocess.run(
        [sys.executable, script, str(replicas), *files],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert {"from_tensor_slices", "interleave", "map", "shuffle", "batch"} <= set(seen["matched"])
    assert seen["output"].startswith("BatchDataset")
    assert seen["sizes"] == [4, 4, 4]
