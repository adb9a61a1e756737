"""The GPU sampler against a stand-in NVML library in C: exact planted values, and every way in which NVML refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeprof.capture.gpu import GpuSampler

SUPPORT = Path(__file__).parents[2] / "support" / "nvml"
PROJECT = Path(__file__).parents[3]
INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, GPU_IS_LOST = 2, 3, 4, 9, 15
GIB = 2**30


def gpu(number: int, **values: Any) -> dict[str, Any]:
    """Return the control lines of one healthy GPU, changed by ``values`` (an underscored ``error`` is ``.error``)."""
    planted = {
        "name": f"Planted GPU {number}",
        "uuid": f"GPU-{number}aaaa-bbbb",
        "sm": 40,
        "memory_used": GIB,
        "memory_total": 8 * GIB,
        "power": 150_000,
        "pcie_tx": 2000,
        "pcie_rx": 1000,
    } | values
    return {f"{number}.{key.replace('_error', '.error')}": value for key, value in planted.items()}


@dataclass(frozen=True)
class Outcome:
    """What the sampler saw, and what the library was asked."""

    series: list[dict[str, Any]]
    problems: list[str]
    names: list[list[str]]
    calls: list[str]
    closed: bool


Drive = Callable[..., Outcome]


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in library."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the stand-in NVML library")
    folder = tmp_path_factory.mktemp("nvml")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-o", target, SUPPORT / "nvml_stub.c"], check=True)
    return folder


@pytest.fixture
def drive(library_folder: Path, tmp_path: Path) -> Drive:
    """Run a sampler through steps in a process of its own."""

    def run(*steps: dict[str, Any], library: Path = library_folder) -> Outcome:
        environment = {
            **os.environ,
            "NVML_STUB_CONTROL": str(tmp_path / "control"),
            "NVML_STUB_LOG": str(tmp_path / "log"),
            "LD_LIBRARY_PATH": str(library),
            "PYTHONPATH": str(PROJECT),
        }
        command = [sys.executable, SUPPORT / "drive_sampler.py"]
        done = subprocess.run(
            command, input=json.dumps(steps), env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return Outcome(**json.loads(done.stdout))

    return run


def test_two_gpus_are_read_exactly(drive: Drive) -> None:
    first = {"count": 2, **gpu(0), **gpu(1, sm=90, memory_used=3 * GIB, power=300_500, pcie_tx=10, pcie_rx=5)}

    seen = drive({"at": 1.0, "control": first}, {"at": 2.0, "control": gpu(0, sm=60)})

    assert seen.problems == []
    assert seen.series == [
        {
            "index": 0,
            "name": "Planted GPU 0",
            "memory_total_bytes": 8 * GIB,
            "unsupported": [],
            "bins": [
                {
                    "start_s": 0.0,
                    "end_s": 1.0,
                    "sm_share": 0.4,
                    "memory_bytes": GIB,
                    "power_w": 150.0,
                    "pcie_bytes_per_s": 3e6,
                    "samples": 1,
                },
                {
                    "start_s": 1.0,
                    "end_s": 2.0,
                    "sm_share": 0.6,
                    "memory_bytes": GIB,
                    "power_w": 150.0,
                    "pcie_bytes_per_s": 3e6,
                    "samples": 1,
                },
            ],
        },
        {
            "index": 1,
            "name": "Planted GPU 1",
            "memory_total_bytes": 8 * GIB,
            "unsupported": [],
            "bins": [
                {
                    "start_s": 0.0,
                    "end_s": 1.0,
                    "sm_share": 0.9,
                    "memory_bytes": 3 * GIB,
                    "power_w": 300.5,
                    "pcie_bytes_per_s": None,  # the bus of one GPU is read at a time
                    "samples": 1,
                },
                {
                    "start_s": 1.0,
                    "end_s": 2.0,
                    "sm_share": 0.9,
                    "memory_bytes": 3 * GIB,
                    "power_w": 300.5,
                    "pcie_bytes_per_s": 15e3,
                    "samples": 1,
                },
            ],
        },
    ]


def test_the_bus_is_read_at_most_twice_a_second_and_the_reading_holds_in_between(drive: Drive) -> None:
    steps = [{"at": 0.1 * number} for number in range(1, 11)]
    steps[0]["control"] = {"count": 1, **gpu(0)}  # type: ignore[assignment]

    seen = drive(*steps)

    assert seen.calls.count("pcie_tx 0") == seen.calls.count("pcie_rx 0") == 2
    assert seen.calls.count("sm 0") == 10
    assert {one["pcie_bytes_per_s"] for one in seen.series[0]["bins"]} == {3e6}


def test_the_library_is_opened_once_and_shut_down_once(drive: Drive) -> None:
    seen = drive({"at": 1.0, "control": {"count": 1, **gpu(0)}}, {"at": 2.0})

    assert seen.calls.count("init") == 1
    assert seen.calls[-1] == "shutdown"
    assert seen.calls.count("shutdown") == 1
    assert seen.closed  # what was sampled is still there


def test_power_that_is_not_supported_is_named_and_asked_once(drive: Drive) -> None:
    seen = drive({"at": 1.0, "control": {"count": 1, **gpu(0, power_error=NOT_SUPPORTED)}}, {"at": 2.0})

    (series,) = seen.series
    assert series["unsupported"] == ["power"]
    assert [one["power_w"] for one in series["bins"]] == [None, None]
    assert [one["sm_share"] for one in series["bins"]] == [0.4, 0.4]
    assert seen.calls.count("power 0") == 1
    assert seen.problems == []


def test_a_bus_that_is_not_supported_is_named(drive: Drive) -> None:
    seen = drive({"at": 1.0, "control": {"count": 1, **gpu(0, pcie_rx_error=NOT_SUPPORTED)}}, {"at": 9.0})

    assert seen.series[0]["unsupported"] == ["PCIe throughput"]
    assert [one["pcie_bytes_per_s"] for one in seen.series[0]["bins"]] == [None, None]
    assert seen.calls.count("pcie_tx 0") == 1


def test_a_divided_gpu_has_no_utilisation_of_its_own(drive: Drive) -> None:
    seen = drive({"at": 1.0, "control": {"count": 1, **gpu(0, sm_error=NOT_SUPPORTED)}})

    assert seen.series[0]["unsupported"] == ["SM utilisation"]
    assert seen.series[0]["bins"][0]["sm_share"] is None
    assert seen.series[0]["bins"][0]["memory_bytes"] == GIB


def test_an_instance_of_a_divided_gpu_is_found_by_its_uuid(drive: Drive) -> None:
    refused = {f"{what}_error": INVALID_ARGUMENT for what in ("sm", "power", "pcie_tx")}
    instance = gpu(5, uuid="MIG-77", name="Planted MIG 1g.5gb", memory_used=7, memory_total=9, parent=1, **refused)

    seen = drive(
        {
            "at": 1.0,
            "control": {"count": 2, **gpu(0), **gpu(1), **instance},
            "environment": {"CUDA_VISIBLE_DEVICES": "MIG-77"},
        }
    )

    (series,) = seen.series
    assert (series["index"], series["name"], series["memory_total_bytes"]) == (1, "Planted MIG 1g.5gb", 9)
    assert series["unsupported"] == ["SM utilisation", "power", "PCIe throughput"]
    assert series["bins"][0]["memory_bytes"] == 7
    assert seen.problems == []


def test_an_instance_that_is_unknown_is_a_problem(drive: Drive) -> None:
    control = {"count": 1, **gpu(0)}

    seen = drive({"at": 1.0, "control": control, "environment": {"CUDA_VISIBLE_DEVICES": "MIG-1"}})

    assert seen.series == []
    assert seen.problems == [
        "no NVIDIA GPU seen: CUDA_VISIBLE_DEVICES='MIG-1' shows none; GPU figures are not measured",
        "MIG-1 not measured: Not Found",
    ]


def test_another_failure_is_one_problem_and_is_tried_again(drive: Drive) -> None:
    seen = drive(
        {"at": 1.0, "control": {"count": 1, **gpu(0, power_error=NO_PERMISSION)}},
        {"at": 2.0},
        {"at": 3.0, "control": gpu(0, power_error=0)},
    )

    assert [one["power_w"] for one in seen.series[0]["bins"]] == [None, None, 150.0]
    assert seen.problems == ["power of GPU 0 (Planted GPU 0) not measured: Insufficient Permissions"]


def test_a_gpu_that_is_lost_stops_alone(drive: Drive) -> None:
    seen = drive(
        {"at": 1.0, "control": {"count": 2, **gpu(0), **gpu(1)}},
        {"at": 2.0, "control": {"0.error": GPU_IS_LOST}},
        {"at": 3.0},
    )

    assert [len(series["bins"]) for series in seen.series] == [1, 3]
    assert seen.problems == ["GPU 0 (Planted GPU 0) is not measured any more: GPU is lost"]
    assert seen.calls.count("memory_total 0") == 2
    assert seen.calls.count("memory_total 1") == 3


def test_a_gpu_that_is_lost_from_the_start_leaves_the_others(drive: Drive) -> None:
    seen = drive({"at": 1.0, "control": {"count": 2, **gpu(0, error=GPU_IS_LOST), **gpu(1)}})

    assert [series["index"] for series in seen.series] == [1]
    assert seen.problems == ["GPU 0 not measured: GPU is lost"]


def test_a_driver_that_is_not_loaded_is_one_problem_and_is_not_asked_again(drive: Drive) -> None:
    seen = drive({"at": 1.0, "control": {"init": DRIVER_NOT_LOADED}}, {"at": 2.0}, {"at": 3.0})

    assert seen.series == []
    assert seen.problems == ["no NVIDIA GPU seen: Driver Not Loaded; GPU figures are not measured"]
    assert seen.calls == ["init"]


def test_a_driver_without_gpus_is_one_problem(drive: Drive) -> None:
    seen = drive({"at": 1.0, "control": {"count": 0}}, {"at": 2.0})

    assert seen.series == []
    assert seen.problems == ["no NVIDIA GPU seen: the driver shows none; GPU figures are not measured"]
    assert seen.calls == ["init", "count", "shutdown"]


def test_a_process_that_is_shown_no_gpu_is_one_problem(drive: Drive) -> None:
    control = {"count": 2, **gpu(0), **gpu(1)}

    seen = drive({"at": 1.0, "control": control, "environment": {"CUDA_VISIBLE_DEVICES": ""}}, {"at": 2.0})

    assert seen.series == []
    assert seen.problems == ["no NVIDIA GPU seen: CUDA_VISIBLE_DEVICES='' shows none; GPU figures are not measured"]
    assert "sm 0" not in seen.calls


def test_only_the_gpus_that_cuda_shows_are_read_in_its_order(drive: Drive) -> None:
    shown = {
        "1": [1],
        "2,0": [2, 0],
        " 0 , 2 ": [0, 2],
        "0,2,-1,1": [0, 2],
        "1,1": [1],
        "GPU-2aaaa-bbbb,GPU-0": [2, 0],
        "": [],
        "-1": [],
        "NoDevFiles": [],
        "9": [],
        "GPU-zzz": [],
        "GPU-": [],
    }
    steps = [{"at": float(at), "environment": {"CUDA_VISIBLE_DEVICES": setting}} for at, setting in enumerate(shown, 1)]
    steps[0]["control"] = {"count": 3, **gpu(0), **gpu(1), **gpu(2)}

    seen = drive(*steps)

    assert seen.names == [[f"Planted GPU {index}" for index in indices] for indices in shown.values()]
    assert Counter(call for call in seen.calls if call.startswith("sm")) == {"sm 0": 4, "sm 1": 2, "sm 2": 4}


def test_a_script_that_hides_gpus_in_its_first_lines_is_followed(drive: Drive) -> None:
    seen = drive(
        {"at": 1.0, "control": {"count": 2, **gpu(0), **gpu(1)}},
        {"at": 2.0, "environment": {"CUDA_VISIBLE_DEVICES": "GPU-1"}},
        {"at": 3.0},
    )

    assert seen.names == [["Planted GPU 0", "Planted GPU 1"], ["Planted GPU 1"], ["Planted GPU 1"]]
    assert [(series["index"], len(series["bins"])) for series in seen.series] == [(1, 3)]


def test_unlike_gpus_chosen_by_number_may_be_mixed_up_and_that_is_said(drive: Drive) -> None:
    control = {"count": 2, **gpu(0), **gpu(1)}
    chosen = {"CUDA_VISIBLE_DEVICES": "1"}

    unsaid = drive({"at": 1.0, "control": control, "environment": chosen})
    said = drive({"at": 1.0, "control": control, "environment": {**chosen, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}})

    assert [line.split(":")[0] for line in unsaid.problems] == ["GPUs of different kinds"]
    assert said.problems == []


def test_thousands_of_samples_stay_bounded_and_their_means_exact(drive: Drive) -> None:
    steps = [{"at": float(number), "control": {"0.sm": 100 if number % 2 else 0}} for number in range(1, 1201)]
    steps[0]["control"] = {"count": 1, **gpu(0, sm=100)}

    (series,) = drive(*steps).series

    assert sum(one["samples"] for one in series["bins"]) == 1200
    assert len(series["bins"]) == 600
    assert {one["sm_share"] for one in series["bins"]} == {0.5}


def test_a_library_that_cannot_be_loaded_is_one_problem(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")

    seen = drive({"at": 1.0}, {"at": 2.0}, library=tmp_path)

    assert seen.series == []
    assert seen.problems == ["no NVIDIA GPU seen: NVML Shared Library Not Found; GPU figures are not measured"]


def test_no_binding_is_one_problem_and_sampling_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it was not installed
    asked: list[str] = []

    class Environment(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            asked.append(key)
            return default

    sampler = GpuSampler(lambda: 0.0, environment=Environment())
    for _ in range(3):
        sampler.sample()
    sampler.close()

    assert sampler.freeze() == ()
    assert sampler.names == ()
    assert len(sampler.problems) == 1
    assert sampler.problems[0].startswith("no NVIDIA GPU seen: ")
    assert sampler.problems[0].endswith("; GPU figures are not measured")
    assert asked == []
