"""The pipelines as rows and as a picture, in words; shared by all renderers.

One idea: the user's own call comes first, what TensorFlow made of it second. Shares are of the pipeline's work in one
step, stages and unattributed time together. Nothing here lays out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.sources import DISAGREE_FACTOR
from pipeprof.model.diagnosis import Bound, BoundLimit, Diagnosis, Pipeline, Stage, StageOp
from pipeprof.model.profile import CallSite
from pipeprof.report.isolated import IsolatedRow, isolated_note, isolated_rows, scaling_text
from pipeprof.report.text import call_text, number_text, one_line, short_paths

UNKNOWN = "\N{EN DASH}"  # a cell without a number; "not measured" says which, and why
REMOVED = "removed by TensorFlow"
NOT_SEEN = "not seen"  # it was over before the first sample
_SEQUENTIAL = "one call at a time"
_SMALLEST_SHARE = 0.001
_MINOR_SHARE = 0.01
_DEEPEST = 6  # branches within branches; below it only the first input is drawn, the table has them all
_MOST_OPS = 4  # that are named
_ENOUGH_OPS = 0.95  # of the time of all ops


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """One stage, ready to be shown."""

    id: str
    where: str  # "train.py:42", empty where the user wrote no such stage
    path: str  # the whole path with its line
    call: str  # ".map(decode)"
    executed: str
    busy: str
    share: str
    share_value: float | None
    slots: str  # "2 auto"
    slots_note: str  # "2, chosen by AUTOTUNE"
    max_rate: str  # a bare number, steps per second
    elements: str
    cpu: str
    buffered: str
    fused_with: str = ""  # ".map": the call whose time holds this one's
    is_bottleneck: bool = False
    injected: bool = False
    removed: bool = False
    unattributed: bool = False
    is_minor: bool = False  # a part of another row's call that costs next to nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowNode:
    """One stage of the picture with what feeds it; chains are flattened, so that only branches nest."""

    row: StageRow
    branches: tuple[tuple[FlowNode, ...], ...] = ()  # two or more inputs, each a chain of its own
    drawn_before: bool = False  # it feeds several stages and its inputs are drawn elsewhere


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineTable:
    """One pipeline, ready to be shown."""

    id: str
    title: str  # "train pipeline, model.fit"
    where: str
    written: str
    executed: str
    rewrites: str  # "map_and_batch_fusion: map, batch → MapAndBatch; ..."
    counters: str
    source: str  # "Times by tf.data model, 100 % of them explained; 2 trace windows agree within 9 %."
    rows: tuple[StageRow, ...]  # as written, source first, the unattributed time last
    flow: tuple[FlowNode, ...]
    bottleneck: str  # "train.py:42 .map(decode)", empty where there is none
    bottleneck_limit: str  # "at most 5.5 steps/s, one call at a time"
    inside: str  # the bottleneck's function: "inside it: DecodeJpeg 78 % (train.py:31), ResizeBilinear 18 %", empty if not seen
    isolated: tuple[IsolatedRow, ...]  # the stages that were measured alone, source first
    isolated_note: str
    scaling: str  # "More calls of data.py:12 .map(decode) at once: ..."
    bound: str  # "The input could deliver at most about 210 steps/s on these 2 cores; the cores limit it."

    @property
    def has_cpu(self) -> bool:
        """Whether any stage's CPU seconds were measured."""
        return any(row.cpu not in {"", UNKNOWN} for row in self.rows)

    @property
    def has_buffers(self) -> bool:
        """Whether any stage's buffer was seen."""
        return any(row.buffered not in {"", UNKNOWN} for row in self.rows)


