"""PP701: training waits while files are opened that hold hardly anything.

The one idea: what opening costs is the time of reading less the time that the same bytes would take from a large file.
It judges files that were read; with a warm page cache only opening costs, on cold or remote storage it is far dearer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety
from pipeprof.rules.base import COST_SHARE, Parameters, Rule, Status, grade, name_stage, parameter, say_wait, weakest
from pipeprof.rules.cache_weight import is_served_by_cache
from pipeprof.rules.cost import is_input_bound
from pipeprof.rules.file_reading import Reader, describe_files, find_readers, share_saved_from
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallFilesParameters(Parameters):
    """Thresholds of PP701."""

    max_mean_bytes: float = parameter(1e6, unit="bytes", low=1e3, high=1e8, doc="files of this mean size or more are not small")
    min_files: float = parameter(64, unit="files", low=2, high=1e6, doc="fewer are not many")
    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="opening must explain this much")
    record_s: float = parameter(5e-6, unit="s", low=0, high=1e-3, doc="to read one record from a large file")
    bytes_per_s: float = parameter(1e9, unit="bytes/s", low=1e6, high=1e11, doc="at which one thread reads a large file")


class ManySmallFiles(Rule[SmallFilesParameters]):
    """Many small files.

    What it looks for:
        Many files of less than a megabyte, whose opening takes much of the
        time in which training waits.

    Why it costs time:
        Every file is looked up, opened and closed. On disks and over a
        network each open is a trip of its own, and reading ahead never starts.

    How it is measured:
        The mean size of the files is from at most 256 of them. The time of
        reading is that of the reading nodes, or of ReadFile in trace windows
        where a map reads whole files; the time that the same records would take
        from a large file is taken off.

    When it is wrong:
        Where each element needs a file of its own, since other programs read
        them too. The first epoch over cold files costs more than later ones.

    What to do:
        Pack the files into TFRecord files of 100 to 200 MB, with their bytes as
        they are (JPEG stays JPEG), or read more of them at once.

    What that can change:
        The order of the elements, if the packing changes it. A copy on disk.

    References:
        TensorFlow guide "TFRecord and tf.train.Example": files of 100 MB and
        more; tensorflow/tensorflow issues 20068 and 9675.
    """

    code = "PP701"
    name = "many-small-files"
    status = Status.STABLE
    remedy_safety = Safety.REORDERS
    needs = (Need.TRAINING, Need.VERDICT, Need.COUNTERS, Need.FILES)
    yields_to = ("PP205",)
    parameters = SmallFilesParameters

    def check(self, analysis: Analysis, params: SmallFilesParameters) -> Iterator[Finding]:
        """Yield a finding for each stage that opens many small files for training that waits."""
        train = analysis.train
        if train is None or not is_input_bound(analysis):
            return
        for reader in find_readers(train):
            mean = reader.files.mean_bytes
            if mean is None or mean >= params.max_mean_bytes or reader.files.files < params.min_files:
                continue
            opening_s = _opening_s(reader, params)
            cost = 0.0 if opening_s is None else share_saved_from(analysis, reader, opening_s)
            if opening_s is None or cost < params.min_share or cost <= 0:
                continue
            if not is_served_by_cache(analysis, train, reader.view):
                yield self._report_reader(analysis, reader, opening_s, cost, params)

    def _report_reader(
        self, analysis: Analysis, reader: Reader, opening_s: float, cost: float, params: SmallFilesParameters
    ) -> Finding:
        return self.report(
            f"{name_stage(reader.view)} reads {describe_files(reader.files)}{_say_opens(reader)}: opening them takes "
            f"{units.duration(opening_s)} for each {units.duration(reader.pipeline.step_s)} step. {say_wait(analysis)}. "
            "Pack them into TFRecord files of 100 to 200 MB, their bytes as they are.",
            severity=grade(cost),
            confidence=weakest(Confidence.MEDIUM, analysis.verdict.confidence),
            pipeline=reader.pipeline,
            view=reader.view,
            evidence=(
                Evidence(name=COST_SHARE, value=cost, unit="share", n=analysis.steps.count),
                Evidence(name="mean_bytes", value=reader.files.mean_bytes, unit="bytes", threshold=params.max_mean_bytes),
                Evidence(name="opening_s_per_step", value=opening_s, unit="s"),
                Evidence(name="opens_per_step", value=reader.opens, unit="files"),
            ),
        )


def _opening_s(reader: Reader, params: SmallFilesParameters) -> float | None:
    """Return the seconds of a step beyond what the same records would take from a large file."""
    reading_s, elements, stored = reader.reading_s, reader.elements, reader.stored_bytes
    if reading_s is None or elements is None or stored is None or reader.files.compression:
        return None
    return max(0.0, reading_s - elements * params.record_s - stored / params.bytes_per_s)


def _say_opens(reader: Reader) -> str:
    return "" if not reader.opens else f", {units.significant(reader.opens)} of them for a step"
