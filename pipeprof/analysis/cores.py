"""The machine's cores as a pipeline finds them: how many it may use, how many are busy, how many threads it has.

The one idea: parallel calls help work that computes only as far as cores are free, and work that waits only as far as
threads are free. TensorFlow's processing time is wall time and never read as CPU time here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeprof.analysis import doubt
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.profile import HostBin

if TYPE_CHECKING:
    from pipeprof.analysis.doubt import Readings

CROWDED_SHARE = 0.85  # of all cores, over all processes
_BELOW_WHEN_CROWDED = 0.2


def granted_cores(analysis: Analysis) -> float:
    """Return the cores that the process may use: schedulable ones, less where a CPU quota grants less."""
    host = analysis.profile.run.host
    return float(host.cores) if host.cpu_quota is None else min(float(host.cores), host.cpu_quota)


def used_cores(analysis: Analysis, pipeline: PipelineView) -> float | None:
    """Return how many cores the process itself kept busy while the pipeline was consumed."""
    own = _mean_share(analysis, pipeline, lambda item: item.cpu_share)
    counted = [] if own is None else [own * analysis.profile.run.host.cores]
    if pipeline.cpu_s_per_step is not None and pipeline.step_s:
        counted.append(pipeline.cpu_s_per_step / pipeline.step_s)
    return max(counted) if counted else None


def is_host_crowded(analysis: Analysis, pipeline: PipelineView) -> bool:
    """Tell whether all processes together left hardly a core free: busy times then contain waiting for a core."""
    return (system_cpu_share(analysis, pipeline) or 0.0) >= CROWDED_SHARE


def waits_surely(analysis: Analysis, pipeline: PipelineView, busy_s: float, below: float) -> bool:
    """Tell whether a stage that is busy for ``busy_s`` must be waiting: the pipeline uses far less CPU than that.

    Busy time also contains waiting for a core, which the kernel counts as run delay: CPU and run delay together must stay
    below. Where the run delay is not known, a crowded host (a computing stage had 0.33 CPU seconds for a busy second there,
    a waiting one 0.10) is asked for less CPU.

    Args:
        analysis: what the pipeline is part of.
        pipeline: the pipeline.
        busy_s: the stage's busy time for one step.
        below: CPU seconds for each busy second, on a quiet host.
    """
    cpu_s = pipeline_cpu_s(analysis, pipeline)
    delay_s = pipeline.run_delay_s_per_step
    limit = min(below, _BELOW_WHEN_CROWDED) if delay_s is None and is_host_crowded(analysis, pipeline) else below
    return cpu_s is not None and cpu_s + (delay_s or 0.0) < limit * busy_s


def system_cpu_share(analysis: Analysis, pipeline: PipelineView) -> float | None:
    """Return the share of all cores that all processes together kept busy, the mean while the pipeline was consumed."""
    return _mean_share(analysis, pipeline, lambda item: item.system_cpu_share)


def pool_threads(analysis: Analysis, pipeline: PipelineView) -> int:
    """Return the threads on which TensorFlow runs the pipeline's functions: the private pool's, else one for each core."""
    return pipeline.record.threadpool_size or analysis.profile.run.host.cores


def pipeline_cpu_s(analysis: Analysis, pipeline: PipelineView) -> float | None:
    """Return an upper bound of the CPU seconds that the pipeline's stages use in one step.

    That is the CPU time of the input pipeline replayed alone where there is a control, else that of the whole process. What
    was read of the pipeline's own threads is no bound: stages without a thread of theirs run on the consumer's.
    """
    alone_s = pipeline_alone_cpu_s(analysis, pipeline)
    known = [value for value in (alone_s, pipeline.cpu_s_per_step) if value is not None]
    return min(known) if known else None


def pipeline_alone_cpu_s(analysis: Analysis, pipeline: PipelineView) -> float | None:
    """Return the CPU seconds of one step of the pipeline replayed alone, None where that was not done."""
    control = analysis.control(pipeline.record.id)
    return control.pipeline_cpu_s_per_step if control is not None and control.reproduces_run else None


def free_cores(analysis: Analysis, pipeline: PipelineView) -> Readings:
    """Return how many cores the process can have: all that it is granted, less some or all of what others used meanwhile.

    The scheduler gives a busy process more than others left idle, so that the truth lies between; never less than it had.
    """
    granted, cores = granted_cores(analysis), analysis.profile.run.host.cores
    used, system = used_cores(analysis, pipeline) or 0.0, system_cpu_share(analysis, pipeline)
    others = max(0.0, (system or 0.0) * cores - used) if system is not None else 0.0
    return doubt.between("cores that are left", min(granted, max(granted - others, used, 0.1)), granted)


def delay_behind_others_s(analysis: Analysis, pipeline: PipelineView) -> float | None:
    """Return the seconds of a step that this process's threads waited for a core which another process had, at most.

    Of the run delay that is the others' part of all CPU time; None where one of the two was not measured.
    """
    delay_s, own_s = pipeline.run_delay_s_per_step, pipeline.cpu_s_per_step
    share = system_cpu_share(analysis, pipeline)
    if delay_s is None or own_s is None or share is None or not pipeline.step_s:
        return None
    machine_s = share * analysis.profile.run.host.cores * pipeline.step_s
    return delay_s * max(0.0, 1 - own_s / machine_s) if machine_s > 0 else 0.0


def _mean_share(analysis: Analysis, pipeline: PipelineView, read: Callable[[HostBin], float | None]) -> float | None:
    """Return the mean of a share over the host's bins, each weighted by how long it lies within the loop."""
    loop = pipeline.record.loop
    weighted = [
        (min(item.end_s, loop.end_s) - max(item.start_s, loop.start_s), read(item)) for item in analysis.profile.host.bins
    ]
    known = [(span_s, share) for span_s, share in weighted if span_s > 0 and share is not None]
    total_s = sum(span_s for span_s, _ in known)
    return sum(span_s * share for span_s, share in known) / total_s if total_s > 0 else None
