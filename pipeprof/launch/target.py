"""Finds the function that the user names, ``module:function`` or ``path/to/file.py:function``, and calls it.

A module is imported as python would import it: its directory comes first on ``sys.path``, what stands under ``if __name__ ==
"__main__"`` is not run. Whatever goes wrong is a mistake of the user's, told in one line. It must not know what the function
is wanted for, beyond that it returns a dataset.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any  # the user's objects

from pipeprof.errors import UserError

_OWN_ROOT = str(Path(__file__).resolve().parents[1])
_FORM = "write it as module:function or path/to/file.py:function"
_MOST_TEXT = 160
_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A function by name."""

    text: str  # as typed
    module: str  # a module's dotted name, empty for a file
    path: Path | None  # a file
    function: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``module:function``.

        Raises:
            UserError: it is no such text, or names a file that does not exist.
        """
        place, _, function = text.rpartition(":")
        if not place or not function.isidentifier():
            hint = f"name a function in it: {text}:make_dataset" if text.endswith(".py") else _FORM
            raise UserError(f"{text} names no function", hint)
        if not place.endswith(".py") and "/" not in place:
            if not all(part.isidentifier() for part in place.split(".")):
                raise UserError(f"{place} is no module's name", _FORM)
            return cls(text=text, module=place, path=None, function=function)
        path = Path(place)
        if not path.is_file():
            raise UserError(f"no such file: {place}", _nearest_file(path))
        return cls(text=text, module="", path=path, function=function)

    @property
    def name(self) -> str:
        """A short name: the file's or the module's, and the function's."""
        return f"{self.path.stem if self.path is not None else self.module}.{self.function}"


def load_function(target: Target) -> Callable[..., Any]:
    """Import the module and return the function.

    Raises:
        UserError: it does not exist, raises while it is imported, or has no such function.
    """
    module = _import_file(target.path) if target.path is not None else _import_module(target.module)
    place = str(target.path or target.module)
    found = getattr(module, target.function, None)
    if found is None:
        names = [
            name for name, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        close = get_close_matches(target.function, names, n=1, cutoff=0.5)
        known = f"its functions: {', '.join(names[:6])}" if names else "it defines no function"
        raise UserError(f"{place} has no function {target.function}", f"did you mean {place}:{close[0]}?" if close else known)
    if not callable(found):
        raise UserError(f"{target.function} in {place} is {describe(found)}, no function", "name a function that returns it")
    function: Callable[..., Any] = found
    return function


def check_arguments(function: Callable[..., Any], name: str, given: Mapping[str, object]) -> None:
    """Refuse arguments that the function does not take, and a call that lacks some.

    Raises:
        UserError: with their names.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C: its own complaint will do
        return
    takes_any = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
    by_name = [key for key, item in parameters.items() if item.kind in {item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY}]
    unknown = [key for key in given if key not in by_name and not takes_any]
    if unknown:
        close = get_close_matches(unknown[0], by_name, n=1)
        known = f"it takes: {', '.join(by_name)}" if by_name else "it takes none"
        raise UserError(f"{name}() has no argument {unknown[0]}", f"did you mean {close[0]}?" if close else known)
    plain = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    missing = [
        key for key, item in parameters.items() if item.default is item.empty and item.kind not in plain and key not in given
    ]
    if missing:
        options = " ".join(f"--arg {key}=..." for key in missing)
        raise UserError(f"{name}() needs {_words(missing)}", f"give it with {options}, or a default in the code")


def make_dataset(function: Callable[..., Any], name: str, given: Mapping[str, object]) -> Any:
    """Call the function once and return its dataset: what it returns, or the first of a tuple.

    Raises:
        UserError: the call raises, or returns no dataset.
    """
    check_arguments(function, name, given)
    try:
        made = function(**given)
    except (Exception, SystemExit) as error:
        raise UserError(f"{name}() {_raised(error)}", "it must run by itself, without the rest of the program") from error
    first = made[0] if isinstance(made, tuple | list) and made else made
    if not is_dataset(first):
        hint = "wrap it: tf.data.Dataset.from_generator" if inspect.isgenerator(first) else "return a tf.data.Dataset"
        raise UserError(f"{name}() returned {describe(made)}, no tf.data.Dataset", hint)
    return first


def is_dataset(value: object) -> bool:
    """Say whether a value is a ``tf.data.Dataset``, by its classes: TensorFlow is not imported for it."""
    return any(kind.__name__ == "DatasetV2" and kind.__module__.startswith("tensorflow.") for kind in type(value).__mro__)


def describe(value: object) -> str:
    """Say what a value is: ``None``, ``a tuple of 2 (int, str)``, ``a generator``."""
    if value is None:
        return "None"
    kind = type(value).__name__
    if isinstance(value, tuple | list) and value:
        named = [type(item).__name__ for item in value[:_NAMED]]
        return f"a {kind} of {len(value)} ({', '.join([*named, '…'] if len(value) > _NAMED else named)})"
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _import_file(path: Path) -> ModuleType:
    real = path.resolve()
    sys.path.insert(0, str(real.parent))
    name = (
        real.stem if real.stem.isidentifier() and real.stem not in sys.modules else f"_pipeprof_target_{abs(hash(str(real)))}"
    )
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported", _FORM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"importing {path} {_raised(error)}", _import_hint(error)) from error
    return module


def _import_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise UserError(f"importing {name} {_raised(error)}", _import_hint(error)) from error
        as_file = Path(f"{name.replace('.', '/')}.py")
        hint = _nearest_file(as_file) or "run it where `python -m` finds the module, or name its file"
        raise UserError(f"no module named {missing}", hint) from error
    except (Exception, SystemExit) as error:
        raise UserError(f"importing {name} {_raised(error)}", _import_hint(error)) from error


def _import_hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "install it, or start pipeprof where the program is started"
    return 'make it importable: put what only the program does under if __name__ == "__main__"'


def _nearest_file(path: Path) -> str:
    try:
        names = [item.name for item in path.parent.iterdir() if item.suffix == ".py"]
    except OSError:
        return f"there is no directory {path.parent}"
    close = get_close_matches(path.name, names, n=1)
    return f"did you mean {path.with_name(close[0])}?" if close else ""


def _raised(error: BaseException) -> str:
    """Say what was raised and on which line of the user's: ``raised KeyError: 'x' (data.py:12)``."""
    if isinstance(error, SystemExit):
        return f"ended the program with status {error.code}{_place(error)}"
    text = " ".join(str(getattr(error, "msg", None) if isinstance(error, SyntaxError) else error).split())
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    short = told if len(told) <= _MOST_TEXT else f"{told[: _MOST_TEXT - 1]}…"
    return f"raised {short}{_place(error)}"


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}:{error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (
            not frame.filename.startswith((_OWN_ROOT, "<"))
            and "site-packages" not in frame.filename
            and not _is_python(frame.filename)
        ):
            return f" ({Path(frame.filename).name}:{frame.lineno})"
    return ""


def _is_python(filename: str) -> bool:
    """Say whether a file is of Python's own library."""
    return Path(filename).is_relative_to(Path(traceback.__file__).parent)


def _words(names: list[str]) -> str:
    kind = "the argument" if len(names) == 1 else "the arguments"
    return f"{kind} {', '.join(names)}"
