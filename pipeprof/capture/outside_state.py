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
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any  # TensorFlow's objects carry no types, and the user's may be anything

from pipeprof.capture.datasets import sources_first
from pipeprof.capture.functions import READS_STATE, captured_tensors, graph_nodes, traced_callables, variables_of
from pipeprof.capture.interrupts import is_of_handler
from pipeprof.capture.python_reach import python_functions, reach
from pipeprof.capture.source_files import NamedFiles
from pipeprof.interop.node_kinds import PYTHON_OPS
from pipeprof.model.profile import WrittenStage

_READ_FILE, _TABLE = "ReadFile", "LookupTableFind"
_SAMPLED = 4096  # items of a large array
_FILES = 16  # of a stage, spread evenly
_COST_SHARE = 0.01  # of the time
_PLAIN = (bool, int, float, complex, str, bytes, type(None))

Print = tuple[str, object]
"""The program's name of something, and its fingerprint."""


class OutsideState:
    """What the stages of one pipeline read, as it was at first, and what of it has changed."""

    def __init__(self, stages: Sequence[WrittenStage], named: Sequence[NamedFiles]) -> None:
        """Know nothing yet of what the stages, as they were first read, and the files that these name will hold."""
        self._reading = {index: ops for index, stage in enumerate(stages) if (ops := _ops_that_read(stage))}
        self._named = tuple(named)  # until the first look
        self._files: dict[int, list[Any]] = {}  # some names of those that a stage is given
        self._first: dict[tuple[int, str, int], object] = {}
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
        self._files.update((int(item.stage_id[1:]), _some(item.names)) for item in self._named)
        self._named = ()
        for index, stage in enumerate(sources_first(dataset)):
            ops, files = self._reading.get(index, frozenset()), self._files.get(index, [])
            if index in self._changed or not (ops or files):
                continue
            seen: Counter[str] = Counter()  # several things may have one name
            for name, print_ in (*_prints(stage, ops), *_of_files(files)):
                seen[name] += 1
                if self._first.setdefault((index, name, seen[name]), print_) != print_:
                    self._changed[index] = _own_name(stage, name)
                    break

    def told(self, stages: Sequence[WrittenStage]) -> tuple[WrittenStage, ...]:
        """Return the stages, each with what it reads that has changed."""
        return tuple(replace(stage, changed_state=self._changed.get(index, "")) for index, stage in enumerate(stages))


def _ops_that_read(stage: WrittenStage) -> frozenset[str]:
    """Return the types of op by which a stage's function reads what the program may change."""
    types = () if stage.function is None else stage.function.op_types
    wanted = READS_STATE | PYTHON_OPS | {_READ_FILE}
    return frozenset(name for name in types if name in wanted or name.startswith(_TABLE))


def _prints(stage: Any, ops: Set[str]) -> Iterator[Print]:
    if ops & READS_STATE:
        yield from ((_short_name(variable), _of_variable(variable)) for variable in variables_of(stage))
    if any(op.startswith(_TABLE) for op in ops):
        yield from _table_prints(captured_tensors(stage))
    nodes = list(graph_nodes(stage)) if ops & PYTHON_OPS or _READ_FILE in ops else []
    if ops & PYTHON_OPS:
        yield from ((name, found) for name, held in reach(python_functions(nodes)) if (found := _of_object(held)) is not None)
    if _READ_FILE in ops:
        constants = [text for node in nodes if node.op == "Const" for text in node.attr["value"].tensor.string_val]
        yield from _of_files(constants)


def _own_name(stage: Any, name: str) -> str:
    """Return what the program calls what changed; a variable has a name of TensorFlow's, often just "Variable"."""
    found = reach(traced_callables(stage))
    names = (held_name for held_name, held in found if held_name and _is_variable(held) and _short_name(held) == name)
    return " or ".join(names) or name or "an object"


def _short_name(variable: Any) -> str:
    return str(variable.name).split(":")[0]


def _is_variable(held: Any) -> bool:
    return hasattr(held, "read_value") and hasattr(held, "shape")


def _of_object(held: Any) -> object | None:
    """Return the fingerprint of what a function holds, None where it has none of its own.

    Random generators have none: what they draw is seen in the elements.
    """
    import numpy as np

    if isinstance(held, float):
        return repr(held)  # a nan is equal to no other
    if isinstance(held, _PLAIN):
        return hash(held)  # a text may be long, and is not kept
    if isinstance(held, random.Random | np.random.Generator | np.random.RandomState):
        return None
    if isinstance(held, np.ndarray):
        return _of_array(held)
    if _is_variable(held):
        return _of_variable(held)
    if isinstance(held, Sized) and type(held).__module__ in {"builtins", "collections"}:
        return ("size", len(held))
    return None


def _of_array(array: Any) -> object:
    import numpy as np

    if array.dtype == object:
        return array.shape, array.dtype.str
    step = max(1, array.size // _SAMPLED)
    return array.shape, array.dtype.str, zlib.crc32(np.ascontiguousarray(array.reshape(-1)[::step]).tobytes())


def _of_variable(variable: Any) -> object:
    import numpy as np

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


def _some(names: Iterable[Any]) -> list[Any]:
    """Return some of the names that tensors hold, spread evenly."""
    import numpy as np

    found: list[Any] = []
    for tensor in names:
        flat = np.asarray(tensor.numpy()).reshape(-1)
        found += flat[:: max(1, len(flat) // _FILES)][:_FILES].tolist()
    return found


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
