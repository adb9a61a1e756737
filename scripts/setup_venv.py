# ruff: noqa: INP001, S603 - a program, which runs Python and pip on purpose
"""Sets up a virtual environment with pinned versions, or leaves it alone where it has them already.

    python3 scripts/setup_venv.py VENV CONSTRAINTS

The one idea: what is installed is compared with the pins first, so that an environment that satisfies them is never touched;
where it does not, pip mends it in place. pip itself is kept quiet, and its progress is told in a few lines. Needs nothing but
Python's standard library. Must not delete an environment, and must not name a package index: that is pip's configuration.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
REPORT_EVERY_S = 15.0
LISTED = 5  # shortfalls that are told one by one
LARGE_MB = 10.0  # downloads from here on are told
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)")
_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_DOWNLOAD = re.compile(r"^\s*Downloading (?:\S*/)?(\S+\.(?:whl|tar\.gz)) \(([\d.]+) (MB|GB)\)")
_LIST_INSTALLED = """
import importlib.metadata, json
found = {}
for item in importlib.metadata.distributions():
    direct = item.read_text("direct_url.json") if item.name == "pipeprof" else None
    found[item.name] = [item.version, json.loads(direct).get("url", "") if direct else ""]
print(json.dumps(found))
"""


class SetupError(Exception):
    """The environment cannot be set up; the text says why and what to do."""


def read_pins(path: Path) -> dict[str, str]:
    """Return the pinned version of each package in a constraints file, by normalised name."""
    pins = {}
    for line in path.read_text().splitlines():
        match = _PIN.match(line.strip())
        if match:
            pins[normalise(match[1])] = match[2]
    return pins


def read_requirements(pyproject: Path) -> set[str]:
    """Return the normalised names of what the project needs to run."""
    import tomllib  # Python 3.11; set_up has checked by then

    found = set()
    for requirement in tomllib.loads(pyproject.read_text())["project"]["dependencies"]:
        match = _NAME.match(requirement)
        if match:
            found.add(normalise(match[0]))
    return found


def normalise(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def list_shortfalls(python: Path, pins: dict[str, str], needed: set[str]) -> list[str]:
    """Return, as text, each package that is missing or has another version than its pin; empty where all is well."""
    listed = subprocess.run([python, "-c", _LIST_INSTALLED], capture_output=True, text=True, check=True)
    installed = {normalise(name): facts for name, facts in json.loads(listed.stdout).items()}
    shortfalls = [f"{name} is missing" for name in sorted(needed - installed.keys())]
    for name, version in sorted(pins.items()):
        if name in installed and installed[name][0] != version:
            shortfalls.append(f"{name} is {installed[name][0]}, the pin is {version}")
    if installed.get("pipeprof", ["", ""])[1] != ROOT.as_uri():
        shortfalls.append("pipeprof is not installed from this directory")
    return shortfalls


def set_up(venv: Path, constraints: Path) -> None:
    """Bring the environment to the pins.

    Raises:
        SetupError: Python is too old, or venv or pip failed.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer is needed; name one with: make PYTHON=python3.11 …"
        )
    python = venv / "bin" / "python"
    if not python.exists():
        say(f"creating {venv}")
        made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False)
        if made.returncode:
            raise SetupError(f"cannot create {venv}: {(made.stdout + made.stderr).strip()}")
    tools = ROOT / "constraints" / "dev.txt"
    pins = read_pins(constraints) | read_pins(tools)
    needed = read_requirements(ROOT / "pyproject.toml") | read_pins(tools).keys()
    shortfalls = list_shortfalls(python, pins, needed)
    if not shortfalls:
        say(f"{venv} has the pinned versions")
        return
    if len(shortfalls) < len(needed):
        more = len(shortfalls) - LISTED
        say(f"mending {venv}: " + "; ".join(shortfalls[:LISTED]) + (f"; {more} more" if more > 0 else ""))
    _install(venv, constraints, tools, has_tensorflow="tensorflow is missing" not in shortfalls)
    still = list_shortfalls(python, pins, needed)
    if still:
        raise SetupError("pip ended well, but " + "; ".join(still))


def _install(venv: Path, constraints: Path, tools: Path, *, has_tensorflow: bool) -> None:
    if not has_tensorflow:
        say("installing TensorFlow and the rest: about 0.7 GB to download and 2.5 GB on disk, once; this takes some minutes")
    limits = ["-c", str(constraints), "-c", str(tools)]
    _run_pip(venv, ["-r", str(tools), "setuptools", *limits])
    # The build tool is one of the pinned tools, so no second, unpinned copy of it is fetched.
    _run_pip(venv, ["--no-build-isolation", "-e", str(ROOT), *limits])


def _run_pip(venv: Path, arguments: list[str]) -> None:
    """Run ``pip install``, telling downloads above 10 MB as they come and, every 15 s, how far it is."""
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    lines: list[str] = []
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as pip:
        done = threading.Event()
        reporter = threading.Thread(target=_report_progress, args=(venv, done, lines), daemon=True)
        reporter.start()
        for line in pip.stdout or ():
            lines.append(line.rstrip())
            for name in _large_download(line):
                say(f"  downloading {name}")
        done.set()
        reporter.join()
    if pip.returncode:
        raise SetupError("pip failed:\n" + "\n".join(lines[-15:]))


def _large_download(line: str) -> Iterator[str]:
    match = _DOWNLOAD.match(line)
    if match and (match[3] == "GB" or float(match[2]) >= LARGE_MB):
        yield f"{match[1].split('-')[0]} ({match[2]} {match[3]})"


def _report_progress(venv: Path, done: threading.Event, lines: list[str]) -> None:
    """Say every 15 s what pip is at: fetching so many packages, or unpacking so many bytes."""
    started = time.monotonic()
    while not done.wait(REPORT_EVERY_S):
        elapsed_s = time.monotonic() - started
        if any(line.startswith("Installing collected packages") for line in lines):
            say(f"  unpacking: {_disk_gb(venv):.1f} GB written, {elapsed_s:.0f} s")
        else:
            collected = sum(line.startswith("Collecting") for line in lines)
            say(f"  fetching: {collected} packages so far, {elapsed_s:.0f} s")


def _disk_gb(folder: Path) -> float:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(directory) / name).lstat().st_size
            except OSError:
                continue  # pip moved it meanwhile
    return total / 1e9


def say(text: str) -> None:
    """Tell the user, on stderr."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(description="Set up a virtual environment with pinned versions.")
    parser.add_argument("venv", type=Path)
    parser.add_argument("constraints", type=Path)
    given = parser.parse_args()
    if not given.constraints.is_file():
        parser.error(f"no such file: {given.constraints}")
    try:
        set_up(given.venv, given.constraints)
    except SetupError as error:
        say(f"cannot set up {given.venv}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
