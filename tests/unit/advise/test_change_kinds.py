"""What each kind of change says of itself: title, safety, memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from pipeprof.advise.changes import KINDS, find_change
from pipeprof.model.analysis import PipelineView, StageView
from pipeprof.model.diagnosis import Safety, Stage
from pipeprof.model.profile import Loop, PipelineRecord, Role, StageFunction, WrittenStage


def _function(**facts) -> StageFunction:
    return StageFunction(name="make.<locals>.decode", op_types=facts.pop("op_types", ("Cast",)), op_count=3, **facts)


def _view(function: StageFunction | None = None, *, loop: Loop | None = None, **facts) -> PipelineView:
    settings = {name: facts.pop(name) for name in ("deterministic", "global_seed_set") if name in facts}
    class_name = facts.pop("class_name", "_MapDataset")
    counted = {name: facts.pop(name) for name in ("elements", "bytes") if name in facts}
    source = WrittenStage(id="s0", op="range", class_name="_RangeDataset")
    written = WrittenStage(id="s1", op="map", class_name=class_name, inputs=("s0",), function=function, **facts)
    stages = (
        StageView(stage=Stage(id="s0", op="range", executed_as="Range"), written=source, executed=()),
        StageView(stage=Stage(id="s1", op="map", executed_as="Map", inputs=("s0",), **counted), written=written, executed=()),
    )
    record = PipelineRecord(
        id="p0",
        role=Role.TRAIN,
        output="s1",
        written=(source, written),
        executed=(),
        loop=loop or Loop(method="next"),
        **settings,
    )
    return PipelineView(record=record, stages=stages)


def _safety(kind: str, view: PipelineView, **params) -> Safety:
    return find_change(kind).safety(view, "s1", params)[0]


@pytest.mark.parametrize(
    ("function", "settings", "expected"),
    [
        (_function(), {}, Safety.SAFE),
        (_function(random_ops=("RandomUniform",)), {}, Safety.SAFE),
        (_function(random_ops=("RandomUniform",)), {"global_seed_set": True}, Safety.CHANGES_DATA),
        (_function(random_ops=("RandomUniform",), has_op_seed=True), {}, Safety.CHANGES_DATA),
        (_function(random_ops=("RngReadAndSkip",)), {}, Safety.CHANGES_DATA),
        (_function(random_ops=("StatelessRandomUniform",), assigns_variables=True), {}, Safety.CHANGES_DATA),
        (_function(), {"deterministic": False}, Safety.REORDERS),
        (_function(random_ops=("RandomUniform",), has_op_seed=True), {"class_name": "_ParallelMapDataset"}, Safety.SAFE),
    ],
)
def test_parallel_calls_are_safe_unless_a_seed_or_the_order_is_at_stake(function, settings, expected):
    assert _safety("parallel_calls", _view(function, **settings), num_parallel_calls=-1) is expected


def test_an_interleave_without_cycle_length_may_be_reordered_by_a_fixed_number_of_calls():
    view = _view(class_name="_InterleaveDataset", arguments={"cycle_length": -1})

    assert _safety("parallel_calls", view, num_parallel_calls=8) is Safety.REORDERS
    assert _safety("parallel_calls", view, num_parallel_calls=-1) is Safety.SAFE


def test_a_caution_is_given_where_something_can_change():
    view = _view(_function(random_ops=("RandomUniform",), has_op_seed=True))

    _, caution = find_change("parallel_calls").safety(view, "s1", {"num_parallel_calls": -1})

    assert "random draws" in caution


def test_a_cache_uses_memory_and_says_so_of_randomness():
    assert _safety("cache", _view(_function())) is Safety.USES_MEMORY
    assert _safety("cache", _view(_function(random_ops=("RandomUniform",)))) is Safety.CHANGES_DATA


def test_a_thread_pool_is_safe_and_holds_nothing():
    view = _view(_function(python_ops=("EagerPyFunc",)))

    assert _safety("thread_pool", view, private_threadpool_size=8) is Safety.SAFE
    assert find_change("thread_pool").memory_bytes(view, "s1", {"private_threadpool_size": 8}) == 0


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"element_bytes": 100, "cardinality": 50}, 5000),
        ({"cardinality": 50, "elements": 200, "bytes": 2000}, 500),
        ({"element_bytes": 100, "cardinality": -2, "elements": 60, "loop": Loop(method="next", epoch_count=3)}, 2000),
        ({"element_bytes": 100, "cardinality": -1}, None),
        ({"cardinality": 50}, None),
    ],
)
def test_a_cache_takes_the_elements_of_one_epoch(facts, expected):
    assert find_change("cache").memory_bytes(_view(**facts), "s1", {}) == expected


def test_parallel_calls_hold_one_element_each():
    view = _view(element_bytes=1000)

    assert find_change("parallel_calls").memory_bytes(view, "s1", {"num_parallel_calls": 8}) == 8000
    assert find_change("parallel_calls").memory_bytes(view, "s1", {"num_parallel_calls": -1}) is None


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_title_is_a_short_imperative(kind):
    params = {"num_parallel_calls": -1, "private_threadpool_size": 16, "ram_budget": 2_000_000_000, "buffer_size": 2}
    title = KINDS[kind].title(_view(_function()), "s1", params)

    assert title.split()[0] in {
        "Run", "Give", "Cache", "Batch", "Prefetch", "Hand", "Turn", "Limit", "Move", "Shuffle", "Filter", "Read", "Split",
        "Decode", "Cast", "Let", "Hold",
    }  # fmt: skip
    assert len(title) <= 90
    assert ("map(decode)" in title) is (
        kind in {
            "parallel_calls", "parallel_inside", "cache", "vectorize", "parse_batch", "interleave", "split_map",
            "fuse_decode_crop", "cast_later", "synchronous",
        }
    )  # fmt: skip


def test_the_kinds_can_be_asked_without_loading_tensorflow():
    code = "import sys, pipeprof.advise.changes; sys.exit('tensorflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _moved(op: str, function: StageFunction | None = None, **facts) -> PipelineView:
    """A map s1, and behind it a stage s2 of this op."""
    view = _view(function, **facts)
    behind = WrittenStage(id="s2", op=op, class_name=f"_{op.title()}Dataset", inputs=("s1",))
    stage = StageView(stage=Stage(id="s2", op=op, executed_as=op.title(), inputs=("s1",)), written=behind, executed=())
    record = replace(view.record, output="s2", written=(*view.record.written, behind))
    return PipelineView(record=record, stages=(*view.stages, stage))


@pytest.mark.parametrize("kind", ["prefetch", "enable_autotune", "limit_memory"])
def test_buffers_and_their_sizes_change_no_element(kind):
    assert _safety(kind, _view(_function(random_ops=("RandomUniform",), has_op_seed=True)), ram_budget=1) is Safety.SAFE


@pytest.mark.parametrize("kind", ["nondeterministic", "interleave"])
def test_what_changes_the_order_says_so(kind):
    safety, caution = find_change(kind).safety(_view(_function()), "s1", {})

    assert safety is Safety.REORDERS
    assert caution


@pytest.mark.parametrize(("kind", "op"), [("skip_earlier", "skip"), ("skip_earlier", "shard"), ("shuffle_earlier", "shuffle")])
@pytest.mark.parametrize(
    ("function", "settings", "expected"),
    [
        (_function(), {}, Safety.SAFE),
        (_function(python_ops=("PyFunc",)), {}, Safety.SAFE),
        (_function(random_ops=("RandomUniform",)), {}, Safety.SAFE),
        (_function(random_ops=("RandomUniform",)), {"global_seed_set": True}, Safety.CHANGES_DATA),
        (_function(random_ops=("RandomUniform",), has_op_seed=True), {}, Safety.CHANGES_DATA),
        (_function(random_ops=("RngReadAndSkip",)), {}, Safety.CHANGES_DATA),
        (_function(assigns_variables=True), {}, Safety.CHANGES_DATA),
    ],
)
def test_moving_a_stage_before_a_map_is_safe_unless_its_draws_are_seeded(kind, op, function, settings, expected):
    view = _moved(op, function, **settings)

    assert {find_change(kind).safety(view, stage_id, {})[0] for stage_id in ("s1", "s2")} == {expected}
    assert "map(decode)" in find_change(kind).title(view, "s2", {})


def test_a_cache_that_is_moved_behind_a_take_is_a_cache_and_one_before_draws_changes_the_data():
    cut_short = _moved("take")
    cache = replace(cut_short.stages[1], stage=replace(cut_short.stages[1].stage, op="cache"))
    cut_short = replace(cut_short, stages=(cut_short.stages[0], cache, cut_short.stages[2]))
    frozen = _moved("cache", _function(random_ops=("RandomUniform",)))

    kind = find_change("move_cache")

    assert kind.safety(cut_short, "s1", {})[0] is Safety.USES_MEMORY
    assert kind.title(cut_short, "s1", {}) == "Let the cache fill: put take() before it"
    assert kind.safety(frozen, "s2", {})[0] is Safety.CHANGES_DATA
    assert kind.title(frozen, "s2", {}) == "Move the cache before map(decode), so that each epoch draws anew"


def test_files_that_are_open_at_once_hold_a_buffer_and_two_elements_each():
    view = _view(element_bytes=1000, class_name="_FlatMapDataset")

    assert find_change("interleave").memory_bytes(view, "s1", {"cycle_length": 4}) == 4 * (256 * 1024 + 2000)
    assert find_change("interleave").memory_bytes(view, "s1", {}) is None


def test_a_padded_batch_waits_in_each_bucket():
    view = _view(element_bytes=1000, class_name="_PaddedBatchDataset")

    assert find_change("bucket").memory_bytes(view, "s1", {"boundaries": "10 20"}) == 3000
    assert find_change("bucket").memory_bytes(view, "s1", {}) is None


def test_a_cache_that_is_moved_holds_what_comes_to_its_new_place():
    frozen = _moved("cache", _function(random_ops=("RandomUniform",)))
    stages = [replace(item, written=replace(item.written, element_bytes=100, cardinality=50)) for item in frozen.stages]

    assert find_change("move_cache").memory_bytes(replace(frozen, stages=tuple(stages)), "s2", {}) == 5000
    assert find_change("move_cache").memory_bytes(frozen, "s2", {}) is None
