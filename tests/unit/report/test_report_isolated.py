"""The stages measured alone: only what is clear of the noise is shown as a cost, and the table fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.model.diagnosis import Diagnosis, IsolatedCost, ScaledRate, Work
from pipeprof.report.html_page import render
from pipeprof.report.isolated_table import isolated_lines
from pipeprof.report.view import make_sheet
from tests.support.diagnoses import input_bound

COSTS = (
    IsolatedCost(
        work=Work.WAITING, elements_per_s=300.0, rounds=4, cpu_s=2e-4, wall_s=3e-3, low=1e-4, high=3e-4, wall_low=2.9e-3
    ),
    IsolatedCost(work=Work.COMPUTING, elements_per_s=150.0, rounds=4, cpu_s=4e-3, wall_s=1e-3, low=3e-3, high=5e-3, cores=1.8),
    IsolatedCost(work=Work.NOT_SEPARABLE, elements_per_s=None, rounds=1, cpu_s=-1e-3, wall_s=-1e-3),
)


def _diagnosis(step_s: float | None = 0.0) -> Diagnosis:
    diagnosis = input_bound()
    first = diagnosis.pipelines[0]
    stages = [replace(stage, isolated=cost) for stage, cost in zip(first.stages, COSTS, strict=False)]
    rest = first.stages[len(stages) :]
    pipelines = (replace(first, stages=(*stages, *rest)), *diagnosis.pipelines[1:])
    return replace(diagnosis, pipelines=pipelines, run=replace(diagnosis.run, bench_step_s=step_s))


def test_costs_that_are_clear_are_shown_and_others_are_not():
    waiting, computing, lost = make_sheet(_diagnosis()).pipelines[0].isolated

    assert (waiting.cpu, waiting.cpu_interval, waiting.wall, waiting.work) == (
        "200 µs",
        "± 100 µs",
        "3.0 ms",
        "waiting",
    )
    assert (computing.cpu, computing.wall, computing.work) == ("4.0 ms", "–", "computing, 1.8 cores")
    assert (lost.cpu, lost.cpu_interval, lost.wall, lost.rate, lost.work) == ("–", "", "–", "–", "not separable")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_and_keeps_its_numbers(width):
    table = make_sheet(_diagnosis()).pipelines[0]
    lines = [line.plain for line in isolated_lines(table.isolated, table.isolated_note, width)]

    assert max(map(len, lines)) <= width
    assert any("4.0 ms" in line and line.endswith("computing, 1.8 cores") for line in lines)
    assert ("± 100 µs" in "\n".join(lines)) is (width >= 80)


def test_the_page_has_the_table_only_where_stages_were_measured_alone():
    assert "Each stage alone" in render(_diagnosis())
    assert "Each stage alone" not in render(input_bound())


def test_the_headline_of_a_pipeline_alone_has_no_band():
    alone, program = make_sheet(_diagnosis(0.0)).headline, make_sheet(_diagnosis(None)).headline

    assert alone.tags[0] == "measured alone, without training"
    assert not any("input-bound" in tag for tag in alone.tags)
    assert any("input-bound" in tag for tag in program.tags)


def test_more_calls_at_once_are_told_against_one():
    diagnosis = _diagnosis()
    pipeline = diagnosis.pipelines[0]
    scaling = (
        ScaledRate(calls=1, elements_per_s=34.0, speedup=1.0, low=1.0, high=1.0),
        ScaledRate(calls=2, elements_per_s=61.0, speedup=1.79, low=1.7, high=1.88),
        ScaledRate(calls=4, elements_per_s=60.0, speedup=1.76, low=1.6, high=1.92),
    )
    told = replace(diagnosis, pipelines=(replace(pipeline, scaling_stage_id=pipeline.stages[1].id, scaling=scaling),))

    text = make_sheet(told).pipelines[0].scaling

    assert text.startswith("More calls of ")
    assert text.endswith(
        "at once: one alone makes 34 elements/s, 2 calls 1.79× (1.70–1.88×), 4 calls 1.76× (1.60–1.92×) of that."
    )
    assert make_sheet(diagnosis).pipelines[0].scaling == ""
