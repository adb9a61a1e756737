"""Finds out what the Python functions of a pipeline hold, before they are run again.

Functions reach TensorFlow by a token; from the token's function everything it can reach (closures, defaults, bound objects,
the globals its code names) is searched for iterators, which a replay would eat from the user's program, and for random
generators, whose state is put back after a replay. Nothing here calls a function of the user's.
"""

from __future__ import annotations

import copy
import dis
import functools
import io
import random
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

PYTHON_OPS = frozenset({"PyFunc", "EagerPyFunc", "PyFuncStateless"})
_MAX_OBJECTS = 2000
_MAX_DEPTH = 8
_CLOSED_PACKAGES = frozenset({"tensorflow", "keras", "numpy"})
_MAX_ITEMS = 50  # larger collections hold data, not state


def python_functions(nodes: Iterable[Any]) -> list[Any]:  # Any: NodeDefs in, the user's callables out
    """Return the live Python functions that graph nodes call; a token whose function is gone gives none."""
    from tensorflow.python.ops import script_ops

    found = []
    for node in nodes:
        if node.op in PYTHON_OPS:
            token = node.attr["token"].s
            function = script_ops._py_funcs.get(token.decode()) or script_ops._py_funcs.get(token)
            if function is not None:
                found.append(function)
    return found


def one_shot_iterator(functions: Iterable[Any]) -> str | None:
    """Return the type's name of an iterator that the functions hold and a replay would advance, None where none is found."""
    for held in _reach(functions):
        if isinstance(held, Iterator) and not _only_writes(held):
            return type(held).__name__
    return None


def _only_writes(held: Any) -> bool:
    """Say whether an iterator is a file that is not read (a log, a terminal)."""
    return isinstance(held, io.IOBase) and (held.closed or not held.readable())


def random_generators(functions: Iterable[Any]) -> tuple[Any, ...]:
    """Return the random generators of NumPy and Python that the functions hold."""
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return tuple(held for held in _reach(functions) if isinstance(held, kinds))


@contextmanager
def preserve_random_state(generators: Iterable[Any] = ()) -> Iterator[None]:
    """Put the state of NumPy's and Python's global generators, and of ``generators``, back at the end."""
    kept = [(generator, _read_state(generator)) for generator in generators]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        for generator, state in kept:
            _write_state(generator, state)


def _read_state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return copy.deepcopy(generator.bit_generator.state)
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def _write_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _reach(roots: Iterable[Any]) -> Iterator[Any]:
    """Yield the objects that functions can reach, each once, breadth first, up to a limit."""
    seen: set[int] = set()
    queue: list[tuple[Any, int]] = [(root, 0) for root in roots]
    while queue and len(seen) < _MAX_OBJECTS:
        current, depth = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if depth < _MAX_DEPTH:
            queue.extend((held, depth + 1) for held in _held_by(current))


def _held_by(thing: Any) -> list[Any]:
    if isinstance(thing, types.FunctionType):
        return _held_by_function(thing)
    if isinstance(thing, types.MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, types.BuiltinFunctionType | types.MethodWrapperType):
        owner = getattr(thing, "__self__", None)
        return [] if owner is None or isinstance(owner, types.ModuleType) else [owner]
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, list | tuple | set):
        return list(thing) if len(thing) <= _MAX_ITEMS else []
    if isinstance(thing, dict):
        return list(thing.values()) if len(thing) <= _MAX_ITEMS else []
    return _held_by_instance(thing)


def _held_by_function(function: types.FunctionType) -> list[Any]:
    held: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # the cell is still empty
            continue
    held.extend(function.__defaults__ or ())
    held.extend((function.__kwdefaults__ or {}).values())
    names = set(_global_names(function.__code__))
    held.extend(function.__globals__[name] for name in names if name in function.__globals__)
    return held


def _global_names(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _held_by_instance(thing: Any) -> list[Any]:
    """Return what an object of the user's holds; classes, modules and TensorFlow's own objects are not opened.

    TensorFlow's generator state holds the user's live iterators beside the function that makes them: only the function
    counts.
    """
    if isinstance(thing, type | types.ModuleType):
        return []
    kind = type(thing)
    if kind.__name__ == "_GeneratorState":
        return [thing._generator]
    if kind.__name__ == "EagerFunc":
        return [thing._func]
    package = kind.__module__.split(".")[0]
    if package in _CLOSED_PACKAGES or (package in sys.stdlib_module_names and package != "__main__"):
        return []
    held = list(getattr(thing, "__dict__", {}).values())
    call = getattr(kind, "__call__", None)  # noqa: B004 - the function behind a callable object
    iterate = getattr(kind, "__iter__", None)
    return [*held, *(item for item in (call, iterate) if isinstance(item, types.FunctionType))]
