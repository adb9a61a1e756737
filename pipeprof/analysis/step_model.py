"""A model of one step: the steady part and the epochs' boundaries, each with its own law, and what it does not explain.

Steady: a step takes as long as the slowest of the consumer's own time, each segment of the pipeline, and the CPU seconds of a
step spread over the cores that are left (operational analysis; Plumber, MLSys 2022, section 4.3); a small buffer loses to
bursts on top. While a shuffle's rest is drained at an epoch's end nothing above it works. Boundary: a new iterator, then the
first step and the shuffle's buffer come through an empty pipeline, with nothing to overlap. The pipeline's load on the cores
stretches the consumer's time. The measured step stands beside the model's, and what the model leaves unexplained stays, in
part or in whole: that is not known, and so it is doubt. It must not know what a change is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeprof.analysis import doubt
from pipeprof.analysis.consumer_share import Consumer, read_consumer
from pipeprof.analysis.cores import free_cores, pool_threads
from pipeprof.analysis.simulation import pace
from pipeprof.analysis.stage_graph import upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView

if TYPE_CHECKING:
    from pipeprof.analysis.doubt import Readings

_CONSUMER_SEGMENT = 0
_SIMULATED_STEPS = 60
_ROUNDS = 8  # of the fixed point between the step and the pipeline's load on the cores
_UNBOUNDED = 16  # elements: where AUTOTUNE sizes the buffer it grows until it is not found empty
_TINY_S = 1e-9
_HANDING = (0.0, 0.3)  # of the CPU seconds that no stage is busy for; the rest is threads that spin, as cores allow
_HANDED_ON_S = 30e-6  # of CPU for one element from stage to stage, at most: what is beyond that is spinning
_LEFT_OUT, _LEFT_OUT_OF_GAIN = 0.03, 0.12  # standard deviations of the logarithm, in all and of the logarithm of a gain
_MOST_STRETCH = 3.0
_MOST_SPREAD = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What a change does to the stages; everything that is not named stays."""

    busy_s: Mapping[str, Readings | float] = field(default_factory=dict)  # busy seconds of a step, by stage
    slots: Mapping[str, Readings | float] = field(default_factory=dict)  # stages that get a pool of their own
    added_s: Mapping[int, Readings | float] = field(default_factory=dict)  # busy seconds of a step, by segment
    cpu_kept: Readings | float = 1.0  # share of the stages' CPU seconds that is still spent
    handing_kept: float = 1.0  # the same for CPU seconds that no stage is busy for: waking threads, handing elements on
    serial_s: Readings | float = 0.0  # of a step, what can only be done one at a time (the interpreter's lock)
    rest_ratio: float | None = None  # of the unexplained time, what stays at least; as the explained does where None
    rest_kept: float = 1.0  # what stays at most
    start_kept: float = 1.0  # the same for the unexplained part of an epoch's start
    no_fill: frozenset[str] = frozenset()  # stages that no longer work to fill a shuffle's buffer
    threads: float | None = None  # of the pool that runs the functions of all maps, where that changes
    buffer: int | None = None  # elements between the pipeline and the consumer, where that changes
    iterators_s: Readings | float = 0.0  # of a step: iterators that are no longer made; all else stays as it was
    consumer_kept: Readings | float = 1.0  # share of the consumer's own time that stays
    fill_s: Readings | float = 0.0  # of a step of the first epoch: storing what later epochs take from there
    unmeasured: str = ""  # what the readings leave open since it was not measured, as a sentence without a full stop


NO_CHANGE = Effect()


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """The step under one effect, in readings."""

    steady_s: Readings
    boundary_s: Readings  # of a step: the epochs' boundaries spread over their steps
    slack_s: Readings  # of a step, in which the pipeline has made its element and the consumer has not asked for it


