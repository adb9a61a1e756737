"""Takes the looks that rules ordered: reads stages of the user's pipelines again and compares what they give by hashes.

The one idea: each look is two readings that differ where, and only where, something random is at work as the graph says; where
elements could be equal by chance, a control without the suspected cause is read beside it. Everything runs on loads of the
isolated graph, within a small share of the budget. It must not judge.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any  # the datasets that were kept

from pipeprof.advise import graph as graphs
from pipeprof.advise.digest import equal_within_rounding
from pipeprof.advise.judging import order_looks_as_chosen
from pipeprof.advise.match import match_stages
from pipeprof.advise.neutralise import limit_shuffles
from pipeprof.advise.quiet import silence_tensorflow
from pipeprof.advise.reading import Bounds, Epoch, read_epochs, read_repeated
from pipeprof.advise.replayable import Replayable, first_line
from pipeprof.advise.sampling import add_first_record
from pipeprof.advise.steadiness import cut_at
from pipeprof.errors import TrialError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.looks import ElementLook, LookKind, LookOrder
from pipeprof.settings import Settings
from pipeprof.store import TrialEvent

LOOKS_SHARE = 0.1  # of the budget of all trials
_MOST_S = 6.0
_PASS_S = 1.0  # one that takes longer is read in part
_FEWEST_PLACES = 20  # elements of both passes, from which their order is compared by rank
_BATCHES = 2
_MOST_ROWS = 8192
_NO_TIME = "there was no time to look"


@dataclass(frozen=True, slots=True)
class _Cut:
    """A pipeline of the user's, and the nodes of its stages."""

    view: PipelineView
    replayable: Replayable
    names: Mapping[str, str]

    def at(self, stage_id: str, edit: Callable[[Any], None] = lambda _graph: None) -> Replayable:
        """Return the pipeline up to a stage, edited.

        Raises:
            TrialError: the stage's node is not known, or what it gives is not.
        """
        name = self.names.get(stage_id)
        if name is None:
            raise TrialError("the stage is not found in TensorFlow's graph")
        cut = cut_at(self.replayable, name)
        graph = cut.copy_graph()
        edit(graph)
        return cut.with_graph(graph)


def take_looks(
    analysis: Analysis,
    datasets: Mapping[str, Any],
    settings: Settings,
    stream: Callable[[TrialEvent], None],
    say: Callable[[str], None] = lambda _text: None,
) -> tuple[ElementLook, ...]:
    """Take the looks that the chosen rules order, and stream each as it is taken.

    Args:
        analysis: of the run that was observed.
        datasets: that were kept, by pipeline.
        settings: the rules, the budget, and whether Python functions may run again.
        stream: takes every event as it happens.
        say: takes a text for the user, where there is something to look at.
    """
    orders = order_looks_as_chosen(analysis, settings.choice)
    if not orders:
        return ()
    say("reading elements again")
    taken = []
    looks = Looks(analysis, datasets, budget_s=settings.budget_s, may_run_python=settings.replay_python)
    for look in looks.take(orders):
        stream(TrialEvent.now("look", look=look))
        taken.append(look)
    return tuple(taken)


