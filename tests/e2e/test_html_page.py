"""The HTML report in a real browser: it shows the verdict with scripts switched off, and asks for nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from pipeprof.report.html_page import render
from tests.support.diagnoses import all_diagnoses, hostile, many_findings

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
LIMIT_S = 120
_BROWSER_ITSELF = "not an origin"  # how the log names the initiator of the browser's own requests

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def browse(tmp_path: Path, page: str, *flags: str) -> str:
    """Return what the browser says about ``page`` on standard output."""
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, path.as_uri()]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    try:
        return process.communicate(timeout=LIMIT_S)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("name", ["input_bound", "healthy"])
def test_the_verdict_stands_in_the_page_with_scripts_switched_off(name: str, tmp_path: Path) -> None:
    diagnosis = all_diagnoses()[name]
    silenced = re.sub(r"script-src [^;]+", "script-src &#39;none&#39;", render(diagnosis))

    shown = browse(tmp_path, silenced, "--dump-dom")

    assert diagnosis.verdict.sentence in shown.replace("&nbsp;", " ")
    assert "<button" not in shown


def test_our_own_script_runs_under_the_policy_and_no_other_does(tmp_path: Path) -> None:
    intruder = "<script>document.body.append('INTRU' + 'DER')</script></body>"

    shown = browse(tmp_path, render(hostile()).replace("</body>", intruder), "--dump-dom")

    assert "Copy patch</button>" in shown
    assert "INTRUDER" not in shown


def test_the_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    assert requests_of(tmp_path / "report", render(many_findings())) == set()


def test_a_request_would_be_seen(tmp_path: Path) -> None:
    picture = "http://127.0.0.1:9/picture.png"

    assert requests_of(tmp_path / "other", f'<!DOCTYPE html><img alt="" src="{picture}">') == {picture}


def requests_of(directory: Path, page: str) -> set[str]:
    """Return every address outside the file itself that ``page`` made the browser ask for."""
    directory.mkdir()
    log = directory / "network.json"
    browse(directory, page, f"--log-net-log={log}", "--dump-dom")
    asked = set()
    for event in json.loads(log.read_text(encoding="utf-8"))["events"]:
        params = event.get("params", {})
        if "url" in params and params.get("initiator", _BROWSER_ITSELF) != _BROWSER_ITSELF:
            asked.add(params["url"])
    return {url for url in asked if not url.startswith(("file:", "data:"))}
