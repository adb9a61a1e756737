# ruff: noqa: INP001 - a program
"""Writes docs/rules/ from the rules' own docstrings; with ``--check`` it only says whether that is fresh.

The one idea: a page is never edited by hand, so that what ``pipeprof explain`` prints and what the pages say cannot differ.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeprof.rules.base import SECTIONS, say_safety
from pipeprof.rules.registry import AnyRule, all_rules

OTHERS = {"precision.md", "counterparts.md"}  # written by benchmarks/rules.py, and by hand
FOLDER = Path(__file__).resolve().parents[1] / "docs" / "rules"
_INDEX = """# Rules

Each rule judges the pipeline that TensorFlow ran, on what was measured. `pipeprof explain CODE` prints its page. Made by
`python scripts/rule_pages.py` from the rules' own docstrings. How often each is right is in [precision.md](precision.md); what
TensorFlow's guides, XProf and SageMaker Debugger look for, and which rule does here, in [counterparts.md](counterparts.md).

| code | name | status | what it looks for | safety |
|---|---|---|---|---|
{rows}
"""


def pages() -> dict[str, str]:
    """Return every page by its file's name."""
    rules = sorted(all_rules(), key=lambda rule: rule.code)
    rows = "\n".join(
        f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.status} | {summary(rule)} | {say_safety(rule)} |"
        for rule in rules
    )
    return {"README.md": _INDEX.format(rows=rows)} | {f"{rule.code}.md": page(rule) for rule in rules}


def summary(rule: AnyRule) -> str:
    """Return what a rule looks for, in its first sentence."""
    text = inspect.cleandoc(rule.__doc__ or "").partition(f"{SECTIONS[0]}:\n")[2].partition("\n\n")[0]
    return re.split(r"(?<=[.;])\s", " ".join(text.split()))[0].rstrip(";.") + "."


def page(rule: AnyRule) -> str:
    """Return a rule's page."""
    text = inspect.cleandoc(rule.__doc__ or "")
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    named = dict(zip(parts[1::2], parts[2::2], strict=True))
    body = []
    for name in SECTIONS:
        if name == SECTIONS[-1]:
            body.append(_parameters(rule))
        body.append(f"## {name}\n\n{_prose(named[name])}\n" if name in named else "")
    needs = f"It needs {', '.join(rule.needs)}." if rule.needs else "It needs nothing beyond a run."
    said = say_safety(rule)
    safety = f"{said[0].upper()}{said[1:]}."
    head = f"# {rule.code} {rule.name}\n\n{parts[0].strip()} Status: {rule.status}, since {rule.since}. {needs} {safety}\n"
    return "\n".join([_wrapped(head), *(part for part in body if part)])


def _prose(text: str) -> str:
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(textwrap.fill(" ".join(item.split()), 120) for item in paragraphs)


def _wrapped(text: str) -> str:
    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n{textwrap.fill(rest, 120)}\n"


def _parameters(rule: AnyRule) -> str:
    rows = [_row(item.name, item.default, item.metadata) for item in fields(rule.parameters)]
    if not rows:
        return ""
    head = "| parameter | default | unit | range | |\n|---|---|---|---|---|"
    return "\n".join(["## Parameters\n", head, *rows, ""])


def _row(name: str, default: float, meta: Mapping[str, Any]) -> str:
    return f"| `{name}` | {default:g} | {meta['unit']} | {meta['low']:g} to {meta['high']:g} | {meta['doc']} |"


def main() -> int:
    """Write the pages, or say which are stale."""
    wanted = pages()
    found = {path.name: path.read_text() for path in FOLDER.glob("*.md") if path.name not in OTHERS} if FOLDER.is_dir() else {}
    if "--check" in sys.argv:
        stale = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        sys.stdout.write("".join(f"stale: docs/rules/{name}\n" for name in stale))
        return int(bool(stale))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
