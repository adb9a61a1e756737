"""The sentence on the whole-pipeline bound: in words, with its limit, and absent where it is not known."""

from __future__ import annotations

import pytest

from pipeprof.model.diagnosis import Bound, BoundLimit
from pipeprof.report.stages import bound_text

NAMES = {"s1": "train.py:42 .map(decode)"}


def test_the_rate_the_cores_and_what_limits_it_are_said() -> None:
    bound = Bound(steps_per_s=212.3, limited_by=BoundLimit.CORES, cores=2.0, stage_id="s1")

    text = bound_text(bound, NAMES)

    assert text == "The input could deliver at most about 212 steps/s on these 2 cores; the cores limit it."


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (BoundLimit.STAGE, "train.py:42 .map(decode) limits it, which no more cores can change"),
        (BoundLimit.THREADS, "the threads on which train.py:42 .map(decode) waits limit it"),
        (BoundLimit.PYTHON, "Python's interpreter lock in train.py:42 .map(decode) limits it"),
        (BoundLimit.STORAGE, "reading from storage limits it"),
        (BoundLimit.MEMORY, "memory limits it"),
    ],
)
def test_every_limit_has_its_words(limit: BoundLimit, words: str) -> None:
    assert bound_text(Bound(steps_per_s=5, limited_by=limit, cores=1, stage_id="s1"), NAMES).endswith(f"on this core; {words}.")


def test_a_bound_that_is_not_known_is_not_spoken_of() -> None:
    assert bound_text(None, NAMES) == ""
