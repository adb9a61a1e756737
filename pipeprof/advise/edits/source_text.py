r"""Text of a user's file, exactly as Python reads it, and the way back to the same bytes.

Offsets count characters of the decoded text without its byte order mark; lines end where Python's tokenizer ends them
(``\n``, ``\r\n``, ``\r``) and nowhere else. Nothing here knows Python's grammar.
"""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

NEWLINE = re.compile(r"\r\n|\r|\n")


class RefusalError(Exception):
    """An edit that cannot be made safely; the text completes the sentence that starts with the place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Splice:
    """Replace the characters from ``start`` up to ``end`` (exclusive) by ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """How the characters of a file become its bytes."""

    name: str
    has_bom: bool

    def encode(self, text: str) -> bytes:
        """Return the file's bytes for ``text``.

        Raises:
            RefusalError: a character does not exist in the file's encoding.
        """
        try:
            content = text.encode(self.name)
        except UnicodeEncodeError:
            raise RefusalError(f"the change cannot be written in the file's encoding, {self.name}") from None
        return codecs.BOM_UTF8 + content if self.has_bom else content


def decode(content: bytes) -> tuple[str, Encoding]:
    """Return the text of a Python file, by its byte order mark, coding cookie or UTF-8, and its encoding.

    Raises:
        RefusalError: the bytes are not text in the encoding they declare, or would not come back the same.
    """
    has_bom = content.startswith(codecs.BOM_UTF8)
    try:
        name, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        encoding = Encoding(name="utf-8" if has_bom else name, has_bom=has_bom)
        text = content[len(codecs.BOM_UTF8) if has_bom else 0 :].decode(encoding.name)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        raise RefusalError("the file is not text in the encoding that it declares") from None
    if encoding.encode(text) != content:
        raise RefusalError(f"the file's bytes are not preserved by its encoding, {encoding.name}")
    return text, encoding


class LineTable:
    """Positions of one text: (line from 1, column from 0 in characters) to offset and back."""

    def __init__(self, text: str) -> None:
        """Find the lines of ``text``."""
        self.text = text
        self._starts = [0, *(match.end() for match in NEWLINE.finditer(text))]

    def offset(self, line: int, column: int) -> int | None:
        """Return the offset of a position, None where the text has no such position."""
        if not 1 <= line <= len(self._starts) or column < 0:
            return None
        offset = self._starts[line - 1] + column
        return offset if offset <= self._line_end(line) else None

    def byte_offset(self, line: int, column: int) -> int:
        """Return the offset of a position whose column counts UTF-8 bytes, as in Python's ``ast``."""
        start = self._starts[line - 1]
        content = self.text[start : self._line_end(line)].encode("utf-8", "surrogatepass")
        return start + len(content[:column].decode("utf-8", "surrogatepass"))

    def lines(self) -> list[tuple[str, str]]:
        """Return all lines as pairs of text and line end."""
        ends = [*(match.span() for match in NEWLINE.finditer(self.text)), (len(self.text), len(self.text))]
        return [(self.text[start:end], self.text[end:stop]) for start, (end, stop) in zip(self._starts, ends, strict=True)]

    def line_start(self, offset: int) -> int:
        """Return the offset at which the line of ``offset`` starts."""
        return self._starts[bisect_right(self._starts, offset) - 1]

    def _line_end(self, line: int) -> int:
        return self._starts[line] if line < len(self._starts) else len(self.text)


def apply_splices(text: str, splices: Sequence[Splice]) -> str:
    """Return ``text`` with all ``splices`` made; their offsets are those of ``text`` as given.

    Raises:
        RefusalError: two of them overlap.
    """
    pieces: list[str] = []
    done = 0
    for splice in sorted(splices, key=lambda item: (item.start, item.end)):
        if splice.start < done:
            raise RefusalError("two parts of the change overlap")
        pieces += [text[done : splice.start], splice.text]
        done = splice.end
    return "".join([*pieces, text[done:]])


def moved_start(offset: int, splices: Sequence[Splice]) -> int | None:
    """Return where a range that started at ``offset`` starts after ``splices``, None where that text was replaced.

    What is inserted exactly at the start stands before the range.
    """
    shift = 0
    for splice in splices:
        if splice.end <= offset:
            shift += len(splice.text) - (splice.end - splice.start)
        elif splice.start < offset:
            return None
    return offset + shift


def moved_end(offset: int, splices: Sequence[Splice]) -> int | None:
    """Return where a range that ended at ``offset`` ends after ``splices``, None where that text was replaced.

    What is inserted exactly at the end stands behind the range.
    """
    shift = 0
    for splice in splices:
        if splice.end <= offset and splice.start < offset:
            shift += len(splice.text) - (splice.end - splice.start)
        elif splice.start < offset:
            return None
    return offset + shift
