"""Rules of others: classes that installed packages name under the entry point ``pipeprof.rules``.

The one idea: a package that is broken costs the user its own rule and nothing else; what is wrong with it is told as that
rule's outcome. Codes of pipeprof's own rules cannot be taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pipeprof.rules.base import Rule
from pipeprof.rules.registry import AnyRule, all_rules

GROUP = "pipeprof.rules"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugins:
    """What was found."""

    rules: tuple[AnyRule, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()  # name of the entry point, what is wrong with it


def find_plugins(found: Iterable[EntryPoint] | None = None) -> Plugins:
    """Load the rules that installed packages name; those of the running Python where none are given."""
    rules: list[AnyRule] = []
    broken: list[tuple[str, str]] = []
    taken = {rule.code for rule in all_rules()}
    for point in sorted(entry_points(group=GROUP) if found is None else found, key=lambda point: point.name):
        try:
            rule = point.load()
        except Exception as error:  # noqa: BLE001 - whatever another package does wrong is its own
            broken.append((point.name, f"it cannot be loaded: {type(error).__name__}: {error}"))
            continue
        wrong = _what_is_wrong(rule, taken)
        if wrong:
            broken.append((point.name, wrong))
        else:
            taken.add(rule.code)
            rules.append(rule)
    return Plugins(rules=tuple(rules), broken=tuple(broken))


def known_rules() -> tuple[AnyRule, ...]:
    """Return pipeprof's own rules and those of installed packages, by code."""
    return tuple(sorted((*all_rules(), *find_plugins().rules), key=lambda rule: rule.code))


def _what_is_wrong(rule: Any, taken: set[str]) -> str:
    if not inspect.isclass(rule) or not issubclass(rule, Rule) or inspect.isabstract(rule):
        return "it is no rule: derive it from pipeprof.rules.base.Rule, with a check method"
    missing = [name for name in ("code", "name") if not isinstance(getattr(rule, name, None), str)]
    if missing:
        return f"it has no {' and no '.join(missing)}"
    return f"its code {rule.code} is taken" if rule.code in taken else ""
