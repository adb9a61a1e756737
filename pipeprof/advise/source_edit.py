"""Patches of the user's source: changes of a pipeline, written into the files that made it, as one unified diff.

Edits are made one after the other on the text, at the exact ranges of the calls, and each result is compared with the
syntax tree that must come out; a patch that cannot be proven is refused with its reason. This module writes nothing.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeprof.advise.edits.source_text import Encoding, LineTable, RefusalError, apply_splices, decode, moved_end, moved_start
from pipeprof.model.profile import CallSite, Change, SourceFile

if TYPE_CHECKING:
    import libcst as cst

    from pipeprof.advise.edits.document import Document
    from pipeprof.advise.edits.verify import Rewrite

_SWAPS = dict.fromkeys(("vectorize", "parse_batch", "filter_earlier", "skip_earlier", "shuffle_earlier", "move_cache"), 2)
SITES_PER_EDIT = {
    "prefetch": 1,
    "parallel_calls": 1,
    "parallel_inside": 1,
    "synchronous": 1,
    "interleave": 1,
    "bucket": 1,
    "cache": 1,
    "thread_pool": 1,
    "nondeterministic": 1,
    "enable_autotune": 1,
    "limit_memory": 1,
    "shrink_prefetch": 1,
    "parse_together": 1,  # the other half of parse_batch
    **_SWAPS,
    "cast_later": 2,
    "split_map": 1,
    "split_shuffled_map": 2,  # split_map of a map that a shuffle stands before
    "fuse_decode_crop": 1,  # of what is left of a function that was cut
}
"""Kinds of change that can be written as source, in the order in which they are made, and the calls each needs."""

_CONTEXT_LINES = 3
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\"\\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One change and the calls it concerns.

    ``parallel_calls``, ``interleave`` and ``cache``: the stage's call; ``parallel_inside``: the call inside its function;
    ``prefetch`` and options: the call of the pipeline's last stage; those that change places: the two calls as they stand;
    ``cast_later``: the map's call, and the last of those that hold its elements; ``split_map``: the map's call, or the
    shuffle's and the map's, and the lines of the function's def and of its first draw. The params are those of its kind
    (``num_parallel_calls``, -1 for AUTOTUNE; ``filename``; ``private_threadpool_size``; ``cycle_length``; ``buffer_size``;
    ``ram_budget``), and what the editor must know of it (``unpacks``; ``compared``; ``seeded``).
    """

    change: Change
    sites: tuple[CallSite, ...]
    lines: tuple[int, ...] = ()  # of the same file that the edit concerns besides


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """The edits as a diff and as new files, or the reason why there are none."""

    diff: str | None
    reason: str = ""  # one sentence that names the place; empty where there is a diff
    files: Mapping[str, bytes] = field(default_factory=dict)  # whole new contents, by the path of the call sites
    diff_bytes: bytes = b""  # the diff in the files' own encodings; differs from UTF-8 only for files that do
    stale: bool = False  # there is none since a file is not what it was


class _PlacedRefusalError(Exception):
    """A refusal whose text is a whole sentence."""


class _StaleError(_PlacedRefusalError):
    """A file is not what it was when it was captured."""


@dataclass(slots=True)
class _Pending:
    """An edit on its way through changing texts."""

    edit: Edit
    spans: list[tuple[int, int]]  # of its calls in the text as it is now
    lines: list[int]  # where its lines start


@dataclass(frozen=True, kw_only=True, slots=True)
class _EditedFile:
    path: str
    old: str
    new: str
    encoding: Encoding


def plan_edit(edits: Sequence[Edit], sources: Mapping[str, SourceFile], *, root: Path | None = None) -> Patch:
    """Return one patch with all ``edits``, or the reason why it cannot be made safely.

    Args:
        edits: what to change; edits that are equal count once.
        sources: the files as they were captured, by the path that the call sites name.
        root: the directory to which paths in the diff are relative; the working directory by default.

    Returns:
        A patch that applies with ``patch -p1`` in ``root`` (for files elsewhere: in the directory that holds them all).
        Nothing is written; a reason is given instead of an exception.
    """
    base = Path.cwd() if root is None else root
    wanted = list(dict.fromkeys(_key(edit) for edit in edits))
    unique = [next(edit for edit in edits if _key(edit) == key) for key in wanted]
    if not unique:
        return Patch(diff=None, reason="There is nothing to change.")
    try:
        by_file: dict[str, list[Edit]] = {}
        for edit in unique:
            by_file.setdefault(_check_edit(edit, base).file, []).append(edit)
        files = [_edit_file(path, items, sources.get(path), base) for path, items in by_file.items()]
        return _patch(files, base)
    except _PlacedRefusalError as refusal:
        return Patch(diff=None, reason=str(refusal), stale=isinstance(refusal, _StaleError))


