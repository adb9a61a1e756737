"""What a new cache would hold is measured on its elements, and refused where there is no room for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeprof.advise.changes import find_change
from pipeprof.advise.match import match_stages
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.stored import held_by_new_cache
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.errors import TrialError
from tests.support.builders import Scene, stage

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf

COUNT = 40


def draw(number):
    rows = tf.ones([1000 + 10 * tf.cast(number, tf.int32), 3], tf.uint8)  # no static shape
    return tf.cast(rows, tf.float32) + tf.random.uniform([]), number


def fixed(number):
    return tf.ones([1000 + 10 * tf.cast(number, tf.int32), 3], tf.uint8), tf.strings.as_string(number)


def held(dataset, kind, limit_bytes=10**9):
    """Return what a change of the dataset's map would hold, in a scene that has the same elements in an epoch."""
    original = Replayable.of(dataset)
    tree = DatasetRegistry().read_tree(dataset)
    names = match_stages(original.graph, tree.stages, tree.output)
    node = next(item.id for item in tree.stages if item.op == "map")
    changed = find_change(kind).rewrite(original, names, node, {})
    stages = (stage("range"), stage("map", 0.03, cardinality=COUNT))
    analysis = Scene(stages=stages, memory_bytes=limit_bytes).analysis()
    analysis = replace(analysis, resources=replace(analysis.resources, rss_peak_bytes=0))
    return held_by_new_cache(original, changed, analysis.pipelines[0], "s1", analysis)


def test_a_split_map_holds_what_comes_before_its_draw_while_it_is_narrow():
    mean = np.mean([(1000 + 10 * number) * 3 + 8 for number in range(32)]) + 2 * 185

    assert held(tf.data.Dataset.range(COUNT).map(draw).batch(4), "split_map") == pytest.approx(mean * COUNT, abs=COUNT)


def test_a_cache_holds_its_elements_strings_by_their_lengths():
    mean = np.mean([(1000 + 10 * number) * 3 + len(str(number)) for number in range(32)]) + 2 * 185

    assert held(tf.data.Dataset.range(COUNT).map(fixed).batch(4), "cache") == pytest.approx(mean * COUNT, abs=COUNT)


def test_a_change_without_a_cache_holds_nothing_that_is_known():
    assert held(tf.data.Dataset.range(COUNT).map(fixed).batch(4), "prefetch") is None


def test_a_cache_for_which_there_is_no_room_is_refused_before_it_is_filled():
    with pytest.raises(TrialError, match=r"its cache would take 1\d\d kB, and 200 kB of memory are free"):
        held(tf.data.Dataset.range(COUNT).map(draw).batch(4), "split_map", limit_bytes=200_000)
