"""The Analysis: a Profile brought to one step of the consumer; what rules read and predictions start from.

Data only, like its neighbours: ``analysis/`` fills it, ``rules/`` and ``advise/`` read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof.model.diagnosis import Resources, Stage, Steps, TimelinePoint, Verdict
from pipeprof.model.looks import ElementLook, LookOrder
from pipeprof.model.profile import Control, ExecutedStage, PipelineRecord, Profile, WrittenStage


@dataclass(frozen=True, kw_only=True, slots=True)
class StageView:
    """One stage, written and executed, brought to one step."""

    stage: Stage
    written: WrittenStage | None  # None for a stage that TensorFlow injected
    executed: tuple[ExecutedStage, ...]  # the nodes that explain it, outermost first; empty where it was removed
    shares_node_with: tuple[str, ...] = ()  # ids of the stages fused into the same node
    visit_ratio: float | None = None  # elements per step
    busy_s_per_element: float | None = None
    busy_s_per_step: float | None = None
    slots: float = 1.0  # calls that can run at once
    segment: int = 0  # stages of one segment run on one thread, one after the other
    is_sequential: bool = True
    is_parallel_by_autotune: bool = False

    @property
    def id(self) -> str:
        """The stage's id."""
        return self.stage.id

    @property
    def chosen_calls(self) -> int | None:
        """How many calls at once AUTOTUNE chose for the stage, None where it chose none."""
        node = self.executed[0] if self.executed and self.written is not None else None
        if node is None or not node.parallelism_tuned or node.parallelism is None:
            return None
        return max(1, round(node.parallelism))


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentView:
    """Stages between two asynchronous boundaries: they share their thread (or their pool of slots)."""

    index: int
    stage_ids: tuple[str, ...]
    busy_s_per_step: float
    slots: float
    max_steps_per_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineView:
    """One pipeline, brought to one step."""

    record: PipelineRecord
    stages: tuple[StageView, ...]  # source first
    segments: tuple[SegmentView, ...] = ()
    bottleneck_id: str | None = None
    production_s_per_step: float | None = None  # of the slowest segment: time to make one element
    busy_s_per_step: float | None = None
    unattributed_s_per_step: float | None = None
    step_s: float | None = None  # mean over the loop without the first batch
    gap_s: float | None = None  # the consumer's own part of it
    wait_s: float | None = None
    cpu_s_per_step: float | None = None  # of the whole process
    input_cpu_s_per_step: float | None = None  # of TensorFlow's threads of this pipeline, their spinning included
    run_delay_s_per_step: float | None = None  # of all its threads: runnable, but without a core

    def stage(self, stage_id: str) -> StageView:
        """Return the stage with this id.

        Raises:
            KeyError: there is none.
        """
        for view in self.stages:
            if view.id == stage_id:
                return view
        raise KeyError(stage_id)

    @property
    def bottleneck(self) -> StageView | None:
        """The stage that bounds the pipeline's rate."""
        return None if self.bottleneck_id is None else self.stage(self.bottleneck_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """Everything calculated from a Profile before the rules judge it."""

    profile: Profile
    steps: Steps
    resources: Resources
    timeline: tuple[TimelinePoint, ...]
    verdict: Verdict
    pipelines: tuple[PipelineView, ...]
    train_id: str | None  # the pipeline that the verdict is about

    @property
    def train(self) -> PipelineView | None:
        """The pipeline that the verdict is about."""
        return next((view for view in self.pipelines if view.record.id == self.train_id), None)

    def control(self, pipeline_id: str) -> Control | None:
        """Return the ready-element control of a pipeline, where it was replayed."""
        return next((item for item in self.profile.controls if item.pipeline_id == pipeline_id), None)

    def look(self, order: LookOrder) -> ElementLook | None:
        """Return what a look at the elements showed, None where it was not taken or showed nothing."""
        return next((item for item in self.profile.looks if item.order == order and item.same is not None), None)