def _key(edit: Edit) -> tuple[object, ...]:
    params = tuple(sorted(edit.change.params.items(), key=str))
    return edit.change.kind, params, edit.lines, tuple(_range(site) for site in edit.sites)


def _range(site: CallSite) -> tuple[object, ...]:
    return site.file, site.line, site.column, site.end_line, site.end_column


def _place(site: CallSite, base: Path) -> str:
    return f"{_shown(site.file, base)}:{site.method_line or site.line}"


def _shown(path: str, base: Path) -> str:
    absolute = (base / path).absolute()
    return absolute.relative_to(base.absolute()).as_posix() if absolute.is_relative_to(base.absolute()) else absolute.name


def _check_edit(edit: Edit, base: Path) -> CallSite:
    """Return the edit's first site, once all its sites can be edited at all."""
    kind = edit.change.kind
    if not edit.sites:
        raise _PlacedRefusalError(f"The change {kind} has no call site.")
    first = edit.sites[0]
    place = _place(first, base)
    if kind not in SITES_PER_EDIT:
        raise _PlacedRefusalError(f"{place}: the change {kind} cannot be written as a patch.")
    if len(edit.sites) != SITES_PER_EDIT[kind]:
        raise _PlacedRefusalError(f"{place}: the change {kind} needs {SITES_PER_EDIT[kind]} call sites, not {len(edit.sites)}.")
    for site in edit.sites:
        if site.file != first.file:
            raise _PlacedRefusalError(f"{place}: the change {kind} spans two files, the other is {_place(site, base)}.")
        if not site.editable:
            raise _PlacedRefusalError(f"{_place(site, base)} is not source that can be edited.")
        if Path(site.file).suffix != ".py":
            raise _PlacedRefusalError(f"{_place(site, base)} is not in a .py file.")
    return first


def _edit_file(path: str, edits: Sequence[Edit], source: SourceFile | None, base: Path) -> _EditedFile:
    content = _read(path, source, base)
    _check_overlaps(edits, base)
    try:
        text, encoding = decode(content)
    except RefusalError as refusal:
        raise _PlacedRefusalError(f"{_shown(path, base)}: {refusal}.") from None
    lines, order = LineTable(text), list(SITES_PER_EDIT)
    ordered = sorted(edits, key=lambda item: order.index(item.change.kind))
    pending = [_Pending(edit, _spans(edit, lines, base), _line_starts(edit, lines, base)) for edit in ordered]
    new = text
    for number, item in enumerate(pending):
        new = _make(new, item, pending[number + 1 :], encoding, base)
    return _EditedFile(path=path, old=text, new=new, encoding=encoding)


def _read(path: str, source: SourceFile | None, base: Path) -> bytes:
    shown = _shown(path, base)
    if source is None:
        raise _PlacedRefusalError(f"{shown} was not recorded when it was captured.")
    try:
        content = (base / path).read_bytes()
    except OSError as error:
        raise _StaleError(f"{shown} cannot be read: {error.strerror}.") from None
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise _StaleError(f"{shown} was changed since it was captured.")
    return content


def _check_overlaps(edits: Sequence[Edit], base: Path) -> None:
    """Refuse edits whose combination has no one meaning: two of one kind on a call, or a cache inside a swapped pair."""
    for number, edit in enumerate(edits):
        for other in edits[number + 1 :]:
            kinds = {edit.change.kind, other.change.kind}
            shared = {_range(site) for site in edit.sites} & {_range(site) for site in other.sites}
            if "cache" in kinds and len(kinds & _SWAPS.keys()) == 1:
                pair = edit if edit.change.kind in _SWAPS else other
                shared &= {_range(pair.sites[0])}
            elif len(kinds) > 1 and not kinds <= _SWAPS.keys():
                continue
            if shared:
                raise _overlap(edit, other, base)


def _overlap(edit: Edit, other: Edit, base: Path) -> _PlacedRefusalError:
    places = _place(edit.sites[0], base), _place(other.sites[0], base)
    return _PlacedRefusalError(f"{places[0]}: {edit.change.kind} overlaps with {other.change.kind} at {places[1]}.")


