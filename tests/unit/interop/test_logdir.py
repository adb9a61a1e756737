"""Whatever a user names of a TensorBoard log directory leads to the newest profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeprof.errors import UserError
from pipeprof.interop.logdir import find_profile


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    for run in ("2026_01_01_00_00_00", "2026_02_01_00_00_00"):
        folder = tmp_path / "logs" / "plugins" / "profile" / run
        folder.mkdir(parents=True)
        for host in ("b.xplane.pb", "a.xplane.pb", "ALL_HOSTS.op_stats_v2.pb"):
            (folder / host).write_bytes(b"x")
    return tmp_path / "logs"


@pytest.mark.parametrize("part", [".", "plugins", "plugins/profile", "plugins/profile/2026_02_01_00_00_00", ".."])
def test_every_level_leads_to_the_newest_run(logdir: Path, part: str) -> None:
    found = find_profile(logdir / part)

    assert [path.name for path in found.files] == ["a.xplane.pb", "b.xplane.pb"]
    assert found.files[0].parent.name == "2026_02_01_00_00_00"
    assert found.other_runs == (0 if part.endswith("00") else 1)


def test_a_file_is_taken_as_it_is(logdir: Path) -> None:
    path = logdir / "plugins/profile/2026_01_01_00_00_00/b.xplane.pb"

    assert find_profile(path).files == (path,)


def test_directories_without_a_profile_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "events.out.tfevents.1").write_bytes(b"x")

    for name, text in (("missing", "no such file or directory"), ("empty", "is empty"), ("other", "holds no profile")):
        with pytest.raises(UserError, match=text) as caught:
            find_profile(tmp_path / name)
        assert "plugins/profile" in caught.value.hint
