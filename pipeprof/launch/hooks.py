"""What the launcher calls around the user's script; it knows nothing of what the hooks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeprof.store import ScriptEnd


def _nothing() -> None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """Called in the script's process. An exception in a hook is recorded by the hook itself, never raised.

    ``before`` runs right before the script's first line; ``ended`` as soon as the script is over (its traceback printed,
    its streams flushed, its status handed over) and must be quick; ``trials`` after that, only where changes may be tried:
    it may take until its budget, and Ctrl-C in it skips the rest; ``forked`` in every child that the script forks.
    """

    before: Callable[[], None] = _nothing
    ended: Callable[[ScriptEnd], None] = lambda _end: None
    trials: Callable[[], None] = _nothing
    forked: Callable[[], None] = _nothing
