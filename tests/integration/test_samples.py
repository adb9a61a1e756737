"""The sample pipelines: their data is whole or absent, their scripts run, and a cured twin feeds what the slow one feeds."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from pipeprof.advise.changes import KINDS
from pipeprof.model.diagnosis import InputBound, Severity
from pipeprof.model.profile import ElementsState
from pipeprof.rules.registry import all_rules

ROOT = Path(__file__).parents[2] / "sample_pipelines"
SAMPLES = sorted(path.parent.name for path in ROOT.glob("*/train.py"))
WITH_TWIN = sorted(path.parent.name for path in ROOT.glob("*/fixed.py"))
MAKER = ROOT / "make_data.py"
PICTURES = 64  # two batches of 32, and so on: no sample drops a remainder, so that epochs can be compared whole
KEYS = {"input_bound", "bottleneck_op", "must_fire", "must_not_fire", "highest_severity", "confirmed_change", "twin"}

pytestmark = pytest.mark.tf

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def maker():
    """The maker as a module; it imports its neighbours as a script does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield load_module(MAKER, "make_data", patch)


@pytest.fixture(scope="module")
def data(tmp_path_factory, maker):
    target = tmp_path_factory.mktemp("samples") / "data"
    assert maker.make_data(target, maker.Recipe(pictures=PICTURES))
    return target


def run_maker(*arguments):
    return subprocess.run(
        [sys.executable, MAKER, *map(str, arguments)], capture_output=True, text=True, timeout=250, check=False
    )


def expected(sample):
    return tomllib.loads((ROOT / sample / "expected.toml").read_text())


def load_module(path, name, patch):
    """Import a file under a name that others can import it by, for as long as the patch lasts."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    patch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def load_pair(sample, monkeypatch):
    train = load_module(ROOT / sample / "train.py", "train", monkeypatch)
    return train, load_module(ROOT / sample / "fixed.py", "fixed", monkeypatch)


def read_epoch(dataset):
    """Return the epoch's elements one by one (not in batches), each as a tuple of bytes; one for each component."""
    elements = []
    for batch in dataset.as_numpy_iterator():
        elements += zip(*([row.tobytes() for row in component] for component in batch), strict=True)
    return elements


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sample", SAMPLES)
def test_expectations_are_complete_and_name_only_what_exists(sample):
    wanted = expected(sample)
    codes = {rule.code for rule in all_rules()}

    assert set(wanted) == KEYS
    assert set(wanted["twin"]) == {"script", "elements", "gone"}
    assert set(wanted["must_fire"]) | set(wanted["must_not_fire"]) <= codes
    assert not set(wanted["must_fire"]) & set(wanted["must_not_fire"])
    assert set(wanted["twin"]["gone"]) <= set(wanted["must_fire"])
    assert wanted["confirmed_change"] in {"", *KINDS}
    assert InputBound(wanted["input_bound"]) is not InputBound.UNKNOWN
    assert Severity(wanted["highest_severity"])
    assert ElementsState(wanted["twin"]["elements"]) not in {ElementsState.DIFFERENT, ElementsState.UNCHECKED}
    assert (ROOT / sample / wanted["twin"]["script"]).is_file()


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_expected_bottleneck_is_a_stage_of_the_slow_script(sample):
    op = expected(sample)["bottleneck_op"]
    tree = ast.parse((ROOT / sample / "train.py").read_text())

    called = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}

    assert op in called or (op == "" and expected(sample)["input_bound"] == "not")


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_docstring_tells_symptom_and_cure_and_how_to_run_it(sample):
    text = ast.get_docstring(ast.parse((ROOT / sample / "train.py").read_text()))

    assert f"python sample_pipelines/{sample}/train.py" in text
    assert sample == "healthy" or ("Symptom:" in text and "Cause:" in text and "Cure:" in text)


