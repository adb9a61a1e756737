"""What one patch holds of several changes, and a filter's patch where TensorFlow would run more than was tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeprof.advise import patches
from pipeprof.advise.patches import patch_for
from pipeprof.advise.source_edit import Patch
from pipeprof.capture.call_sites import source_digest
from pipeprof.model.diagnosis import Recommendation, Safety, Trial
from pipeprof.model.profile import CallSite, Change, RerunFacts, StageFunction, TrialRecord, TrialState
from tests.support.builders import Scene, stage

MADE = Patch(diff="+")


def change(name: str, *beneath: str) -> Recommendation:
    trial = Trial(state=TrialState.CONFIRMED, on_top_of=beneath)
    return Recommendation(id=name, findings=(), change=Change(kind="cache"), title=name, safety=Safety.SAFE, trial=trial)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of changes that no patch can hold."""
    names: set[str] = set()
    monkeypatch.setattr(
        patches, "patch_for", lambda items, _analysis: Patch(diff=None) if any(item.id in names for item in items) else MADE
    )
    return names


def test_what_cannot_be_written_is_left_and_with_it_what_was_proven_on_top_of_it(refused: set[str]) -> None:
    refused.add("b")
    found = [change("d", "a", "b"), change("a"), change("b", "a"), change("c", "a")]

    assert [item.id for item in patches._able(found, [], Scene().analysis())] == ["a", "c"]


def test_what_was_proven_on_top_of_a_change_without_a_patch_is_left(refused: set[str]) -> None:
    assert refused == set()
    found = [change("a"), change("c", "split")]

    assert [item.id for item in patches._able(found, [change("split")], Scene().analysis())] == ["a"]


@pytest.mark.parametrize(("state", "ids"), [(TrialState.CONFIRMED, {"x", "y"}), (TrialState.NO_DIFFERENCE, set())])
def test_the_script_itself_can_show_what_a_change_gives(state: TrialState, ids: set[str]) -> None:
    record = TrialRecord(
        id="rerun-1",
        pipeline_id="p0",
        stage_id="",
        change=Change(kind="rerun"),
        state=state,
        rerun=RerunFacts(changes=("x", "y")),
    )

    assert patches._shown_by_script(replace(Scene().profile(), trials=(record,))) == ids


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
