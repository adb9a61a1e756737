"""Applies confirmed changes to a program while it builds its datasets, its source untouched.

As a stage is made, before anything is derived from it, its TensorFlow variant is replaced by that of the changed stage, made of
the same function, captured tensors and input. So variables, tables, caches and seeds stay the program's own, nothing is
traced twice, and loops in a ``tf.function``, Keras and ``tf.distribute`` are all reached. A stage is changed only where
everything above it is as in the run that proved the change, and where no state can be seen at another time than before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any  # TensorFlow's datasets carry no types

from pipeprof.advise.applied_refusals import BY_SOURCE, is_seed_set, refuse_live_state, refuse_other_size, refuse_seeded
from pipeprof.advise.applied_stages import MAKERS, READY
from pipeprof.capture.call_sites import Origin, resolve
from pipeprof.capture.datasets import sources_first
from pipeprof.errors import TrialError
from pipeprof.model.plan import ApplyPlan, PlannedChange, PlannedStage, Range, site_range
from pipeprof.model.profile import RunInfo

_NOT_HERE = {
    "repeat_once": "your loop would never end; the report holds a sketch for the source",
    "fuse_decode_crop": f"a file that is no JPEG would end the program; {BY_SOURCE}",
}
KEEPS_PACE = frozenset({"thread_pool", "limit_memory", "nondeterministic", READY})  # nothing is made earlier for them
_MOVES_DRAWS = frozenset({"parallel_calls", "synchronous", "parallel_inside", "interleave", "cache"})  # of the stage itself
_MOVES_DRAWS_BEFORE = frozenset({"skip_earlier", "shuffle_earlier", "filter_earlier"})  # of the stage before it
_OF_ONE_SIZE = frozenset({"cache", "split_map", "move_cache"})


def why_not_here(kind: str) -> str:
    """Return why a kind of change is not made in a running program, "" where it is."""
    return "" if kind in MAKERS else _NOT_HERE.get(kind) or f"it cannot be applied to a running program; {BY_SOURCE}"


class Applier:
    """Changes the stages of a plan as they are made."""

    def __init__(self, plan: ApplyPlan, origin_of: Callable[[Any], Origin | None]) -> None:
        """Prepare.

        Args:
            plan: what to change.
            origin_of: returns where a dataset was made.
        """
        self._plan = plan
        order = {kind: place for place, kind in enumerate(MAKERS)}
        self._changes = sorted(plan.changes, key=lambda item: order.get(item.change.kind, -1))
        self._origin_of = origin_of
        self._refused: dict[str, str] = {}  # id of a change -> why a stage of it was left as it is
        self._applied: dict[str, int] = {}
        self._here = threading.local()  # whether this thread makes a changed stage, which may be made of stages itself
        self._wanted = {tree[-1].class_name for change in plan.changes for tree in change.trees}

    def made(self, dataset: Any) -> None:
        """Change a stage that was just made, where the plan says so."""
        name = type(dataset).__name__
        if getattr(self._here, "is_applying", False) or name not in self._wanted:
            return
        here = self._site(dataset)
        for change in self._changes:
            if here is None or not any((tree[-1].site, tree[-1].class_name) == (here, name) for tree in change.trees):
                continue
            self._here.is_applying = True
            try:
                self._apply(dataset, change)
            except TrialError as error:
                self._refused[change.id] = str(error)
            except Exception as error:  # noqa: BLE001 - the user's program goes on with its own stage
                self._refused[change.id] = f"{type(error).__name__}: {error}"
            else:
                self._applied[change.id] = self._applied.get(change.id, 0) + 1
            finally:
                self._here.is_applying = False

    @property
    def applied(self) -> tuple[str, ...]:
        """What was changed, a phrase each."""
        return tuple(item.phrase for item in self._plan.changes if item.id in self._applied)

    @property
    def problems(self) -> tuple[str, ...]:
        """What was not changed everywhere, a sentence each."""
        return self._plan.left + tuple(
            f"not applied{' everywhere' if item.id in self._applied else ''}: {item.phrase}: {reason}"
            for item in self._plan.changes
            if (reason := self._refused.get(item.id) or ("" if item.id in self._applied else "its call was not reached"))
        )

    def told(self, run: RunInfo) -> RunInfo:
        """Return a run's facts with what was applied to it, and what was not."""
        return replace(run, applied_from=self._plan.run_id, applied=self.applied, problems=(*run.problems, *self.problems))

    def _apply(self, dataset: Any, change: PlannedChange) -> None:
        from tensorflow.python.eager import context

        kind = change.change.kind
        make = MAKERS.get(kind)
        if make is None:
            raise TrialError(why_not_here(kind))
        if not context.executing_eagerly() or not hasattr(dataset._variant_tensor, "numpy"):
            raise TrialError("the stage is made inside a graph")
        above = list(sources_first(dataset))
        tree = next((tree for tree in change.trees if self._is_same(above, tree)), None)
        if tree is None:
            raise TrialError(f"what stands above it is not what {self._plan.run_id} had")
        _refuse_unsafe(dataset, above, change, tree[-1])
        make(dataset, change.change.params)

    def _is_same(self, above: Sequence[Any], tree: Sequence[PlannedStage]) -> bool:
        if len(above) != len(tree):
            return False
        positions = {id(dataset): index for index, dataset in enumerate(above)}
        return all(
            type(dataset).__name__ == stage.class_name
            and self._site(dataset) == stage.site
            and tuple(positions[id(parent)] for parent in dataset._inputs()) == stage.inputs
            for dataset, stage in zip(above, tree, strict=True)
        )

    def _site(self, dataset: Any) -> Range | None:
        origin = self._origin_of(dataset)
        return None if origin is None else site_range(resolve(origin)[0])


def _refuse_unsafe(dataset: Any, above: Sequence[Any], change: PlannedChange, stage: PlannedStage) -> None:
    """Refuse a change whose effect could be seen in more than speed, memory and, where that was asked for, order."""
    kind = change.change.kind
    if kind not in KEEPS_PACE:
        refuse_live_state(above)
    if kind in _MOVES_DRAWS:
        refuse_seeded(dataset)
    if kind in _MOVES_DRAWS_BEFORE:
        refuse_seeded(dataset._input_dataset)
    if change.draws_behind and is_seed_set():
        raise TrialError("a seed is set, and random draws behind it would fall on other elements")
    if kind in _OF_ONE_SIZE:
        refuse_other_size(dataset, stage)
