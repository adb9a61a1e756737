"""How many dataset objects stood at each stage of one pipeline: a program may build its pipeline anew in every epoch.

The one idea: a cache lives as long as the object that it belongs to, so that passes must be counted by object, stage by
stage (a base built once may get a new tail in every epoch). Objects are only held weakly.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeprof.model.profile import WrittenStage


class StageObjects:
    """The objects seen at each stage of a pipeline, and whether they were made alike."""

    def __init__(self, stages: Sequence[WrittenStage]) -> None:
        """Start with the stages as they were first read."""
        self._stages = tuple(stages)
        self._seen: list[weakref.WeakSet[Any]] = [weakref.WeakSet() for _ in stages]
        self._counts = [0] * len(self._stages)
        self._differ = [False] * len(self._stages)
        self._tokens: list[set[str]] = [set() for _ in stages]

    def note(self, objects: Sequence[Any], stages: Sequence[WrittenStage]) -> None:
        """Take the objects of one tree with what was read of each, in the order of the stages."""
        for index, (item, stage) in enumerate(zip(objects, stages, strict=True)):
            if item in self._seen[index]:
                continue
            self._seen[index].add(item)
            self._counts[index] += 1
            self._differ[index] |= _made_of(stage) != _made_of(self._stages[index])
            self._tokens[index].update(stage.function.python_tokens if stage.function is not None else ())

    def describe(self) -> tuple[WrittenStage, ...]:
        """Return the stages with what is known of all their objects."""
        return tuple(self._describe(index, stage) for index, stage in enumerate(self._stages))

    def _describe(self, index: int, stage: WrittenStage) -> WrittenStage:
        function = stage.function
        if function is not None:  # each object's Python functions have tokens of their own
            function = replace(function, python_tokens=tuple(sorted(self._tokens[index])))
        return replace(stage, function=function, objects=max(1, self._counts[index]), objects_differ=self._differ[index])


def _made_of(stage: WrittenStage) -> tuple[object, ...]:
    """Return what two objects made alike have in common, as far as it is read: arrays are known by their size alone."""
    return sorted(stage.arguments.items()), stage.cardinality, stage.constant_bytes, stage.element_bytes
