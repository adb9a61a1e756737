"""The JSON Schema of the Diagnosis, made from its classes: ``python -m pipeprof.report.schema`` renews the file.

One idea: the classes are the only source. Field descriptions are their own comments, read from the source, so the schema
cannot tell another story. Never edit the file by hand.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import Any

import msgspec

from pipeprof.model import diagnosis, profile
from pipeprof.model.diagnosis import DIAGNOSIS_SCHEMA, Diagnosis

SCHEMA_FILE = Path(__file__).with_name("diagnosis.schema.json")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FIELD = re.compile(r"    (\w+):")
_INDENT = 2


def diagnosis_schema() -> dict[str, Any]:  # Any: a JSON Schema
    """Return the JSON Schema (2020-12) of a diagnosis, with a description wherever the source has one."""
    made = msgspec.json.schema(Diagnosis)
    for name, definition in made["$defs"].items():
        for field, description in _field_comments(name).items():
            definition["properties"][field] = {"description": description, **definition["properties"][field]}
    made["$defs"]["Diagnosis"]["properties"]["schema"]["const"] = DIAGNOSIS_SCHEMA
    return {
        "$schema": _DIALECT,
        "$id": f"urn:pipeprof:{DIAGNOSIS_SCHEMA.removeprefix('pipeprof.').replace('/', ':')}",
        "title": "pipeprof diagnosis",
        "description": (
            "What pipeprof concludes from one run of a training program. Times are seconds, sizes bytes, shares 0-1, speed-ups "
            "ratios of step times; null means not measured. Names are never changed or removed; new ones may come."
        ),
        **made,
    }


def schema_file_content() -> bytes:
    """Return what the schema file must hold."""
    return msgspec.json.format(msgspec.json.encode(diagnosis_schema()), indent=_INDENT) + b"\n"


def _field_comments(class_name: str) -> dict[str, str]:
    """Return the comment at the end of each field's line, by the field's name; empty for what is no dataclass (enums)."""
    found = getattr(diagnosis, class_name, None) or getattr(profile, class_name, None)
    if found is None or not dataclasses.is_dataclass(found):
        return {}
    source = inspect.getsource(found)  # type: ignore[arg-type]  # getattr says Any
    lines = source.splitlines()
    names = {field.name for field in dataclasses.fields(found)}
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        match = _FIELD.match(lines[token.start[0] - 1])
        if match and match[1] in names:
            comments[match[1]] = token.string.lstrip("# ")
    return comments


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(schema_file_content())
    sys.stderr.write(f"wrote {SCHEMA_FILE.name}\n")
