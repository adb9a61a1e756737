"""Call sites: the exact range of the user's call, in chains, helpers, packages and code without a file."""

from __future__ import annotations

import hashlib
import sysconfig
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from pipeprof.capture import call_sites
from pipeprof.capture.call_sites import Origin, call_on_line, capture_origin, keras_role, kind_of_file, resolve, source_digest
from pipeprof.model.profile import CallSite


class Chain:
    """Notes where each of its methods is called."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []

    def note(self, _argument: Any = None) -> Chain:
        self.origins.append(capture_origin(skip=2))
        return self

    map = batch = shuffle = note


def run(path: Path, source: str, **names: Any) -> Chain:
    """Run a script in a file of its own, with a chain named ``ds``."""
    path.write_text(source, encoding="utf-8")
    chain = Chain()
    exec(compile(source, str(path), "exec"), {"ds": chain, "__name__": "script", **names})
    return chain


def sites(chain: Chain) -> list[CallSite]:
    found = [resolve(origin)[0] for origin in chain.origins]
    assert None not in found
    return [site for site in found if site is not None]


def cut(source: str, site: CallSite) -> str:
    """Cut a site's range out of a source, with plain Python."""
    lines = source.split("\n")[site.line - 1 : site.end_line]
    lines[-1] = lines[-1][: site.end_column]
    lines[0] = lines[0][site.column :]
    return "\n".join(lines)


def test_calls_chained_on_one_line_have_ranges_of_their_own(tmp_path: Path) -> None:
    source = "x = ds.map(1).batch(2).shuffle(3)\n"

    found = sites(run(tmp_path / "script.py", source))

    assert [site.code for site in found] == ["ds.map(1)", "ds.map(1).batch(2)", "ds.map(1).batch(2).shuffle(3)"]
    assert [cut(source, site) for site in found] == [site.code for site in found]
    assert all(site.editable and site.function == "<module>" for site in found)


def test_in_a_chain_over_several_lines_each_call_has_the_line_of_its_method(tmp_path: Path) -> None:
    chained = "ds.map(\n            1,\n        )\n        .batch(2)\n        .shuffle(3)"
    source = f"def build():\n    return (\n        {chained}\n    )\nbuild()\n"

    found = sites(run(tmp_path / "script.py", source))

    assert [site.shown_line for site in found] == [3, 6, 7]
    assert [site.line for site in found] == [3, 3, 3]
    assert [cut(source, site) for site in found] == [site.code for site in found]
    assert {site.function for site in found} == {"build"}


@pytest.mark.parametrize(
    ("source", "line", "code"),
    [
        ("def read(f):\n    return (\n        rows\n        .map(decode)\n    )\n", 3, "rows\n        .map(decode)"),
        ("def read(f):\n    return (\n        rows\n        .map(decode)\n    )\n", 4, "rows\n        .map(decode)"),
        ("x = ds.flat_map(lambda f: rows(f).map(g)).map(h)\n", 1, "rows(f).map(g)"),
        ("x = ds.flat_map(lambda f: rows(f).map(g).map(k))\n", 1, None),
        ("x = ds.flat_map(read)\n", 1, None),
        ("def read(f):\n    return zip((\n        ds.map(a),\n        ds.map(a, num_parallel_calls=2)))\n", 4, "ds.map(a)"),
        ("def read(f):\n    return ds.map(a).concatenate(\n        ds.map(b))\n", 3, None),
    ],
)
def test_the_call_of_a_line_is_found_where_it_is_the_only_one(tmp_path: Path, source: str, line: int, code: str | None) -> None:
    path = tmp_path / "script.py"
    path.write_text(source)
    at = source.find("ds.flat_map")
    outer = CallSite(file=str(path), line=1, column=4, end_line=1, end_column=len(source) - 1, function="", code="")

    found = call_on_line(str(path), line, "map", outer if at >= 0 else None)

    assert (None if found is None else cut(source, found)) == code


def test_columns_are_characters_also_after_letters_of_several_bytes(tmp_path: Path) -> None:
    source = "x = (lambda é, ß: é)(ds, 1).map('日本').batch(2)\n"

    found = sites(run(tmp_path / "script.py", source))

    assert [cut(source, site) for site in found] == [site.code for site in found]
    assert found[1].code.endswith(".batch(2)")


