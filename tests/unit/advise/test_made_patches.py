"""What one patch holds of several changes, and a filter's patch where TensorFlow would run more than was tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeprof.advise import patches
from pipeprof.advise.patches import patch_for
from pipeprof.advise.script_showed import shown_by_script
from pipeprof.advise.source_edit import Patch
from pipeprof.capture.call_sites import source_digest
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Recommendation, Safety, StageOp, Trial
from pipeprof.model.profile import CallSite, Change, FirstDraw, RerunFacts, StageFunction, TrialRecord, TrialState
from tests.support.builders import Scene, function, stage

MADE = Patch(diff="+")


def change(name: str, *beneath: str) -> Recommendation:
    trial = Trial(state=TrialState.CONFIRMED, on_top_of=beneath)
    return Recommendation(
        id=name, findings=(), change=Change(kind="cache"), title=name, safety=Safety.SAFE, trial=trial, accepted=True
    )


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of changes that no patch can hold."""
    names: set[str] = set()
    refusal = Patch(diff=None, reason="no")
    monkeypatch.setattr(
        patches, "patch_for", lambda items, _analysis: refusal if any(item.id in names for item in items) else MADE
    )
    return names


def test_what_cannot_be_written_is_left_and_with_it_what_was_proven_on_top_of_it(refused: set[str]) -> None:
    refused.add("b")
    found = [change("d", "a", "b"), change("a"), change("b", "a"), change("c", "a")]

    able, left = patches._able(found, [], Scene().analysis())

    assert [item.id for item in able] == ["a", "c"]
    assert [(item.change.id, item.reason) for item in left] == [("b", "no"), ("d", "it was confirmed on top of: b")]


def test_what_was_proven_on_top_of_a_change_without_a_patch_is_left(refused: set[str]) -> None:
    assert refused == set()
    found = [change("a"), change("c", "split")]

    able, left = patches._able(found, [patches.Left(change("split"), "")], Scene().analysis())

    assert [item.id for item in able] == ["a"]
    assert [item.reason for item in left] == ["it was confirmed on top of: split"]


def test_what_was_not_tried_does_not_displace_what_was_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        patches, "patch_for", lambda items, _analysis: MADE if len(items) < 3 else Patch(diff=None, reason="no")
    )
    untried = replace(change("u"), accepted=False)

    able, _ = patches._able([untried, change("b", "a"), change("a")], [], Scene().analysis())

    assert [item.id for item in able] == ["a", "b"]


@pytest.mark.parametrize(
    ("states", "ids"),
    [
        ([TrialState.CONFIRMED], {"x", "y"}),
        ([TrialState.NO_DIFFERENCE], set()),
        ([TrialState.CONFIRMED, TrialState.WORSE], set()),
        ([TrialState.WORSE, TrialState.CONFIRMED], {"x", "y"}),
    ],
)
def test_the_script_itself_can_show_what_a_change_gives_when_it_was_last_run(states: list[TrialState], ids: set[str]) -> None:
    facts = RerunFacts(changes=("x", "y"))
    plain = TrialRecord(id="r", pipeline_id="p0", stage_id="", change=Change(kind="rerun"), state=states[0], rerun=facts)

    assert shown_by_script([replace(plain, state=state) for state in states]) == ids
    assert shown_by_script([replace(plain, rerun=replace(facts, ceiling=True))]) == set()