class Looks:
    """Takes looks until the time is over."""

    def __init__(self, analysis: Analysis, datasets: Mapping[str, Any], *, budget_s: float, may_run_python: bool) -> None:
        """Prepare.

        Args:
            analysis: of the run that was observed.
            datasets: that were kept, by pipeline.
            budget_s: of all trials; looks take a small share of it.
            may_run_python: whether the pipelines' Python functions may run again.
        """
        self._views = {view.record.id: view for view in analysis.pipelines}
        self._limit_bytes = analysis.resources.memory_limit_bytes
        self._datasets = datasets
        self._may_run_python = may_run_python
        self._deadline_s = time.monotonic() + min(_MOST_S, LOOKS_SHARE * budget_s)
        self._cuts: dict[str, _Cut] = {}

    def take(self, orders: Iterable[LookOrder]) -> Iterator[ElementLook]:
        """Yield what each look showed, or why it showed nothing; each order is taken once."""
        for order in dict.fromkeys(orders):
            try:
                yield self._take(order)
            except TrialError as error:
                yield ElementLook(order=order, note=str(error))
            except Exception as error:  # noqa: BLE001 - a pipeline raises what its functions raise
                yield ElementLook(order=order, note=f"{type(error).__name__}: {first_line(error)}")

    def _take(self, order: LookOrder) -> ElementLook:
        cut = self._cut(order.pipeline_id)
        if self._left_s <= self._start_s(cut.view, order) * _READINGS[order.kind]:
            raise TrialError(_NO_TIME)
        take = {
            LookKind.PASSES: self._two_passes,
            LookKind.PARTS: self._two_parts,
            LookKind.REPEATS: self._one_pass,
            LookKind.BATCH: self._one_batch,
            LookKind.LOADS: self._two_loads,
        }[order.kind]
        with cut.replayable.preserve_random_state():
            return take(order, cut)

    @property
    def _left_s(self) -> float:
        return self._deadline_s - time.monotonic()

    @staticmethod
    def _start_s(view: PipelineView, order: LookOrder) -> float:
        """Return what the first element of a reading costs at most: a shuffle's buffer is filled for it."""
        if order.kind is LookKind.BATCH:  # it reads one element of the source
            return 0.0
        return view.record.loop.first_batch_s or 0.0

    def _cut(self, pipeline_id: str) -> _Cut:
        if pipeline_id not in self._cuts:
            view, dataset = self._views[pipeline_id], self._datasets.get(pipeline_id)
            if dataset is None:
                raise TrialError(view.record.kept_reason or "the pipeline's dataset was not kept")
            with silence_tensorflow():
                whole = Replayable.of(dataset, self._limit_bytes)
            if whole.has_python and not self._may_run_python:
                raise TrialError("the pipeline calls Python functions, and --no-replay-python forbids to run them again")
            names = match_stages(whole.graph, view.record.written, view.record.output)
            self._cuts[pipeline_id] = _Cut(view, whole, names)
        return self._cuts[pipeline_id]

    def _read(self, replayable: Replayable, elements: int, epochs: int = 1) -> list[Epoch]:
        """Read passes.

        Raises:
            TrialError: not all of them gave an element in time.
        """
        bounds = Bounds(elements=elements, deadline_s=self._deadline_s, epochs=epochs, keep_arrays=epochs > 1, epoch_s=_PASS_S)
        with silence_tensorflow():
            found = read_epochs(replayable, bounds)
        broken = next((epoch.error for epoch in found if epoch.error), "")
        if broken:
            raise TrialError(broken)
        if len(found) < epochs or not all(len(epoch) for epoch in found):
            raise TrialError(_NO_TIME)
        return found

    # --- the kinds -------------------------------------------------------------------------------------------------

    def _two_passes(self, order: LookOrder, cut: _Cut) -> ElementLook:
        replayable = cut.at(order.stage_id)
        passes = self._read(replayable, order.elements, 1 if order.one_iterator else 2)
        if order.one_iterator:
            (first,) = passes
            passes = _with_ends(read_repeated(_taken(replayable, len(first)), len(first), self._deadline_s), first)
            if not passes:
                raise TrialError(_NO_TIME)
        one, other = passes
        if _is_close(one, other):
            return replace(_seen(order, passes), same=1.0, same_order=True, order_kept=_order_kept(one, other))
        return replace(
            _seen(order, passes),
            same=sum((Counter(one.digests) & Counter(other.digests)).values()) / len(other),
            same_order=_is_same_order(one, other),
            order_kept=_order_kept(one, other),
        )

    def _two_parts(self, order: LookOrder, cut: _Cut) -> ElementLook:
        places = ((cut, order.stage_id), (self._cut(order.other_pipeline_id), order.other_stage_id))
        mine, other = (self._read(place.at(stage), order.elements, 2) for place, stage in places)
        unshuffled = [self._read(place.at(stage, _unshuffle), order.elements) for place, stage in places]
        return replace(
            _seen(order, [*mine, *other, *(epoch for part in unshuffled for epoch in part)]),
            same=_shared(mine, other),
            control=_shared(*unshuffled),
        )

    def _one_pass(self, order: LookOrder, cut: _Cut) -> ElementLook:
        repeat = cut.view.stage(order.other_stage_id)
        (single,) = self._read(cut.at(repeat.stage.inputs[0]), order.elements)
        (mixed,) = self._read(cut.at(order.stage_id), len(single))
        seen = _seen(order, [single])
        return replace(seen, whole=single.complete and len(mixed) == len(single), same=_twice(mixed), control=_twice(single))

    def _one_batch(self, order: LookOrder, cut: _Cut) -> ElementLook:
        batch = cut.names.get(order.other_stage_id)
        replayable = cut.at(order.stage_id, lambda graph: _repeat_one(graph, batch))
        bounds = Bounds(elements=_MOST_ROWS, deadline_s=self._deadline_s, epoch_s=_PASS_S)
        (read,) = read_epochs(replayable, bounds, unbatched=True)
        rows = read.digests if read.complete and not read.error else []
        size = len(rows) // _BATCHES
        if size <= 1:
            raise TrialError("no batch of two elements could be made")
        first, second = rows[:size], rows[size : 2 * size]
        alike = sum(row == part[0] for part in (first, second) for row in part) / (2 * size)
        again = sum(one == other for one, other in zip(first, second, strict=True)) / size
        return ElementLook(order=order, elements=len(rows), same=alike, control=again)

    def _two_loads(self, order: LookOrder, cut: _Cut) -> ElementLook:
        name = cut.names.get(order.stage_id)
        as_it_is = cut.at(order.stage_id)
        one_by_one = cut.at(order.stage_id, lambda graph: _one_call(graph, name))
        loads = [self._read(form, order.elements)[0] for form in (as_it_is, as_it_is, one_by_one, one_by_one)]
        return replace(_seen(order, loads), same=_equal_places(*loads[:2]), control=_equal_places(*loads[2:]))


