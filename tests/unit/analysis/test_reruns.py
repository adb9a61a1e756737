"""What pairs of processes say of training, from planted step times and outputs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.analysis.reruns import (
    Measured,
    Pair,
    conclude_pairs,
    first_difference,
    last_loss,
    measured,
    new_words,
    other_steps,
)
from pipeprof.capture.steps import LoopRecorder
from pipeprof.model.profile import TrialState
from tests.support.builders import Scene, stage


def pairs(*times: tuple[float, float]) -> list[Pair]:
    def one(step_s: float) -> Measured:
        return Measured(step_s=step_s, steps=100, wait_share=0.5, memory_bytes=None)

    return [Pair(one(baseline), one(candidate)) for baseline, candidate in times]


@pytest.mark.parametrize(
    ("times", "state", "words"),
    [
        ([(2.0, 1.0), (2.1, 1.02)], TrialState.CONFIRMED, "training is faster"),
        ([(1.0, 2.0), (1.02, 2.1)], TrialState.WORSE, "training is slower"),
        ([(1.0, 1.0), (1.001, 1.0)], TrialState.NO_DIFFERENCE, "a gain above 5 % is ruled out"),
        ([(1.0, 0.9), (1.5, 0.8)], TrialState.NO_DIFFERENCE, "not told apart"),
        ([(9.0, 1.0)], TrialState.NO_DIFFERENCE, "one pair alone proves nothing"),
    ],
)
def test_the_pairs_decide(times: list[tuple[float, float]], state: TrialState, words: str) -> None:
    found, reason, interval = conclude_pairs(pairs(*times))

    assert found is state
    assert words in reason
    assert interval.low <= interval.value <= interval.high


def test_two_pairs_that_agree_by_chance_are_widened_by_what_each_arm_varies() -> None:
    """Both ratios are exactly 2, though each arm took half as long again the second time."""
    interval = conclude_pairs(pairs((2.0, 1.0), (3.0, 1.5)))[2]

    assert interval.value == pytest.approx(2.0)
    assert interval.low < 1.5
    assert interval.high > 2.7


def test_a_process_is_measured_without_its_first_step() -> None:
    recorder = LoopRecorder()
    recorder.creation(1, 0.0, 0.1)
    for start_s, wait_s, gap_s in ((0.1, 50.0, 70.0), (121.0, 0.3, 0.1), (122.0, 0.1, 0.3)):
        recorder.step(1, start_s, wait_s, gap_s)
    profile = Scene(stages=(stage("range"),)).profile()
    profile = replace(profile, pipelines=(replace(profile.pipelines[0], loop=recorder.freeze()),))
    found = measured(profile, profile.pipelines[0].id)

    assert found is not None
    assert (found.steps, found.step_s, found.wait_share) == (2, pytest.approx(0.4), pytest.approx(0.5))
    assert found.memory_bytes == profile.host.rss_peak_bytes
    assert measured(profile, "p9") is None


@pytest.mark.parametrize(
    ("output", "loss"),
    [
        (b"loss: 1.5\nloss: 0.25\n", 0.25),
        (b"32/32 - 2s - 52ms/step - loss: 1.0658 - val_loss: 3.5\n", 1.0658),
        (b"{'loss': 2e-3}\n", 0.002),
        (b"step 3 Loss = -.5\n", -0.5),
        (b"val_loss: 3.5\nloss nan\nglossy: 2\n", None),
        (b"", None),
    ],
)
def test_the_last_loss_that_was_printed_is_found(output: bytes, loss: float | None) -> None:
    assert last_loss(output.splitlines()) == loss


def test_the_first_line_that_differs_is_shown() -> None:
    assert first_difference([b"a\n", b"b\n"], [b"a\n", b"b\n"]) is None
    assert first_difference([b"a\n", b"b\n"], [b"a\n", b"c\n"]) == "line 2: 'b', and with the changes 'c'"
    assert first_difference([b"a\n"], []) == "line 1: 'a', and with the changes nothing"


@pytest.mark.parametrize(
    ("output", "other", "line"),
    [
        (b"loss: 1.5 in 3 ms\n", b"loss: 1.25 in 1.2 s\n", None),
        (b"epoch 1\nbest so far\n", b"epoch 1\nepoch 2\nbest so far\n", None),
        (b"saved /tmp/a1/model\n", b"saved /tmp/b7/model\n", None),
        (b"run 4f3e-77aa on <tf.Tensor 0x7f3a>\n", b"run 91bc-00ff on <tf.Tensor 0x7e2b>\n", None),
        (b"1/3 ##- 2s step - loss: 1\r3/3 ### 9ms step - loss: 2\n", b"3/3 ### 1s step - loss: 7\n", None),
        (b"1/3\b\b\b2/3\n", b"3/3\n", None),
        (b"training from scratch\nloss 2\n", b"restored step 300\nloss 1\n", "'restored step 300'"),
        (b"", b"nothing left to do\n", "'nothing left to do'"),
    ],
)
def test_what_a_second_run_prints_in_other_words_is_told_from_what_it_counts(
    output: bytes, other: bytes, line: str | None
) -> None:
    assert new_words(output.splitlines(keepends=True), other.splitlines(keepends=True)) == line


def test_a_script_that_takes_other_steps_the_second_time_is_told() -> None:
    def of(*steps: int) -> list[Pair]:
        one = pairs((1.0, 1.0))[0]
        return [replace(one, baseline=replace(one.baseline, steps=count)) for count in steps]

    assert other_steps(of(400, 396)) == ""
    assert other_steps(of(400, 400, 64)) == "it took 400 steps once and 64 in another run"