def _spans(edit: Edit, lines: LineTable, base: Path) -> list[tuple[int, int]]:
    spans = []
    for site in edit.sites:
        start, end = lines.offset(site.line, site.column), lines.offset(site.end_line, site.end_column)
        if start is None or end is None or start >= end:
            raise _PlacedRefusalError(f"{_place(site, base)}: the recorded range is not a call in the file.")
        spans.append((start, end))
    return spans


def _line_starts(edit: Edit, lines: LineTable, base: Path) -> list[int]:
    starts = [lines.offset(line, 0) for line in edit.lines]
    if None in starts:
        raise _PlacedRefusalError(f"{_place(edit.sites[0], base)}: a recorded line is not in the file.")
    return [start for start in starts if start is not None]


def _make(text: str, item: _Pending, later: Sequence[_Pending], encoding: Encoding, base: Path) -> str:
    """Return the text with one edit made and proven, and move the calls of the edits that follow."""
    from pipeprof.advise.edits.document import Document
    from pipeprof.advise.edits.verify import check_rewrite

    try:
        rewrite = _rewrite(Document(text, [*item.spans, *((start, start) for start in item.lines)]), item)
        new = apply_splices(text, rewrite.splices)
        check_rewrite(text, rewrite, new, encoding)
    except RefusalError as refusal:
        raise _PlacedRefusalError(f"{_place(item.edit.sites[0], base)}: {refusal}.") from None
    except RecursionError:
        raise _PlacedRefusalError(f"{_place(item.edit.sites[0], base)}: the code is nested too deeply.") from None
    except Exception as error:  # code that an editor cannot read costs its patch, and not the report
        what = f"the change could not be written ({type(error).__name__})"
        raise _PlacedRefusalError(f"{_place(item.edit.sites[0], base)}: {what}.") from error
    for other in later:
        moved = []
        for old_start, old_end in other.spans:
            start, end = moved_start(old_start, rewrite.splices), moved_end(old_end, rewrite.splices)
            if start is None or end is None:
                raise _overlap(item.edit, other.edit, base)
            moved.append((start, end))
        other.spans = moved
        starts = [moved_start(start, rewrite.splices) for start in other.lines]
        if None in starts:
            raise _overlap(item.edit, other.edit, base)
        other.lines = [start for start in starts if start is not None]
    return new


def _rewrite(document: Document, item: _Pending) -> Rewrite:
    kind = item.edit.change.kind
    editor = importlib.import_module(f"pipeprof.advise.edits.{kind}")  # one of SITES_PER_EDIT
    rewrite: Callable[[Document, Sequence[cst.Call], Mapping[str, object]], Rewrite] = editor.rewrite
    params = {**item.edit.change.params, **({"lines": tuple(item.lines)} if item.lines else {})}
    return rewrite(document, [document.call(start, end) for start, end in item.spans], params)


def _patch(files: Sequence[_EditedFile], base: Path) -> Patch:
    names = _diff_names([file.path for file in files], base)
    texts, contents = [], []
    for file in files:
        if _UNPRINTABLE.search(names[file.path]):
            raise _PlacedRefusalError(f"The path {names[file.path]!r} cannot be written into a diff.")
        text = _unified_diff(file, names[file.path])
        texts.append(text)
        contents.append(text.encode(file.encoding.name))
    new = {file.path: file.encoding.encode(file.new) for file in files}
    return Patch(diff="".join(texts), files=new, diff_bytes=b"".join(contents))


def _diff_names(paths: Sequence[str], base: Path) -> dict[str, str]:
    """Return the paths as the diff shows them: relative to ``base``, or to the directory that holds all the files."""
    absolute = {path: os.path.normpath((base / path).absolute()) for path in paths}
    root = os.path.normpath(base.absolute())
    if any(not Path(path).is_relative_to(root) for path in absolute.values()):
        root = os.path.commonpath([str(Path(path).parent) for path in absolute.values()])
    return {path: Path(value).relative_to(root).as_posix() for path, value in absolute.items()}


def _unified_diff(file: _EditedFile, name: str) -> str:
    mark = "\ufeff" if file.encoding.has_bom else ""
    old, new = ((mark + text).split("\n") for text in (file.old, file.new))
    end = "\t" if " " in name else ""  # ends the name, for readers that would stop at a blank
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}{end}", f"b/{name}{end}", n=_CONTEXT_LINES)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(parts: Sequence[str]) -> list[str]:
    """Return lines with their ends from a text split at line feeds."""
    whole = [f"{part}\n" for part in parts[:-1]]
    return [*whole, parts[-1]] if parts[-1] else whole
