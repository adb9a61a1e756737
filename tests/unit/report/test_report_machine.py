"""The Diagnosis for programs: JSON out and in, and its JSON Schema."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from pipeprof.errors import UserError
from pipeprof.model.diagnosis import Diagnosis
from pipeprof.report.machine import from_json, to_json
from pipeprof.report.schema import SCHEMA_FILE, diagnosis_schema, schema_file_content
from tests.support.diagnoses import all_diagnoses, hostile, input_bound

each_diagnosis = pytest.mark.parametrize("diagnosis", all_diagnoses().values(), ids=all_diagnoses().keys())


@each_diagnosis
def test_every_diagnosis_validates_against_the_schema_file(diagnosis: Diagnosis) -> None:
    schema = json.loads(SCHEMA_FILE.read_bytes())

    jsonschema.Draft202012Validator(schema).validate(json.loads(to_json(diagnosis)))


def test_the_schema_file_is_fresh() -> None:
    assert SCHEMA_FILE.read_bytes() == schema_file_content(), "renew it with: python -m pipeprof.report.schema"


def test_the_schema_is_a_schema_and_says_what_its_fields_mean() -> None:
    schema = diagnosis_schema()
    stage = schema["$defs"]["Stage"]["properties"]

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "urn:pipeprof:diagnosis:1"
    assert stage["busy_s"]["description"] == "wall time inside the stage, as TensorFlow counts it"
    assert schema["$defs"]["Run"]["description"] == "The run that was observed."


def test_the_schema_refuses_a_document_with_a_wrong_value() -> None:
    document = json.loads(to_json(input_bound()))
    document["verdict"]["input_bound"] = "very"

    with pytest.raises(jsonschema.ValidationError, match="'very' is not one of"):
        jsonschema.Draft202012Validator(diagnosis_schema()).validate(document)


@pytest.mark.parametrize("name", [name for name in all_diagnoses() if name != "hostile"])
def test_what_is_written_is_read_back_the_same(name: str) -> None:
    diagnosis = all_diagnoses()[name]

    assert from_json(to_json(diagnosis)) == diagnosis


def test_text_that_is_no_unicode_is_written_with_escapes_and_can_be_read() -> None:
    content = to_json(hostile())

    assert from_json(content).run.command[0] == "caf\\udce9.py"
    assert to_json(from_json(content)) == content


def test_the_json_is_indented_and_ends_with_a_line_break() -> None:
    content = to_json(input_bound())

    assert content.startswith(b'{\n  "schema": "pipeprof.diagnosis/1"')
    assert content.endswith(b"}\n")


def test_numbers_are_not_rounded() -> None:
    exact = replace(input_bound(), steps=replace(input_bound().steps, median_s=0.12345678901234567))

    assert from_json(to_json(exact)).steps.median_s == 0.12345678901234567


def test_fields_of_a_later_minor_version_are_left_out() -> None:
    document = json.loads(to_json(input_bound()))
    document["weather"] = {"rain": True}
    document["steps"]["mood"] = 1

    assert from_json(json.dumps(document).encode()) == input_bound()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the diagnosis is corrupt"),
        (b"\xff\xfe", "the diagnosis is corrupt"),
        (b"[" * 100_000, "the diagnosis is corrupt"),
        (b"[]", "this is not a pipeprof diagnosis"),
        (b'{"schema": 1}', "this is not a pipeprof diagnosis"),
        (b'{"schema": "pipeprof.profile/1"}', "this is not a pipeprof diagnosis"),
        (b'{"schema": "pipeprof.diagnosis/x"}', "this is not a pipeprof diagnosis"),
        (b'{"schema": "pipeprof.diagnosis/2"}', "a newer pipeprof wrote this diagnosis"),
        (b'{"schema": "pipeprof.diagnosis/1"}', "the diagnosis is corrupt"),
        (to_json(input_bound())[:-20], "the diagnosis is corrupt"),
    ],
)
def test_what_is_no_diagnosis_is_a_mistake_that_can_be_mended(content: bytes, what: str) -> None:
    with pytest.raises(UserError, match=what) as caught:
        from_json(content)

    assert caught.value.hint
