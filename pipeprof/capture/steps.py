"""Steps and waiting: what the consumer of one pipeline did, step by step, kept in bounded size.

A step is the wait for one element and the consumer's own time (the gap) until it asks for the next. The very first step
of a run (tracing, compiling, filling buffers) is kept apart and is in no bin. Times are seconds on the capture's clock.
Pure bookkeeping: reads no clock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeprof.capture.bins import BoundedSeries, LogHistogram
from pipeprof.model.profile import EpochRecord, Loop, LoopBin

MAX_EPOCHS = 64
_BATCH = 512  # ordinary steps are only noted, and worked off so many at a time: a tenth of the cost

_Step = tuple[float, float, float]  # start, wait, gap


@dataclass(slots=True)
class _Epoch:
    """One iterator's life so far."""

    start_s: float
    creation_s: float = 0.0
    teardown_s: float = 0.0  # of the iterator before it
    elements: int = 0
    first_wait_s: float = 0.0
    wait_s: float = 0.0
    wall_s: float = 0.0

    def freeze(self) -> EpochRecord:
        return EpochRecord(
            start_s=self.start_s,
            elements=self.elements,
            creation_s=self.creation_s,
            teardown_s=self.teardown_s,
            first_wait_s=self.first_wait_s,
            wait_s=self.wait_s,
            wall_s=self.wall_s,
        )


@dataclass(slots=True)
class _Sums:
    """Totals of one loop, the first step included."""

    elements: int = 0
    measured: int = 0
    wait_s: float = 0.0
    wall_s: float = 0.0
    creation_s: float = 0.0
    boundary_wait_s: float = 0.0
    in_bins: int = 0
    bins_wall_s: float = 0.0
    cpu_s: float = 0.0
    run_delay_s: float | None = None
    input_cpu_s: float | None = None
    start_s: float | None = None
    end_s: float = 0.0
    first_batch_s: float | None = None
    first_step_s: float | None = None
    threads: set[int] = field(default_factory=set)


