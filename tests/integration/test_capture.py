"""The capture on real TensorFlow: what is measured is what the program itself measured, and the program is unchanged."""

import gc
import sys
import time
import traceback

import pytest

from pipeprof.analysis.operational import view_pipeline
from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.model.profile import Role
from pipeprof.settings import Settings

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def session():
    facts = RunFacts(id="test", command=("test",), started_at="", working_directory="")
    capture = CaptureSession(Settings(), facts)
    capture.start()
    yield capture
    if capture.active:
        capture.stop()


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def slow_source(count, seconds=0.004):
    def wait(x):
        time.sleep(seconds)
        return x

    return tf.data.Dataset.range(count).map(lambda x: tf.ensure_shape(tf.numpy_function(wait, [x], tf.int64), []))


def train_pipeline(profile):
    return next(record for record in profile.pipelines if record.role is Role.TRAIN)


def test_waits_of_a_hand_written_loop_are_those_that_the_loop_itself_measures(session):
    dataset = slow_source(60).batch(4).prefetch(1)
    truth = 0.0

    for is_last in (False, True):
        iterator = iter(dataset)
        while True:
            asked = time.perf_counter()
            batch = next(iterator, None)
            truth += time.perf_counter() - asked
            if batch is None:
                break
            spin(0.003)
        left = time.perf_counter()
        del iterator
        truth += 0.0 if is_last else time.perf_counter() - left
    loop = train_pipeline(session.stop()).loop

    assert loop.method == "next"
    assert loop.elements == 30
    assert loop.epoch_count == 2
    assert loop.wait_s == pytest.approx(truth, rel=0.02)
    assert [epoch.elements for epoch in loop.epochs] == [15, 15]


def test_the_first_step_is_in_no_bin_and_later_epochs_first_waits_are_boundary_waits(session):
    dataset = slow_source(24).batch(4)

    for _ in range(3):
        for _batch in dataset:
            pass
    loop = train_pipeline(session.stop()).loop

    assert loop.steps_in_bins == loop.elements - 1 == 17
    assert loop.first_batch_s >= 4 * 0.004
    assert loop.boundary_wait_s >= 2 * 4 * 0.004
    binned = sum(item.wait_s + item.gap_s for item in loop.bins)
    assert binned == pytest.approx(loop.wall_s - loop.first_step_s, rel=0.01)


def test_taking_down_the_iterator_of_an_epoch_is_waiting_of_the_loop_that_goes_on(session):
    numbers = tf.random.stateless_uniform([800_000], [1, 2])  # sorting them is one op, which nothing cancels

    dataset = tf.data.Dataset.range(100).map(lambda x: tf.sort(numbers + tf.cast(x, tf.float32))[0]).prefetch(2)
    truths = []

    for _ in range(3):
        iterator = iter(dataset)
        for _step in range(3):
            next(iterator)
        began = time.perf_counter()
        del iterator  # a sort is under way, which TensorFlow waits for
        truths.append(time.perf_counter() - began)
    loop = train_pipeline(session.stop()).loop

    measured = [epoch.teardown_s for epoch in loop.epochs]
    assert measured[0] == 0.0
    assert all(seconds <= truth for seconds, truth in zip(measured[1:], truths, strict=False))
    assert sum(measured) >= 0.7 * sum(truths[:2])  # the rest is the last reading of the counters
    assert sum(truths[:2]) > 0.05
    assert loop.boundary_wait_s >= sum(measured)
    binned = sum(item.wait_s + item.gap_s for item in loop.bins)
    assert binned == pytest.approx(loop.wall_s - loop.first_step_s, rel=0.01)


def test_each_written_stage_has_its_own_line_even_in_a_chain(session):
    dataset = (
        tf.data.Dataset.range(64)
        .map(lambda x: x + 1)
        .shuffle(8)
        .batch(4)
        .prefetch(2)
    )  # fmt: skip

    list(dataset)
    written = train_pipeline(session.stop()).written

    assert [stage.op for stage in written] == ["range", "map", "shuffle", "batch", "prefetch"]
    lines = [stage.call_site.shown_line for stage in written]
    assert lines == list(range(lines[0], lines[0] + 5))
    assert [stage.call_site.code.rpartition(".")[2] for stage in written][2:] == ["shuffle(8)", "batch(4)", "prefetch(2)"]
    assert [stage.op for stage in written if not stage.call_site.editable] == []
    assert written[2].arguments["buffer_size"] == 8


