"""A run written for XProf holds its steps, its waits and its stages, by the names and in the form that XProf looks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeprof.diagnose import diagnose
from pipeprof.errors import UserError
from pipeprof.interop.tensorboard import write_logdir
from pipeprof.interop.xplane import Event, Line, Space, read_space
from pipeprof.model.profile import ExecutedStage, Loop, LoopBin, PipelineRecord, Profile, Role, WrittenStage
from tests.support.builders import Scene, call_site

pytestmark = pytest.mark.usefixtures("messages")


def bins(count: int, *, wait_s: float, gap_s: float) -> tuple[LoopBin, ...]:
    step = wait_s + gap_s
    return tuple(
        LoopBin(
            start_s=index * 2 * step, end_s=(index + 1) * 2 * step, steps=2, wait_s=2 * wait_s, gap_s=2 * gap_s,
            wait_max_s=wait_s, step_max_s=step, step_min_s=step,
        )
        for index in range(count)
    )  # fmt: skip


def profile(run: Profile, made: tuple[LoopBin, ...] = bins(30, wait_s=0.03, gap_s=0.01)) -> Profile:
    """A map on two threads, of 50 ms for each step, over a source."""
    executed = (
        ExecutedStage(id="0", node="Root", inputs=("0.0",), elements=60),
        ExecutedStage(
            id="0.0", node="ParallelMapV2", inputs=("0.0.0",), elements=60, busy_s=3.0, elements_per_parent=1.0,
            known_ratio=1.0, parallelism=2.0,
        ),
        ExecutedStage(id="0.0.0", node="Range", elements=60, busy_s=0.06, elements_per_parent=1.0),
    )  # fmt: skip
    written = (
        WrittenStage(id="s0", op="range", class_name="_RangeDataset", call_site=call_site(7, "range(60)")),
        WrittenStage(id="s1", op="map", class_name="_MapDataset", inputs=("s0",), call_site=call_site(8, "x.map(f)")),
    )
    loop = Loop(method="next", elements=60, wall_s=2.4, wait_s=1.8, steps_in_bins=60, bins=made)
    record = PipelineRecord(id="p0", role=Role.TRAIN, output="s1", written=written, executed=executed, loop=loop)
    return replace(run, pipelines=(record,))


@pytest.fixture
def run() -> Profile:
    return Scene().profile()


def write(made: Profile, folder: Path) -> Space:
    return read_space(write_logdir(made, diagnose(made, with_patches=False), folder))


def named(line: Line, name: str) -> list[Event]:
    return [item for item in line.events if item.name == name]


def test_the_file_lies_where_tensorboard_looks(run: Profile, tmp_path: Path) -> None:
    made = profile(run)

    path = write_logdir(made, diagnose(made, with_patches=False), tmp_path)

    assert path.relative_to(tmp_path).parts[:2] == ("plugins", "profile")
    assert path.name.endswith(".xplane.pb")


def test_each_step_is_marked_and_holds_its_wait(run: Profile, tmp_path: Path) -> None:
    loop = write(profile(run), tmp_path).lines[0]

    steps, waits = named(loop, "train"), named(loop, "waiting for input: train.py:8 .map")
    assert [step.stats for step in steps] == [{"_r": 1, "step_num": number} for number in range(30)]
    assert {step.end_ps - step.start_ps for step in steps} == {40 * 10**9}
    assert {wait.end_ps - wait.start_ps for wait in waits} == {30 * 10**9}
    assert {wait.stats["_ipl_stage_cat"] for wait in waits} == {"unknown"}
    assert all(wait.start_ps == step.start_ps for wait, step in zip(waits, steps, strict=True))


def test_stages_are_named_by_their_lines_and_spread_over_their_threads(run: Profile, tmp_path: Path) -> None:
    lines = write(profile(run), tmp_path).lines[1:]

    found = [(line.events[0].name, line.events[0].stats["_ipl_stage_cat"], len(line.events)) for line in lines]
    assert found == [("train.py:7 range", "read", 30), *[("train.py:8 .map", "preprocessing", 30)] * 2]
    assert sum(item.end_ps - item.start_ps for line in lines[1:] for item in line.events) == pytest.approx(30 * 0.05e12)
    assert lines[1].events[0].stats["bottleneck"] == "yes"


def test_events_of_a_line_never_overlap(run: Profile, tmp_path: Path) -> None:
    uneven = bins(50, wait_s=0.0123456789, gap_s=0.00001)

    for line in write(profile(run, uneven), tmp_path).lines[1:]:
        ends = [item.end_ps for item in line.events]
        assert all(item.start_ps >= end for end, item in zip(ends, line.events[1:], strict=False))


def test_waiting_between_epochs_goes_to_the_next_step(run: Profile, tmp_path: Path) -> None:
    boundary = LoopBin(start_s=0, end_s=0.5, steps=0, wait_s=0.5, gap_s=0, wait_max_s=0.5, step_max_s=0.5, step_min_s=0)
    made = (boundary, *bins(10, wait_s=0.03, gap_s=0.01))

    loop = write(profile(run, made), tmp_path).lines[0]

    assert [item.end_ps - item.start_ps for item in named(loop, "train")[:2]] == [540 * 10**9, 40 * 10**9]


def test_numbers_of_stages_are_never_those_of_events(run: Profile, tmp_path: Path) -> None:
    written = write(profile(run), tmp_path)

    numbers = {item.stats["_ipl_stage_id"] for line in written.lines for item in line.events if "_ipl_stage_id" in item.stats}
    assert len(numbers) == 3
    assert min(numbers) > len({item.name for line in written.lines for item in line.events})


def test_a_run_without_steps_cannot_be_exported(run: Profile, tmp_path: Path) -> None:
    made = profile(run, ())

    with pytest.raises(UserError, match="no measured steps"):
        write_logdir(made, diagnose(made, with_patches=False), tmp_path)


def test_writing_again_removes_what_xprof_concluded_from_the_old_file(run: Profile, tmp_path: Path) -> None:
    made = profile(run)
    path = write_logdir(made, diagnose(made, with_patches=False), tmp_path)
    stale = path.parent / "ALL_HOSTS.op_stats_v2.pb"
    stale.write_bytes(b"old")

    write_logdir(made, diagnose(made, with_patches=False), tmp_path)

    assert not stale.exists()
