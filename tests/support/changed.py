"""Changes a hand-made Analysis where a Scene has no number for it: the host, the loop, the pipeline's record, the GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeprof.model.analysis import Analysis
from pipeprof.model.profile import GpuBin, GpuSeries


def changed(
    analysis: Analysis,
    *,
    host: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
    loop: Mapping[str, Any] | None = None,
    nodes: Mapping[str, Any] | None = None,
    **profile: Any,
) -> Analysis:
    """Return the analysis with these fields of its parts changed.

    Args:
        analysis: an analysis of one pipeline.
        host: of the host's series.
        record: of the pipeline.
        loop: of its loop.
        nodes: of every executed node.
        **profile: of the profile itself.
    """
    (view,) = analysis.pipelines
    new_record = replace(
        view.record,
        **{
            "loop": replace(view.record.loop, **(loop or {})),
            "executed": tuple(replace(node, **(nodes or {})) for node in view.record.executed),
            **(record or {}),
        },
    )
    series = replace(analysis.profile.host, **(host or {}))
    return replace(
        analysis,
        profile=replace(analysis.profile, pipelines=(new_record,), host=series, **profile),
        pipelines=(replace(view, record=new_record),),
        resources=replace(analysis.resources, throttled_s=series.throttled_s),
    )


def gpu(*busy: float, memory: tuple[int, ...] = (), pcie: float | None = None, index: int = 0, samples: int = 10) -> GpuSeries:
    """Make a GPU of 80 GB with a bin of one second for each busy share; memory is 10 GB where not given."""
    held = memory or (10_000_000_000,) * len(busy)
    return GpuSeries(
        index=index,
        name="A100",
        memory_total_bytes=80_000_000_000,
        bins=tuple(
            GpuBin(
                start_s=float(at),
                end_s=at + 1.0,
                sm_share=share,
                memory_bytes=held[at],
                power_w=None,
                pcie_bytes_per_s=pcie,
                samples=samples,
            )
            for at, share in enumerate(busy)
        ),
    )
