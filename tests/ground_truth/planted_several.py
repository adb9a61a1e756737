"""Several inputs, a service, a validation set: the slow one among them is planted."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tests.ground_truth.chains import batched, labelled, numbers, trim
from tests.ground_truth.costs import CORES, burn, nap, python, sleeping
from tests.ground_truth.draws import Draw
from tests.ground_truth.planted_chains import read
from tests.ground_truth.registry import Kind, Loop, case


@case(Kind.PLANTED)
def one_slow_branch_of_zip(draw: Draw) -> Loop:
    pace = draw.slow_input()
    slow = draw.choice("work", [nap, burn, python])(pace.element_s)
    fast = trim(draw, numbers(10**9).map(lambda value: value + 1))
    dataset = trim(draw, numbers(pace.epoch_elements))
    dataset = dataset.map(lambda value: slow(value) + tf.random.uniform([]))  # PLANTED map
    both = (dataset, fast) if draw.choice("slow first", [True, False]) else (fast, dataset)
    return read(draw, batched(draw, tf.data.Dataset.zip(both), pace.batch), pace)


@case(Kind.PLANTED)
def one_slow_branch_of_a_sample(draw: Draw) -> Loop:
    pace = draw.slow_input()
    weight = draw.number("weight", 0.3, 0.7)
    slow = draw.choice("work", [nap, burn, python])(pace.element_s / weight)
    fast = numbers(10**9).map(lambda value: tf.cast(value, tf.float32))
    dataset = numbers(10**9)
    dataset = dataset.map(lambda value: slow(value) + tf.random.uniform([]))  # PLANTED map
    dataset = tf.data.Dataset.sample_from_datasets([dataset, fast], [weight, 1 - weight], seed=1)
    return read(draw, batched(draw, dataset.take(pace.epoch_elements), pace.batch), pace)


@case(Kind.PLANTED, may=("PP201", "PP407"))
def two_slow_maps_one_slower(draw: Draw) -> Loop:
    """Both run one call at a time: what is said of the other one is right too, though the stage to name is the slower."""
    pace = draw.slow_input()
    part = draw.number("part of the slower", 0.65, 0.85)
    first, second = burn(pace.element_s * part), burn(pace.element_s * (1 - part))
    dataset = draw.in_order(
        numbers(pace.epoch_elements),
        slower=lambda dataset: dataset.map(lambda value: first(value) + tf.random.uniform([])),  # PLANTED map
        slow=lambda dataset: dataset.map(lambda value: second(value) + tf.random.uniform([])),
    )
    return read(draw, batched(draw, dataset, pace.batch), pace)


@case(Kind.PLANTED)
def data_service(draw: Draw) -> Loop:
    """A service in the process: the map runs in its worker; this program's own graph ends at the call that asks the service."""
    pace = draw.slow_input(epochs=(1,))
    slow = draw.choice("work", [nap, burn])(pace.element_s)
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    service = [dispatcher]  # it lives as long as they are held
    service.append(
        tf.data.experimental.service.WorkerServer(tf.data.experimental.service.WorkerConfig(dispatcher_address=address))
    )
    policy = tf.data.experimental.service.ShardingPolicy.OFF
    distribute = tf.data.experimental.service.distribute(policy, dispatcher.target)
    dataset = numbers(pace.epoch_elements)
    dataset = dataset.map(lambda value: slow(value) + tf.random.uniform([]))  # PLANTED map
    dataset = dataset.batch(pace.batch)
    dataset = dataset.apply(distribute)  # PLANTED data_service
    loop = read(draw, dataset, pace)

    def run(clock: Any) -> None:
        loop(clock)
        service.clear()

    return run


@case(Kind.PLANTED, role="validation")
def slow_validation(draw: Draw) -> Loop:
    """Training keeps up; validation waits, and for longer than training does."""
    from tests.ground_truth import consumers_keras

    pace = draw.fast_input(epochs=(2, 3))
    check = draw.slow_input(epochs=(1,))
    slow = draw.choice("work", [nap, burn])(check.element_s)
    dataset = batched(draw, labelled(numbers(pace.epoch_elements)), pace.batch)
    validation = numbers(check.epoch_elements // pace.epochs)
    validation = validation.map(lambda value: slow(value) + tf.random.uniform([]))  # PLANTED map
    validation = labelled(validation).batch(check.batch)
    step, validation_step = sleeping(pace.step_s / 2), sleeping(check.step_s / 2)
    return consumers_keras.fit_with_validation(dataset, validation, step, validation_step, pace.epochs)


@case(Kind.PLANTED)
def keras_fit_of_records(draw: Draw) -> Loop:
    """A usual input of Keras: records, a shuffle, a slow map, a batch, a prefetch."""
    from tests.ground_truth import consumers_keras, files

    pace = draw.slow_input(epochs=(2, 3))
    native = burn(pace.element_s * CORES)
    paths = files.records(draw.folder, 4, max(2, pace.epoch_elements // 4), b"12345")
    dataset = tf.data.TFRecordDataset(paths).shuffle(16)
    dataset = dataset.map(lambda record: native(tf.strings.to_number(record)))  # PLANTED map
    dataset = labelled(dataset).batch(pace.batch).prefetch(2)
    return consumers_keras.fit(dataset, sleeping(pace.step_s), pace.epochs)
