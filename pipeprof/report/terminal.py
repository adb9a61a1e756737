"""The report in a terminal: the verdict first, then where the time goes, what to change and what is not known.

One idea: a report is a list of lines that are known to fit, so it reads the same at 60 columns and in a file. Words come
from ``view``; this module chooses, lays out and colours. Numbers are never cut; colour never says what words do not.
"""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from pipeprof import units
from pipeprof.model.diagnosis import Diagnosis
from pipeprof.report.advice import AdviceText, FindingText, Outcome
from pipeprof.report.isolated_table import isolated_lines
from pipeprof.report.stage_table import stage_lines
from pipeprof.report.stages import PipelineTable
from pipeprof.report.terminal_layout import Block, hanging, plain
from pipeprof.report.text import list_words, one_line
from pipeprof.report.view import Sheet, Tone, make_sheet
from pipeprof.store import DEFAULT_ROOT, HTML_FILE, PROFILE_FILE

_DEFAULT_WIDTH, _LEAST_WIDTH, _MOST_WIDTH = 80, 40, 120
_MAX_FINDINGS = 3
_MAX_ADVICE = 4
_MAX_DIFF_LINES = 24
_MAX_GAPS = 5
_MAX_OTHERS = 3
_LABEL_WIDTH = 15
_MARKS = {Tone.GOOD: "✓", Tone.WARNING: "!", Tone.BAD: "✗", Tone.UNKNOWN: "?"}
_TONE_STYLES = {Tone.GOOD: "bold green", Tone.WARNING: "bold yellow", Tone.BAD: "bold red", Tone.UNKNOWN: "bold cyan"}
_SEVERITY_STYLES = {"high": "bold red", "medium": "bold yellow", "low": "bold", "info": "bold cyan"}
_OUTCOME_MARKS = {
    Outcome.CONFIRMED: ("✓", "bold green"),
    Outcome.LESS_CPU: ("✓", "bold green"),
    Outcome.UNDECIDED: ("?", "bold cyan"),
    Outcome.NOT_TRIED: ("?", "bold cyan"),
    Outcome.NO_DIFFERENCE: ("=", "bold"),
    Outcome.REFUSED: ("✗", "bold red"),
}
_DIFF_STYLES = (("---", "bold"), ("+++", "bold"), ("@@", "cyan"), ("-", "red"), ("+", "green"))
_TO_ASCII = str.maketrans("✓✗▶→↳×–…µ·─█", "+x>>>x-~u--#")  # one column each, so that widths stay


def print_report(diagnosis: Diagnosis, stream: TextIO, run_path: Path | None) -> None:
    """Print a diagnosis for people.

    Args:
        diagnosis: what to print.
        stream: where to; its terminal decides on width and colour, as do ``COLUMNS``, ``NO_COLOR``, ``FORCE_COLOR``, ``TERM``.
        run_path: the run's directory, for naming its files and the next commands; None where the run was not kept.
    """
    width = _width(stream)
    lines = [line for block in _blocks(make_sheet(diagnosis), run_path, width) for line in (*block, Text())]
    _write(stream, [Text(), *lines[:-1]], width)


def print_lines(make: Callable[[int], list[Text]], stream: TextIO) -> None:
    """Print lines that are made for the stream's width, in its colours."""
    width = _width(stream)
    _write(stream, make(width), width)


def _width(stream: TextIO) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return _bounded(int(columns))
    try:
        return _bounded(os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):  # not a terminal, or not even a file
        return _DEFAULT_WIDTH


