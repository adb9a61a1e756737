"""Finds out what the Python functions of a pipeline hold, before they are run again.

What they can reach is searched for iterators, which a replay would eat from the user's program, and for random generators,
whose state is put back after a replay. Nothing here calls a function of the user's.
"""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pipeprof.capture.python_reach import reach


def one_shot_iterator(functions: Iterable[Any]) -> str | None:
    """Return the type's name of an iterator that the functions hold and a replay would advance, None where none is found."""
    for _name, held in reach(functions):
        if isinstance(held, Iterator) and not _only_writes(held):
            return type(held).__name__
    return None


def _only_writes(held: Any) -> bool:
    """Say whether an iterator is a file that is not read (a log, a terminal)."""
    return isinstance(held, io.IOBase) and (held.closed or not held.readable())


def random_generators(functions: Iterable[Any]) -> tuple[Any, ...]:
    """Return the random generators of NumPy and Python that the functions hold."""
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return tuple(held for _name, held in reach(functions) if isinstance(held, kinds))


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
