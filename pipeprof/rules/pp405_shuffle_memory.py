"""PP405: a shuffle buffer that holds large elements where small ones could be shuffled.

The one idea: a buffer of N elements costs N times the bytes of one, and is filled before the first element comes out; the same
N shuffled before they are decoded cost next to nothing. It is about memory: what filling costs the loop is PP105's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import elements_per_step, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.cache_point import measure_element
from pipeprof.rules.cost import busy_of
from pipeprof.rules.memory_room import TENSOR_OVERHEAD_BYTES, held_bytes, held_elements, memory_limit, tensors_of
from pipeprof.rules.needs import Need

_ONE_BY_ONE = frozenset({"map", "prefetch", "with_options", "apply"})  # a shuffle before them shuffles the same elements
_MEDIUM_SHARE, _HIGH_SHARE = 0.2, 0.5  # of the memory
_SMALLER = 0.25  # an earlier place is named if the buffer takes no more than this there
_SHORTEST_FILL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffleMemoryParameters(Parameters):
    """Thresholds of PP405."""

    min_of_memory: float = parameter(0.02, unit="share of the memory", low=0, high=1, doc="a smaller buffer is left alone")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Buffer:
    """What a shuffle holds."""

    elements: float
    bytes: float
    fill_s: float


class ShuffleMemory(Rule[ShuffleMemoryParameters]):
    """Shuffle memory.

    What it looks for:
        A shuffle whose full buffer takes a good part of the memory, and whether
        the same elements are much smaller at an earlier stage.

    Why it costs time:
        The buffer is filled before the first element comes out, in each epoch:
        with decoded images that is hundreds of decodes. The memory is missing
        for a cache, or the run is killed: 1,500 images of 224 x 224 took 945 MB
        as floats, 232 MB as bytes, and nothing as numbers of files.

    How it is measured:
        Elements that the buffer held (else its size, or the data set's if that
        is smaller) times the bytes of one, and 185 bytes for each tensor. The
        time to fill it is what the stages before it take for so many elements.

    When it is wrong:
        Where much memory is there to be used. Where the stages between are
        cheap and the order of what they draw matters.

    What to do:
        Shuffle before decoding: file names or undecoded records, and cast after
        the shuffle. A smaller buffer mixes less: that is the last resort.

    What that can change:
        The order, as between any two epochs. Random draws fall on other
        elements.

    References:
        TensorFlow guide "tf.data: Build TensorFlow input pipelines", on
        shuffling; tensorflow/tensorflow issues 32376, 42586 and 60599.
    """

    code = "PP405"
    name = "shuffle-memory"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.PIPELINES, Need.MEMORY)
    follows_from = ("PP606",)
    parameters = ShuffleMemoryParameters

    def check(self, analysis: Analysis, params: ShuffleMemoryParameters) -> Iterator[Finding]:
        """Yield a finding for each shuffle with a large buffer."""
        limit = memory_limit(analysis)
        if not limit:
            return
        for pipeline in analysis.pipelines:
            for shuffle in pipeline.stages:
                buffer = _measure(pipeline, shuffle)
                if buffer is None or buffer.bytes < params.min_of_memory * limit:
                    continue
                earlier = _find_earlier(pipeline, shuffle, buffer)
                if earlier is not None or buffer.bytes >= _MEDIUM_SHARE * limit:
                    yield self._report_shuffle(pipeline, shuffle, buffer, earlier, limit, params)

    def _report_shuffle(
        self,
        pipeline: PipelineView,
        shuffle: StageView,
        buffer: _Buffer,
        earlier: tuple[StageView, float] | None,
        limit: float,
        params: ShuffleMemoryParameters,
    ) -> Finding:
        share = buffer.bytes / limit
        severity = Severity.HIGH if share >= _HIGH_SHARE else Severity.MEDIUM if share >= _MEDIUM_SHARE else Severity.LOW
        fill = f", and takes about {units.duration(buffer.fill_s)} to fill" if buffer.fill_s >= _SHORTEST_FILL_S else ""
        return self.report(
            f"{name_stage(shuffle)} holds {buffer.elements:,.0f} elements of "
            f"{units.byte_count(buffer.bytes / buffer.elements)}: {units.byte_count(buffer.bytes)} of the "
            f"{units.byte_count(limit)} of memory{fill}. {_describe_cure(earlier)}",
            severity=severity,
            confidence=Confidence.HIGH if held_elements(shuffle) else Confidence.MEDIUM,
            pipeline=pipeline,
            view=shuffle,
            evidence=(
                Evidence(name="buffer_bytes", value=buffer.bytes, unit="bytes", threshold=params.min_of_memory * limit),
                Evidence(name="buffer_elements", value=buffer.elements, unit="elements"),
                Evidence(name="fill_s", value=buffer.fill_s, unit="s"),
                *(() if earlier is None else (Evidence(name="shuffle_after", value=earlier[0].id),)),
            ),
        )


def _measure(pipeline: PipelineView, shuffle: StageView) -> _Buffer | None:
    """Return what a shuffle's full buffer holds; None for another stage, and where sizes are not known."""
    written = shuffle.written
    size = written.arguments.get("buffer_size") if written is not None and written.op == "shuffle" else None
    if written is None or not isinstance(size, int) or size <= 0:
        return None
    elements = held_elements(shuffle) or float(min(size, written.cardinality) if written.cardinality > 0 else size)
    total = held_bytes(shuffle) if held_elements(shuffle) else _bytes_at(pipeline, shuffle, elements)
    if total is None:
        return None
    visits = elements_per_step(pipeline, shuffle) or 1.0
    before = [view for view in upstream(pipeline, shuffle.id) if view.id != shuffle.id]
    work_s = sum(busy_of(view) / max(1.0, view.slots) for view in before)
    return _Buffer(elements=elements, bytes=total, fill_s=work_s / visits * elements)


def _bytes_at(pipeline: PipelineView, view: StageView, elements: float) -> float | None:
    """Return what so many elements take where the stage gives them."""
    size = measure_element(pipeline, view)
    return None if size is None else elements * (size + tensors_of(view) * TENSOR_OVERHEAD_BYTES)


def _find_earlier(pipeline: PipelineView, shuffle: StageView, buffer: _Buffer) -> tuple[StageView, float] | None:
    """Return the stage after which the same shuffle takes the least, with its bytes there, if that is much less."""
    known = {view.id: view for view in pipeline.stages}
    found: list[tuple[StageView, float]] = []
    view = known.get(shuffle.stage.inputs[0]) if shuffle.stage.inputs else None
    while view is not None and view.stage.op in _ONE_BY_ONE and len(view.stage.inputs) == 1:
        view = known.get(view.stage.inputs[0])
        size = None if view is None else _bytes_at(pipeline, view, buffer.elements)
        if view is not None and size is not None:
            found.append((view, size))
    best = min(found, key=lambda item: item[1], default=None)
    return best if best is not None and best[1] <= _SMALLER * buffer.bytes else None


def _describe_cure(earlier: tuple[StageView, float] | None) -> str:
    if earlier is None:
        return "Shuffle what is smaller, cast after the shuffle, or make the buffer smaller; a smaller one mixes less."
    view, size = earlier
    return f"Shuffle right after {name_stage(view)}: there the same buffer takes {units.byte_count(size)}."