def _bounded(columns: int) -> int:
    return max(_LEAST_WIDTH, min(columns or _DEFAULT_WIDTH, _MOST_WIDTH))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _has_colour(stream: TextIO) -> bool:
    """Decide on colour: ``NO_COLOR`` forbids, ``FORCE_COLOR`` (but ``0``) demands, else a terminal that is not dumb has it."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return os.environ["FORCE_COLOR"] != "0"
    return _is_terminal(stream) and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}


def _write(stream: TextIO, lines: list[Text], width: int) -> None:
    """Write finished lines in one piece; a reader that went away (``| head``) is no error."""
    buffer = io.StringIO()
    colour = _has_colour(stream)
    console = Console(
        file=buffer, width=max(width, *(line.cell_len for line in lines)), force_terminal=colour, legacy_windows=False,
        color_system="standard" if colour else None, highlight=False, markup=False, emoji=False,
    )  # fmt: skip
    for line in lines:
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    try:
        stream.write(_encodable(buffer.getvalue(), getattr(stream, "encoding", None) or "utf-8"))
        stream.flush()
    except BrokenPipeError:
        return


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_TO_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return text


def _blocks(sheet: Sheet, run_path: Path | None, width: int) -> Iterator[Block]:
    yield _verdict(sheet, width)
    if sheet.facts:
        yield hanging(Text(sheet.facts), width, "  ")
    yield from _pipelines(sheet, width)
    yield from _findings(sheet, width)
    yield from _advice(sheet, width)
    if sheet.reruns:
        yield _reruns(sheet, width)
    if sheet.gaps:
        yield _gaps(sheet, width)
    if run_path is not None:
        yield _next_steps(sheet, run_path, width)


def _verdict(sheet: Sheet, width: int) -> Block:
    style = _TONE_STYLES[sheet.headline.tone]
    mark = Text(f"{_MARKS[sheet.headline.tone]} ", style)
    tags = Text(" · ".join(sheet.headline.tags), style.removeprefix("bold "))
    return [*hanging(Text(sheet.headline.sentence, "bold"), width, "  ", first=mark), *hanging(tags, width, "  ")]


def _pipelines(sheet: Sheet, width: int) -> Iterator[Block]:
    if not sheet.pipelines:
        return
    first, *others = sheet.pipelines
    block = [_heading("Where the time goes", f"{first.title}, per step", width), *stage_lines(first, width)]
    for other in others[:_MAX_OTHERS]:
        block += hanging(Text(_in_short(other), "dim"), width, "    ", first=Text("  also seen: ", "dim"))
    if len(others) > _MAX_OTHERS:
        block.append(Text(f"  … {units.count_of(len(others) - _MAX_OTHERS, 'more pipeline')} in the full report", "dim"))
    yield block
    if first.isolated:
        heading = _heading("Each stage alone", "what it adds to one step", width)
        scaling = hanging(Text(first.scaling), width, "  ") if first.scaling else []
        yield [heading, *isolated_lines(first.isolated, first.isolated_note, width), *scaling]


def _in_short(table: PipelineTable) -> str:
    where = f" at {table.where}" if table.where else ""
    stages = units.count_of(sum(not row.unattributed for row in table.rows), "stage")
    slowest = f"; bottleneck {table.bottleneck}, {table.bottleneck_limit}" if table.bottleneck else ""
    return f"{table.title}{where}, {stages}{slowest}"


def _heading(title: str, note: str, width: int) -> Text:
    head = Text(title, "bold")
    return Text.assemble(head, ("  " + plain(note, width - len(title) - 2), "dim")) if note else head


def _findings(sheet: Sheet, width: int) -> Iterator[Block]:
    shown = sheet.key_findings[:_MAX_FINDINGS]
    if not shown:
        return
    more = len(sheet.key_findings) - len(shown)
    block = [_heading("Findings", f"{more} more in the full report" if more else "", width)]
    for finding in shown:
        block += _finding(finding, width)
    yield block


def _finding(finding: FindingText, width: int) -> Block:
    severity = (finding.severity.upper(), _SEVERITY_STYLES[finding.severity])
    where = f"  {finding.where}" if finding.where else ""
    head = Text.assemble(severity, "  ", (f"{finding.code} {finding.name}", "bold"), where)
    block = [*hanging(head, width, "    ", first=Text("  ")), *hanging(Text(finding.message), width, "    ")]
    phrases = "; ".join([*(row.phrase for row in finding.evidence), finding.confidence])
    block += hanging(Text(phrases, "dim"), width, "    ")
    for item in finding.under:
        elsewhere = f" ({item.where})" if item.where and item.where != finding.where else ""
        text = Text.assemble(f"{item.relation}: ", (f"{item.code} {item.name}", "bold"), f"{elsewhere}. {item.gist}")
        block += hanging(text, width, "      ", first=Text("    ↳ "))
    if finding.settled:
        text = Text(f"also told by {list_words(finding.settled)}", "dim")
        block += hanging(text, width, "      ", first=Text("    ↳ ", "dim"))
    return block


def _advice(sheet: Sheet, width: int) -> Iterator[Block]:
    if not sheet.advice:
        return
    block = [_heading("Changes", sheet.advice_summary, width)]
    for item in sheet.advice[:_MAX_ADVICE]:
        block += _recommendation(item, width)
    for item in sheet.advice[_MAX_ADVICE:]:
        block += [*_headline_of(item, width), *_proof(item, width)]
    yield block


def _reruns(sheet: Sheet, width: int) -> Block:
    block: Block = [_heading("Training again", "the script itself, with confirmed changes and without", width)]
    for item in sheet.reruns:
        block += hanging(Text(item.text), width, "    ", first=Text(f"  {_MARKS[item.tone]} ", _TONE_STYLES[item.tone]))
    return block


def _headline_of(item: AdviceText, width: int) -> Block:
    mark, style = _OUTCOME_MARKS[item.outcome]
    title = Text.assemble((f"{item.outcome.upper()}  ", style), (item.title, "bold"))
    return hanging(title, width, "    ", first=Text(f"  {mark} ", style))


def _recommendation(item: AdviceText, width: int) -> Block:
    block = _headline_of(item, width)
    notes = "; ".join(part for part in (item.where, item.safety, item.standing, item.caution, item.costs) if part)
    block += hanging(Text(notes), width, "    ")
    block += _labelled("predicted", item.predicted, "", width)
    block += _proof(item, width)
    if item.diff and item.outcome in {Outcome.CONFIRMED, Outcome.LESS_CPU, Outcome.UNDECIDED, Outcome.NOT_TRIED}:
        return block + _diff(item, width)
    if item.diff_reason and not item.diff:
        block += _labelled("no patch", item.diff_reason, "dim", width)
        for line in item.code:
            block += hanging(Text(line), width, "          ", first=Text("      "))
    return block + _sketch(item, width)


def _proof(item: AdviceText, width: int) -> Block:
    block = _labelled("trial", item.trial, _OUTCOME_MARKS[item.outcome][1].removeprefix("bold").strip(), width)
    if item.elements:
        block += _labelled("data", item.elements, "bold red" if item.elements_differ else "", width)
    return block


def _labelled(label: str, value: str, style: str, width: int) -> Block:
    return hanging(Text(value, style), width, " " * _LABEL_WIDTH, first=Text(f"    {label:<{_LABEL_WIDTH - 4}}", "dim"))


def _diff(item: AdviceText, width: int) -> Block:
    block: Block = []
    for line in item.diff[:_MAX_DIFF_LINES]:
        style = next((style for start, style in _DIFF_STYLES if line.startswith(start)), "dim")
        block += hanging(Text(line, style=style), width, "      ", first=Text("    "))
    hidden = len(item.diff) - _MAX_DIFF_LINES
    if hidden > 0:
        block.append(Text(f"    … {units.count_of(hidden, 'more line')} in the full report", style="dim"))
    return block


def _sketch(item: AdviceText, width: int) -> Block:
    block: Block = _labelled("by hand", "for instance", "dim", width) if item.sketch else []
    for line in item.sketch:
        block += hanging(Text(line), width, "          ", first=Text("      "))
    return block


def _gaps(sheet: Sheet, width: int) -> Block:
    major = [gap for gap in sheet.gaps if not gap.minor]
    hidden = len(sheet.gaps) - len(major[:_MAX_GAPS])
    block = [_heading("Not measured", f"{hidden} more in the full report" if hidden and major else "", width)]
    if not major:
        return [_heading("Not measured", f"{units.count_of(hidden, 'minor value')}, listed in the full report", width)]
    for gap in major[:_MAX_GAPS]:
        block += hanging(Text(gap.text), width, "    ", first=Text("  - "))
    return block


def _next_steps(sheet: Sheet, run_path: Path, width: int) -> Block:
    page = run_path / HTML_FILE
    has_page = page.is_file()
    block: Block = [Text("Next", "bold")]
    if has_page:
        block = hanging(Text(_shown_path(page), "bold"), width, "    ", first=Text("Full report  "))
    rows = [] if has_page else [(_command("report", run_path) + " --html", "the full report as a page")]
    if sheet.key_findings:
        rows.append((f"pipeprof explain {sheet.key_findings[0].code}", "why this costs time, and what helps"))
    rows.append((_command("report", run_path) + " --json", "everything, for programs"))
    size = max(len(command) for command, _ in rows) + 2
    fits = all(2 + size + len(note) <= width for _, note in rows)
    for command, note in rows:
        line = Text.assemble(f"{command:<{size}}", (note, "dim")) if fits else Text(command)
        block += hanging(line, width, "    ", first=Text("  "))
    return block


def _shown_path(path: Path) -> str:
    """Return the path as one would type it from here: relative where it lies below the working directory."""
    absolute = path.absolute()
    here = Path.cwd()
    return one_line(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))


def _command(name: str, run_path: Path) -> str:
    """Return a command about this run; the newest run of the usual place needs no name, any other there only its own."""
    root = DEFAULT_ROOT.absolute()
    path = run_path.absolute()
    if path.parent != root:
        return f"pipeprof {name} {shlex.quote(_shown_path(path))}"
    newest = max((found.parent.name for found in root.glob(f"*/{PROFILE_FILE}")), default="")
    return f"pipeprof {name}" if newest in {"", path.name} else f"pipeprof {name} {shlex.quote(path.name)}"
