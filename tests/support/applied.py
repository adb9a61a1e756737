"""Programs whose datasets are built twice: once to learn their trees, then again with a change applied to one of the stages."""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf
from tensorflow.core.framework import dataset_options_pb2

from pipeprof.advise.applying import Applier
from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.model.plan import ApplyPlan, PlannedChange, PlannedStage, site_range
from pipeprof.settings import Settings


class Program:
    """Builds a pipeline once to learn its tree, then again with a change applied to one of its stages."""

    def __init__(self, build, change, class_name="_MapDataset", **altered):
        self.build = build
        plain = self._session()
        plain.start()
        try:
            dataset = build()
            tree = plain.pipelines._registry.read_tree(dataset)
        finally:
            plain.stop()
        ends = [index for index, stage in enumerate(tree.stages) if stage.class_name == class_name]
        end = ends[-1 if altered.get("last") else 0]
        positions = {stage.id: index for index, stage in enumerate(tree.stages)}
        stages = tuple(
            PlannedStage(
                class_name=stage.class_name,
                site=site_range(stage.call_site),
                inputs=tuple(positions[name] for name in stage.inputs),
                cardinality=altered.get("cardinality", stage.cardinality),
            )
            for stage in tree.stages[: end + 1]
        )
        if "source" in altered:
            stages = (PlannedStage(class_name=altered["source"], site=stages[0].site), *stages[1:])
        planned = PlannedChange(id="c", phrase="Do it (x.py:1)", change=change, trees=(stages,))
        self._plan = ApplyPlan(run_id="earlier", changes=(planned,))

    def and_also(self, other):
        """Let another change of the same pipeline be applied beside this one."""
        also = replace(other._plan.changes[0], id="d")
        self._plan = replace(self._plan, changes=(*self._plan.changes, also))
        return self

    @staticmethod
    def _session():
        return CaptureSession(Settings(), RunFacts(id="t", command=("t",), started_at="", working_directory=""))

    def with_change(self, use=lambda dataset: dataset):
        session = self._session()
        self.applier = Applier(self._plan, session.origin)
        session.on_dataset = self.applier.made
        session.start()
        try:
            return use(self.build())
        finally:
            session.stop()

    @property
    def reason(self):
        (text,) = self.applier.problems
        return text


def nodes_of(dataset):
    """Return the nodes of a dataset's graph."""
    return list(tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy()).node)


def ops_of(dataset):
    return [node.op for node in nodes_of(dataset)]


def options_of(dataset):
    """Return the options as the graph has them, the later over the earlier."""
    graph = tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    merged = dataset_options_pb2.Options()
    for node in graph.node:
        if node.op == "OptionsDataset":
            merged.MergeFromString(node.attr["serialized_options"].s)
    options = tf.data.Options()
    options._from_proto(merged)
    return options


def values(dataset):
    return [element.tolist() for element in dataset.as_numpy_iterator()]
