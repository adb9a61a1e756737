"""Re-runs of the script in words; shared by all renderers. Nothing here judges or calculates."""

from __future__ import annotations

from pipeprof import units
from pipeprof.model.diagnosis import Rerun
from pipeprof.report.text import one_line


def rerun_text(rerun: Rerun) -> str:
    """Return what a re-run showed, on one line."""
    if not rerun.pairs or rerun.speedup is None:
        return one_line(f"re-run: {rerun.reason or 'nothing was measured'}")
    within = f" ({units.ratio_interval(rerun.low, rerun.high)})" if rerun.low is not None and rerun.high is not None else ""
    length = "to its end" if rerun.whole else f"of {units.count_of(rerun.steps, 'step')}"
    what = "re-run with one batch that is always ready:" if rerun.ceiling else "re-run"
    parts = [
        f"{what} {units.ratio(rerun.speedup)}{within} in {units.count_of(rerun.pairs, 'pair')} {length}",
        _most(rerun) if rerun.ceiling else rerun.reason,
        f"step {units.duration(rerun.baseline_step_s)} → {units.duration(rerun.candidate_step_s)}",
        _output(rerun),
        _losses(rerun),
        _memory(rerun),
        _waiting(rerun),
    ]
    return one_line("; ".join(part for part in parts if part))


def _most(rerun: Rerun) -> str:
    return rerun.reason if rerun.pairs == 1 else "no input makes training faster than that"


def _output(rerun: Rerun) -> str:
    if rerun.same_output is None:
        return ""
    return "output identical" if rerun.same_output else f"OUTPUT DIFFERS: {rerun.output_note}"


def _losses(rerun: Rerun) -> str:
    if not rerun.baseline_losses or not rerun.candidate_losses:
        return ""
    before, after = (", ".join(f"{loss:.6g}" for loss in losses) for losses in (rerun.baseline_losses, rerun.candidate_losses))
    return f"last loss {before} → {after}"


def _memory(rerun: Rerun) -> str:
    before, after = rerun.baseline_memory_bytes, rerun.candidate_memory_bytes
    if before is None or after is None:
        return ""
    return f"memory {units.byte_count(before)} → {units.byte_count(after)}"


def _waiting(rerun: Rerun) -> str:
    before, after = rerun.baseline_wait_share, rerun.candidate_wait_share
    return "" if before is None or after is None else f"waiting {units.percent(before)} → {units.percent(after)}"
