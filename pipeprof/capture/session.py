"""One capture session: what is observed between ``start`` and ``stop``, and the Profile made of it.

A single background thread samples TensorFlow's counters, the host and the GPU, works off the user threads' events and
checkpoints the Profile. It holds iterators only weakly. Stopping takes every hook out again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pipeprof.capture.call_sites import Origin
from pipeprof.capture.consumption import Consumption, Created, Gone, KerasStep
from pipeprof.capture.datasets import DatasetRegistry
from pipeprof.capture.end_mark import EndMarks
from pipeprof.capture.file_hooks import file_hooks
from pipeprof.capture.file_writes import FileWrites
from pipeprof.capture.gil import GilProbe
from pipeprof.capture.gpu import GpuSampler
from pipeprof.capture.graph_loops import GraphLoops
from pipeprof.capture.host import HostSampler
from pipeprof.capture.input_threads import InputThreads
from pipeprof.capture.interrupts import HeldInterrupt
from pipeprof.capture.iterators import IteratorBook, first_worker
from pipeprof.capture.joined_calls import JoinedCalls
from pipeprof.capture.native_log import is_quiet
from pipeprof.capture.next_calls import More, Next, Told
from pipeprof.capture.patches import ITERATOR_MODULE, PYTHON_CALLS_MODULE, Patches
from pipeprof.capture.pipelines import PipelineBook, Spent
from pipeprof.capture.profile_maker import ProfileMaker, RunFacts
from pipeprof.capture.python_calls import PythonCallMeter
from pipeprof.capture.run_delay import RunDelay
from pipeprof.capture.step_limit import StepLimit
from pipeprof.capture.trace_book import TraceBook, read_window
from pipeprof.capture.windows import Taken, WindowSchedule, take_window, window_cost
from pipeprof.model.profile import Profile
from pipeprof.settings import Settings

_FASTEST_HZ = 50.0
_CHECKPOINT_S = 1.0
_SHARE_CPU_S = 0.5  # reading every thread's run delay costs more than the rest of a sample
_JOIN_S = 10.0  # a sampler that is stuck inside TensorFlow is left behind
_GAPS_AT_RISK = 50  # TensorFlow keeps the last 100 gaps: sample faster when half of them are new
_WAITED_FOR = 0.05  # share of the time; below it what a function is made of does not matter
_DOZE_S = 0.05
_COST_SHARE = 0.01  # a kind of sampling may take this share of the time


class CaptureSession:
    """Observes the program it runs in. One at a time in a process."""

    def __init__(self, settings: Settings, facts: RunFacts, save: Callable[[Profile], None] = lambda _profile: None) -> None:
        """Prepare; nothing is observed before ``start``.

        Args:
            settings: rates and limits.
            facts: what is known of the run.
            save: called with the Profile about once a second, on the sampler's thread.
        """
        self.active = False
        self.on_dataset: Callable[[Any], None] | None = None  # called with every data set as it is made
        self.step_limit: StepLimit | None = None
        self._settings = settings
        self._save = save
        self._origin_ns = time.perf_counter_ns()
        self._problems: dict[str, None] = {}
        self._events: deque[Any] = deque()
        self._registry = DatasetRegistry()
        self.pipelines = PipelineBook(self._registry)
        self.graph_loops = GraphLoops(self.pipelines, self.now)
        self._held = HeldInterrupt()
        self._iterators = IteratorBook(self.problem, self._iterator_gone, self._held.hold)
        self._end_marks = EndMarks(self._events, self._origin_ns)
        self._consumption, self._joined = Consumption(), JoinedCalls()
        self._python_calls = PythonCallMeter()
        self._host = HostSampler(self.now)
        self._gpu = GpuSampler(self.now)
        self._run_delay, self._input_threads = RunDelay(), InputThreads()
        self._file_writes = FileWrites(facts.working_directory if facts.is_rerunnable else "", facts.own_directory)
        self._patches = Patches(self, file_hooks(self._file_writes) if facts.is_rerunnable else {})
        self._traces = TraceBook()
        self._windows = {True: WindowSchedule(), False: WindowSchedule.for_looking_inside()}  # by blindness
        self._since_s: dict[bool, float] = {}  # when the first pipeline that wants a window was seen
        self._maker = ProfileMaker(facts, self._registry, self.pipelines, self._traces)
        self._stop = False
        self._wake = threading.Event()  # the sampler sleeps on it
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._own_cpu_s = 0.0
        self._last_cpu: tuple[float, float, float] | None = None
        self._hz = settings.sample_hz
        self._making_replicas = threading.local()  # .depth: iterators over several devices under construction
        self._is_eager: Callable[[], bool] = lambda: True  # TensorFlow's, once it is imported

    @property
    def memory_limit_bytes(self) -> int | None:
        """What the process may use: the cgroup's limit, else the machine's memory."""
        host = self._maker.host
        return host.memory_limit_bytes or host.memory_bytes

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to observe."""
        self.active = True
        self._patches.install()
        self._file_writes.start()
        self._thread = threading.Thread(target=self._run, name="pipeprof-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> Profile:
        """Stop observing, take every hook out, and return the Profile."""
        self.active = False
        self._end_sampling()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=_JOIN_S)
        self._file_writes.stop()
        self._patches.uninstall()
        self._python_calls.uninstall()
        held = self._lock.acquire(timeout=_JOIN_S)
        try:
            self._guard("the last sample", self._sample)
            self._drain()
            self._consumption.finish_all()
            self.pipelines.look_again()
            self._iterators.clear()
            profile = self._freeze()
        finally:
            if held:
                self._lock.release()
        self._guard("closing the GPU sampler", self._gpu.close)
        return profile

    def forked(self) -> None:
        """Switch off in a process that the user's program forked."""
        self.active = False
        self._stop = True

    def _end_sampling(self) -> None:
        self._stop = True
        self._wake.set()

    def problem(self, text: str) -> None:
        """Note that something could not be measured."""
        self._problems.setdefault(text)

    # --- observing (on the user's threads) ----------------------------------------------------------------------

    def now(self) -> float:
        """Return seconds on the capture's monotonic clock."""
        return (time.perf_counter_ns() - self._origin_ns) * 1e-9

    def dataset_made(self, dataset: Any) -> None:
        """Remember where a dataset was made."""
        self._registry.note(dataset)
        if self.on_dataset is not None:
            self.on_dataset(dataset)

    def origin(self, dataset: Any) -> Origin | None:
        """Return where a dataset was made, None where that is not known."""
        return self._registry.origin(dataset)

    def iterator_begins(self) -> None:
        """Look which threads there are before an iterator makes its own."""
        self._held.release()
        self._input_threads.iterator_begins()

    def iterator_made(self, iterator: Any, dataset: Any, start_s: float) -> None:
        """Find the iterator's pipeline and watch it; iterators of a graph under construction have no counters."""
        if getattr(self._making_replicas, "depth", 0) or not hasattr(iterator, "_iterator_resource"):
            return
        if self._is_eager():
            self._watch(iterator, dataset, start_s)
        else:
            self.graph_loops.reduced(dataset)

    def dataset_reduced(self, dataset: Any) -> None:
        """Remember a pipeline that is consumed inside TensorFlow."""
        self.graph_loops.reduced(dataset)

    def dataset_passed(self, dataset: Any) -> None:
        """Remember a pipeline that a function may consume inside TensorFlow."""
        self.graph_loops.passed(dataset)

    def replicas_begin(self) -> None:
        """Leave the iterators of single devices out until the one they belong to is made."""
        self._making_replicas.depth = getattr(self._making_replicas, "depth", 0) + 1

    def replicas_made(self, iterator: Any, dataset: Any, start_s: float) -> None:
        """Watch an iterator over several devices: its steps are its first device's, the others' waits belong to them."""
        self._making_replicas.depth -= 1
        if iterator is not None and self._is_eager():
            self._watch(iterator, dataset, start_s, tuple(iterator._device_iterators))

    def _watch(self, iterator: Any, dataset: Any, start_s: float, parts: tuple[Any, ...] = ()) -> None:
        end_s = self.now()
        pipeline = self.pipelines.find(dataset)
        number = self._iterators.add(iterator, pipeline, self.now, parts)
        if self.step_limit is not None:
            self.step_limit.watch(number, pipeline.id)
        self._input_threads.iterator_made(number, pipeline.id)
        self._events.append(Created(number, start_s, end_s, threading.get_ident(), pipeline.recorder))
        self._end_marks.set(iterator, number, pipeline.recorder)
        if pipeline.iterators == 1:  # a pipeline begins: its stages may be gone before the sampler's next turn
            self._wake.set()

    def _iterator_gone(self, number: int, at_s: float) -> None:
        self._events.append(Gone(number, at_s))
        self._input_threads.iterator_goes(number)
        self._end_marks.goes(number, self.now())

    def next_called(self, iterator: Any, start_s: float, ok: bool, optional: Any = None) -> None:
        """Note one call of ``next``; calls that only build a graph are none."""
        end_s = self.now()
        self._held.release()
        number = self._iterators.number(iterator)
        if number is None or not self._is_eager():
            return
        self._input_threads.stepped(number)
        if self._joined.depth:
            self._joined.reach(number)
        elif number < 0:
            self._events.append(More(-number, start_s, end_s, threading.get_ident()))
        else:
            if optional is not None:
                self._joined.hold(optional, number)
            self._note_next(number, start_s, end_s, ok)

    def _note_next(self, number: int, start_s: float, end_s: float, ok: bool) -> None:
        if ok and self.step_limit is not None and self.step_limit.is_over(number, 1):
            self._events.append(Gone(number, start_s))  # the step before ends here, and the loop
            self.step_limit.end()
            return
        self._events.append(Next(number, start_s, end_s, threading.get_ident(), ok))

    def optional_asked(self, optional: Any, start_s: float, has_value: Any) -> None:
        """Note whether the element that was handed over last was one, and what it took to ask."""
        end_s = self.now()
        number = self._joined.release(optional) if self._is_eager() else None
        if number is not None:
            self._events.append(Told(number, start_s, end_s, threading.get_ident(), has_value))

    def distributed_next_begins(self) -> None:
        """What the devices' iterators do from now on belongs to one request."""
        if self._is_eager():
            self._joined.begin()

    def distributed_next_called(self, start_s: float, ok: bool) -> None:
        """Note the whole request: the loop waited for the batches of all devices, and for putting them together."""
        end_s = self.now()
        number = self._joined.end() if self._joined.depth and self._is_eager() else None
        if number is not None:
            self._note_next(number, start_s, end_s, ok)

    def keras_step(self, step: tuple[int, int, Any] | None, start_s: float) -> None:
        """Note that Keras' loop asked for its next step."""
        self._held.release()
        number = None if step is None else self._iterators.number(first_worker(step[2]))
        if number is not None:
            self._input_threads.stepped(number)
        elements = 0 if step is None else step[1] - step[0] + 1
        self._events.append(KerasStep(number, elements, start_s, self.now(), threading.get_ident()))
        if number is not None and self.step_limit is not None and self.step_limit.is_over(number, elements):
            self.step_limit.end()

    def module_loaded(self, module: ModuleType) -> None:
        """Install what depends on a module."""
        if module.__name__ == PYTHON_CALLS_MODULE:
            self._python_calls.install()
        elif module.__name__ == ITERATOR_MODULE:
            from tensorflow.python.eager import context

            self._is_eager = context.executing_eagerly

    def failed(self, where: str, error: Exception) -> None:
        """Note that a hook failed."""
        self.problem(f"{where} failed: {type(error).__name__}: {error}")

    # --- sampling (on our own thread) ---------------------------------------------------------------------------

    def _run(self) -> None:
        next_host = next_gpu = next_save = 0.0
        gil = GilProbe()
        while True:
            self._wake.clear()
            if self._stop:
                return
            began = self.now()
            cpu = time.thread_time()
            with self._lock:
                self._guard("sampling TensorFlow's counters", self._sample)
                if began >= next_host:
                    self._guard("sampling the host", self._host.sample)
                    next_host = began + 1 / self._settings.host_hz
                if began >= next_gpu:
                    self._guard("sampling the GPU", self._gpu.sample)
                    next_gpu = began + 1 / self._settings.gpu_hz
                self._guard("a trace window", self._trace)
                if began >= next_save:
                    saving = time.thread_time()
                    self._guard("saving the profile", self._checkpoint)
                    next_save = began + max(_CHECKPOINT_S, (time.thread_time() - saving) / _COST_SHARE)
            spent = time.thread_time() - cpu
            self._own_cpu_s += spent
            gil.sleep(self._wake, max(1 / self._hz, spent / _COST_SHARE / 4))
            self._host.add_lock_checks(*gil.take())

    def _sample(self) -> None:
        self._drain()
        busiest = 0
        for reading in self._iterators.readings():
            pipeline = reading.pipeline
            if not reading.is_blind:
                pipeline.add(reading.counters, reading.snapshot, reading.at_s)
            gaps = self._consumption.poll(reading.number, reading.at_s, reading.snapshot)
            busiest = max(busiest, gaps, _GAPS_AT_RISK if reading.counters.vanished else 0)
            if reading.is_last:
                self._drain()
                self._consumption.finish(reading.number)
        self._share_cpu()
        self.pipelines.drop_outgrown()
        wanted = _FASTEST_HZ if busiest >= _GAPS_AT_RISK or self._iterators.is_starting else self._settings.sample_hz
        self._hz = wanted if wanted > self._hz else max(wanted, self._hz * 0.8)

    def _trace(self) -> None:
        """Take a window of the profiler where one is due.

        For pipelines whose stages have no counters it is the only source; for one that is waited for, a look or two shows
        what the time inside its functions goes to.
        """
        entries = list(self.pipelines.all())
        is_blind = any(entry.is_blind for entry in entries)
        is_wanted = is_blind or any(entry.recorder.wait_share >= _WAITED_FOR for entry in entries)
        if not is_wanted or not (is_blind or is_quiet(self.problem)):  # a look inside is not worth lines in the user's log
            return
        schedule, start_s = self._windows[is_blind], self.now()
        since_s = self._since_s.setdefault(is_blind, start_s)
        seconds = schedule.next_length(start_s, since_s)
        if seconds is None:
            return
        trace = take_window(seconds, self._doze)
        if trace is None:
            schedule.refused(self.now())
            return
        window = read_window(trace, start_s, seconds)
        self._traces.add(window, entries)
        now_s = self.now()
        cost_s = window_cost(seconds, now_s - start_s, window.events)
        schedule.took(Taken(seconds, cost_s, window.events, window.steps), now_s, since_s)

    def _doze(self, seconds: float) -> None:
        """Sleep, but not longer than the program runs."""
        until_s = self.now() + seconds
        while not self._stop and (left_s := until_s - self.now()) > 0:
            time.sleep(min(left_s, _DOZE_S))

    def _drain(self) -> None:
        while self._events:
            event = self._end_marks.told(self._events.popleft())
            if event is not None:
                self._consumption.handle(event)

    def _share_cpu(self) -> None:
        """Give CPU time and run delay since the last call to the loops that ran in it, by their share of the time."""
        now, cpu = self.now(), time.process_time()
        if self._last_cpu is not None and now - self._last_cpu[0] < _SHARE_CPU_S and self.active:
            return
        delay, input_cpu = self._run_delay.sample(), self._input_threads.sample()
        if self._last_cpu is not None:
            then, cpu_then, delay_then = self._last_cpu
            waited = delay - delay_then if self._run_delay.is_known else None
            for pipeline in self.pipelines.all():
                own = input_cpu.get(pipeline.id)
                pipeline.take_cpu(Spent(cpu - cpu_then, waited, own), max(now - then, 1e-9))
        self._last_cpu = (now, cpu, delay)

    def _checkpoint(self) -> None:
        self._save(self._freeze())

    def _freeze(self) -> Profile:
        return self._maker.make(
            wall_s=self.now(),
            problems=(*self._problems, *self._host.problems, *self._gpu.problems),
            file_writes=self._file_writes,
            overhead_share=self._own_cpu_s / max(self.now(), 1e-9),
            host=self._host.freeze(),
            gpus=self._gpu.freeze(),
            python_calls=self._python_calls.totals(),
            children=self._host.children_not_observed,
        )

    def _guard(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - an instrument's failure is never the user's
            self.failed(what, error)
