"""Whether the stages of a running program may hand on elements as they are ready: what follows that option, and what must not.

The one idea: calls start in the order in which they did and no further ahead, so that what a parallel call sees of the program
is what it could see before. What stands behind takes the elements in another order: nothing there may count on it. Nothing is
changed here.
"""

from __future__ import annotations

from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.applied_refusals import BY_SOURCE, is_seed_set, refuse_seeded
from pipeprof.advise.live_state import live_state
from pipeprof.capture.datasets import sources_first
from pipeprof.capture.functions import describe_function, graph_nodes
from pipeprof.errors import TrialError

ORDER, FOLLOWS = "deterministic", "default"  # a stage that says this does as the options say
_BY_POSITION = frozenset({"Zip", "Take", "Skip", "Shard", "Scan", "TakeWhile"})


def counts_on_order(name: str) -> bool:
    """Tell whether what a stage gives hangs on the place of its elements; ``name`` is its class in Python, or its op."""
    return graphs.plain_name(name.lstrip("_")) in _BY_POSITION


def refuse_kept_order(dataset: Any) -> None:
    """Refuse a pipeline of which something counts on the order, or in which nothing would change it."""
    _refuse_asked(dataset)
    behind: set[int] = set()  # stages whose elements will come in another order
    for stage in sources_first(dataset):
        reads = any(id(parent) in behind for parent in stage._inputs())
        follows = _follows(stage)
        if reads:
            _refuse_counting(stage)
            refuse_seeded(stage)
        if reads or follows:
            behind.add(id(stage))
    if not behind:
        raise TrialError("no parallel stage follows the option: they have none, or an order of their own")


def _refuse_asked(dataset: Any) -> None:
    """Refuse where the program says what it wants: an order, or a run that repeats itself."""
    from tensorflow.core.framework import dataset_options_pb2
    from tensorflow.python.framework import config
    from tensorflow.python.ops import gen_dataset_ops

    shuffles = [stage for stage in sources_first(dataset) if type(stage).__name__ == "_ShuffleDataset"]
    is_seeded = any(int(stage._seed) or int(stage._seed2) for stage in shuffles)
    if is_seeded or is_seed_set() or config.is_op_determinism_enabled():
        raise TrialError(f"a seed is set, and the run would no longer repeat itself; {BY_SOURCE}")
    options = dataset_options_pb2.Options.FromString(gen_dataset_ops.get_options(dataset._variant_tensor).numpy())
    if options.HasField("deterministic") and options.deterministic:
        raise TrialError("the program's own options ask for the order to be kept")


def _refuse_counting(stage: Any) -> None:
    """Refuse a stage that takes elements by their place, or one after the other while it shares state with the program."""
    if counts_on_order(type(stage).__name__):
        raise TrialError(f"{graphs.plain_name(type(stage).__name__.lstrip('_')).lower()} takes elements by their place")
    reason = live_state(describe_function(stage))
    if reason and not _is_racing(stage):
        raise TrialError(f"{reason} for one element after the other, and their order would follow the clock; {BY_SOURCE}")


def _is_racing(stage: Any) -> bool:
    """Tell whether calls of a stage run at the same time already, so that nothing in them can count on their order."""
    from tensorflow.python.framework import tensor_util

    calls = getattr(stage, "_num_parallel_calls", None)
    return calls is not None and tensor_util.constant_value(calls) != 1


def _follows(stage: Any) -> bool:
    """Tell whether a stage, or one that its function makes, hands on its elements as the options say."""
    reader = getattr(stage, "_impl", stage)  # a reader of files is a stage of its own, over the files' names
    said = getattr(stage, "_pipeprof_order", None) or getattr(reader, "_deterministic", None)
    if said is None and type(reader).__name__ == "_ParallelInterleaveDataset":
        said = FOLLOWS  # or what the program said, which TensorFlow does not keep in Python
    inner = [node for node in graph_nodes(stage) if graphs.is_dataset_op(node.op)]
    if not any(node.attr[ORDER].s == FOLLOWS.encode() for node in inner if ORDER in node.attr):
        return said == FOLLOWS
    if any(counts_on_order(node.op) for node in inner):
        raise TrialError("a stage's function makes a pipeline that takes elements by their place")
    return True
