"""What a pipeline reads of the program beside its input: seen by the program's own name for it where its epochs change it."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf

current = SimpleNamespace(epoch=0, unread=0)
settings = {"level": 1}


def from_numpy(read):
    return lambda x: tf.numpy_function(lambda value: np.int64(value + read()), [x], tf.int64)


def names(build, before_epoch=lambda epoch: None, epochs=2, whole=True):
    """Return what of each stage was seen to change, over epochs before which something is done."""
    session = CaptureSession(Settings(), RunFacts(id="t", command=("t",), started_at="", working_directory=""))
    session.start()
    try:
        dataset = build()
        for epoch in range(epochs):
            before_epoch(epoch)
            session.pipelines.find(dataset).outside._rests_until_s = 0.0 if epoch or whole else float("inf")
            for _ in dataset:
                pass
    finally:
        profile = session.stop()
    assert [text for text in profile.run.problems if "watched" in text] == []
    return [stage.changed_state for stage in profile.pipelines[0].written]


def test_a_variable_that_is_assigned_between_epochs_has_its_name():
    level, other = tf.Variable(1.0, name="level"), tf.Variable(1.0)

    def build():
        return tf.data.Dataset.range(4).map(lambda x: tf.cast(x, tf.float32) * level * other)

    assert names(build, lambda epoch: level.assign(1.0 + epoch)) == ["", "level"]
    assert names(build) == ["", ""]


def test_two_that_have_one_name_are_not_taken_for_one_that_changed():
    first, second = tf.Variable(1.0), tf.Variable(2.0)

    def build():
        return tf.data.Dataset.range(4).map(lambda x: tf.cast(x, tf.float32) * first * second)

    assert first.name == second.name
    assert names(build) == ["", ""]
    assert names(build, lambda epoch: second.assign(5.0 + epoch)) == ["", "first or second"]


def test_an_object_that_python_code_reads_has_the_name_that_the_code_uses():
    def build():
        return tf.data.Dataset.range(4).map(from_numpy(lambda: current.epoch)).batch(2)

    def advance(epoch):
        current.epoch = epoch

    def advance_another(epoch):
        current.unread = settings["level"] = epoch

    assert names(build, advance) == ["", "current.epoch", ""]
    assert names(lambda: tf.data.Dataset.range(4).map(from_numpy(lambda: 3)), advance_another) == ["", ""]


def test_a_generator_that_reads_a_dictionary_is_seen():
    def rows():
        yield from range(settings["level"], settings["level"] + 3)

    def build():
        return tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec([], tf.int64))

    assert "settings['level']" in names(build, lambda epoch: settings.update(level=epoch))


def test_a_file_that_is_read_and_rewritten_has_its_path(tmp_path):
    weights, records = tmp_path / "weights.txt", tmp_path / "records.txt"
    weights.write_text("1")
    records.write_text("a\nb\n")
    os.utime(records, ns=(1, 1))

    def build():
        return tf.data.TextLineDataset([str(records)]).map(lambda line: line + tf.io.read_file(str(weights)))

    def rewrite(epoch):
        weights.write_text("1" * (epoch + 1))

    assert str(weights) in names(build, rewrite)
    assert names(build, lambda epoch: os.utime(records, ns=(epoch, epoch)))[0:2].count(str(records)) == 1
    assert set(names(build)) == {""}


def test_a_table_that_grows_is_seen():
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)

    def build():
        return tf.data.Dataset.range(4).map(table.lookup)

    assert names(build, lambda epoch: table.insert(tf.constant(epoch, tf.int64), tf.constant(1, tf.int64))) == [
        "", "a lookup table",
    ]  # fmt: skip
    assert names(build) == ["", ""]


def test_a_variable_has_the_name_that_the_program_gives_it():
    held = SimpleNamespace(level=tf.Variable(1.0))
    alone = tf.Variable(1.0)

    assert names(
        lambda: tf.data.Dataset.range(4).map(lambda x: tf.cast(x, tf.float32) * alone),
        lambda epoch: alone.assign_add(1.0),
    ) == ["", "alone"]  # fmt: skip
    assert names(
        lambda: tf.data.Dataset.range(4).map(lambda x: tf.cast(x, tf.float32) * held.level),
        lambda epoch: held.level.assign_add(1.0),
    ) == ["", "held.level"]  # fmt: skip


def test_what_changes_while_one_iterator_serves_all_epochs_is_seen_at_the_end():
    level = tf.Variable(1.0, name="level")

    def build():
        return tf.data.Dataset.range(4).map(lambda x: tf.cast(x, tf.float32) * level).repeat(2)

    assert names(build, epochs=1) == ["", "", ""]

    session = CaptureSession(Settings(), RunFacts(id="t", command=("t",), started_at="", working_directory=""))
    session.start()
    dataset = build()
    for _ in dataset:
        level.assign_add(1.0)
    assert [stage.changed_state for stage in session.stop().pipelines[0].written] == ["", "level", ""]
