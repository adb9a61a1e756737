"""Settings of one run: what the command line or the API asked for, validated once.

One frozen object travels from the edge to every layer; no layer reads the environment by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeprof.choice import Choice
from pipeprof.model.diagnosis import Safety
from pipeprof.model.plan import ApplyPlan
from pipeprof.store import DEFAULT_ROOT


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one run was asked to do."""

    output_root: Path = DEFAULT_ROOT
    quiet: bool = False  # print nothing; the files are still written
    try_changes: bool = True
    replay_python: bool = True  # whether py_functions and generators may run again in trials
    allow: tuple[Safety, ...] = ()  # what changes may do to the program beyond those that are tried unasked
    budget_s: float = 60.0  # for all trials together
    sample_hz: float = 5.0  # of TensorFlow's counters; raised by itself while nodes come and go
    host_hz: float = 5.0
    gpu_hz: float = 10.0
    html: bool = True
    json_path: Path | None = None
    plan: ApplyPlan | None = None  # confirmed changes of an earlier run, to be applied
    stop_after_steps: int = 0  # end the script's process after so many steps of one pipeline; 0: let it run
    stop_pipeline: str = ""  # the id of that pipeline
    choice: Choice = field(default_factory=Choice)  # which rules judge, and by which thresholds
