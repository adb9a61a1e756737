"""Command ``fix``: prints the confirmed changes of a run as one patch; ``--apply`` writes them into the files.

The patch goes to standard output, in the files' own encodings, so that it can be piped into ``patch -p1``. Files that changed
since the run are refused, all of them together: half a patch is none. A run of another machine or TensorFlow is patched in no
file, and printed with a word about it. It must not run or try anything.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeprof.cli import choosing
from pipeprof.cli.amounts import parse_allowed
from pipeprof.errors import UserError
from pipeprof.store import DEFAULT_ROOT, find_run

if TYPE_CHECKING:
    from pipeprof.advise.patches import Left
    from pipeprof.model.profile import Profile

_BY_HAND = "by hand, as pipeprof report sketches it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pipeprof fix``."""
    parser.add_argument("run_name", metavar="RUN", nargs="?", help="a run's directory or its name (default: the newest)")
    parser.add_argument(
        "--apply",
        action="store_true",
        help="write the changes into the files, where machine and TensorFlow are those of the run",
    )
    parser.add_argument(
        "--untried", action="store_true", help="also take changes that were not tried, where they cannot change an element"
    )
    parser.add_argument(
        "--allow",
        metavar="KIND",
        type=parse_allowed,
        default=(),
        help="also take confirmed changes that do this to the data: reorders",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=DEFAULT_ROOT, help="where runs are kept (default: %(default)s/)"
    )
    choosing.add_rule_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the patch, or write it.

    Raises:
        UserError: there is nothing to change, or it cannot be changed safely.
    """
    choice = choosing.choice_of(arguments)
    directory = find_run(arguments.run_name, arguments.output)

    from pipeprof.advise.patches import make_patch

    profile = directory.load()
    made = make_patch(profile, choice, untried=arguments.untried, allow=arguments.allow)
    if not made.changes:
        raise _nothing_to_patch(made.left, profile.run.id, untried=arguments.untried)
    if made.patch.diff is None:
        raise UserError(made.patch.reason.rstrip("."), "nothing was written; pipeprof report shows the changes one by one")
    _check_place(profile, is_written=arguments.apply)
    for title in made.changes:
        print(f"pipeprof: {title}", file=sys.stderr)
    for item in made.left:
        told = f"left out: {item.change.title}: {item.reason}" if item.reason else f"{_BY_HAND}: {item.change.title}"
        print(f"pipeprof: {told}", file=sys.stderr)
    if not arguments.apply:
        sys.stdout.buffer.write(made.patch.diff_bytes)
        return 0
    base = Path(profile.run.working_directory or ".")
    _write_all({base / path: content for path, content in made.patch.files.items()})
    sys.stdout.write("".join(f"changed {path}\n" for path in made.patch.files))
    return 0


def _check_place(profile: Profile, *, is_written: bool) -> None:
    """Say that a patch was proven in another place; there it may be read and carried back, but nothing is written here.

    Raises:
        UserError: it was to be written.
    """
    from pipeprof.planning import other_place, refuse_other_place

    if is_written:
        refuse_other_place(profile)
    elif found := other_place(profile):
        print(f"pipeprof: {found}: the patch is proven for there; --apply would write nothing here", file=sys.stderr)


def _nothing_to_patch(left: Sequence[Left], run_id: str, *, untried: bool) -> UserError:
    if left:
        titles = "; ".join(item.change.title for item in left)
        return UserError(f"no patch can hold what was confirmed: {titles}", "pipeprof report sketches it")
    hint = (
        "pipeprof report shows what was found"
        if untried
        else "--untried takes changes that were not tried, where they cannot change an element"
    )
    return UserError(f"no change of {run_id} was confirmed", hint)


def _write_all(files: Mapping[Path, bytes]) -> None:
    """Replace files as a whole, once all of them are written: whoever reads one sees the old or the new one."""
    written: dict[Path, str] = {}
    path = Path()
    try:
        for path, content in files.items():
            real = path.resolve()
            handle, written[real] = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            shutil.copymode(real, written[real])
        for real, name in written.items():
            Path(name).replace(real)
    except OSError as error:
        what = f"cannot write {path}: {error.strerror}"
        raise UserError(what, "give write access to it, or pipe the patch elsewhere") from error
    finally:
        for name in written.values():
            Path(name).unlink(missing_ok=True)
