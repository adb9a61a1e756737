"""Why the search does not try a change, as far as that is decided before anything is replayed."""

from __future__ import annotations

from typing import Any

from pipeprof.advise.search import Search
from pipeprof.model.profile import TrialState
from pipeprof.settings import Settings
from tests.support.builders import Scene, python_calls, python_function, stage

PYTHON = Scene(
    stages=(
        stage("from_generator", 0.036, function=python_function("PyFunc"), python=python_calls(wall_s=20, cpu_share=0.9)),
        stage("prefetch", segment=0, node="Prefetch"),
    ),
    epochs=1,
)


def test_work_to_be_done_by_hand_says_so_whatever_the_replay_shows() -> None:
    analysis, events = PYTHON.analysis(), []
    search = Search(analysis.profile, {}, Settings(), events.append)
    bench: Any = None  # nothing of it is needed before a change is tried

    search._try_all(bench, analysis, "replay does not reproduce the run: step 18 ms against 28 ms")

    (record,) = [event.trial for event in events]
    assert record.change.kind == "replace_python"
    assert (record.state, record.reason) == (TrialState.NOT_TRIED, "it cannot be made mechanically: it changes your own code")
