"""`pipeprof confirm`: the script runs again, both ways, for equal steps and with equal losses, and the report shows it."""

import json
import sys

import pytest

from tests.e2e.confirmed_runs import PIPEPROF, SCRIPTS, confirm, run

pytestmark = [pytest.mark.tf, pytest.mark.slow]

pytest.importorskip("tensorflow")

OWN_FILE = 'open("weights.txt", "a").write("saved")\n'
GOES_ON = """import pathlib, tempfile
state = pathlib.Path(tempfile.gettempdir(), "state")
print("going on from step 300" if state.exists() else "training from the beginning")
state.touch()
"""
OTHER_FILE = 'open("../log.txt", "a").write("again ")\n'


def test_training_is_run_again_in_a_copy_both_ways_and_reported(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))  # what lies there would be nobody's
    script = work / "train.py"
    script.write_text((SCRIPTS / "slow_map.py").read_text() + OWN_FILE + OTHER_FILE)
    run(*PIPEPROF, "run", "--quiet", "--no-html", "--no-trials", "train.py", cwd=work)
    (first,) = (work / "reports").iterdir()
    confirm(first / "profile.json")

    refused = run(*PIPEPROF, "confirm", "--rerun", "1", cwd=work)

    assert (refused.stdout, refused.returncode) == ("", 2)
    assert f"the script wrote weights.txt in {work} and {tmp_path}/log.txt outside of it, and would again" in refused.stderr

    place = tmp_path / "scratch"
    in_copy = run(*PIPEPROF, "confirm", "--rerun", "1", "--scratch", str(place), cwd=work)

    assert (in_copy.stdout, in_copy.returncode) == ("", 2)
    assert f"the script wrote {tmp_path}/log.txt outside of {work}, and would again" in in_copy.stderr
    assert (tmp_path / "log.txt").read_text() == "again "

    made = run(*PIPEPROF, "confirm", "--rerun", "1", "--budget", "0.3s", "--scratch", str(place), "--yes", cwd=work)

    assert made.returncode == 0, made.stderr
    assert made.stderr.startswith(f"pipeprof: the script wrote {tmp_path}/log.txt outside of {work}, and will again")
    assert made.stdout.splitlines()[0].startswith("with: Cache what map(slow) gives")
    assert "output identical" in made.stdout
    assert (work / "weights.txt").read_text() == "saved"
    assert list(place.iterdir()) == []
    without, with_changes = (
        json.loads((first / "rerun-1" / name / "profile.json").read_text()) for name in ("1-without", "2-with")
    )
    assert [item["run"].get("applied_from", "") for item in (without, with_changes)] == ["", first.name]
    assert without["pipelines"][0]["loop"]["elements"] == with_changes["pipelines"][0]["loop"]["elements"] < 800

    (rerun,) = json.loads(run(*PIPEPROF, "report", "--json", cwd=work).stdout)["reruns"]
    assert (rerun["id"], rerun["pairs"], rerun["same_output"], rerun["whole"]) == ("rerun-1", 1, True, False)
    assert rerun["changes"] == [json.loads((first / "trials.jsonl").read_text().splitlines()[0])["trial"]["id"]]
    assert "Training again" in run(*PIPEPROF, "report", cwd=work).stdout

    most = run(
        *PIPEPROF, "confirm", "--ceiling", "--rerun", "1", "--budget", "0.3s", "--scratch", str(place), "--yes", cwd=work
    )

    assert most.returncode == 0, most.stderr
    assert most.stdout.startswith("with: One batch, always ready, in the place of the input (train.py:")
    assert "re-run with one batch that is always ready: " in most.stdout
    assert "output" not in most.stdout
    _, of_ceiling = json.loads(run(*PIPEPROF, "report", "--json", cwd=work).stdout)["reruns"]
    assert (of_ceiling["ceiling"], of_ceiling["changes"], of_ceiling["same_output"]) == (True, [], None)
    assert of_ceiling["candidate_step_s"] < of_ceiling["baseline_step_s"]


