"""What the script itself showed of changes, when it was run again with them: more than any replay can.

Pure. It must not decide what is recommended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeprof.model.profile import ElementsState, TrialRecord, TrialState


def shown_by_script(trials: Sequence[TrialRecord]) -> frozenset[str]:
    """Return the ids of changes with which the script itself was faster when it was last run with them."""
    last = {
        name: item.state is TrialState.CONFIRMED
        for item in trials
        if item.rerun is not None and not item.rerun.ceiling
        for name in item.rerun.changes
    }
    return frozenset(name for name, is_faster in last.items() if is_faster)


def as_script_showed(record: TrialRecord, trials: Sequence[TrialRecord]) -> TrialRecord:
    """Return a trial by which the elements stay the very same, as refused where the script showed that they do not.

    That is so where it printed something else with the change, and the same in two runs and more without it.
    """
    if record.elements is not ElementsState.IDENTICAL:
        return record
    last = next((item.rerun for item in reversed(trials) if item.rerun is not None and record.id in item.rerun.changes), None)
    if last is None or last.same_output is not False or not last.steady_output:
        return record
    note = f"your script, run again, printed something else with it, and the same each time without it: {last.output_note}"
    return replace(
        record, state=TrialState.WORSE, reason="the elements differ", elements=ElementsState.DIFFERENT, elements_note=note
    )
