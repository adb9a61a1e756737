"""User text made harmless and short: paths, code, names and messages on their way into a report.

Text that came from the user's program may hold escape codes, direction marks or lone surrogates; all of it becomes visible
escapes here, once, before any renderer sees it. Nothing here knows of HTML or of terminals.
"""

from __future__ import annotations

import ast
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from pipeprof import units
from pipeprof.model.profile import CallSite

_DANGEROUS = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}  # control, format, surrogate, separators, private, unassigned
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_JOINERS = {"\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}
_SPACES = re.compile(r"\s+")
# stands between a number and its unit
_UNIT_SPACE = re.compile(r"(?<=[\d=]) (?=%|[mnµ]?s\b|min\b|[kMG]?B\b|steps?\b|cores?\b|pairs?\b|epochs?\b|\d)|(?<=\bn) (?==)")
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def harmless(text: str) -> str:
    r"""Return ``text`` with every character that could move a cursor or turn the line around shown as its escape (``\x1b``).

    Tabs become four spaces, line breaks stay as they are: use ``one_line`` where there must be none.
    """
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(char if _is_safe(char) else char.encode("unicode_escape").decode() for char in text)


def _is_safe(char: str) -> bool:
    return char == "\n" or char in _JOINERS or unicodedata.category(char) not in _DANGEROUS


def one_line(text: str) -> str:
    """Return harmless text on one line, runs of white space as one space."""
    return harmless(_SPACES.sub(" ", text).strip())


def call_text(op: str, site: CallSite | None, is_source: bool) -> str:
    """Return how the user wrote one stage: ``.map(decode)``, ``list_files("*.jpg")``; ``.map(…)`` where only the name is known.

    A call site's code is the whole chain up to the call, and may be cut off; only the last call of it is the stage's own.
    A stage that another function made comes after the user's call of that: ``fit(…) .map``, ``list_files(…) .shuffle``.
    """
    called, arguments = (None, None) if site is None else _last_call(site.code)
    name = op if is_source else "." + op
    if called and called != op:
        return one_line(f"{called}({_ELLIPSIS}) {name}")
    return one_line(f"{name}({_ELLIPSIS if called is None else arguments})")


def _last_call(code: str) -> tuple[str | None, str]:
    """Return the name and the arguments of the last call of a chain, no name where that cannot be read."""
    source = f"({code}\n)"
    try:
        with warnings.catch_warnings(action="ignore"):  # the user's own invalid escapes are the user's
            tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, ""
    called = _called_name(tree.func) if isinstance(tree, ast.Call) else None
    if not isinstance(tree, ast.Call) or called is None:
        return None, ""
    given = (ast.get_source_segment(source, item) for item in (*tree.args, *tree.keywords))
    return called, ", ".join(segment or _ELLIPSIS for segment in given)


def _called_name(function: ast.expr) -> str | None:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


def short_paths(paths: Iterable[str]) -> dict[str, str]:
    """Return for each path its shortest ending that no other one of ``paths`` has (``train.py``, ``a/io.py``)."""
    distinct = {path: PurePath(path).parts for path in dict.fromkeys(paths)}
    shortest = {}
    for path, parts in distinct.items():
        others = [other for name, other in distinct.items() if name != path]
        count = next((n for n in range(1, len(parts)) if not any(other[-n:] == parts[-n:] for other in others)), len(parts))
        shortest[path] = one_line(str(PurePath(*parts[-count:]))) if parts else one_line(path)
    return shortest


def list_words(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def number_text(value: float) -> str:
    """Return a bare number: a whole one as it is (``7``, ``13,184``), any other with two digits (``1.4``)."""
    return f"{value:,.0f}" if float(value).is_integer() else units.significant(value)


def ordinal(number: int) -> str:
    """Return a number as a place in an order: ``1st``, ``2nd``, ``11th``."""
    is_teen = number % 100 in {11, 12, 13}
    return f"{number:,}{'th' if is_teen else _ENDINGS.get(number % 10, 'th')}"


def counted(value: float, unit: str) -> str:
    """Return a number with its unit, ``12 steps`` or ``1 step``: a plural word loses its s where exactly one is meant."""
    is_one = value == 1 and unit.isalpha() and unit != "s"
    return f"{number_text(value)} {unit.removesuffix('s') if is_one else unit}".rstrip()


def keep_together(text: str, glue: str = "\N{NO-BREAK SPACE}") -> str:
    """Return ``text`` with ``glue`` for each space at which a line must not break: between a number and its unit."""
    return _UNIT_SPACE.sub(glue, text)
