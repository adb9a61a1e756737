"""The confirmed changes of a run, as a patch or in the files."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeprof import planning
from pipeprof.advise.recommend import recommendation_id
from pipeprof.capture.host_facts import host_facts
from pipeprof.cli.main import main
from pipeprof.model.profile import CallSite, Change, ElementsState, ExecutedStage, LoopBin, SourceFile, TrialRecord, TrialState
from pipeprof.store import RunDirectory, find_run
from tests.support.builders import Scene, random_function, stage

BEFORE = "import tensorflow as tf\n\ndataset = source()\ndataset = dataset.map(augment)\nfit(dataset)\n"
AFTER = BEFORE.replace("map(augment)", "map(augment, num_parallel_calls=tf.data.AUTOTUNE)")
CHANGE = Change(kind="parallel_calls", params={"num_parallel_calls": -1})


def confirmed(**details: object) -> TrialRecord:
    planted = {
        "id": recommendation_id(CHANGE, "p0", "s1"), "pipeline_id": "p0", "stage_id": "s1", "change": CHANGE,
        "state": TrialState.CONFIRMED, "speedup": 1.8, "low": 1.6, "high": 2.0, "elements": ElementsState.IDENTICAL,
    }  # fmt: skip
    return TrialRecord(**(planted | details))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that keeps a run with a slow random map on line 4 of train.py, and returns that file."""
    monkeypatch.chdir(tmp_path)

    def keep(*trials: TrialRecord, **facts: object) -> Path:
        script = tmp_path / "train.py"
        script.write_text(BEFORE)
        slow = stage("map", 0.036, function=random_function())
        scene = Scene(stages=(stage("from_tensor_slices"), slow, stage("prefetch", segment=0)), controls=())
        profile = scene.profile()
        code = "dataset.map(augment)"
        site = CallSite(file=str(script), line=4, column=10, end_line=4, end_column=30, function="<module>", code=code)
        (record,) = profile.pipelines
        written = tuple(replace(item, call_site=site) if item.id == "s1" else item for item in record.written)
        bins = tuple(
            LoopBin(
                start_s=at * 1.0, end_s=at + 1.0, steps=25, wait_s=0.75, gap_s=0.25, wait_max_s=0.03, step_max_s=0.04,
                step_min_s=0.04,
            )
            for at in range(24)
        )  # fmt: skip
        loop = replace(record.loop, bins=bins, steps_in_bins=600, cpu_s=24.0)
        nodes = ("Root", "Prefetch", "Map", "TensorSlice")
        executed = tuple(
            ExecutedStage(
                id="0" + ".0" * depth,
                node=node,
                inputs=("0" + ".0" * (depth + 1),) if depth + 1 < len(nodes) else (),
                elements=600,
                busy_s=21.6 if node == "Map" else 0.001,
                known_ratio=1.0,
            )
            for depth, node in enumerate(nodes)
        )
        source = SourceFile(path=str(script), sha256=hashlib.sha256(BEFORE.encode()).hexdigest())
        run = RunDirectory.create(tmp_path / "reports", "train")
        run.write_profile(
            replace(
                profile,
                run=replace(profile.run, id=run.id, sources=(source,), working_directory=str(tmp_path), host=host_facts()),
                pipelines=(replace(record, written=written, executed=executed, loop=loop, **facts),),
                trials=trials,
            )
        )
        return script

    return keep


