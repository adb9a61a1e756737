"""Whether a change froze what differs between two epochs, where that is rare, or where a pass was cut short."""

from __future__ import annotations

import pytest

from pipeprof.advise.freshness import _MORE_EPOCHS, _frozen, _rarely_frozen, _repeated_share
from pipeprof.advise.reading import Epoch, is_reordered
from pipeprof.advise.steadiness import judge_steadiness

ROWS = [b"%d" % number for number in range(200)]


def epoch(*drawn: int, rows: list[bytes] = ROWS, complete: bool = True) -> Epoch:
    """Return a pass in which some rows are drawn anew."""
    digests = [b"new %d" % id(drawn) if at in drawn else row for at, row in enumerate(rows)]
    return Epoch(digests=digests, complete=complete)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (epoch(), epoch(), False),
        (epoch(7), epoch(11, 150), False),
        (epoch(), epoch(rows=ROWS[::-1]), True),
        (epoch(), epoch(rows=[ROWS[1], ROWS[0], *ROWS[2:]]), True),
        (epoch(rows=[b"a", b"b", b"a"]), epoch(rows=[b"a", b"a", b"b"]), True),
        (epoch(rows=[b"a"]), epoch(rows=[b"b"]), False),
    ],
)
def test_an_order_differs_in_what_two_passes_have_in_common(one: Epoch, other: Epoch, expected: bool) -> None:
    assert is_reordered(one, other) is expected


def test_one_row_that_is_drawn_anew_is_no_frozen_order() -> None:
    assert _frozen([epoch(), epoch(90)], [epoch(), epoch()]) == ""
    assert _frozen([epoch(), epoch(rows=ROWS[::-1])], [epoch(), epoch()]).startswith("the change freezes the order")


def test_more_epochs_tell_whether_rare_draws_were_frozen() -> None:
    ours, theirs = [epoch(), epoch(90)], [epoch(), epoch()]
    alike, drawing = [epoch(3)] * _MORE_EPOCHS, [epoch(), epoch(), epoch(5), *([epoch()] * 4)]

    assert str(_rarely_frozen(ours, theirs, lambda: alike)).startswith("the change freezes what is rarely drawn: 1 element")
    assert _rarely_frozen(ours, theirs, lambda: drawing) == ""
    assert _rarely_frozen(ours, theirs, lambda: alike[:3]) is None
    assert _rarely_frozen(ours, [epoch(), epoch(8)], lambda: pytest.fail("nothing is to be read")) == ""
    assert _rarely_frozen([epoch(), epoch()], theirs, lambda: pytest.fail("nothing is to be read")) == ""


def test_a_pass_that_went_further_than_the_one_before_it_is_compared_as_far_as_that() -> None:
    short, long = epoch(rows=ROWS[:100], complete=False), epoch(1)

    assert _repeated_share([short, long]) == 0.99
    assert _repeated_share([epoch(rows=ROWS[:100]), long]) == 0.495


def test_rows_drawn_anew_in_a_part_of_a_pass_are_no_other_order() -> None:
    part = [epoch(rows=ROWS[:64], complete=False), epoch(9, rows=ROWS[:64], complete=False)]

    found = judge_steadiness(part, order_matters=True, is_python=True)

    assert found.note.endswith("two passes over the original gave other elements")
