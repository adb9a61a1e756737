"""The report as one HTML file: well-formed, self-contained, escaped, and complete without scripts."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipeprof.model.diagnosis import Diagnosis, TimelinePoint
from pipeprof.report.html_page import render
from tests.support.diagnoses import all_diagnoses, healthy, hostile, input_bound, many_findings, no_pipeline, one_cause

VOID = {"meta", "link", "br", "hr", "img", "input"}
DRAWN = {"path", "rect", "circle"}
each_diagnosis = pytest.mark.parametrize("diagnosis", all_diagnoses().values(), ids=all_diagnoses().keys())


class Page(HTMLParser):
    """What a parser sees: tags that do not balance, identifiers, references, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if len({name for name, _ in attrs}) != len(attrs):
            self.faults.append(f"an attribute of {tag} stands twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in DRAWN:
            self.faults.append(f"{tag} closes itself")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


@each_diagnosis
def test_tags_balance_and_identifiers_are_unique(diagnosis: Diagnosis) -> None:
    page = Page(render(diagnosis))

    assert page.faults == []
    assert page.open == []
    assert [name for name, count in Counter(page.values("id")).items() if count > 1] == []


@each_diagnosis
def test_every_reference_stays_on_the_page(diagnosis: Diagnosis) -> None:
    page = Page(render(diagnosis))
    targets = {
        value for name in ("src", "href", "data", "action", "srcset", "poster", "xlink:href") for value in page.values(name)
    }

    assert targets - {"data:,"} <= {f"#{name}" for name in page.values("id")}
    assert set(page.values("aria-labelledby")) <= set(page.values("id"))
    assert "url(" not in render(diagnosis)
    assert "@import" not in render(diagnosis)


@each_diagnosis
def test_the_page_is_small(diagnosis: Diagnosis) -> None:
    assert len(render(diagnosis).encode()) < 150_000


def test_a_page_with_six_hundred_points_is_small() -> None:
    points = tuple(
        TimelinePoint(
            t_s=i * 1.7, step_s=0.1 + i % 7 / 50, wait_s=0.05 + i % 5 / 90, cpu_share=i % 11 / 11, rss_bytes=10**9 + i
        )
        for i in range(600)
    )

    assert len(render(replace(many_findings(), timeline=points)).encode()) < 150_000


@each_diagnosis
def test_the_verdict_and_every_finding_stand_in_the_text(diagnosis: Diagnosis) -> None:
    page = Page(render(diagnosis))

    if diagnosis != hostile():
        assert diagnosis.verdict.sentence in page.text.replace("\xa0", " ")
        assert [item.message for item in diagnosis.findings if item.message not in page.text.replace("\xa0", " ")] == []
    assert page.tags["h1"] == 1


def test_user_text_is_escaped_and_runs_nothing() -> None:
    text = render(hostile())
    page = Page(text)

    assert page.tags["script"] == 1
    assert "<script>alert" not in text
    assert "<script>alert('pipeprof')</script>" in page.text
    assert [char for char in text if char != "\n" and not char.isprintable() and char != "\xa0"] == []
    assert not [value for _, name, value in page.attributes if name.startswith("on") or "javascript:" in value]


def test_the_policy_allows_exactly_our_style_and_script() -> None:
    text = render(input_bound())
    policy = next(value for _, name, value in Page(text).attributes if name == "content" and "default-src" in value)

    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert content is not None
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()}'" in policy
    assert Page(text).values("style") == []


def test_the_bottleneck_is_marked_by_words_as_well_as_by_colour() -> None:
    assert Page(render(input_bound())).text.count("▶ bottleneck") == 2
    assert "bottleneck" not in Page(render(healthy())).text.casefold()


def test_every_drawing_has_a_name_or_is_hidden_from_readers() -> None:
    text = render(many_findings())

    drawings = re.findall(r"<svg[^>]*>", text)
    assert drawings
    assert [head for head in drawings if "aria-label=" not in head and "aria-hidden=" not in head] == []


def test_trials_are_drawn_on_one_scale() -> None:
    text = render(input_bound())
    ones = re.findall(r'class="one" d="M([0-9.]+) ', text)

    assert len(ones) == 2
    assert len(set(ones)) == 1


def test_the_patch_can_be_copied_as_it_is() -> None:
    text = render(input_bound())
    patch = re.search(r"<pre class=\"diff\".*?</pre>", text, re.DOTALL)

    assert patch is not None
    assert "".join(Page(patch[0]).words) == parallel_diff()


def test_a_sketch_stands_as_it_would_in_the_source() -> None:
    sketch = next(item.sketch for item in many_findings().recommendations if item.sketch)
    block = re.search(r"<pre class=\"diff\"[^>]*By hand.*?</pre>", render(many_findings()), re.DOTALL)

    assert block is not None
    assert "".join(Page(block[0]).words) == sketch + "\n"


def parallel_diff() -> str:
    diff = input_bound().recommendations[0].diff
    assert diff is not None
    return diff


@pytest.mark.parametrize(
    "points",
    [
        (TimelinePoint(t_s=0.0, step_s=0.1),),
        (TimelinePoint(t_s=0.0), TimelinePoint(t_s=1.0)),
        (TimelinePoint(t_s=0.0, step_s=0.0, wait_s=0.0, rss_bytes=0), TimelinePoint(t_s=0.0, step_s=0.0)),
        (
            TimelinePoint(t_s=0.0, step_s=0.1),
            TimelinePoint(t_s=1.0),
            TimelinePoint(t_s=2.0, step_s=float("nan"), cpu_share=9.0),
        ),
        (TimelinePoint(t_s=0.0, wait_s=0.1), TimelinePoint(t_s=1.0, wait_s=0.2)),
    ],
)
def test_a_time_line_with_holes_is_still_a_page(points: tuple[TimelinePoint, ...]) -> None:
    page = Page(render(replace(no_pipeline(), timeline=points)))

    assert page.faults == []
    assert not [value for value in page.values("d") if "nan" in value]


def test_what_has_the_same_cause_stands_in_full_under_its_finding() -> None:
    text = Page(render(one_cause())).text.replace("\xa0", " ")

    (finding,) = one_cause().findings
    assert [item.message for item in finding.consequences[:2] if item.message not in text] == []
    assert "Also told by PP602 parse-single, PP705 text-parsing" in text
