"""The history of runs in a terminal and as JSON: one line a run, and how good the predictions were.

Words and layout only: every number comes from the History or the Calibration and is rounded by ``units``. A run's name is
never cut, for it is typed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from rich.cells import cell_len
from rich.text import Text

from pipeprof import units
from pipeprof.model.history import Accuracy, Calibration, ConfirmedChange, History, RunRow, Unreadable
from pipeprof.report.terminal_layout import Block, hanging, padded
from pipeprof.report.text import list_words, one_line

_GAP = "  "
_MOST_NAME, _MOST_SCRIPT = 31, 12  # cells; a longer name has a line of its own
_BOUND_WIDTH, _SHARE_WIDTH = len("input-bound"), len("100 %")
_LEAST_ROOM = 12  # for what was confirmed, where the terminal is narrow
_NUMBER_WIDTHS = (6, 6, 8, 6)
_NUMBER_HEADS = ("TRIALS", "OFF BY", "TENDENCY", "HELD")
_LEGEND = (
    "OFF BY: by how much a prediction was wrong, median. TENDENCY: the same with its sign, + where too much was promised. "
    "HELD: of the 90 % intervals, those that hold the trial's speed-up. Predicted as this version of pipeprof does."
)
_NONE_YET = "No prediction can be compared yet: no run has a finished trial of a change that was predicted."


def history_lines(history: History, width: int) -> list[Text]:
    """Return the runs as lines of at most ``width`` cells; only a long name takes more."""
    names = [cell_len(one_line(row.id)) for row in history.runs]
    name_width = max(len("RUN"), *(size for size in names if size <= _MOST_NAME), 0)
    script_width = max(len("SCRIPT"), min(_MOST_SCRIPT, max((cell_len(_script(row)) for row in history.runs), default=0)))
    heads = ("RUN", "SCRIPT", "INPUT-BOUND", "WAIT")
    widths = (name_width, script_width, _BOUND_WIDTH, _SHARE_WIDTH)
    lines = [Text(_joined(heads, widths) + _GAP + "CONFIRMED", "bold")]
    for row in history.runs:
        lines += _row(row, widths, width)
    return lines + _left_out(history.unreadable, width)


def calibration_lines(calibration: Calibration, width: int) -> list[Text]:
    """Return how good the predictions were, as lines of at most ``width`` cells."""
    notes = [line for note in _notes(calibration) for line in (Text(), *hanging(Text(note, "dim"), width, ""))]
    if not calibration.scores:
        return [*hanging(Text(_NONE_YET, "bold"), width, ""), *notes, *_left_out(calibration.unreadable, width)]
    trials, runs = units.count_of(calibration.overall.count, "trial"), units.count_of(calibration.runs, "run")
    title = f"Predictions against {trials} of {runs}"
    kind_width = max(len("all changes"), *(cell_len(one_line(kind)) for kind in calibration.kinds))
    widths = (kind_width, *_NUMBER_WIDTHS)
    lines = [*hanging(Text(title, "bold"), width, ""), Text(), Text(_joined(("CHANGE", *_NUMBER_HEADS), widths, right=True))]
    for name, accuracy in (("all changes", calibration.overall), *calibration.kinds.items()):
        lines.append(Text(_joined((one_line(name), *_numbers(accuracy)), widths, right=True)))
    return [*lines, *notes, *_left_out(calibration.unreadable, width)]


def _row(row: RunRow, widths: Sequence[int], width: int) -> Block:
    name, share = one_line(row.id), "\N{EN DASH}" if row.wait_share is None else units.percent(row.wait_share)
    is_long = cell_len(name) > widths[0]
    cells = ("" if is_long else name, _script(row), row.input_bound, share)
    head = _joined(cells, widths) + _GAP
    confirmed = Text(", ".join(_confirmed(row.confirmed)) or "\N{EN DASH}")
    indent = cell_len(head) if width - cell_len(head) >= _LEAST_ROOM else len(_GAP)
    if indent < cell_len(head):  # no room beside it
        lines = [Text(head.rstrip()), *(hanging(confirmed, width, _GAP) if row.confirmed else [])]
    else:
        lines = hanging(confirmed, width, " " * indent, first=Text(head))
    return [Text(name), *lines] if is_long else lines


def _script(row: RunRow) -> str:
    words = row.command[1:2] if row.command[:1] == ("-m",) else row.command[:1]
    return one_line(PurePath(words[0]).name) if words else "\N{EN DASH}"


def _confirmed(changes: Sequence[ConfirmedChange]) -> Iterator[str]:
    for change in changes:
        then = "then " if change.on_top_of else ""
        yield f"{then}{one_line(change.kind)} {units.ratio(change.speedup)}"


def _numbers(accuracy: Accuracy) -> tuple[str, ...]:
    sign = "+" if (accuracy.median_error or 0.0) > 0 else ""
    tendency = sign + units.percent(accuracy.median_error)
    return f"{accuracy.count:,}", units.percent(accuracy.median_abs_error), tendency, units.percent(accuracy.held_share)


def _notes(calibration: Calibration) -> Iterator[str]:
    if calibration.scores:
        yield _LEGEND
    if calibration.on_top_of_others:
        trials = units.count_of(calibration.on_top_of_others, "trial")
        yield f"Left out: {trials} on top of other changes; predictions are against the pipeline as it was."
    if calibration.unpredicted:
        yield f"Left out: {units.count_of(calibration.unpredicted, 'trial')} of a change that nothing is predicted for."


def _left_out(unreadable: Sequence[Unreadable], width: int) -> Block:
    if not unreadable:
        return []
    runs, names = units.count_of(len(unreadable), "run"), list_words([one_line(item.id) for item in unreadable])
    text = f"{runs} left out, which cannot be read: {names} (pipeprof report RUN says why)."
    return [Text(), *hanging(Text(text, "dim"), width, _GAP)]


def _joined(cells: Sequence[str], widths: Sequence[int], *, right: bool = False) -> str:
    """Put cells side by side, the first to the left; numbers are to the right."""
    first, *others = (
        padded(cell, size, right=right and bool(index)) for index, (cell, size) in enumerate(zip(cells, widths, strict=True))
    )
    return _GAP.join((first, *others))