def test_the_confirmed_change_is_printed_as_a_patch_that_applies(
    kept: Callable[..., Path], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    script = kept(confirmed())

    assert main(["fix"]) == 0

    seen = capfdbinary.readouterr()
    assert script.read_text() == BEFORE
    subprocess.run(["patch", "-p1"], input=seen.out, cwd=script.parent, check=True, capture_output=True)
    assert script.read_text() == AFTER
    assert seen.err.startswith(b"pipeprof: Run the calls of map")


def test_apply_writes_the_file_and_keeps_its_mode(kept: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    script = kept(confirmed())
    script.chmod(0o755)

    assert main(["fix", "--apply"]) == 0

    assert script.read_text() == AFTER
    assert script.stat().st_mode & 0o777 == 0o755
    assert "changed " in capsys.readouterr().out
    assert sorted(path.name for path in script.parent.iterdir()) == ["reports", "train.py"]


@pytest.mark.parametrize(
    "trial",
    [
        confirmed(state=TrialState.NO_DIFFERENCE),
        confirmed(elements=ElementsState.UNCHECKED),
        confirmed(elements=ElementsState.DIFFERENT),
    ],
)
def test_what_was_not_confirmed_or_not_proven_is_not_in_it(
    kept: Callable[..., Path], trial: TrialRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    script = kept(trial)

    assert main(["fix", "--apply"]) == 2

    assert script.read_text() == BEFORE
    assert capsys.readouterr().err.startswith(f"pipeprof: no change of {find_run(None).load().run.id} was confirmed")


def test_safe_changes_that_were_not_tried_are_taken_where_that_is_asked_for(kept: Callable[..., Path]) -> None:
    script = kept()

    assert main(["fix", "--apply"]) == 2
    assert main(["fix", "--untried", "--apply"]) == 0
    assert script.read_text() == AFTER


def test_a_change_that_a_trial_found_impossible_is_not_taken_though_it_was_not_timed(kept: Callable[..., Path]) -> None:
    script = kept(confirmed(state=TrialState.NOT_TRIED, reason="it cannot be", impossible=True))

    assert main(["fix", "--untried", "--apply"]) == 2
    assert script.read_text() == BEFORE


def test_a_file_that_changed_since_is_refused_and_nothing_is_written(
    kept: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    script = kept(confirmed())
    script.write_text(BEFORE + "# one more line\n")

    assert main(["fix", "--apply"]) == 2

    assert script.read_text() == BEFORE + "# one more line\n"
    seen = capsys.readouterr().err
    assert "train.py was changed since it was captured" in seen
    assert len(seen.splitlines()) == 1


def test_a_confirmed_change_of_the_order_is_written_only_when_that_is_allowed(
    kept: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    kept(confirmed(elements=ElementsState.REORDERED), deterministic=False)

    refused = main(["fix"])
    assert (refused, f"no change of {find_run(None).load().run.id} was confirmed" in capsys.readouterr().err) == (2, True)

    assert main(["fix", "--allow", "reorders"]) == 0
    assert "+dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)" in capsys.readouterr().out


def move_run(monkeypatch: pytest.MonkeyPatch, place: str) -> str:
    """Make the kept run one of another place, and return what is said of that."""
    run = find_run(None)
    profile = run.load()
    info = profile.run
    if place == "machine":
        info = replace(info, host=replace(info.host, cpu_model="Z80"))
        told = f"{info.id} was made on another machine (CPU: Z80, here {host_facts().cpu_model})"
    else:
        monkeypatch.setattr(planning, "_tensorflow_version", lambda: "2.18.0")
        info = replace(info, versions=replace(info.versions, tensorflow="2.17.1"))
        told = f"{info.id} was made with TensorFlow 2.17.1, and this is 2.18.0"
    run.write_profile(replace(profile, run=info))
    return told


@pytest.mark.parametrize("place", ["machine", "TensorFlow"])
def test_a_run_of_another_place_is_not_written_into_files(
    kept: Callable[..., Path], place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = kept(confirmed())
    told = move_run(monkeypatch, place)
    before = sorted(script.parent.rglob("*"))

    assert main(["fix", "--apply"]) == 2

    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err == f"pipeprof: {told} \N{EM DASH} run the script again with pipeprof run, then apply that run\n"
    assert script.read_text() == BEFORE
    assert sorted(script.parent.rglob("*")) == before


@pytest.mark.parametrize("place", ["machine", "TensorFlow"])
def test_a_run_of_another_place_is_printed_with_a_word_about_it(
    kept: Callable[..., Path], place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(confirmed())
    told = move_run(monkeypatch, place)

    assert main(["fix"]) == 0

    seen = capsys.readouterr()
    assert "+dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)" in seen.out
    assert seen.err.splitlines()[0] == f"pipeprof: {told}: the patch is proven for there; --apply would write nothing here"


def test_of_a_run_of_this_place_nothing_is_said_of_places(
    kept: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    kept(confirmed())

    assert main(["fix"]) == 0

    assert "was made" not in capsys.readouterr().err