@dataclass(frozen=True, kw_only=True, slots=True)
class StepModel:
    """All that is known of one pipeline's step, in readings."""

    view: PipelineView
    consumer: Consumer
    cores: Readings
    threads: int
    fill_share: float  # of an epoch's elements, those that a shuffle takes in before the first step
    above_fill: frozenset[str]  # stages whose work fills it
    buffer: int  # elements between the pipeline and the consumer

    @classmethod
    def of(cls, analysis: Analysis, view: PipelineView) -> StepModel | None:
        """Return the model of a pipeline, None where no step was measured."""
        consumer = read_consumer(analysis, view)
        if consumer is None:
            return None
        share, above = shuffle_fill(view)
        return cls(
            view=view,
            consumer=consumer,
            cores=free_cores(analysis, view),
            threads=pool_threads(analysis, view),
            fill_share=share,
            above_fill=above,
            buffer=_buffer(view),
        )

    def predict(self, effect: Effect) -> Readings:
        """Return the speed-up that an effect gives, beside whatever else is on the cores then.

        What is measured beyond the model stays as it is, or shrinks as the model does, or anything between; a model above what
        was measured is too large throughout.
        """
        import numpy as np

        measured, more = self.consumer, self.consumer.others.more
        was, now, then = self._model(NO_CHANGE, 0.0 * more), self._model(NO_CHANGE, more), self._model(effect, more)
        kept, others = doubt.between("rest stays", 0.0, 1.0), 1 + more * measured.others.rest_share
        steady = (was.steady_s, now.steady_s, then.steady_s)
        before, after = _carry(measured.steady_s, steady, others, kept, effect, then.slack_s)
        floor = np.minimum(measured.idle_gap_s + np.minimum(more, 0.0) * measured.others.gap_s, before) * effect.consumer_kept
        first = measured.first_s + more * (measured.first_s - measured.first_least_s)
        scale = first / max(measured.first_s, _TINY_S)
        then_boundary = then.boundary_s / np.maximum(now.boundary_s, _TINY_S) * was.boundary_s
        start = replace(effect, rest_kept=effect.start_kept)
        first_before, first_after = _carry(
            measured.first_s, (was.boundary_s, was.boundary_s, then_boundary), 1 + 0 * more, kept, start
        )
        creation = measured.creation_s + more * (measured.creation_s - measured.creation_least_s)
        noise = doubt.around("noise of the measurement", measured.noise)
        if np.any(effect.iterators_s):
            after, first_after = before, first_before
        whole = before + creation + first_before * scale
        changed = (np.maximum(after, floor) + creation + first_after * scale - effect.iterators_s).clip(min=_TINY_S)
        ratio = whole / changed
        most = whole / np.maximum(floor, _TINY_S)  # nothing else makes the consumer's own work shorter
        return np.asarray(np.minimum(ratio * _left_out(ratio), np.maximum(most, ratio)) * noise, dtype=np.float64)

    def _model(self, effect: Effect, more: Readings) -> Loop:
        import numpy as np

        segments, counted = self._segments(effect, frozenset(), more), self.view.busy_s_per_step or 0.0
        whole = [*segments, *self._shared_pool(effect, frozenset(), more)]
        pipeline = self.consumer.pipeline_cpu_s
        handed_s = _HANDED_ON_S * sum(stage.visit_ratio or 0.0 for stage in self.view.stages)
        spun = doubt.between("CPU of waiting threads that counts", *_HANDING)
        beyond = (pipeline - counted).clip(min=0.0, max=handed_s) * spun
        cpu_s = np.minimum(pipeline, counted) * effect.cpu_kept + beyond * effect.handing_kept
        filling = np.maximum(self._slowest(whole, above=True), cpu_s * self._fill_cpu_share(effect) / self.cores)
        first_pass = np.sum([seconds for seconds, _, _ in segments], axis=0) if segments else 0.0 * cpu_s
        steps = self.consumer.epoch_steps
        boundary = self.fill_share * filling + first_pass / max(steps, 1.0)
        steady = self._steady(whole, cpu_s, effect, more)
        if self.fill_share > 0:
            above = self.above_fill - effect.no_fill
            rest = [*self._segments(effect, above, more), *self._shared_pool(effect, above, more)]
            draining = self._steady(rest, cpu_s * (1 - self._fill_cpu_share(effect)), effect, more)
            steady = (1 - self.fill_share) * steady + self.fill_share * np.minimum(draining, steady)
        made = self._slowest(whole)
        return Loop(
            steady_s=steady,
            boundary_s=boundary if self.consumer.has_boundaries else 0.0 * boundary,
            slack_s=(steady - made).clip(min=0.0),
        )

    def _fill_cpu_share(self, effect: Effect) -> float:
        """Return the share of the pipeline's CPU seconds that still goes into filling, where stages were moved behind it."""
        if not effect.no_fill:
            return 1.0
        busy = {key: self.view.stage(key).busy_s_per_step or 0.0 for key in self.above_fill}
        whole = sum(busy.values())
        return sum(busy[key] for key in self.above_fill - effect.no_fill) / whole if whole > 0 else 1.0

    def _segments(self, effect: Effect, without: frozenset[str], more: Readings) -> list[tuple[Readings, bool, bool]]:
        """Return each segment's seconds for a step, whether the consumer's thread does it, and whether it fills the shuffle."""
        found, loaded = [], 1 + more * self.consumer.others.busy_share
        for segment in self.view.segments:
            left = segment.busy_s_per_step + self._zero(effect.added_s.get(segment.index, 0.0))
            slots = self._slots(segment.slots, segment.stage_ids)
            fills = any(stage_id in self.above_fill - effect.no_fill for stage_id in segment.stage_ids)
            for stage_id in segment.stage_ids:
                busy = self.view.stage(stage_id).busy_s_per_step or 0.0
                if stage_id in without:
                    left = left - busy
                elif stage_id in effect.slots:
                    left = left - busy
                    own = self._zero(effect.busy_s.get(stage_id, busy)) / effect.slots[stage_id]
                    found.append((own * loaded, False, stage_id in self.above_fill - effect.no_fill))
                elif stage_id in effect.busy_s:
                    left = left - busy + effect.busy_s[stage_id]
            left = left.clip(min=0.0) * loaded
            found.append((left / slots, segment.index == _CONSUMER_SEGMENT, fills))
        return found

    def _shared_pool(self, effect: Effect, without: frozenset[str], more: Readings) -> list[tuple[Readings, bool, bool]]:
        """Return what the pool takes for a step, as a segment: one pool runs the functions of all maps, also those that wait.

        Two maps of 2.4 ms of sleep and 1.4 ms of work take 1.9 ms an element on two threads, whoever calls them.
        """
        maps = [item.id for item in self.view.stages if item.stage.op == "map" and item.id not in without]
        filling = self.above_fill - effect.no_fill
        found = []
        for stage_ids, fills in ((maps, False), ([key for key in maps if key in filling], True)):
            busy = [self._zero(effect.busy_s.get(key, self.view.stage(key).busy_s_per_step or 0.0)) for key in stage_ids]
            if len(busy) > 1:  # one alone has no more slots than the pool has threads
                loaded = 1 + more * self.consumer.others.busy_share
                found.append((sum(busy) * loaded / (effect.threads or self.threads), False, fills))
        return found

    def _slots(self, slots: float, stage_ids: tuple[str, ...]) -> float:
        runs_functions = any(self.view.stage(stage_id).stage.op == "map" for stage_id in stage_ids)
        return max(1.0, min(slots, float(self.threads)) if runs_functions else slots)

    @staticmethod
    def _zero(value: Readings | float) -> Readings:
        import numpy as np

        return np.zeros(doubt.READINGS) + value

    def _slowest(self, segments: list[tuple[Readings, bool, bool]], *, above: bool = False) -> Readings:
        slowest = self._zero(0.0)
        for seconds, is_consumers, fills in segments:
            if fills if above else not is_consumers:
                slowest = slowest.clip(min=seconds)
        return slowest

    def _steady(self, segments: list[tuple[Readings, bool, bool]], cpu_s: Readings, effect: Effect, more: Readings) -> Readings:
        """Return a step between boundaries: a fixed point, since the load on the cores hangs on the step and the reverse."""
        import numpy as np

        consumer, own = self.consumer, self._zero(0.0)
        for seconds, is_consumers, _ in segments:
            own = own + (seconds if is_consumers else 0.0)
        made = np.maximum(self._slowest(segments), self._zero(effect.serial_s))
        own = own + consumer.hand_over_s
        roof = (consumer.cpu_s * effect.consumer_kept + cpu_s) / self.cores
        idle, stretched = consumer.idle_gap_s + more * consumer.others.gap_s, consumer.gap_s - consumer.idle_gap_s
        idle, stretched = np.maximum(idle, 0.0) * effect.consumer_kept, stretched * effect.consumer_kept
        gap, now = idle + stretched, consumer.load_now
        step = np.maximum(np.maximum(gap + own, made), roof)
        for _ in range(_ROUNDS):
            load = np.minimum(cpu_s / np.maximum(step, _TINY_S), self.cores)
            stretch = np.where(now > 0, np.clip(load / np.maximum(now, _TINY_S), 0.0, _MOST_STRETCH), 1.0)
            gap = idle + stretched * stretch
            step = 0.5 * step + 0.5 * np.maximum(np.maximum(gap + own, made), roof)
        return np.maximum(self._with_bursts(gap + own, made, effect), roof)

    def _with_bursts(self, gap: Readings, made: Readings, effect: Effect) -> Readings:
        """Return the step of a consumer and a producer with spread times and a buffer between them.

        More calls at once shorten the mean, but not the straggler that the others wait behind: how much of the spread goes with
        the mean is not known.
        """
        import numpy as np

        production_s = self.view.production_s_per_step or 0.0
        relative = min(1.0, self.consumer.spread_s / production_s) if production_s > 0 else 0.0
        if effect.slots:
            kept = doubt.between(
                "spread that more calls leave", 1.0, (production_s / np.maximum(made, _TINY_S)).clip(1.0, _MOST_SPREAD)
            )
            spread = np.minimum(doubt.between("spread of the production", 0.0, relative) * kept, 2.0)
        else:
            spread = doubt.between("spread of the production", 0.0, relative)
        gaps = doubt.steps("gaps", gap, self.consumer.gap_spread, _SIMULATED_STEPS)
        return pace(gaps, doubt.steps("production", made, spread, _SIMULATED_STEPS), effect.buffer or self.buffer)


