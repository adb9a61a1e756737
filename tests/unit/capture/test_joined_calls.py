"""Requests that are made of several calls: whose they are, and which optional was asked."""

from __future__ import annotations

import threading

from pipeprof.capture.joined_calls import JoinedCalls


class Optional:
    """Something that can be held weakly."""


def test_a_request_is_of_the_first_iterator_it_reaches_on_whichever_device() -> None:
    joined = JoinedCalls()
    joined.begin()
    joined.reach(-3)
    joined.reach(4)

    assert joined.end() == 3
    joined.begin()
    assert joined.end() is None


def test_a_request_within_a_request_is_a_part_of_it() -> None:
    joined = JoinedCalls()
    joined.begin()
    joined.reach(1)
    joined.begin()
    joined.reach(2)

    assert joined.end() is None
    assert joined.end() == 1


def test_a_request_of_one_thread_is_not_anothers() -> None:
    joined = JoinedCalls()
    joined.begin()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(joined.depth))
    thread.start()
    thread.join()

    assert seen == [0]


def test_only_the_last_optional_is_known_and_only_the_first_time_it_is_asked() -> None:
    joined, first, second = JoinedCalls(), Optional(), Optional()
    joined.hold(first, 1)
    joined.hold(second, 2)

    assert joined.release(first) is None
    assert joined.release(second) == 2
    assert joined.release(second) is None
