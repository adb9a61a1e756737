"""PP501: computing Python code inside the pipeline bounds it.

The one idea: Python that computes holds the interpreter lock, so its rate is that of one core whatever the parallelism.
Python that waits releases the lock and belongs to PP502 and PP202, generators of scalars to PP503.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cost import effective_slots, explained_share, is_input_bound, segment_of
from pipeprof.rules.generator_overhead import is_mostly_overhead
from pipeprof.rules.needs import Need
from pipeprof.rules.python_work import COMPUTES_SHARE, find_python_calls, holds_the_lock, python_cores, python_cpu_share


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonUnderGilParameters(Parameters):
    """Thresholds of PP501."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="the Python code must cost this much")
    min_cpu_share: float = parameter(
        COMPUTES_SHARE, unit="share of its wall time", low=0.05, high=1, doc="Python with less CPU waits and is left alone"
    )
    min_of_segment: float = parameter(
        0.5, unit="share of the segment", low=0, high=1, doc="the Python code must dominate the stages on its thread"
    )
    max_cores: float = parameter(1.1, unit="cores", low=1, high=16, doc="Python that uses more releases the lock")


class PythonUnderGil(Rule[PythonUnderGilParameters]):
    """Python under the interpreter lock.

    What it looks for:
        A py_function, numpy_function or from_generator that computes in
        Python, takes most of the time of its part of the pipeline, and that
        training waits for.

    Why it costs time:
        One thread at a time runs Python bytecode: CPU use stays at one core,
        and num_parallel_calls of 2, 8 and AUTOTUNE all give the same rate.

    How it is measured:
        Each call of a Python function is timed on its own thread: wall time and
        CPU time. CPU near wall means that it computes. Its wall time for one
        step, against the busy time of the stages on the same thread, says
        whether it dominates. How often the lock is held in the loop is sampled
        beside it, by a thread that wakes and sees whether it must wait for it.

    When it is wrong:
        Functions that release the lock (NumPy's linear algebra and sorting,
        PIL's decoders) compute without holding it. Where the code used more
        than one core, or computed for much longer than the lock was held, it
        stays silent. Of calls shorter than 2 ms that are run one at a time the
        samples of the lock cannot tell, and the confidence is medium at most.

    What to do:
        Write it with TensorFlow operations. Where that is not possible: yield
        whole batches from the generator, let one call work on a batch, or do
        the work once when the files are written.

    What that can change:
        Another implementation can round differently. The state of NumPy's and
        Python's random generators advances differently.

    References:
        TensorFlow guide "tf.data: Build TensorFlow input pipelines", on
        from_generator; tensorflow/tensorflow issues 13101, 15694, 56258.
    """

    code = "PP501"
    name = "python-under-gil"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.PYTHON_CALLS)
    parameters = PythonUnderGilParameters

    def check(self, analysis: Analysis, params: PythonUnderGilParameters) -> Iterator[Finding]:
        """Yield a finding for each computing Python stage that training waits for."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for view in train.stages:
            segment, python_s = segment_of(train, view), _python_s_per_step(train, view)
            if segment is None or is_mostly_overhead(train, view) or not _computes_under_lock(analysis, view, params):
                continue
            slots = effective_slots(analysis, train, segment)
            if python_s <= 0 or python_s < params.min_of_segment * segment.busy_s_per_step / slots:
                continue
            # While one slot holds the lock the others wait for it, and TensorFlow counts their wait as busy time too.
            left_s = max(0.0, segment.busy_s_per_step - slots * python_s) / slots
            cost = explained_share(analysis, train, {segment.index: left_s})
            if cost >= params.min_share and cost > 0:
                yield self._report_python(analysis, train, view, python_s, cost, params)

    def _report_python(
        self,
        analysis: Analysis,
        train: PipelineView,
        view: StageView,
        python_s: float,
        cost: float,
        params: PythonUnderGilParameters,
    ) -> Finding:
        cpu_share = python_cpu_share(view)
        calls = find_python_calls(view)
        message = (
            f"{name_stage(view)} takes {units.duration(python_s)} in Python for each {units.duration(train.step_s)} step "
            f"({units.percent(cpu_share)} of that is CPU); the interpreter lock lets one thread at a time do so, whatever "
            f"num_parallel_calls says. {say_wait(analysis)}. Write it with TensorFlow operations, or let "
            f"each call make a whole batch."
        )
        is_sure = holds_the_lock(view, analysis) or not view.is_sequential
        own = Confidence.HIGH if is_sure else Confidence.MEDIUM
        return self.report(
            message,
            severity=grade(cost),
            confidence=weakest(own, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", threshold=params.min_share, n=analysis.steps.count),
                Evidence(name="python_s_per_step", value=python_s, unit="s", n=None if calls is None else calls.calls),
                Evidence(name="python_cpu_share", value=cpu_share, unit="share", threshold=params.min_cpu_share),
                Evidence(name="lock_held_share", value=analysis.resources.lock_held_share, unit="share"),
                Evidence(name="python_cores", value=python_cores(view, train), unit="cores", threshold=params.max_cores),
            ),
        )


def _computes_under_lock(analysis: Analysis, view: StageView, params: PythonUnderGilParameters) -> bool:
    train = analysis.train
    if train is None or holds_the_lock(view, analysis) is False:
        return False
    cpu_share, cores = python_cpu_share(view), python_cores(view, train)
    if cpu_share is None or cpu_share < params.min_cpu_share:
        return False
    return cores is None or cores <= params.max_cores


def _python_s_per_step(train: PipelineView, view: StageView) -> float:
    """Return wall seconds inside the stage's Python code for one step, at most the busy time of the stages on its thread."""
    calls, steps, segment = find_python_calls(view), train.record.loop.elements, segment_of(train, view)
    if calls is None or segment is None or steps <= 0:
        return 0.0
    return min(calls.wall_s / steps, segment.busy_s_per_step)
