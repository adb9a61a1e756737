"""What keeps a script from being run again, said before anything runs, and what becomes of the pairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from pipeprof.analysis.reruns import Measured, new_rerun
from pipeprof.capture.host_facts import host_facts
from pipeprof.cli import confirm
from pipeprof.cli.main import main
from pipeprof.diagnose import diagnose
from pipeprof.errors import UserError
from pipeprof.model.plan import ApplyPlan
from pipeprof.model.profile import TrialState
from pipeprof.report.reruns import rerun_text
from pipeprof.rerun import Rerun, RerunOrder, _Failed, _Trial
from pipeprof.store import RunDirectory, find_run
from tests.unit.cli.test_fix import confirmed, kept

__all__ = ["kept"]


@pytest.fixture
def script(kept: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the script of a kept run of this machine with one confirmed change; nothing may be run."""
    path = kept(confirmed())
    change_run(command=("train.py",), host=host_facts())
    monkeypatch.setattr(confirm, "Rerun", None)
    return path


def change_run(**facts: object) -> None:
    run = find_run(None)
    profile = run.load()
    versions = replace(profile.run.versions, tensorflow=None)
    run.write_profile(replace(profile, run=replace(profile.run, versions=versions, **facts)))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["confirm", *words]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.count("\n") == 1
    assert " \N{EM DASH} " in seen.err
    return seen.err


