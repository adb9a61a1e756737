"""PP202: a parallel map waits rather than computes, and has no more threads to wait on.

The one idea: calls that block hold a thread of the pool each, so the pool's size caps the rate whatever
num_parallel_calls says. It never fires on work that computes: more threads would only fight for the cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import pipeline_cpu_s, pool_threads, waits_surely
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.needs import Need
from pipeprof.rules.python_work import computes_in_python, find_python_calls, runs_python

_SPARE = 1.5
_SHORTEST_GAP_S = 1e-4
_LEAST_THREADS_PER_CORE = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockingMapParameters(Parameters):
    """Thresholds of PP202."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="more threads must save this much")
    waits_below: float = parameter(0.5, unit="CPU s per busy s", low=0, high=1, doc="a stage with less CPU waits")
    cap_share: float = parameter(0.95, unit="share of the pool", low=0.1, high=1, doc="from here on the map is at its cap")
    max_threads_per_core: int = parameter(16, unit="threads", low=1, high=256, doc="most threads that are proposed")


class BlockingMapCapped(Rule[BlockingMapParameters]):
    """Blocking map at its cap.

    What it looks for:
        A map that already runs as many calls at once as its thread pool has
        threads, whose calls are mostly asleep (remote reads, locks, sleep,
        databases), and that training waits for.

    Why it costs time:
        A call that blocks holds its thread. The pool has one thread for each
        core, so that is how many calls can wait at once; a larger
        num_parallel_calls changes nothing. With 2 cores and 5 ms calls,
        num_parallel_calls of 2 and 16 both gave about 300 elements a second,
        16 threads in a private pool gave 2,700.

    How it is measured:
        The stage's busy time (wall) for one step against the CPU time that the
        whole pipeline, or the whole process, used for one step: an upper bound
        of the stage's own. Much less CPU than busy time means waiting.

    When it is wrong:
        On a machine that other processes keep busy, busy time contains waiting
        for a core; a fifth of CPU, not half, is asked for there. Training on
        the CPU hides waiting, unless the pipeline was replayed alone. Raising
        the pool for work that computes makes things worse: it stays silent.

    What to do:
        options = tf.data.Options()
        options.threading.private_threadpool_size = 16  # 4-16 for each core
        dataset = dataset.with_options(options)
        together with num_parallel_calls=tf.data.AUTOTUNE. Stop at the knee.

    What that can change:
        More elements are in flight, so more memory is used. Elements and their
        order stay the same.

    References:
        tf.data.ThreadingOptions.private_threadpool_size; tensorflow/tensorflow
        issues 48999 and 58819.
    """

    code = "PP202"
    name = "blocking-map-capped"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.PROCESS_CPU)
    parameters = BlockingMapParameters

    def check(self, analysis: Analysis, params: BlockingMapParameters) -> Iterator[Finding]:
        """Yield a finding for each blocking map at its cap that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        threads = pool_threads(analysis, train)
        for view in train.stages:
            if not _is_capped_map(view, threads, params) or computes_in_python(view):
                continue
            cpu_s, busy_s = pipeline_cpu_s(analysis, train), busy_of(view)
            if cpu_s is None or not waits_surely(analysis, train, busy_s, params.waits_below):
                continue
            wanted = _find_wanted_threads(analysis, train, view, params)
            cost = share_saved_at(analysis, train, view, busy_s / wanted) if wanted > threads else 0.0
            if cost >= params.min_share and cost > 0:
                yield self._report_map(analysis, train, view, (threads, wanted), cpu_s, cost, params)

    def _report_map(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        threads: tuple[int, int],
        cpu_s: float,
        cost: float,
        params: BlockingMapParameters,
    ) -> Finding:
        now, wanted = threads
        calls = units.count_of(now, "call")
        message = (
            f"{name_stage(view)} already runs {calls} at once, one for each thread of its pool, but it waits rather than "
            f"computes: {units.duration(busy_of(view))} busy per step against at most {units.duration(cpu_s)} of CPU. "
            f"{say_wait(analysis)}. Give the dataset more threads: private_threadpool_size = {wanted}."
        )
        own = Confidence.LOW if runs_python(view) and find_python_calls(view) is None else Confidence.HIGH
        return self.report(
            message,
            severity=grade(cost),
            confidence=weakest(own, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="busy_s_per_step", value=busy_of(view), unit="s"),
                Evidence(name="cpu_s_per_step", value=cpu_s, unit="s", threshold=params.waits_below * busy_of(view)),
                Evidence(name="pool_threads", value=now, unit="threads"),
                Evidence(name="wanted_threads", value=wanted, unit="threads"),
            ),
        )


def _is_capped_map(view: StageView, threads: int, params: BlockingMapParameters) -> bool:
    if view.written is None or view.written.op != "map" or not view.executed or view.is_sequential:
        return False
    return view.slots >= params.cap_share * threads


def _find_wanted_threads(analysis: Analysis, train: PipelineView, view: StageView, params: BlockingMapParameters) -> int:
    """Return the threads that keep up with the consumer, and half as many again: a power of two, within reason."""
    cores = analysis.profile.run.host.cores
    needed = _SPARE * busy_of(view) / max(train.gap_s or 0.0, _SHORTEST_GAP_S)
    wanted = 2 ** math.ceil(math.log2(max(needed, _LEAST_THREADS_PER_CORE * cores)))
    return int(min(wanted, params.max_threads_per_core * cores))
