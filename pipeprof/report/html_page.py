"""The report as one HTML file: readable without a network, without scripts, on paper and in the dark.

Words come from ``view``, drawings from ``charts``; the template, the style sheet and the few lines of script lie in
``page/``. Everything is escaped by the template, and a content security policy lets nothing else run or load.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeprof.model.diagnosis import Diagnosis
from pipeprof.report.advice import AdviceText
from pipeprof.report.charts import RatioScale, interval_chart, levels_chart, share_bar, timeline_chart
from pipeprof.report.text import keep_together, one_line
from pipeprof.report.view import make_sheet

_PAGE = Path(__file__).with_name("page")
_POLICY = "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'"


def render(diagnosis: Diagnosis) -> str:
    """Return the whole page; it needs no other file and asks for none."""
    sheet = make_sheet(diagnosis)
    style, script = _asset("page.css"), _asset("page.js")
    drawn = (bar for item in sheet.advice for bar in (item.predicted_interval, item.trial_interval, item.noise_interval))
    scale = RatioScale([bar for bar in drawn if bar is not None])
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            sheet=sheet,
            timeline=timeline_chart(diagnosis.timeline) if diagnosis.timeline else None,
            levels={one_line(item.id): chart for item in diagnosis.pipelines if (chart := levels_chart(item)) is not None},
            share_bar=share_bar,
            interval_chart=lambda item: _intervals(scale, item),
            diff_class=_diff_class,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            policy=_POLICY.format(_digest(style), _digest(script)),
        )
    )


def _intervals(scale: RatioScale, item: AdviceText) -> Markup:
    label = f"Speed-up on a scale of ratios. Predicted {item.predicted}. Trial: {item.trial}."
    return interval_chart(scale, item.predicted_interval, item.trial_interval, item.noise_interval, label)


def _diff_class(line: str) -> str:
    if line.startswith(("--- ", "+++ ")):
        return "file"
    return {"@": "hunk", "-": "gone", "+": "new"}.get(line[:1], "same")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["glued"] = keep_together
    return environment


@lru_cache(maxsize=4)
def _asset(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
