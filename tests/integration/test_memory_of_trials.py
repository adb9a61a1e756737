"""A change that takes more memory than there is, is worse for that reason, and the trials after it go on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from pipeprof.advise import reading
from pipeprof.advise.equivalence import compare
from pipeprof.advise.reading import Bounds, read_epochs
from pipeprof.advise.recommend import _MAKERS, recommend
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.search import Search
from pipeprof.capture.session import CaptureSession, RunFacts
from pipeprof.errors import RanOutError
from pipeprof.model.diagnosis import Confidence, Finding, Severity
from pipeprof.model.profile import Change, ElementsState, TrialState
from pipeprof.settings import Settings
from pipeprof.store import RunDirectory

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

MORE_THAN_THERE_IS = 1 << 60
BORNE_WHILE_COMPARED = 200  # calls: two epochs of 64 elements are compared, and timing takes many more
RAN_OUT = "ran out of memory: ResourceExhaustedError: MemoryError: Unable to allocate"


class Hungry:
    """A map whose calls need their room one after the other; two at once ask for more than there is."""

    def __init__(self, calls_at_once: int = 0) -> None:
        self.left = calls_at_once  # that are borne
        self._lock = threading.Lock()
        self._inside = 0

    def draft(self, value: object) -> object:
        with self._lock:
            self._inside += 1
            is_too_many = self._inside > 1 and self.left <= 0
            self.left -= self._inside > 1
        try:
            if is_too_many:
                np.empty(MORE_THAN_THERE_IS, np.uint8)
            time.sleep(0.002)
            return value
        finally:
            with self._lock:
                self._inside -= 1

    def dataset(self, calls: int | None = None) -> object:
        dataset = tf.data.Dataset.range(64)
        dataset = dataset.map(
            lambda x: tf.ensure_shape(tf.numpy_function(self.draft, [x], tf.int64), []), num_parallel_calls=calls
        )
        return dataset.batch(4)


def captured(hungry):
    """Return the profile of a loop over the map, and its data set."""
    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        dataset = hungry.dataset()
        for _ in range(3):
            for _ in dataset:
                time.sleep(0.002)
    finally:
        profile = capture.stop()
    return profile, dataset


def finding(profile, code, op):
    (record,) = profile.pipelines
    stage = next(item.id for item in record.written if item.op == op)
    return Finding(
        code=code, name="planted", severity=Severity.HIGH, confidence=Confidence.HIGH, message="", pipeline_id=record.id,
        stage_id=stage,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("borne", "reason", "elements"),
    [
        (0, f"the changed pipeline {RAN_OUT}", ElementsState.UNCHECKED),
        (BORNE_WHILE_COMPARED, "the changed pipeline raises ResourceExhaustedError: ", ElementsState.IDENTICAL),
    ],
    ids=["while the elements are compared", "while it is timed"],
)
def test_a_change_that_runs_out_of_memory_is_worse_and_the_next_is_tried(borne, reason, elements, monkeypatch, tmp_path):
    hungry = Hungry(borne)
    profile, dataset = captured(hungry)
    parallel = Change(kind="parallel_calls", params={"num_parallel_calls": 8, "private_threadpool_size": 8})
    monkeypatch.setitem(_MAKERS, "PP502", lambda _finding: parallel)
    monkeypatch.setitem(_MAKERS, "PP101", lambda _finding: Change(kind="prefetch", params={"buffer_size": 2}))
    findings = [finding(profile, "PP502", "map"), finding(profile, "PP101", "batch")]
    run, events = RunDirectory.create(tmp_path, "test"), []
    run.write_profile(profile)

    def stream(event):
        events.append(event)
        run.append_event(event)

    search = Search(profile, {profile.pipelines[0].id: dataset}, Settings(budget_s=25), stream)
    monkeypatch.setattr(search, "_recommendations", lambda analysis: recommend(analysis, findings))
    monkeypatch.setattr("pipeprof.advise.search.reproduces", lambda *_measured: (True, ""))
    search.run()

    tried = {event.trial.change.kind: event.trial for event in events if event.event == "result"}
    assert (tried["parallel_calls"].state, tried["parallel_calls"].elements) == (TrialState.WORSE, elements)
    assert tried["parallel_calls"].reason.startswith(reason)
    assert tried["prefetch"].pairs > 0, tried["prefetch"]
    kept = {trial.change.kind: trial.state for trial in run.load().trials}
    assert kept == {"parallel_calls": TrialState.WORSE, "prefetch": tried["prefetch"].state}


def test_the_pipeline_as_it_is_may_run_out_itself_and_that_is_no_fault_of_the_change():
    hungry = Hungry()

    with pytest.raises(RanOutError, match=f"^the replay {RAN_OUT}") as caught:
        compare(
            Replayable.of(hungry.dataset(calls=8), None),
            Replayable.of(hungry.dataset(), None),
            limit_elements=64,
            time_budget_s=20.0,
        )

    assert not caught.value.is_of_change


def test_memory_that_runs_out_while_elements_are_read_says_nothing_of_them(monkeypatch):
    def run_out(_arrays):
        return np.empty(MORE_THAN_THERE_IS, np.uint8)

    monkeypatch.setattr(reading, "digest", run_out)

    with pytest.raises(RanOutError, match="the replay ran out of memory: MemoryError: Unable to allocate"):
        read_epochs(Replayable.of(tf.data.Dataset.range(3), None), Bounds(elements=3, deadline_s=time.monotonic() + 20.0))
