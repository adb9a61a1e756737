"""Runs a GpuSampler as a plan says and prints what it saw as JSON.

The plan (JSON on standard input) is a list of steps: {"at": seconds, "control": {key: value}, "environment": {name: value
or null}}. Each step changes the stand-in library's control file and the environment, then takes one sample.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeprof.capture.gpu import GpuSampler

CONTROL = Path(os.environ["NVML_STUB_CONTROL"])
LOG = Path(os.environ["NVML_STUB_LOG"])


def write_control(planted: dict[str, Any]) -> None:
    CONTROL.write_text("".join(f"{key} {value}\n" for key, value in planted.items()))


def main() -> None:
    now_s = 0.0
    environment: dict[str, str] = {}
    planted: dict[str, Any] = {}
    sampler = GpuSampler(lambda: now_s, environment=environment)
    names: list[tuple[str, ...]] = []
    for step in json.load(sys.stdin):
        now_s = step["at"]
        planted |= step.get("control", {})
        write_control(planted)
        for name, value in step.get("environment", {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        sampler.sample()
        names.append(sampler.names)
    series = [asdict(one) for one in sampler.freeze()]
    sampler.close()
    sampler.close()
    sampler.sample()
    calls = LOG.read_text().splitlines() if LOG.exists() else []
    report = {"series": series, "problems": sampler.problems, "names": names, "calls": calls}
    report["closed"] = [asdict(one) for one in sampler.freeze()] == series
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
