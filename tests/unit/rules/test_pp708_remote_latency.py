"""PP708: few files of remote storage at a time."""

from __future__ import annotations

from pipeprof.advise.recommend import recommend
from pipeprof.model.diagnosis import Finding, Severity
from pipeprof.model.profile import SourceFiles
from pipeprof.rules.engine import NOT_APPLICABLE, judge
from pipeprof.rules.pp708_remote_latency import RemoteLatency, RemoteLatencyParameters
from tests.support.builders import Scene, stage


def scene(storage: str = "gs", slots: float = 1, files: int = 200, cpu_s: float = 0.004, **numbers: object) -> Scene:
    """Make a reader that waits, beside cores that are idle."""
    reader = stage("interleave", 0.036 * slots, visits=64, slots=slots, line=12, code="ds.interleave(read)")
    facts = SourceFiles(stage_id="s1", format="tfrecord", files=files, filesystem=storage)
    return Scene(stages=(stage("from_tensor_slices"), reader), files=(facts,), cpu_s_per_step=cpu_s).but(**numbers)


def check(given: Scene, **params: float) -> list[Finding]:
    return list(RemoteLatency().check(given.analysis(), RemoteLatencyParameters(**params)))


def outcome_of(given: Scene) -> str:
    return next(item.outcome for item in judge(given.analysis()).outcomes if item.code == "PP708")


def test_few_readers_of_remote_files_that_training_waits_for_fires() -> None:
    (finding,) = check(scene())

    assert (finding.code, finding.stage_id, finding.severity) == ("PP708", "s1", Severity.HIGH)
    assert finding.message == (
        "train.py:12 .interleave(read) reads 200 files on gs, 1 at a time, and waits for them: 36 ms for each 40 "
        "ms step with the cores idle. Training waits 75 % (71–79 %) of each step. Read 16 or more at once with "
        "interleave or num_parallel_reads."
    )


def test_it_leads_to_reading_more_files_at_once() -> None:
    given = scene()

    (made,) = recommend(given.analysis(), check(given))

    assert (made.change.kind, made.stage_id) == ("interleave", "s1")


def test_the_cured_twin_on_a_local_disk_is_silent() -> None:
    assert check(scene("local")) == []


def test_it_fires_just_over_its_thresholds() -> None:
    assert len(check(scene(slots=15))) == 1
    assert len(check(scene(cpu_s=0.0179))) == 1


def test_just_under_its_thresholds_it_is_silent() -> None:
    assert check(scene(slots=16)) == []
    assert check(scene(cpu_s=0.0181)) == []


def test_no_more_files_than_readers_leave_nothing_to_read_at_once() -> None:
    assert check(scene(files=1)) == []


def test_it_does_not_apply_without_files() -> None:
    assert outcome_of(scene().but(files=())) == NOT_APPLICABLE