def test_calls_chained_on_one_line_have_different_ranges(session):
    dataset = tf.data.Dataset.range(8).map(lambda é: é * 2).map(lambda x: x + 1).batch(2)

    list(dataset)
    sites = [stage.call_site for stage in train_pipeline(session.stop()).written]

    assert len({site.end_column for site in sites}) == 4
    assert sites[1].code.endswith("map(lambda é: é * 2)")
    assert sites[2].code.endswith("map(lambda x: x + 1)")


def test_a_helper_called_twice_gives_two_pipelines(session):
    def build(count):
        return tf.data.Dataset.range(count).batch(2)

    train, validation = build(40), build(10)
    for _ in range(2):
        list(train)
        list(validation)
    profile = session.stop()

    assert sorted(record.loop.elements for record in profile.pipelines) == [10, 40]
    assert [record.loop.epoch_count for record in profile.pipelines] == [2, 2]


def test_a_dataset_that_is_made_again_for_each_epoch_is_one_pipeline(session):
    for _ in range(3):
        list(tf.data.Dataset.range(10).batch(5))
    profile = session.stop()

    assert [record.loop.elements for record in profile.pipelines] == [6]


def test_what_is_lost_below_a_short_repeat_is_scaled_by_the_consumers_count(session):
    dataset = slow_source(10, 0.002).repeat(30).batch(2)

    for _batch in dataset:
        spin(0.0005)
    record = train_pipeline(session.stop())
    view = view_pipeline(record).stage("s1")

    assert record.loop.elements == 150
    assert view.stage.executed_as == "Map"
    assert view.stage.elements == 300
    assert view.stage.seen_share < 1
    assert 300 * 0.002 <= view.stage.busy_s <= 300 * 0.006


def test_losses_and_random_numbers_of_a_keras_fit_are_bit_identical_under_capture():
    keras = pytest.importorskip("keras")

    def losses():
        keras.utils.set_random_seed(7)
        dataset = (
            tf.data.Dataset.range(64)
            .shuffle(16)
            .map(lambda x: (tf.random.normal([4]) + 0.01 * tf.cast(x, tf.float32), tf.random.uniform([1])))
            .batch(8)
        )
        model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model.fit(dataset, epochs=2, verbose=0, shuffle=False).history["loss"]

    control = losses()
    assert losses() == control
    capture = CaptureSession(Settings(), RunFacts(id="k", command=(), started_at="", working_directory=""))
    capture.start()
    observed = losses()
    profile = capture.stop()

    assert observed == control
    record = train_pipeline(profile)
    assert record.consumer == "Keras fit"
    assert (record.loop.method, record.loop.elements, record.loop.epoch_count) == ("keras", 16, 2)


def test_keras_validation_is_a_pipeline_of_its_own(session):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    def build(count):
        return tf.data.Dataset.range(count).map(lambda x: (tf.cast([x], tf.float32), [1.0])).batch(4)

    model.fit(build(40), validation_data=build(8), epochs=2, verbose=0, shuffle=False)
    profile = session.stop()

    elements = {record.role: record.loop.elements for record in profile.pipelines}
    assert elements == {Role.TRAIN: 20, Role.VALIDATION: 4}


def test_a_pass_that_a_keras_layer_adapts_on_is_not_training_however_long_it_takes(session):
    keras = pytest.importorskip("keras")
    rows = slow_source(40, 0.01).map(lambda x: tf.fill([2], tf.cast(x, tf.float32))).batch(2)

    keras.layers.Normalization().adapt(rows)
    for _ in tf.data.Dataset.range(8):
        spin(0.005)
    profile = session.stop()

    consumers = {record.role: (record.consumer, record.loop.elements) for record in profile.pipelines}
    assert consumers == {Role.OTHER: ("Keras adapt", 20), Role.TRAIN: ("for loop", 8)}


