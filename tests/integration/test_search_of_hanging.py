"""A pipeline that hangs when it is read again: nothing waits for it, and every change says why it was not tried."""

from __future__ import annotations

import threading
import time

import pytest

from pipeprof.advise.search import Search
from pipeprof.capture.session import CaptureSession, RunFacts
from pipeprof.model.profile import TrialState
from pipeprof.settings import Settings

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


def test_a_pipeline_that_hangs_beforehand_is_left_behind_with_the_reason():
    is_over, is_free = threading.Event(), threading.Event()

    def ask(value):
        if is_over.is_set():
            is_free.wait(300)
        time.sleep(0.004)
        return value

    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        dataset = tf.data.Dataset.range(80).map(lambda x: tf.numpy_function(ask, [x], tf.int64)).batch(8)
        for _ in range(4):
            for _ in dataset:
                pass
    finally:
        profile = capture.stop()
    is_over.set()
    events = []

    try:
        Search(profile, {profile.pipelines[0].id: dataset}, Settings(budget_s=4), events.append).run()
    finally:
        is_free.set()

    reasons = [event.text for event in events if event.event == "reason"]
    results = [event.trial for event in events if event.event == "result" and event.trial is not None]
    assert len(reasons) == 1
    assert reasons[0].startswith("nothing was tried: its replay hangs: no element for ")
    assert results
    assert {item.state for item in results} == {TrialState.NOT_TRIED}
    assert any(item.reason.startswith("its replay hangs") for item in results)
