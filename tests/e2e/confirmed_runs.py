"""A script's run with a change of it confirmed, for what comes after: apply, re-run, patch."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
PIPEPROF = (sys.executable, "-m", "pipeprof")


def run(*command, cwd):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TF_CPP_MIN_LOG_LEVEL": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=cwd, env=environment)


def confirm(profile_path, kind="cache", op="map", elements="identical"):
    """Write the trial that a quiet machine makes: a change of one stage, confirmed."""
    stage = next(item for item in json.loads(profile_path.read_text())["pipelines"][0]["written"] if item["op"] == op)
    trial = {
        "id": f"{kind}-p0-{stage['id']}", "pipeline_id": "p0", "stage_id": stage["id"], "change": {"kind": kind},
        "state": "confirmed", "elements": elements, "speedup": 2.0, "low": 1.8, "high": 2.2,
    }  # fmt: skip
    event = {"event": "result", "at_s": 1.0, "trial": trial}
    profile_path.with_name("trials.jsonl").write_text(json.dumps(event) + "\n")


def seen(folder, name, kind="cache", **facts):
    """Run a script by itself and under pipeprof, and confirm a change of it; return its own run, and where pipeprof kept it."""
    script = folder / "train.py"
    script.write_text((SCRIPTS / name).read_text())
    native = run(sys.executable, script, cwd=folder)
    run(*PIPEPROF, "run", "--quiet", "--no-html", "--no-trials", "train.py", cwd=folder)
    (first,) = (folder / "reports").iterdir()
    confirm(first / "profile.json", kind, **facts)
    return native, first
