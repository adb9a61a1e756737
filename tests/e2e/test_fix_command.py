"""`pipeprof fix --apply`: a filter that comes before the dear map in the source keeps every number, and saves its calls."""

import json

import pytest

from tests.e2e.confirmed_runs import PIPEPROF, run, seen

pytestmark = pytest.mark.tf

pytest.importorskip("tensorflow")


def mapped(folder):
    """How many elements the map made in a run."""
    nodes = json.loads((folder / "profile.json").read_text())["pipelines"][0]["executed"]
    return max(node["elements"] for node in nodes if "Map" in node["node"])


def test_a_patched_filter_comes_first_and_every_number_stays(tmp_path):
    native, first = seen(tmp_path, "late_filter.py", "filter_earlier", op="filter")

    fixed = run(*PIPEPROF, "fix", "--apply", first.name, cwd=tmp_path)

    assert native.stdout.count("\n") == 60
    assert fixed.returncode == 0, fixed.stderr
    assert "dataset = dataset.filter(lambda *row: is_wanted(*decode(*row)))" in (tmp_path / "train.py").read_text()
    patched = run(*PIPEPROF, "run", "--quiet", "--no-html", "--no-trials", "train.py", cwd=tmp_path)
    assert (patched.stdout, patched.returncode) == (native.stdout, 0)
    (second,) = set((tmp_path / "reports").iterdir()) - {first}
    assert mapped(second) < mapped(first) / 4