DECODE = StageFunction(name="decode", op_types=("DecodeJpeg",), op_count=1, gives_tuple=True)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (DECODE, ""),
        (replace(DECODE, gives_tuple=None), "whether the map gives one value or several was not recorded"),
        (replace(DECODE, stateful_ops=("RandomUniform",)), "would run all of the map's RandomUniform, too"),
        (replace(DECODE, op_types=("Assert", "DecodeJpeg")), "would run all of the map's Assert, too"),
    ],
)
def test_a_filter_is_written_first_where_tensorflow_leaves_the_rest_of_the_map_out(
    function: StageFunction, reason: str, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text("ds = source().map(decode).filter(keep)\n")
    analysis = Scene(stages=(stage("range"), stage("map", 0.03, function=function), stage("filter", 0.001))).analysis()
    (view,) = analysis.pipelines
    ends = {"s1": len("ds = source().map(decode)"), "s2": len("ds = source().map(decode).filter(keep)")}
    sites = {
        name: CallSite(file=str(script), line=1, column=5, end_line=1, end_column=end, function="<module>", code="")
        for name, end in ends.items()
    }
    stages = tuple(replace(item, stage=replace(item.stage, call_site=sites.get(item.id))) for item in view.stages)
    source = source_digest(str(script))
    assert source is not None
    run = replace(analysis.profile.run, sources=(source,), working_directory=str(tmp_path))
    analysis = replace(analysis, profile=replace(analysis.profile, run=run), pipelines=(replace(view, stages=stages),))
    item = replace(change("f"), change=Change(kind="filter_earlier"), pipeline_id="p0", stage_id="s2")

    patch = patch_for([item], analysis)

    assert (patch.diff is None) is bool(reason)
    assert reason in patch.reason
    assert reason or "+ds = source().filter(lambda *row: keep(*decode(*row))).map(decode)" in str(patch.diff)


LOAD = ("def load(x):", "    x = tf.sqrt(x)", "    return x + tf.random.normal([])")
RANDOM = replace(function("Sqrt"), name="load", random_ops=("RandomStandardNormal",), before_draws=("DecodeJpeg", "Sqrt"))
SPENT = tuple(
    StageOp(op=op, share=share, busy_s_per_step=share / 100, calls_per_step=1)
    for op, share in {"Sqrt": 0.6, "DecodeJpeg": 0.3}.items()
)


@pytest.mark.parametrize(
    ("change_of_function", "stages", "reason"),
    [
        ({}, "map", ""),
        ({}, "shuffle map", ""),
        ({}, "shuffle take map", "A shuffle stands further up"),
        ({}, "shuffle shuffle map", "A shuffle stands further up"),
        ({"first_draw": None}, "map", "The line that first draws is not known"),
        ({"has_op_seed": True}, "map", "It sets seeds, and each part would draw other numbers"),
        ({"behind": ("DecodeJpeg",)}, "map", "Most of what could be kept (DecodeJpeg) stands behind the first draw"),
        ({"behind": ("Cast",)}, "map", ""),
        ({"file": "other.py"}, "map", "Its function is defined in another file, other.py"),
    ],
)
def test_a_random_map_is_cut_in_the_source_where_the_trial_cut_it(
    change_of_function: dict[str, Any], stages: str, reason: str, tmp_path: Path
) -> None:
    analysis, item = random_map(tmp_path, stages, change_of_function)

    patch = patch_for([item], analysis)

    assert (patch.diff is None) is bool(reason), patch.reason
    assert reason in patch.reason
    shuffled = ".shuffle(9)" if "shuffle" in stages else ""
    assert reason or f"+ds = source().map(load_fixed).cache(){shuffled}.map(load_drawn)" in str(patch.diff)


@pytest.mark.parametrize(
    ("stages", "twin", "change_of_twin", "reason"),
    [
        ("map", "map", {}, ""),
        ("map", "batch map", {}, ""),
        ("map", "shuffle map", {}, "they draw at different lines, or are not all shuffled alike"),
        ("shuffle map", "map", {}, "they draw at different lines, or are not all shuffled alike"),
        ("map", "map", {"line": 3}, "they draw at different lines, or are not all shuffled alike"),
        ("map", "map", {"first_draw": None}, "The line that first draws is not known"),
    ],
)
def test_maps_that_one_call_makes_are_cut_together_or_not_at_all(
    stages: str, twin: str, change_of_twin: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    analysis, item = random_map(tmp_path, stages, {})
    other, _ = random_map(tmp_path, twin, change_of_twin)
    (view,), (second,) = analysis.pipelines, other.pipelines
    mapped = replace(second.stages[-1].stage, call_site=view.stages[-1].stage.call_site)
    made_by_it = (*second.stages[:-1], replace(second.stages[-1], stage=mapped))
    analysis, item = random_map(tmp_path, stages, {})  # the file is the first one's again
    analysis = replace(analysis, pipelines=(*analysis.pipelines, replace(second, stages=made_by_it)))

    patch = patch_for([item], analysis)

    assert (patch.diff is None) is bool(reason), patch.reason
    assert reason in patch.reason


def random_map(tmp_path: Path, stages: str, change_of_function: dict[str, Any]) -> tuple[Analysis, Recommendation]:
    """A script whose map draws, as it was analysed, and the advice to split the map."""
    script, given = tmp_path / "train.py", dict(change_of_function)
    chain = "source()" + "".join(".map(load)" if name == "map" else f".{name}(9)" for name in stages.split())
    script.write_text("\n".join(["import tensorflow as tf", *LOAD, f"ds = {chain}", ""]))
    draw = FirstDraw(file=given.pop("file", str(script)), defined=2, line=given.pop("line", 4), behind=given.pop("behind", ()))
    made_of = replace(RANDOM, **{"first_draw": draw, **given})
    specs = [stage(name, 0.01, function=made_of if name == "map" else None) for name in stages.split()]
    analysis = Scene(stages=(stage("range"), *specs)).analysis()
    (view,) = analysis.pipelines
    ends = [len("ds = source()")]
    for name in stages.split():
        ends.append(ends[-1] + len(".map(load)" if name == "map" else f".{name}(9)"))
    found = []
    for item, end in zip(view.stages, ends, strict=True):
        site = CallSite(file=str(script), line=5, column=5, end_line=5, end_column=end, function="<module>", code="")
        ops = SPENT if item.stage.op == "map" else ()
        found.append(replace(item, stage=replace(item.stage, call_site=site, ops=ops)))
    source = source_digest(str(script))
    assert source is not None
    run = replace(analysis.profile.run, sources=(source,), working_directory=str(tmp_path))
    analysis = replace(analysis, profile=replace(analysis.profile, run=run), pipelines=(replace(view, stages=tuple(found)),))
    mapped = f"s{len(found) - 1}"
    item = replace(change("p"), change=Change(kind="split_map"), pipeline_id="p0", stage_id=mapped)
    return analysis, item
