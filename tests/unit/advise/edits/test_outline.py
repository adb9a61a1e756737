"""The shortened text that is parsed in place of a long file: same positions, same names."""

from __future__ import annotations

import ast

from pipeprof.advise.edits.outline import outline

TEXT = '''\
import tensorflow as tf


@decorated
async def other(a, *, b=tf):
    """Not of interest: ds.map(f)."""
    hidden = [c for c in a]
    return hidden.attribute


class Data(Base):
    size = 8

    @property
    def first(self):
        return self.ds.batch(self.size)  # kept out

    def second(self):
        def inner():
            return 1

        return self.ds.map(inner)


class Other(Base): pass  # one line


if True:
    def branch(): return 2
ds = Data()
'''


def test_only_what_holds_a_call_of_interest_is_left():
    start = TEXT.index("self.ds.map")

    result = outline(TEXT, [(start, start + len("self.ds.map(inner)"))])

    assert [line for line in result.text.split("\n") if line.strip()] == [
        "import tensorflow as tf",
        "def other(): ...",
        "class Data(Base):",
        "    size = 8",
        "    def first(): ...",
        "    def second(self):",
        "        def inner():",
        "            return 1",
        "        return self.ds.map(inner)",
        "class Other: ...",
        "if True:",
        "    def branch(): ...",
        "ds = Data()",
    ]


def test_what_is_left_stands_where_it_stood():
    start = TEXT.index("self.ds.map")

    result = outline(TEXT.replace("\n", "\r\n"), [(start + TEXT[:start].count("\n"), 0)])

    lines = result.text.split("\r\n")
    assert len(lines) == len(TEXT.split("\n"))
    for number, line in enumerate(TEXT.split("\n")):
        assert lines[number] in {line, ""} or lines[number].endswith(": ...")
    assert "        return self.ds.map(inner)" in lines
    ast.parse(result.text)


def test_names_of_what_is_left_out_are_known():
    result = outline(TEXT, [(TEXT.index("Data()"), len(TEXT))])

    assert {"other", "a", "b", "hidden", "c", "inner", "branch", "size"} <= result.hidden_names
    assert not {"attribute", "ds", "map"} & result.hidden_names


def test_a_function_that_binds_names_of_the_module_is_left():
    text = "def setup():\n    global tf\n    import other as tf\n\n\nds = ds.map(f)\n"

    assert outline(text, [(text.index("ds.map"), len(text) - 1)]).text == text
