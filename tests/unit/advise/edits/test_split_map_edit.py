"""A random map that is cut in the user's source where it first draws, with a cache between its parts."""

from __future__ import annotations

import ast

import pytest

from pipeprof.advise.source_edit import Edit, Patch, plan_edit
from pipeprof.model.profile import Change

CASES = {"test_the_function_is_cut_and_the_shuffle_comes_behind_the_cache": "split_map.txt"}
HEAD = "import tensorflow as tf\n"
BODY = "    x = tf.sqrt(x)\n    return x + tf.random.normal([])  # draws\n"
MAPPED = "ds = src.map(load)§\n"


def plan(workplace, marked: str, *others: Edit) -> Patch:
    """Ask for the cut at the line that says that it draws."""
    text, calls = workplace.marked(marked)
    workplace.write(text)
    lines = text.split("\n")
    drawn = next(number for number, line in enumerate(lines, 1) if "# draws" in line)
    defined = max(
        node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.lineno < drawn
    )
    sites = workplace.sites(text, calls)
    kind = "split_map" if len(sites) == 1 else "split_shuffled_map"
    edit = Edit(change=Change(kind=kind), sites=sites, lines=(defined, drawn))
    return plan_edit(
        [edit, *(Edit(change=other.change, sites=sites[-1:]) for other in others)], workplace.sources(), root=workplace.root
    )


def test_the_function_is_cut_and_the_shuffle_comes_behind_the_cache(workplace, before, after):
    patch = plan(workplace, before)

    assert patch.diff is not None, patch.reason
    assert patch.files[workplace.name].decode() == after
    assert workplace.apply(patch) == patch.files[workplace.name]


def test_both_maps_get_the_calls_that_another_change_asks_for(workplace):
    parallel = Edit(change=Change(kind="parallel_calls", params={"num_parallel_calls": -1}), sites=())
    ahead = Edit(change=Change(kind="prefetch", params={}), sites=())

    patch = plan(workplace, f"{HEAD}def load(x):\n{BODY}\n{MAPPED}", parallel, ahead)

    assert patch.diff is not None, patch.reason
    chain = patch.files[workplace.name].decode().split("ds = src")[1]
    assert chain == (
        ".map(load_fixed, num_parallel_calls=tf.data.AUTOTUNE).cache()"
        ".map(load_drawn, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)\n"
    )


def load(*lines: str) -> str:
    return HEAD + "def load(x):\n" + "".join(f"    {line}\n" for line in lines) + MAPPED


