"""Entry point of the command line: finds the command, imports it alone, and turns a user's mistake into one line.

``pipeprof --help`` imports nothing but argparse. A command is a module of this package with ``add_arguments(parser)`` and
``run(arguments) -> int``; one that has words of its own after the options also has ``split(words)``. It must not know what the
commands do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from pipeprof import __version__
from pipeprof.errors import UserError

COMMANDS = {
    "run": "run a script, find out why it waits for its input, and try the fixes",
    "analyze": "diagnose a profile that TensorFlow's profiler wrote",
    "bench": "measure a pipeline alone, without training: what each stage costs",
    "report": "show the report of a run again",
    "confirm": "run a script again with its confirmed changes and without, and say whether training got faster",
    "fix": "print the confirmed changes of a run as a patch, or apply them",
    "predict": "predict whether a run's input keeps up on another machine",
    "history": "list the runs, and how good their predictions were",
    "rules": "list the rules",
    "explain": "explain a rule",
}
USER_MISTAKE = 2
_SIGPIPE_STATUS = 141  # as a shell reports a program that its reader left


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are user errors, one line each."""

    def error(self, message: str) -> NoReturn:
        """Raise a UserError with argparse's message."""
        raise UserError(message, f"see {self.prog} --help")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the status to end with; -N means: by signal N.

    Raises:
        SystemExit: by argparse, after printing a help text.
    """
    try:
        return _dispatch(list(arguments))
    except UserError as mistake:
        hint = f" \N{EM DASH} {mistake.hint}" if mistake.hint else ""
        _say(f"pipeprof: {mistake.what}{hint}")
        return USER_MISTAKE


def run_and_exit() -> NoReturn:
    """Run the command of ``sys.argv`` and end the process with its status."""
    try:
        status = main(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # pipeprof report | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = _SIGPIPE_STATUS
    if status < 0:
        from pipeprof.launch.supervisor import end_by_signal

        end_by_signal(-status)
    sys.exit(status)


def _dispatch(words: list[str]) -> int:
    if not words:
        _parser().print_help(sys.stderr)
        return USER_MISTAKE
    name = words[0]
    if name.startswith("-"):
        _parser().parse_args(words)
    if name not in COMMANDS:
        raise _unknown(name)
    command = import_module(f"pipeprof.cli.{name}")
    parser = Parser(prog=f"pipeprof {name}", description=f"{COMMANDS[name].capitalize()}.", allow_abbrev=False)
    command.add_arguments(parser)
    options, rest = command.split(words[1:]) if hasattr(command, "split") else (words[1:], None)
    parsed = parser.parse_args(options)
    if rest is not None:
        parsed.command = tuple(rest)
    status: int = command.run(parsed)
    return status


def _parser() -> Parser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="pipeprof",
        usage="pipeprof COMMAND [options]",
        description="Finds out why a TensorFlow training loop waits for its tf.data input, and proves the fix.",
        epilog=f"commands:\n{listing}\n\npipeprof COMMAND --help shows a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pipeprof {__version__}")
    return parser


def _unknown(name: str) -> UserError:
    if name.endswith(".py") or Path(name).is_file():
        return UserError(f"no such command: {name}", f"to run a script: pipeprof run {name}")
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    return UserError(f"no such command: {name}", f"did you mean: pipeprof {close[0]}" if close else "see pipeprof --help")


def _say(line: str) -> None:
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(line + "\n")
    except UnicodeEncodeError:
        sys.stderr.write(line.encode("ascii", "replace").decode() + "\n")
