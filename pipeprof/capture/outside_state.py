"""What the stages of a pipeline read of the program beside their input, watched from one iterator to the next.

The one idea: variables, tables, Python objects and files that the program changes between its epochs make other elements of the
same records, and no replay after the script's end can show it, since by then nothing changes them any more. So a fingerprint of
all that is reached is taken as each iterator is made, and what differs is remembered by the program's own name for it. A
fingerprint is a sample where much is held. Nothing is kept alive and no function is called.
"""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any  # TensorFlow's objects carry no types, and the user's may be anything

import numpy as np

from pipeprof.capture.datasets import sources_first
from pipeprof.capture.functions import READS_STATE, captured_tensors, graph_nodes, variables_of
from pipeprof.capture.interrupts import is_of_handler
from pipeprof.capture.python_reach import PYTHON_OPS, python_functions, reach
from pipeprof.capture.source_files import find_named_files
from pipeprof.model.profile import WrittenStage

_SAMPLED = 4096  # items of a large array
_FILES = 16  # of a stage, spread evenly
_COST_SHARE = 0.01  # of the time
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState)  # what they draw is seen in the elements

Print = tuple[str, object]
"""The program's name of something, and its fingerprint."""


class OutsideState:
    """What the stages of one pipeline read, as it was at first, and what of it has changed."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._first: dict[tuple[int, str], object] = {}
        self._changed: dict[int, str] = {}
        self._rests_until_s = 0.0
        self.problem = ""

    def look(self, dataset: Any, *, is_last: bool = False) -> None:
        """Compare what the stages above a dataset read with what they read at first; a look in 100 times its cost is taken."""
        from tensorflow.python.eager import context

        began_s = time.monotonic()
        if self.problem or not context.executing_eagerly() or (began_s < self._rests_until_s and not is_last):
            return
        try:
            self._compare(dataset)
        except Exception as error:  # an instrument's failure is never the user's
            if is_of_handler(error):
                raise
            self.problem = f"what its stages read of the program could not be watched: {type(error).__name__}: {error}"
        now_s = time.monotonic()
        self._rests_until_s = now_s + (now_s - began_s) / _COST_SHARE

    def _compare(self, dataset: Any) -> None:
        files = {int(item.stage_id[1:]): item.names for item in find_named_files(dataset)}
        for index, stage in enumerate(sources_first(dataset)):
            if index in self._changed:
                continue
            for name, print_ in (*_prints(stage), *_file_prints(files.get(index, ()))):
                if self._first.setdefault((index, name), print_) != print_:
                    self._changed[index] = name or "an object"
                    break

    def told(self, stages: Sequence[WrittenStage]) -> tuple[WrittenStage, ...]:
        """Return the stages, each with what it reads that has changed."""
        return tuple(replace(stage, changed_state=self._changed.get(index, "")) for index, stage in enumerate(stages))


def _prints(stage: Any) -> Iterator[Print]:
    nodes = list(graph_nodes(stage))
    ops = {node.op for node in nodes}
    if ops & READS_STATE:
        yield from ((variable.name.split(":")[0], _of_variable(variable)) for variable in variables_of(stage))
    if any(op.startswith("LookupTableFind") for op in ops):
        yield from _table_prints(captured_tensors(stage))
    if ops & PYTHON_OPS:
        yield from ((name, found) for name, held in reach(python_functions(nodes)) if (found := _of_object(held)) is not None)
    if "ReadFile" in ops:
        constants = [text for node in nodes if node.op == "Const" for text in node.attr["value"].tensor.string_val]
        yield from _of_files(constants)


def _of_object(held: Any) -> object | None:
    """Return the fingerprint of what a function holds, None where it has none of its own."""
    if isinstance(held, _PLAIN):
        return ("plain", repr(held) if isinstance(held, float) else held)  # a nan is equal to no other
    if isinstance(held, _GENERATORS):
        return None
    if isinstance(held, np.ndarray):
        return _of_array(held)
    if hasattr(held, "read_value") and hasattr(held, "shape"):
        return _of_variable(held)
    if isinstance(held, Sized) and type(held).__module__ in {"builtins", "collections"}:
        return ("size", len(held))
    return None


def _of_array(array: Any) -> object:
    if array.dtype == object:
        return array.shape, array.dtype.str
    step = max(1, array.size // _SAMPLED)
    return array.shape, array.dtype.str, zlib.crc32(np.ascontiguousarray(array.reshape(-1)[::step]).tobytes())


def _of_variable(variable: Any) -> object:
    count = variable.shape.num_elements()
    value = variable if count is not None and count <= _SAMPLED else variable[:1]
    return _of_array(np.asarray(value.numpy()))


def _table_prints(tensors: Iterable[Any]) -> Iterator[Print]:
    """Yield the sizes of the tables among captured tensors."""
    from tensorflow.python.framework import errors
    from tensorflow.python.ops import gen_lookup_ops

    for tensor in tensors:
        if getattr(tensor.dtype, "name", "") != "resource":
            continue
        try:
            yield "a lookup table", int(gen_lookup_ops.lookup_table_size_v2(tensor))
        except (errors.OpError, ValueError, TypeError):  # another resource
            continue


def _file_prints(names: Iterable[Any]) -> Iterator[Print]:
    for tensor in names:
        flat = np.asarray(tensor.numpy()).reshape(-1)
        yield from _of_files(flat[:: max(1, len(flat) // _FILES)][:_FILES].tolist())


def _of_files(names: Iterable[Any]) -> Iterator[Print]:
    for name in names:
        path = os.fsdecode(name) if isinstance(name, bytes | str) else ""
        if not path or "://" in path or "\0" in path:
            continue
        try:
            facts = Path(path).stat()
        except OSError:
            continue
        yield path, (facts.st_mtime_ns, facts.st_size)
