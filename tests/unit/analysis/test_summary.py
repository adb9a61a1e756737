"""Summaries of planted loops and resources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeprof.analysis.summary import draw_timeline, summarise_resources, summarise_steps
from pipeprof.model.profile import (
    GpuBin,
    GpuSeries,
    Histogram,
    Host,
    HostBin,
    HostSeries,
    Loop,
    PipelineRecord,
    Profile,
    RunInfo,
    Versions,
)
from tests.support.trees import chain, loop_with_boundaries, record, steady_loop, step_bin


def with_loop(loop: Loop) -> PipelineRecord:
    return record(chain("range"), (), loop=loop)


def profile(**details: Any) -> Profile:
    run = RunInfo(
        id="r",
        command=("train.py",),
        started_at="",
        versions=Versions(pipeprof="0", python="3.11"),
        host=Host(cores=4, memory_bytes=1000, memory_limit_bytes=details.pop("limit", None)),
    )
    return Profile(run=run, **details)


def host_bin(start_s: float, cpu_share: float, rss: int = 1, length_s: float = 1.0) -> HostBin:
    return HostBin(
        start_s=start_s, end_s=start_s + length_s, cpu_share=cpu_share, system_cpu_share=None, rss_max_bytes=rss, read_bytes=0
    )


# --- steps -------------------------------------------------------------------------------------------------------


def test_the_wait_share_is_of_the_wall_time_in_bins() -> None:
    steps = summarise_steps(with_loop(steady_loop(steps=200, wait_s=0.03, gap_s=0.01)))

    assert steps.wait_share == pytest.approx(0.75)
    assert steps.wait_share_low is not None
    assert steps.wait_share_high is not None
    assert steps.wait_share_low <= (steps.wait_share or 0.0) <= steps.wait_share_high
    assert steps.count == 201


def test_too_few_bins_give_no_share() -> None:
    steps = summarise_steps(with_loop(steady_loop(steps=2)))

    assert (steps.wait_share, steps.wait_share_low, steps.wait_share_high) == (None, None, None)


def test_waits_that_were_never_measured_give_no_share() -> None:
    assert summarise_steps(with_loop(steady_loop(seen_share=0.0))).wait_share is None


def test_negative_waits_of_a_method_with_noise_are_no_share_below_zero() -> None:
    steps = summarise_steps(with_loop(steady_loop(wait_s=-0.0001, gap_s=0.01)))

    assert (steps.wait_share, steps.wait_share_low) == (0.0, 0.0)


def test_quantiles_come_from_the_histogram_of_steps() -> None:
    histogram = Histogram(base=2.0, counts={"-4": 95, "-1": 5})
    steps = summarise_steps(with_loop(steady_loop(steps_histogram=histogram)))

    assert steps.median_s == pytest.approx(2.0**-3.5)
    assert steps.p95_s == pytest.approx(2.0**-3.5)


def test_waits_and_the_loops_own_time_have_quantiles_of_their_own() -> None:
    wait, own = Histogram(base=2.0, counts={"-4": 98, "-1": 2}), Histogram(base=2.0, counts={"-6": 100})
    steps = summarise_steps(with_loop(steady_loop(wait_histogram=wait, gap_histogram=own)))

    assert steps.wait is not None
    assert (steps.wait.p50_s, steps.wait.p95_s, steps.wait.p99_s) == pytest.approx((2.0**-3.5, 2.0**-3.5, 2.0**-0.5))
    assert steps.own is not None
    assert steps.own.p99_s == pytest.approx(2.0**-5.5)


def test_iterators_and_the_first_elements_of_later_epochs_have_their_means() -> None:
    loop = loop_with_boundaries(5, 100, 0.5)
    steps = summarise_steps(with_loop(replace(loop, creation_s=0.1)))

    assert steps.creation_s == pytest.approx(0.02)
    assert steps.epoch_first_wait_s == pytest.approx(0.5 * 2 / 3)


@pytest.mark.parametrize("epochs", [3, 5, 20, 64])
def test_waiting_at_nothing_but_the_boundaries_of_epochs_is_found(epochs: int) -> None:
    steps = summarise_steps(with_loop(loop_with_boundaries(epochs, 100, 0.5, jitter_s=0.01)))
    planted = (epochs - 1) * 0.5 / (epochs * 1.0 + (epochs - 1) * 0.5)

    assert steps.wait_share == pytest.approx(planted, rel=0.03)
    assert steps.wait_share_low is not None
    assert steps.wait_share_low > 0.20
    assert steps.boundary_wait_share == pytest.approx(steps.wait_share)


def test_a_single_boundary_may_have_been_an_accident() -> None:
    steps = summarise_steps(with_loop(loop_with_boundaries(2, 100, 0.5)))

    assert steps.wait_share == pytest.approx(0.2)
    assert steps.wait_share_low == pytest.approx(0.0, abs=0.01)


def test_boundaries_that_differ_much_leave_a_wide_interval() -> None:
    steady = summarise_steps(with_loop(loop_with_boundaries(5, 100, 0.5)))
    erratic = summarise_steps(with_loop(loop_with_boundaries(5, 100, 0.05, jitter_s=0.9)))

    assert erratic.wait_share_low is not None
    assert steady.wait_share_low is not None
    assert steady.wait_share is not None
    assert erratic.wait_share is not None
    assert erratic.wait_share - erratic.wait_share_low > 2 * (steady.wait_share - steady.wait_share_low)


def test_merged_epochs_are_judged_by_their_bins() -> None:
    loop = loop_with_boundaries(10, 50, 0.5)
    merged = replace(loop, epochs=loop.epochs[:5])

    steps = summarise_steps(with_loop(merged))

    assert steps.wait_share == pytest.approx(9 * 0.5 / (5.0 + 9 * 0.5))


def test_no_pipeline_has_no_steps() -> None:
    assert summarise_steps(None).count == 0


# --- resources ---------------------------------------------------------------------------------------------------


def test_the_cpu_share_is_weighted_by_time() -> None:
    host = HostSeries(bins=(host_bin(0.0, 1.0, length_s=3.0), host_bin(3.0, 0.2, length_s=1.0)), read_bytes=400)

    resources = summarise_resources(profile(host=host), None)

    assert resources.cpu_share == pytest.approx(0.8)
    assert resources.read_bytes_per_s == pytest.approx(100.0)


def test_the_memory_limit_is_the_containers_before_the_machines() -> None:
    assert summarise_resources(profile(limit=300), None).memory_limit_bytes == 300
    assert summarise_resources(profile(), None).memory_limit_bytes == 1000


@pytest.mark.parametrize(("checks", "share"), [(10, None), (20, 0.75)])
def test_the_interpreters_lock_is_judged_by_the_moments_inside_the_loop_where_they_are_enough(
    checks: int, share: float | None
) -> None:
    loop = replace(steady_loop(), start_s=10.0, end_s=20.0)
    bins = [
        replace(host_bin(start_s, 0.5, length_s=5.0), lock_checks=checks, lock_held=held * checks // 2)
        for start_s, held in ((5.0, 2), (10.0, 1), (15.0, 2))  # the first: imports, before the loop
    ]

    resources = summarise_resources(profile(host=HostSeries(bins=tuple(bins))), with_loop(loop))

    assert resources.lock_held_share == share


def test_cpu_per_step_is_of_the_steps_in_bins() -> None:
    loop = steady_loop(steps=50, cpu_s=2.0)

    assert summarise_resources(profile(), with_loop(loop)).cpu_s_per_step == pytest.approx(0.04)
    assert summarise_resources(profile(), with_loop(steady_loop())).cpu_s_per_step is None


def test_figures_of_a_gpu_are_means_over_its_samples_and_what_it_does_not_tell_is_none() -> None:
    bins = (
        GpuBin(start_s=0, end_s=1, sm_share=1.0, memory_bytes=5, power_w=None, pcie_bytes_per_s=None, samples=3),
        GpuBin(start_s=1, end_s=2, sm_share=0.0, memory_bytes=9, power_w=None, pcie_bytes_per_s=None, samples=1),
    )
    gpu = summarise_resources(profile(gpus=(GpuSeries(index=0, name="G", bins=bins),)), None).gpus[0]

    assert (gpu.name, gpu.sm_share, gpu.memory_bytes, gpu.power_w) == ("G", 0.75, 9, None)


# --- time line ---------------------------------------------------------------------------------------------------


def test_each_bin_of_steps_is_a_point_with_the_hosts_values_of_its_moment() -> None:
    host = HostSeries(bins=(host_bin(0.0, 0.1, 10), host_bin(1.0, 0.9, 20)))
    loop = steady_loop(steps=40, wait_s=0.03, gap_s=0.02)

    points = draw_timeline(profile(host=host), with_loop(loop))

    assert len(points) == 40
    assert [(points[0].cpu_share, points[0].rss_bytes), (points[-1].cpu_share, points[-1].rss_bytes)] == [(0.1, 10), (0.9, 20)]
    assert (points[5].step_s, points[5].wait_s) == (pytest.approx(0.05), 0.03)


def test_bins_without_a_step_are_no_points() -> None:
    loop = replace(steady_loop(steps=3), bins=(step_bin(0.0, 1.0, 0.0, steps=0), step_bin(1.0, 0.1, 0.1)))

    assert [point.t_s for point in draw_timeline(profile(), with_loop(loop))] == [1.0]


def test_without_steps_the_time_line_is_the_hosts() -> None:
    host = HostSeries(bins=(host_bin(0.0, 0.1, 10), host_bin(1.0, 0.9, 20)))

    assert [(point.t_s, point.step_s, point.cpu_share) for point in draw_timeline(profile(host=host), None)] == [
        (0.0, None, 0.1),
        (1.0, None, 0.9),
    ]


def test_epochs_are_those_of_the_consumer_where_it_counts_them() -> None:
    def epochs(**details: int) -> int:
        return summarise_steps(record(chain("range"), (), loop=steady_loop(**details))).epochs

    assert epochs(epoch_count=1, consumer_epochs=4) == 4
    assert epochs(epoch_count=5, consumer_epochs=0) == 5
