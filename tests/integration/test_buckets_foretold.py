"""Buckets in a real run: what they are foretold to give once the lengths of the rows were read."""

from __future__ import annotations

import pytest

import pipeprof
from pipeprof.advise.changes.bucket import with_buckets
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.analysis import analyse
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.profile import Change

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


def test_rows_that_were_read_foretell_what_buckets_can_give_at_most(tmp_path):
    with pipeprof.profile(output=tmp_path) as prof:
        dataset = tf.data.Dataset.range(4096).map(lambda x: tf.fill([x * 37 % 500 + 1], tf.cast(x, tf.int32))).padded_batch(8)
        for words in dataset:
            tf.reduce_sum(words)
    analysis = analyse(prof.profile)
    view = analysis.train
    padded = next(item.id for item in view.stages if item.stage.op == "padded_batch")
    item = Recommendation(
        id="b",
        findings=("PP607",),
        change=Change(kind="bucket"),
        title="Let rows meet",
        safety=Safety.REORDERS,
        stage_id=padded,
    )
    replayable = Replayable.of(dataset)
    names = match_stages(replayable.graph, view.record.written, view.record.output)

    found = with_buckets(item, analysis, view, replayable, names)

    now, then = found.change.params["padding_now"], found.change.params["padding_then"]
    all_of_it = (1 - then) / (1 - now)
    assert found.predicted is not None
    assert found.predicted.low < found.predicted.speedup < found.predicted.high
    assert 1.02 < found.predicted.speedup < all_of_it
    assert found.predicted.basis
