"""Looks at elements with planted results, for tests of the rules that order them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeprof.model.analysis import Analysis
from pipeprof.model.looks import ElementLook
from pipeprof.rules.base import Rule


def looked(analysis: Analysis, rule: Rule[Any], **shown: Any) -> Analysis:
    """Return the analysis with every look that the rule orders, each of which showed the same; there must be some."""
    orders = list(rule.looks(analysis))
    assert orders
    looks = tuple(ElementLook(order=order, **({"elements": 64} | shown)) for order in orders)
    return replace(analysis, profile=replace(analysis.profile, looks=looks))
