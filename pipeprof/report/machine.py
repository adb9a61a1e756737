"""The Diagnosis for programs: JSON out, JSON in.

One idea: what is written is the document itself, so that every other report can be made again from it. Numbers are
written as they are, never rounded; text that is not valid Unicode is written with visible escapes.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pipeprof.errors import UserError
from pipeprof.model.diagnosis import DIAGNOSIS_SCHEMA, Diagnosis

_FAMILY, _, _VERSION = DIAGNOSIS_SCHEMA.rpartition("/")
_SCHEMA = re.compile(rf"{re.escape(_FAMILY)}/([0-9]{{1,9}})")
_INDENT = 2


def to_json(diagnosis: Diagnosis) -> bytes:
    """Return the diagnosis as indented JSON (UTF-8) with a line break at its end."""
    return encoded(diagnosis)


def encoded(document: object) -> bytes:
    """Return any document made of dataclasses likewise."""
    try:
        content = msgspec.json.encode(document)
    except UnicodeEncodeError:  # lone surrogates: a path or an argument that was never text
        content = msgspec.json.encode(_valid_text(msgspec.to_builtins(document)))
    return msgspec.json.format(content, indent=_INDENT) + b"\n"


def from_json(content: bytes) -> Diagnosis:
    """Return the diagnosis that ``to_json`` wrote; fields that this version does not know are left out.

    Raises:
        UserError: this is no diagnosis, it is damaged, or a newer pipeprof wrote it.
    """
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"the diagnosis is corrupt: {error}", "make it again with: pipeprof report RUN --json") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        raise UserError("this is not a pipeprof diagnosis", "name a file that pipeprof report --json wrote")
    if int(match[1]) > int(_VERSION):
        reads = f"this one reads {DIAGNOSIS_SCHEMA}"
        raise UserError(f"a newer pipeprof wrote this diagnosis ({schema}; {reads})", "upgrade pipeprof")
    try:
        return msgspec.convert(raw, Diagnosis)
    except msgspec.ValidationError as error:
        raise UserError(f"the diagnosis is corrupt: {error}", "make it again with: pipeprof report RUN --json") from None


def _valid_text(value: Any) -> Any:  # Any: a JSON value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_valid_text(key): _valid_text(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_valid_text(item) for item in value]
    return value