def test_files_that_the_script_wrote_forbid_it(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = datetime.fromisoformat(find_run(None).load().run.started_at).timestamp()
    for number in range(7):
        (script.parent / f"model-{number}.h5").touch()
        os.utime(script.parent / f"model-{number}.h5", (started + 1, started + 1))

    line = refused(capsys)

    assert "the script wrote model-0.h5, model-1.h5, model-2.h5, model-3.h5, model-4.h5 and 2 more in " in line
    assert "--scratch auto" in line
    assert "--yes" in line


def note_outside(*paths: str, more: bool = False) -> None:
    change_run(wrote_outside=paths, wrote_more=more)


def write_inside(script: Path) -> None:
    started = datetime.fromisoformat(find_run(None).load().run.started_at).timestamp()
    (script.parent / "model.h5").touch()
    os.utime(script.parent / "model.h5", (started + 1, started + 1))


def test_files_outside_forbid_it_with_a_copy_and_without(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note_outside("/data/ckpt-1*", "/data/log.csv")
    told = f"the script wrote /data/ckpt-1*, /data/log.csv outside of {script.parent}, and would again"

    assert f"{told} \N{EM DASH} a copy does not protect that: --yes runs it all the same" in refused(capsys)
    in_copy = refused(capsys, "--scratch", "auto")
    assert f"{told} \N{EM DASH} a copy does not protect that: --yes beside --scratch runs it all the same" in in_copy


@pytest.mark.parametrize(("more", "count"), [(False, "2 more"), (True, "at least 2 more")])
def test_a_few_files_outside_are_named_and_the_rest_counted(
    script: Path, capsys: pytest.CaptureFixture[str], more: bool, count: str
) -> None:
    note_outside(*(f"/d/{number}" for number in range(7)), more=more)

    assert f"the script wrote /d/0, /d/1, /d/2, /d/3, /d/4 and {count} outside of " in refused(capsys)


def test_a_copy_protects_what_is_inside_and_only_that(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_inside(script)
    note_outside("/data/log.csv")

    line = refused(capsys)

    assert f"the script wrote model.h5 in {script.parent} and /data/log.csv outside of it, and would again" in line
    assert "--scratch auto --yes runs it in a copy, which protects only the former" in line


class AgreedError(Exception):
    """The re-run would begin."""


@pytest.mark.parametrize("words", [("--yes",), ("--yes", "--scratch", "auto")])
def test_who_agrees_is_told_what_is_written_outside(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def began(*_given: object) -> None:
        raise AgreedError

    monkeypatch.setattr(confirm, "Rerun", began)
    write_inside(script)
    note_outside("/data/a\nb.csv")

    with pytest.raises(AgreedError):
        main(["confirm", *words])

    line = capsys.readouterr().err.splitlines()[0]
    assert line == f"pipeprof: the script wrote /data/a b.csv outside of {script.parent}, and will again, as --yes allows"


def test_the_ceiling_of_a_run_of_another_machine_is_not_run(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_run(host=replace(host_facts(), cpu_model="Z80"))
    assert "was made on another machine" in refused(capsys, "--ceiling")


def test_a_script_that_changed_or_is_gone_is_not_run(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text("pass\n")
    assert f"{script} has changed since" in refused(capsys)
    script.unlink()
    assert f"{script} is gone since" in refused(capsys)


def test_a_run_of_another_machine_is_not_run(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_run(host=replace(host_facts(), cpu_model="Z80"))
    assert "was made on another machine" in refused(capsys)


def test_a_run_without_confirmed_changes_is_not_run(kept: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    kept()
    change_run(command=("train.py",), host=host_facts())
    assert "was confirmed" in refused(capsys)


def test_a_trace_is_not_run(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_run(ended="traced")
    assert "is not the run of a script" in refused(capsys)


def test_copies_are_not_made_inside_of_what_is_copied(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "lies in the directory that is to be copied" in refused(capsys, "--scratch", "tmp")
    assert not (script.parent / "tmp").exists()


@pytest.mark.parametrize("text", ["0", "-1", "two", "51"])
def test_only_a_number_of_pairs_is_one(script: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "not a number of pairs" in refused(capsys, f"--rerun={text}")


def test_steps_are_capped_where_the_run_took_longer_than_the_budget(script: Path) -> None:
    (record,) = find_run(None).load().pipelines
    loop = replace(record.loop, wall_s=110.0, first_step_s=10.0, steps_in_bins=1000, method="next")
    train = replace(record, loop=loop)

    assert confirm._steps_within(train, 100.0) == 0
    assert confirm._steps_within(train, 10.0) == 101
    assert confirm._steps_within(train, 0.1) == 6
    with pytest.raises(UserError, match="inside TensorFlow"):
        confirm._steps_within(replace(train, loop=replace(loop, method="gaps")), 10.0)


class Planted(Rerun):
    """A re-run whose processes are planted: a step time, or how it failed; a KeyboardInterrupt is raised."""

    def __init__(
        self,
        run: RunDirectory,
        results: list[float | _Failed | KeyboardInterrupt],
        *,
        ceiling: bool = False,
        output: str = "loss 1.0\n",
    ) -> None:
        plan = ApplyPlan(run_id=run.id, changes=())
        order = RerunOrder(command=("t.py",), directory=run.path, plan=plan, pairs=2, steps=9, deadline_s=1.0)
        super().__init__(order, new_rerun(1, "p0", ["c"], whole=False, ceiling=ceiling), run, lambda _line: None)
        self.results = results
        self.output = output
        self.order: list[bool] = []

    def _trial(self, number: int, with_changes: bool) -> _Trial | _Failed:
        self.order.append(with_changes)
        result = self.results[number - 1]
        if isinstance(result, KeyboardInterrupt):
            raise result
        if isinstance(result, _Failed):
            return result
        path = self._run.path / f"{number}"
        path.mkdir()
        (path / "stdout.log").write_text(self.output)
        return _Trial(Measured(step_s=result, steps=9, wait_share=0.5, memory_bytes=1_000_000), RunDirectory(path))


def kept_text(rerun: Planted) -> str:
    (found,) = diagnose(find_run(None).load()).reruns
    assert found.state is rerun.record.state
    return rerun_text(found)


def test_pairs_run_a_b_b_a_and_are_told(script: Path) -> None:
    rerun = Planted(find_run(None), [2.0, 1.0, 1.0, 2.0])
    rerun.run_all()

    assert rerun.order == [False, True, True, False]
    assert kept_text(rerun) == (
        "re-run 2.00× (2.00–2.00×) in 2 pairs of 9 steps; training is faster; step 2.0 s → 1.0 s; output identical; "
        "memory 1.0 MB → 1.0 MB; waiting 50 % → 50 %"
    )


def test_the_ceiling_is_told_as_one_and_outputs_are_not_compared(script: Path) -> None:
    rerun = Planted(find_run(None), [2.0, 1.0, 1.0, 2.0], ceiling=True)
    rerun.run_all()

    assert kept_text(rerun) == (
        "re-run with one batch that is always ready: 2.00× (2.00–2.00×) in 2 pairs of 9 steps; "
        "no input makes training faster than that; step 2.0 s → 1.0 s; memory 1.0 MB → 1.0 MB; waiting 50 % → 50 %"
    )


def test_changes_that_break_the_script_are_worse(script: Path) -> None:
    rerun = Planted(find_run(None), [2.0, _Failed("the script failed (exit status 1): ValueError: no")])
    rerun.run_all()

    assert rerun.record.state is TrialState.WORSE
    assert kept_text(rerun) == "re-run: with the changes the script failed (exit status 1): ValueError: no"


def test_a_script_that_fails_by_itself_at_once_is_refused_and_nothing_is_kept(script: Path) -> None:
    run = find_run(None)
    before = sorted(path.name for path in run.path.iterdir())
    (run.path / "rerun-1" / "1-without").mkdir(parents=True)
    rerun = Planted(run, [_Failed("the script failed (exit status 1): OSError: there already")])

    with pytest.raises(UserError, match="cannot be run again as it was: the script failed"):
        rerun.run_all()

    assert sorted(path.name for path in run.path.iterdir()) == before


def test_a_script_that_fails_by_itself_later_says_nothing_of_the_changes(script: Path) -> None:
    rerun = Planted(find_run(None), [2.0, 1.0, 1.0, _Failed("the script failed (exit status 1): OSError: there already")])
    rerun.run_all()

    assert rerun.record.state is TrialState.NO_DIFFERENCE
    assert "without the changes the script failed" in rerun.record.reason


def test_the_last_losses_stand_side_by_side(script: Path) -> None:
    rerun = Planted(find_run(None), [2.0, 1.0, 1.0, 2.0], output="Epoch 1: loss: 1.5\nval_loss: 9\nloss=0.25 - 3 ms\n")
    rerun.run_all()

    assert "; last loss 0.25, 0.25 → 0.25, 0.25; " in kept_text(rerun)


def test_what_was_measured_before_an_interrupt_is_kept(script: Path) -> None:
    rerun = Planted(find_run(None), [2.0, 1.0, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        rerun.run_all()

    assert kept_text(rerun).startswith("re-run 2.00× in 1 pair of 9 steps; one pair alone proves nothing")
