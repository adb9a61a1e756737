"""Hooks in TensorFlow and Keras: put in when a module is imported, taken out without a trace.

A wrapper never changes arguments, results or exceptions, and takes itself out of tracebacks, so that the user sees the
same frames as without it. What a wrapper reports goes to an ``Observer``; if that fails, the wrapper is switched off and
the program goes on.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

from pipeprof.capture.interrupts import is_of_handler

ITERATOR_MODULE = "tensorflow.python.data.ops.iterator_ops"
MULTI_DEVICE_MODULE = "tensorflow.python.data.ops.multi_device_iterator_ops"
DISTRIBUTE_MODULE = "tensorflow.python.distribute.input_lib"
OPTIONAL_MODULE = "tensorflow.python.data.ops.optional_ops"
DATASET_MODULE = "tensorflow.python.data.ops.dataset_ops"
KERAS_MODULE = "keras.src.backend.tensorflow.trainer"
PYTHON_CALLS_MODULE = "tensorflow.python.ops.script_ops"
_REPLICAS = "an iterator over devices"
_DISTRIBUTED = "a strategy's iterator"
Replace = Callable[[Any, str, Callable[..., Any]], None]  # an owner (Any: a class or a module), a name in it, what to put there
Maker = Callable[[Replace, ModuleType], None]


class Observer(Protocol):
    """What the wrappers tell. All methods run on the user's threads and must be quick."""

    active: bool

    def now(self) -> float:
        """Return the capture's clock in seconds."""

    def dataset_made(self, dataset: Any) -> None:
        """A dataset was constructed."""

    def dataset_reduced(self, dataset: Any) -> None:
        """``reduce`` is about to be called, by the user or by what AutoGraph makes of a loop."""

    def dataset_passed(self, dataset: Any) -> None:
        """A dataset is flattened into its tensor, as the argument of a function."""

    def iterator_begins(self) -> None:
        """An iterator is about to be constructed on this thread."""

    def iterator_made(self, iterator: Any, dataset: Any, start_s: float) -> None:
        """An iterator was constructed; it took since ``start_s``."""

    def replicas_begin(self) -> None:
        """The iterators of several devices are being constructed: they are parts of one."""

    def replicas_made(self, iterator: Any, dataset: Any, start_s: float) -> None:
        """One iterator over several devices was constructed; it took since ``start_s``. Without an iterator: it failed."""

    def next_called(self, iterator: Any, start_s: float, ok: bool, optional: Any = None) -> None:
        """``next`` returned or raised; an ``optional`` may be without a value, which is the end of the data."""

    def optional_asked(self, optional: Any, start_s: float, has_value: Any) -> None:
        """An optional was asked since ``start_s`` whether it has a value, and gave a tensor that says so."""

    def distributed_next_begins(self) -> None:
        """A strategy's iterator is asked on this thread for a batch for all replicas."""

    def distributed_next_called(self, start_s: float, ok: bool) -> None:
        """It returned or raised; every ``next_called`` in between was a part of it."""

    def keras_step(self, step: tuple[int, int, Any] | None, start_s: float) -> None:
        """Keras' epoch loop handed out its next step (first batch, last batch, iterator), or ended (None)."""

    def module_loaded(self, module: ModuleType) -> None:
        """A module that is of interest was imported."""

    def failed(self, where: str, error: Exception) -> None:
        """An observer's method failed."""


