"""pipeprof: why a training loop waits for its tf.data input, and the proof of a fix.

Importing this package imports neither TensorFlow nor any other heavy package: the public names are loaded when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeprof._version import __version__

__all__ = ["KerasCallback", "__version__", "load", "profile"]

if TYPE_CHECKING:
    from pipeprof.api import load, profile
    from pipeprof.keras import KerasCallback

_HOMES = {"profile": "pipeprof.api", "load": "pipeprof.api", "KerasCallback": "pipeprof.keras"}


def __getattr__(name: str) -> Any:  # Any: the type depends on the name; the block above tells type checkers
    """Load a public name when it is first used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
