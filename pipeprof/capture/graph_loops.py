"""Pipelines that are consumed inside TensorFlow, where no call of ``next`` is seen: ``reduce`` and loops in a ``tf.function``.

A data set is known here by one of three signs: it is reduced (as a ``for`` in a ``tf.function`` is), an iterator of
it is made while a graph is being built, or it is handed to a function in whose graph such a loop over an argument was found.
Only what a trace shows tells how it is waited for. Never makes an op, and never touches a symbolic tensor.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from pipeprof.capture.pipelines import PipelineBook, PipelineEntry

_HIDDEN = "none: the loop runs inside a tf.function or a reduction, where TensorFlow gives no handle to its counters"


class GraphLoops:
    """What is known of loops without a visible iterator."""

    def __init__(self, pipelines: PipelineBook, clock: Callable[[], float]) -> None:
        """Start empty."""
        self._pipelines = pipelines
        self._clock = clock
        self._over_arguments: list[Any] = []  # element specs of data sets that are a function's arguments
        self._known: weakref.WeakKeyDictionary[Any, PipelineEntry] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self.last_s: dict[str, float] = {}  # pipeline id -> when it was last begun, as far as that is seen

    def reduced(self, dataset: Any) -> None:
        """A data set is reduced, or an iterator of it made, in the graph that is being built or (a reduction) now."""
        concrete = _nearest_concrete(dataset)
        if concrete is not None:
            self._add(concrete)
            return
        spec = _source(dataset).element_spec
        with self._lock:
            if spec not in self._over_arguments:
                self._over_arguments.append(spec)

    def passed(self, dataset: Any) -> None:
        """A data set is an argument of a function that is about to run."""
        if not self._over_arguments or not _is_concrete(dataset):
            return
        entry = self._known.get(dataset)
        if entry is not None:
            self.last_s[entry.id] = self._clock()
        elif dataset.element_spec in self._over_arguments:
            self._add(dataset)

    def _add(self, dataset: Any) -> None:
        from tensorflow.python.eager import context

        with context.eager_mode():  # looking at a data set makes ops, and none may get into the user's graph
            entry = self._pipelines.find(dataset)
        entry.is_in_graph = True
        entry.counters_note = _HIDDEN
        self._known[dataset] = entry
        self.last_s[entry.id] = self._clock()


def _is_concrete(dataset: Any) -> bool:
    """Say whether a data set exists outside of a graph under construction."""
    return hasattr(dataset._variant_tensor, "numpy")


def _nearest_concrete(dataset: Any) -> Any:
    """Return the first data set of a chain that exists outside the graph; what AutoGraph made of a loop lies below it."""
    while not _is_concrete(dataset):
        inputs = dataset._inputs()
        if len(inputs) != 1:
            return None
        dataset = inputs[0]
    return dataset


def _source(dataset: Any) -> Any:
    while len(dataset._inputs()) == 1:
        dataset = dataset._inputs()[0]
    return dataset
