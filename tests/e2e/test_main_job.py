"""`pipeprof run train.py` from outside: the program is unchanged, nothing is lost when it dies, mistakes get one line."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeprof.launch.handover import BOOT_FILE

pytestmark = pytest.mark.tf

pytest.importorskip("tensorflow")

SCRIPTS = Path(__file__).parent / "scripts"
PIPEPROF = [sys.executable, "-m", "pipeprof"]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)


def masked(stderr):
    """TensorFlow's log prefixes hold times and process numbers."""
    return re.sub(
        r"^[IWEF]\d{4} [\d:.]+ +\d+|^[IWEF]\d+ [\d:.]+ +\d+|^\d{4}-\d\d-\d\d [\d:.]+", "<time>", stderr, flags=re.MULTILINE
    )


def the_run(root):
    (found,) = Path(root).iterdir()
    return found


@pytest.mark.parametrize("script", ["seeded_by_hand.py", "seeded_keras.py"])
def test_outputs_losses_and_status_are_bit_identical_with_and_without_pipeprof_trials_included(script, tmp_path):
    native, control = (run(sys.executable, SCRIPTS / script) for _ in range(2))

    observed = run(*PIPEPROF, "run", "--budget", "12", "--output", tmp_path, SCRIPTS / script)

    assert control.stdout == native.stdout
    assert (observed.stdout, observed.returncode) == (native.stdout, native.returncode)
    assert masked(observed.stderr).startswith(masked(native.stderr))
    assert json.loads((the_run(tmp_path) / "profile.json").read_text())["pipelines"]


def test_a_run_that_is_killed_leaves_a_profile_that_renders_and_its_status(tmp_path):
    command = [*PIPEPROF, "run", "--output", tmp_path, SCRIPTS / "endless.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if line.startswith("running"):
                    break
            directory = the_run(tmp_path)
            saved = {"pipelines": []}
            while not saved["pipelines"]:
                saved = json.loads((directory / "profile.json").read_text())
            children = psutil.Process(process.pid).children()
            (child,) = [child for child in children if str(BOOT_FILE) in child.cmdline()]
            child.kill()
            _, stderr = process.communicate(timeout=120)
        finally:
            process.kill()

    report = run(*PIPEPROF, "report", directory)

    assert process.returncode == -signal.SIGKILL
    assert "SIGKILL" in stderr
    assert report.returncode == 0
    assert "endless.py" in report.stdout
    assert "range" in report.stdout


def test_an_exception_in_mid_epoch_keeps_its_traceback_and_the_capture(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(
        "import tensorflow as tf\n"
        "dataset = tf.data.Dataset.range(200).batch(2)\n"
        "for number, batch in enumerate(dataset):\n"
        "    if number == 60:\n"
        "        raise ValueError('planted')\n"
    )
    native = run(sys.executable, script)

    observed = run(*PIPEPROF, "run", "--output", tmp_path / "runs", script)

    assert observed.returncode == native.returncode == 1
    assert masked(observed.stderr).startswith(masked(native.stderr))
    assert len(masked(observed.stderr).removeprefix(masked(native.stderr)).strip().splitlines()) == 2
    profile = json.loads((the_run(tmp_path / "runs") / "profile.json").read_text())
    assert profile["pipelines"][0]["loop"]["elements"] >= 60


def test_an_error_inside_the_pipeline_shows_the_frames_that_python_shows(tmp_path):
    script = tmp_path / "bad_map.py"
    script.write_text(
        "import tensorflow as tf\n"
        "dataset = tf.data.Dataset.range(5).map(lambda x: tf.debugging.assert_less(x, tf.constant(3, tf.int64)) or x)\n"
        "for element in dataset:\n"
        "    print(int(element))\n"
    )
    native = run(sys.executable, script)

    observed = run(*PIPEPROF, "run", "--quiet", "--output", tmp_path / "runs", script)

    assert (observed.stdout, observed.returncode) == (native.stdout, native.returncode)
    assert masked(observed.stderr) == masked(native.stderr)


def test_a_script_without_a_pipeline_is_told_what_was_looked_for(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text("print('no pipeline here')\n")

    observed = run(*PIPEPROF, "run", "--output", tmp_path / "runs", script)

    assert (observed.stdout, observed.returncode) == ("no pipeline here\n", 0)
    assert len(observed.stderr.strip().splitlines()) == 1
    assert "tf.data" in observed.stderr


def corrupt(tmp_path):
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "profile.json").write_text('{"schema": "pipeprof.profile/1", "run": 3')
    return directory


def newer(tmp_path):
    directory = tmp_path / "newer"
    directory.mkdir()
    (directory / "profile.json").write_text('{"schema": "pipeprof.profile/99"}')
    return directory


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (lambda _: ["run", "no_such_script.py"], "no_such_script.py"),
        (lambda tmp: ["report", tmp], "not a run"),
        (lambda tmp: ["report", tmp / "nowhere"], "no such run"),
        (lambda tmp: ["report", corrupt(tmp)], "corrupt"),
        (lambda tmp: ["report", newer(tmp)], "newer"),
        (lambda _: ["explain", "PP20"], "PP201"),
        (lambda _: ["reprot"], "report"),
        (lambda _: ["run", "--budget", "soon", "x.py"], "budget"),
    ],
)
def test_a_mistake_gets_one_line_with_a_hint_and_status_2(arguments, word, tmp_path):
    done = run(*PIPEPROF, *(str(item) for item in arguments(tmp_path)), cwd=tmp_path)

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert word in done.stderr
    assert "Traceback" not in done.stderr
