"""Hand-made traces give the stages, waits and steps that were planted."""

from __future__ import annotations

import pytest

from pipeprof.interop.trace_stages import Consumption, TracedPipeline, TracedStage, read_windows
from tests.support.traces import (
    CALL,
    CALL_ASYNC,
    MAKING,
    NEXT,
    PROCESS,
    ROOT,
    TUNED,
    Loop,
    event,
    number,
    space,
    stage,
)


def only(pipelines: tuple[TracedPipeline, ...]) -> TracedPipeline:
    (pipeline,) = pipelines
    return pipeline


def node(pipeline: TracedPipeline, name: str) -> TracedStage:
    (found,) = [item for item in pipeline.stages if item.node == name]
    return found


def test_steps_reach_from_one_wait_to_the_next_and_the_last_is_not_whole() -> None:
    loop = Loop(count=5, period_ms=10, wait_ms=4)

    pipeline = only(read_windows(space(python=loop.waits())))

    assert pipeline.consumption is Consumption.ITERATOR
    assert [(step.wait_s, step.gap_s) for step in pipeline.steps] == [pytest.approx((0.004, 0.006))] * 4
    assert pipeline.element_bytes == 64
    assert (pipeline.cpu_budget, pipeline.threadpool_size, pipeline.is_autotuned) == (4, 4, True)


def test_a_synchronous_stage_is_busy_for_its_own_time_only() -> None:
    loop = Loop(count=10, wait_ms=4)
    events = [*loop.waits(), *loop.inside("BatchV2"), *loop.inside("BatchV2::Range", 0.25)]

    pipeline = only(read_windows(space(python=events)))

    batch, source = node(pipeline, "BatchV2"), node(pipeline, "Range")
    assert batch.busy_s == pytest.approx(10 * 0.0038 * 0.75)
    assert source.busy_s == pytest.approx(10 * 0.0038 * 0.25)
    assert (batch.id, batch.inputs, source.id, source.elements) == ("0.0", ("0.0.0",), "0.0.0", 10)


def parallel_map(loop: Loop, work_ms: float, queue_ms: float = 0.0) -> dict[str, list]:
    """Each element is asked for on the consumer's thread, started on the stage's and executed on the pool's."""
    path = "ParallelMapV2"
    own, pool = [], []
    for index, at in enumerate(loop.starts()):
        own += [
            event("ParallelMapProduce", at - 0.9, 0.5, element_id=index),
            stage(f"{path}::Range", at - 0.8, 0.1),
            event(CALL_ASYNC, at - 0.6, 0.1, id=100 + index),
        ]
        pool.append(event(PROCESS, at - 0.6 + queue_ms, work_ms, id=100 + index))
        pool.append(event("DecodeJpeg:DecodeJpeg", at - 0.55 + queue_ms, work_ms * 0.5))
    return {
        "python": [*loop.waits(), *loop.inside(path, parallelism=2, autotune="true")],
        "tf_data_iterator_resource__1": own,
        "tf_data_private_threadpool__2": pool,
    }


def test_what_a_consumer_spends_in_an_asynchronous_stage_is_waiting_and_no_work() -> None:
    loop = Loop(count=10, wait_ms=4)

    pipeline = only(read_windows(space(**parallel_map(loop, work_ms=2))))

    found = node(pipeline, "ParallelMapV2")
    assert found.busy_s == pytest.approx(0.020)
    assert found.blocked_s == pytest.approx(10 * 0.0038)
    assert found.function_calls == 10
    assert (found.parallelism, found.is_tuned) == (2, True)


def test_handing_results_over_is_work_too() -> None:
    loop = Loop(count=10, wait_ms=4)
    threads = parallel_map(loop, work_ms=2)
    threads["tf_data_private_threadpool__1"] = [
        event("ExecutorDoneCallback", at + 1.5, 0.5, id=100 + index) for index, at in enumerate(loop.starts())
    ]

    found = node(only(read_windows(space(**threads))), "ParallelMapV2")

    assert found.busy_s == pytest.approx(0.025)
    assert found.function_calls == 10


def test_ops_inside_a_function_are_summed_by_kind_without_what_is_nested() -> None:
    threads = parallel_map(Loop(count=10, wait_ms=4), work_ms=2)
    threads["tf_data_private_threadpool__2"] += [event("inner/Cast:Cast", at - 0.5, 0.25) for at in Loop(count=10).starts()]

    pipeline = only(read_windows(space(**threads)))

    ops = {op.op: (op.calls, op.busy_s) for op in node(pipeline, "ParallelMapV2").ops}
    assert ops == {"DecodeJpeg": (10, pytest.approx(0.0075)), "Cast": (10, pytest.approx(0.0025))}


