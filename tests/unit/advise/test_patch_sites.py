"""Which calls a patch of a change concerns, and what is asked of the other stages that the same call makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeprof.advise.patches import _is_safe_and_untried, patch_for
from pipeprof.advise.recommend import recommend
from pipeprof.capture.call_sites import source_digest
from pipeprof.model.analysis import Analysis
from pipeprof.model.diagnosis import Recommendation, Safety, Trial
from pipeprof.model.profile import CallSite, Change, ElementsState, TrialRecord, TrialState
from pipeprof.rules.engine import judge
from tests.support.builders import Scene, function, random_function, stage
from tests.unit.rules.test_pp303_oversized_prefetch import LARGE


def made(tmp_path: Path, lines: str, *names: str, **arguments: object) -> Analysis:
    """A run of a script whose last line is one chain, one call for each name."""
    script = tmp_path / "train.py"
    chain = lines.splitlines()[-1]
    script.write_text(f"import tensorflow as tf\n{lines}\n")
    load = function(*("Cast", "RealDiv", *(("ReadVariableOp",) if "weights" in lines else ())))
    specs = [stage(name, 0.01, function=load if name == "map" else None, arguments=dict(arguments)) for name in names]
    analysis = Scene(stages=(stage("range"), *specs)).analysis()
    (view,) = analysis.pipelines
    found, end = [view.stages[0]], chain.index(f".{names[0]}(")
    for item in view.stages[1:]:
        end = chain.index(")", chain.index(f".{item.stage.op}(", end)) + 1
        line = len(lines.splitlines()) + 1
        site = CallSite(file=str(script), line=line, column=5, end_line=line, end_column=end, function="<module>", code="")
        found.append(replace(item, stage=replace(item.stage, call_site=site)))
    source = source_digest(str(script))
    assert source is not None
    run = replace(analysis.profile.run, sources=(source,), working_directory=str(tmp_path))
    return replace(analysis, profile=replace(analysis.profile, run=run), pipelines=(replace(view, stages=tuple(found)),))


def advice(kind: str, stage_id: str, elements: ElementsState = ElementsState.UNCHECKED, **params: int) -> Recommendation:
    return Recommendation(
        id=kind,
        findings=(),
        change=Change(kind=kind, params=params),
        title=kind,
        safety=Safety.SAFE,
        trial=Trial(state=TrialState.NOT_TRIED, elements=elements),
        pipeline_id="p0",
        stage_id=stage_id,
    )


LOAD = "def load(x):\n    x = tf.sqrt(x)\n    return tf.cast(x, tf.float32) / {}\n"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("map batch", ".map(load_narrow).batch(9).map(load_cast)"),
        ("map take batch prefetch", ".map(load_narrow).take(9).batch(9).map(load_cast).prefetch(9)"),
        ("map shuffle repeat", ".map(load_narrow).shuffle(9).map(load_cast).repeat(9)"),
        ("map shuffle filter batch", ".map(load_narrow).shuffle(9).map(load_cast).filter(9).batch(9)"),
    ],
)
def test_a_cast_goes_behind_the_last_stage_that_holds_its_elements(names: str, expected: str, tmp_path: Path) -> None:
    chain = "".join(".map(load)" if name == "map" else f".{name}(9)" for name in names.split())
    analysis = made(tmp_path, f"{LOAD.format(255)}ds = src{chain}", *names.split())

    patch = patch_for([advice("cast_later", "s1")], analysis)

    assert f"+ds = src{expected}\n" in str(patch.diff), patch.reason


def test_a_cast_that_nothing_holds_stays_where_it_is(tmp_path: Path) -> None:
    analysis = made(tmp_path, f"{LOAD.format(255)}ds = src.map(load).take(9)", "map", "take")

    reason = patch_for([advice("cast_later", "s1")], analysis).reason

    assert reason == "Nothing that holds or copies elements is known to stand directly behind the map."


@pytest.mark.parametrize(
    ("constant", "elements", "is_written"),
    [
        ("255", ElementsState.UNCHECKED, True),
        ("MEAN", ElementsState.UNCHECKED, False),
        ("MEAN", ElementsState.IDENTICAL, True),
        ("weights", ElementsState.IDENTICAL, False),  # of a variable, which is read later behind the batch
    ],
)
def test_constants_of_a_cast_are_trusted_where_a_trial_compared_the_elements(
    constant: str, elements: ElementsState, is_written: bool, tmp_path: Path
) -> None:
    analysis = made(tmp_path, f"{LOAD.format(constant)}ds = src.map(load).batch(9)", "map", "batch")

    patch = patch_for([advice("cast_later", "s1", elements)], analysis)

    assert (patch.diff is not None) is is_written
    assert (
        is_written or patch.reason == f"train.py:5: whether {constant} fits a batch, too, is known once the change was tried."
    )


CROPPED = """def load(x):
    x = tf.io.decode_jpeg(x, channels=3)
    x = tf.image.random_crop(x, [8, 8, 3])
    return x
