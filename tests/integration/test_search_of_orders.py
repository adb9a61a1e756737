"""The search on a real pipeline with a change of the order: tried when allowed, confirmed, and not built upon."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from pipeprof.advise.recommend import _MAKERS, recommend
from pipeprof.advise.search import Search
from pipeprof.analysis import analyse
from pipeprof.capture.session import CaptureSession, RunFacts
from pipeprof.model.diagnosis import Confidence, Finding, Safety, Severity
from pipeprof.model.profile import Change, ElementsState, TrialState
from pipeprof.settings import Settings

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


def _straggle(value):
    time.sleep(0.06 if value % 16 == 0 else 0.002)
    return value


def _dataset():
    options = tf.data.Options()
    options.threading.private_threadpool_size = 8
    # the prefetch keeps map and batch apart: fused into one node, they hold every batch together
    calls = tf.data.Dataset.range(160).map(lambda x: tf.numpy_function(_straggle, [x], tf.int64), num_parallel_calls=8)
    return calls.prefetch(2).batch(8).with_options(options)


def test_a_change_of_the_order_that_was_allowed_is_confirmed_and_left_out(monkeypatch):
    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        dataset = _dataset()
        for _ in range(3):
            for _ in dataset:
                time.sleep(0.001)
    finally:
        profile = capture.stop()
    monkeypatch.setitem(_MAKERS, "PP206", lambda _finding: Change(kind="nondeterministic"))
    stage = next(item.id for item in profile.pipelines[0].written if item.op == "map")
    finding = Finding(
        code="PP206", name="ordered-stragglers", severity=Severity.HIGH, confidence=Confidence.HIGH, message="",
        pipeline_id=profile.pipelines[0].id, stage_id=stage,
    )  # fmt: skip
    events = []
    settings = Settings(budget_s=40, allow=(Safety.REORDERS,))
    search = Search(profile, {profile.pipelines[0].id: dataset}, settings, events.append)
    monkeypatch.setattr(search, "_recommendations", lambda analysis: recommend(analysis, [finding]))
    # whether a busy machine replays the run as it was is another test's question
    monkeypatch.setattr("pipeprof.advise.search.reproduces", lambda *_measured: (True, ""))
    search.run()

    (tried,) = [event.trial for event in events if event.event == "result"]
    assert tried.elements is ElementsState.REORDERED, tried.elements_note
    assert tried.state is TrialState.CONFIRMED, tried
    (item,) = recommend(analyse(replace(profile, trials=(tried,))), [finding])
    assert not item.accepted
