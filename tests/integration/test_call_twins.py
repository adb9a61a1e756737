"""One call that makes several stages: a change of it rewrites them all, as the patch of its line does."""

from __future__ import annotations

import time

import pytest

from pipeprof.advise.call_twins import rewrite_call, stages_of_call
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis.operational import view_pipeline
from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.model.profile import Change
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


def noisy(x):
    return x + tf.random.uniform([])


def observed(build):
    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        dataset = build()
        for _ in dataset:
            time.sleep(0.001)
    finally:
        profile = capture.stop()
    return dataset, view_pipeline(profile.pipelines[0])


def nodes(replayable: Replayable, op: str) -> int:
    return sum(node.op == op for node in replayable.graph.node)


@pytest.mark.parametrize(("kind", "params", "changed", "count"), [
    ("parallel_calls", {"num_parallel_calls": -1}, "ParallelMapDatasetV2", 3),
    ("thread_pool", {"private_threadpool_size": 8}, "OptionsDataset", 1),
])  # fmt: skip
def test_every_stage_of_the_call_is_rewritten_and_a_pipelines_option_is_set_once(kind, params, changed, count) -> None:
    def build():
        dataset = tf.data.Dataset.range(40).map(lambda x: tf.cast(x, tf.float32))
        for _ in range(3):
            dataset = dataset.map(noisy)
        return dataset.batch(4)

    dataset, view = observed(build)
    original = Replayable.of(dataset, None)
    names = match_stages(original.graph, view.record.written, view.record.output)
    stage = next(item for item in view.stages if item.written.function and "noisy" in item.written.function.name)

    rewritten = rewrite_call(original, names, view, stage.id, Change(kind=kind, params=params))

    assert len(stages_of_call(view, stage.stage.call_site)) == 3
    assert nodes(rewritten, changed) - nodes(original, changed) == count
    assert sum(1 for _ in rewritten.load()) == 10
