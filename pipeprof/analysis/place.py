"""The place of a change in a pipeline, with what every kind of change asks of it. It must not know a kind of change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeprof.analysis import doubt
from pipeprof.analysis.step_model import stage_busy_s
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.profile import Change

if TYPE_CHECKING:
    from pipeprof.analysis.doubt import Readings


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a change is made."""

    analysis: Analysis
    view: PipelineView
    stage: StageView
    change: Change

    @property
    def busy_s(self) -> Readings:
        """The stage's busy seconds of a step; what the counters did not see of it is in doubt."""
        seen = self.stage.stage.seen_share
        return stage_busy_s(self.stage) * doubt.around("what was not seen", 0.02 + 0.3 * (1 - (1.0 if seen is None else seen)))

    def number(self, name: str) -> int:
        """Return a whole-number parameter, -1 (AUTOTUNE) where there is none."""
        value = self.change.params.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else -1
