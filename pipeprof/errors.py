"""Errors that pipeprof raises on purpose.

A ``UserError`` is a mistake the user can mend: the command line turns it into one line with a hint and exit status 2.
Everything else that escapes is a bug and keeps its traceback. Never raise a ``UserError`` for a bug of ours.
"""

from __future__ import annotations


class PipeprofError(Exception):
    """Base of all errors that pipeprof raises on purpose."""


class UserError(PipeprofError):
    """A mistake the user can mend.

    Attributes:
        what: what happened, one sentence without a final full stop.
        hint: what to do about it, one sentence.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        """Keep the message and its remedy apart."""
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and the hint on one line."""
        return f"{self.what} ({self.hint})" if self.hint else self.what


class TrialError(PipeprofError):
    """A change could not be tried; the text is the reason shown beside ``not-tried``."""


class RanOutError(TrialError):
    """A pipeline ran out of memory while it was replayed.

    Attributes:
        is_of_change: it was the changed one, after the pipeline as it is had enough.
    """

    def __init__(self, reason: str, *, is_of_change: bool = False) -> None:
        """Keep what was raised, and by which pipeline."""
        super().__init__(f"{'the changed pipeline' if is_of_change else 'the replay'} ran out of memory: {reason}")
        self.reason = reason
        self.is_of_change = is_of_change
