"""PP105: training waits at the edges of epochs, and hardly anywhere else.

The one idea: an input that keeps up within epochs can still stop the loop between them, where an iterator is taken down and
made anew and its buffers fill. A median of the steps never shows that. It leaves alone what is slow within epochs too, and
edges that are mostly the making of iterators: those are PP609's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Evidence, Finding, Safety, Steps
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.epoch_edges import is_rebuilding, share_of_edges
from pipeprof.rules.needs import Need

_BUFFERS = frozenset({"shuffle"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowStartParameters(Parameters):
    """Thresholds of PP105."""

    min_share: float = parameter(0.05, unit="share of the loop", low=0, high=1, doc="waits at the edges of epochs to report")
    max_within: float = parameter(
        0.05, unit="share of the loop", low=0, high=1, doc="waits within epochs beyond it are others'"
    )


class SlowStartOfEpochs(Rule[SlowStartParameters]):
    """Slow start of epochs.

    What it looks for:
        A loop that waits when an epoch ends and the next begins, while its
        input keeps up within epochs.

    Why it costs time:
        Each epoch makes a new iterator: the old one is taken down, threads and
        buffers are made anew, and a shuffle buffer is filled before the first
        element comes. Training stands still meanwhile.

    How it is measured:
        The taking down and the making of iterators and the wait for the first
        element of each later epoch: the median of these, times their number, as
        a share of the loop's wall time. An edge that was slow once is none.

    When it is wrong:
        Of very short epochs, which are all edge; there the share is right, and
        larger epochs are the cure. With fewer than three epochs it stays silent.

    What to do:
        Let one iterator serve all epochs: dataset.repeat(epochs) after the
        shuffle, with steps_per_epoch in Keras. Make a shuffle buffer smaller,
        or shuffle what is small (file names, undecoded records) before what is
        slow to make.

    What that can change:
        With repeat after shuffle each epoch still holds each element once; the
        order differs as it does between any two epochs. A smaller buffer mixes
        less.

    References:
        TensorFlow guide "tf.data: Build TensorFlow input pipelines", on
        shuffle and repeat.
    """

    code = "PP105"
    name = "slow-start-of-epochs"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.CONSUMER, Need.VERDICT, Need.WAITS)
    follows_from = ("PP405",)
    parameters = SlowStartParameters

    def check(self, analysis: Analysis, params: SlowStartParameters) -> Iterator[Finding]:
        """Yield one finding where the waits lie between epochs."""
        train, steps = analysis.train, analysis.steps
        if train is None or steps.wait_share is None or not is_input_bound(analysis):
            return
        share = share_of_edges(steps, train)
        within = steps.wait_share - (steps.boundary_wait_share or 0.0)
        if share < params.min_share or within > params.max_within or is_rebuilding(steps):
            return
        view = _filled_buffer(train)
        parts = _parts(steps, view, is_keras=train.record.loop.method == "keras")
        yield self.report(
            f"Training waits {units.percent(share)} of its time at the edges of epochs and hardly within them: "
            f"{parts}. Let one iterator serve all epochs: repeat() after the shuffle.",
            severity=grade(share),
            confidence=analysis.verdict.confidence,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(name=COST_SHARE, value=share, unit="share", threshold=params.min_share, n=max(0, steps.epochs - 1)),
                Evidence(name="teardown_s", value=steps.teardown_s, unit="s"),
                Evidence(name="creation_s", value=steps.creation_s, unit="s"),
                Evidence(name="first_wait_s", value=steps.epoch_first_wait_s, unit="s"),
            ),
        )


def _filled_buffer(train: PipelineView) -> StageView | None:
    """Return the shuffle buffer that is filled before an epoch's first element, the largest of several."""
    found = [view for view in train.stages if view.stage.op in _BUFFERS and view.written is not None]
    return max(found, key=_size, default=None)


def _size(view: StageView) -> int:
    size = view.written.arguments.get("buffer_size") if view.written is not None else None
    return size if isinstance(size, int) else 0


def _parts(steps: Steps, buffer: StageView | None, *, is_keras: bool) -> str:
    """Say what an edge consists of, the longest first; Keras keeps the old iterator until it asks for the new one's first."""
    first = "the wait for the first element"
    if is_keras:
        first += ", the taking down of the old iterator included"
    if buffer is not None:
        first += f", before which {name_stage(buffer)} fills its buffer"
    named = (
        (steps.teardown_s, "taking the old iterator down"),
        (steps.creation_s, "making the new one"),
        (steps.epoch_first_wait_s, first),
    )
    known = sorted(((value, text) for value, text in named if value), key=lambda item: -item[0])
    return "; ".join(f"{units.duration(value)} for {text}" for value, text in known) or "each of them stops the loop"
