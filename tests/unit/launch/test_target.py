"""The user's function is found, checked and called once; every mistake is one line."""

from __future__ import annotations

import sys

import pytest

from pipeprof.errors import UserError
from pipeprof.launch.target import Target, check_arguments, describe, load_function, make_dataset


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _mistake(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train.py", "train.py names no function (name a function in it: train.py:make_dataset)"),
        ("make", "make names no function"),
        (":make", ":make names no function"),
        ("module:", "module: names no function"),
        ("module:a.b", "module:a.b names no function"),
        ("my-module:make", "my-module is no module's name"),
        ("gone.py:make", "no such file: gone.py"),
        ("there/gone.py:make", "there is no directory there"),
    ],
)
def test_a_target_that_names_nothing_is_refused(text, told):
    assert told in _mistake(lambda: Target.parse(text))


def test_a_module_and_a_file_are_told_apart(tmp_path):
    (tmp_path / "data.py").touch()

    assert Target.parse("pkg.data:make").module == "pkg.data"
    assert Target.parse("data.py:make").path is not None
    assert Target.parse("data.py:make").name == "data.make"


def test_the_nearest_file_is_named(tmp_path):
    (tmp_path / "pipeline.py").touch()

    assert "did you mean pipeline.py?" in _mistake(lambda: Target.parse("pipelne.py:make"))


def test_a_file_finds_its_neighbours_and_its_main_block_is_not_run(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pp_neighbour.py").write_text("VALUE = 7\n")
    (tmp_path / "sub" / "pp_data.py").write_text(
        "import pp_neighbour\ndef make(): return pp_neighbour.VALUE\nif __name__ == '__main__': raise SystemExit(1)\n"
    )

    assert load_function(Target.parse("sub/pp_data.py:make"))() == 7


def test_a_module_is_found_in_the_working_directory(tmp_path):
    (tmp_path / "pp_module.py").write_text("def make(): return 5\n")

    assert load_function(Target.parse("pp_module:make"))() == 5


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\nraise KeyError('gone')\n", "raised KeyError: 'gone' (pp_bad.py:2)"),
        ("def make(:\n", "raised SyntaxError"),
        ("import json\njson.loads('{')\n", "(pp_bad.py:2)"),
        ("import nothing_of_this_name\n", "raised ModuleNotFoundError: No module named 'nothing_of_this_name' (pp_bad.py:1)"),
        ("raise SystemExit(3)\n", "ended the program with status 3 (pp_bad.py:1)"),
        ("raise ValueError('a\\nb')\n", "raised ValueError: a b (pp_bad.py:1)"),
    ],
)
@pytest.mark.parametrize("target", ["pp_bad.py:make", "pp_bad:make"])
def test_what_is_raised_at_import_is_named_with_the_users_line(tmp_path, source, told, target):
    (tmp_path / "pp_bad.py").write_text(source)

    assert told in _mistake(lambda: load_function(Target.parse(target)))


def test_a_module_that_does_not_exist_is_told_apart_from_one_that_it_imports():
    assert "no module named pp_gone" in _mistake(lambda: load_function(Target.parse("pp_gone.data:make")))


def test_the_nearest_function_is_named_else_all_of_them(tmp_path):
    (tmp_path / "pp_data.py").write_text("def make_dataset(): pass\ndef other(): pass\nVALUE = [1]\n")

    assert "did you mean pp_data.py:make_dataset?" in _mistake(lambda: load_function(Target.parse("pp_data.py:make_datset")))
    assert "its functions: make_dataset, other" in _mistake(lambda: load_function(Target.parse("pp_data:zzz")))
    assert "VALUE in pp_data.py is a list of 1 (int), no function" in _mistake(
        lambda: load_function(Target.parse("pp_data.py:VALUE"))
    )


def test_missing_and_unknown_arguments_are_named():
    def make(root, size, *, shuffle=True):
        return root, size, shuffle

    assert "make() needs the arguments root, size (give it with --arg root=... --arg size=..." in _mistake(
        lambda: check_arguments(make, "make", {})
    )
    assert "make() needs the argument size" in _mistake(lambda: check_arguments(make, "make", {"root": 1}))
    assert "make() has no argument sise (did you mean size?)" in _mistake(lambda: check_arguments(make, "make", {"sise": 1}))
    check_arguments(make, "make", {"root": 1, "size": 2})
    check_arguments(lambda *a, **k: None, "any", {"whatever": 1})


def test_what_a_call_raises_or_returns_instead_of_a_dataset_is_said():
    def broken():
        raise OSError("no disk")

    assert "make() raised OSError: no disk (test_target.py:" in _mistake(lambda: make_dataset(broken, "make", {}))
    assert "make() returned None, no tf.data.Dataset" in _mistake(lambda: make_dataset(lambda: None, "make", {}))
    assert "from_generator" in _mistake(lambda: make_dataset(lambda: (i for i in ()), "make", {}))


def test_the_function_is_called_once_and_the_first_of_a_tuple_is_its_dataset():
    class DatasetV2:
        __module__ = "tensorflow.python.data.ops.dataset_ops"

    calls = []

    def make(size=1):
        calls.append(size)
        return DatasetV2(), 12

    assert isinstance(make_dataset(make, "make", {"size": 4}), DatasetV2)
    assert calls == [4]


def test_values_are_described_in_a_few_words():
    assert describe((1, "a", 2.0, None)) == "a tuple of 4 (int, str, float, …)"
    assert describe([]) == "a list"
    assert describe(3) == "an int"
