"""Where TensorBoard keeps profiles: finds the files that a user means by a directory.

``<logdir>/plugins/profile/<time>/<host>.xplane.pb``; the logdir, anything above or between, the run's folder and the file
itself are all understood. It opens no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeprof.errors import UserError

PROFILE_FOLDER = Path("plugins") / "profile"
_ENDINGS = (".xplane.pb", ".xplane.pb.gz")
_HINT = "name a TensorBoard log directory with plugins/profile in it, or an .xplane.pb file"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One profile: its files, one for each host, and what else there would have been."""

    files: tuple[Path, ...]  # by name
    other_runs: int = 0  # older ones in the same directory


def find_profile(given: Path) -> Found:
    """Return the newest profile that a path leads to.

    Raises:
        UserError: there is none.
    """
    if not given.exists():
        raise UserError(f"no such file or directory: {given}", _HINT)
    if given.is_file():
        return Found(files=(given,))
    own = _profiles_in(given)
    if own:
        return Found(files=own)
    folders = sorted({path.parent for path in _search(given)}, key=lambda folder: (folder.name, str(folder)))
    if not folders:
        what = "is empty" if not any(given.iterdir()) else "holds no profile (*.xplane.pb)"
        raise UserError(f"{given} {what}", _HINT)
    return Found(files=_profiles_in(folders[-1]), other_runs=len(folders) - 1)


def _profiles_in(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(_ENDINGS)))


def _search(folder: Path) -> list[Path]:
    """Return all profiles below a directory: in its own place where it is a log directory, else wherever they are."""
    near = folder / PROFILE_FOLDER
    top = near if near.is_dir() else folder
    return [path for ending in _ENDINGS for path in top.rglob(f"*{ending}") if path.is_file()]
