"""``pipeprof bench`` as a user meets it: bad input is one line and status 2, and the report stands alone on standard output."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = pytest.mark.tf

DATA = """
import sys
import time
import tensorflow as tf

print("imported")
print("and complained", file=sys.stderr)

def make(size: int = 64):
    return tf.data.Dataset.range(size).map(lambda x: x * 2).batch(4)

def needs(root):
    return make()

def returns_text():
    return "data"

def raises():
    return open("/nowhere/at/all")

def empty():
    return tf.data.Dataset.range(0)

def never():
    return tf.data.Dataset.range(3).repeat().filter(lambda x: x > 5)

def hangs():
    def sleep(x):
        if x >= 20:
            time.sleep(600)
        return x
    return tf.data.Dataset.range(100).map(lambda x: tf.numpy_function(sleep, [x], tf.int64))

def breaks():
    def fail(x):
        if x == 7:
            raise ValueError("bad record")
        return x
    return tf.data.Dataset.range(100).map(lambda x: tf.numpy_function(fail, [x], tf.int64))

if __name__ == "__main__":
    raise SystemExit("the main block ran")
"""


@pytest.fixture
def bench(runner, write):
    write("data.py", DATA)

    def run(*words: str):
        return runner.run([sys.executable, "-m", "pipeprof", "bench", *words, "--output", str(runner.output)])

    return run


def _runs(runner) -> list:
    return runner.runs() if runner.output.exists() else []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.py:needs"], "needs() needs the argument root — give it with --arg root=..."),
        (["data.py:returns_text"], "returns_text() returned a str, no tf.data.Dataset — return a tf.data.Dataset"),
        (
            ["data.py:raises"],
            "No such file or directory: '/nowhere/at/all' (data.py:19) — it must run by itself",
        ),
        (["data.py:mak"], "data.py has no function mak — did you mean data.py:make?"),
        (["dta.py:make"], "no such file: dta.py — did you mean data.py?"),
        (["no_such_module:make"], "no module named no_such_module"),
        (["data:empty"], "the pipeline gave no element: it is empty"),
        (["data:never", "--deadline", "3"], "the pipeline gave no element at all within 3 s"),
    ],
)
def test_bad_input_is_one_line_with_a_hint_and_leaves_no_run(bench, runner, words, told):
    seen = bench(*words, "--seconds", "1")

    assert seen.status == 2
    assert told in seen.stderr.decode()
    assert seen.stderr.decode().count("\n") == 1
    assert seen.stdout == b""
    assert not _runs(runner)


def test_json_on_standard_output_is_nothing_else_whatever_the_module_prints(bench, runner):
    seen = bench("data.py:make", "--arg", "size=32", "--seconds", "1", "--json", "-")

    diagnosis = json.loads(seen.stdout)
    assert seen.status == 0
    assert seen.stderr == b""
    assert diagnosis["run"]["bench_step_s"] == 0
    assert [stage["op"] for stage in diagnosis["pipelines"][0]["stages"]][:3] == ["range", "map", "batch"]
    assert all(stage["isolated"] for stage in diagnosis["pipelines"][0]["stages"][:3])
    log = (runner.runs()[0] / "output.log").read_text()
    assert "imported" in log
    assert "and complained" in log


def test_the_report_fits_80_columns_and_shows_each_stage_alone(bench, runner):
    seen = bench("data:make", "--seconds", "1", "--html")

    text = seen.stdout.decode()
    assert seen.status == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "The pipeline alone delivers" in text
    assert "Each stage alone" in text
    assert "data.py:10 .map" in text
    page = (runner.runs()[0] / "report.html").read_text()
    assert "Each stage alone" in page


@pytest.mark.parametrize(
    ("name", "told", "steps"),
    [
        ("breaks", "the pipeline raised InvalidArgumentError after 7 elements: ValueError: bad record", 7),
        ("hangs", "the pipeline gave no element after 20 elements within 3 s", 20),
    ],
)
def test_what_was_measured_before_it_broke_is_kept_and_reported(bench, runner, name, told, steps):
    seen = bench(f"data:{name}", "--seconds", "1", "--deadline", "3")

    said = seen.stderr.decode()
    assert seen.status == 2
    assert told in said
    assert said.count("\n") == 1
    assert "Where the time goes" in seen.stdout.decode()
    kept = json.loads((runner.runs()[0] / "diagnosis.json").read_text())
    assert kept["steps"]["count"] == steps
