"""What is done with a pipeline before its changes are tried, guarded as trials are: a ``next`` that blocks holds nothing up.

It must not try a change.
"""

from __future__ import annotations

import threading

from pipeprof.advise.guard import Pulse, run_guarded
from pipeprof.advise.pairing import TrialPlan
from pipeprof.advise.replay import Drive, WarmUp, measure_alone
from pipeprof.advise.replayable import Replayable, first_line
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView

_STALL_S, _STALL_WAITS = 30.0, 10.0  # without an element, and so many times the longest wait of the run: it hangs
_ALONE_S = 1.0


def stall_s(view: PipelineView) -> float:
    """Return after how many seconds without an element a replay of a pipeline hangs."""
    loop = view.record.loop
    longest_s = max((item.wait_max_s for item in loop.bins), default=0.0)
    return _STALL_S + _STALL_WAITS * max(longest_s, loop.first_batch_s or 0.0)


def pipeline_cpu(current: Replayable, plan: TrialPlan, stop: threading.Event, deadline_s: float) -> float | None:
    """Return the CPU seconds of one element of the pipeline alone, None where it cannot be driven.

    Raises:
        TrialError: it cannot be replayed, or hangs (HungError).
    """

    def work(pulse: Pulse) -> float | None:
        drive = Drive(current.load, beat=pulse.beat, epoch_elements=plan.epoch_steps)
        block = measure_alone(drive, WarmUp(cap_s=plan.warm_up.cap_s), pulse.halt, seconds=_ALONE_S)
        return block.cpu_s / block.steps if block.steps else None

    try:
        return run_guarded(work, stop=stop, deadline_s=deadline_s, stall_s=plan.stall_s or deadline_s)
    except TrialError:
        raise
    except Exception as error:
        raise TrialError(f"its replay failed: {type(error).__name__}: {first_line(error)}") from error
