"""Which confirmed changes of a run may be applied to a new one, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeprof import planning
from pipeprof.advise.recommend import recommend
from pipeprof.capture.host_facts import host_facts
from pipeprof.cli.main import main
from pipeprof.errors import UserError
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Recommendation, Safety
from pipeprof.model.plan import PlannedStage
from pipeprof.model.profile import Change, ElementsState, Profile, TrialState
from pipeprof.store import find_run
from tests.support.builders import Scene, random_function, stage
from tests.unit.cli.test_fix import CHANGE, confirmed, kept

__all__ = ["kept"]


@pytest.fixture
def profile(kept: Callable[..., Path]) -> Profile:
    """Return a run of train.py on this machine, with one confirmed change."""
    kept(confirmed())
    found = find_run(None).load()
    versions = replace(found.run.versions, tensorflow=None)
    return replace(found, run=replace(found.run, command=("train.py",), host=host_facts(), versions=versions))


def refusal(profile: Profile, *command: str) -> str:
    with pytest.raises(UserError) as caught:
        planning.plan_changes(profile, command or ("train.py",))
    assert caught.value.hint
    return caught.value.what


def test_a_confirmed_change_is_planned_with_everything_above_it(profile: Profile) -> None:
    plan = planning.plan_changes(profile, ("./train.py", "--epochs", "9"))

    (change,) = plan.changes
    assert (plan.run_id, change.change.kind) == (profile.run.id, "parallel_calls")
    assert change.phrase.endswith("(train.py:4)")
    ((source, slow),) = change.trees
    assert (source.inputs, slow.inputs) == ((), (0,))
    assert slow.site is not None
    assert slow.site[1:] == (4, 10, 4, 30)


def test_what_cannot_be_applied_is_left_and_told(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "why_not_here", lambda kind: "it cannot be" if kind == "parallel_calls" else "")

    with pytest.raises(UserError, match=r"nothing of .* can be applied to a running program") as caught:
        planning.plan_changes(profile, ("train.py",))
    assert str(caught.value.hint).startswith("not applied: Run the calls of map")
    assert str(caught.value.hint).endswith("(train.py:4): it cannot be")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ({"python_ops": ("EagerPyFunc",)}, "a stage calls Python, and would do so at another time than before"),
        ({"op_types": ("ReadVariableOp",)}, "a stage reads a variable, and would do so at another time than before"),
        ({"op_types": ("LookupTableFindV2",)}, ""),  # the program's own tables tell whether they change
    ],
)
def test_what_every_stage_would_see_too_early_is_left_before_the_script_runs(
    profile: Profile, function: dict[str, tuple[str, ...]], reason: str
) -> None:
    (record,) = profile.pipelines
    slow = next(item for item in record.written if item.op == "map")
    changed = replace(slow, function=replace(slow.function or random_function(), **function))
    record = replace(record, written=tuple(changed if item is slow else item for item in record.written))
    profile = replace(profile, pipelines=(record,))

    if not reason:
        assert len(planning.plan_changes(profile, ("train.py",)).changes) == 1
        return
    with pytest.raises(UserError, match=r"nothing of .* can be applied to a running program") as caught:
        planning.plan_changes(profile, ("train.py",))
    assert reason in str(caught.value.hint)


def test_the_ceiling_is_one_batch_in_the_place_of_the_whole_input(profile: Profile) -> None:
    plan = planning.plan_ceiling(profile)

    (change,) = plan.changes
    (record,) = profile.pipelines
    assert (plan.run_id, change.id, change.change.kind) == (profile.run.id, "ceiling", "ready_input")
    assert change.phrase.startswith("One batch, always ready, in the place of the input (")
    assert change.change.params["elements"] == record.loop.elements > 0
    assert len(change.trees[0]) == len(record.written)


def test_a_ceiling_of_a_source_that_changed_is_refused(profile: Profile) -> None:
    (source,) = profile.run.sources
    Path(source.path).write_text("pass\n")

    with pytest.raises(UserError, match="has changed since"):
        planning.plan_ceiling(profile)


def test_another_script_is_refused(profile: Profile) -> None:
    assert refusal(profile, "other.py") == f"{profile.run.id} was a run of train.py, not of other.py"


def test_a_source_that_changed_or_is_gone_is_refused(profile: Profile) -> None:
    (source,) = profile.run.sources
    Path(source.path).write_text("pass\n")
    assert refusal(profile) == f"{source.path} has changed since {profile.run.id}"
    Path(source.path).unlink()
    assert refusal(profile) == f"{source.path} is gone since {profile.run.id}"


def test_another_machine_is_refused(profile: Profile) -> None:
    cores = profile.run.host.cores
    other = replace(profile, run=replace(profile.run, host=replace(profile.run.host, cores=cores + 1)))

    assert refusal(other) == f"{profile.run.id} was made on another machine (number of cores: {cores + 1}, here {cores})"


def test_another_tensorflow_is_refused(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_tensorflow_version", lambda: "2.18.0")
    other = replace(profile, run=replace(profile.run, versions=replace(profile.run.versions, tensorflow="2.17.1")))

    assert refusal(other) == f"{profile.run.id} was made with TensorFlow 2.17.1, and this is 2.18.0"


def test_a_release_candidate_is_the_same_by_its_own_name_and_the_installers(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_tensorflow_version", lambda: "2.19.0rc1")
    versions = profile.run.versions
    same, other = (
        replace(profile, run=replace(profile.run, versions=replace(versions, tensorflow=name)))
        for name in ("2.19.0-rc1", "2.19.0-rc2")
    )

    assert planning.other_place(same) == ""
    assert "made with TensorFlow 2.19.0-rc2, and this is 2.19.0rc1" in planning.other_place(other)


def test_a_ceiling_of_another_machine_or_tensorflow_is_refused(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    run = profile.run
    monkeypatch.setattr(planning, "_tensorflow_version", lambda: "2.18.0")
    elsewhere = replace(run, host=replace(run.host, cores=run.host.cores + 1))
    older = replace(run, versions=replace(run.versions, tensorflow="2.17.1"))

    with pytest.raises(UserError, match="was made on another machine"):
        planning.plan_ceiling(replace(profile, run=elsewhere))
    with pytest.raises(UserError, match=r"made with TensorFlow 2\.17\.1, and this is 2\.18\.0"):
        planning.plan_ceiling(replace(profile, run=older))


@pytest.mark.parametrize(
    "details",
    [{"state": TrialState.NO_DIFFERENCE}, {"elements": ElementsState.UNCHECKED}, {"elements": ElementsState.REORDERED}],
)
def test_what_is_not_proven_is_not_applied(profile: Profile, details: dict[str, object]) -> None:
    other = replace(profile, trials=(confirmed(**details),))

    assert refusal(other) == f"no change of {profile.run.id} was confirmed"


def test_a_run_that_does_not_exist_is_one_line_and_nothing_is_written(
    kept: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = kept(confirmed())
    before = sorted(script.parent.rglob("*"))

    assert main(["run", "--apply", "nothing", "train.py"]) == 2

    assert capsys.readouterr().err.startswith("pipeprof: no such run: nothing")
    assert sorted(script.parent.rglob("*")) == before


@pytest.fixture
def reordering(kept: Callable[..., Path]) -> Profile:
    """Return a run whose one confirmed change reorders the elements, since the options let it."""
    kept(confirmed(elements=ElementsState.REORDERED), deterministic=False)
    found = find_run(None).load()
    versions = replace(found.run.versions, tensorflow=None)
    return replace(found, run=replace(found.run, command=("train.py",), host=host_facts(), versions=versions))


def test_a_confirmed_change_of_the_order_is_planned_where_it_is_asked_for(reordering: Profile) -> None:
    plan = planning.plan_changes(reordering, ("train.py",), allow=(Safety.REORDERS,))

    assert [change.change.kind for change in plan.changes] == ["parallel_calls"]
    assert plan.left == ()


def test_a_confirmed_change_of_the_order_is_not_made_unasked_and_told(reordering: Profile) -> None:
    with pytest.raises(UserError, match=r"nothing of .* can be applied") as caught:
        planning.plan_changes(reordering, ("train.py",))

    assert str(caught.value.hint).endswith("is made where that is asked for: --allow reorders")


def test_a_stage_made_parallel_follows_where_elements_are_handed_on_as_they_are_ready(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def both(*given: object) -> list[Recommendation]:
        (parallel,) = recommend(*given)
        reorders = {"safety": Safety.REORDERS, "accepted": False}
        as_ready = replace(parallel, id="ready", change=Change(kind="nondeterministic"), **reorders)
        return [parallel, replace(as_ready, trial=replace(parallel.trial, elements=ElementsState.REORDERED))]

    monkeypatch.setattr(planning, "recommend", both)

    alone = planning.plan_changes(profile, ("train.py",))
    together = planning.plan_changes(profile, ("train.py",), allow=(Safety.REORDERS,))

    assert [item.change for item in alone.changes] == [CHANGE]
    assert [item.change.params for item in together.changes] == [{**CHANGE.params, "deterministic": "default"}, {}]


@pytest.mark.parametrize("details", [{"state": TrialState.NO_DIFFERENCE}, {"elements": ElementsState.UNCHECKED}])
def test_what_was_not_shown_is_not_made_though_its_order_is_allowed(reordering: Profile, details: dict[str, object]) -> None:
    other = replace(reordering, trials=(confirmed(**details),))

    with pytest.raises(UserError, match=r"no change of .* was confirmed"):
        planning.plan_changes(other, ("train.py",), allow=(Safety.REORDERS,))


def behind_a_reader(**details: object) -> tuple[Recommendation, Analysis]:
    """Return a change that reads several files at a time, before a stage with such a function."""
    arguments = details.pop("arguments", {})
    function = replace(random_function(), **{"random_ops": (), "op_types": (), **details})
    drawn = stage("map", function=function, arguments=arguments)
    scene = Scene(stages=(stage("range"), stage("flat_map"), drawn))
    item = Recommendation(
        id="c", findings=("PP708",), change=Change(kind="interleave"), title="Read", safety=Safety.REORDERS, stage_id="s1",
        pipeline_id=scene.analysis().pipelines[0].record.id,
    )  # fmt: skip
    return item, scene.analysis()


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({}, ""),
        ({"random_ops": ("RandomUniform",), "has_op_seed": True}, "random draws of map behind it are seeded"),
        ({"random_ops": ("RandomUniform",)}, ""),
        ({"python_ops": ("PyFunc",)}, "behind it a stage calls Python for one element after the other"),
        ({"python_ops": ("PyFunc",), "arguments": {"num_parallel_calls": 4}}, ""),
        (
            {"python_ops": ("PyFunc",), "arguments": {"num_parallel_calls": 1}},
            "behind it a stage calls Python",
        ),
        ({"assigns_variables": True}, "behind it a stage assigns a variable"),
    ],
)
def test_another_order_is_left_out_where_a_stage_behind_counts_on_it(details: dict[str, object], reason: str) -> None:
    item, analysis = behind_a_reader(**details)

    found = planning._why_not_reordered(item, analysis)

    assert found.startswith(reason) if reason else not found


@pytest.mark.parametrize(
    ("class_name", "is_left_out"),
    [("_TakeDataset", True), ("_ZipDataset", True), ("_BatchDataset", False), ("_TakeWhileDataset", True)],
)
def test_another_order_is_left_out_where_a_stage_behind_takes_elements_by_their_place(
    class_name: str, is_left_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, analysis = behind_a_reader()
    (last,) = planning._behind(item, analysis)
    monkeypatch.setattr(planning, "_behind", lambda *_: [replace(last, class_name=class_name)])

    reason = planning._why_not_reordered(item, analysis)

    assert reason == ("map behind it takes elements by their place" if is_left_out else "")


@pytest.mark.parametrize("drawn", [(), ("RandomUniform",)])
def test_the_plan_says_whether_random_draws_stand_behind_another_order(drawn: tuple[str, ...]) -> None:
    item, analysis = behind_a_reader(random_ops=drawn)

    assert planning._planned(item, analysis).draws_behind is bool(drawn)
    assert not planning._planned(replace(item, safety=Safety.SAFE), analysis).draws_behind


@pytest.mark.parametrize(
    ("kind", "chain", "at", "made_at"),
    [
        ("skip_earlier", ("map", "skip"), "s1", "s2"),
        ("skip_earlier", ("map", "skip"), "s2", "s2"),
        ("shuffle_earlier", ("map", "shuffle"), "s2", "s2"),
        ("filter_earlier", ("map", "filter"), "s1", "s2"),
        ("filter_earlier", ("map", "filter"), "s2", "s2"),
        ("move_cache", ("cache", "take"), "s1", "s2"),
        ("vectorize", ("map", "batch"), "s1", "s2"),
        ("parse_batch", ("map", "batch"), "s1", "s2"),
        ("cast_later", ("map", "batch"), "s1", "s2"),
        ("cast_later", ("map", "shuffle", "prefetch", "batch"), "s1", "s4"),
        ("cache", ("map", "batch"), "s1", "s1"),
    ],
)
def test_of_two_stages_that_change_places_the_change_is_made_at_the_second(
    kind: str, chain: tuple[str, str], at: str, made_at: str
) -> None:
    (view,) = Scene(stages=(stage("range"), *map(stage, chain))).analysis().pipelines
    item = Recommendation(
        id="c", findings=("PP604",), change=Change(kind=kind), title="Move it", safety=Safety.SAFE, stage_id=at
    )

    assert planning._made_at(item, view) == made_at


def test_a_batch_behind_another_map_is_not_what_the_change_was_proven_for() -> None:
    chain = (stage("range"), stage("map"), stage("batch"))
    (own,) = Scene(stages=chain).analysis().pipelines
    (twin,) = Scene(stages=chain).analysis().pipelines
    (other,) = Scene(stages=(chain[0], replace(chain[1], line=40), chain[2])).analysis().pipelines
    item = Recommendation(
        id="c",
        findings=("PP601",),
        change=Change(kind="vectorize"),
        title="Batch it first",
        safety=Safety.SAFE,
        pipeline_id=own.record.id,
        stage_id="s1",
    )
    analysis = Scene(stages=chain).analysis()

    def trees(*views: PipelineView) -> list[tuple[PlannedStage, ...]]:
        places = planning._places(item, replace(analysis, pipelines=views))
        return [planning._tree(view.record, stage_id) for view, stage_id in places]

    assert [len(tree) for tree in trees(own, twin)] == [3, 3]
    assert trees(own, other) == trees(own)
