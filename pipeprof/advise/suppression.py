"""Findings that the user's own comments take back: ``# pipeprof: ignore[PP201] -- reason`` on the call.

The one idea: a comment belongs to the call on whose lines it stands, and one that takes nothing back is told, so that none
outlives its cause. Pure: it is given the text of the files.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Suppressed:
    """What comments took back."""

    findings: tuple[Finding, ...]  # that are left
    by_code: dict[str, str]  # code of a rule that lost findings -> by what
    unused: tuple[str, ...]  # a sentence for each comment that took nothing back


def suppress(findings: Sequence[Finding], comments: Sequence[Suppression]) -> Suppressed:
    """Take back the findings that comments cover."""
    left: list[Finding] = []
    by_code: dict[str, str] = {}
    used: set[Suppression] = set()
    for finding in findings:
        covering = [item for item in comments if item.covers(finding)]
        used.update(covering)
        if covering:
            by_code.setdefault(finding.code, covering[0].text)
        else:
            left.append(finding)
    unused = tuple(
        f"{item.place}: # pipeprof: ignore[{', '.join(item.codes)}] takes nothing back" for item in comments if item not in used
    )
    return Suppressed(findings=tuple(left), by_code=by_code, unused=unused)
