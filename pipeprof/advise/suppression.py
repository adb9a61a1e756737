"""Findings that the user's own comments take back: ``# pipeprof: ignore[PP201] -- reason`` on the call.

The one idea: a comment belongs to the call on whose lines it stands, and one that takes nothing back is told, so that none
outlives its cause. Pure: it is given the text of the files.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pipeprof.model.diagnosis import Finding

_COMMENT = re.compile(r"#\s*pipeprof:\s*ignore\[(?P<codes>[^\]]*)\](\s*--\s*(?P<reason>.*))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppression:
    """One comment."""

    file: str
    line: int
    codes: tuple[str, ...]
    reason: str

    @property
    def place(self) -> str:
        """Where it stands, ``train.py:42``."""
        return f"{PurePath(self.file).name}:{self.line}"

    @property
    def text(self) -> str:
        """What is said where it took something back."""
        return f"by a comment at {self.place}" + (f": {self.reason}" if self.reason else "")

    def covers(self, finding: Finding) -> bool:
        """Say whether it takes a finding back: on a line of the call, with the rule's code or the beginning of it."""
        site = finding.call_site
        if site is None or site.file != self.file or not site.shown_line <= self.line <= site.end_line:
            return False
        return any(finding.code.startswith(code) for code in self.codes)


def find_suppressions(file: str, text: str) -> Iterator[Suppression]:
    """Yield the comments of a file; none of one that is no Python."""
    if "pipeprof:" not in text:
        return
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            found = _COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
            if found is not None:
                codes = tuple(word.strip().upper() for word in found["codes"].split(",") if word.strip())
                yield Suppression(file=file, line=token.start[0], codes=codes, reason=(found["reason"] or "").strip())
    except (tokenize.TokenError, SyntaxError):
        return


class Comments:
    """All comments of a run, and which of them were of use."""

    def __init__(self, comments: Sequence[Suppression]) -> None:
        """Begin with none used."""
        self._comments = tuple(comments)
        self._used: set[Suppression] = set()

    def take_back(self, finding: Finding) -> str:
        """Return by what a finding is taken back, empty where it is not."""
        covering = [item for item in self._comments if item.covers(finding)]
        self._used.update(covering)
        return covering[0].text if covering else ""

    def unused(self, judged: Collection[str], known: Collection[str]) -> tuple[str, ...]:
        """Return a sentence for each comment that took nothing back, though all that it names was judged.

        Args:
            judged: codes of the rules that judged this run.
            known: codes of all rules.
        """
        told = []
        for item in self._comments:
            named = [code for code in known if any(code.startswith(beginning) for beginning in item.codes)]
            if item not in self._used and all(code in judged for code in named):
                why = "takes nothing back" if named else "names no rule"
                told.append(f"{item.place}: # pipeprof: ignore[{', '.join(item.codes)}] {why}")
        return tuple(told)
