"""What trials of a change showed, for the rule that led to it: advice that was refused is taken back.

It must not judge them.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.profile import TrialRecord


def trials_of(analysis: Analysis, pipeline: PipelineView, kind: str) -> Iterator[TrialRecord]:
    """Yield the trials of one kind of change in a pipeline."""
    for trial in analysis.profile.trials:
        if trial.pipeline_id == pipeline.record.id and trial.change.kind == kind:
            yield trial