def test_a_declared_encoding_is_read_as_declared(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    source = "# -*- coding: latin-1 -*-\nname = 'é'; ds.map(1)\n"
    chain = run(path, source)
    path.write_bytes(source.encode("latin-1"))

    assert sites(chain)[0].code == "ds.map(1)"


def test_a_helper_in_two_places_has_one_site_and_two_stacks(tmp_path: Path) -> None:
    source = "def helper():\n    ds.map(1)\nhelper()\nhelper()\n"

    chain = run(tmp_path / "script.py", source)

    first, second = chain.origins
    assert resolve(first) == resolve(second)
    assert first.stack != second.stack
    assert [entry[0] for entry in first.stack[:2]] == [str(tmp_path / "script.py")] * 2


def test_a_call_by_a_package_shows_both_and_is_not_editable(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "somebody"
    package.mkdir(parents=True)
    library: dict[str, Any] = {}
    text = "def build(ds):\n    return ds.map(1)\n"
    (package / "data.py").write_text(text)
    exec(compile(text, str(package / "data.py"), "exec"), library)

    chain = run(tmp_path / "script.py", "build(ds)\n", build=library["build"])
    user, inside = resolve(chain.origins[0])

    assert user is not None
    assert inside is not None
    assert (user.code, user.editable) == ("build(ds)", False)
    assert (inside.code, inside.editable, inside.function) == ("ds.map(1)", False, "build")
    assert not chain.origins[0].direct


def test_frames_of_tensorflow_are_looked_through(tmp_path: Path) -> None:
    inside: dict[str, Any] = {}
    path = str(tmp_path / "site-packages" / "tensorflow" / "python" / "data.py")
    exec(compile("def build(ds):\n    return ds.map(1)\n", path, "exec"), inside)

    chain = run(tmp_path / "script.py", "build(ds)\n", build=inside["build"])
    user, library = resolve(chain.origins[0])

    assert user is not None
    assert (user.code, user.editable, library) == ("build(ds)", True, None)


def test_code_without_a_file_has_a_line_and_is_not_editable() -> None:
    chain = Chain()
    exec(compile("\n\nds.map(1)\n", "<string>", "exec"), {"ds": chain})

    found = sites(chain)[0]

    assert (found.file, found.line, found.code, found.editable) == ("<string>", 3, "", False)


def test_a_source_that_changed_since_it_ran_is_not_editable(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    chain = run(path, "ds.map(1)\n")
    path.write_text("\n\nsomething.else_(entirely)\n")

    assert [site.editable for site in sites(chain)] == [False]


def test_the_text_of_a_very_long_call_is_cut_and_its_range_is_not(tmp_path: Path) -> None:
    source = f"x = ds.map({'1 + ' * 1000}1).batch(2)\n"

    found = sites(run(tmp_path / "script.py", source))

    assert found[1].code == cut(source, found[1])[:2000]
    assert (found[1].column, found[1].end_column) == (4, len(source) - 1)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/user/train.py", "user"),
        ("/home/user/pipeprof_experiments/train.py", "user"),
        ("<stdin>", "user"),
        ("/env/lib/python3.11/site-packages/somebody/data.py", "library"),
        ("/usr/lib/python3/dist-packages/somebody/data.py", "library"),
        ("/env/lib/python3.11/site-packages/tensorflow/python/ops.py", "internal"),
        ("/env/lib/python3.11/site-packages/keras/src/trainer.py", "internal"),
        ("/tmp/__autograph_generated_fileabc.py", "internal"),
        ("<frozen importlib._bootstrap>", "internal"),
        (f"{sysconfig.get_path('stdlib')}/threading.py", "internal"),
        (str(Path(call_sites.__file__).parent / "session.py"), "internal"),
    ],
)
def test_files_are_the_users_a_packages_or_in_between(path: str, kind: str) -> None:
    assert kind_of_file(path) == kind


def call_from(path: str, function: str, inner: Any) -> Any:
    """Call ``inner`` from a function of this name in a file of this path."""
    names: dict[str, Any] = {"inner": inner}
    code: CodeType = compile(f"def {function}():\n    return inner()\n", path, "exec")
    exec(code, names)
    return names[function]


def test_the_role_is_that_of_the_innermost_loop_of_keras() -> None:
    trainer = "/env/site-packages/keras/src/trainers/trainer.py"

    assert call_from(trainer, "fit", keras_role)() == "fit"
    assert call_from(trainer, "evaluate", keras_role)() == "evaluate"
    assert call_from(trainer, "fit", call_from(trainer, "evaluate", keras_role))() == "validation"
    assert call_from(trainer, "predict", keras_role)() == "predict"


def test_a_users_own_function_named_fit_is_no_loop_of_keras() -> None:
    assert call_from("/home/user/train.py", "fit", keras_role)() == ""


def test_the_digest_of_a_source_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(b"x = 1\n")

    found = source_digest(str(path))

    assert found is not None
    assert (found.path, found.sha256) == (str(path), hashlib.sha256(b"x = 1\n").hexdigest())
    assert source_digest("<stdin>") is None
