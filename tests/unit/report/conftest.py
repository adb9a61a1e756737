"""Fixtures of the report tests: a terminal of fixed width, and golden files that are renewed on purpose."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeprof.model.diagnosis import Diagnosis
from pipeprof.report.terminal import print_report

GOLDEN = Path(__file__).with_name("golden")
RUN = Path("reports/20260301-101500-train.py-4711")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def print_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Diagnosis, int], str]:
    def printed(diagnosis: Diagnosis, width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        stream = io.StringIO()
        print_report(diagnosis, stream, RUN)
        return stream.getvalue()

    return printed


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden", default=False):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"renew with: python -m pytest {Path(__file__).parent} --update-golden"

    return check