_READINGS = {LookKind.PASSES: 2, LookKind.PARTS: 6, LookKind.REPEATS: 2, LookKind.BATCH: 1, LookKind.LOADS: 4}


# --- edits of the graph ------------------------------------------------------------------------------------------


def _unshuffle(graph: Any) -> None:
    limit_shuffles(graph, 1)


def _taken(replayable: Replayable, count: int) -> Replayable:
    """Return a pipeline that ends after so many elements."""
    import tensorflow as tf

    graph = replayable.copy_graph()
    graphs.append_stage(graph, "TakeDataset", [graphs.add_constant(graph, count, tf.int64)])
    return replayable.with_graph(graph)


def _repeat_one(graph: Any, batch: str | None) -> None:
    """Put the first element of the batch's input, again and again, in the place of its elements: two batches of it.

    Raises:
        TrialError: the batch is not found, or not in this graph.
    """
    node = graphs.nodes_by_name(graph).get(batch or "")
    inputs = [] if node is None else graphs.dataset_inputs(graph, node)
    size = None if node is None else graphs.constant_value(graphs.nodes_by_name(graph).get(graphs.node_name(node.input[1])))
    if node is None or len(inputs) != 1 or not isinstance(size, int):
        raise TrialError("the batch is not found in TensorFlow's graph")
    node.input[0] = add_first_record(graph, inputs[0], _BATCHES * size)


def _one_call(graph: Any, name: str | None) -> None:
    """Let a parallel map make one call at a time.

    Raises:
        TrialError: the node is none.
    """
    import tensorflow as tf

    node = graphs.nodes_by_name(graph).get(name or "")
    if node is None or not node.op.startswith("ParallelMapDataset"):
        raise TrialError("the map is not parallel in TensorFlow's graph")
    node.input[-1] = graphs.add_constant(graph, 1, tf.int64 if node.op.endswith("V2") else tf.int32)


# --- comparing ---------------------------------------------------------------------------------------------------


def _seen(order: LookOrder, passes: Sequence[Epoch]) -> ElementLook:
    return ElementLook(order=order, elements=min(len(epoch) for epoch in passes), whole=all(epoch.complete for epoch in passes))


def _with_ends(passes: list[Epoch], first: Epoch) -> list[Epoch]:
    """Say of passes that are as long as the first whether they are whole, as it is."""
    for epoch in passes:
        epoch.complete = first.complete
    return passes


def _is_same_order(one: Epoch, other: Epoch) -> bool:
    length = min(len(one), len(other))
    is_whole = one.complete and other.complete
    return one.digests[:length] == other.digests[:length] and (not is_whole or len(one) == len(other))


def _is_close(one: Epoch, other: Epoch) -> bool:
    """Say whether two passes gave elements in the same places that differ by no more than rounding."""
    if len(one) != len(other) or min(len(one.arrays), len(other.arrays)) < len(one):
        return False
    return all(map(equal_within_rounding, one.arrays, other.arrays))


def _order_kept(one: Epoch, other: Epoch) -> float | None:
    """Return Spearman's correlation of the places that elements have in two passes; None where too few are in both."""
    first, second = _places(one), _places(other)
    both = [item for item in first if item in second]
    if len(both) < _FEWEST_PLACES:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr([first[item] for item in both], [second[item] for item in both]).statistic)


def _places(epoch: Epoch) -> dict[bytes, int]:
    """Return the place of each element that comes once."""
    counts = Counter(epoch.digests)
    return {item: index for index, item in enumerate(epoch.digests) if counts[item] == 1}


def _shared(mine: Sequence[Epoch], other: Sequence[Epoch]) -> float:
    """Return the share of the smaller part's elements, over its passes, that the other part has in any of its own."""
    one, two = ({item for epoch in part for item in epoch.digests} for part in (mine, other))
    return len(one & two) / min(len(one), len(two))


def _twice(epoch: Epoch) -> float:
    return 1 - len(set(epoch.digests)) / len(epoch)


def _equal_places(one: Epoch, other: Epoch) -> float:
    length = min(len(one), len(other))
    return sum(left == right for left, right in zip(one.digests[:length], other.digests[:length], strict=True)) / length
