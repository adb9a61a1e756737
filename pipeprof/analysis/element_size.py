"""The size of one element of a stage. Sizes that are not known are ``None``, never guessed."""

from __future__ import annotations

from pipeprof.model.analysis import StageView


def element_bytes(stage: StageView) -> float | None:
    """Return the bytes of one element that a stage gives: static where the spec says it, else as TensorFlow counted it.

    What a fused node counts is its last stage's: of the others nothing is known.
    """
    if stage.written is not None and stage.written.element_bytes is not None:
        return float(stage.written.element_bytes)
    if stage.stage.bytes and stage.stage.elements and not stage.shares_node_with:
        return stage.stage.bytes / stage.stage.elements
    return None
