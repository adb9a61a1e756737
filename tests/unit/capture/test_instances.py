"""Dataset objects are counted stage by stage."""

from __future__ import annotations

import gc
from typing import Any

from pipeprof.capture.instances import StageObjects
from pipeprof.model.profile import StageFunction, WrittenStage


class _Dataset:
    """Stands for a dataset: it can be held weakly."""


def stages(stop: int = 2000, token: str = "pyfunc_0") -> tuple[WrittenStage, ...]:
    function = StageFunction(name="f", op_types=("EagerPyFunc",), op_count=1, python_tokens=(token,))
    return (
        WrittenStage(id="s0", op="range", class_name="_RangeDataset", cardinality=stop),
        WrittenStage(id="s1", op="map", class_name="_MapDataset", inputs=("s0",), function=function),
    )


def noted(*trees: tuple[tuple[Any, ...], tuple[WrittenStage, ...]]) -> tuple[WrittenStage, ...]:
    objects = StageObjects(trees[0][1])
    for items, read in trees:
        objects.note(items, read)
    return objects.describe()


def test_one_dataset_iterated_again_is_one_object() -> None:
    pair = (_Dataset(), _Dataset())

    found = noted((pair, stages()), (pair, stages()))

    assert [(stage.objects, stage.objects_differ) for stage in found] == [(1, False), (1, False)]


def test_a_base_that_gets_a_new_tail_in_every_epoch_stays_one_object() -> None:
    base = _Dataset()

    found = noted(*(((base, _Dataset()), stages(token=f"pyfunc_{epoch}")) for epoch in range(3)))

    assert [stage.objects for stage in found] == [1, 3]
    assert found[1].function is not None
    assert found[1].function.python_tokens == ("pyfunc_0", "pyfunc_1", "pyfunc_2")


def test_a_pipeline_built_anew_in_every_epoch_is_as_many_objects_though_the_old_ones_are_gone() -> None:
    objects = StageObjects(stages())
    for _ in range(5):
        objects.note((_Dataset(), _Dataset()), stages())
        gc.collect()

    assert [stage.objects for stage in objects.describe()] == [5, 5]


def test_objects_made_with_other_arguments_are_told() -> None:
    found = noted(((_Dataset(), _Dataset()), stages(2000)), ((_Dataset(), _Dataset()), stages(1999)))

    assert [stage.objects_differ for stage in found] == [True, False]
