"""Sketches, in the user's own names, of changes that nobody but the user can make.

A sketch is a few lines of Python that stand in the place of the named call: a start, and no patch. What only the author knows
is an ellipsis. Nothing here judges, and a kind that rewrites files or needs other machines has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pipeprof.advise.own_names import Names, names_of
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Finding

_AUTO = "num_parallel_calls=tf.data.AUTOTUNE"
_LISTED_OPS = 3
_GENERATORS = frozenset({"from_generator"})


def sketch_of(kind: str, finding: Finding, pipeline: PipelineView) -> str:
    """Return the lines of a change by hand, empty where a kind has none.

    Args:
        kind: of the change.
        finding: what led to it; one without a stage is of the loop.
        pipeline: what the finding names, or a stage of it.
    """
    make, stage_id = _SKETCHES.get(kind), finding.stage_id or pipeline.record.output
    stage = next((item for item in pipeline.stages if item.id == stage_id), None)
    return "" if make is None or stage is None else make(names_of(pipeline, stage), finding)


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _ops(names: Names, pattern: str) -> str:
    """Return the ops of the stage's function that a pattern finds, in a few words."""
    found = [op for op in names.traced.op_types if re.search(pattern, op)]
    return ", ".join(found[:_LISTED_OPS])


def _line_of(names: Names, *ops: str) -> str:
    """Return where the user's code makes the first of these ops, as a phrase."""
    known = names.traced.op_lines
    return next((f" at {known[op]}" for op in ops if op in known), "")


# --- Python in the pipeline -----------------------------------------------------------------------------------------


def _rewrite_for_batches(names: Names, _finding: Finding) -> str:
    return _lines(
        f"def {names.function}(batch):",
        f"    # {names.batch} elements at once: every op on the whole batch",
        "    ...",
        f"{names.dataset} = {names.dataset}.batch({names.batch}).map({names.function}, {_AUTO})",
    )


def _replace_python(names: Names, finding: Finding) -> str:
    if names.stage.stage.op not in _GENERATORS:
        return _lines(
            f"def {names.function}(value):",
            f"    # in TensorFlow ops, without the Python{_line_of(names, 'EagerPyFunc', 'PyFunc')}",
            "    ...",
            f"{names.dataset} = {names.dataset}.map({names.function}, {_AUTO})",
        )
    if finding.code == "PP503":
        return _lines(
            "def batches():",
            "    rows = iter(generator())  # yours, which yields one row at a time",
            f"    while batch := list(itertools.islice(rows, {names.batch})):",
            "        yield np.stack(batch)",
            "dataset = tf.data.Dataset.from_generator(",
            "    batches, output_signature=tf.TensorSpec([None, ...], tf.float32))",
        )
    if finding.code == "PP502":
        return _lines(
            "def part(index):",
            "    # your generator, of its share of the data: rows[index::4]",
            "    return tf.data.Dataset.from_generator(",
            "        generator, args=[index], output_signature=...)",
            "dataset = tf.data.Dataset.range(4).interleave(",
            "    part, cycle_length=4, num_parallel_calls=4)",
        )
    return _lines(
        "dataset = tf.data.Dataset.from_tensor_slices(...)  # what the generator goes through",
        f"dataset = dataset.map(..., {_AUTO})",
        "# and in the map, in TensorFlow ops, what the generator computes for each",
    )


# --- randomness -----------------------------------------------------------------------------------------------------


def _split_map(names: Names, _finding: Finding) -> str:
    ops = ", ".join(names.traced.before_draws[:_LISTED_OPS])
    shuffled = f".shuffle({names.shuffle})" if names.shuffle else ""
    return _lines(
        f"def {names.function}_fixed(value):",
        f"    # before the first draw{f': {ops}' if ops else ''}",
        "    ...",
        f"def {names.function}_random(value):",
        "    # the draws, and what needs them",
        "    ...",
        f"{names.dataset} = {names.dataset}.map({names.function}_fixed,",
        f"    {_AUTO})",
        f"{names.dataset} = {names.dataset}.cache(){shuffled}" + ("  # not before it" if shuffled else ""),
        f"{names.dataset} = {names.dataset}.map({names.function}_random,",
        f"    {_AUTO})",
    )