@pytest.mark.parametrize(
    ("sample", "script"), [(name, "train.py") for name in SAMPLES] + [(name, "fixed.py") for name in WITH_TWIN]
)
def test_the_script_trains_natively(sample, script, data):
    command = [sys.executable, ROOT / sample / script, "--data", data, "--epochs", "2", "--steps", "1"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("loss") == 2, "one line for each epoch"
    assert done.stdout.splitlines()[-1].endswith(" s")


@pytest.mark.parametrize("sample", WITH_TWIN)
def test_the_twin_feeds_the_same_elements(sample, data, monkeypatch):
    train, fixed = load_pair(sample, monkeypatch)
    slow, cured = train.make_dataset(data), fixed.make_dataset(data)
    relation = ElementsState(expected(sample)["twin"]["elements"])

    slow_elements, cured_elements = read_epoch(slow), read_epoch(cured)

    assert slow.element_spec == cured.element_spec
    assert slow_elements
    if relation is ElementsState.IDENTICAL:
        assert slow_elements == cured_elements
    elif relation is ElementsState.REORDERED:
        assert Counter(slow_elements) == Counter(cured_elements)
    else:
        labels = [Counter(element[-1] for element in elements) for elements in (slow_elements, cured_elements)]
        assert labels[0] == labels[1]
        assert not set(slow_elements) & set(cured_elements), "random pictures differ from epoch to epoch"


def test_the_cached_twin_still_shuffles_every_epoch(data, monkeypatch):
    _, fixed = load_pair("cacheable_decode", monkeypatch)
    dataset = fixed.make_dataset(data)

    first, second = read_epoch(dataset), read_epoch(dataset)

    assert Counter(first) == Counter(second)
    assert first != second


def test_a_script_without_data_says_how_to_make_them(tmp_path):
    command = [sys.executable, ROOT / SAMPLES[0] / "train.py", "--data", tmp_path]

    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("make it with python sample_pipelines/make_data.py")


def test_the_same_seed_makes_the_same_data_and_another_seed_other_data(data, maker, tmp_path):
    maker.make_data(tmp_path / "same", maker.Recipe(pictures=PICTURES))
    maker.make_data(tmp_path / "other", maker.Recipe(pictures=PICTURES, seed=8))

    assert content(tmp_path / "same") == content(data)
    assert [name for name, made in content(tmp_path / "other").items() if content(data).get(name) == made] == []


def test_pictures_compress_as_photographs_do(data):
    pictures = [
        tf.train.Example.FromString(record.numpy()).features.feature["image"].bytes_list.value[0]
        for record in tf.data.TFRecordDataset(sorted(str(path) for path in data.glob("pictures-*.tfrecord")))
    ]
    sizes = {tuple(tf.io.decode_jpeg(picture).shape) for picture in pictures}
    median = sorted(map(len, pictures))[len(pictures) // 2]

    assert len(pictures) == PICTURES
    assert len(sizes) == 4
    assert 40_000 < median < 110_000


def test_data_that_are_there_are_left_alone(data):
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}

    again = run_maker("--data", data, "--pictures", PICTURES)

    assert again.returncode == 0
    assert "there already" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_data_of_another_recipe_are_replaced_whole(maker, tmp_path):
    target = tmp_path / "data"
    maker.make_data(target, maker.Recipe(pictures=16))

    maker.make_data(target, maker.Recipe(pictures=8))

    assert json.loads((target / "manifest.json").read_text())["pictures"] == 8
    assert len(list((target / "objects").iterdir())) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_directory_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")

    refused = run_maker("--data", tmp_path)

    assert refused.returncode == 2
    assert "was not made by this program" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_killed_maker_leaves_no_data_and_the_next_one_removes_its_leftovers(maker, tmp_path):
    target = tmp_path / "data"
    command = [sys.executable, MAKER, "--data", target, "--pictures", "100"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as killed:
        for line in killed.stderr:
            if line.startswith("drawing pictures"):
                killed.kill()
    left = [path.name for path in tmp_path.iterdir()]

    maker.make_data(target, maker.Recipe(pictures=8))

    assert left == [f".data.partial-{killed.pid}"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