class Sites:
    """Call sites in words, with paths as short as they can be told apart."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        """Collect every path that the report can mention."""
        self._short = short_paths(site.file for site in _sites(diagnosis))

    def where(self, site: CallSite | None) -> str:
        """Return ``train.py:42``, empty where there is no call site."""
        return "" if site is None else f"{self._short.get(site.file, one_line(site.file))}:{site.shown_line}"

    def path(self, site: CallSite | None) -> str:
        """Return the whole path with its line."""
        return "" if site is None else f"{one_line(site.file)}:{site.shown_line}"


def _sites(diagnosis: Diagnosis) -> list[CallSite]:
    found = [pipeline.call_site for pipeline in diagnosis.pipelines]
    found += [stage.call_site for pipeline in diagnosis.pipelines for stage in pipeline.stages]
    found += [finding.call_site for finding in diagnosis.all_findings]
    found += [item.call_site for item in diagnosis.recommendations]
    return [site for site in found if site is not None]


def pipeline_table(pipeline: Pipeline, sites: Sites) -> PipelineTable:
    """Return one pipeline's rows and picture."""
    rest = pipeline.unattributed_s_per_step
    total = sum(stage.busy_s_per_step or 0.0 for stage in pipeline.stages) + max(rest or 0.0, 0.0)
    ops = {stage.id: _short_name(stage) for stage in pipeline.stages}
    parts = _parts_of_calls(pipeline)
    rows = tuple(_row(stage, total, sites, ops.get(stage.fused_into or "", ""), stage.id in parts) for stage in pipeline.stages)
    consumer = f", {one_line(pipeline.consumer)}" if pipeline.consumer else ""
    return PipelineTable(
        id=one_line(pipeline.id),
        title=f"{pipeline.role} pipeline{consumer}",
        where=sites.where(pipeline.call_site),
        written=one_line(pipeline.written),
        executed=one_line(pipeline.executed),
        rewrites=one_line("; ".join(pipeline.rewrites)),
        counters=one_line(pipeline.counters),
        source=source_text(pipeline),
        rows=rows if rest is None or rest <= 0 else (*rows, _unattributed_row(rest, total)),
        flow=_flow(pipeline, {stage.id: row for stage, row in zip(pipeline.stages, rows, strict=True)}),
        bottleneck=next((f"{row.where} {row.call}".strip() for row in rows if row.is_bottleneck), ""),
        bottleneck_limit=next((_limit(stage) for stage in pipeline.stages if stage.is_bottleneck), ""),
        inside=next((_inside(stage.ops) for stage in pipeline.stages if stage.is_bottleneck), ""),
        isolated=isolated_rows(pipeline, {row.id: row.where for row in rows}),
        isolated_note=isolated_note(pipeline),
        scaling=scaling_text(pipeline, {row.id: f"{row.where} {row.call}".strip() for row in rows}),
        bound=bound_text(pipeline.bound, {row.id: f"{row.where} {row.call}".strip() for row in rows}),
    )


def source_text(pipeline: Pipeline) -> str:
    """Say where the times of the stages come from, how much of them is explained, and what a second source says."""
    if pipeline.explained_share is None or not pipeline.counters:
        return ""
    share = units.percent(math.floor(pipeline.explained_share * 100 + 1e-6) / 100)
    text = f"Times by {one_line(pipeline.counters)}, {share} of them explained"
    factor = pipeline.sources_factor
    cpu = pipeline.cpu_s_per_step
    used = "" if not cpu else f" TensorFlow's threads of it used {units.duration(cpu)} of CPU a step, also while they waited."
    if not pipeline.windows or factor is None:
        return f"{text}.{used}"
    windows = one_line(pipeline.windows)
    said = f"agree within {units.percent(factor - 1)}" if factor < DISAGREE_FACTOR else f"differ {units.ratio(factor)}"
    return f"{text}; {windows}, {said}.{used}"


def bound_text(bound: Bound | None, names: Mapping[str, str]) -> str:
    """Say what the whole input could deliver at most, and what limits it; empty where that is not known."""
    if bound is None:
        return ""
    cores = "this core" if bound.cores == 1 else f"these {number_text(bound.cores)} cores"
    rate = units.rate(bound.steps_per_s, " steps/s")
    return f"The input could deliver at most about {rate} on {cores}; {limit_text(bound, names)}."


def limit_text(bound: Bound, names: Mapping[str, str]) -> str:
    """Say what a bound rests on: ``the cores limit it``."""
    stage = names.get(bound.stage_id or "", "one stage")
    return {
        BoundLimit.CORES: "the cores limit it" if bound.cores != 1 else "the core limits it",
        BoundLimit.STAGE: f"{stage} limits it, which no more cores can change",
        BoundLimit.THREADS: f"the threads on which {stage} waits limit it",
        BoundLimit.PYTHON: f"Python's interpreter lock in {stage} limits it",
        BoundLimit.STORAGE: "reading from storage limits it",
        BoundLimit.MEMORY: "memory limits it",
    }[bound.limited_by]


def _parts_of_calls(pipeline: Pipeline) -> frozenset[str]:
    """Return the stages that the call of their consumer made too: ``TFRecordDataset(files)`` also slices the names."""
    makers = {name: stage.call_site for stage in pipeline.stages for name in stage.inputs}
    return frozenset(
        stage.id for stage in pipeline.stages if stage.call_site is not None and makers.get(stage.id) == stage.call_site
    )


def _short_name(stage: Stage) -> str:
    return one_line(stage.op if not stage.inputs else f".{stage.op}")


def _row(stage: Stage, total_s: float, sites: Sites, fused_with: str, is_part: bool) -> StageRow:
    busy = stage.busy_s_per_step
    share = None if busy is None or total_s <= 0 else busy / total_s
    call = one_line(stage.executed_as or stage.op) if stage.injected else call_text(stage.op, stage.call_site, not stage.inputs)
    return StageRow(
        id=one_line(stage.id),
        where=sites.where(stage.call_site),
        path=sites.path(stage.call_site),
        call=call,
        executed=_executed(stage),
        busy=UNKNOWN if busy is None else units.duration(busy),
        share=UNKNOWN if share is None else _share_text(share),
        share_value=share,
        slots=_slots(stage),
        slots_note=_slots_note(stage),
        max_rate=UNKNOWN if stage.max_steps_per_s is None else units.rate(stage.max_steps_per_s, ""),
        elements=UNKNOWN if stage.elements is None else f"{stage.elements:,}",
        cpu=UNKNOWN if stage.cpu_s is None else f"{units.duration(stage.cpu_s)} ({one_line(stage.cpu_source or '')})",
        buffered=_buffered(stage),
        fused_with=fused_with,
        is_bottleneck=stage.is_bottleneck,
        injected=stage.injected,
        removed=stage.executed_as is None and stage.seen_share is None,
        is_minor=is_part and not stage.is_bottleneck and (share or 0.0) < _MINOR_SHARE,
    )


