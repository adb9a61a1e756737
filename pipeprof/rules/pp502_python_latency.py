"""PP502: Python that waits (storage, a network, a database, a lock) is run one call at a time.

The one idea: Python that waits has let the interpreter lock go, so that many such calls can wait at once. Python that computes
is PP501's; calls that wait in parallel already, on too few threads, are PP202's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import pool_threads
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.needs import Need
from pipeprof.rules.python_work import COMPUTES_SHARE, GENERATOR_OPS, find_python_calls, python_cpu_share, waits_in_python

_SPARE = 1.5
_SHORTEST_GAP_S = 1e-4
GENERATOR = "generator"  # value of the evidence "source" for a from_generator


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonLatencyParameters(Parameters):
    """Thresholds of PP502."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="calls at once must save this much")
    max_cpu_share: float = parameter(
        COMPUTES_SHARE, unit="share of its wall time", low=0.05, high=1, doc="Python with more CPU computes"
    )
    min_of_stage: float = parameter(
        0.5, unit="share of the stage's time", low=0, high=1, doc="the Python code must be most of its stage"
    )
    most_calls: float = parameter(64.0, unit="calls", low=2, high=1024, doc="most calls at once that are proposed")


class PythonLatency(Rule[PythonLatencyParameters]):
    """Python latency.

    What it looks for:
        A py_function, numpy_function or from_generator that waits rather than
        computes, is called one at a time, and that training waits for.

    Why it costs time:
        Each element pays the whole latency of a read, a query or a request,
        one after the other, with no core busy. Python that waits has let the
        interpreter lock go: 16 calls that sleep 5 ms take 5 ms together.

    How it is measured:
        Each call of a Python function is timed on its own thread: CPU time of
        less than half of its wall time means that it waits. One call at a time
        is read from the executed graph. The saving is the wait that is left
        when the stage's time is spread over the calls that keep up.

    When it is wrong:
        Where the wait is for the lock itself, which other Python threads hold.
        Where the service behind it allows no more than one request.

    What to do:
        map(f, num_parallel_calls=16), and as many threads for them:
        options.threading.private_threadpool_size = 16. For a generator: several
        of them side by side, Dataset.range(n).interleave(lambda part:
        Dataset.from_generator(g, args=(part,), ...), num_parallel_calls=n).

    What that can change:
        f must be safe to be called from several threads. More elements are held
        at a time. map keeps the order; generators side by side mix theirs.

    References:
        tensorflow/tensorflow issue 44274 (sleeping scales, computing does not);
        tf.data.ThreadingOptions.private_threadpool_size.
    """

    code = "PP502"
    name = "python-latency"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.PYTHON_CALLS)
    rivals = ("PP201", "PP202")
    parameters = PythonLatencyParameters

    def check(self, analysis: Analysis, params: PythonLatencyParameters) -> Iterator[Finding]:
        """Yield a finding for each Python stage that waits, one call after the other, and that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            if not _waits_one_at_a_time(train, view, params):
                continue
            calls = _find_wanted_calls(train, view, params)
            cost = share_saved_at(analysis, train, view, busy_of(view) / calls)
            if cost >= params.min_share and cost > 0:
                yield self._report_python(analysis, train, view, calls, cost, params)

    def _report_python(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        wanted: int,
        cost: float,
        params: PythonLatencyParameters,
    ) -> Finding:
        calls, cpu_share = find_python_calls(view), python_cpu_share(view) or 0.0
        call_s = 0.0 if calls is None else calls.wall_s / calls.calls
        is_generator = _is_generator(view)
        threads = pool_threads(analysis, train)
        return self.report(
            f"{name_stage(view)} waits in Python, one call after the other: {units.duration(call_s)} a call, of which "
            f"{units.percent(cpu_share)} is CPU, {units.duration(busy_of(view))} for each {units.duration(train.step_s)} step. "
            f"{say_wait(analysis)}. {_describe_cure(wanted, threads, is_generator=is_generator)}",
            severity=grade(cost),
            confidence=weakest(Confidence.HIGH, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="python_cpu_share", value=cpu_share, unit="share", threshold=params.max_cpu_share),
                Evidence(name="call_s", value=call_s, unit="s", n=None if calls is None else calls.calls),
                Evidence(name="wanted_calls", value=wanted, unit="calls"),
                Evidence(name="pool_threads", value=threads, unit="threads"),
                Evidence(name="source", value=GENERATOR if is_generator else "map"),
            ),
        )


def _waits_one_at_a_time(train: PipelineView, view: StageView, params: PythonLatencyParameters) -> bool:
    is_known = view.written is not None and (view.written.op == "map" or _is_generator(view))
    if not is_known or not view.executed or not view.is_sequential or view.is_parallel_by_autotune:
        return False
    return waits_in_python(view, train, params.max_cpu_share, params.min_of_stage)


def _is_generator(view: StageView) -> bool:
    return view.written is not None and view.written.op in GENERATOR_OPS


def _find_wanted_calls(train: PipelineView, view: StageView, params: PythonLatencyParameters) -> int:
    """Return the calls that keep up with the consumer, and half as many again: a power of two, within reason."""
    needed = _SPARE * busy_of(view) / max(train.gap_s or 0.0, _SHORTEST_GAP_S)
    return int(min(2 ** max(1, math.ceil(math.log2(max(needed, 1.0)))), params.most_calls))


def _describe_cure(wanted: int, threads: int, *, is_generator: bool) -> str:
    if is_generator:
        return f"Read from {wanted} generators side by side: interleave with num_parallel_calls={wanted}."
    text = f"Let {wanted} calls wait at once: num_parallel_calls={wanted}"
    return f"{text}, with private_threadpool_size = {wanted}." if wanted > threads else f"{text}."
