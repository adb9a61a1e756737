"""Finds the Python dataset behind a node, whose function can be traced again as an edited source would.

It must not iterate the user's dataset.
"""

from __future__ import annotations

from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.replayable import Replayable, python_datasets
from pipeprof.errors import TrialError


def python_stage(replayable: Replayable, name: str, attribute: str = "_map_func") -> Any:
    """Return the dataset whose function, kept in ``attribute``, has this name in the graph.

    Raises:
        TrialError: there is none any more.
    """
    for dataset in python_datasets(replayable.dataset):
        wrapper = getattr(dataset, attribute, None)
        function = getattr(wrapper, "function", None)
        own = getattr(function, "name", "")
        if (own.decode() if isinstance(own, bytes) else own) == name and callable(getattr(wrapper, "_func", None)):
            return dataset
    raise TrialError("the Python function of the stage is not at hand any more")


def cut_at(replayable: Replayable, name: str, spec: Any) -> Any:
    """Return the pipeline up to a node as a fresh dataset."""
    graph = replayable.copy_graph()
    graphs.set_output(graph, name)
    return replayable.with_graph(graph, spec).load()
