"""The meter around real TensorFlow: every Python function counted under the graph's own token, and nothing else changed."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")

from tensorflow.core.framework import graph_pb2  # noqa: E402
from tensorflow.python.ops import script_ops  # noqa: E402

from pipeprof.capture import python_calls  # noqa: E402
from pipeprof.capture.python_calls import OTHER_TOKENS, PythonCallMeter  # noqa: E402
from pipeprof.model.profile import PythonCalls  # noqa: E402

pytestmark = pytest.mark.tf

ORIGINAL = script_ops.FuncRegistry.__call__
SCALAR = tf.TensorSpec((), tf.int64)


@pytest.fixture
def meter() -> Iterator[PythonCallMeter]:
    """An installed meter, taken out again."""
    meter = PythonCallMeter()
    meter.install()
    yield meter
    meter.uninstall()
    assert script_ops.FuncRegistry.__call__ is ORIGINAL


def numpy_map(function: Callable[[Any], Any], count: int = 6, parallel: int | None = None) -> Any:
    return tf.data.Dataset.range(count).map(lambda x: tf.numpy_function(function, [x], tf.int64), num_parallel_calls=parallel)


def generated(count: int) -> Any:
    return tf.data.Dataset.from_generator(lambda: iter(range(count)), output_signature=SCALAR)


def graph_tokens(dataset: Any) -> dict[str, str]:
    """Return token -> function for each Python node of a dataset's graph."""
    graph = graph_pb2.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    return {
        node.attr["token"].s.decode(): function.signature.name
        for function in graph.library.function
        for node in function.node_def
        if node.op in {"PyFunc", "EagerPyFunc"}
    }


def values(dataset: Any) -> list[int]:
    return [int(element) for element in dataset]


def calls(meter: PythonCallMeter) -> dict[str, int]:
    return {token: one.calls for token, one in meter.totals().items()}


@pytest.mark.parametrize("wrap", [tf.numpy_function, tf.py_function])
def test_calls_are_counted_under_the_token_of_the_graph(meter: PythonCallMeter, wrap: Callable[..., Any]) -> None:
    dataset = tf.data.Dataset.range(6).map(lambda x: wrap(lambda v: v + 1, [x], tf.int64))

    assert values(dataset) == [1, 2, 3, 4, 5, 6]

    (token,) = graph_tokens(dataset)
    assert calls(meter) == {token: 6}


def test_parallel_calls_are_all_counted(meter: PythonCallMeter) -> None:
    dataset = numpy_map(lambda v: v, count=500, parallel=8)

    values(dataset)

    (token,) = graph_tokens(dataset)
    assert calls(meter) == {token: 500}


def test_a_generator_has_three_functions_and_one_call_more_than_elements(meter: PythonCallMeter) -> None:
    dataset = generated(5)

    assert values(dataset) == [0, 1, 2, 3, 4]

    names = {name.split("generator_")[-1].rsplit("_", 1)[0]: token for token, name in graph_tokens(dataset).items()}
    assert calls(meter) == {names["get_iterator_id_fn"]: 1, names["next_fn"]: 6, names["finalize_fn"]: 1}


def test_generators_inside_an_interleave_share_their_tokens(meter: PythonCallMeter) -> None:
    dataset = tf.data.Dataset.range(3).interleave(
        lambda _: generated(5).map(lambda x: tf.numpy_function(lambda v: v * 2, [x], tf.int64)), cycle_length=2
    )

    assert sorted(values(dataset)) == sorted([0, 2, 4, 6, 8] * 3)

    by_function = {graph_tokens(dataset)[token]: count for token, count in calls(meter).items()}
    assert sorted(by_function.values()) == [3, 3, 15, 18]  # created, finalised, mapped, asked for the next


def test_wall_and_cpu_time_are_those_of_the_calling_thread_inside_the_function() -> None:
    clock = {"wall": 10**12, "cpu": 10**9}
    meter = PythonCallMeter(lambda: clock["wall"], lambda: clock["cpu"])

    def work(value: Any) -> Any:
        clock["wall"] += 3_000_000_000
        clock["cpu"] += 250_000_000
        return value

    meter.install()
    try:
        values(numpy_map(work, count=4))
    finally:
        meter.uninstall()

    (total,) = meter.totals().values()
    assert total == PythonCalls(calls=4, wall_s=12.0, cpu_s=1.0)


def test_a_function_that_fails_is_counted_too(meter: PythonCallMeter) -> None:
    def refuse(_: Any) -> Any:
        raise ValueError("no")

    dataset = numpy_map(refuse)
    with pytest.raises(tf.errors.InvalidArgumentError):
        values(dataset)

    (total,) = meter.totals().values()
    assert total.calls >= 1


