"""Patches of real bytes: encodings, line ends, several edits at once, and everything that must be refused."""

from __future__ import annotations

import ast
import codecs
import subprocess
import sys
from importlib import import_module

import pytest

from pipeprof.advise.source_edit import SITES_PER_EDIT, Edit, plan_edit
from pipeprof.model.profile import Change, SourceFile

TF = "import tensorflow as tf\n"


def edit(kind, sites, **params):
    return Edit(change=Change(kind=kind, params=params), sites=sites)


def only_call(workplace, marked):
    text, calls = workplace.marked(marked)
    return text, workplace.sites(text, calls)


@pytest.mark.parametrize(
    ("encode", "text"),
    [
        (lambda text: text.replace("\n", "\r\n").encode(), "# one\nx = 'ü'; ds = ds.map(f)§\n# end\n"),
        (lambda text: codecs.BOM_UTF8 + text.encode(), "ds = ds.map(f)§  # ü\n"),
        (lambda text: text.encode("latin-1"), "# -*- coding: latin-1 -*-\nx = 'ü'; ds = ds.map(f)§  # ö\n"),
        (lambda text: text.encode("cp1251"), "#!/usr/bin/python\n# coding: cp1251\nx = 'жук'; ds = ds.map(f)§\n"),
        (lambda text: text.encode("shift_jis"), "# coding: shift_jis\nx = '表'; ds = ds.map(f)§\n"),
        (str.encode, "x = 1\n\f\ndef make(ds):\n\treturn ds.map(f)§\n\f\n"),
        (str.encode, "x = '''a\x0bb\x1c\u2028c\x85'''; ds = ds.map(f)§\n"),
        (str.encode, "x = '\\d'; ds = ds.map(f)§  \n\t\n   "),
        (lambda text: text.replace("X\n", "X\r\n").encode(), "x = 1  # X\nds = ds.map(f)§\ny = 2  # X\n"),
        (lambda text: text.replace("\n", "\r").encode(), "x = 1\nds = ds.map(f)§\ny = 2\n"),
    ],
    ids=["CRLF", "BOM", "latin-1", "cp1251", "shift_jis", "form feed", "odd blanks", "bad escape", "mixed ends", "CR"],
)
def test_all_other_bytes_stay_as_they_are(workplace, encode, text):
    plain, sites = only_call(workplace, text)
    workplace.write(plain, encode)

    patch = plan_edit([edit("parallel_calls", sites, num_parallel_calls=4)], workplace.sources(), root=workplace.root)

    expected = encode(plain.replace("ds.map(f)", "ds.map(f, num_parallel_calls=4)"))
    assert patch.files["train.py"] == expected
    assert workplace.apply(patch) == expected


def test_new_lines_end_as_the_files_lines_do(workplace):
    text, sites = only_call(workplace, f"{TF}ds = ds.batch(8)§\nmodel.fit(ds)\n")
    workplace.write(text, lambda content: content.replace("\n", "\r\n").encode())

    patch = plan_edit([edit("thread_pool", sites, private_threadpool_size=2)], workplace.sources(), root=workplace.root)

    content = patch.files["train.py"]
    assert content.count(b"\r\n") == content.count(b"\n") == 6
    assert workplace.apply(patch) == content


def test_the_diff_of_a_file_that_is_not_utf_8_has_that_files_bytes(workplace):
    text, sites = only_call(workplace, "# coding: latin-1\nds = ds.map(f)§  # ü\n")
    workplace.write(text, lambda content: content.encode("latin-1"))

    patch = plan_edit([edit("cache", sites)], workplace.sources(), root=workplace.root)

    assert "# ü" in patch.diff
    assert b"# \xfc" in patch.diff_bytes


def test_the_diff_has_git_headers_and_git_applies_it(workplace):
    workplace.name = "my pipes/train it.py"
    (workplace.root / "my pipes").mkdir()
    patch = workplace.plan("ds = ds.map(f)§", "cache")

    (workplace.root / "change.diff").write_text(patch.diff)
    done = subprocess.run(["git", "apply", "change.diff"], cwd=workplace.root, capture_output=True, text=True, check=False)

    assert patch.diff.startswith("--- a/my pipes/train it.py\t\n+++ b/my pipes/train it.py\t\n@@ -1 +1 @@\n")
    assert done.returncode == 0, done.stderr
    assert (workplace.root / workplace.name).read_text() == "ds = ds.map(f).cache()"


