"""A dataset of the user's program that can be run again without touching the program.

``Replayable.of`` serialises a dataset once and cuts it loose from the program's caches, seeds and files; every ``load``
is a fresh dataset in the state the program's was in when it was serialised. Changes make new Replayables from the graph.
The user's own dataset is only kept for its Python functions: it is never iterated here.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any  # TensorFlow's objects carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.python_state import one_shot_iterator, preserve_random_state, random_generators
from pipeprof.advise.reset import point_to_scratch, reset_shared_state, writes_files
from pipeprof.capture.python_reach import python_functions
from pipeprof.errors import TrialError
from pipeprof.interop.node_kinds import PYTHON_OPS
from pipeprof.units import byte_count

_NODE_NAMES = re.compile(r"\{\{[^{}]*\}\} ?")  # which TensorFlow puts before what it says

MAX_CONSTANT_BYTES = 256 * 1000 * 1000
MAX_LIMIT_SHARE = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Replayable:
    """A dataset cut loose from its program.

    Attributes:
        dataset: the user's ``tf.data.Dataset`` that it was made from; for its Python functions, never iterated.
        graph: the GraphDef, shared state replaced; edit copies only.
        element_spec: of the graph's output.
        has_python: whether a replay calls Python functions of the user's.
        generators: NumPy's and Python's random generators that those functions hold.
    """

    dataset: Any
    graph: Any
    element_spec: Any
    has_python: bool = False
    generators: tuple[Any, ...] = ()

    @classmethod
    def of(cls, dataset: Any, memory_limit_bytes: int | None = None) -> Replayable:
        """Serialise a dataset and cut it loose.

        Args:
            dataset: a ``tf.data.Dataset``; it is not iterated.
            memory_limit_bytes: what the process may use; in-memory sources above 256 MB or 5 % of it are refused,
                because serialising and loading takes several times their size.

        Raises:
            TrialError: with the reason why it cannot be run again.
        """
        limit = (
            MAX_CONSTANT_BYTES
            if memory_limit_bytes is None
            else min(MAX_CONSTANT_BYTES, int(memory_limit_bytes * MAX_LIMIT_SHARE))
        )
        _refuse_size(estimate_constant_bytes(dataset), limit)
        serialized = serialize(dataset)
        _refuse_size(len(serialized), limit + (1 << 22))
        graph = graphs.parse_graph(serialized)
        nodes = list(graphs.all_nodes(graph))
        has_python = any(node.op in PYTHON_OPS for node in nodes)
        functions = python_functions(nodes)
        iterator = one_shot_iterator(functions)
        if iterator is not None:
            raise TrialError(f"a Python function of the pipeline reads from one {iterator} that a replay would use up")
        reset_shared_state(graph)
        return cls(
            dataset=dataset,
            graph=graph,
            element_spec=dataset.element_spec,
            has_python=has_python,
            generators=random_generators(functions),
        )

    def load(self) -> Any:
        """Return a fresh ``tf.data.Dataset``; its scratch files go when it is collected.

        Raises:
            TrialError: TensorFlow does not accept the graph.
        """
        import tensorflow as tf
        from tensorflow.python.data.ops import dataset_ops
        from tensorflow.python.ops import gen_experimental_dataset_ops as gen_dataset_ops

        graph, scratch, loaded = self.graph, None, None
        if writes_files(graph):
            scratch = Path(tempfile.mkdtemp(prefix="pipeprof-replay-"))
            graph = point_to_scratch(graph, scratch)
        try:
            with tf.init_scope(), tf.device("/device:CPU:0"):
                variant = gen_dataset_ops.dataset_from_graph(graph.SerializeToString())
                loaded = dataset_ops._VariantDataset(variant, self.element_spec)
        except (tf.errors.OpError, ValueError) as error:
            raise TrialError(f"TensorFlow does not load the pipeline: {first_line(error)}") from error
        finally:
            if scratch is not None and loaded is None:
                shutil.rmtree(scratch, ignore_errors=True)
        if scratch is not None:
            weakref.finalize(loaded, shutil.rmtree, scratch, ignore_errors=True)
        return loaded

    def with_graph(self, graph: Any, element_spec: Any = None) -> Replayable:
        """Return a Replayable of an edited graph of the same dataset."""
        return replace(self, graph=graph, element_spec=self.element_spec if element_spec is None else element_spec)

    def copy_graph(self) -> Any:
        """Return a copy of the graph that can be edited."""
        return graphs.copy_graph(self.graph)

    def preserve_random_state(self) -> AbstractContextManager[None]:
        """Return a context that puts Python's and NumPy's random state back after a replay."""
        return preserve_random_state(self.generators)


def estimate_constant_bytes(dataset: Any) -> int:
    """Return the bytes of the in-memory arrays that serialising ``dataset`` would embed, as far as Python can see them."""
    return sum(tensor_bytes(tensor) for tensor in _held_tensors(dataset))


def python_datasets(dataset: Any) -> Iterator[Any]:
    """Yield a dataset and everything above it, each Python object once."""
    seen: set[int] = set()
    stack = [dataset]
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        stack.extend(current._inputs())


def first_line(error: BaseException) -> str:
    """Return the first telling line of an error of TensorFlow's, cut to a readable length."""
    text = _NODE_NAMES.sub("", str(getattr(error, "message", "") or error)).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:160]


def _held_tensors(dataset: Any) -> Iterator[Any]:
    seen: set[int] = set()
    for current in python_datasets(dataset):
        tensors = list(getattr(current, "_tensors", None) or ())
        for value in vars(current).values():
            function = getattr(value, "function", None)
            tensors.extend(getattr(function, "captured_inputs", None) or ())
        for tensor in tensors:
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def tensor_bytes(tensor: Any) -> int:
    """Return the bytes of what a tensor holds, strings by their lengths."""
    name = tensor.dtype.name
    if name == "variant":
        return 0
    if name == "resource":
        return _resource_bytes(tensor)
    if name == "string":
        return sum(len(item) for item in tensor.numpy().ravel()) if tensor.shape.rank else len(tensor.numpy())
    return int(tensor.shape.num_elements() or 0) * int(tensor.dtype.size)


def _resource_bytes(handle: Any) -> int:
    """Return the size of a captured variable's value, 0 for other resources."""
    data = getattr(handle, "_handle_data", None)
    if data is None or not data.is_set:
        return 0
    import tensorflow as tf

    size = 0
    for item in data.shape_and_type:
        count = tf.TensorShape(item.shape).num_elements()
        size += (count or 0) * tf.as_dtype(item.dtype).size
    return size


def _refuse_size(size: int, limit: int) -> None:
    if size > limit:
        raise TrialError(f"too large to serialise ({byte_count(size)} of arrays in memory)")


def serialize(dataset: Any) -> bytes:
    """Return the bytes of a dataset's graph, shared state still in it.

    Raises:
        TrialError: TensorFlow cannot serialise it.
    """
    import tensorflow as tf
    from tensorflow.python.data.ops.options import ExternalStatePolicy

    try:
        return bytes(dataset._as_serialized_graph(external_state_policy=ExternalStatePolicy.IGNORE).numpy())
    except (tf.errors.OpError, AttributeError, ValueError, TypeError) as error:
        raise TrialError(f"TensorFlow cannot serialise the dataset: {first_line(error)}") from error