@pytest.mark.parametrize("wrap", [tf.numpy_function, tf.py_function])
@pytest.mark.parametrize("kind", [ValueError, KeyError, MemoryError, StopIteration, KeyboardInterrupt])
def test_errors_keep_their_type_and_every_letter_of_their_text(kind: type[BaseException], wrap: Callable[..., Any]) -> None:
    def refuse(_: Any) -> Any:
        raise kind("no")

    dataset = tf.data.Dataset.range(2).map(lambda x: wrap(refuse, [x], tf.int64))

    def outcome() -> tuple[type[Any], str]:
        with pytest.raises(tf.errors.OpError) as caught:
            list(dataset)
        return (caught.type, str(caught.value))

    plain = outcome()
    meter = PythonCallMeter()
    meter.install()
    try:
        metered = outcome()
    finally:
        meter.uninstall()

    assert metered == plain
    assert sum(calls(meter).values()) >= 1
    assert "Traceback" in plain[1]  # the text that a visible wrapper would change


def test_an_error_in_an_eager_call_keeps_its_text() -> None:
    def refuse(_: Any) -> Any:
        raise ValueError("eager")

    def outcome() -> str:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            tf.py_function(refuse, [1], tf.int64)
        return str(caught.value)

    plain = outcome()
    meter = PythonCallMeter()
    meter.install()
    try:
        assert outcome() == plain
    finally:
        meter.uninstall()


@pytest.mark.parametrize("result", [[b"bytes", b""], [1.5, float("nan")], ["text"], [True]])
def test_results_of_every_kind_are_bit_identical(result: list[Any]) -> None:
    kinds = {bytes: tf.string, str: tf.string, float: tf.float64, bool: tf.bool}

    def read() -> list[bytes]:
        pipeline = tf.data.Dataset.range(3).map(
            lambda x: tf.numpy_function(lambda _: result, [x], [kinds[type(one)] for one in result])
        )
        return [tf.io.serialize_tensor(part).numpy() for element in pipeline for part in element]

    plain = read()
    meter = PythonCallMeter()
    meter.install()
    try:
        assert read() == plain
    finally:
        meter.uninstall()


def test_gradients_still_flow_through_py_functions(meter: PythonCallMeter) -> None:
    x = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        y = tf.py_function(lambda v: v * v, [x], tf.float32)

    assert float(tape.gradient(y, x)) == 6.0
    assert sum(calls(meter).values()) >= 1


def test_installing_twice_wraps_once_and_uninstalling_twice_restores_the_original() -> None:
    meter = PythonCallMeter()
    meter.uninstall()
    meter.install()
    wrapped = script_ops.FuncRegistry.__call__
    meter.install()

    assert script_ops.FuncRegistry.__call__ is wrapped
    assert wrapped.__wrapped__ is ORIGINAL
    assert inspect.signature(wrapped) == inspect.signature(ORIGINAL)
    assert wrapped.__name__ == "__call__"

    meter.uninstall()
    meter.uninstall()
    assert script_ops.FuncRegistry.__dict__["__call__"] is ORIGINAL


def test_nothing_is_counted_after_uninstalling_and_again_after_installing_again() -> None:
    meter = PythonCallMeter()
    dataset = numpy_map(lambda v: v)
    counts = []
    for act in (meter.install, meter.uninstall, meter.install, meter.uninstall):
        act()
        values(dataset)
        counts.append(sum(calls(meter).values()))

    assert counts == [6, 6, 12, 12]


def test_somebody_elses_wrapper_is_left_alone_and_counting_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = PythonCallMeter()
    meter.install()
    ours = script_ops.FuncRegistry.__call__

    def theirs(self: Any, token: str, device: str | None, args: Any) -> Any:
        return ours(self, token, device, args)

    script_ops.FuncRegistry.__call__ = theirs
    try:
        meter.uninstall()

        assert script_ops.FuncRegistry.__call__ is theirs
        assert values(numpy_map(lambda v: v + 1)) == [1, 2, 3, 4, 5, 6]
        assert meter.totals() == {}
    finally:
        script_ops.FuncRegistry.__call__ = ORIGINAL


def test_the_totals_may_be_asked_for_from_inside_a_function_and_from_other_threads(meter: PythonCallMeter) -> None:
    seen: list[int] = []

    def ask(value: Any) -> Any:
        asked = threading.Thread(target=lambda: seen.append(sum(calls(meter).values())))
        asked.start()
        asked.join()
        meter.totals()
        return value

    values(numpy_map(ask, count=4))

    assert seen == [0, 1, 2, 3]


def test_tokens_beyond_the_limit_are_counted_together(meter: PythonCallMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_calls, "MAX_TOKENS", 2)

    for count in (1, 2, 3, 4):
        values(numpy_map(lambda v: v, count=count))

    assert sorted(calls(meter).values()) == [1, 2, 7]
    assert calls(meter)[OTHER_TOKENS] == 7
