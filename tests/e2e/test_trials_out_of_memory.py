"""A trial for which there is no room: the script has ended well before it, and the report says what became of the change."""

import json

import pytest

from tests.e2e.confirmed_runs import PIPEPROF, SCRIPTS, run

pytestmark = [pytest.mark.tf, pytest.mark.slow]

pytest.importorskip("tensorflow")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "the changed pipeline ran out of memory: ResourceExhaustedError: "),
        (("deadly",), "was killed by SIGKILL in a trial"),
    ],
    ids=["no address space", "killed as the kernel does it"],
)
def test_a_trial_without_room_is_worse_and_the_script_and_the_report_are_whole(tmp_path, arguments, reason):
    (tmp_path / "train.py").write_text((SCRIPTS / "hungry_map.py").read_text())
    # the cache would come first: it needs no second call at once
    made = run(*PIPEPROF, "run", "--no-html", "--budget", "30s", "--ignore", "PP401", "train.py", *arguments, cwd=tmp_path)

    assert (made.returncode, made.stdout.count("\n")) == (0, 3), made.stderr
    report = json.loads(run(*PIPEPROF, "report", "--json", cwd=tmp_path).stdout)
    (change,) = [item for item in report["recommendations"] if item["change"]["kind"] == "parallel_calls"]
    assert change["trial"]["state"] == "worse"
    assert change["trial"]["reason"].startswith(reason)
    assert (change["accepted"], change["safety"]) == (False, "safe")
    assert "Run the calls of map in parallel" in made.stderr
    refused = run(*PIPEPROF, "fix", "--untried", "--ignore", "PP401", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