DRAW = "return x + tf.random.normal([])  # draws"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (load(DRAW), "load draws in its first statement"),
        (load('"""Words."""', DRAW), "load draws in its first statement"),
        (load("x = parts(x)", DRAW), "what x holds where load first draws is not known to be one tensor"),
        (load("x = tf.split(x, 2)", DRAW), "what x holds where load first draws is not known"),
        (load("n = x.shape[0]", "return tf.random.normal([n])  # draws"), "nothing that load makes before its first draw"),
        (load("if tf.size(x) > 2:", "    x = tf.sqrt(x)", DRAW), "x alone is not known to be one tensor"),
        (load("y = x['a']", "x.update(y=3)", "return x, tf.random.normal([])  # draws"), "x.update, before the first draw, is"),
        (load("x = tf.sqrt(x)", "x += 1", "if tf.size(x) > 2:", "    x = x * 2", "elif A:", "    x -= 1", DRAW), ""),
        (load("x = tf.sqrt(x)", "for i in range(4):", "    x = tf.linalg.matmul(x, x)", DRAW), ""),
        (load("x = tf.sqrt(x)", "for i in range(4):", "    x = parts(x)", "    x = tf.sqrt(x)", DRAW), "what x holds"),
        (load("for i in range(4):", "    y = tf.sqrt(x)", "return y + tf.random.normal([])  # draws"), "what y holds"),
        (load("with open(x) as y:", "    z = 3", "return y + tf.random.normal([])  # draws"), "what y holds where load"),
        (load("y = {'a': tf.sqrt(x), 'b': x['b']}", "return y, tf.random.normal([])  # draws"), "y alone is not known to be"),
        (load("y = {'a': tf.sqrt(x)}", "return y, tf.random.normal([])  # draws"), ""),
        (load("y = {'a': tf.sqrt(x), **x}", "return y, tf.random.normal([])  # draws"), "what y holds where load first"),
        (load("y = {'a': [x], 'b': x}", "return y, tf.random.normal([])  # draws"), "what y holds where load first"),
        (load("y = tf.random.stateless_normal([9], [x, 3])", "return y * tf.random.normal([])  # draws"), ""),
        (load("a, b = x", "c, d = tf.sqrt(a), 3", "return b, c, tf.random.normal([])  # draws"), ""),
        (load("a, *b = x", "return a, b, tf.random.normal([])  # draws"), "what b holds where load first draws"),
        (load("a, b = 3, tf.sqrt(x)", "return a, b, tf.random.normal([])  # draws"), "what a holds where load first draws"),
        (load("x = tf.image.random_hue(x, 0.1)", DRAW), "random_hue, before the first draw, may draw, too"),
        (load("y = tf.sqrt(x)", "return x + tf.random.normal([])  # draws"), "nothing that load makes before its first draw"),
        (load("if x > 2:", "    return x", "x = tf.sqrt(x)", DRAW), "load can return before it first draws"),
        (
            load("x = tf.sqrt(x)", "if tf.random.normal([]) > 0:  # draws", "    return x"),
            "the last statement of load does not",
        ),
        (load("global y", "y = x = tf.sqrt(x)", DRAW), "load is more than a plain function of its arguments"),
        (load("x = tf.sqrt(x)", "x = load", DRAW), "load names itself"),
        (HEAD + f"def load(x, y=2):\n{BODY}{MAPPED}", "load takes more than plain arguments"),
        (HEAD + f"@tf.function\ndef load(x):\n{BODY}{MAPPED}", "load is decorated, generic or asynchronous"),
        (HEAD + f"if True:\n  def load(x):\n    x = tf.sqrt(x)\n    {DRAW}\n{MAPPED}", "load is a method, or defined in a"),
        (HEAD + f"def load(x):\n{BODY}load = other(load)\n{MAPPED}", "load is not the name of one function in this file"),
        (HEAD + f"def load(x):\n{BODY}ds = src.map(make(load))§\n", "the function has no name of its own"),
        (HEAD + f"def load(x):\n{BODY}ds = src.filter(load)§\n", ".filter(...) is not a .map(...) of a dataset"),
        (HEAD + f"def load(x):\n{BODY}ds = src.shuffle(9)§\nother(ds)\nds = ds.map(load)¤\n", "do not follow each other"),
        (HEAD + f"def load(x):\n{BODY}ds = src.shuffle(9)§\ntrain = ds.map(load)¤\n", "do not follow each other directly"),
        (HEAD + f"def load(x):\n{BODY}ds = src.shuffle(n := 9)§.map(load)¤\n", "an argument of the shuffle assigns a name"),
        (HEAD + f"def load(x):\n{BODY}ds = (\n    src\n    .shuffle(9)§  # all\n    .map(load)¤\n)\n", ""),
    ],
)
def test_what_cannot_be_cut_safely_is_refused(workplace, text, reason):
    patch = plan(workplace, text)

    assert (patch.diff is None) == bool(reason)
    assert reason in patch.reason


