"""User text on its way into a report: harmless, short, and the call that the user wrote."""

from __future__ import annotations

import pytest

from pipeprof import units
from pipeprof.report.text import call_text, counted, harmless, keep_together, list_words, number_text, one_line, short_paths
from tests.support.diagnosis_parts import CHAIN, site


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("日本語 é", "日本語 é"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\x9bb", "a\\x9bb"),
        ("a\u202eb", "a\\u202eb"),
        ("caf\udce9", "caf\\udce9"),
        ("a\u2028b", "a\\u2028b"),
        ("a\rb", "a\\rb"),
        ("a\tb\r\nc", "a    b\nc"),
    ],
)
def test_dangerous_characters_become_visible(given: str, shown: str) -> None:
    assert harmless(given) == shown


def test_one_line_has_no_line_break() -> None:
    assert one_line(" a\n\n  b\tc ") == "a b c"


@pytest.mark.parametrize(
    ("op", "code", "is_source", "shown"),
    [
        ("map", "ds.map(decode)", False, ".map(decode)"),
        ("map", "ds.map(a).batch(2).map(\n    b,\n    num_parallel_calls=2)", False, ".map(b, num_parallel_calls=2)"),
        ("prefetch", CHAIN, False, ".prefetch(1)"),
        ("list_files", 'tf.data.Dataset.list_files("a(.jpg")', True, 'list_files("a(.jpg")'),
        ("map", "ds.map(lambda x: (x, ')'))", False, ".map(lambda x: (x, ')'))"),
        ("map", "ds.map(*args, **options)", False, ".map(*args, **options)"),
        ("map", r"ds.map(lambda x: re('\d'))", False, r".map(lambda x: re('\d'))"),
        ("map", "ds.map(decode).map(lambda x: cut_o", False, ".map(…)"),
        ("map", "model.fit(ds, epochs=4)", False, "fit(…) .map"),
        ("shuffle", 'tf.data.Dataset.list_files("a")', False, "list_files(…) .shuffle"),
        ("from_tensor_slices", 'tf.data.Dataset.list_files("a")', True, "list_files(…) from_tensor_slices"),
        ("map", "makers[0](path)", False, ".map(…)"),
        ("batch", "", False, ".batch(…)"),
        ("batch", "\x00", False, ".batch(…)"),
    ],
)
def test_a_stage_is_named_by_its_own_call(op: str, code: str, is_source: bool, shown: str) -> None:
    assert call_text(op, site(1, code), is_source) == shown


def test_a_stage_without_a_call_site_is_named_by_its_operation() -> None:
    assert call_text("map", None, False) == ".map(…)"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(1, "steps", "1 step"), (1.0, "epochs", "1 epoch"), (2, "steps", "2 steps"), (1.4, "epochs", "1.4 epochs"),
     (1, "cores", "1 core"), (1, "s", "1 s"), (1, "", "1"), (1, "share of the step", "1 share of the step")],
)  # fmt: skip
def test_one_thing_is_no_plural(value: float, unit: str, shown: str) -> None:
    assert counted(value, unit) == shown


def test_paths_are_as_short_as_they_can_be_told_apart() -> None:
    paths = ["/a/train.py", "/a/x/io.py", "/b/x/io.py", "/a/train.py"]

    assert short_paths(paths) == {"/a/train.py": "train.py", "/a/x/io.py": "a/x/io.py", "/b/x/io.py": "b/x/io.py"}


def test_a_path_that_ends_another_is_still_told_apart() -> None:
    assert len(set(short_paths(["/io.py", "/x/io.py", "io.py", ""]).values())) == 4


def test_words_and_counts_read_as_a_sentence() -> None:
    assert list_words([]) == ""
    assert list_words(["a"]) == "a"
    assert list_words(["a", "b", "c"]) == "a, b and c"
    assert [units.count_of(1, "pair"), units.count_of(1200, "step")] == ["1 pair", "1,200 steps"]
    assert [number_text(7.0), number_text(1.44), number_text(13184)] == ["7", "1.4", "13,184"]


@pytest.mark.parametrize("text", ["62 %", "180 ms", "3 epochs", "n = 412", "5.5 steps/s", "34 MB/s"])
def test_a_number_and_its_unit_stay_together(text: str) -> None:
    assert " " not in keep_together(text)


def test_other_spaces_may_break() -> None:
    assert keep_together("after 4 more words") == "after 4 more words"
