"""What TensorFlow, Keras and HDF5 write from C++ is seen by its paths, and everything they do stays as it was."""

import os
import tempfile
import traceback

import pytest

from pipeprof.capture import file_hooks
from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.settings import Settings

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Return a directory outside of the working directory."""
    for name in ("work", "out", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "out"


@pytest.fixture
def capture(out):
    """Return a capture of a program in that working directory, which runs."""
    session = CaptureSession(
        Settings(),
        RunFacts(id="t", command=("t",), started_at="", working_directory=os.getcwd(), is_rerunnable=True),  # noqa: PTH109
    )
    session.start()
    yield session
    session.stop()


def told(capture, out):
    return [path.removeprefix(f"{out}/") for path in capture.stop().run.wrote_outside]


def write_in_graph(path):
    @tf.function
    def write():
        tf.io.write_file(str(path), "x")

    write()


def test_every_file_of_the_file_system_layer_is_told(capture, out):
    with tf.io.gfile.GFile(str(out / "gfile"), "w") as file:
        file.write("x")
    with tf.io.gfile.GFile(__file__) as file:
        file.read()
    tf.io.gfile.makedirs(str(out / "made" / "deep"))
    tf.io.gfile.copy(str(out / "gfile"), str(out / "copied"))
    tf.io.gfile.rename(str(out / "gfile"), str(out / "renamed"))
    tf.io.write_file(str(out / "eager"), "x")
    write_in_graph(out / "graph")
    with tf.io.TFRecordWriter(str(out / "records")) as writer:
        writer.write(b"x")

    assert told(capture, out) == ["copied", "eager", "graph", "made/deep", "records", "renamed"]


def test_what_is_removed_by_it_is_told(out):
    for name in ("a", "tree/b"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("x")
    capture = CaptureSession(
        Settings(),
        RunFacts(id="t", command=("t",), started_at="", working_directory=str(out.parent / "work"), is_rerunnable=True),
    )
    capture.start()
    tf.io.gfile.remove(str(out / "a"))
    tf.io.gfile.rmtree(str(out / "tree"))

    assert told(capture, out) == ["a", "tree"]


def test_checkpoints_summaries_and_caches_are_told_by_the_beginning_of_their_names(capture, out):
    variable = tf.Variable(1.0)
    tf.train.Checkpoint(variable=variable).save(str(out / "saved" / "ckpt"))
    tf.train.Checkpoint(variable=variable).write(str(out / "written" / "one"))
    tf.saved_model.save(tf.Module(), str(out / "module"))
    tf.summary.create_file_writer(str(out / "logs")).close()
    for _ in tf.data.Dataset.range(3).cache(str(out / "cached")):
        pass
    for _ in tf.data.Dataset.range(3).cache():
        pass

    found = told(capture, out)

    assert {"cached*", "logs/events.out.tfevents*", "saved/checkpoint", "saved/ckpt-1*", "written/one*"} <= set(found)
    assert {"module/saved_model.pb", "module/variables/variables*"} <= set(found)
    assert {path.split("/")[0] for path in found} == {"cached*", "logs", "module", "saved", "written"}


def test_what_keras_saves_is_told(capture, out):
    keras = pytest.importorskip("keras")
    pytest.importorskip("h5py")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(out / "model.keras")
    model.save_weights(out / "model.weights.h5")
    model.load_weights(out / "model.weights.h5")

    assert told(capture, out) == ["model.keras", "model.weights.h5"]


def test_what_is_written_in_the_working_directory_is_not_told(capture, out):
    with tf.io.gfile.GFile("here", "w") as file:
        file.write("x")
    tf.train.Checkpoint(variable=tf.Variable(1.0)).save("ckpt")

    assert told(capture, out) == []


def test_errors_come_from_where_they_came_before(capture, out):
    with pytest.raises(tf.errors.NotFoundError) as caught:
        tf.io.gfile.remove(str(out / "missing"))
    with pytest.raises(TypeError) as wrong:
        tf.io.TFRecordWriter()

    frames = [frame.filename for error in (caught, wrong) for frame in traceback.extract_tb(error.value.__traceback__)]
    assert file_hooks.__file__ not in frames
    assert told(capture, out) == []


def test_nothing_of_it_stays(out):
    import h5py
    from tensorflow.python.checkpoint import checkpoint
    from tensorflow.python.data.ops import cache_op
    from tensorflow.python.lib.io import file_io, tf_record
    from tensorflow.python.ops import gen_summary_ops

    places = (
        (file_io.FileIO, "__init__"), (file_io._pywrap_file_io, "CopyFile"), (file_io._pywrap_file_io, "RenameFile"),
        (file_io._pywrap_file_io, "DeleteFile"), (tf_record.TFRecordWriter, "__init__"), (tf.io, "write_file"),
        (checkpoint.TrackableSaver, "save"), (gen_summary_ops, "create_summary_file_writer"),
        (cache_op.CacheDataset, "__init__"), (h5py.File, "__init__"),
    )  # fmt: skip
    before = [vars(owner)[name] for owner, name in places]
    capture = CaptureSession(
        Settings(), RunFacts(id="t", command=("t",), started_at="", working_directory=str(out), is_rerunnable=True)
    )

    capture.start()
    during = [vars(owner)[name] for owner, name in places]
    capture.stop()

    assert [vars(owner)[name] for owner, name in places] == before
    assert all(one is not other for one, other in zip(before, during, strict=True))
