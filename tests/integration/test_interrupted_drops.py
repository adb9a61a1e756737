"""A signal that arrives while the last counters of a dropped iterator are read: what its handler raises reaches the loop."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf


class OutOfTimeError(Exception):
    pass


def test_an_exception_of_a_handler_is_held_until_the_loop_goes_on(monkeypatch):
    session = CaptureSession(Settings(), RunFacts(id="t", command=("t",), started_at="", working_directory=""))
    read = session._iterators._take_last_words

    def read_interrupted(number):
        signal.raise_signal(signal.SIGALRM)
        read(number)

    def handler(*_):
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, handler)
    epochs = 0
    session.start()
    try:
        dataset = tf.data.Dataset.range(8).batch(2)
        for _ in dataset:
            pass
        monkeypatch.setattr(session._iterators, "_take_last_words", read_interrupted)
        with pytest.raises(OutOfTimeError):  # noqa: PT012 - from the second epoch's first call
            for _ in range(2):
                for _batch in dataset:
                    pass
                epochs += 1
    finally:
        signal.signal(signal.SIGALRM, before)
        profile = session.stop()

    assert epochs == 1
    assert [text for text in profile.run.problems if "NVIDIA" not in text] == []