def test_ops_that_onednn_runs_have_the_names_that_their_function_was_traced_with() -> None:
    threads = parallel_map(Loop(count=10, wait_ms=4), work_ms=2)
    names = {"MatMul": "_MklMatMul", "MaxPool": "_MklNativeMaxPool", "_MklmadeUp": "_MklmadeUp"}
    for run in names.values():
        threads["tf_data_private_threadpool__2"] += [event(f"x:{run}", at - 0.5, 0.25) for at in Loop(count=10).starts()]

    pipeline = only(read_windows(space(**threads)))

    assert {op.op for op in node(pipeline, "ParallelMapV2").ops} == {"DecodeJpeg", *names}


def test_waiting_for_a_thread_of_the_pool_is_told_apart_from_work() -> None:
    loop = Loop(count=10, wait_ms=6)
    events = [*loop.waits(), *loop.inside("Map")]
    pool = []
    for index, at in enumerate(loop.starts()):
        events.append(event(CALL, at + 0.2, 5, id=500 + index))
        pool.append(event(PROCESS, at + 2.2, 3, id=500 + index))

    pipeline = only(read_windows(space(python=events, tf_data_private_threadpool__1=pool)))

    found = node(pipeline, "Map")
    assert found.slot_wait_s == pytest.approx(0.020)
    assert found.busy_s == pytest.approx(10 * (0.0058 - 0.002))


def graph_loop(*, types: str = "int64 bool") -> list:
    """A body of 7 ms and a wait of 3 ms for each element, all inside the root."""
    path = "ReduceIterator::Root"
    made = []
    for index in range(10):
        at = 1 + index * 10
        made += [
            event(path, at, 10, id=1, **TUNED),
            event(f"{path}::Scan", at, 10, id=2, parent_id=1, types=types),
            event(f"{path}::Scan::BatchV2", at, 3, id=3, parent_id=2),
        ]
    return made


def test_a_loop_inside_a_tf_function_waits_in_the_input_of_its_scan() -> None:
    pipeline = only(read_windows(space(tf_data_reduce_dataset__1=graph_loop())))

    assert pipeline.consumption is Consumption.GRAPH_LOOP
    assert [(step.wait_s, step.gap_s) for step in pipeline.steps] == [pytest.approx((0.003, 0.007))] * 9
    assert [item.node for item in pipeline.stages] == ["Root", "BatchV2"]


def test_a_scan_of_the_users_own_under_reduce_is_no_loop() -> None:
    pipeline = only(read_windows(space(python=graph_loop(types="int64"))))

    assert pipeline.consumption is Consumption.REDUCE
    assert [item.node for item in pipeline.stages] == ["Root", "Scan", "BatchV2"]
    assert all(step.wait_s == pytest.approx(0.010) for step in pipeline.steps)


def hand_over(replicas: int, wait_ms: float) -> dict[str, list]:
    threads: dict[str, list] = {"python": [], "tf_data_multi_device_iterator_resource__9": []}
    shared = threads["tf_data_multi_device_iterator_resource__9"]
    for replica in range(replicas):
        threads[f"tf_data_iterator_resource__{replica}"] = []
    for index in range(10):
        for replica in range(replicas):
            at, root = 1 + index * 20 + replica * wait_ms, 10 + replica * 10
            threads["python"] += [
                event(NEXT, at, wait_ms, id=1),
                event(ROOT, at, wait_ms, id=root, **TUNED),
                event(f"{ROOT}::Prefetch", at, wait_ms, id=root + 1, parent_id=root),
            ]
            threads[f"tf_data_iterator_resource__{replica}"].append(
                event(f"{ROOT}::Prefetch::Generator", at, wait_ms, id=root + 2, parent_id=root + 1)
            )
            shared += [
                event(ROOT, at, 1, id=900, **TUNED),
                event(f"{ROOT}::Rebatch", at, 1, id=901, parent_id=900, name="RebatchDataset:4"),
            ]
    return threads


def test_under_a_strategy_the_replicas_wait_and_the_shared_pipeline_has_the_stages() -> None:
    pipeline = only(read_windows(space(**hand_over(replicas=2, wait_ms=4))))

    assert (pipeline.consumption, pipeline.replicas) == (Consumption.HAND_OVER, 2)
    assert [(step.wait_s, step.gap_s) for step in pipeline.steps] == [pytest.approx((0.008, 0.012))] * 9
    assert [(item.node, item.elements) for item in pipeline.stages] == [("Root", 10), ("Rebatch", 20)]


def test_epochs_whose_iterators_share_a_number_are_told_apart_by_their_makings() -> None:
    events = [event(MAKING, 0.2, 0.3)]
    events += Loop(count=5).waits()
    events += [event(MAKING, 60, 1)]
    events += Loop(count=5, start_ms=70).waits()

    pipeline = only(read_windows(space(python=events)))

    assert [(len(epoch.steps), epoch.is_born) for epoch in pipeline.epochs] == [(4, True), (4, True)]
    assert pipeline.epochs[1].made_s == pytest.approx(0.001)