ds = src.map(load).batch(9)"""


@pytest.mark.parametrize(
    ("elements", "is_seeded", "reason"),
    [
        (ElementsState.SAME_BUT_RANDOM, False, ""),
        (ElementsState.SAME_BUT_RANDOM, True, "seeds are set, and its crop would draw other places than before"),
        (ElementsState.UNCHECKED, False, "A file that is no JPEG would fail: the patch is written once a trial"),
    ],
)
def test_a_crop_is_decoded_alone_once_a_trial_compared_the_pictures(
    elements: ElementsState, is_seeded: bool, reason: str, tmp_path: Path
) -> None:
    analysis = made(tmp_path, CROPPED, "map", "batch")
    (view,) = analysis.pipelines
    view = replace(view, record=replace(view.record, global_seed_set=is_seeded))

    patch = patch_for([advice("fuse_decode_crop", "s1", elements)], replace(analysis, pipelines=(view,)))

    assert (patch.diff is None) is bool(reason)
    assert reason in patch.reason


@pytest.mark.parametrize(("twin", "is_written"), [(500, True), (2, False), (-1, False)])
def test_a_prefetch_is_shrunk_where_all_that_its_call_makes_are_larger(twin: int, is_written: bool, tmp_path: Path) -> None:
    line = "ds = src.prefetch(size)"
    analysis = made(tmp_path, line, "prefetch", buffer_size=500)
    other = made(tmp_path, line, "prefetch", buffer_size=twin)
    both = replace(analysis, pipelines=(*analysis.pipelines, *other.pipelines))

    patch = patch_for([advice("shrink_prefetch", "s1", buffer_size=2)], both)

    assert (patch.diff is not None) is is_written
    assert is_written or "one of them is not known to hold more than 2 elements" in patch.reason


@pytest.mark.parametrize("elements", [ElementsState.UNCHECKED, ElementsState.IDENTICAL, ElementsState.DIFFERENT])
def test_a_smaller_prefetch_is_written_by_untried_and_only_by_that(elements: ElementsState) -> None:
    (tried,) = recommend(LARGE.analysis(), judge(LARGE.analysis()).findings)
    record = TrialRecord(
        id=tried.id, pipeline_id="p0", stage_id="s1", change=tried.change, state=TrialState.NOT_TRIED, elements=elements
    )
    analysis = LARGE.analysis()
    analysis = replace(analysis, profile=replace(analysis.profile, trials=(record,)))

    (item,) = recommend(analysis, judge(analysis).findings)

    assert not item.accepted
    assert _is_safe_and_untried(item, analysis) is (elements is not ElementsState.DIFFERENT)


@pytest.mark.parametrize(
    ("kind", "elements", "is_taken"),
    [
        ("parallel_calls", ElementsState.UNCHECKED, True),
        ("cache", ElementsState.UNCHECKED, False),
        ("filter_earlier", ElementsState.UNCHECKED, False),
        ("filter_earlier", ElementsState.IDENTICAL, True),
    ],
)
def test_untried_takes_what_cannot_change_an_element_or_was_compared(
    kind: str, elements: ElementsState, is_taken: bool, tmp_path: Path
) -> None:
    item = advice(kind, "s1")
    item = replace(item, trial=replace(item.trial, state=TrialState.NOT_TRIED, elements=elements))

    assert _is_safe_and_untried(item, made(tmp_path, "ds = src.map(load)", "map")) is is_taken


def test_untried_leaves_a_line_alone_that_also_makes_a_map_which_draws_by_a_seed(tmp_path: Path) -> None:
    analysis = made(tmp_path, "ds = src.map(load)", "map")
    (record,) = analysis.profile.pipelines
    drawing = replace(record.written[1], function=random_function(has_op_seed=True))
    (view,) = analysis.pipelines
    twin = tuple(replace(one, written=drawing) if one.id == "s1" else one for one in view.stages)
    both = replace(analysis, pipelines=(view, replace(view, stages=twin)))
    item = replace(advice("parallel_calls", "s1"), call_site=view.stage("s1").stage.call_site)
    item = replace(item, trial=replace(item.trial, state=TrialState.NOT_TRIED))

    assert _is_safe_and_untried(item, analysis)
    assert not _is_safe_and_untried(item, both)


@pytest.mark.parametrize(
    ("version", "is_written"), [("2.21.0", True), ("2.18.0-rc1", True), ("3.0.0", True), ("2.17.1", False), (None, False)]
)
def test_a_map_is_made_synchronous_where_tensorflow_knows_the_word(
    version: str | None, is_written: bool, tmp_path: Path
) -> None:
    analysis = made(tmp_path, "ds = src.map(load)", "map")
    run = replace(analysis.profile.run, versions=replace(analysis.profile.run.versions, tensorflow=version))

    patch = patch_for([advice("synchronous", "s1")], replace(analysis, profile=replace(analysis.profile, run=run)))

    assert (patch.diff is not None) is is_written
    assert is_written or patch.reason.startswith("TensorFlow has map(..., synchronous=True) from 2.18 on")
