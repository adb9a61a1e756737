"""What the Python functions of a pipeline can reach of the program: what they close over, are bound to, and name.

Functions reach TensorFlow by a token. From the token's function everything it can reach is followed, by the names it has for
it, up to a limit; the insides of TensorFlow, of NumPy and of Python's own library are not. Nothing here calls a function of
the user's.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

from pipeprof.interop.node_kinds import PYTHON_OPS

_MAX_OBJECTS = 2000
_MAX_DEPTH = 8
_CLOSED_PACKAGES = frozenset({"tensorflow", "keras", "numpy"})
_NAMESPACES = frozenset({"types.SimpleNamespace", "argparse.Namespace"})  # of Python's own, and yet the user's
_MAX_ITEMS = 50  # larger collections hold data, not state

Held = tuple[str, Any]
"""What the function calls it ("current.epoch"), and the object."""


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


def reach(roots: Iterable[Any]) -> Iterator[Held]:
    """Yield the objects that functions can reach, each once, breadth first, up to a limit."""
    seen: set[int] = set()
    queue: list[tuple[str, Any, int]] = [("", root, 0) for root in roots]
    while queue and len(seen) < _MAX_OBJECTS:
        name, current, depth = queue.pop(0)
        if id(current) in seen and not isinstance(current, int | float | str | bytes):  # equal ones have many names
            continue
        seen.add(id(current))
        yield name, current
        if depth < _MAX_DEPTH:
            queue.extend((held_name, held, depth + 1) for held_name, held in _held_by(name, current))


def _held_by(name: str, thing: Any) -> list[Held]:
    if isinstance(thing, types.FunctionType):
        return _held_by_function(thing)
    if isinstance(thing, types.MethodType):
        return [("", thing.__func__), ("self", thing.__self__)]
    if isinstance(thing, types.BuiltinFunctionType | types.MethodWrapperType):
        owner = getattr(thing, "__self__", None)
        return [] if owner is None or isinstance(owner, types.ModuleType) else [("", owner)]
    if isinstance(thing, functools.partial):
        return [("", thing.func), *(("", item) for item in thing.args), *thing.keywords.items()]
    if isinstance(thing, list | tuple | set):
        return [(f"{name}[{at}]", item) for at, item in enumerate(thing)] if len(thing) <= _MAX_ITEMS else []
    if isinstance(thing, dict):
        return [(f"{name}[{key!r}]", item) for key, item in thing.items()] if len(thing) <= _MAX_ITEMS else []
    return _held_by_instance(name, thing)


def _held_by_function(function: types.FunctionType) -> list[Held]:
    held: list[Held] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            held.append((name, cell.cell_contents))
        except ValueError:  # the cell is still empty
            continue
    held.extend(("", item) for item in function.__defaults__ or ())
    held.extend((function.__kwdefaults__ or {}).items())
    for name, attributes in _global_names(function.__code__).items():
        if name in function.__globals__:
            thing = function.__globals__[name]
            held.append((name, thing))
            if isinstance(thing, types.ModuleType) and _is_users(thing.__name__):
                held.extend((f"{name}.{item}", vars(thing)[item]) for item in attributes if item in vars(thing))
    return held


def _global_names(code: types.CodeType) -> dict[str, list[str]]:
    """Return the globals that code names, each with what it asks of it as an attribute."""
    found: dict[str, list[str]] = {}
    before = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            before = str(instruction.argval)
            found.setdefault(before, [])
        elif instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
            if before:
                found[before].append(str(instruction.argval))
            before = ""
        elif instruction.opname not in {"CACHE", "EXTENDED_ARG"}:
            before = ""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for name, attributes in _global_names(constant).items():
                found.setdefault(name, []).extend(attributes)
    return found


def _is_users(module: str) -> bool:
    package = module.split(".", maxsplit=1)[0]
    return package not in _CLOSED_PACKAGES and (package not in sys.stdlib_module_names or package == "__main__")


def _held_by_instance(name: str, thing: Any) -> list[Held]:
    """Return what an object of the user's holds; classes, modules and TensorFlow's own objects are not opened.

    TensorFlow's generator state holds the user's live iterators beside the function that makes them: only the function
    counts.
    """
    if isinstance(thing, type | types.ModuleType):
        return []
    kind = type(thing)
    if kind.__name__ == "_GeneratorState":
        return [("", thing._generator)]
    if kind.__name__ == "EagerFunc":
        return [("", thing._func)]
    if not _is_users(kind.__module__) and f"{kind.__module__}.{kind.__qualname__}" not in _NAMESPACES:
        return []
    held = [(f"{name}.{key}" if name else key, item) for key, item in getattr(thing, "__dict__", {}).items()]
    call = getattr(kind, "__call__", None)  # noqa: B004 - the function behind a callable object
    iterate = getattr(kind, "__iter__", None)
    return [*held, *(("", item) for item in (call, iterate) if isinstance(item, types.FunctionType))]
