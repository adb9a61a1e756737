"""Reads python's own flags from the command line of this process, to give the same to the script's process.

They are taken as typed: ``sys.flags`` does not tell ``-u``, nor the order of ``-W``. It must not interpret them.
"""

from __future__ import annotations

from collections.abc import Sequence

_WITH_VALUE = "WX"
_ENDS = "cm"
_NOT_PASSED = "ixhV?"  # interactive mode, and what would act on our first file instead of the script


def interpreter_flags(original_arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the interpreter's flags in ``sys.orig_argv``: what stands before the script, ``-m`` or ``-c``."""
    flags: list[str] = []
    words = iter(original_arguments[1:])
    for word in words:
        if word == "--check-hash-based-pycs":
            flags += [word, next(words, "default")]
            continue
        if not word.startswith("-") or word == "-" or word.startswith("--"):
            break
        kept, needs_value, is_last = _read_cluster(word)
        if kept != "-":
            flags.append(kept)
        if needs_value:
            flags.append(next(words, ""))
        if is_last:
            break
    return tuple(flags)


def _read_cluster(word: str) -> tuple[str, bool, bool]:
    """Split a cluster (``-uWerror``) into what is passed on, whether its value is the next word, whether flags end here."""
    kept = "-"
    for position, letter in enumerate(word[1:], start=1):
        if letter in _ENDS:
            return kept, False, True
        if letter in _WITH_VALUE:
            return kept + word[position:], position == len(word) - 1, False
        if letter not in _NOT_PASSED:
            kept += letter
    return kept, False, False
