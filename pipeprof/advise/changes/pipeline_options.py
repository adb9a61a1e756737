"""The kinds of change that are one option of a pipeline: what each sets, and the node that sets it.

The node stands behind the last stage, where it wins over options set before and leaves all others. Trials put it into a copy
of the graph; a running program gets the same bytes (``advise.applying``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.changes.base import Params, integer
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError

POOL, BUDGET = "private_threadpool_size", "ram_budget"


def with_option(replayable: Replayable, kind: str, params: Params) -> Replayable:
    """Return the pipeline with the option of a kind of change behind its last stage.

    Raises:
        TrialError: a parameter is missing or out of range.
    """
    graph = replayable.copy_graph()
    graphs.append_stage(graph, "OptionsDataset").attr["serialized_options"].s = serialized_option(kind, params)
    return replayable.with_graph(graph)


def serialized_option(kind: str, params: Params) -> bytes:
    """Return TensorFlow's options with the one field set that a kind of change is.

    Raises:
        TrialError: a parameter is missing or out of range.
    """
    from tensorflow.core.framework import dataset_options_pb2

    options = dataset_options_pb2.Options()
    _FILLS[kind](options, params)
    return bytes(options.SerializeToString())


def _thread_pool(options: Any, params: Params) -> None:
    options.threading_options.private_threadpool_size = _positive(params, POOL)


def _limit_memory(options: Any, params: Params) -> None:
    options.autotune_options.ram_budget = _positive(params, BUDGET)


def _enable_autotune(options: Any, _params: Params) -> None:
    options.autotune_options.enabled = True


def _nondeterministic(options: Any, _params: Params) -> None:
    options.deterministic = False


def _positive(params: Params, name: str) -> int:
    value = integer(params, name)
    if value < 1:
        raise TrialError(f"{name} must be positive")
    return value


_FILLS: Mapping[str, Callable[[Any, Params], None]] = {
    "thread_pool": _thread_pool,
    "limit_memory": _limit_memory,
    "enable_autotune": _enable_autotune,
    "nondeterministic": _nondeterministic,
}