NOISE = "return y + tf.random.normal([])  # draws"
SHUFFLED = f"{HEAD}def load(x):\n{BODY}"
TWO = "a dictionary that may have two names may be changed behind the first draw"
RANDOM = "tf.random.normal([])"
UNKNOWN = "what {} holds where load first draws is not known to be one tensor"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            load("n = 3", "m = n", "n = 4", "y = tf.sqrt(x)", "return y + tf.random.normal([m, n])  # draws"),
            "what m is made of",
        ),
        (load("y = tf.reshape(x, [(n := 3)])", "return y + tf.random.normal([n])  # draws"), "assigns a name"),
        (load("with tf.name_scope('s'):", "    x = tf.stack([x * s for s in A])", DRAW), "x alone is not known to be"),
        (load("x = tf.sqrt(x)", "if A: x = 3", "else:", "    x = tf.abs(x)", DRAW), UNKNOWN.format("x")),
        (load("x = tf.sqrt(x)", "for x in B:", "    x = tf.abs(x)", DRAW), UNKNOWN.format("x")),
        (load("x = y = tf.sqrt(x)", "for _ in B:", "    x = y", "    y = parts(x)", DRAW), UNKNOWN.format("x")),
        (
            load("y = tf.sqrt(x['a'])", "out = x", "out['n'] = 3", "return y, x['n'], tf.random.normal([])  # draws"),
            UNKNOWN.format("x"),
        ),
        (load("y = tf.sqrt(x['a'])", "add(x)", NOISE), "add, before the first draw, is called for its effect"),
        (load("y = tf.sqrt(x['a'])", "_ = add(x)", "return y, x['n'], tf.random.normal([])  # draws"), UNKNOWN.format("x")),
        (load("y = tf.sqrt(x['a'])", "_ = x.pop('n')", "return y, x, tf.random.normal([])  # draws"), UNKNOWN.format("x")),
        (
            load("m = x['m']", "y = tf.sqrt(x['a'])", "m['n'] = 3", "return y, x['m'], tf.random.normal([])  # draws"),
            UNKNOWN.format("x"),
        ),
        (load("y = tf.sqrt(x['a'])", "del x['n']", "return y, x, tf.random.normal([])  # draws"), UNKNOWN.format("x")),
        (load("y = x | OTHER", "return y, tf.random.normal([])  # draws"), UNKNOWN.format("y")),
        (load("y = tf.signal.inverse_stft_window_fn(x)", NOISE), UNKNOWN.format("y")),
        (
            load("y = tf.sqrt(x)", "SEEN.append(y)", "return SEEN[-1] + tf.random.normal([])  # draws"),
            "SEEN.append, before the",
        ),
        (
            load("y = tf.sqrt(x)", "z = tf.random.normal([])  # draws", "return y + z, locals()"),
            "looks its variables up by their",
        ),
        (
            load("y = x['pair']", "z = tf.sqrt(x['a'])", "return y, tf.random.normal([])  # draws"),
            "y alone is not known to be one",
        ),
        (
            SHUFFLED + "def make(ds):\n    ds = ds.shuffle(9)§\n    return ds.map(load)¤, ds.map(g)\n",
            "do not follow each other directly",
        ),
        (SHUFFLED + "ds = src.shuffle(9)§\nds = ds.map(load)¤.concatenate(ds.map(g))\n", "do not follow each other directly"),
        (SHUFFLED + "ds = make(ds).shuffle(len(ds))§\nds = ds.map(load)¤\n", "the shuffle's arguments read ds"),
        (
            SHUFFLED + "def look():\n    return ds\nds = src.shuffle(9)§\nds = ds.map(load)¤\n",
            "ds may be read by another function",
        ),
        (SHUFFLED + "def f():\n    global ds\n    ds = src.shuffle(9)§\n    ds = ds.map(load)¤\n", "ds may be read by another"),
        (load("y = tf.sqrt(x)", "CFG['a'] = y", NOISE), ""),
        (
            load("d = CFG", "y = tf.sqrt(x)", "d['a'] = y", "return y + d['a'] + tf.random.normal([])  # draws"),
            UNKNOWN.format("d"),
        ),
        (
            load("y = tf.sqrt(x)", "d = x.shape", "c = d.pop()", "return y, d, tf.random.normal([])  # draws"),
            "what d is made of is",
        ),
        (load("a = [1, 2]", "y = tf.sqrt(x)", "return y, tf.random.normal(a)  # draws"), UNKNOWN.format("a")),
        (
            load("old = CFG.n", "y = bump(x)", "z = tf.sqrt(x)", "return z + tf.random.normal([old])  # draws"),
            "what old is made of is",
        ),
        (load("n = next(IT).shape", "y = tf.sqrt(x)", "return y + tf.random.normal(n)  # draws"), UNKNOWN.format("n")),
        (load("n = tf.shape(tf.sqrt(x))", "y = tf.sqrt(x)", "return y + tf.random.normal(n)  # draws"), ""),
        (load("y = tf.sqrt(x['a'])", "m = x['m']", "m['n'] = tf.random.normal([])  # draws", "return x, y"), TWO),
        (load("y = tf.sqrt(x['a'])", "out = x", "out['n'] = tf.random.normal([])  # draws", "return x, out, y"), TWO),
        (load("y = tf.sqrt(x['a'])", "out = x", "_ = add(out, tf.random.normal([]))  # draws", "return x, y"), TWO),
        (
            load(
                "y = parts(x)",
                "z = tf.sqrt(x)",
                "if A:",
                "    y = tf.abs(z)",
                "else:",
                "    z = y",
                f"return z + {RANDOM}  # draws",
            ),
            UNKNOWN.format("z"),
        ),
        (
            load(
                "y = parts(x)",
                "z = tf.sqrt(x)",
                "for i in B:",
                "    z = y",
                "    if C: y = tf.abs(x)",
                f"return z + {RANDOM}  # draws",
            ),
            UNKNOWN.format("z"),
        ),
        (
            load("y = tf.sqrt(x)", "z = y + 1", "del y", "return z, sum([y for y in B]), tf.random.normal([])  # draws"),
            UNKNOWN.format("y"),
        ),
        (load("y = tf.sqrt(x['a'])", "z = tf.random.normal([])  # draws", "assert A, x['why']", "return y + z"), ""),
        (load("y = tf.sqrt(x)", "_ = SEEN.append(y)", NOISE), "SEEN.append, before the first draw, is called for its effect"),
        (load("y = FMT % tf.sqrt(x)", NOISE), UNKNOWN.format("y")),
        (SHUFFLED + "ds: tf.data.Dataset = src.shuffle(9)§\nds = ds.map(load)¤\n", "says the type of its name"),
        (
            SHUFFLED
            + "def f(ds):\n    try:\n        ds = ds.shuffle(9)§\n        return ds.map(load)¤\n    finally:\n        g(ds)\n",
            "where the shuffle",
        ),
        (SHUFFLED + "ds = src.map(load, 4, False)§\n", "may give its elements in any order, and a cache would keep"),
    ],
)
def test_what_would_be_another_value_or_another_data_set_is_refused(workplace, text, reason):
    patch = plan(workplace, text)

    assert (patch.diff is None) == bool(reason)
    assert reason in patch.reason


def test_a_function_that_was_not_the_one_traced_is_refused(workplace):
    text, calls = workplace.marked(f"{HEAD}def load(x):\n{BODY}\ndef other(x):\n{BODY}{MAPPED}")
    workplace.write(text)
    sites = workplace.sites(text, calls)

    patch = plan_edit(
        [Edit(change=Change(kind="split_map"), sites=sites, lines=(6, 8))], workplace.sources(), root=workplace.root
    )

    assert patch.diff is None
    assert "load is not the function that was traced" in patch.reason


def test_what_an_editor_cannot_read_costs_its_patch_alone(workplace, monkeypatch):
    def broken(*_given: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr("pipeprof.advise.edits.split_map.cut_function", broken)

    patch = plan(workplace, f"{HEAD}def load(x):\n{BODY}\n{MAPPED}")

    assert patch.diff is None
    assert patch.reason == "train.py:6: the change could not be written (KeyError)."
