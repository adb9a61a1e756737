"""Sets one option of a pipeline: the node behind its last stage that wins over options set before and leaves all others.

Shared by the kinds of change that are options. It must not know what an option does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.advise.replayable import Replayable


def with_option(replayable: Replayable, fill: Callable[[Any], None]) -> Replayable:
    """Return the pipeline with an options node behind its last stage; ``fill`` sets the fields of the options."""
    from tensorflow.core.framework import dataset_options_pb2

    graph = replayable.copy_graph()
    last = graphs.output_name(graph)
    options = dataset_options_pb2.Options()
    fill(options)
    node = graphs.add_node(graph, "OptionsDataset", [last])
    node.attr["serialized_options"].s = options.SerializeToString()
    graphs.copy_element_types(graph, last, node)
    graphs.redirect(graph, last, node.name, keep=[node.name])
    return replayable.with_graph(graph)
