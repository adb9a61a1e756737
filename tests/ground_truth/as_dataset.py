"""The pipeline of a case alone, for ``pipeprof bench tests/ground_truth/as_dataset.py:make --arg name=... --arg seed=...``.

A case returns its loop; here every way of reading in Python is replaced by one that keeps the dataset. Cases that are read
otherwise (Keras, in a graph, over devices) have none.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.ground_truth import consumers
from tests.ground_truth.draws import Draw
from tests.ground_truth.registry import every_case

READERS = ("for_loop", "next_calls", "numpy_iterator", "optionals")


def make(name: str, seed: int) -> Any:
    """Return the dataset of a case as its seed draws it."""
    folder = Path(tempfile.mkdtemp(prefix="pipeprof-case-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    case = every_case()[name]
    kept: list[Any] = []

    def keep(dataset: Any, *_: Any) -> Any:
        kept.append(dataset)
        return lambda _clock: None

    with mock.patch.multiple(consumers, **dict.fromkeys(READERS, keep)):
        module = sys.modules[case.build.__module__]
        own = {reader: keep for reader in READERS if hasattr(module, reader)}
        with mock.patch.multiple(module, **own):
            case.build(Draw(case.name, seed, folder))
    if not kept:
        raise SystemExit(f"{name} is not read by a loop in Python")
    return kept[0]
