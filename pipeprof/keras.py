"""The Keras callback: observe one ``fit`` and report when it is over.

``model.fit(ds, callbacks=[pipeprof.KerasCallback()])``. It reads nothing from the model and writes nothing to the logs.
"""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from typing import Any

import keras

from pipeprof.api import Profiling, profile
from pipeprof.model.diagnosis import Diagnosis


class KerasCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
    """Observes the input pipeline of one ``fit``.

    A ``fit`` that raises never says so to its callbacks; the capture is then closed when the process ends.
    """

    async_safe = True  # without it Keras stops dispatching asynchronously on JAX and PyTorch

    def __init__(self, *, output: str | Path | None = None, show: bool = True) -> None:
        """Prepare.

        Args:
            output: the directory in which run directories are made; ``reports/`` by default.
            show: whether to print the report to standard error when training ends.
        """
        super().__init__()
        self._output = output
        self._show = show
        self.run: Profiling | None = None

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis, None before training ended."""
        return None if self.run is None else self.run.diagnosis

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin to observe."""
        del logs
        self._close()
        self.run = profile(output=self._output, name="keras-fit")
        self.run.start()
        atexit.register(self._close)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop observing and report."""
        del logs
        self._close()
        if self._show and self.run is not None:
            self.run.show(sys.stderr)

    def _close(self) -> None:
        atexit.unregister(self._close)
        if self.run is not None:
            self.run.stop()
