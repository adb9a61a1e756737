"""The evidence that a rule can ask for, and what to say where it is missing.

A rule names its needs; the engine asks here before it runs the rule, so that "not measured" never reads as "no problem".
Nothing here judges: it only looks whether a number is there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from pipeprof.analysis.alone import is_alone
from pipeprof.analysis.sources import compare_sources
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import InputBound
from pipeprof.model.profile import TrialRecord
from pipeprof.rules.python_work import runs_python


class Need(StrEnum):
    """One kind of evidence."""

    PIPELINES = "a tf.data pipeline"
    TRAINING = "a training loop"
    CONSUMER = "a consumer that takes time"
    WAITS = "the time waited in each step"
    VERDICT = "a verdict on the training loop"
    COUNTERS = "time per stage"
    TWO_SOURCES = "two sources of the time per stage"
    PROCESS_CPU = "CPU time of the process"
    MEMORY = "memory in use and its limit"
    PYTHON_CALLS = "time inside Python functions"
    HOST_LOAD = "the load of the whole machine"
    CONTAINER = "a limit of the container"
    CONTROL = "a replay with an input that is always ready"
    BUFFERS = "how full the buffers were"
    GPU = "how busy a GPU was"
    PCIE = "traffic between host and GPU"
    SCALING = "the rate at fixed numbers of calls"
    FILES = "the files that the pipeline reads"
    STORAGE_READS = "the bytes that storage gave"


def find_missing(analysis: Analysis, need: Need) -> str:
    """Return why ``need`` is not met, an empty text where it is."""
    return _CHECKS[need](analysis)


def _pipelines(analysis: Analysis) -> str:
    return "" if analysis.pipelines else "no tf.data pipeline was seen"


def _training(analysis: Analysis) -> str:
    return "" if analysis.train is not None else "no training loop over a tf.data pipeline was seen"


def _consumer(analysis: Analysis) -> str:
    return "the pipeline was measured alone, without a consumer" if is_alone(analysis) else ""


def _waits(analysis: Analysis) -> str:
    return "" if analysis.steps.wait_share is not None else "the time waited in each step was not measured"


def _verdict(analysis: Analysis) -> str:
    if analysis.verdict.input_bound is InputBound.UNKNOWN and analysis.verdict.ceiling_speedup is None:
        return "whether the input limits training is unknown"
    return ""


def _counters(analysis: Analysis) -> str:
    train = analysis.train
    if train is None:
        return _training(analysis)
    if not train.record.executed:
        return f"no time per stage: {train.record.counters}"
    if None in (train.step_s, train.gap_s, train.wait_s):
        return "the loop's step was not measured"
    return "" if train.segments else "no time per stage could be brought to one step"


def _process_cpu(analysis: Analysis) -> str:
    train = analysis.train
    return "" if train is not None and train.cpu_s_per_step is not None else "the CPU time of the process was not measured"


def _memory(analysis: Analysis) -> str:
    host = analysis.profile.run.host
    if host.memory_bytes is None and host.memory_limit_bytes is None:
        return "the size of the memory is unknown"
    return "" if analysis.resources.rss_peak_bytes is not None else "the memory in use was not measured"


def _python_calls(analysis: Analysis) -> str:
    train = analysis.train
    if train is None or _has_timed_python(train) or not any(runs_python(view) for view in train.stages):
        return ""
    return "the Python functions of the pipeline were not timed"


def _files(analysis: Analysis) -> str:
    known = any(pipeline.record.files for pipeline in analysis.pipelines)
    return "" if known else "no files were seen that the pipeline reads"


def _storage_reads(analysis: Analysis) -> str:
    return "" if analysis.profile.host.read_bytes is not None else "the bytes read from storage were not measured"


def _has_timed_python(pipeline: PipelineView) -> bool:
    return any(view.written is not None and view.written.python is not None for view in pipeline.stages)


def _two_sources(analysis: Analysis) -> str:
    known = any(compare_sources(pipeline.record) for pipeline in analysis.pipelines)
    return "" if known else "no trace window was taken beside TensorFlow's counters, or it held too few elements"


def _host_load(analysis: Analysis) -> str:
    host = analysis.profile.host
    known = host.steal_share is not None or any(item.system_cpu_share is not None for item in host.bins)
    return "" if known or analysis.profile.controls else "the load of the whole machine was not measured"


def _container(analysis: Analysis) -> str:
    host = analysis.profile.run.host
    is_limited = host.cpu_quota is not None or host.memory_limit_bytes is not None
    return "" if is_limited else "the process has no CPU quota and no memory limit of its own"


def _control(analysis: Analysis) -> str:
    train = analysis.train
    control = None if train is None else analysis.control(train.record.id)
    if control is None:
        return "the loop was not replayed with an input that is always ready"
    return (
        "" if control.reproduces_run else f"the replay is no evidence for this run: {control.reason or 'it runs differently'}"
    )


def _buffers(analysis: Analysis) -> str:
    train = analysis.train
    known = train is not None and any(node.empty_share is not None for node in train.record.executed)
    return "" if known else "how full the buffers were was not measured"


def _gpu(analysis: Analysis) -> str:
    sampled = any(item.sm_share is not None for series in analysis.profile.gpus for item in series.bins)
    known = sampled or any(gpu.sm_share is not None for gpu in analysis.resources.gpus)
    return "" if known else "how busy a GPU was is not known"


def _pcie(analysis: Analysis) -> str:
    known = any(item.pcie_bytes_per_s is not None for series in analysis.profile.gpus for item in series.bins)
    return "" if known else "the traffic between host and GPU was not measured"


def _scaling(analysis: Analysis) -> str:
    train = analysis.train
    if train is not None and (train.record.scaling or any(is_trial_of_calls(item) for item in analysis.profile.trials)):
        return ""
    return "no fixed number of calls was tried beside AUTOTUNE's choice; pipeprof bench does"


def is_trial_of_calls(trial: TrialRecord) -> bool:
    """Tell whether a trial gave a stage a fixed number of calls."""
    calls = trial.change.params.get("num_parallel_calls")
    return trial.change.kind == "parallel_calls" and isinstance(calls, int) and calls > 0


_CHECKS: dict[Need, Callable[[Analysis], str]] = {
    Need.PIPELINES: _pipelines,
    Need.TRAINING: _training,
    Need.CONSUMER: _consumer,
    Need.WAITS: _waits,
    Need.VERDICT: _verdict,
    Need.COUNTERS: _counters,
    Need.TWO_SOURCES: _two_sources,
    Need.PROCESS_CPU: _process_cpu,
    Need.MEMORY: _memory,
    Need.PYTHON_CALLS: _python_calls,
    Need.HOST_LOAD: _host_load,
    Need.CONTAINER: _container,
    Need.CONTROL: _control,
    Need.BUFFERS: _buffers,
    Need.GPU: _gpu,
    Need.PCIE: _pcie,
    Need.SCALING: _scaling,
    Need.FILES: _files,
    Need.STORAGE_READS: _storage_reads,
}