def _left_out(ratio: Readings) -> Readings:
    """Return what a model of averages can be wrong by: the more it says that a change gives, the more.

    As large as the errors were of 17 changes that were predicted and then made (docs/prediction.md, seed 44021).
    """
    import numpy as np

    deviation = _LEFT_OUT + _LEFT_OUT_OF_GAIN * np.abs(np.log(np.maximum(ratio, _TINY_S)))
    return np.asarray(np.exp(np.log(doubt.around("what the model leaves out", 1.0)) * deviation), dtype=np.float64)


def _carry(
    measured: float,
    model: tuple[Readings, Readings, Readings],
    others: Readings,
    kept: Readings,
    effect: Effect,
    slack_s: Readings | float = 0.0,
) -> tuple[Readings, Readings]:
    """Bring the measured time to other loads and to the change; ``model`` is as it was, under the new load, and changed.

    What the model does not explain may be the pipeline's own: then it hides in the slack that the pipeline has afterwards.
    """
    import numpy as np

    was, now, then = model
    rest, scale = (
        np.maximum(measured - was, 0.0) * np.maximum(others, 0.0),
        np.minimum(measured / np.maximum(was, _TINY_S), 1.0),
    )
    ratio = np.minimum(then / np.maximum(now, _TINY_S), 1.0) if effect.rest_ratio is None else effect.rest_ratio
    least = (ratio - slack_s / np.maximum(rest, _TINY_S)).clip(min=0.0)
    stays = least + (np.maximum(effect.rest_kept, ratio) - least) * kept
    return now * scale + rest, then * scale + rest * stays


