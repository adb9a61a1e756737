"""PP612: a seeded random map with parallel calls, so that the run no longer repeats itself.

The one idea: a stateful random op gives its next number to whichever call comes first; with several calls at once the seed
fixes the numbers, but not which element gets them. It asks only where somebody set a seed, and so wanted repetition.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.model.looks import ElementLook, LookKind, LookOrder
from pipeprof.rules.base import Parameters, Rule, Status, name_stage
from pipeprof.rules.needs import Need
from pipeprof.rules.observed import observed

_ELEMENTS = 256  # of each load


class SeedsLost(Rule[Parameters]):
    """Seeds lost by parallel calls.

    What it looks for:
        A map with num_parallel_calls that TensorFlow runs in parallel, whose
        function draws with stateful random operations, under a global seed or
        with a seed of their own.

    Why it costs time:
        It costs repeatability, not time: the numbers are the same in each run,
        but which element gets which depends on the threads. deterministic=True
        fixes the order of elements, not of draws. Severity is always low.

    How it is measured:
        From the traced function, its seeds, and the executed graph; nothing is
        timed. Where the pipeline can be read again after the script, it is
        loaded twice as it is and twice with one call at a time: elements that
        differ only in the first two are the proof.

    When it is wrong:
        Where the seed was meant for something else, such as the weights. A
        short look in which the calls happened to come in one order proves
        nothing, and lowers the confidence.

    What to do:
        Draw with tf.random.stateless_* operations and a seed for each element,
        from Dataset.random or Dataset.counter, zipped to the data.

    What that can change:
        The numbers that are drawn, once.

    References:
        tensorflow/tensorflow issues 13932, 34909, 44491; tf.data.Dataset.map.
    """

    code = "PP612"
    name = "seeds-lost"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.PIPELINES,)

    def looks(self, analysis: Analysis) -> Iterator[LookOrder]:
        """Order two loads of each such map."""
        for pipeline in analysis.pipelines:
            yield from (_order_loads(pipeline, view) for view in pipeline.stages if _loses_its_seed(pipeline, view))

    def check(self, analysis: Analysis, params: Parameters) -> Iterator[Finding]:  # noqa: ARG002 - rules share one shape
        """Yield a finding for each seeded random map that runs several calls at once."""
        for pipeline in analysis.pipelines:
            for view in pipeline.stages:
                if _loses_its_seed(pipeline, view):
                    yield self._report_map(pipeline, view, analysis.look(_order_loads(pipeline, view)))

    def _report_map(self, pipeline: PipelineView, view: StageView, look: ElementLook | None) -> Finding:
        function = view.written.function if view.written is not None else None
        drawn = () if function is None else function.random_ops
        seed = "an operation seed" if function is not None and function.has_op_seed else "a global seed"
        seen, confidence = _judge_look(look, Confidence.HIGH if view.executed else Confidence.MEDIUM)
        return self.report(
            f"{name_stage(view)} draws random numbers ({', '.join(drawn)}) with {seed} in several calls at once: which element "
            f"gets which number depends on the threads, so that two runs differ{seen}. Draw with tf.random.stateless_* "
            "operations and a seed for each element.",
            severity=Severity.LOW,
            confidence=confidence,
            pipeline=pipeline,
            view=view,
            evidence=(
                Evidence(name="random_ops", value=" ".join(drawn)),
                Evidence(name="calls_at_once", value=view.slots if view.executed else None, unit="calls"),
                *observed(look, "same_in_two_loads"),
            ),
        )


def _order_loads(pipeline: PipelineView, view: StageView) -> LookOrder:
    return LookOrder(kind=LookKind.LOADS, pipeline_id=pipeline.record.id, stage_id=view.id, elements=_ELEMENTS)


def _judge_look(look: ElementLook | None, unseen: Confidence) -> tuple[str, Confidence]:
    """Return what the loads showed, and how sure that makes the finding; they say nothing where one call differs too."""
    if look is None or look.same is None or look.control is None or look.control < 1:
        return "", unseen
    if look.same < 1:
        others = units.percent(1 - look.same)
        text = f": of {look.elements:,} elements {others} were others in a second load, with one call at a time none"
        return text, Confidence.HIGH
    return f" (two loads of {look.elements:,} elements happened to be equal)", Confidence.LOW


def _loses_its_seed(pipeline: PipelineView, view: StageView) -> bool:
    written = view.written
    if written is None or written.op != "map" or written.function is None or not written.function.random_ops:
        return False
    calls = written.arguments.get("num_parallel_calls")
    if calls is None or calls == 1 or not (written.function.has_op_seed or pipeline.record.global_seed_set):
        return False
    return not view.executed or not view.is_sequential or view.is_parallel_by_autotune
