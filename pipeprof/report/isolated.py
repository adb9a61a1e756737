"""The stages measured alone, in words: what each of them costs, and what it does with its time.

One idea: only a difference that is clear of the noise is shown as a cost. Pure, and nothing here lays out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeprof import units
from pipeprof.model.diagnosis import IsolatedCost, Pipeline, Stage, Work
from pipeprof.report.text import one_line

_NOTE = (
    "the pipeline cut behind each stage and run alone; CPU and wall are what the stage adds to one step; "
    "stages that run side by side add CPU, hardly time"
)
_WORDS = {
    Work.COMPUTING: "computing",
    Work.WAITING: "waiting",
    Work.PYTHON: "Python under lock",
    Work.NOT_SEPARABLE: "not separable",
}
_NONE = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True, slots=True)
class IsolatedRow:
    """One stage."""

    where: str
    call: str
    rate: str  # elements per second of the pipeline that ends here
    cpu: str
    cpu_interval: str  # half of its 90 % interval
    wall: str
    work: str


def isolated_rows(pipeline: Pipeline, where: dict[str, str]) -> tuple[IsolatedRow, ...]:
    """Return the rows of the stages that were measured alone, source first."""
    return tuple(
        _row(stage, stage.isolated, where.get(one_line(stage.id), ""))
        for stage in pipeline.stages
        if stage.isolated is not None
    )


def isolated_note(pipeline: Pipeline) -> str:
    """Say what the numbers mean, and how much of the whole pipeline's CPU they account for."""
    if pipeline.cpu_coverage is None:
        return _NOTE
    return f"{_NOTE}; their CPU comes to {units.percent(pipeline.cpu_coverage)} of what the whole pipeline used"


def scaling_text(pipeline: Pipeline, names: Mapping[str, str]) -> str:
    """Say what more calls at once gave the stage whose calls were varied; empty where none were."""
    one = next((item for item in pipeline.scaling if item.calls == 1), None)
    more = [item for item in pipeline.scaling if item.calls > 1]
    if one is None or not more:
        return ""
    name = names.get(one_line(pipeline.scaling_stage_id), "")
    told = ", ".join(
        f"{item.calls} calls {units.ratio(item.speedup)} ({units.ratio_interval(item.low, item.high)})" for item in more
    )
    return f"More calls of {name} at once: one alone makes {units.rate(one.elements_per_s, ' elements/s')}, {told} of that."


def _row(stage: Stage, cost: IsolatedCost, where: str) -> IsolatedRow:
    is_clear = cost.low is not None and cost.low > 0
    is_slow = cost.wall_low is not None and cost.wall_low > 0
    interval = ""
    if cost.low is not None and cost.high is not None and is_clear:
        interval = f"± {units.duration((cost.high - cost.low) / 2)}"
    return IsolatedRow(
        where=where,
        call=one_line(f".{stage.op}" if stage.inputs else stage.op),
        rate=_NONE if cost.elements_per_s is None else units.rate(cost.elements_per_s, ""),
        cpu=units.duration(cost.cpu_s) if is_clear else _NONE,
        cpu_interval=interval,
        wall=units.duration(cost.wall_s) if is_slow else _NONE,
        work=_work(cost),
    )


def _work(cost: IsolatedCost) -> str:
    word = _WORDS[cost.work]
    return word if cost.cores is None else f"{word}, {units.significant(cost.cores)} cores"
