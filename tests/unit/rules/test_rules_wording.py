"""How rules name the user's code, grade costs and combine confidences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeprof.model.analysis import StageView
from pipeprof.model.diagnosis import Confidence, Severity, Stage
from pipeprof.model.profile import CallSite
from pipeprof.rules.base import grade, name_place, name_stage, weakest
from tests.support.builders import call_site


def view(site: CallSite | None, op: str = "map") -> StageView:
    return StageView(stage=Stage(id="s3", op=op, executed_as="Map", inputs=("s2",), call_site=site), written=None, executed=())


@pytest.mark.parametrize(
    ("op", "code", "name"),
    [
        ("map", "ds.map(decode)", "train.py:42 .map(decode)"),
        ("batch", "tf.data.Dataset.range(3).map(a).batch(2)", "train.py:42 .batch(2)"),
        ("map", "(ds\n   .map(lambda x: x.map(y))\n   .map(\n       decode,\n   ))", "train.py:42 .map(decode,)"),
        ("map", "(ds.map(a)\n).map(b)", "train.py:42 .map(b)"),
        ("map", "größe.map(öffne)", "train.py:42 .map(öffne)"),
        ("load", "load(ds)", "train.py:42 load(ds)"),
        ("map", "model.fit(ds)", "train.py:42 fit(…) .map"),
        ("map", "load(ds)", "train.py:42 load(…) .map"),
        ("map", "ds.map(lambda x: some_very_lo", "train.py:42 .map(…)"),
        ("map", "", "train.py:42 .map(…)"),
    ],
)
def test_a_stage_is_named_by_the_last_call_of_its_chain(op: str, code: str, name: str) -> None:
    assert name_stage(view(call_site(42, code), op)) == name


def test_a_long_call_is_shortened_in_the_middle() -> None:
    name = name_stage(view(call_site(42, "ds.map(lambda image, label: (resize(image, [224, 224]), one_hot(label, 1000)))")))

    assert name == "train.py:42 .map(lambda image, la…ne_hot(label, 1000)))"


def test_a_chain_over_several_lines_shows_the_line_of_the_method() -> None:
    site = replace(call_site(40, "ds.map(decode)"), method_line=43)

    assert name_place(site) == "train.py:43"


def test_a_stage_without_a_call_site_is_named_by_its_operation() -> None:
    assert name_stage(view(None, "prefetch")) == "prefetch (s3)"


@pytest.mark.parametrize(
    ("share", "severity"),
    [(0.2, Severity.HIGH), (0.199, Severity.MEDIUM), (0.05, Severity.MEDIUM), (0.049, Severity.LOW), (0.0, Severity.LOW)],
)
def test_severity_follows_the_share_of_the_step(share: float, severity: Severity) -> None:
    assert grade(share) is severity


def test_the_weakest_confidence_counts() -> None:
    assert weakest(Confidence.HIGH, Confidence.LOW, Confidence.MEDIUM) is Confidence.LOW
