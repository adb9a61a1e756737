"""What the files of a pipeline are like: how many, how large, where they lie, and what one of them holds.

Runs once a pipeline, on the capture's own thread. It looks at the size of at most 256 files and reads the start of one, never
on remote storage: there only the kind of storage is recorded. A file that cannot be looked at is left out.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeprof.capture.record_look import look_into
from pipeprof.capture.source_files import NamedFiles
from pipeprof.model.profile import SourceFiles

MOST_FILES = 256
_LOOK_BYTES = 1_048_576
_MANY_NAMES = 4096  # beyond it names are taken out by an op of TensorFlow's, not all of them copied
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_REMOTE = re.compile(
    r"^(nfs\d*|cifs|smb\d*|9p|afs|ceph|lustre|glusterfs|beegfs|gpfs|orangefs|fuse\..*(s3|gcs|blob|gluster|ssh|hdfs).*)$"
)

Mounts = Sequence[tuple[str, str]]


def describe_files(found: Sequence[NamedFiles]) -> tuple[SourceFiles, ...]:
    """Return what each stage reads; a stage whose constants are no names of files is left out."""
    mounts = read_mounts()
    return tuple(facts for item in found if (facts := _describe(item, mounts)) is not None)


def filesystem_of(name: str, mounts: Mounts) -> str:
    """Return the scheme or the type of the storage that a file lies on, "local" where it is none that is remote.

    Args:
        name: of the file.
        mounts: places with the types of what is mounted there.
    """
    scheme = _SCHEME.match(name)
    if scheme is not None and scheme.group(1).lower() != "file":
        return scheme.group(1).lower()
    path = str(Path(_plain_path(name)).absolute())
    above = [(place, kind) for place, kind in mounts if path == place or path.startswith(place.rstrip("/") + "/")]
    kind = max(above, key=lambda item: len(item[0]), default=("", ""))[1]
    return kind if _REMOTE.match(kind) else "local"


def read_mounts(table: Path = Path("/proc/mounts")) -> Mounts:
    """Return the places of all mounts with their types, nothing where the system does not tell."""
    try:
        rows = [line.split(" ") for line in table.read_text(errors="replace").splitlines()]
    except OSError:
        return ()
    return tuple((row[1].replace("\\040", " "), row[2]) for row in rows if len(row) > 2)  # noqa: PLR2004 - what, where, type


def _describe(item: NamedFiles, mounts: Mounts) -> SourceFiles | None:
    for tensor in item.names:  # beside the names there may be labels that are texts
        names, files = _take_names(tensor), int(tensor.shape[0])
        if not names:
            continue
        filesystem = filesystem_of(names[0], mounts)
        facts = _local_facts(item, files, names) if filesystem == "local" else _remote_facts(item, files, names, filesystem)
        if facts is not None:
            return facts
    return None


def _remote_facts(item: NamedFiles, files: int, names: Sequence[str], filesystem: str) -> SourceFiles | None:
    """Return what is known of files that are not looked at; texts that lie on a mounted one by accident are no names."""
    if not _SCHEME.match(names[0]) and not Path(names[0]).is_absolute():
        return None
    return SourceFiles(
        stage_id=item.stage_id, format=item.format, files=files, compression=item.compression, filesystem=filesystem
    )


def _local_facts(item: NamedFiles, files: int, names: Sequence[str]) -> SourceFiles | None:
    sizes = {name: size for name in names if (size := _size(name)) is not None}
    if not sizes:
        return None
    fullest = max(sizes, key=lambda name: sizes[name])
    look = look_into(_start_of(fullest), item.format, item.compression)
    return SourceFiles(
        stage_id=item.stage_id,
        format=item.format,
        files=files,
        looked_at=len(sizes),
        bytes=round(sum(sizes.values()) / len(sizes) * files),
        smallest_bytes=min(sizes.values()),
        largest_bytes=max(sizes.values()),
        compression=item.compression,
        record_bytes=look.record_bytes,
        payload_compresses=look.compresses,
        inflate_bytes_per_s=look.inflate_bytes_per_s,
        waste=look.waste,
    )


def _take_names(tensor: Any) -> list[str]:
    """Return at most ``MOST_FILES`` of the names that a tensor holds, spread evenly over it."""
    count = int(tensor.shape[0])
    step = max(1, -(-count // MOST_FILES))
    values = tensor[::step].numpy() if count > _MANY_NAMES else tensor.numpy()[::step]
    return [value.decode(errors="surrogateescape") for value in values if isinstance(value, bytes)]


def _size(name: str) -> int | None:
    """Return the size of a regular file, None for anything else."""
    try:
        facts = Path(_plain_path(name)).stat()
    except (OSError, ValueError):
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def _start_of(name: str) -> bytes:
    try:
        with Path(_plain_path(name)).open("rb") as stream:
            return stream.read(_LOOK_BYTES)
    except (OSError, ValueError):
        return b""


def _plain_path(name: str) -> str:
    return name[len("file://") :] if name.lower().startswith("file://") else name