def shuffle_fill(view: PipelineView) -> tuple[float, frozenset[str]]:
    """Return the share of an epoch that the last shuffle takes in before it gives the first element, and all above it."""
    loop = view.record.loop
    if loop.epoch_count <= 1 or not loop.elements:
        return 0.0, frozenset()
    shuffles = [item for item in view.stages if item.stage.op == "shuffle" and item.visit_ratio]
    for stage in reversed(shuffles):
        size = stage.written.arguments.get("buffer_size") if stage.written is not None else None
        elements = (stage.visit_ratio or 0.0) * loop.elements / loop.epoch_count
        if isinstance(size, int) and elements > 0:
            above = frozenset(item.id for item in upstream(view, stage.id) if item.id != stage.id)
            return min(1.0, (size if size > 0 else elements) / elements), above
    return 0.0, frozenset()


def _buffer(view: PipelineView) -> int:
    """Return how many steps' elements can wait for the consumer."""
    last = next((node for item in reversed(view.stages) for node in item.executed[:1]), None)
    if last is None:
        return 1
    size = last.buffer_size if last.node.startswith("Prefetch") else last.parallelism
    return _UNBOUNDED if size is None or size < 1 else max(1, min(_UNBOUNDED, round(size)))


def stage_busy_s(stage: StageView) -> float:
    """Return the stage's busy seconds per step, 0 where none were counted."""
    return stage.busy_s_per_step or 0.0
