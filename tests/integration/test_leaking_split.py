"""A split of a listing of files that is made anew in every epoch: both parts hold other files each time, and PP610 says so."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeprof

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tf


@pytest.mark.parametrize(("shuffle", "codes"), [(None, {"PP610"}), (False, set())])
def test_files_that_are_listed_in_a_new_order_leak_from_validation_into_training(
    shuffle: bool | None, codes: set[str], tmp_path: Path
) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(str(number))
    with pipeprof.profile(output=tmp_path / "reports", name="split") as run:
        files = tf.data.Dataset.list_files(str(tmp_path / "*.txt"), shuffle=shuffle)
        train, held_out = files.skip(8).map(tf.io.read_file), files.take(8).map(tf.io.read_file)
        seen = []
        for _ in range(3):
            seen.append({value.numpy() for value in train})
            list(held_out)

    found = [item for item in run.diagnosis.findings if item.code == "PP610"]
    assert {item.code for item in found} == codes
    assert (seen[0] == seen[1] == seen[2]) is (shuffle is False)
    assert all("list_files" in item.message and "split that order" in item.message for item in found)
