"""A script that cannot be started is refused before anything is made."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pipeprof.errors import UserError
from pipeprof.launch.supervisor import check_command


def test_scripts_that_python_accepts_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text("")
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", "")

    for name in ("s.py", "app", "app.pyz"):
        check_command((str(tmp_path / name), "--option"))
    check_command(("-m", "any.module"))


@pytest.mark.parametrize("command", [(), ("-m",)])
def test_no_script_is_a_mistake_with_an_example(command: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="no script to run") as caught:
        check_command(command)

    assert "pipeprof run train.py" in caught.value.hint


def test_directory_without_a_main_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without a __main__\.py"):
        check_command((str(tmp_path),))


def test_missing_script_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory"):
        check_command((str(tmp_path / "none.py"),))
