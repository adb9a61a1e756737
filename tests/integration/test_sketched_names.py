"""Sketches of changes by hand name what TensorFlow has, and call it with arguments that it takes."""

from __future__ import annotations

import ast
import inspect

import pytest

from pipeprof.advise.recommend import MANUAL, SKETCHED
from tests.support.sketched import WITHOUT, sketch

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


def resolve(node: ast.expr) -> object:
    """Return what a dotted name that begins with ``tf`` stands for, None for any other."""
    if isinstance(node, ast.Name):
        return tf if node.id == "tf" else None
    owner = resolve(node.value) if isinstance(node, ast.Attribute) else None
    return None if owner is None else getattr(owner, node.attr)  # type: ignore[attr-defined]


def test_kept_statistics_are_those_that_were_found(tmp_path, monkeypatch):
    np, keras = pytest.importorskip("numpy"), pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(1).normal(2.0, 3.0, [40, 4]).astype("float32")
    adapted = keras.layers.Normalization()
    adapted.adapt(tf.data.Dataset.from_tensor_slices(rows).batch(8))
    names = {"tf": tf, "np": np, "layer": adapted}

    exec(sketch("keep_statistics"), names)

    assert names["layer"] is not adapted
    np.testing.assert_allclose(names["layer"](rows), adapted(rows), rtol=1e-5)


def test_stateless_draws_follow_the_seeds_and_differ_by_element():
    names = {"tf": tf, "rows": tf.data.Dataset.range(4).map(lambda item: tf.zeros([2]))}
    text = sketch("stateless_random").replace("    ...", "    return value + noise").replace("decode", "noisy")

    exec(text, names)

    first, second = ([tuple(row.numpy()) for row in names["rows"]] for _ in range(2))
    assert len(set(first)) == 4
    assert first != second  # another epoch draws others


@pytest.mark.parametrize("kind", sorted({*MANUAL, *SKETCHED} - WITHOUT))
@pytest.mark.parametrize("op", ["map", "from_generator"])
@pytest.mark.parametrize("code", ["PP501", "PP502", "PP503"])
def test_what_a_sketch_names_exists(kind: str, op: str, code: str) -> None:
    for node in ast.walk(ast.parse(sketch(kind, code, op))):
        if isinstance(node, ast.Attribute):
            resolve(node)
        if isinstance(node, ast.Call):
            method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = resolve(node.func) or getattr(tf.data.Dataset, method, None)
            names = {item.arg for item in node.keywords if item.arg}
            assert called is None or names <= set(inspect.signature(called).parameters), f"{kind}: {ast.unparse(node)}"