def test_a_script_that_does_something_else_the_second_time_is_refused_in_one_line(tmp_path, monkeypatch):
    """What it saved lies where no copy protects it and nobody looks: in the directory for temporary files."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    script = tmp_path / "work" / "train.py"
    script.write_text(GOES_ON + (SCRIPTS / "slow_map.py").read_text())
    run(*PIPEPROF, "run", "--quiet", "--no-html", "--no-trials", "train.py", cwd=script.parent)
    (first,) = (script.parent / "reports").iterdir()
    confirm(first / "profile.json")
    (tmp_path / "temporary" / "state").unlink()

    refused = run(*PIPEPROF, "confirm", "--rerun", "2", "--budget", "0.3s", cwd=script.parent)

    assert (refused.stdout, refused.returncode) == ("", 2)
    why = "the script does something else when it is run again as it was: it printed 'going on from step 300' only the second"
    assert why in " ".join(refused.stderr.split())
    assert "--yes compares its times all the same" in refused.stderr
    (kept,) = json.loads(run(*PIPEPROF, "report", "--json", cwd=script.parent).stdout)["reruns"]
    assert (kept["pairs"], kept["speedup"], why in kept["reason"]) == (0, None, True)


def test_a_change_with_which_the_script_prints_something_else_is_taken_back(tmp_path):
    """Its map reads a file that training rewrites, under a name that no graph holds: only the script can show it."""
    script = tmp_path / "train.py"
    script.write_text((SCRIPTS / "rewritten_file.py").read_text())
    run(*PIPEPROF, "run", "--quiet", "--no-html", "--no-trials", "train.py", cwd=tmp_path)
    (first,) = (tmp_path / "reports").iterdir()
    confirm(first / "profile.json", op="batch")
    assert "+dataset = dataset.batch(2).cache()" in run(*PIPEPROF, "fix", cwd=tmp_path).stdout

    made = run(*PIPEPROF, "confirm", "--rerun", "2", "--yes", cwd=tmp_path)

    assert made.returncode == 0, made.stderr
    assert "OUTPUT DIFFERS: line 2: " in made.stdout
    assert "taken back: " in made.stdout
    refused = run(*PIPEPROF, "fix", cwd=tmp_path)
    assert (refused.stdout, refused.returncode) == ("", 2)
    report = " ".join(run(*PIPEPROF, "report", cwd=tmp_path).stdout.split())
    assert "REFUSED" in report
    assert "your script, run again, printed something else with it, and the same each time without it: line 2" in report
    assert ".cache()" not in "".join(line for line in report.splitlines() if line.lstrip().startswith("+"))


def test_a_run_goes_on_to_a_re_run_of_what_it_confirmed_and_keeps_the_scripts_output(tmp_path):
    """Whether the change is confirmed is the machine's to say; what follows from either is asked here."""
    (tmp_path / "train.py").write_text((SCRIPTS / "slow_map.py").read_text())
    native = run(sys.executable, "train.py", cwd=tmp_path)

    made = run(*PIPEPROF, "run", "--no-html", "--budget", "30s", "--rerun", "1", "train.py", cwd=tmp_path)

    assert (made.stdout, made.returncode) == (native.stdout, 0)
    report = run(*PIPEPROF, "report", cwd=tmp_path).stdout
    if "CONFIRMED" in report:
        assert "\nwith: Cache what map(slow) gives" in made.stderr, made.stderr
        assert "output identical" in made.stderr
        assert "Training again" in report
    else:
        assert "pipeprof: not run again: no change of " in made.stderr, made.stderr
        assert "Training again" not in report


def test_a_run_that_confirmed_nothing_says_why_it_is_not_run_again(tmp_path):
    (tmp_path / "train.py").write_text("print('trained')\n")

    made = run(*PIPEPROF, "run", "--no-html", "--rerun", "1", "train.py", cwd=tmp_path)

    assert (made.stdout, made.returncode) == ("trained\n", 0)
    assert "pipeprof: not run again: " in made.stderr


def test_buckets_are_measured_in_the_run_and_confirmed_by_the_script_alone(tmp_path):
    """What padding costs is in the model's step: only the script, run again with buckets, can show it."""
    script = tmp_path / "train.py"
    script.write_text((SCRIPTS / "padded_rows.py").read_text())
    made = run(*PIPEPROF, "run", "--no-html", "--budget", "30", "train.py", cwd=tmp_path)

    report = json.loads(run(*PIPEPROF, "report", "--json", cwd=tmp_path).stdout)
    (bucket,) = [item for item in report["recommendations"] if item["change"]["kind"] == "bucket"]
    assert (bucket["safety"], bucket["accepted"], bucket["trial"]["state"]) == ("reorders", False, "not-tried")
    assert bucket["trial"]["elements"] == "reordered"
    assert bucket["change"]["params"]["padding_then"] < bucket["change"]["params"]["padding_now"] / 2
    assert "+dataset = dataset.bucket_by_sequence_length(element_length_func=lambda *row: tf.shape(row[0])[0]" in bucket["diff"]
    assert "of row[0] is padding, in these buckets" in " ".join(made.stderr.split())

    shown = run(*PIPEPROF, "confirm", "--rerun", "1", "--allow", "reorders", "--yes", cwd=tmp_path)

    assert shown.returncode == 0, shown.stderr
    assert "Let rows of about one length meet" in shown.stdout.splitlines()[0]
    (folder,) = (tmp_path / "reports").iterdir()
    profile = json.loads((folder / "rerun-1" / "2-with" / "profile.json").read_text())
    assert any("GroupByWindow" in node["node"] for node in profile["pipelines"][0]["executed"])
    patched = tmp_path / "patched.diff"
    patched.write_text(bucket["diff"])
    assert run("patch", "-p1", "-i", patched, cwd=tmp_path).returncode == 0
    again = run(sys.executable, "train.py", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert 2 * 200 <= again.stdout.count("\n") <= 2 * 208, again.stdout
