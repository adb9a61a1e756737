"""The judge: edges may go either way, the very call is asked for, and alarms are counted where nothing is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("tensorflow")

from benchmarks.accuracy_attribution import Attributed, cases_alone, section
from benchmarks.accuracy_judging import Observation, classes_of, judge
from benchmarks.accuracy_page import page
from pipeprof.model.diagnosis import (
    Confidence,
    Diagnosis,
    Finding,
    InputBound,
    Limit,
    Pipeline,
    Resources,
    Run,
    Severity,
    Stage,
    Steps,
    Verdict,
)
from pipeprof.model.profile import CallSite, Host, Role, Versions
from tests.ground_truth.as_dataset import make
from tests.ground_truth.registry import all_cases

pytestmark = pytest.mark.tf

CASES = all_cases()
MARK = CASES["for_loop"].planted[0]


def seen(name: str, share: float, said: str, **more: object) -> Observation:
    """Return a run of a case that says so, whose measured share is the true one."""
    diagnosis = Diagnosis(
        run=Run(id="1", command=(), versions=Versions(pipeprof="0", python="3"), host=Host(cores=2), wall_s=9.0, exit_status=0),
        steps=Steps(count=100, wait_share=share),
        resources=Resources(),
        verdict=Verdict(input_bound=InputBound(said), limit=Limit.INPUT, sentence="", confidence=Confidence.HIGH),
    )
    return Observation(case=name, seed=1, truth={"wait_share": share}, diagnosis=replace(diagnosis, **more))


def blamed(line: int, op: str) -> tuple[Pipeline, ...]:
    """Return a training pipeline whose bottleneck is that call in the file of the planted one."""
    call = CallSite(file=f"/x/{MARK.file}", line=line, column=0, end_line=line, end_column=9, function="f", code="")
    stage = Stage(id="s1", op=op, executed_as="Map", call_site=call, is_bottleneck=True)
    return (Pipeline(id="p1", role=Role.TRAIN, stages=(stage,)),)


@pytest.mark.parametrize(
    ("truth", "right"),
    [
        (0.01, ("not",)),
        (0.03, ("not", "moderately")),
        (0.07, ("moderately", "not")),
        (0.12, ("moderately",)),
        (0.18, ("moderately", "highly")),
        (0.22, ("highly", "moderately")),
        (0.60, ("highly",)),
        (None, ("unknown",)),
    ],
)
def test_a_truth_within_three_points_of_an_edge_may_be_judged_either_way(truth: float | None, right: tuple[str, ...]) -> None:
    assert classes_of(truth) == right


def test_an_unknown_verdict_on_a_loop_whose_truth_is_known_is_withheld_and_not_right() -> None:
    found = judge(CASES["for_loop"], seen("for_loop", 0.5, "unknown"))

    assert (found.is_verdict_right, found.is_withheld) == (False, True)


@pytest.mark.parametrize(
    ("line", "op", "right"), [(MARK.line, MARK.op, True), (MARK.line, "batch", False), (MARK.line + 1, MARK.op, False)]
)
def test_only_the_planted_call_is_the_right_stage(line: int, op: str, right: bool) -> None:
    found = judge(CASES["for_loop"], seen("for_loop", 0.5, "highly", pipelines=blamed(line, op)))

    assert found.is_stage_right is right


def test_no_stage_is_asked_for_where_the_loop_does_not_wait() -> None:
    assert judge(CASES["for_loop"], seen("for_loop", 0.02, "not")).is_stage_right is None


@pytest.mark.parametrize(
    ("code", "severity", "alarms"), [("PP201", "medium", ("PP201 medium",)), ("PP201", "low", ()), ("PP101", "high", ())]
)
def test_a_serious_finding_on_a_healthy_case_is_a_false_alarm(code: str, severity: str, alarms: tuple[str, ...]) -> None:
    finding = Finding(code=code, name="x", severity=Severity(severity), confidence=Confidence.HIGH, message="")

    found = judge(CASES["healthy_cache"], seen("healthy_cache", 0.01, "not", findings=(finding,)))
    planted = judge(CASES["for_loop"], seen("for_loop", 0.5, "highly", findings=(finding,)))

    assert found.false_alarms == alarms
    assert planted.false_alarms == ()


def test_the_page_lists_every_miss() -> None:
    verdicts = [
        judge(CASES["for_loop"], seen("for_loop", 0.5, "not", pipelines=blamed(1, "batch"))),
        judge(CASES["three_steps"], Observation(case="three_steps", seed=1, failure="no output")),
    ]

    text = page(verdicts)

    assert "said not, right is highly; the truth is 50.0%" in text
    assert f"blamed {MARK.file}:1 batch, planted is {MARK.file}:{MARK.line} map" in text
    assert "`three_steps` (seed 1): failed: no output" in text
    assert "| stage right, by line and op | 0 of 1 | - | - | 0 of 1 |" in text


def test_the_section_on_the_stages_alone_counts_the_planted_ones_and_leaves_out_what_was_not_measured() -> None:
    seen = [
        Attributed(case="scan", seed=1, coverage=0.9, dearest="planted_chains.py:1 scan", is_right=True),
        Attributed(case="windows", seed=1, coverage=0.7, dearest="planted_chains.py:2 window", is_right=False),
        Attributed(case="padded_batch", seed=1, failure="it hung"),
    ]

    text = section(seen)

    assert "is 80% of what the whole pipeline used at full speed (median; from 70% to 90%)" in text
    assert "the planted one in 1 of 3" in text
    assert "| padded_batch | 1 | - | - | it hung |" in text
    assert section(seen[2:]) == ""


def test_a_case_that_python_reads_has_its_pipeline_alone() -> None:
    names = {case.name for case in cases_alone()}

    assert {"slow_filter", "from_generator", "parsed_records"} <= names
    assert make("slow_filter", 3).element_spec.shape.rank == 1