def test_an_iterator_used_inside_a_tf_function_is_measured_by_its_gaps(session):
    dataset = slow_source(80, 0.01).prefetch(1)

    @tf.function
    def step(iterator):
        return next(iterator) + 1

    iterator = iter(dataset)
    step(iterator)
    inside, began = 0.0, time.perf_counter()
    for _ in range(79):
        called = time.perf_counter()
        step(iterator)
        inside += time.perf_counter() - called
        spin(0.002)
    truth = inside / (time.perf_counter() - began)
    del iterator
    gc.collect()
    loop = train_pipeline(session.stop()).loop

    assert loop.method == "gaps"
    share = sum(item.wait_s for item in loop.bins) / sum(item.wait_s + item.gap_s for item in loop.bins)
    assert truth - 0.25 < share <= truth + 0.02  # a call of the function is its wait and its dispatch


def test_an_exception_in_next_shows_the_user_the_frames_that_it_shows_without_us():
    def frames(watched):
        def fail(x):
            raise ValueError("planted")

        dataset = tf.data.Dataset.range(3).map(lambda x: tf.numpy_function(fail, [x], tf.int64))
        capture = None
        if watched:
            capture = CaptureSession(Settings(), RunFacts(id="e", command=(), started_at="", working_directory=""))
            capture.start()
        try:
            for _ in dataset:
                pass
        except tf.errors.InvalidArgumentError as error:
            return [(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
        finally:
            if capture is not None:
                capture.stop()

    assert frames(watched=True) == frames(watched=False)


def test_everything_is_unpatched_after_stop():
    from tensorflow.python.data.ops import dataset_ops, iterator_ops
    from tensorflow.python.ops import script_ops

    def hooks():
        return (
            dataset_ops.DatasetV2.__dict__["__init__"],
            iterator_ops.OwnedIterator.__dict__["__init__"],
            iterator_ops.OwnedIterator.__dict__["_next_internal"],
            iterator_ops.OwnedIterator.__dict__["get_next_as_optional"],
            script_ops.FuncRegistry.__dict__["__call__"],
            tuple(sys.meta_path),
        )

    before = hooks()
    capture = CaptureSession(Settings(), RunFacts(id="u", command=(), started_at="", working_directory=""))
    capture.start()
    during = hooks()
    capture.stop()

    assert all(one is not two for one, two in zip(before, during, strict=True))
    assert hooks() == before


def test_autotune_switched_off_leaves_the_waits_and_says_that_counters_are_missing(session):
    options = tf.data.Options()
    options.autotune.enabled = False

    list(slow_source(20).batch(2).with_options(options))
    record = train_pipeline(session.stop())

    assert record.executed == ()
    assert "AUTOTUNE is switched off" in record.counters
    assert record.loop.elements == 10


def test_two_threads_that_consume_one_dataset_are_both_counted(session):
    import threading

    dataset = tf.data.Dataset.range(50)

    workers = [threading.Thread(target=lambda: list(dataset)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    loop = train_pipeline(session.stop()).loop

    assert (loop.elements, loop.threads) == (100, 2)


def test_a_dataset_that_is_built_in_every_epoch_is_counted_by_its_objects(session):
    base = slow_source(6, 0.0)

    def make(count):
        return base.take(count).batch(2)

    for count in (6, 6, 4):
        for _ in make(count):
            pass
    for _ in range(2):
        for _ in base.prefetch(1):
            pass

    profile = session.stop()

    rebuilt = (
        train_pipeline(profile) if len(profile.pipelines) == 1 else max(profile.pipelines, key=lambda item: item.iterators)
    )
    stages = {stage.op: (stage.objects, stage.objects_differ) for stage in rebuilt.written}
    assert (stages["range"], stages["map"]) == ((1, False), (1, False))
    assert (stages["take"], stages["batch"][0]) == ((3, True), 3)


def test_the_cpu_of_the_inputs_own_threads_is_told_from_the_consumers(session):
    numbers = tf.random.uniform([20_000])
    dataset = tf.data.Dataset.range(500).map(lambda x: tf.sort(numbers + tf.cast(x, tf.float32))[0]).prefetch(1)
    own = time.thread_time()

    for _ in dataset:
        spin(0.004)  # computes on this thread, which is none of the input's
    own = time.thread_time() - own
    loop = train_pipeline(session.stop()).loop

    assert loop.cpu_s is not None
    assert loop.input_cpu_s is not None
    assert 0.5 * own < loop.cpu_s - loop.input_cpu_s < loop.cpu_s
    assert loop.input_cpu_s > 0
