"""A harmful advice on purpose: the split of calls that made Plumber lose on Mask-RCNN, turned into a trial.

The one idea: whatever a model recommends, the trial decides. The Mask-RCNN pipeline with one call for each core is given the
change that a wrong model would make of it, nearly all calls to the map that needs none and one to the map that needs them all;
what pipeprof keeps of that is told. Nothing is tuned.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import speedup_workloads as published
from benchmarks.speedup_styles import in_style
from pipeprof.model.diagnosis import Recommendation, Safety, Trial
from pipeprof.model.profile import Change, Profile, TrialRecord, TrialState

CAPTURE_EPOCHS = 4
SHARE = 95  # calls of a hundred that the model gives to the map that needs none


def planted(profile: Profile) -> list[Recommendation]:
    """Return the split as two recommendations: the dear map first, which loses its calls."""
    from pipeprof.advise.recommend import recommendation_id

    (pipeline,) = profile.pipelines
    maps = [stage for stage in pipeline.written if stage.op == "map"]
    found = []
    for stage, calls in zip((maps[0], maps[-1]), (1, SHARE), strict=True):
        change = Change(kind="parallel_calls", params={"num_parallel_calls": calls})
        found.append(
            Recommendation(
                id=recommendation_id(change, pipeline.id, stage.id),
                findings=("planted",),
                change=change,
                title=f"Give {stage.id} {calls} calls",
                safety=Safety.SAFE,
                call_site=stage.call_site,
                pipeline_id=pipeline.id,
                stage_id=stage.id,
                trial=Trial(state=TrialState.NOT_TRIED),
            )
        )
    return found


def try_split(data: Path, budget_s: float) -> tuple[list[TrialRecord], tuple[str, ...]]:
    """Try the planted split on the pipeline; return its trials, and what was kept.

    Args:
        data: the folder of the workloads' data.
        budget_s: seconds for trials.
    """
    import pipeprof
    from pipeprof.advise.search import Search
    from pipeprof.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        with pipeprof.profile(output=folder, name="split") as prof:
            dataset = in_style(published.rcnn, "HEURISTIC")(data)
            began, epochs = time.perf_counter(), 0
            while epochs < CAPTURE_EPOCHS or time.perf_counter() - began < 5.0:
                for _ in dataset:
                    pass
                epochs += 1
        profile = prof.profile
    wanted = planted(profile)
    events: list[Any] = []

    class Planted(Search):
        def _recommendations(self, _analysis: Any) -> tuple[Recommendation, ...]:
            return tuple(wanted)

    search = Planted(profile, {profile.pipelines[0].id: dataset}, Settings(budget_s=budget_s), events.append)
    search.run()
    return [event.trial for event in events if event.event == "result"], search.kept


def told(trials: Sequence[TrialRecord], kept: Sequence[str]) -> str:
    """Return a sentence for each of the two changes."""
    lines = []
    for trial in trials:
        calls = trial.change.params["num_parallel_calls"]
        ratio = "" if trial.speedup is None else f", {trial.speedup:.2f}× ({trial.low:.2f}–{trial.high:.2f})"
        fate = "kept" if trial.id in kept else "not kept"
        why = f" ({trial.reason})" if trial.reason else ""
        many = "1 call" if calls == 1 else f"{calls} calls at once"
        lines.append(f"- {many} in `{trial.stage_id}`: {trial.state}{ratio}{why}; {fate}.")
    return "\n".join(lines)
