"""Sketches of changes by hand: in the user's names, as Python that parses, for every kind that has none made for it."""

from __future__ import annotations

import ast

import pytest

from pipeprof.advise.recommend import MANUAL, SKETCHED
from pipeprof.advise.sketches import sketch_of
from pipeprof.model.profile import StageFunction
from tests.support.builders import Scene, stage
from tests.support.sketched import WITHOUT, finding, sketch


@pytest.mark.parametrize("kind", sorted({*MANUAL, *SKETCHED}))
@pytest.mark.parametrize("code", ["PP501", "PP502", "PP503"])
@pytest.mark.parametrize("op", ["map", "from_generator"])
def test_every_change_by_hand_has_lines_of_python(kind: str, code: str, op: str) -> None:
    made = sketch(kind, code, op)

    assert bool(made) is (kind not in WITHOUT)
    ast.parse(made)
    assert all(len(line) <= 100 for line in made.splitlines())


def test_it_speaks_of_the_users_own_names_and_numbers() -> None:
    assert sketch("parse_by_hand") == (
        "def decode(records):  # 32 records at once\n"
        "    return tf.io.parse_example(records, features)\n"
        "rows = rows.batch(32).map(decode, num_parallel_calls=tf.data.AUTOTUNE)"
    )
    assert "train.py:5" in sketch("replace_python")
    assert "DecodeJpeg, ResizeBilinear" in sketch("split_map")
    assert ".cache()\n" in sketch("split_map")
    assert "uint8 until the batch" in sketch("cast_later")
    assert "range(200)" in sketch("repeat_once")  # 600 steps in 3 epochs


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("rows.map(f).batch(2)", "rows"),
        ("self.train.map(f)", "self.train"),
        ("args.ds.map(f)", "args.ds"),
        ("make_dataset(files).map(f)", "dataset"),
        ("TFRecordDataset(files).map(f)", "dataset"),
        ("tf.data.TFRecordDataset(files).map(f)", "dataset"),
        ("tfds.load('x').map(f)", "dataset"),
        ("builder.as_dataset().map(f)", "dataset"),
        ("Dataset.from_tensor_slices(x).map(f)", "dataset"),
        ("pipelines[0].map(f)", "dataset"),
        ("csv.batches(32).prefetch(2)", "dataset"),
        ("strategy.experimental_distribute_dataset(rows)", "dataset"),
        ("not python", "dataset"),
    ],
)
def test_only_what_is_a_dataset_is_assigned_to(code: str, name: str) -> None:
    assert sketch("bound_buffer", code=code).splitlines()[-1] == f"{name} = {name}.with_options(options)"


def test_each_kind_of_record_has_its_own_parser() -> None:
    of_lines, of_steps = (StageFunction(name="f", op_types=(op,), op_count=1) for op in ("DecodeCSV", "ParseSequenceExampleV2"))

    assert "tf.io.decode_csv(lines, defaults)" in sketch("parse_by_hand", function=of_lines)
    assert "tf.io.parse_sequence_example(records, features)" in sketch("parse_by_hand", function=of_steps)


def test_what_the_code_does_not_name_gets_a_usual_name() -> None:
    lambda_function = StageFunction(name="<lambda>", op_types=(), op_count=0)

    made = sketch("rewrite_for_batches", code="tf.data.Dataset.range(9).map(lambda x: x)", function=lambda_function)

    assert made.startswith("def function(batch):\n")
    assert "\ndataset = dataset.batch(32).map(function, " in made


def test_of_the_loop_the_sketch_speaks_of_the_last_stage() -> None:
    pipeline = Scene(stages=(stage("map"), stage("prefetch", line=9, code="train.prefetch(2)"))).analysis().pipelines[0]

    assert "iter(train)" in sketch_of("steps_per_execution", finding(stage_id=None), pipeline)
