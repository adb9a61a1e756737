"""PP708: training waits for remote storage, which would give more to more readers.

The one idea: a request over a network takes its time whoever waits for it; many at once take no longer. It asks for a reader
that waits rather than computes, and leaves alone what reads many files at once already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.cores import waits_surely
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import busy_of, is_input_bound, share_saved_at
from pipeprof.rules.file_reading import Reader, find_readers
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteLatencyParameters(Parameters):
    """Thresholds of PP708."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="more readers must save this much")
    readers: float = parameter(16, unit="files", low=2, high=512, doc="that remote storage serves at once without effort")
    waits_below: float = parameter(0.5, unit="CPU s per busy s", low=0, high=1, doc="a reader with less CPU waits")


class RemoteLatency(Rule[RemoteLatencyParameters]):
    """Remote latency.

    What it looks for:
        Files on an object store or a network file system, read few at a time by
        a stage that waits while the cores are idle.

    Why it costs time:
        The first byte of a file takes tens of milliseconds, and one stream gets
        a small part of the network. The total grows with the streams.

    How it is measured:
        From the names (gs://, s3://, hdfs://) and from what is mounted where
        they lie. Nothing remote is touched by the capture. A stage waits where
        the whole pipeline uses far less CPU than it is busy. The cost is what
        goes away when as many files are read at once as the parameter says.

    When it is wrong:
        Where the network is full already. A file system that is counted as
        remote may lie in the machine.

    What to do:
        interleave with cycle_length 16 or more and
        num_parallel_calls=tf.data.AUTOTUNE, or num_parallel_reads. Where the data
        are read again, cache them on a local disk, and keep the storage near.

    What that can change:
        Records of several files come mixed. With deterministic=False their
        order is not the same from run to run.

    References:
        TensorFlow guide "Better performance with the tf.data API", on
        parallelising data extraction; tensorflow/models issue 7127.
    """

    code = "PP708"
    name = "remote-latency"
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.FILES)
    follows_from = ("PP403",)
    yields_to = ("PP202", "PP205")
    parameters = RemoteLatencyParameters

    def check(self, analysis: Analysis, params: RemoteLatencyParameters) -> Iterator[Finding]:
        """Yield a finding for each stage that reads few remote files at once while training waits."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for reader in find_readers(train):
            at_once = min(params.readers, reader.files.files)
            if reader.is_local or reader.view.slots >= at_once:
                continue
            if not waits_surely(analysis, train, busy_of(reader.view), params.waits_below):
                continue
            cost = share_saved_at(analysis, train, reader.view, busy_of(reader.view) / at_once)
            if cost >= params.min_share and cost > 0 and not is_served_by_cache(analysis, train, reader.view):
                yield self._report_reader(analysis, reader, at_once, cost)

    def _report_reader(self, analysis: Analysis, reader: Reader, at_once: float, cost: float) -> Finding:
        now = max(1, round(reader.view.slots))
        return self.report(
            f"{name_stage(reader.view)} reads {units.count_of(reader.files.files, 'file')} on {reader.files.filesystem}, "
            f"{now} at a time, and waits for them: {units.duration(busy_of(reader.view))} for each "
            f"{units.duration(reader.pipeline.step_s)} step with the cores idle. {say_wait(analysis)}. Read {at_once:.0f} or "
            "more at once with interleave or num_parallel_reads.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="busy_s_per_step", value=busy_of(reader.view), unit="s"),
                Evidence(name="readers", value=now, unit="files", threshold=at_once),
            ),
        )
