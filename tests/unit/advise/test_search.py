"""Why the search does not try a change, as far as that is decided before anything is replayed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pipeprof.advise.pairing import TrialPlan
from pipeprof.advise.search import Search
from pipeprof.advise.sides import Equivalence
from pipeprof.advise.trial import TrialOutcome
from pipeprof.model.diagnosis import Recommendation, Safety, Trial
from pipeprof.model.profile import Change, ElementsState, TrialRecord, TrialState
from pipeprof.settings import Settings
from tests.support.builders import Scene, python_calls, python_function, stage

UNFINISHED = Equivalence(state=ElementsState.UNCHECKED, lacks_time=True)
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
    bench: Any = SimpleNamespace(view=analysis.pipelines[0], kept={}, held_bytes=0, free_bytes=None)

    search._try_all(bench, analysis, "replay does not reproduce the run: step 18 ms against 28 ms")

    (record,) = [event.trial for event in events]
    assert record.change.kind == "replace_python"
    assert (record.state, record.reason) == (TrialState.NOT_TRIED, "it cannot be made mechanically: it changes your own code")


def kept_search(events: list[Any], state: TrialState, monkeypatch: pytest.MonkeyPatch) -> tuple[Search, Any, list[Any]]:
    """A search that has confirmed two changes, and whose trial of both together ends in ``state``."""
    analysis = PYTHON.analysis()
    records = tuple(
        TrialRecord(
            id=name, pipeline_id="p0", stage_id="s0", change=Change(kind="prefetch"), state=TrialState.CONFIRMED, reason=""
        )
        for name in ("first", "second")
    )
    profile = replace(analysis.profile, trials=records)
    tried: list[Any] = []

    def trial(baseline: Any, candidate: Any, *_rest: Any) -> TrialOutcome:
        tried.append((baseline, candidate))
        return TrialOutcome(state=state, reason="")

    monkeypatch.setattr("pipeprof.advise.search.run_trial", trial)
    bench = SimpleNamespace(
        view=analysis.pipelines[0],
        plan=TrialPlan(gaps=(0.01,), cores=2),
        noise=None,
        held_bytes=0,
        free_bytes=None,
        kept={"first": "with the first", "second": "with both"},
        current=SimpleNamespace(load="changed"),
    )
    return Search(profile, {}, Settings(), events.append), bench, tried


@pytest.mark.parametrize(
    ("state", "left"),
    [
        (TrialState.CONFIRMED, {"second": TrialState.CONFIRMED}),
        (TrialState.NO_DIFFERENCE, {"second": TrialState.CONFIRMED}),
        (TrialState.WORSE, {"second": TrialState.WORSE}),
    ],
)
def test_changes_that_are_slower_together_than_the_pipeline_as_it_was_are_taken_back_to_the_first(
    state: TrialState, left: dict[str, TrialState], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    search, bench, tried = kept_search(events, state, monkeypatch)

    search._check_together(bench, SimpleNamespace(load="original"))  # type: ignore[arg-type]

    assert tried == [("original", "changed")]
    assert {event.trial.id: event.trial.state for event in events} == left
    if state is TrialState.WORSE:
        assert (list(bench.kept), bench.current) == (["first"], "with the first")
    else:
        assert (list(bench.kept), bench.current.load) == (["first", "second"], "changed")


@pytest.mark.parametrize(
    ("looks", "compared_for", "state", "kept"),
    [
        ([Equivalence(state=ElementsState.SAME_BUT_RANDOM)], 1, TrialState.CONFIRMED, True),
        ([UNFINISHED, Equivalence(state=ElementsState.SAME_BUT_RANDOM)], 2, TrialState.CONFIRMED, True),
        ([UNFINISHED, UNFINISHED], 2, TrialState.CONFIRMED, False),
        ([UNFINISHED, Equivalence(state=ElementsState.DIFFERENT)], 2, TrialState.WORSE, False),
    ],
)
def test_elements_of_a_faster_change_are_compared_for_longer_where_the_first_look_lacked_time(
    looks: list[Equivalence], compared_for: int, state: TrialState, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, bench, _ = kept_search([], TrialState.CONFIRMED, monkeypatch)
    bench.kept, bench.names, bench.idle_scale = {}, {}, None
    bench.current = SimpleNamespace(load="original", graph=SimpleNamespace(node=[]))
    given: list[float] = []

    def compare(*_sides: Any, time_budget_s: float, **_limits: Any) -> Equivalence:
        given.append(time_budget_s)
        return looks[len(given) - 1]

    changed = SimpleNamespace(load="changed", graph=SimpleNamespace(node=[]))
    monkeypatch.setattr("pipeprof.advise.comparing.compare", compare)
    monkeypatch.setattr("pipeprof.advise.search.rewrite_call", lambda *_all: changed)

    record = search._try_one(bench, PYTHON.analysis(), recommended(Safety.SAFE), "", 10.0)

    assert len(given) == compared_for
    assert given == sorted(given)
    assert record.state is state
    assert bool(bench.kept) is kept


@pytest.mark.parametrize(("state", "kept"), [(TrialState.LESS_CPU, ["x"]), (TrialState.NO_DIFFERENCE, [])])
def test_a_change_that_is_as_fast_for_less_cpu_is_kept(
    state: TrialState, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, bench, _ = kept_search([], state, monkeypatch)
    bench.kept, bench.names, bench.idle_scale = {}, {}, None
    bench.current = SimpleNamespace(load="original", graph=SimpleNamespace(node=[]))
    same = Equivalence(state=ElementsState.IDENTICAL)
    monkeypatch.setattr("pipeprof.advise.comparing.compare", lambda *_sides, **_limits: same)
    changed = SimpleNamespace(load="changed", graph=SimpleNamespace(node=[]))
    monkeypatch.setattr("pipeprof.advise.search.rewrite_call", lambda *_all: changed)
    item = recommended(Safety.SAFE)

    record = search._try_one(bench, PYTHON.analysis(), item, "", 10.0)

    assert record.state is state
    assert list(bench.kept) == kept


def test_what_tensorflow_raises_while_a_change_is_compared_is_that_changes_result(monkeypatch: pytest.MonkeyPatch) -> None:
    search, bench, tried = kept_search([], TrialState.CONFIRMED, monkeypatch)
    bench.kept, bench.names, bench.idle_scale = {}, {}, None

    def rewrite(*_all: Any) -> Any:
        raise ValueError("parts of 96 and 16\nand more")

    monkeypatch.setattr("pipeprof.advise.search.rewrite_call", rewrite)

    record = search._try_one(bench, PYTHON.analysis(), recommended(Safety.SAFE), "", 10.0)

    assert (record.state, record.reason) == (TrialState.NOT_TRIED, "trying it failed: ValueError: parts of 96 and 16")
    assert not tried
    assert not bench.kept


def test_one_change_alone_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    search, bench, tried = kept_search(events, TrialState.WORSE, monkeypatch)
    bench.kept.pop("second")

    search._check_together(bench, SimpleNamespace(load="original"))  # type: ignore[arg-type]

    assert (events, tried) == ([], [])


def recommended(safety: Safety) -> Recommendation:
    return Recommendation(
        id="x", findings=("PP206",), change=Change(kind="nondeterministic"), title="t", safety=safety,
        caution="the order changes", pipeline_id="p0", stage_id="s0", trial=Trial(state=TrialState.NOT_TRIED, reason=""),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("safety", "allow", "why"),
    [
        (Safety.SAFE, (), ""),
        (Safety.USES_MEMORY, (), ""),
        (
            Safety.REORDERS,
            (),
            "it is not tried without being asked for (--allow reorders tries it): the order changes",
        ),
        (Safety.REORDERS, (Safety.REORDERS,), ""),
        (Safety.CHANGES_DATA, (Safety.REORDERS,), "it is not tried, since it changes the data: the order changes"),
    ],
)
def test_a_change_that_reorders_is_tried_only_when_that_was_allowed(
    safety: Safety, allow: tuple[Safety, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bench, _ = kept_search([], TrialState.WORSE, monkeypatch)
    search = Search(PYTHON.analysis().profile, {}, Settings(allow=allow), lambda _event: None)

    assert search._why_not(recommended(safety), bench) == why
