"""`pipeprof run --apply RUN`: the confirmed change is in, the source and every loss are as they were."""

import json

import pytest

from tests.e2e.confirmed_runs import PIPEPROF, SCRIPTS, run, seen

pytestmark = pytest.mark.tf

pytest.importorskip("tensorflow")


def test_losses_are_identical_the_source_is_untouched_and_the_change_is_in(tmp_path):
    native, first = seen(tmp_path, "slow_map.py")
    script, before = tmp_path / "train.py", (SCRIPTS / "slow_map.py").read_bytes()

    applied = run(*PIPEPROF, "run", "--no-html", "--apply", first.name, "train.py", cwd=tmp_path)

    assert native.stdout.count("\n") == 4
    assert (applied.stdout, applied.returncode) == (native.stdout, 0)
    assert f"pipeprof: applied from {first.name}: Cache what map(slow) gives" in applied.stderr
    assert "not applied" not in applied.stderr
    assert script.read_bytes() == before
    (second,) = set((tmp_path / "reports").iterdir()) - {first}
    profile = json.loads((second / "profile.json").read_text())
    assert profile["run"]["applied_from"] == first.name
    assert any("Cache" in node["node"] for node in profile["pipelines"][0]["executed"])
    assert "PP401" not in applied.stderr

    script.write_text(script.read_text() + "# later\n")
    refused = run(*PIPEPROF, "run", "--apply", first.name, "train.py", cwd=tmp_path)

    assert (refused.stdout, refused.returncode) == ("", 2)
    assert refused.stderr.splitlines()[-1].startswith(f"pipeprof: {script} has changed since {first.name}")
    assert set((tmp_path / "reports").iterdir()) == {first, second}


def test_a_random_map_is_split_and_every_seeded_number_stays(tmp_path):
    native, first = seen(tmp_path, "random_map.py", "split_map")

    applied = run(*PIPEPROF, "run", "--no-html", "--no-trials", "--apply", first.name, "train.py", cwd=tmp_path)

    assert native.stdout.count("\n") == 6
    assert f"pipeprof: applied from {first.name}: Split map(draw) where it first draws at random" in applied.stderr
    assert (applied.stdout, applied.returncode) == (native.stdout, 0)
    (second,) = set((tmp_path / "reports").iterdir()) - {first}
    nodes = [node["node"] for node in json.loads((second / "profile.json").read_text())["pipelines"][0]["executed"]]
    assert any("Cache" in node for node in nodes)
    refused = run(*PIPEPROF, "fix", first.name, cwd=tmp_path)
    assert refused.returncode == 2
    assert "It sets seeds, and each part would draw other numbers" in refused.stderr


def test_a_map_is_called_for_whole_batches_and_its_python_runs_once_as_before(tmp_path):
    native, first = seen(tmp_path, "scalar_map.py", "vectorize")

    applied = run(*PIPEPROF, "run", "--no-html", "--no-trials", "--apply", first.name, "train.py", cwd=tmp_path)

    assert native.stdout.startswith("traced 1\n0 ")
    assert native.stdout.count("\n") == 3
    assert f"pipeprof: applied from {first.name}: Batch before map(scale)" in applied.stderr
    assert "not applied" not in applied.stderr
    assert (applied.stdout, applied.returncode) == (native.stdout, 0)


def test_a_filter_comes_first_in_the_running_script_and_every_number_stays(tmp_path):
    native, first = seen(tmp_path, "late_filter.py", "filter_earlier", op="filter")

    applied = run(*PIPEPROF, "run", "--no-html", "--apply", first.name, "train.py", cwd=tmp_path)

    assert native.stdout.count("\n") == 60
    assert f"pipeprof: applied from {first.name}: Filter before map(decode)" in applied.stderr
    assert "not applied" not in applied.stderr
    assert (applied.stdout, applied.returncode) == (native.stdout, 0)
    (second,) = set((tmp_path / "reports").iterdir()) - {first}
    nodes = [node["node"] for node in json.loads((second / "profile.json").read_text())["pipelines"][0]["executed"]]
    assert nodes.index("Filter") > next(index for index, node in enumerate(nodes) if "Map" in node)  # outermost first
    assert "PP603" not in applied.stderr


def test_another_order_is_made_only_where_it_is_asked_for(tmp_path):
    native, first = seen(tmp_path, "stragglers.py", "nondeterministic", elements="reordered")

    refused = run(*PIPEPROF, "run", "--no-html", "--apply", first.name, "train.py", cwd=tmp_path)
    asked = run(*PIPEPROF, "run", "--no-html", "--allow", "reorders", "--apply", first.name, "train.py", cwd=tmp_path)

    assert (refused.stdout, refused.returncode) == ("", 2)
    assert "it reorders the elements, and is made where that is asked for: --allow reorders" in refused.stderr
    assert native.stdout.count("\n") == 4
    assert (asked.stdout, asked.returncode) == (native.stdout, 0)
    assert f"pipeprof: applied from {first.name}: Hand elements on as they are ready" in asked.stderr
    assert "not applied" not in asked.stderr
