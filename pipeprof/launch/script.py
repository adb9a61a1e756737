"""Makes the user's script ready to run as python runs it: its ``__main__``, ``sys.argv``, ``sys.path`` and code.

The body it returns is called from the bootstrap's frame and adds no frame of its own: for a file it is ``exec`` itself, for
``-m``, directories and zip files runpy's own entry, which is what python calls too. It must leave no trace of itself in what
the script can see, and must not run the script.
"""

from __future__ import annotations

import functools
import os
import pkgutil
import runpy
import sys
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from typing import Any

_PACKAGE = __name__.partition(".")[0]
_run_as_main: Callable[..., object] = vars(runpy)["_run_module_as_main"]  # what python itself calls for -m


@dataclass(frozen=True, slots=True)
class Body:
    """The script, ready to run."""

    run: Callable[[], object]
    is_file: bool  # python takes __file__ and __cached__ back out of __main__ when a file is over


class Script:
    """A script that can be entered: compiled already, if it is a file, and nothing else done yet."""

    def __init__(self, command: Sequence[str], flags: Sequence[str], refused: Callable[[], None] = lambda: None) -> None:
        """Compile the script.

        Args:
            command: the script, or ``-m`` and a module, and its arguments, as typed.
            flags: python's own flags.
            refused: is called before a script that cannot be compiled is left to python.
        """
        self._refused = refused
        self._command = tuple(command)
        self._flags = tuple(flags)
        self._is_module = command[0] == "-m"
        self._path = "" if self._is_module else absolute(command[0])
        self._is_container = not self._is_module and is_runnable_container(self._path)
        self._loader: SourceFileLoader | SourcelessFileLoader | None = None
        self._code: types.CodeType | None = None
        if not self._is_module and not self._is_container:
            self._loader, self._code = self._load_file()

    def enter(self, namespace: Mapping[str, Any], native_modules: frozenset[str]) -> Body:
        """Make the interpreter look as python makes it for this script, and return what is to be called.

        Args:
            namespace: the variables that python gives to a new ``__main__``, in its order.
            native_modules: what python itself had imported; the rest is ours and gives way to files of the script.
        """
        sys.orig_argv[:] = [sys.orig_argv[0], *self._flags, *self._command]
        sys.argv[:] = ["-m", *self._command[2:]] if self._is_module else self._command
        main = _new_main(namespace)
        if self._is_container or not sys.flags.safe_path:
            sys.path.insert(0, self._first_directory())
            _forget_shadowed(native_modules, sys.path[0])
        if self._is_module:
            return Body(functools.partial(_run_as_main, self._command[1]), is_file=False)
        if self._code is None:
            return Body(functools.partial(_run_as_main, "__main__", alter_argv=False), is_file=False)
        main.__dict__.update(__loader__=self._loader, __file__=self._path, __cached__=None)
        return Body(functools.partial(exec, self._code, main.__dict__), is_file=True)

    def _first_directory(self) -> str:
        if self._is_module:
            return str(Path.cwd())
        if self._is_container:
            return self._path
        return os.path.dirname(os.path.realpath(self._path))  # noqa: PTH120 - python's own text, not a normalised one

    def _load_file(self) -> tuple[SourceFileLoader | SourcelessFileLoader, types.CodeType | None]:
        if self._path.endswith(".pyc"):
            bytecode = SourcelessFileLoader("__main__", self._path)
            return bytecode, bytecode.get_code("__main__")
        return SourceFileLoader("__main__", self._path), _compile(self._path, [*self._flags, *self._command], self._refused)


def absolute(path: str) -> str:
    """Return ``path`` as python makes a script's name absolute: joined, not normalised."""
    return path if path.startswith("/") else f"{Path.cwd()}/{path}"


def is_runnable_container(path: str) -> bool:
    """Say whether python would look for a ``__main__`` inside ``path``: a directory or an archive."""
    return pkgutil.get_importer(path) is not None


def _new_main(namespace: Mapping[str, Any]) -> types.ModuleType:
    main = types.ModuleType("__main__")
    variables = {name: value for name, value in namespace.items() if name not in {"__file__", "__cached__"}}
    if "__annotations__" in variables:
        variables["__annotations__"] = {}
    main.__dict__.clear()
    main.__dict__.update(variables, __doc__=None, __package__=None, __spec__=None)
    sys.modules["__main__"] = main
    return main


def _compile(path: str, words: Sequence[str], refused: Callable[[], None]) -> types.CodeType:
    """Compile a script. What cannot be compiled is handed to python itself (``words``), which says so in its own words.

    Nothing of the script has run by then. A first attempt without warnings keeps those from being printed twice.
    """
    source = Path(path).read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, path, "exec", dont_inherit=True)
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if not Path(path).is_file():  # a pipe cannot be read again
            raise
        refused()
        os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - python, on the user's own script


def _forget_shadowed(native_modules: frozenset[str], directory: str) -> None:
    """Forget those modules of ours which the script would find in its own directory under the same name.

    A ``queue.py`` beside the script is what its ``import queue`` means; our modules keep what they have imported.
    """
    own = _names_in(directory) if Path(directory).is_dir() else {name for _, name, _ in pkgutil.iter_modules([directory])}
    for name in list(sys.modules):
        top = name.partition(".")[0]
        if top in own and name not in native_modules and top != _PACKAGE:
            del sys.modules[name]


def _names_in(directory: str) -> set[str]:
    try:
        return {name.partition(".")[0] for name in os.listdir(directory)}  # noqa: PTH208 - names alone are wanted
    except OSError:
        return set()
