"""Hooks where TensorFlow and HDF5 write files from C++, which Python's audit events do not show.

Each tells the path and calls what was there. Where only the beginning of the names is known (checkpoints, summaries) it tells
that. It must not look at what is written.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any  # what the program and TensorFlow pass to each other

from pipeprof.capture.file_writes import FileWrites
from pipeprof.capture.patches import Maker, Replace, leave_traceback

_READS = frozenset({"r", "rb"})
_SUMMARIES = "events.out.tfevents"  # how TensorFlow begins the names of its summaries

Given = tuple[Any, ...]
Named = Mapping[str, Any]
Tell = Callable[[Given, Named], None]


def file_hooks(writes: FileWrites) -> dict[str, Maker]:
    """Return the hooks, by the modules that they belong into."""
    hooks = _FileHooks(writes)
    return {
        "tensorflow.python.lib.io.file_io": hooks.files,
        "tensorflow.python.lib.io.tf_record": hooks.records,
        "tensorflow._api.v2.io": hooks.whole_files,
        "tensorflow.python.data.ops.cache_op": hooks.caches,
        "tensorflow.python.checkpoint.checkpoint": hooks.checkpoints,
        "tensorflow.python.ops.gen_summary_ops": hooks.summaries,
        "h5py._hl.files": hooks.hdf5,
    }


class _FileHooks:
    """What is put into each module."""

    def __init__(self, writes: FileWrites) -> None:
        self._writes = writes

    def files(self, replace: Replace, module: ModuleType) -> None:
        """Hook ``tf.io.gfile``, and what else of TensorFlow writes by it."""
        _tell_before(replace, module.FileIO, "__init__", self._opened)
        native = module._pywrap_file_io
        for name in ("DeleteFile", "CreateDir", "RecursivelyCreateDir", "DeleteRecursively", "RenameFile"):
            _tell_before(replace, native, name, self._changed)
        _tell_before(replace, native, "CopyFile", lambda args, _named: self._writes.touch(args[1]))

    def records(self, replace: Replace, module: ModuleType) -> None:
        """Hook ``tf.io.TFRecordWriter``."""
        _tell_before(replace, module.TFRecordWriter, "__init__", self._told(1, "path"))

    def whole_files(self, replace: Replace, module: ModuleType) -> None:
        """Hook ``tf.io.write_file``, where programs look it up."""
        _tell_before(replace, module, "write_file", self._told(0, "filename"))

    def checkpoints(self, replace: Replace, module: ModuleType) -> None:
        """Hook what ``tf.train.Checkpoint`` and ``tf.saved_model`` save variables by."""
        _tell_before(replace, module.TrackableSaver, "save", self._begun(1, "file_prefix"))

    def caches(self, replace: Replace, module: ModuleType) -> None:
        """Hook ``cache(filename)``; one without a name is in memory."""
        _tell_before(replace, module.CacheDataset, "__init__", self._begun(2, "filename"))

    def summaries(self, replace: Replace, module: ModuleType) -> None:
        """Hook what ``tf.summary`` makes its files by."""

        def tell(args: Given, named: Named) -> None:
            directory = os.fsdecode(_text(_one(args, named, 1, "logdir")))
            self._writes.begin(f"{directory.rstrip('/')}/{_SUMMARIES}")

        _tell_before(replace, module, "create_summary_file_writer", tell)

    def hdf5(self, replace: Replace, module: ModuleType) -> None:
        """Hook ``h5py.File``, which Keras saves weights by."""
        _tell_before(replace, module.File, "__init__", self._opened)

    def _opened(self, args: Given, named: Named) -> None:
        if str(_one(args, named, 2, "mode", "r")) not in _READS:
            self._writes.touch(_one(args, named, 1, "name"))

    def _changed(self, args: Given, _named: Named) -> None:
        for path in args[:2]:
            if isinstance(path, str | bytes):  # and not what else is passed
                self._writes.touch(path, follows=False)

    def _begun(self, position: int, name: str) -> Tell:
        return lambda args, named: self._writes.begin(_text(_one(args, named, position, name)))

    def _told(self, position: int, name: str) -> Tell:
        return lambda args, named: self._writes.touch(_text(_one(args, named, position, name)))


def _tell_before(replace: Replace, owner: Any, name: str, tell: Tell) -> None:
    original = owner.__dict__[name]

    @functools.wraps(original)
    def telling(*args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(Exception):  # wrong arguments are the original's to refuse
            tell(args, kwargs)
        try:
            return original(*args, **kwargs)
        except BaseException as error:
            leave_traceback(error)
            raise

    replace(owner, name, telling)


def _one(args: Given, named: Named, position: int, name: str, default: Any = None) -> Any:
    return args[position] if len(args) > position else named.get(name, default)


def _text(value: Any) -> Any:
    """Return the text in a tensor; one of a graph has none yet, and is no path to whoever takes it."""
    return value.numpy() if hasattr(value, "numpy") else value
