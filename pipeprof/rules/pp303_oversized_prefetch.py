"""PP303: a prefetch holds much memory that the loop never draws on.

The one idea: a buffer evens out bursts; where the input is faster than the loop and the buffer stays full, a few elements do
the same. It says nothing of buffers that AUTOTUNE sizes, nor where training waits.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import COST_SHARE, Rule, Status, name_stage, weakest
from pipeprof.rules.held import Held, HeldParameters, find_held, is_memory_short
from pipeprof.rules.needs import Need

_KEPT = 2.0  # elements that a prefetch needs


class OversizedPrefetch(Rule[HeldParameters]):
    """Oversized prefetch.

    What it looks for:
        A prefetch with a fixed size whose elements take a notable part of the
        memory, in front of a loop that does not wait and an input that is
        faster than the loop.

    Why it costs time:
        It costs memory, not time: what lies in the buffer is missing for caches
        and shuffle buffers, and is the first cause of an out-of-memory kill.

    How it is measured:
        TensorFlow's count of the bytes in the buffer, at most and on average.
        What two elements do not need is counted as held for nothing.

    When it is wrong:
        Where the input stalls seldom but long, and the run was too short to
        show it: then the buffer is what bridges the stall.

    What to do:
        prefetch(tf.data.AUTOTUNE), or prefetch(2).

    What that can change:
        Nothing in the elements. Long stalls of the input are bridged less.

    References:
        tf.data.Dataset.prefetch; tensorflow/tensorflow issue 29213.
    """

    code = "PP303"
    name = "oversized-prefetch"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.COUNTERS, Need.MEMORY)
    parameters = HeldParameters

    def check(self, analysis: Analysis, params: HeldParameters) -> Iterator[Finding]:
        """Yield a finding for each prefetch that holds much for nothing."""
        train = analysis.train
        if train is None:
            return
        for view in train.stages:
            if view.stage.op != "prefetch" or view.written is None or not _has_fixed_size(view):
                continue
            held = find_held(analysis, train, view, _KEPT, params)
            if held is not None:
                yield self._report_buffer(analysis, train, view, held, params)

    def _report_buffer(
        self, analysis: Analysis, train: PipelineView, view: StageView, held: Held, params: HeldParameters
    ) -> Finding:
        message = (
            f"{name_stage(view)} holds {held.elements:.0f} elements, {units.byte_count(held.bytes)} or "
            f"{units.percent(held.bytes / held.memory_bytes)} of the memory, and training never draws on them: the input makes "
            f"an element in {units.duration(train.production_s_per_step)}, a step uses one in {units.duration(train.gap_s)}. "
            f"Two elements do: prefetch(2), or prefetch(tf.data.AUTOTUNE)."
        )
        return self.report(
            message,
            severity=Severity.MEDIUM if is_memory_short(analysis, params) else Severity.LOW,
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=0.0, unit="share", n=analysis.steps.count),
                Evidence(name="held_bytes", value=held.bytes, unit="bytes"),
                Evidence(name="spare_memory_share", value=held.share, unit="share", threshold=params.min_memory),
                Evidence(name="held_elements", value=held.elements, unit="elements"),
            ),
        )


def _has_fixed_size(view: StageView) -> bool:
    size = view.written.arguments.get("buffer_size") if view.written is not None else None
    return isinstance(size, int) and size > 0
