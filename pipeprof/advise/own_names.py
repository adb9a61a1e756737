"""What the user's code calls the things that a sketch speaks of, as far as the run tells.

It must not make a sketch.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from pipeprof.analysis.stage_graph import downstream, upstream
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.profile import StageFunction, WrittenStage

_NO_FUNCTION = StageFunction(name="", op_types=(), op_count=0)
_USUAL = "dataset"
_MODULES = frozenset({"tf", "tensorflow", "tfds", "keras", "np"})
_OF_DATASETS = frozenset({
    "apply", "as_numpy_iterator", "batch", "bucket_by_sequence_length", "cache", "concatenate", "enumerate", "filter",
    "flat_map", "group_by_window", "ignore_errors", "interleave", "map", "padded_batch", "prefetch", "ragged_batch",
    "rebatch", "reduce", "repeat", "scan", "shard", "shuffle", "skip", "snapshot", "take", "take_while", "unbatch",
    "unique", "window", "with_options",
})  # fmt: skip
"""Methods of datasets: what they are asked of is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What the user's code calls things, with a usual name where it does not say."""

    dataset: str
    function: str
    batch: str
    epochs: str
    steps: str  # of an epoch
    shuffle: str  # arguments of the nearest shuffle before the stage, empty where there is none
    stage: StageView

    @property
    def traced(self) -> StageFunction:
        """The stage's function, an empty one where it has none."""
        return (self.stage.written.function if self.stage.written is not None else None) or _NO_FUNCTION


def names_of(pipeline: PipelineView, stage: StageView) -> Names:
    """Return what a stage and what is around it are called."""
    written, loop = stage.written, pipeline.record.loop
    function = written.function.name.rsplit(".", 1)[-1] if written is not None and written.function is not None else ""
    batches = [item.written for item in downstream(pipeline, stage.id) if item.stage.op in {"batch", "padded_batch"}]
    epochs = loop.epoch_count or 1
    shuffles = [item.written for item in upstream(pipeline, stage.id) if item.stage.op == "shuffle"]
    return Names(
        dataset=_receiver(written),
        function=function if function.isidentifier() else "function",
        batch=str(next((item.arguments["batch_size"] for item in batches if item and "batch_size" in item.arguments), "n")),
        epochs=str(epochs) if epochs > 1 else "epochs",
        steps=str(round(loop.elements / epochs)) if loop.elements >= epochs else "steps",
        shuffle=_arguments_of_shuffle(shuffles[-1].arguments) if shuffles and shuffles[-1] else "",
        stage=stage,
    )


def _arguments_of_shuffle(arguments: Mapping[str, object]) -> str:
    """Return the size of a buffer, and that it has a seed: which one the user gave is not known."""
    seeded = ", seed=..." if arguments.get("seed") or arguments.get("seed2") else ""
    return f"{arguments.get('buffer_size', '...')}{seeded}"


def _receiver(written: WrittenStage | None) -> str:
    """Return what the call's chain begins with: ``rows`` of ``rows.map(f).batch(8)``, ``self.rows`` of ``self.rows.map(f)``.

    What stands there is no dataset where it is called, is a module or a class, or where what is asked of it first is nothing
    that datasets have: a loader of the user's, a strategy, a source.
    """
    site = None if written is None else written.call_site
    try:
        node: ast.expr = ast.parse(f"({site.code}\n)", mode="eval").body if site is not None else ast.Constant(None)
    except (SyntaxError, ValueError):
        return _USUAL
    first = ""
    while isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Attribute):
            return _USUAL
        first, node = node.func.attr, node.func.value
    words = ast.unparse(node).split(".") if isinstance(node, ast.Name | ast.Attribute) else []
    is_named = words and all(word.isidentifier() and not word[0].isupper() for word in words)
    return ".".join(words) if is_named and words[0] not in _MODULES and first in _OF_DATASETS else _USUAL
