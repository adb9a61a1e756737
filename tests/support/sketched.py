"""Sketches of changes by hand, made for a map and for a generator whose names are known."""

from __future__ import annotations

from pipeprof.advise.sketches import sketch_of
from pipeprof.model.diagnosis import Confidence, Finding, Severity
from pipeprof.model.profile import StageFunction
from tests.support.builders import Scene, StageSpec, stage

WITHOUT = {"convert_format", "recompress", "shard", "materialize", "data_service"}  # they rewrite files, or need machines
DECODE = StageFunction(
    name="make.<locals>.decode",
    op_types=("DecodeJpeg", "EagerPyFunc", "RandomUniform"),
    op_count=3,
    op_lines={"EagerPyFunc": "train.py:5"},
    before_draws=("DecodeJpeg", "ResizeBilinear"),
    widened_from="uint8",
)


def finding(code: str = "PP501", stage_id: str | None = "s0") -> Finding:
    found = {"code": code, "name": "", "message": "", "severity": Severity.LOW, "confidence": Confidence.LOW}
    return Finding(**found, stage_id=stage_id, pipeline_id="p0")


def sketch(kind: str, rule: str = "PP501", op: str = "map", **details: object) -> str:
    given: dict[str, object] = {"function": DECODE, "line": 7, "code": "rows.map(decode).prefetch(2)"}
    first: StageSpec = stage(op, 0.01, **(given | details))
    scene = Scene(stages=(first, stage("batch", arguments={"batch_size": 32})))
    return sketch_of(kind, finding(rule), scene.analysis().pipelines[0])