def _place_cache(names: Names, _finding: Finding) -> str:
    return _lines(
        f"{names.dataset} = {names.dataset}.map(...).cache()  # what is the same in every epoch",
        f"{names.dataset} = {names.dataset}.shuffle(...).map(...)  # what draws",
    )


def _draw_per_element(names: Names, _finding: Finding) -> str:
    return _lines(
        f"def {names.function}(batch):",
        "    draws = tf.random.uniform([tf.shape(batch)[0], 1, 1, 1])  # one for each element",
        "    ...",
    )


def _stateless_random(names: Names, _finding: Finding) -> str:
    drawn = _ops(names, "Random")
    return _lines(
        f"def {names.function}(value, seed):",
        f"    # {drawn} by their stateless forms" if drawn else "",
        "    noise = tf.random.stateless_uniform(tf.shape(value), seed=seed)",
        "    ...",
        "seeds = tf.data.Dataset.random(7, rerandomize_each_iteration=True).batch(2)",
        f"{names.dataset} = tf.data.Dataset.zip(({names.dataset}, seeds)).map({names.function}, {_AUTO})",
    )


# --- the order of stages ----------------------------------------------------------------------------------------------


def _parse_batch(names: Names, _finding: Finding) -> str:
    if _ops(names, "^DecodeCSV"):
        parsed = ["    columns = tf.io.decode_csv(lines, defaults)", "    return tf.stack(columns, axis=-1)"]
        taken = "lines"
    else:
        call = "parse_sequence_example" if _ops(names, "^Parse.*Sequence") else "parse_example"
        parsed, taken = [f"    return tf.io.{call}(records, features)"], "records"
    return _lines(
        f"def {names.function}({taken}):  # {names.batch} {taken} at once",
        *parsed,
        f"{names.dataset} = {names.dataset}.batch({names.batch}).map({names.function}, {_AUTO})",
    )


def _batch_inside(names: Names, _finding: Finding) -> str:
    return _lines(
        "def read(path):",
        "    return tf.data.TFRecordDataset(path).batch(1000)  # your reader, in batches",
        f"{names.dataset} = paths.interleave(read, cycle_length=4, num_parallel_calls=4)",
        f"{names.dataset} = {names.dataset}.rebatch({names.batch})  # or unbatch(), where elements are shuffled",
    )


def _cast_later(names: Names, _finding: Finding) -> str:
    kept = names.traced.widened_from
    note = f"# without the cast: {kept} until the batch" if kept else "# without the cast"
    return _lines(
        f"{names.dataset} = {names.dataset}.map({names.function})  {note}",
        f"{names.dataset} = {names.dataset}.batch({names.batch})",
        f"{names.dataset} = {names.dataset}.map(lambda value: tf.cast(value, tf.float32) / 255)",
    )


def _filter_earlier(names: Names, _finding: Finding) -> str:
    return _lines(
        "def is_wanted(value):",
        f"    # from what {names.function} reads, not from what it gives",
        "    ...",
        f"{names.dataset} = {names.dataset}.filter(is_wanted).map({names.function}, {_AUTO})",
    )


def _bucket(names: Names, _finding: Finding) -> str:
    return _lines(
        f"{names.dataset} = {names.dataset}.bucket_by_sequence_length(",
        "    lambda row: tf.shape(row)[0],",
        "    bucket_boundaries=[32, 64, 128],  # by the lengths of your rows",
        f"    bucket_batch_sizes=[{_own(names, 'batch_size', names.batch)}] * 4)",
    )


def _split_once(names: Names, _finding: Finding) -> str:
    return _lines(
        f"held_out = {names.dataset}.take(count)  # first the split,",
        f"{names.dataset} = {names.dataset}.skip(count).shuffle({_own(names, 'buffer_size', '...')})  # then the order",
    )


def _repeat_after_shuffle(names: Names, _finding: Finding) -> str:
    size = _own(names, "buffer_size", "...")
    return f"{names.dataset} = {names.dataset}.shuffle({size}).repeat({names.epochs})"


