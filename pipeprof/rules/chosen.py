"""What the user chose, held against the rules that there are: codes, parameters and their ranges.

The one idea: everything is refused before anything runs, with the nearest word that would do. It reads no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any  # each rule has parameters of its own

from pipeprof.choice import Choice, refuse_unknown_word
from pipeprof.errors import UserError
from pipeprof.rules.plugins import known_rules
from pipeprof.rules.registry import suggest_code


def check_choice(choice: Choice) -> None:
    """Refuse what no rule knows.

    Raises:
        UserError: a rule or a parameter is unknown, or a value out of range.
    """
    rules = {rule.code: rule for rule in known_rules()}
    for item in (*choice.select, *choice.ignore):
        if not any(matches(rule, item) for rule in rules.values()):
            raise UserError(f"no such rule: {item}", suggest_code(item, tuple(rules.values())))
    for code, values in choice.thresholds.items():
        rule = rules.get(code)
        if rule is None:
            raise UserError(f"no rule with the code {code}", suggest_code(code, tuple(rules.values())))
        known = [item.name for item in fields(rule.parameters)]
        for name in values:
            refuse_unknown_word(name, known, f"{code} has no parameter {name}")
        parameters_of(rule.parameters, values)


def matches(rule: type[Any], wanted: str) -> bool:
    """Say whether a code, its beginning, or a name means this rule."""
    text = wanted.strip()
    return bool(text) and (rule.code.startswith(text.upper()) or rule.name == text.lower())


def parameters_of(kind: type[Any], values: Mapping[str, float]) -> Any:
    """Return a rule's parameters with some of them set; whole numbers stay whole.

    Raises:
        UserError: a value is out of range, or a part of what is counted.
    """
    wholes = {item.name for item in fields(kind) if isinstance(item.default, int)}
    for name, value in values.items():
        if name in wholes and not float(value).is_integer():
            raise UserError(f"{name} = {value} is no whole number", f"choose {math.floor(value)} or {math.ceil(value)}")
    return kind(**{name: int(value) if name in wholes else value for name, value in values.items()})
