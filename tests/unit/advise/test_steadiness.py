"""Whether a change would keep what is drawn anew, from planted passes over the elements."""

from __future__ import annotations

import pytest

from pipeprof.advise.reading import Epoch
from pipeprof.advise.steadiness import judge_steadiness


def epoch(letters: str, *, complete: bool = True, error: str = "") -> Epoch:
    return Epoch(digests=[letter.encode() for letter in letters], complete=complete, error=error)


@pytest.mark.parametrize("complete", [True, False])
def test_passes_that_are_equal_are_steady(complete: bool) -> None:
    found = judge_steadiness([epoch("abcd", complete=complete)] * 3, order_matters=True, is_python=True)

    assert found.is_steady is True


@pytest.mark.parametrize("is_python", [True, False])
@pytest.mark.parametrize("passes", [("abcd", "wxyz", "abcd"), ("abcd", "abcd", "abcz")])
def test_values_that_differ_between_epochs_or_between_replays_are_drawn_anew(passes: tuple[str, ...], is_python: bool) -> None:
    found = judge_steadiness([epoch(item) for item in passes], order_matters=True, is_python=is_python)

    assert found.is_steady is False
    assert found.note == "it freezes what is drawn anew at every epoch: two passes over the original gave other elements"


def test_a_pass_with_more_elements_is_another_one() -> None:
    found = judge_steadiness([epoch("abcd"), epoch("abcde")], order_matters=False, is_python=True)

    assert found.is_steady is False


def test_another_order_is_frozen_only_where_no_shuffle_follows() -> None:
    passes = [epoch("abcd"), epoch("dcba")]

    assert judge_steadiness(passes, order_matters=True, is_python=True).is_steady is False
    assert judge_steadiness(passes, order_matters=False, is_python=True).is_steady is True


def test_the_beginning_of_a_pass_tells_of_python_and_of_nothing_else() -> None:
    passes = [epoch("abcd", complete=False), epoch("wxyz", complete=False)]

    assert judge_steadiness(passes, order_matters=True, is_python=True).is_steady is False
    assert judge_steadiness(passes, order_matters=False, is_python=True).is_steady is None
    assert judge_steadiness(passes, order_matters=True, is_python=False).is_steady is None


def test_where_no_element_could_be_read_nothing_is_known() -> None:
    assert judge_steadiness([epoch(""), epoch("")], order_matters=True, is_python=True).is_steady is None
    assert judge_steadiness([epoch("abc")], order_matters=True, is_python=True).is_steady is None
    broken = [epoch("ab", error="OutOfRange"), epoch("cd", error="OutOfRange")]
    assert judge_steadiness(broken, order_matters=True, is_python=False).is_steady is None
