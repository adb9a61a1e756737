"""PP002: something else on the machine took time from the run, so that its numbers are not all its own.

The one idea: what others take is measured where it hurts: a hypervisor's steal, threads that were ready while another process
had the core, and a loop that differs from itself. It marks what was measured and never corrects a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from pipeprof import units
from pipeprof.analysis.cores import delay_behind_others_s, system_cpu_share, used_cores
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Severity
from pipeprof.rules.base import Parameters, Rule, Status, parameter
from pipeprof.rules.needs import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class NoisyHostParameters(Parameters):
    """Thresholds of PP002."""

    max_steal: float = parameter(0.05, unit="share of the cores", low=0, high=1, doc="more taken by the hypervisor is noise")
    max_delay: float = parameter(
        0.10, unit="share of the time that threads want a core", low=0, high=1, doc="more spent behind other processes is noise"
    )
    max_step: float = parameter(
        0.05, unit="share of the step", low=0, high=1, doc="and that much of the step, so that it can matter"
    )
    max_noise: float = parameter(
        0.15, unit="share of the step", low=0.01, high=2, doc="a loop that differs so much from itself is noisy"
    )


class NoisyHost(Rule[NoisyHostParameters]):
    """Noisy host.

    What it looks for:
        CPU time taken by the hypervisor, threads of this program that had to
        wait for a core while other processes ran, and a loop whose step time,
        replayed twice without a change, was not the same.

    Why it costs time:
        Steps take longer than they would on a quiet machine. Worse, they do so
        unevenly: a difference between two runs may be the neighbour's.

    How it is measured:
        Steal time of all cores; the run delay that the kernel counts for this
        program's threads, times the part of the CPU time that others used;
        the interval of the loop against itself, where changes were tried. A
        delay that is a small part of the step is left out.

    When it is wrong:
        Where the other processes belong to the training itself: data loaders,
        a parameter server, workers of the tf.data service.

    What to do:
        Run again on a quiet machine before the numbers are compared with
        others. Take no difference below the one that is told for a gain.

    What that can change:
        Nothing in the program.

    References:
        proc(5) on steal time; Linux scheduler statistics (sched-stats), run
        delay.
    """

    code = "PP002"
    name = "noisy-host"
    status = Status.STABLE
    remedy_safety = None
    needs = (Need.HOST_LOAD,)
    parameters = NoisyHostParameters

    def check(self, analysis: Analysis, params: NoisyHostParameters) -> Iterator[Finding]:
        """Yield one finding that names every kind of noise that was seen."""
        train = analysis.train
        said, evidence = [], []
        steal = analysis.profile.host.steal_share
        if steal is not None and steal > params.max_steal:
            said.append(f"the hypervisor took {units.percent(steal)} of the cores")
            evidence.append(Evidence(name="steal_share", value=steal, unit="share", threshold=params.max_steal))
        delay = None if train is None else _delay_share(analysis, train)
        if train is not None and delay is not None and delay > params.max_delay and _of_step(analysis, train) > params.max_step:
            said.append(_describe_delay(analysis, train, delay))
            evidence.append(Evidence(name="behind_others", value=delay, unit="share", threshold=params.max_delay))
        noise = _noise(analysis)
        if noise is not None and noise > params.max_noise:
            said.append(f"the same loop differed from itself by up to {units.percent(noise)}")
            evidence.append(Evidence(name="noise", value=noise, unit="share", threshold=params.max_noise))
        if said:
            yield self.report(
                f"The machine was not quiet: {'; '.join(said)}. Times in this report hold that noise; run again on a quiet "
                "machine before comparing them.",
                severity=Severity.INFO,
                confidence=Confidence.HIGH,
                pipeline=train,
                evidence=evidence,
            )


def _delay_share(analysis: Analysis, train: PipelineView) -> float | None:
    """Return, of the time in which threads wanted a core, the share in which another process had it."""
    behind_s = delay_behind_others_s(analysis, train)
    wanted_s = (train.cpu_s_per_step or 0.0) + (train.run_delay_s_per_step or 0.0)
    return None if behind_s is None or wanted_s <= 0 else behind_s / wanted_s


def _of_step(analysis: Analysis, train: PipelineView) -> float:
    """Return the time behind other processes as a share of the step; of all threads, so that it is an upper bound."""
    return (delay_behind_others_s(analysis, train) or 0.0) / train.step_s if train.step_s else 0.0


def _describe_delay(analysis: Analysis, train: PipelineView, share: float) -> str:
    cores = analysis.profile.run.host.cores
    others = (system_cpu_share(analysis, train) or 0.0) * cores - (used_cores(analysis, train) or 0.0)
    return (
        f"other processes used {units.significant(max(0.0, others))} of {cores} cores, and the program's threads waited "
        f"behind them for {units.percent(share)} of the time in which they wanted one"
    )


def _noise(analysis: Analysis) -> float | None:
    """Return how far the loop was from itself: by its controls, else the median of what the trials saw."""
    controls = [(item.noise_low, item.noise_high) for item in analysis.profile.controls]
    trials = [
        (item.noise_low, item.noise_high)
        for item in analysis.profile.trials
        if item.noise_low is not None and item.noise_high is not None
    ]
    apart = [max(high, 1 / max(low, 1e-3)) - 1 for low, high in controls or trials]
    return median(apart) if apart else None