def _fuse_decode_crop(names: Names, _finding: Finding) -> str:
    return _lines(
        f"# in {names.function}, for decode_jpeg and the crop at top, left",
        "whole = tf.io.extract_jpeg_shape(data)[:2]",
        "at, size = tf.stack([top, left]), tf.stack([height, width])",
        "first = tf.maximum(at - 2, 0)  # with 2 pixels more on each side",
        "last = tf.minimum(at + size + 2, whole)  # the edges stay the same",
        "window = tf.concat([first, last - first], 0)",
        "image = tf.io.decode_and_crop_jpeg(data, window, channels=3)",
        "image = tf.slice(",
        "    image, tf.concat([at - first, [0]], 0), tf.concat([size, [3]], 0))",
    )


def _resize_once(names: Names, _finding: Finding) -> str:
    return f"image = tf.image.resize(image, size)  # in {names.function}, without antialias"


# --- the loop and its buffers -----------------------------------------------------------------------------------------


def _build_once(names: Names, _finding: Finding) -> str:
    return _lines(
        f"{names.dataset} = make_dataset()  # what builds it now in every epoch, called once",
        f"for epoch in range({names.epochs}):",
        f"    for batch in {names.dataset}:",
        "        ...",
    )


def _repeat_once(names: Names, _finding: Finding) -> str:
    return _lines(
        f"# {names.dataset}: as your loop gets it now, with its {names.stage.stage.op}",
        f"iterator = iter({names.dataset}.repeat({names.epochs}))",
        f"for epoch in range({names.epochs}):",
        f"    for _ in range({names.steps}):",
        "        batch = next(iterator)",
        f"# Keras: model.fit({names.dataset}.repeat(), steps_per_epoch={names.steps}, ...)",
    )


def _steps_per_execution(names: Names, _finding: Finding) -> str:
    return _lines(
        "model.compile(..., steps_per_execution=16)  # Keras; in a loop of your own:",
        "@tf.function",
        "def train_steps(batches, count):",
        "    for _ in tf.range(count):",
        "        train_step(next(batches))",
        f"batches = iter({names.dataset})",
        "train_steps(batches, tf.constant(16))",
    )


def _keep_statistics(_names: Names, _finding: Finding) -> str:
    return _lines(
        "# once, after adapt(); for other layers vocabulary= or bin_boundaries=",
        "np.savez('known.npz', mean=np.ravel(layer.mean), variance=np.ravel(layer.variance))",
        "# from then on, in the place of adapt():",
        "known = np.load('known.npz')",
        "layer = tf.keras.layers.Normalization(mean=known['mean'], variance=known['variance'])",
    )


def _prefetch_to_device(names: Names, _finding: Finding) -> str:
    return f'{names.dataset} = {names.dataset}.apply(tf.data.experimental.prefetch_to_device("/gpu:0"))  # at the end'


def _bound_buffer(names: Names, _finding: Finding) -> str:
    return _lines(
        "options = tf.data.Options()",
        "options.autotune.ram_budget = 2_000_000_000  # bytes",
        f"{names.dataset} = {names.dataset}.with_options(options)",
    )


def _move_to_model(names: Names, _finding: Finding) -> str:
    return _lines(
        f"augment = tf.keras.Sequential([  # in the place of {names.function} in the input",
        '    tf.keras.layers.RandomFlip("horizontal"),',
        "    ...,",
        "])",
        "model = tf.keras.Sequential([augment, model])",
    )


def _own(names: Names, argument: str, usual: str) -> str:
    written = names.stage.written
    return str(written.arguments.get(argument, usual)) if written is not None else usual


_SKETCHES: Mapping[str, Callable[[Names, Finding], str]] = {
    "rewrite_for_batches": _rewrite_for_batches,
    "replace_python": _replace_python,
    "build_once": _build_once,
    "prefetch_to_device": _prefetch_to_device,
    "split_map": _split_map,
    "place_cache": _place_cache,
    "repeat_once": _repeat_once,
    "steps_per_execution": _steps_per_execution,
    "keep_statistics": _keep_statistics,
    "batch_inside": _batch_inside,
    "parse_by_hand": _parse_batch,
    "cast_later": _cast_later,
    "bound_buffer": _bound_buffer,
    "split_once": _split_once,
    "repeat_after_shuffle": _repeat_after_shuffle,
    "draw_per_element": _draw_per_element,
    "stateless_random": _stateless_random,
    "bucket": _bucket,
    "filter_earlier": _filter_earlier,
    "fuse_decode_crop": _fuse_decode_crop,
    "resize_once": _resize_once,
    "move_to_model": _move_to_model,
}