def _unattributed_row(rest_s: float, total_s: float) -> StageRow:
    share = rest_s / total_s
    return StageRow(
        id="", where="", path="", call="not explained by any stage", executed="", busy=units.duration(rest_s),
        share=_share_text(share), share_value=share, slots="", slots_note="", max_rate="", elements="", cpu="", buffered="",
        unattributed=True,
    )  # fmt: skip


def _share_text(share: float) -> str:
    return f"<{units.percent(_SMALLEST_SHARE)}" if 0 < share < _SMALLEST_SHARE else units.percent(share)


def _executed(stage: Stage) -> str:
    if stage.injected:
        return "added by TensorFlow"
    if stage.executed_as is None:
        return REMOVED if stage.seen_share is None else NOT_SEEN
    return one_line(stage.executed_as)


def _slots(stage: Stage) -> str:
    if stage.parallelism is None:
        return "1" if stage.parallelism_note == _SEQUENTIAL else UNKNOWN
    note = {"AUTOTUNE": " auto", "fixed": " fixed"}.get(stage.parallelism_note or "", "")
    return number_text(stage.parallelism) + note


def _slots_note(stage: Stage) -> str:
    if stage.parallelism is None:
        return one_line(stage.parallelism_note or UNKNOWN)
    note = "chosen by AUTOTUNE" if stage.parallelism_note == "AUTOTUNE" else one_line(stage.parallelism_note or "")
    ramp = ""
    if stage.settled_s and stage.parallelism_first is not None:
        ramp = f"from {number_text(stage.parallelism_first)} at first, unchanged from {units.duration(stage.settled_s)} on"
    return ", ".join(part for part in (number_text(stage.parallelism), note, ramp) if part)


def _buffered(stage: Stage) -> str:
    if stage.buffered_elements is None:
        return UNKNOWN
    size = "" if stage.buffered_bytes is None else f", {units.byte_count(stage.buffered_bytes)}"
    return units.significant(stage.buffered_elements) + size


def _limit(stage: Stage) -> str:
    if stage.max_steps_per_s is None:
        return "the slowest part of the pipeline"
    calls = "one call at a time" if _slots(stage) == "1" or stage.parallelism == 1 else ""
    if stage.parallelism is not None and not calls:
        calls = f"{number_text(stage.parallelism)} calls at once"
    return ", ".join(part for part in (f"at most {units.rate(stage.max_steps_per_s, ' steps/s')}", calls) if part)


def _inside(ops: Sequence[StageOp]) -> str:
    """Name the ops that a function's time goes to, until most of it is told."""
    if not ops:
        return ""
    told, parts = 0.0, []
    for item in ops[:_MOST_OPS]:
        where = f" ({one_line(item.where)})" if item.where else ""
        parts.append(f"{one_line(item.op)} {units.percent(item.share)}{where}")
        told += item.share
        if told >= _ENOUGH_OPS:
            break
    rest = len(ops) - len(parts)
    if rest:
        parts.append(f"{units.count_of(rest, 'other op')} {units.percent(max(0.0, 1 - told))}")
    return f"inside its function: {', '.join(parts)}"


def _flow(pipeline: Pipeline, rows: Mapping[str, StageRow]) -> tuple[FlowNode, ...]:
    """Return the picture: from every stage that feeds no other one, back to its sources."""
    stages = {stage.id: stage for stage in pipeline.stages}
    used = {name for stage in pipeline.stages for name in stage.inputs}
    ends = [stage.id for stage in pipeline.stages if stage.id not in used] or list(stages)[-1:]
    drawn: set[str] = set()
    chains = [_chain(end, stages, rows, drawn, 0) for end in ends]
    return tuple(node for chain in chains for node in chain)


def _chain(
    end: str, stages: Mapping[str, Stage], rows: Mapping[str, StageRow], drawn: set[str], depth: int
) -> tuple[FlowNode, ...]:
    """Return the chain that ends in one stage, source first; branches nest, down to a depth that can still be looked at."""
    nodes: list[FlowNode] = []
    name: str | None = end
    while name is not None:
        inputs = [item for item in stages[name].inputs if item in stages]
        if name in drawn:
            nodes.append(FlowNode(row=rows[name], drawn_before=True))
            break
        drawn.add(name)
        if len(inputs) > 1 and depth < _DEEPEST:
            nodes.append(
                FlowNode(row=rows[name], branches=tuple(_chain(item, stages, rows, drawn, depth + 1) for item in inputs))
            )
            break
        nodes.append(FlowNode(row=rows[name]))
        name = inputs[0] if inputs else None
    return tuple(reversed(nodes))
