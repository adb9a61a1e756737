"""A patched source, run by TensorFlow, gives the elements of the change that was replayed, and those of the source before."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.equivalence import compare
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.model.profile import ElementsState
from tests.unit.advise.edits.conftest import Workplace

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


@dataclass
class Script:
    """A script with marked calls, which leaves its dataset in ``ds``."""

    text: str
    workplace: Workplace

    def run(self, text: str) -> Any:
        """Run a text of it, and return its dataset."""
        path = self.workplace.root / f"run_{len(list(self.workplace.root.iterdir()))}.py"
        path.write_text(text)
        return runpy.run_path(str(path))["ds"]

    def replayed(self, kind: str, op: str, params: dict[str, Any]) -> tuple[Replayable, Replayable]:
        """Return the pipeline as it is, and as a replay of the change has it."""
        dataset = self.run(self.workplace.marked(self.text)[0])
        original = Replayable.of(dataset)
        tree = DatasetRegistry().read_tree(dataset)
        names = match_stages(original.graph, tree.stages, tree.output)
        stage = [item.id for item in tree.stages if item.op == op][-1]
        return original, find_change(kind).rewrite(original, names, stage, params)

    def patched(self, kind: str, params: dict[str, Any]) -> Replayable:
        """Return the pipeline of the patched script."""
        patch = self.workplace.plan(self.text, kind, **params)
        assert patch.diff is not None, patch.reason
        return Replayable.of(self.run(patch.files[self.workplace.name].decode()))


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def require_same(one: Replayable, other: Replayable, wanted: ElementsState = ElementsState.IDENTICAL) -> None:
    found = compare(one, other, limit_elements=64, epochs=2, time_budget_s=30.0)

    assert found.state is wanted, found.note
    assert found.elements_compared >= 8


def sizes_of(replayable: Replayable) -> list[int]:
    """Return the sizes of the prefetches."""
    nodes = {node.name: node for node in replayable.graph.node}
    sizes = [nodes[node.input[1]] for node in replayable.graph.node if node.op == "PrefetchDataset"]
    return [int(tf.make_ndarray(node.attr["value"].tensor)) for node in sizes]


@pytest.mark.parametrize(
    "last", ["ds = ds.prefetch(50)§\n", "ds = (\n    ds.shuffle(9, seed=4)\n    .prefetch(buffer_size=MANY)§\n    .repeat(2)\n)\n"]
)
def test_a_smaller_prefetch(workplace: Workplace, last: str) -> None:
    script = Script(f"import tensorflow as tf\nMANY = 500\nds = tf.data.Dataset.range(40).batch(4)\n{last}", workplace)

    original, changed = script.replayed("shrink_prefetch", "prefetch", {"buffer_size": 2})
    patched = script.patched("shrink_prefetch", {"buffer_size": 2})

    assert sizes_of(changed) == sizes_of(patched) == [2]
    require_same(original, patched)
    require_same(changed, patched)
