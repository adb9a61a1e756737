"""Sketches of changes by hand name what TensorFlow has, and call it with arguments that it takes."""

from __future__ import annotations

import ast
import inspect

import pytest

from pipeprof.advise.recommend import MANUAL
from tests.support.sketched import WITHOUT, sketch

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


def resolve(node: ast.expr) -> object:
    """Return what a dotted name that begins with ``tf`` stands for, None for any other."""
    if isinstance(node, ast.Name):
        return tf if node.id == "tf" else None
    owner = resolve(node.value) if isinstance(node, ast.Attribute) else None
    return None if owner is None else getattr(owner, node.attr)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(set(MANUAL) - WITHOUT))
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
