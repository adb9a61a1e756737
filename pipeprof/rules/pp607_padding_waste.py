"""PP607: a good part of what a padded batch gives is padding.

The one idea: TensorFlow counts the bytes that a padded batch takes and those that it gives; the difference is padding, which
the model computes on like on anything else. What that costs the model is not known here, so that it is told without a cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.needs import Need
from pipeprof.rules.reordering import input_of

_FEWEST = 10  # batches, before which elements under way count


@dataclass(frozen=True, kw_only=True, slots=True)
class PaddingWasteParameters(Parameters):
    """Thresholds of PP607."""

    min_padding: float = parameter(0.3, unit="share of the bytes", low=0.05, high=1, doc="padding in a batch to report")
    min_bytes: float = parameter(
        4096.0, unit="bytes per batch", low=0, high=1e12, doc="less padding costs nobody anything, whatever its share"
    )


class PaddingWaste(Rule[PaddingWasteParameters]):
    """Padding waste.

    What it looks for:
        A padded_batch() of which a good part is padding.

    Why it costs time:
        Each row is padded to the longest of its batch, and the model computes
        on the padding too. Batches whose length varies change the model's
        shapes with every step as well, and a new shape is slow at first.

    How it is measured:
        Bytes that the stage gave, less those that it took, as TensorFlow
        counted them, of all its batches.

    When it is wrong:
        Where the model skips what is padded (packed sequences, a mask that the
        kernels use). Fields of a fixed size count as bytes that are no padding,
        so that the share of a single padded field can be higher.

    What to do:
        bucket_by_sequence_length() with the lengths of your data as boundaries,
        so that rows of about one length meet in a batch. After the run some
        thousand rows are read to find boundaries that leave little padding;
        pipeprof confirm --rerun 3 --allow reorders shows what that gives.

    What that can change:
        Which rows are batched together, their order, and the size of batches
        where each bucket has its own.

    References:
        tf.data.Dataset.bucket_by_sequence_length; tf.data service, coordinated
        reads (arXiv 2210.14826): 2.2 times for texts.
    """

    code = "PP607"
    name = "padding-waste"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.COUNTERS)
    parameters = PaddingWasteParameters

    def check(self, analysis: Analysis, params: PaddingWasteParameters) -> Iterator[Finding]:
        """Yield a finding for each padded batch that is padding for a good part."""
        train = analysis.train
        if train is None:
            return
        for view in train.stages:
            padded = _measure(view)
            if padded is None or padded.share < params.min_padding or padded.bytes_per_batch < params.min_bytes:
                continue
            yield self._report_batch(train, view, padded, params)

    def _report_batch(self, train: PipelineView, view: StageView, padded: _Padding, params: PaddingWasteParameters) -> Finding:
        rows = input_of(train, view)
        made_by = f" of {name_stage(rows)}" if rows is not None else ""
        return self.report(
            f"{units.percent(padded.share)} of what {name_stage(view)} gives is padding, "
            f"{units.byte_count(padded.bytes_per_batch)} in each batch: the rows{made_by} differ in length, and each is padded "
            f"to the longest of its batch. The model computes on that too. Let rows of about one length meet: "
            f"bucket_by_sequence_length.",
            severity=Severity.LOW,
            confidence=Confidence.HIGH,
            pipeline=train,
            view=view,
            evidence=(
                Evidence(
                    name="padding",
                    value=padded.share,
                    unit="share of the bytes",
                    threshold=params.min_padding,
                    n=padded.batches,
                ),
                Evidence(name="padding_bytes", value=padded.bytes_per_batch, unit="bytes", threshold=params.min_bytes),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Padding:
    """What one stage added."""

    share: float
    bytes_per_batch: float
    batches: int


def _measure(view: StageView) -> _Padding | None:
    """Return the padding of a padded batch; None where the stage is none, or too few of its batches were seen."""
    node = view.executed[0] if view.executed else None
    if view.stage.op != "padded_batch" or node is None or node.elements < _FEWEST:
        return None
    if not node.bytes_produced or not node.bytes_consumed:
        return None
    added = max(0, node.bytes_produced - node.bytes_consumed)
    return _Padding(added / node.bytes_produced, added / node.elements, node.elements)
