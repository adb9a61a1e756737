"""Comments that take findings back: read from the source as it was captured, used or told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeprof.advise.judging import Judged, judge_as_chosen
from pipeprof.advise.suppression import find_suppressions
from pipeprof.choice import Choice
from pipeprof.model.profile import CallSite, SourceFile
from tests.support.builders import Scene, function, random_function, stage

SCRIPT = "import tensorflow as tf\n\ndataset = source()\ndataset = dataset.map(augment){comment}\nfit(dataset)\n"


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Judged]:
    """Return a function that judges a slow random map on line 4 of a script with this comment."""

    def run(comment: str, *, later: str = "", choice: Choice | None = None, of_scalars: bool = False) -> Judged:
        path = tmp_path / "train.py"
        text = SCRIPT.format(comment=comment)
        path.write_text(text + later)
        slow = stage("map", 0.036, function=random_function())
        stages = [stage("from_tensor_slices"), slow, stage("prefetch", segment=0)]
        if of_scalars:
            slow = stage("map", 0.036, function=function("AddV2"), visits=1000, element_bytes=4)
            stages[:2] = [stage("from_tensor_slices", visits=1000), slow, stage("batch", arguments={"batch_size": 1000})]
        analysis = Scene(stages=tuple(stages)).analysis()
        site = CallSite(file=str(path), line=4, column=10, end_line=4, end_column=30, function="f", code="dataset.map(augment)")
        (pipeline,) = analysis.pipelines
        views = tuple(
            replace(view, stage=replace(view.stage, call_site=site)) if view.id == "s1" else view for view in pipeline.stages
        )
        source = SourceFile(path=str(path), sha256=hashlib.sha256(text.encode()).hexdigest())
        profile = replace(analysis.profile, run=replace(analysis.profile.run, sources=(source,)))
        seen = replace(analysis, profile=profile, pipelines=(replace(pipeline, stages=views),))
        return judge_as_chosen(seen, choice or Choice())

    return run


def outcome(made: Judged, code: str) -> tuple[str, str]:
    (found,) = [item for item in made.outcomes if item.code == code]
    return found.outcome, found.reason


def test_without_a_comment_the_rule_fires(judged: Callable[..., Judged]) -> None:
    made = judged("")

    assert "PP201" in {item.code for item in made.findings}
    assert made.unused == ()


@pytest.mark.parametrize("codes", ["PP201", "pp2", "PP401, PP201"])
def test_a_comment_on_the_call_takes_the_finding_back_and_says_why(judged: Callable[..., Judged], codes: str) -> None:
    made = judged(f"  # pipeprof: ignore[{codes}] -- the order of draws matters here")

    assert "PP201" not in {item.code for item in made.findings}
    assert outcome(made, "PP201") == ("ignored", "by a comment at train.py:4: the order of draws matters here")
    assert made.unused == ()


def test_a_comment_that_takes_nothing_back_is_told(judged: Callable[..., Judged]) -> None:
    made = judged("  # pipeprof: ignore[PP601]")

    assert "PP201" in {item.code for item in made.findings}
    assert made.unused == ("train.py:4: # pipeprof: ignore[PP601] takes nothing back",)


def test_a_comment_on_a_rule_that_is_not_asked_or_cannot_judge_is_not_told(judged: Callable[..., Judged]) -> None:
    assert judged("  # pipeprof: ignore[PP601]", choice=Choice(ignore=("PP601",))).unused == ()
    assert judged("  # pipeprof: ignore[PP805]").unused == ()  # no GPU was seen


def test_a_comment_that_names_no_rule_is_told(judged: Callable[..., Judged]) -> None:
    assert judged("  # pipeprof: ignore[PP999]").unused == ("train.py:4: # pipeprof: ignore[PP999] names no rule",)


def test_what_a_finding_stood_for_is_said_where_it_is_taken_back(judged: Callable[..., Judged]) -> None:
    (winner,) = [item for item in judged("", of_scalars=True).findings if item.consequences]
    (loser,) = winner.consequences

    without = judged(f"  # pipeprof: ignore[{winner.code}]", of_scalars=True)
    of_the_loser = judged(f"  # pipeprof: ignore[{loser.code}]", of_scalars=True)

    assert {winner.code, loser.code} == {"PP201", "PP601"}
    assert loser.code in {item.code for item in without.findings}
    assert winner.code not in {item.code for item in without.findings}
    assert of_the_loser.unused == ()
    assert loser.code not in {one.code for item in of_the_loser.findings for one in (item, *item.consequences)}


def test_a_comment_on_another_line_is_of_another_call(judged: Callable[..., Judged]) -> None:
    made = judged("\n# pipeprof: ignore[PP201]")

    assert "PP201" in {item.code for item in made.findings}
    assert len(made.unused) == 1


def test_a_file_that_changed_since_has_no_comments(judged: Callable[..., Judged]) -> None:
    made = judged("  # pipeprof: ignore[PP201]", later="# one more line\n")

    assert "PP201" in {item.code for item in made.findings}


def test_the_chosen_rules_judge(judged: Callable[..., Judged]) -> None:
    made = judged("", choice=Choice(ignore=("PP201",)))

    assert outcome(made, "PP201")[0] == "ignored"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1  # pipeprof: ignore[PP201,PP4]\n", [(1, ("PP201", "PP4"), "")]),
        ("x = '# pipeprof: ignore[PP201]'\n", []),
        ("#pipeprof:ignore[PP201] --  because\n", [(1, ("PP201",), "because")]),
    ],
)
def test_comments_are_those_that_python_takes_for_comments(text: str, expected: list) -> None:
    found = [(item.line, item.codes, item.reason) for item in find_suppressions("train.py", text)]

    assert found == expected