class LoopRecorder:
    """Collects the steps of one pipeline; one thread writes, any thread may freeze."""

    def __init__(self) -> None:
        """Start empty."""
        self.method = "next"
        self.consumer_epochs = 0  # as Keras counts them
        self.empty_passes = 0  # iterators that came to their end without an element
        self._lock = threading.RLock()
        self._has_looked = False
        self._begin()

    def _begin(self) -> None:
        self._has_ended = False
        self._teardown_s = 0.0  # of the last iterator, until the next one is made
        self._sums = _Sums()
        self._bins: BoundedSeries[LoopBin] = BoundedSeries(_merge_bins)
        self._histograms = {name: LogHistogram() for name in ("step", "wait", "gap")}
        self._epochs: dict[int, _Epoch] = {}
        self._epoch_count = 0
        self._finished: deque[EpochRecord] = deque()
        self._merged: EpochRecord | None = None
        self._noted: deque[_Step] = deque()  # measured steps of one iterator and thread, none the first of its epoch
        self._noted_of: tuple[int, int] | None = None
        self._noted_wall_s = 0.0

    @property
    def bins_wall_s(self) -> float:
        """Wall time that went into bins so far."""
        return self._sums.bins_wall_s + self._noted_wall_s

    @property
    def wall_s(self) -> float:
        """Wall time so far, the first step included."""
        return self._sums.wall_s + self._noted_wall_s

    @property
    def wait_share(self) -> float:
        """Share of the time waited so far, without the first step's; steps that are only noted are left out."""
        first = self._sums.first_batch_s or 0.0
        wall = self._sums.wall_s - (self._sums.first_step_s or 0.0)
        return max(0.0, self._sums.wait_s + self._sums.creation_s - first) / wall if wall > 0 else 0.0

    @property
    def elements(self) -> int:
        """Elements so far."""
        return self._sums.elements + len(self._noted)

    def creation(self, iterator: int, start_s: float, end_s: float) -> None:
        """An iterator was made; the consumer waited for that."""
        self._work_off()
        if self.method == "next" and self._sums.elements == 1 and not self._has_ended and not self._has_looked:
            # A look at one element (Keras, for the shapes; a user) is no training: the loop begins now. Only calls of
            # next are counted as they come: of a step seen otherwise, more may be known later.
            self._has_looked = True
            with self._lock:
                self._begin()
        spent = end_s - start_s
        self._epochs[iterator] = _Epoch(start_s, creation_s=spent, teardown_s=self._teardown_s)
        self._teardown_s = 0.0
        sums = self._sums
        if sums.start_s is None:
            sums.start_s = start_s
        sums.creation_s += spent
        sums.wall_s += spent
        sums.end_s = max(sums.end_s, end_s)
        if sums.elements:
            sums.boundary_wait_s += spent
            self._add_bin(start_s, end_s, steps=0, wait_s=spent, gap_s=0.0)

    def step(
        self, iterator: int, start_s: float, wait_s: float | None, gap_s: float, thread: int = 0, elements: int = 1
    ) -> None:
        """An element was handed over after ``wait_s`` and used for ``gap_s``; a wait of None was not measured.

        Several ``elements`` that were only seen together are as many steps of equal length.
        """
        if wait_s is not None and elements == 1 and self._noted_of == (iterator, thread):
            self._noted.append((start_s, wait_s, gap_s))
            self._noted_wall_s += wait_s + gap_s
            if len(self._noted) >= _BATCH:
                self._work_off()
            return
        self._work_off()
        sums, known = self._sums, wait_s or 0.0
        is_first_of_run = sums.elements == 0
        epoch = self._epochs.get(iterator)
        is_first_of_epoch = epoch is not None and epoch.elements == 0
        sums.threads.add(thread)
        self._noted_of = (iterator, thread)
        self._count(epoch, start_s, known, gap_s, elements)
        sums.measured += 0 if wait_s is None else elements
        sums.end_s = max(sums.end_s, start_s + known + gap_s)
        if is_first_of_run:
            creation = epoch.creation_s if epoch else 0.0
            sums.first_batch_s = None if wait_s is None else creation + wait_s
            sums.first_step_s = creation + known + gap_s
            return
        if is_first_of_epoch:
            sums.boundary_wait_s += known
        for name, value in (("step", known + gap_s), ("wait", known), ("gap", gap_s)):
            self._histograms[name].add(max(value, 0.0) / elements, elements)
        self._add_bin(start_s, start_s + known + gap_s, steps=elements, wait_s=known, gap_s=gap_s)

    def pass_over(self, elements: int) -> None:
        """Elements were handed over whose steps were not seen."""
        self._work_off()
        self._sums.elements += elements

    def block(self, start_s: float, end_s: float, steps: int, wait_s: float, gaps_s: Sequence[float]) -> None:
        """Several steps were seen together: how long they took, what was waited in all, and the gaps that are known."""
        self._work_off()
        sums = self._sums
        wall = end_s - start_s
        sums.start_s = start_s if sums.start_s is None else sums.start_s
        sums.elements += steps
        sums.measured += min(steps, len(gaps_s))
        sums.wait_s += wait_s
        sums.wall_s += wall
        sums.end_s = max(sums.end_s, end_s)
        for gap in gaps_s:
            self._histograms["gap"].add(gap)
        if steps:
            self._histograms["step"].add(wall / steps, steps)
            self._histograms["wait"].add(max(wait_s, 0.0) / steps, steps)
        self._add_bin(start_s, end_s, steps=steps, wait_s=wait_s, gap_s=wall - wait_s)

    def end_of_data(self, iterator: int, wait_s: float, start_s: float) -> None:
        """The consumer waited and was told that there is no more."""
        self._work_off()
        self._has_ended = True
        epoch = self._epochs.get(iterator)
        self._sums.wait_s += wait_s
        self._sums.wall_s += wait_s
        self._sums.end_s = max(self._sums.end_s, start_s + wait_s)
        if epoch is not None:
            epoch.wait_s += wait_s
            epoch.wall_s += wait_s
            self.empty_passes += epoch.elements == 0
        if self._sums.elements:
            self._add_bin(start_s, start_s + wait_s, steps=0, wait_s=wait_s, gap_s=0.0)
        self.close(iterator)

    def teardown(self, start_s: float, seconds: float) -> None:
        """The loop stood still while its last iterator was taken down, and went on."""
        self._work_off()
        self._sums.wait_s += seconds
        self._sums.wall_s += seconds
        self._sums.boundary_wait_s += seconds
        self._add_bin(start_s, start_s + seconds, steps=0, wait_s=seconds, gap_s=0.0)
        fresh = next((epoch for epoch in self._epochs.values() if not epoch.elements), None)
        if fresh is None:
            self._teardown_s += seconds
        else:
            fresh.teardown_s += seconds

    def boundary(self, start_s: float, gap_s: float) -> None:
        """The consumer's own time between two epochs."""
        self._work_off()
        self._sums.wall_s += gap_s
        self._add_bin(start_s, start_s + gap_s, steps=0, wait_s=0.0, gap_s=gap_s)

    def close(self, iterator: int) -> None:
        """An iterator is finished."""
        self._work_off()
        self._noted_of = None
        epoch = self._epochs.pop(iterator, None)
        if epoch is None or epoch.elements == 0:
            return
        self._epoch_count += 1
        if len(self._finished) < MAX_EPOCHS - 1:
            self._finished.append(epoch.freeze())
        else:
            self._merged = _merge_epochs(self._merged, epoch.freeze())

    def add_cpu(self, seconds: float, run_delay_s: float | None, input_cpu_s: float | None = None) -> None:
        """The process used this much CPU, its input's threads this much of it, and all waited so long for a core, in bins."""
        self._sums.cpu_s += seconds
        if run_delay_s is not None:
            self._sums.run_delay_s = (self._sums.run_delay_s or 0.0) + run_delay_s
        if input_cpu_s is not None:
            self._sums.input_cpu_s = (self._sums.input_cpu_s or 0.0) + input_cpu_s

    def freeze(self) -> Loop:
        """Return the loop as it is now."""
        with self._lock:
            self._work_off()
            return self._freeze()

    def _freeze(self) -> Loop:
        sums = self._sums
        open_epochs = [epoch.freeze() for epoch in list(self._epochs.values()) if epoch.elements]
        epochs = [*self._finished, *([self._merged] if self._merged else []), *open_epochs]
        while len(epochs) > MAX_EPOCHS:
            epochs[-2:] = [_merge_epochs(epochs[-2], epochs[-1])]
        return Loop(
            method=self.method,
            elements=sums.elements,
            start_s=sums.start_s or 0.0,
            end_s=sums.end_s,
            wall_s=sums.wall_s,
            wait_s=sums.wait_s,
            creation_s=sums.creation_s,
            first_batch_s=sums.first_batch_s,
            first_step_s=sums.first_step_s,
            steps_in_bins=sums.in_bins,
            boundary_wait_s=sums.boundary_wait_s,
            steps_histogram=self._histograms["step"].freeze(),
            wait_histogram=self._histograms["wait"].freeze(),
            gap_histogram=self._histograms["gap"].freeze(),
            epochs=tuple(epochs),
            epoch_count=self._epoch_count + len(open_epochs),
            consumer_epochs=self.consumer_epochs,
            bins=self._bins.items(),
            seen_share=sums.measured / sums.elements if sums.elements else 1.0,
            cpu_s=sums.cpu_s or None,
            run_delay_s=sums.run_delay_s,
            input_cpu_s=sums.input_cpu_s,
            threads=max(1, len(sums.threads)),
            in_background=bool(sums.threads) and threading.main_thread().ident not in sums.threads and self.method == "next",
        )

    def _work_off(self) -> None:
        """Count the steps that were only noted."""
        with self._lock:
            steps = [self._noted.popleft() for _ in range(len(self._noted))]
            if not steps or self._noted_of is None:
                return
            self._noted_wall_s = 0.0
            starts, waits, gaps = zip(*steps, strict=True)
            lengths = [wait + gap for wait, gap in zip(waits, gaps, strict=True)]
            self._count(self._epochs.get(self._noted_of[0]), starts[0], sum(waits), sum(gaps), len(steps))
            sums = self._sums
            sums.end_s = max(sums.end_s, starts[-1] + lengths[-1])
            sums.measured += len(steps)
            sums.in_bins += len(steps)
            sums.bins_wall_s += sum(lengths)
            for name, values in (("step", lengths), ("wait", waits), ("gap", gaps)):
                self._histograms[name].add_all(values)
            self._bins.extend(steps, _fold_steps)

    def _count(self, epoch: _Epoch | None, start_s: float, wait_s: float, gap_s: float, elements: int) -> None:
        sums = self._sums
        if sums.start_s is None:
            sums.start_s = start_s
        sums.elements += elements
        sums.wait_s += wait_s
        sums.wall_s += wait_s + gap_s
        if epoch is not None:
            if epoch.elements == 0:
                epoch.first_wait_s = wait_s
            epoch.elements += elements
            epoch.wait_s += wait_s
            epoch.wall_s += wait_s + gap_s

    def _add_bin(self, start_s: float, end_s: float, *, steps: int, wait_s: float, gap_s: float) -> None:
        step = (wait_s + gap_s) / steps if steps else 0.0
        self._sums.in_bins += steps
        self._sums.bins_wall_s += wait_s + gap_s
        self._bins.add(
            LoopBin(
                start_s=start_s,
                end_s=end_s,
                steps=steps,
                wait_s=wait_s,
                gap_s=gap_s,
                wait_max_s=wait_s,
                step_max_s=step if steps else wait_s + gap_s,
                step_min_s=step,
            )
        )