def test_training_and_validation_of_one_shape_stay_two_pipelines() -> None:
    train, validation = Loop(count=6), Loop(count=6, start_ms=100)
    events = [
        event(MAKING, 0.2, 0.3),
        *train.waits(),
        *train.inside("BatchV2", name="BatchDatasetV2:3"),
        event(MAKING, 80, 1),
        *validation.waits(),
        *validation.inside("BatchV2", name="BatchDatasetV2:7"),
    ]

    pipelines = read_windows(space(python=events))

    assert [node(item, "BatchV2").name for item in pipelines] == ["BatchDatasetV2:3", "BatchDatasetV2:7"]
    assert [len(item.steps) for item in pipelines] == [5, 5]


def test_a_buffer_that_an_event_does_not_name_is_empty() -> None:
    loop = Loop(count=10)
    calls = [
        stage("Prefetch", at + 0.1, 1, buffer_limit=2, **({"buffered_elements": 2} if at < 51 else {})) for at in loop.starts()
    ]

    held = node(only(read_windows(space(python=[*loop.waits(), *calls]))), "Prefetch").buffer

    assert held is not None
    assert (held.mean, held.most, held.empty_share, held.by_lag) == (1.0, 2.0, 0.5, False)


def untuned_prefetch(*, made_before_ms: float) -> dict[str, list]:
    """AUTOTUNE off: no event names a buffer. Each element is made some time before it is taken, or after it is asked for."""
    loop = Loop(count=11, period_ms=10, wait_ms=4, start_ms=101)
    waits = [item._replace(stats={"id": item.stats["id"]}) if item.name == ROOT else item for item in loop.waits()]
    asked, made = [], []
    for index, at in enumerate(loop.starts()):
        taken = at + 3.5
        asked += [stage("Prefetch", at + 0.1, 3.6), event("PrefetchConsume", taken, 0.01, element_id=index)]
        made += [
            event("PrefetchProduce", taken - made_before_ms - 1, 1, element_id=index),
            stage("Prefetch::Range", taken - made_before_ms - 0.9, 0.5),
        ]
    return {"python": [*waits, *asked], "tf_data_iterator_resource__1": made}


@pytest.mark.parametrize(("before_ms", "mean", "empty"), [(20.0, 2.0, 0.0), (0.1, 0.01, 1.0)])
def test_with_autotune_off_a_buffer_is_told_from_when_elements_go_in_and_out(
    before_ms: float, mean: float, empty: float
) -> None:
    pipeline = only(read_windows(space(**untuned_prefetch(made_before_ms=before_ms))))

    held = node(pipeline, "Prefetch").buffer
    assert held is not None
    assert held.by_lag
    assert held.mean == pytest.approx(mean, rel=0.02)
    assert held.empty_share == empty


def test_parallelism_that_tensorflow_does_not_tell_is_unknown_and_not_tuned() -> None:
    loop = Loop()
    calls = loop.inside("ParallelMapV2", parallelism="unavailable", autotune="true")

    found = node(only(read_windows(space(python=[*loop.waits(), *calls]))), "ParallelMapV2")

    assert (found.parallelism, found.is_tuned) == (None, False)


def test_a_filters_counters_are_those_of_the_window() -> None:
    loop = Loop(count=3)
    calls = [stage("Filter", at + 0.1, 1, passed=1000 + i, filtered=5000 + 9 * i) for i, at in enumerate(loop.starts())]

    found = node(only(read_windows(space(python=[*loop.waits(), *calls]))), "Filter")

    assert (found.passed, found.filtered) == (2, 18)


def test_inner_pipelines_share_one_position_and_inputs_keep_theirs() -> None:
    loop = Loop(count=4)
    events = [
        *loop.waits(),
        *loop.inside("FlatMap"),
        *loop.inside("FlatMap::TensorSlice", 0.1, parent_id=number(f"{ROOT}::FlatMap")),
        *[
            stage(f"FlatMap[{i}]::TFRecord", at + 1, 1, parent_id=number(f"{ROOT}::FlatMap"))
            for i, at in enumerate(loop.starts())
        ],
    ]

    pipeline = only(read_windows(space(python=events)))

    assert [(item.id, item.node, item.elements, item.incarnations) for item in pipeline.stages[2:]] == [
        ("0.0.0", "TensorSlice", 4, 1),
        ("0.0.1", "TFRecord", 4, 4),
    ]


def test_calls_whose_consumer_is_not_in_the_window_are_counted_as_lost() -> None:
    loop = Loop(count=3)
    stray = [event(f"{ROOT}::BatchV2::Map", 50, 1, id=77, parent_id=76)]

    assert only(read_windows(space(python=loop.waits(), tf_data_iterator_resource__1=stray))).lost_calls == 1


def test_a_window_without_any_stage_gives_no_pipeline() -> None:
    assert read_windows(space(python=[event("EagerExecute", 1, 2)])) == ()
