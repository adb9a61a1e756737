"""A user's file with marked calls, patched as `pipeprof fix` would, checked by Python's own parser and by `patch`."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeprof.advise.source_edit import Edit, Patch, plan_edit
from pipeprof.model.profile import CallSite, Change, SourceFile

CASES = Path(__file__).with_name("cases")
RENAMED = {"padded_batch": "bucket_by_sequence_length"}  # methods that an edit exchanges for another
MARKS = "§¤"  # right behind the first and the second call that an edit concerns


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes ``before`` and ``after`` the cases of the file that its module names for it.

    A case is ``=== name``, the user's file, ``---`` and the patched file.
    """
    names = getattr(metafunc.module, "CASES", {})
    if metafunc.function.__name__ not in names:
        return
    text = (CASES / names[metafunc.function.__name__]).read_text(encoding="utf-8")
    found = []
    for block in text.removeprefix("=== ").split("\n=== "):
        title, _, body = block.partition("\n")
        before, _, after = f"{body.rstrip()}\n".partition("---\n")
        found.append(pytest.param(before, after, id=title))
    metafunc.parametrize(("before", "after"), found)


def site_of(path: str, text: str, node: ast.Call, **fields: object) -> CallSite:
    """The call site as a capture records it: columns in characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def column(line: int, byte_column: int) -> int:
        return len(lines[line - 1].encode()[:byte_column].decode())

    values = {
        "file": path,
        "line": node.lineno,
        "column": column(node.lineno, node.col_offset),
        "end_line": node.end_lineno,
        "end_column": column(node.end_lineno, node.end_col_offset),
        "function": "<module>",
        "code": "",
    }
    return CallSite(**(values | fields))


def calls_in(text: str) -> list[ast.Call]:
    """All calls, in the order in which they end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sorted(calls, key=lambda node: (node.end_lineno, node.end_col_offset))


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def _end_offset(text: str, call: ast.Call) -> int:
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: call.end_lineno - 1]) + len(
        lines[call.end_lineno - 1].encode()[: call.end_col_offset].decode()
    )


@dataclass
class Workplace:
    """A directory with one user's file in it."""

    root: Path
    name: str = "train.py"

    def marked(self, text: str) -> tuple[str, list[ast.Call]]:
        """The text without its marks, and the marked calls in the order of the marks."""
        ends = []
        for mark in MARKS:
            if mark in text:
                before, _, after = text.partition(mark)
                ends.append(len("".join(char for char in before if char not in MARKS)))
                text = before + after
        calls = {_end_offset(text, call): call for call in calls_in(text)}
        return text, [calls[end] for end in ends]

    def write(self, text: str, encode: Callable[[str], bytes] = str.encode) -> None:
        (self.root / self.name).write_bytes(encode(text))

    def sources(self) -> dict[str, SourceFile]:
        digest = hashlib.sha256((self.root / self.name).read_bytes()).hexdigest()
        return {self.name: SourceFile(path=self.name, sha256=digest)}

    def sites(self, text: str, calls: list[ast.Call]) -> tuple[CallSite, ...]:
        return tuple(site_of(self.name, text, call) for call in calls)

    def plan(self, marked: str, kind: str, **params: object) -> Patch:
        """Write the file, and ask for one edit of the marked calls."""
        text, calls = self.marked(marked)
        self.write(text)
        return plan_edit(
            [Edit(change=Change(kind=kind, params=params), sites=self.sites(text, calls))], self.sources(), root=self.root
        )

    def apply(self, patch: Patch) -> bytes:
        """Apply the diff with `patch -p1`, and return the file."""
        assert patch.diff is not None, patch.reason
        (self.root / "change.diff").write_bytes(patch.diff_bytes)
        done = subprocess.run(
            ["patch", "-p1", "--fuzz=0", "-i", "change.diff"], cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "offset" not in done.stdout
        return (self.root / self.name).read_bytes()

    def check(self, before: str, after: str, kind: str, **params: object) -> None:
        """The edit gives ``after``, by file and by diff, and asking again is refused as already there."""
        patch = self.plan(before, kind, **params)
        text, calls = self.marked(before)

        assert patch.diff is not None, patch.reason
        assert patch.files[self.name].decode() == after
        assert self.apply(patch) == patch.files[self.name]
        compile(after, self.name, "exec")
        again = self.plan_again(text, calls, after, kind, params)
        assert again.diff is None
        assert "already" in again.reason

    def plan_again(self, text: str, calls: list[ast.Call], new: str, kind: str, params: dict[str, object]) -> Patch:
        """Ask for the same edit of the same calls in the new text."""

        def numbered(content: str) -> list[tuple[str, int, ast.Call]]:
            seen: dict[str, int] = {}
            found = []
            for call in calls_in(content):
                seen[_name(call)] = seen.get(_name(call), 0) + 1
                found.append((_name(call), seen[_name(call)], call))
            return found

        ends = [_end_offset(text, call) for call in calls]
        wanted = {_end_offset(text, call): (name, number) for name, number, call in numbered(text)}
        renewed = {(name, number): call for name, number, call in numbered(new)}
        self.write(new)
        keys = [wanted[end] if wanted[end] in renewed else (RENAMED[wanted[end][0]], wanted[end][1]) for end in ends]
        sites = self.sites(new, [renewed[key] for key in keys])
        return plan_edit([Edit(change=Change(kind=kind, params=params), sites=sites)], self.sources(), root=self.root)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)
