"""The steps in numbers, and the lanes of buffers and of AUTOTUNE's choices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.model.diagnosis import Level, Pipeline, Quantiles, Steps
from pipeprof.report.charts import levels_chart
from pipeprof.report.html_page import render
from pipeprof.report.steps import step_notes, step_rows
from tests.support.diagnoses import input_bound
from tests.support.diagnosis_parts import train_pipeline


def pipeline(*levels: Level) -> Pipeline:
    return replace(train_pipeline(), levels=levels)


def ids() -> tuple[str, str]:
    stages = train_pipeline().stages
    return stages[1].id, stages[-1].id


def level(t_s: float, held: float, calls: float) -> Level:
    mapped, last = ids()
    return Level(t_s=t_s, buffered={last: held}, parallelism={mapped: calls})


def test_a_row_for_each_duration_that_was_measured() -> None:
    steps = Steps(
        count=10, step=Quantiles(p50_s=0.04, p95_s=0.05, p99_s=0.3), wait=Quantiles(p50_s=0.03, p95_s=0.04, p99_s=0.2)
    )

    rows = step_rows(steps)

    assert [(row.name, row.middle, row.nearly_all) for row in rows] == [
        ("whole step", "40 ms", "300 ms"),
        ("waiting for an element", "30 ms", "200 ms"),
    ]


def test_the_edges_of_epochs_and_readiness_are_one_sentence() -> None:
    steps = Steps(count=10, creation_s=0.012, epoch_first_wait_s=0.6, ready_s=0.12)

    assert step_notes(steps) == (
        "Making an iterator takes 12 ms; the first element of a later epoch is waited for 600 ms, in which caches are read and "
        "buffers fill; an element lies ready in the last buffer for 120 ms on average."
    )
    assert step_notes(Steps(count=10, ready_s=0.0)) == "An element lies ready in the last buffer for 0 s on average."
    assert step_notes(Steps(count=0)) == ""


def test_a_buffer_and_a_ramp_have_a_lane_each() -> None:
    chart = levels_chart(pipeline(level(1.0, 2.0, 1.0), level(2.0, 5.0, 4.0)))

    assert chart is not None
    assert [lane.note for lane in chart.lanes] == ["AUTOTUNE: 1 to 4 calls at once", "0 to 5 elements; at most 5"]
    assert (chart.start, chart.end) == ("1.0 s", "2.0 s")


@pytest.mark.parametrize("levels", [(), (level(1.0, 0.0, 2.0), level(2.0, 0.0, 2.0))])
def test_what_never_changed_and_never_held_anything_has_no_lane(levels: tuple[Level, ...]) -> None:
    assert levels_chart(pipeline(*levels)) is None


def test_the_page_draws_them_under_their_pipeline() -> None:
    steps = replace(input_bound().steps, wait=Quantiles(p50_s=0.03, p95_s=0.04, p99_s=0.2))
    levels = (level(1.0, 2.0, 1.0), level(2.0, 5.0, 4.0))

    text = render(replace(input_bound(), steps=steps, pipelines=(pipeline(*levels),)))

    assert "AUTOTUNE: 1 to 4 calls at once" in text
    assert "waiting for an element" in text
