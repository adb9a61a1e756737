"""The outlook in a terminal: will the input keep up, what breaks first, and what it would take; one screen.

Words and layout only; every number comes from the Outlook and is rounded by ``units``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import msgspec
from rich.text import Text

from pipeprof import units
from pipeprof.model.diagnosis import Stage
from pipeprof.model.outlook import KeepsUp, Outlook
from pipeprof.report.stages import limit_text
from pipeprof.report.terminal_layout import Block, hanging
from pipeprof.report.text import call_text, number_text, one_line

_LABEL_WIDTH = 16
_INDENT = 2
_HEADS = {
    KeepsUp.YES: ("✓", "bold green", "The input would keep up"),
    KeepsUp.PERHAPS: ("!", "bold yellow", "The input might not keep up"),
    KeepsUp.NO: ("✗", "bold red", "The input would not keep up"),
}


def to_json(outlook: Outlook) -> bytes:
    """Return the outlook as indented JSON with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(outlook), indent=_INDENT) + b"\n"


def outlook_lines(outlook: Outlook, width: int) -> list[Text]:
    """Return the outlook as lines of at most ``width`` cells."""
    mark, style, head = _HEADS[outlook.keeps_up]
    share, interval = units.percent(outlook.wait_share), units.percent_interval(outlook.wait_share_low, outlook.wait_share_high)
    rate = f"{units.rate(outlook.steps_per_s_low, '')}\N{EN DASH}{units.rate(outlook.steps_per_s_high, ' steps/s')}"
    sentence = f"{head}: training would wait about {share} ({interval}) of the time, at {rate}."
    lines = hanging(Text(sentence, "bold"), width, "  ", first=Text(f"{mark} ", style))
    lines.append(Text())
    for label, text in _rows(outlook):
        lines += _labelled(label, text, width)
    lines.append(Text())
    return lines + hanging(Text(f"Assumed: {'; '.join(outlook.assumptions)}.", "dim"), width, "  ", first=Text("  "))


def _rows(outlook: Outlook) -> Iterator[tuple[str, str]]:
    asked, seen = outlook.asked, outlook.seen
    with_workers = f" on {units.count_of(asked.workers, 'tf.data service worker')}" if asked.workers else ""
    yield (
        "asked",
        f"{_cores(asked.cores)}{' each' if asked.workers else ''}{with_workers}, a step of {units.duration(asked.step_s)}",
    )
    yield "the run", f"{_cores(seen.cores)}, a step of {units.duration(seen.step_s)} of its own"
    bound = outlook.input_bound
    names = {stage.id: stage_text(stage) for stage in (outlook.breaks_first, outlook.wall_stage) if stage is not None}
    yield "the input", f"at most about {units.rate(bound.steps_per_s, ' steps/s')}; {limit_text(bound, names)}"
    if outlook.breaks_first is not None:
        yield "breaks first", stage_text(outlook.breaks_first)
    yield "cores", _cores_text(outlook)
    yield "workers", _workers_text(outlook)
    if outlook.wall_steps_per_s is not None and outlook.wall_stage is not None:
        rate = units.rate(outlook.wall_steps_per_s, " steps/s")
        yield "the wall", f"{stage_text(outlook.wall_stage)}: at most {rate}, whatever the number of cores"
    else:
        yield "the wall", "none: every stage can use more cores"


def stage_text(stage: Stage) -> str:
    """Name a stage by the user's line: ``train.py:42 .map(decode)``."""
    site = stage.call_site
    call = one_line(stage.executed_as or stage.op) if stage.injected else call_text(stage.op, site, not stage.inputs)
    return call if site is None else f"{one_line(PurePath(site.file).name)}:{site.shown_line} {call}"


def _cores(number: float) -> str:
    return f"{number_text(number)} {'core' if number == 1 else 'cores'}"


def _cores_text(outlook: Outlook) -> str:
    if outlook.cores_needed is None:
        return "no number of cores would let the input keep up as it is written"
    each = " in each worker" if outlook.asked.workers else ""
    return f"{_cores(outlook.cores_needed)}{each} would be enough, at the least"


def _workers_text(outlook: Outlook) -> str:
    if outlook.workers_needed is None:
        return "no number of tf.data service workers would be enough"
    size = _cores(outlook.asked.cores)
    return f"{units.count_of(outlook.workers_needed, 'tf.data service worker')} of {size} would be enough, at the least"


def _labelled(label: str, value: str, width: int) -> Block:
    return hanging(Text(value), width, " " * _LABEL_WIDTH, first=Text(f"  {label:<{_LABEL_WIDTH - 2}}", "dim"))