def _fold_steps(steps: Sequence[_Step]) -> LoopBin:
    """Make one bin of consecutive steps."""
    _starts, waits, gaps = zip(*steps, strict=True)
    lengths = [wait + gap for wait, gap in zip(waits, gaps, strict=True)]
    return LoopBin(
        start_s=steps[0][0],
        end_s=max(start + length for (start, _, _), length in zip(steps, lengths, strict=True)),
        steps=len(steps),
        wait_s=sum(waits),
        gap_s=sum(gaps),
        wait_max_s=max(waits),
        step_max_s=max(lengths),
        step_min_s=min(lengths),
    )


def _merge_bins(first: LoopBin, second: LoopBin) -> LoopBin:
    shortest = [item.step_min_s for item in (first, second) if item.steps]
    return LoopBin(
        start_s=first.start_s,
        end_s=max(first.end_s, second.end_s),
        steps=first.steps + second.steps,
        wait_s=first.wait_s + second.wait_s,
        gap_s=first.gap_s + second.gap_s,
        wait_max_s=max(first.wait_max_s, second.wait_max_s),
        step_max_s=max(first.step_max_s, second.step_max_s),
        step_min_s=min(shortest, default=0.0),
    )


def _merge_epochs(first: EpochRecord | None, second: EpochRecord) -> EpochRecord:
    if first is None:
        return second
    return replace(
        first,
        elements=first.elements + second.elements,
        creation_s=first.creation_s + second.creation_s,
        teardown_s=first.teardown_s + second.teardown_s,
        first_wait_s=max(first.first_wait_s, second.first_wait_s),
        wait_s=first.wait_s + second.wait_s,
        wall_s=first.wall_s + second.wall_s,
    )
