"""Hooks: what they tell, that they change nothing, and that they leave no trace. On stand-ins for TensorFlow's modules."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipeprof.capture import patches
from pipeprof.capture.patches import (
    DATASET_MODULE,
    DISTRIBUTE_MODULE,
    ITERATOR_MODULE,
    KERAS_MODULE,
    MULTI_DEVICE_MODULE,
    OPTIONAL_MODULE,
    PYTHON_CALLS_MODULE,
    Patches,
)


class Observer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.active = True
        self.told: list[tuple[Any, ...]] = []
        self.failures: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.clock = 0.0

    def now(self) -> float:
        self.clock += 1.0
        return self.clock

    def _tell(self, *what: Any) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(what)

    def dataset_made(self, dataset: Any) -> None:
        self._tell("dataset", dataset.name)

    def dataset_reduced(self, dataset: Any) -> None:
        self._tell("reduced", dataset.name)

    def dataset_passed(self, dataset: Any) -> None:
        self._tell("passed", dataset.name)

    def iterator_begins(self) -> None:
        """Nothing is told of it."""

    def iterator_made(self, iterator: Any, dataset: Any, start_s: float) -> None:
        self._tell("iterator", dataset, start_s)

    def replicas_begin(self) -> None:
        self._tell("replicas begin")

    def replicas_made(self, iterator: Any, dataset: Any, start_s: float) -> None:
        self._tell("replicas", None if iterator is None else dataset, start_s)

    def next_called(self, iterator: Any, start_s: float, ok: bool, optional: Any = None) -> None:
        self._tell("next", start_s, ok, optional)

    def optional_asked(self, optional: Any, start_s: float, has_value: Any) -> None:
        self._tell("asked", start_s, has_value)

    def distributed_next_begins(self) -> None:
        self._tell("distributed begins")

    def distributed_next_called(self, start_s: float, ok: bool) -> None:
        self._tell("distributed", start_s, ok)

    def keras_step(self, step: tuple[int, int, Any] | None, start_s: float) -> None:
        self._tell("keras", step, start_s)

    def module_loaded(self, module: ModuleType) -> None:
        self.told.append(("module", module.__name__))

    def failed(self, where: str, error: Exception) -> None:
        self.failures.append((where, str(error)))


class DatasetV2:
    def __init__(self, name: str) -> None:
        """Make a data set."""
        if name == "bad":
            raise ValueError("planted")
        self.name = name

    def reduce(self, start: int) -> int:
        return start


class DatasetSpec:
    def _to_components(self, dataset: DatasetV2) -> str:
        return dataset.name


class OwnedIterator:
    def __init__(self, dataset: Any = None, components: Any = None) -> None:
        self.elements = iter((1, 2))
        if dataset == "bad":
            raise ValueError("planted")

    def _next_internal(self) -> int:
        return next(self.elements)

    def get_next_as_optional(self) -> str:
        return "optional"


class OwnedMultiDeviceIterator:
    def __init__(self, dataset: Any = None, devices: Any = None) -> None:
        if dataset == "bad":
            raise ValueError("planted")
        self.parts = [OwnedIterator(f"{dataset} on {device}") for device in devices]


class DistributedIteratorBase:
    def __init__(self) -> None:
        self.part = OwnedIterator("train")

    def get_next(self, name: str | None = None) -> int:
        return self.part._next_internal()


class _OptionalImpl:
    def has_value(self, name: str | None = None) -> bool:
        if name == "bad":
            raise ValueError("planted")
        return False


class TFEpochIterator:
    def __init__(self) -> None:
        self.steps = iter([(0, 3, "iterator")])

    def __next__(self) -> tuple[int, int, str]:
        return next(self.steps)


STAND_INS = {
    DATASET_MODULE: {"DatasetV2": DatasetV2, "DatasetSpec": DatasetSpec},
    ITERATOR_MODULE: {"OwnedIterator": OwnedIterator},
    MULTI_DEVICE_MODULE: {"OwnedMultiDeviceIterator": OwnedMultiDeviceIterator},
    DISTRIBUTE_MODULE: {"DistributedIteratorBase": DistributedIteratorBase},
    OPTIONAL_MODULE: {"_OptionalImpl": _OptionalImpl},
    KERAS_MODULE: {"TFEpochIterator": TFEpochIterator},
    PYTHON_CALLS_MODULE: {},
}


@pytest.fixture
def observer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Observer]:
    """Hooks in stand-ins that were imported before."""
    for name, contents in STAND_INS.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    told = Observer()
    hooks = Patches(told)
    hooks.install()
    told.told.clear()
    yield told
    hooks.uninstall()


def originals() -> tuple[Any, ...]:
    return (
        DatasetV2.__dict__["__init__"],
        DatasetV2.__dict__["reduce"],
        DatasetSpec.__dict__["_to_components"],
        OwnedIterator.__dict__["__init__"],
        OwnedIterator.__dict__["_next_internal"],
        OwnedIterator.__dict__["get_next_as_optional"],
        OwnedMultiDeviceIterator.__dict__["__init__"],
        DistributedIteratorBase.__dict__["get_next"],
        _OptionalImpl.__dict__["has_value"],
        TFEpochIterator.__dict__["__next__"],
        tuple(sys.meta_path),
    )


def test_modules_that_were_imported_before_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, contents in STAND_INS.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    told = Observer()
    hooks = Patches(told)

    hooks.install()
    hooks.uninstall()

    assert [item[1] for item in told.told] == list(STAND_INS)


def test_everything_is_taken_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, contents in STAND_INS.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    before = originals()
    hooks = Patches(Observer())

    hooks.install()
    during = originals()
    hooks.uninstall()

    assert all(one is not two for one, two in zip(before, during, strict=True))
    assert originals() == before
    hooks.uninstall()
    assert originals() == before


def test_a_hook_that_somebody_wrapped_since_is_left_where_it_is(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(self: Any) -> int:
        return 7

    monkeypatch.setattr(OwnedIterator, "_next_internal", theirs)
    told = Observer()
    inner = Patches(told)
    inner.install()
    monkeypatch.setattr(OwnedIterator, "_next_internal", theirs)
    inner.uninstall()

    assert OwnedIterator.__dict__["_next_internal"] is theirs


def test_data_sets_iterators_and_calls_are_told_with_their_start(observer: Observer) -> None:
    DatasetV2("train")
    iterator = OwnedIterator("train")
    assert iterator._next_internal() == 1
    assert iterator.get_next_as_optional() == "optional"

    assert observer.told == [
        ("dataset", "train"),
        ("iterator", "train", 1.0),
        ("next", 2.0, True, None),
        ("next", 3.0, True, "optional"),
    ]


def test_what_a_strategys_iterator_does_is_told_as_a_whole(observer: Observer) -> None:
    iterator = DistributedIteratorBase()
    observer.told.clear()

    assert [iterator.get_next(), iterator.get_next(name="second")] == [1, 2]
    with pytest.raises(StopIteration) as raised:
        iterator.get_next()

    one = ["distributed begins", "next", "distributed"]
    assert [item[0] for item in observer.told] == one * 3
    assert [item[2] for item in observer.told if item[0] == "distributed"] == [True, True, False]
    assert Path(patches.__file__).name not in {
        Path(frame.filename).name for frame in traceback.extract_tb(raised.value.__traceback__)
    }


def test_an_optional_that_is_asked_tells_what_it_answered(observer: Observer) -> None:
    assert _OptionalImpl().has_value() is False
    with pytest.raises(ValueError, match="planted"):
        _OptionalImpl().has_value("bad")

    assert observer.told == [("asked", 1.0, False)]


def test_a_reduction_and_an_argument_are_told_before_they_run(observer: Observer) -> None:
    dataset = DatasetV2("train")

    assert dataset.reduce(3) == 3
    assert DatasetSpec()._to_components(dataset) == "train"

    assert observer.told == [("dataset", "train"), ("reduced", "train"), ("passed", "train")]


def test_an_iterator_over_devices_is_told_before_and_after_those_of_its_devices(observer: Observer) -> None:
    OwnedMultiDeviceIterator("train", devices=("a", "b"))

    assert [item[:2] for item in observer.told] == [
        ("replicas begin",),
        ("iterator", "train on a"),
        ("iterator", "train on b"),
        ("replicas", "train"),
    ]


def test_an_iterator_over_devices_that_cannot_be_made_is_told_as_none(observer: Observer) -> None:
    with pytest.raises(ValueError, match="planted"):
        OwnedMultiDeviceIterator("bad")

    assert [item[:2] for item in observer.told] == [("replicas begin",), ("replicas", None)]


def test_an_iterator_that_only_wraps_a_symbolic_resource_is_not_told(observer: Observer) -> None:
    OwnedIterator(components=("resource",))

    assert observer.told == []


def test_the_end_of_the_data_is_told_and_raised(observer: Observer) -> None:
    iterator = OwnedIterator("train")
    iterator._next_internal()
    iterator._next_internal()

    with pytest.raises(StopIteration):
        iterator._next_internal()

    assert observer.told[-1] == ("next", 4.0, False, None)


def test_steps_of_keras_and_the_end_of_its_epoch_are_told(observer: Observer) -> None:
    loop = TFEpochIterator()

    assert next(loop) == (0, 3, "iterator")  # type: ignore[call-overload]
    with pytest.raises(StopIteration):
        next(loop)  # type: ignore[call-overload]

    assert observer.told == [("keras", (0, 3, "iterator"), 1.0), ("keras", None, 2.0)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: DatasetV2("bad"),
        lambda: OwnedIterator("bad"),
        lambda: OwnedMultiDeviceIterator("bad"),
        lambda: TFEpochIterator().__next__(),
    ],
)
def test_an_exception_shows_the_user_no_frame_of_ours(observer: Observer, make: Any) -> None:
    def fail() -> list[str]:
        try:
            if make():
                make.__self__  # noqa: B018  (never reached with the two that raise)
        except Exception as error:
            return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        return []

    assert patches.__file__ not in fail()


def test_the_frames_of_an_exception_are_those_without_hooks(observer: Observer) -> None:
    def frames() -> list[tuple[str, int | None]]:
        try:
            DatasetV2("bad")
        except ValueError as error:
            return [(frame.name, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        raise AssertionError("nothing was raised")

    hooked = frames()
    wrapper = DatasetV2.__init__
    DatasetV2.__init__ = wrapper.__wrapped__  # type: ignore[method-assign,attr-defined]
    bare = frames()
    DatasetV2.__init__ = wrapper  # type: ignore[method-assign]

    assert hooked == bare


def test_names_and_docstrings_are_those_of_the_originals(observer: Observer) -> None:
    assert DatasetV2.__init__.__doc__ == "Make a data set."
    assert OwnedIterator._next_internal.__qualname__ == "OwnedIterator._next_internal"


def test_an_observer_that_fails_is_a_line_in_the_report_and_no_problem_of_the_user(observer: Observer) -> None:
    observer.error = RuntimeError("broken")

    DatasetV2("train")
    iterator = OwnedIterator("train")
    assert iterator._next_internal() == 1
    assert TFEpochIterator().__next__() == (0, 3, "iterator")

    assert {where for where, _ in observer.failures} == {
        "observing a dataset",
        "observing an iterator",
        "observing next",
        "observing Keras' loop",
    }


def test_an_observer_that_is_switched_off_hears_nothing(observer: Observer) -> None:
    observer.active = False

    DatasetV2("train")
    OwnedIterator("train")._next_internal()
    TFEpochIterator().__next__()

    assert observer.told == []


def test_a_module_without_what_is_hooked_is_a_line_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STAND_INS:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    told = Observer()
    hooks = Patches(told)

    hooks.install()
    hooks.uninstall()

    assert [where for where, _ in told.failures] == [f"hooks in {name}" for name in STAND_INS if name != PYTHON_CALLS_MODULE]


# --- imported later ----------------------------------------------------------------------------------------------


@pytest.fixture
def finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, ModuleType]]]:
    """A package that is not imported yet, and what is heard of its import."""
    package = tmp_path / "planted_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "wanted.py").write_text("value = 1\n")
    (package / "other.py").write_text("value = 2\n")
    (package / "broken.py").write_text("value = 3\nraise ValueError('planted')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    heard: list[tuple[str, ModuleType]] = []
    names = frozenset({"planted_package.wanted", "planted_package.broken", "planted_package.missing"})
    hook = patches._Finder(names, lambda name, module: heard.append((name, module)))
    sys.meta_path.insert(0, hook)
    yield heard
    sys.meta_path.remove(hook)
    for name in [name for name in sys.modules if name.startswith("planted_package")]:
        del sys.modules[name]


def test_a_module_is_told_as_soon_as_it_has_been_executed(finder: list[tuple[str, ModuleType]]) -> None:
    module = importlib.import_module("planted_package.wanted")

    assert finder == [("planted_package.wanted", module)]
    assert module.value == 1
    assert "exec_module" not in vars(module.__spec__.loader)  # type: ignore[union-attr]


def test_other_modules_are_imported_as_ever(finder: list[tuple[str, ModuleType]]) -> None:
    assert importlib.import_module("planted_package.other").value == 2
    assert finder == []


def test_a_module_that_fails_fails_as_without_us(finder: list[tuple[str, ModuleType]]) -> None:
    with pytest.raises(ValueError, match="planted") as caught:
        importlib.import_module("planted_package.broken")

    assert patches.__file__ not in [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert finder == []


def test_a_module_that_does_not_exist_does_not_exist_for_us_either(finder: list[tuple[str, ModuleType]]) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"planted_package\.missing"):
        importlib.import_module("planted_package.missing")
