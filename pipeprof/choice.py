"""Which rules judge, and by which thresholds: from ``[tool.pipeprof]`` in pyproject.toml and from the command line.

The one idea: what the command line says comes after the file: it adds to ``ignore`` and replaces the rest. Whether there are
such rules and thresholds is checked where the rules are known (``rules.chosen``). It judges nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any  # values of a TOML document

from pipeprof.errors import UserError

FILE = "pyproject.toml"
TABLE = "tool.pipeprof"
_KEYS = ("select", "ignore", "rules")

Thresholds = dict[str, dict[str, float]]  # code -> parameter -> value


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which rules judge, and by which thresholds."""

    select: tuple[str, ...] = ()  # codes, prefixes or names; all rules where empty
    ignore: tuple[str, ...] = ()
    thresholds: Thresholds = field(default_factory=dict)


def read_choice(
    directory: Path, select: Sequence[str] = (), ignore: Sequence[str] = (), settings: Sequence[str] = ()
) -> Choice:
    """Return what the nearest pyproject.toml and the command line ask for.

    Args:
        directory: where to begin to look for the file, upwards.
        select: of the command line.
        ignore: of the command line.
        settings: of the command line: ``PP201.min_share=0.1``.

    Raises:
        UserError: the file cannot be read, a key is unknown, or a value of the wrong kind.
    """
    path, table = _find_table(directory)
    where = str(path) if path is not None else ""
    chosen = tuple(select) or _words(table, "select", where)
    left_out = (*_words(table, "ignore", where), *ignore)
    thresholds = _thresholds(table.get("rules", {}), where)
    for text in settings:
        code, name, value = _setting(text)
        thresholds.setdefault(code, {})[name] = value
    return Choice(select=chosen, ignore=left_out, thresholds=thresholds)


def _find_table(directory: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """Return the nearest pyproject.toml that has the table, and the table."""
    for folder in (directory, *directory.parents):
        path = folder / FILE
        if not path.is_file():
            continue
        table = _read_table(path)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise UserError(f"{path}: {TABLE} is no table", f"write [{TABLE}]")
        for key in table:
            refuse_unknown_word(key, _KEYS, f"{path}: {TABLE} has no key {key}")
        return path, table
    return None, {}


def _read_table(path: Path) -> Any:
    """Return what the file has under the table's name; a file that says nothing of pipeprof may be broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if TABLE.rpartition(".")[2] not in text:
        return None
    try:
        tools = tomllib.loads(text).get("tool")
    except tomllib.TOMLDecodeError as error:
        if TABLE not in text:
            return None
        raise UserError(f"{path} cannot be read: {error}", "mend it, or start pipeprof elsewhere") from error
    return tools.get("pipeprof") if isinstance(tools, dict) else None


def _words(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    words = table.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError(f"{where}: {key} is no list of rules", f'write {key} = ["PP201"]')
    return tuple(words)


def _thresholds(rules: Any, where: str) -> Thresholds:
    if not isinstance(rules, dict) or not all(isinstance(values, dict) for values in rules.values()):
        raise UserError(f"{where}: rules is no table of tables", f"write [{TABLE}.rules.PP201] and min_share = 0.1 below it")
    found: Thresholds = {}
    for code, values in rules.items():
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(f"{where}: {code}.{name} is no number", f"pipeprof explain {code} shows its range")
            found.setdefault(code, {})[name] = float(value)
    return found


def _setting(text: str) -> tuple[str, str, float]:
    place, _, value = text.partition("=")
    code, _, name = place.strip().partition(".")
    try:
        return code.upper(), name, float(value)
    except ValueError:
        raise UserError(f"--set {text}: not a threshold", "write it as --set PP201.min_share=0.1") from None


def refuse_unknown_word(word: str, known: Iterable[str], what: str) -> None:
    """Refuse a word that is none of those known.

    Raises:
        UserError: with the nearest one.
    """
    names = list(known)
    if word in names:
        return
    close = get_close_matches(word, names, n=1)
    listed = f"there are: {', '.join(names)}" if names else "it has none"
    raise UserError(what, f"did you mean {close[0]}?" if close else listed)
