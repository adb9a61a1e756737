"""PP803: the whole data is read once before training, to compute statistics that every run computes alike.

The one idea: what ``adapt`` finds is a constant of the data. It speaks of passes that Keras' ``adapt`` made, and of no other
pass over the data: nobody can see what that is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import HIGH_SHARE, Parameters, Rule, Status, name_place, parameter
from pipeprof.rules.needs import Need

ADAPT = "Keras adapt"


@dataclass(frozen=True, kw_only=True, slots=True)
class FullPassParameters(Parameters):
    """Thresholds of PP803."""

    min_share: float = parameter(
        0.05, unit="share of the run", low=0, high=1, doc="that adapt and its input take, to report it"
    )


class FullPassStatistics(Rule[FullPassParameters]):
    """Full-pass statistics.

    What it looks for:
        A pass over the data by adapt() of a Keras layer, beside the training
        loop, that takes a notable part of the run.

    Why it costs time:
        Normalization, TextVectorization, StringLookup and Discretization read
        all elements to find means, vocabularies or quantiles. The device idles
        meanwhile, and the next run of the same script finds the same numbers.

    How it is measured:
        The wall time of adapt's loop over its pipeline, as a share of it and of
        the training loop together.

    When it is wrong:
        Of a short run made to profile: the share shrinks as training goes on,
        the seconds stay. Where the data change from run to run.

    What to do:
        Give the layer its numbers (mean= and variance=, vocabulary=,
        bin_boundaries=) from an earlier run, or load the adapted layer with the
        model. Or adapt on a sample: adapt(dataset, steps=n), dataset.take(n).
        For data of many machines: TensorFlow Transform.

    What that can change:
        Nothing with stored numbers of the same data. A sample gives other means
        and may miss rare words.

    References:
        tf.keras.layers.Normalization.adapt; TensorFlow guide "Working with
        preprocessing layers".
    """

    code = "PP803"
    name = "full-pass-statistics"
    status = Status.STABLE
    remedy_safety = Safety.CHANGES_DATA
    needs = (Need.TRAINING, Need.CONSUMER)
    parameters = FullPassParameters

    def check(self, analysis: Analysis, params: FullPassParameters) -> Iterator[Finding]:
        """Yield a finding for each pipeline that ``adapt`` reads for long."""
        train = analysis.train
        if train is None:
            return
        for pipeline in analysis.pipelines:
            loop = pipeline.record.loop
            share = loop.wall_s / (loop.wall_s + train.record.loop.wall_s) if loop.wall_s > 0 else 0.0
            if pipeline is not train and pipeline.record.consumer == ADAPT and share >= params.min_share:
                yield self._report_pass(pipeline, share, params)

    def _report_pass(self, pipeline: PipelineView, share: float, params: FullPassParameters) -> Finding:
        loop, site = pipeline.record.loop, pipeline.record.call_site
        what = "a pipeline" if site is None else f"the pipeline of {name_place(site)}"
        return self.report(
            f"adapt() reads {what} before training: {units.count_of(loop.elements, 'element')} in "
            f"{units.duration(loop.wall_s)}, {units.percent(share)} of the time of this run's loops. What it finds is a "
            "constant of the data: give the layer its numbers from an earlier run, or adapt on a sample (steps=n).",
            severity=Severity.MEDIUM if share >= HIGH_SHARE else Severity.LOW,
            confidence=Confidence.HIGH,
            pipeline=pipeline,
            evidence=(
                Evidence(name="run_share", value=share, unit="share", threshold=params.min_share, n=loop.elements),
                Evidence(name="adapt_s", value=loop.wall_s, unit="s"),
            ),
        )