class Patches:
    """Everything that is put into other packages, and its way out."""

    def __init__(self, observer: Observer, further: Mapping[str, Maker] = MappingProxyType({})) -> None:
        """Prepare; nothing is changed before ``install``. ``further`` are other hooks, by the modules they belong into."""
        self._observer = observer
        self._undo: list[Callable[[], None]] = []
        self._finder: _Finder | None = None
        self._makers: dict[str, Callable[[ModuleType], None]] = {
            DATASET_MODULE: self._patch_datasets,
            ITERATOR_MODULE: self._patch_iterators,
            MULTI_DEVICE_MODULE: self._patch_replicas,
            DISTRIBUTE_MODULE: self._patch_distributed,
            OPTIONAL_MODULE: self._patch_optionals,
            KERAS_MODULE: self._patch_keras,
            PYTHON_CALLS_MODULE: lambda _module: None,
            **{name: functools.partial(make, self._replace) for name, make in further.items()},
        }

    def install(self) -> None:
        """Patch what is imported already, and the rest as soon as it is imported."""
        for name in self._makers:
            module = sys.modules.get(name)
            if module is not None:
                self._loaded(name, module)
        self._finder = _Finder(frozenset(self._makers), self._loaded)
        sys.meta_path.insert(0, self._finder)

    def uninstall(self) -> None:
        """Take everything out again, last in, first out."""
        if self._finder is not None and self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        while self._undo:
            self._undo.pop()()

    def _loaded(self, name: str, module: ModuleType) -> None:
        try:
            self._makers[name](module)
            self._observer.module_loaded(module)
        except Exception as error:  # noqa: BLE001 - an instrument's failure is never the user's
            self._observer.failed(f"hooks in {name}", error)

    def _replace(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        original = owner.__dict__[name]
        setattr(owner, name, wrapper)

        def undo() -> None:
            if owner.__dict__.get(name) is wrapper:
                setattr(owner, name, original)

        self._undo.append(undo)

    def _patch_datasets(self, module: ModuleType) -> None:
        observer = self._observer
        original = module.DatasetV2.__dict__["__init__"]

        @functools.wraps(original)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            try:
                original(self, *args, **kwargs)
            except BaseException as error:
                leave_traceback(error)
                raise
            if observer.active:
                _report(observer, "a dataset", lambda: observer.dataset_made(self))

        self._replace(module.DatasetV2, "__init__", __init__)
        self._announce(module.DatasetV2, "reduce", "a reduction", observer.dataset_reduced)
        self._announce(module.DatasetSpec, "_to_components", "an argument", observer.dataset_passed, position=1)

    def _announce(self, owner: Any, name: str, what: str, tell: Callable[[Any], None], position: int = 0) -> None:
        """Tell one argument of a method before it runs."""
        observer, original = self._observer, owner.__dict__[name]

        @functools.wraps(original)
        def announced(*args: Any, **kwargs: Any) -> Any:
            if observer.active and len(args) > position:
                _report(observer, what, lambda: tell(args[position]))
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                leave_traceback(error)
                raise

        self._replace(owner, name, announced)

    def _patch_iterators(self, module: ModuleType) -> None:
        observer = self._observer
        owner = module.OwnedIterator
        original_init = owner.__dict__["__init__"]

        @functools.wraps(original_init)
        def __init__(self: Any, dataset: Any = None, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            if observer.active and dataset is not None:
                _report(observer, "an iterator", observer.iterator_begins)
            start = observer.now()
            try:
                original_init(self, dataset, *args, **kwargs)
            except BaseException as error:
                leave_traceback(error)
                raise
            if observer.active and dataset is not None:
                _report(observer, "an iterator", lambda: observer.iterator_made(self, dataset, start))

        self._replace(owner, "__init__", __init__)
        self._replace(owner, "_next_internal", _timed_next(observer, owner.__dict__["_next_internal"]))
        optional = _timed_next(observer, owner.__dict__["get_next_as_optional"], is_optional=True)
        self._replace(owner, "get_next_as_optional", optional)

    def _patch_replicas(self, module: ModuleType) -> None:
        observer = self._observer
        owner = module.OwnedMultiDeviceIterator
        original = owner.__dict__["__init__"]

        @functools.wraps(original)
        def __init__(self: Any, dataset: Any = None, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            start = observer.now()
            _report(observer, _REPLICAS, observer.replicas_begin)
            try:
                original(self, dataset, *args, **kwargs)
            except BaseException as error:
                _report(observer, _REPLICAS, lambda: observer.replicas_made(None, None, start))
                leave_traceback(error)
                raise
            made = self if observer.active and dataset is not None else None
            _report(observer, _REPLICAS, lambda: observer.replicas_made(made, dataset, start))

        self._replace(owner, "__init__", __init__)

    def _patch_distributed(self, module: ModuleType) -> None:
        observer = self._observer
        owner = module.DistributedIteratorBase
        original = owner.__dict__["get_next"]

        @functools.wraps(original)
        def get_next(*args: Any, **kwargs: Any) -> Any:
            if not observer.active:
                return original(*args, **kwargs)
            start, ok = observer.now(), False
            _report(observer, _DISTRIBUTED, observer.distributed_next_begins)
            try:
                result = original(*args, **kwargs)
                ok = True
            except BaseException as error:
                leave_traceback(error)
                raise
            finally:
                _report(observer, _DISTRIBUTED, lambda: observer.distributed_next_called(start, ok))
            return result

        self._replace(owner, "get_next", get_next)

    def _patch_optionals(self, module: ModuleType) -> None:
        observer = self._observer
        owner = module._OptionalImpl
        original = owner.__dict__["has_value"]

        @functools.wraps(original)
        def has_value(self: Any, *args: Any, **kwargs: Any) -> Any:
            start = observer.now()
            try:
                result = original(self, *args, **kwargs)
            except BaseException as error:
                leave_traceback(error)
                raise
            if observer.active:
                _report(observer, "an optional", lambda: observer.optional_asked(self, start, result))
            return result

        self._replace(owner, "has_value", has_value)

    def _patch_keras(self, module: ModuleType) -> None:
        observer = self._observer
        owner = module.TFEpochIterator
        original = owner.__dict__["__next__"]

        @functools.wraps(original)
        def __next__(self: Any) -> Any:  # noqa: N807
            start = observer.now()
            try:
                result = original(self)
            except BaseException as error:
                if observer.active:
                    _report(observer, "Keras' loop", lambda: observer.keras_step(None, start))
                leave_traceback(error)
                raise
            if observer.active:
                _report(observer, "Keras' loop", lambda: observer.keras_step(result, start))
            return result

        self._replace(owner, "__next__", __next__)


def _timed_next(observer: Observer, original: Callable[[Any], Any], *, is_optional: bool = False) -> Callable[[Any], Any]:
    """Wrap the one method that runs at every step: no closures and no imports on its way."""

    @functools.wraps(original)
    def timed(self: Any) -> Any:
        start = observer.now() if observer.active else -1.0
        try:
            result = original(self)
        except BaseException as error:
            if start >= 0:
                _report_next(observer, self, start, False)
            leave_traceback(error)
            raise
        if start >= 0:
            _report_next(observer, self, start, True, result if is_optional else None)
        return result

    return timed


def _report_next(observer: Observer, iterator: Any, start_s: float, ok: bool, optional: Any = None) -> None:
    try:
        observer.next_called(iterator, start_s, ok, optional)
    except Exception as error:  # an instrument's failure is never the user's
        if is_of_handler(error):
            raise
        observer.failed("observing next", error)


def leave_traceback(error: BaseException) -> None:
    """Take the calling wrapper's own frame out of a traceback; a bare ``raise`` afterwards does not put it back."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


def _report(observer: Observer, what: str, tell: Callable[[], None]) -> None:
    try:
        tell()
    except Exception as error:  # an instrument's failure is never the user's
        if is_of_handler(error):
            raise
        observer.failed(f"observing {what}", error)


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the other finders find a module, and calls back when it has been executed."""

    def __init__(self, names: frozenset[str], loaded: Callable[[str, ModuleType], None]) -> None:
        self._names = names
        self._loaded = loaded
        self._busy: set[str] = set()

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders give, with our call after the execution."""
        if fullname not in self._names or fullname in self._busy:
            return None
        self._busy.add(fullname)
        try:
            answers = (finder.find_spec(fullname, path, target) for finder in self._others())
            spec = next((answer for answer in answers if answer is not None), None)
        finally:
            self._busy.discard(fullname)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            self._follow(spec.loader, fullname)
        return spec

    def _others(self) -> list[Any]:
        return [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]

    def _follow(self, loader: Any, fullname: str) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            try:
                execute(module)
            except BaseException as error:
                leave_traceback(error)
                raise
            finally:
                loader.__dict__.pop("exec_module", None)
            self._loaded(fullname, module)

        loader.exec_module = exec_module