def test_several_edits_of_a_file_make_one_diff(workplace):
    text, _ = workplace.marked(
        f"{TF}\n\ndef make(src):\n    ds = (\n        src\n        .map(f)  # decode\n        .batch(8)\n    )\n    return ds\n"
    )
    calls = {node.func.attr: node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    map_site, batch_site = workplace.sites(text, [calls["map"], calls["batch"]])
    workplace.write(text)
    edits = [
        edit("vectorize", (map_site, batch_site)),
        edit("thread_pool", (batch_site,), private_threadpool_size=3),
        edit("cache", (batch_site,)),
        edit("parallel_calls", (map_site,), num_parallel_calls=-1),
    ]

    patches = [plan_edit(order, workplace.sources(), root=workplace.root) for order in (edits, edits[::-1])]

    assert patches[0] == patches[1]
    assert patches[0].diff.count("--- a/") == 1
    assert workplace.apply(patches[0]).decode() == (
        f"{TF}\n\ndef make(src):\n    ds = (\n        src\n        .batch(8)\n"
        "        .map(f, num_parallel_calls=tf.data.AUTOTUNE)  # decode\n        .cache()\n    )\n"
        "    options = tf.data.Options()\n    options.threading.private_threadpool_size = 3\n"
        "    ds = ds.with_options(options)\n    return ds\n"
    )


def test_two_thread_pools_get_two_names(workplace):
    text, sites = only_call(workplace, f"{TF}model.fit(a.batch(8)§, validation_data=b.batch(8)¤)\n")
    workplace.write(text)

    edits = [edit("thread_pool", (site,), private_threadpool_size=number) for number, site in enumerate(sites, 4)]
    patch = plan_edit(edits, workplace.sources(), root=workplace.root)

    assert workplace.apply(patch).decode() == (
        f"{TF}options = tf.data.Options()\noptions.threading.private_threadpool_size = 4\n"
        "options_2 = tf.data.Options()\noptions_2.threading.private_threadpool_size = 5\n"
        "model.fit(a.batch(8).with_options(options), validation_data=b.batch(8).with_options(options_2))\n"
    )


def test_equal_edits_count_once(workplace):
    text, sites = only_call(workplace, "ds = ds.map(f)§\n")
    workplace.write(text)

    patch = plan_edit([edit("cache", sites), edit("cache", sites)], workplace.sources(), root=workplace.root)

    assert workplace.apply(patch) == b"ds = ds.map(f).cache()\n"


def test_two_files_make_one_diff_below_the_directory_that_holds_them(workplace, tmp_path):
    edits, sources = [], {}
    for name in ("a/train.py", "b/train.py"):
        workplace.name = str(tmp_path / name)
        (tmp_path / name).parent.mkdir()
        text, sites = only_call(workplace, f"# {name}\nds = ds.map(f)§\n")
        workplace.write(text)
        edits.append(edit("cache", sites))
        sources |= workplace.sources()

    inside = plan_edit(edits, sources, root=tmp_path)
    outside = plan_edit(edits, sources, root=tmp_path / "elsewhere")
    alone = plan_edit(edits[:1], sources, root=tmp_path / "elsewhere")

    assert inside.diff == outside.diff
    assert [line for line in inside.diff.splitlines() if line.startswith("+++")] == ["+++ b/a/train.py", "+++ b/b/train.py"]
    assert "+++ b/train.py" in alone.diff
    assert sorted(inside.files) == sorted(sources)


def test_a_range_that_starts_at_the_method_name_is_the_whole_call(workplace):
    text, (site,) = only_call(workplace, "ds = (src\n      .map(f)§\n      .batch(8))\n")
    workplace.write(text)
    site = type(site)(**{name: getattr(site, name) for name in site.__slots__} | {"line": 2, "column": 7})

    patch = plan_edit([edit("cache", (site,))], workplace.sources(), root=workplace.root)

    assert workplace.apply(patch).decode() == "ds = (src\n      .map(f)\n      .cache()\n      .batch(8))\n"


def changed(site, **values):
    return type(site)(**{name: getattr(site, name) for name in site.__slots__} | values)


def refusal(workplace, marked, alter=lambda site: site, encode=str.encode):
    text, sites = only_call(workplace, marked)
    workplace.write(text, encode)
    patch = plan_edit([edit("cache", tuple(alter(site) for site in sites))], workplace.sources(), root=workplace.root)
    assert patch.diff is None
    assert patch.diff_bytes == b""
    assert not patch.files
    return patch.reason


@pytest.mark.parametrize(
    ("marked", "alter", "reason"),
    [
        ("ds = ds.map(f)§\n", {"editable": False}, "train.py:1 is not source that can be edited."),
        ("ds = ds.map(f)§\n", {"column": 4}, "train.py:1: the recorded range is not a call in the file."),
        ("ds = ds.map(f)§\n", {"end_column": 13}, "train.py:1: the recorded range is not a call in the file."),
        ("ds = ds.map(f)§\n", {"end_column": 99}, "train.py:1: the recorded range is not a call in the file."),
        ("ds = ds.map(f)§\n", {"line": 7, "end_line": 7}, "train.py:7: the recorded range is not a call in the file."),
        ("ds = ds.map(f)§\n", {"line": 0}, "train.py:0: the recorded range is not a call in the file."),
        (
            "ds = (src\n.map(f)§)\n",
            {"method_line": 2, "column": 0},
            "train.py:2: the recorded range is not a call in the file.",
        ),
    ],
)
def test_a_range_that_is_not_the_call_is_refused(workplace, marked, alter, reason):
    if alter == {"column": 4}:
        alter = {"column": 3}

    assert refusal(workplace, marked, lambda site: changed(site, **alter)) == reason


def test_a_call_inside_an_f_string_is_refused(workplace):
    text = "x = f'{ds.map(f)}'\n"
    workplace.write(text)
    _, (site,) = only_call(workplace, "x =    ds.map(f)§\n")

    patch = plan_edit([edit("cache", (site,))], workplace.sources(), root=workplace.root)

    assert patch.reason == "train.py:1: the call is inside an f-string."


def test_a_file_that_changed_since_is_refused(workplace):
    text, sites = only_call(workplace, "ds = ds.map(f)§\n")
    workplace.write(text)
    sources = workplace.sources()
    workplace.write(f"{text}# more\n")

    patch = plan_edit([edit("cache", sites)], sources, root=workplace.root)

    assert patch.diff is None
    assert patch.reason == "train.py was changed since it was captured."


def test_a_file_that_is_gone_is_refused(workplace):
    text, sites = only_call(workplace, "ds = ds.map(f)§\n")
    workplace.write(text)
    sources = workplace.sources()
    (workplace.root / "train.py").unlink()

    patch = plan_edit([edit("cache", sites)], sources, root=workplace.root)

    assert patch.reason == "train.py cannot be read: No such file or directory."


def test_a_file_that_was_not_recorded_is_refused(workplace):
    text, sites = only_call(workplace, "ds = ds.map(f)§\n")
    workplace.write(text)

    assert (
        plan_edit([edit("cache", sites)], {}, root=workplace.root).reason == "train.py was not recorded when it was captured."
    )


def test_a_notebook_cell_is_refused(workplace):
    workplace.name = "ipykernel_1/cell.txt"
    _, sites = only_call(workplace, "ds = ds.map(f)§\n")

    reason = plan_edit([edit("cache", sites)], {}, root=workplace.root).reason

    assert reason == "ipykernel_1/cell.txt:1 is not in a .py file."


@pytest.mark.parametrize(
    ("content", "position", "reason"),
    [
        (b"ds = ds.map(f)\n# \xff\n", (1, 5, 14), "train.py: the file is not text in the encoding that it declares."),
        (
            b"# coding: klingon\nds = ds.map(f)\n",
            (2, 5, 14),
            "train.py: the file is not text in the encoding that it declares.",
        ),
        (b"ds = ds.map(f)\nelse:\n", (1, 5, 14), "train.py:1: the text does not parse as Python."),
        (b"ds = ds.map(f)\n\0\n", (1, 5, 14), "train.py:1: the text does not parse as Python."),
        (b"if a:\n\tx = 1\n\f\tds = ds.map(f)\n", (3, 7, 16), "train.py:3: the file's layout cannot be kept"),
    ],
)
def test_a_file_that_cannot_be_kept_is_refused(workplace, content, position, reason):
    _, (site,) = only_call(workplace, "ds = ds.map(f)§\n")
    line, start, end = position
    site = changed(site, line=line, end_line=line, column=start, end_column=end)
    (workplace.root / "train.py").write_bytes(content)

    patch = plan_edit([edit("cache", (site,))], workplace.sources(), root=workplace.root)

    assert patch.diff is None
    assert patch.reason.startswith(reason)


def test_edits_that_overlap_are_refused(workplace):
    text, (map_site, batch_site) = only_call(workplace, "ds = ds.map(f)§.batch(8)¤\n")
    workplace.write(text)

    def reason(*edits):
        patch = plan_edit(edits, workplace.sources(), root=workplace.root)
        assert patch.diff is None
        return patch.reason

    two, four = (edit("parallel_calls", (map_site,), num_parallel_calls=number) for number in (2, 4))
    assert reason(two, four) == "train.py:1: parallel_calls overlaps with parallel_calls at train.py:1."
    pair = edit("vectorize", (map_site, batch_site))
    assert reason(pair, edit("cache", (map_site,))) == "train.py:1: vectorize overlaps with cache at train.py:1."


def test_a_pair_inside_the_function_of_a_pair_overlaps(workplace):
    marked = "ds = ds.map(lambda x: x.map(f)§.batch(2)¤).batch(8)\n"
    text, inner = only_call(workplace, marked)
    _, outer = only_call(workplace, "ds = ds.map(lambda x: x.map(f).batch(2))§.batch(8)¤\n")
    workplace.write(text)

    patch = plan_edit([edit("vectorize", outer), edit("vectorize", inner)], workplace.sources(), root=workplace.root)

    assert patch.reason == "train.py:1: vectorize overlaps with vectorize at train.py:1."


def test_one_refused_edit_refuses_the_patch(workplace):
    text, (map_site, other) = only_call(workplace, "ds = ds.map(f)§\nxs = load()¤\n")
    workplace.write(text)

    patch = plan_edit([edit("cache", (map_site,)), edit("cache", (other,))], workplace.sources(), root=workplace.root)

    assert patch.reason == "train.py:2: load(...) is not known to return one tf.data.Dataset."
    assert not patch.files


def test_what_is_no_edit_is_refused(workplace):
    _, (site,) = only_call(workplace, "ds = ds.map(f)§\n")
    other = changed(site, file="other.py")

    def reason(*edits):
        return plan_edit(edits, {}, root=workplace.root).reason

    assert reason() == "There is nothing to change."
    assert reason(edit("cache", ())) == "The change cache has no call site."
    assert reason(edit("shard", (site,))) == "train.py:1: the change shard cannot be written as a patch."
    assert (
        reason(edit("vectorize", (site, other))) == "train.py:1: the change vectorize spans two files, the other is other.py:1."
    )


def test_a_path_that_a_diff_cannot_hold_is_refused(workplace):
    workplace.name = "a\nb.py"

    patch = workplace.plan("ds = ds.map(f)§\n", "cache")

    assert patch.diff is None
    assert patch.reason == "The path 'a\\nb.py' cannot be written into a diff."


def test_a_long_chain_is_patched(workplace):
    chain = ".map(f)" * 60

    patch = workplace.plan(f"ds = ds{chain}§\n", "cache")

    assert workplace.apply(patch).decode() == f"ds = ds{chain}.cache()\n"


def test_code_that_is_nested_too_deeply_is_refused(workplace):
    deep = f"x = {'-' * 600}1\n"
    _, (site,) = only_call(workplace, "ds = ds.map(f)§\n")
    workplace.write(f"ds = ds.map(f)\n{deep}")

    patch = plan_edit([edit("cache", (site,))], workplace.sources(), root=workplace.root)

    assert patch.diff is None
    assert patch.reason.startswith("train.py")


def test_every_kind_of_edit_has_an_editor():
    for kind in SITES_PER_EDIT:
        assert callable(import_module(f"pipeprof.advise.edits.{kind}").rewrite)


def test_libcst_is_not_imported_before_a_patch_is_planned():
    code = "import sys, pipeprof.advise.source_edit; sys.exit('libcst' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_recorded_file_is_found_by_the_path_of_its_call_sites(workplace, tmp_path):
    workplace.name = str(tmp_path / "train.py")
    text, sites = only_call(workplace, "ds = ds.map(f)§\n")
    workplace.write(text)
    sources = {workplace.name: SourceFile(path="elsewhere", sha256=workplace.sources()[workplace.name].sha256)}

    patch = plan_edit([edit("cache", sites)], sources, root=tmp_path)

    assert list(patch.files) == [workplace.name]
    assert "+++ b/train.py" in patch.diff
