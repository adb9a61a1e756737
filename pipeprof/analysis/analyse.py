"""From a Profile to an Analysis: one pure function, the same Profile always giving the same Analysis."""

from __future__ import annotations

from dataclasses import replace

from pipeprof.analysis.agreement import check_control
from pipeprof.analysis.levels import ready_time
from pipeprof.analysis.operational import view_pipeline
from pipeprof.analysis.roles import find_longer_wait
from pipeprof.analysis.summary import draw_timeline, summarise_resources, summarise_steps
from pipeprof.analysis.verdict import judge, judge_nothing
from pipeprof.model.analysis import Analysis, PipelineView
from pipeprof.model.diagnosis import Resources, Steps
from pipeprof.model.profile import Control, Profile, Role


def analyse(profile: Profile) -> Analysis:
    """Calculate everything that the rules and the report need."""
    views = tuple(view_pipeline(record, profile.run.host.cores) for record in profile.pipelines)
    training = [view for view in views if view.record.role is Role.TRAIN]
    train = max(training or views, key=lambda view: view.record.loop.wall_s, default=None)
    record = train.record if train is not None else None
    steps = summarise_steps(record)
    if train is not None:
        steps = replace(steps, ready_s=ready_time(train.stages, train.step_s))
        profile = replace(profile, controls=tuple(_checked(item, steps, train) for item in profile.controls))
    control = next((item for item in profile.controls if record is not None and item.pipeline_id == record.id), None)
    resources = summarise_resources(profile, record)
    return Analysis(
        profile=profile,
        steps=steps,
        resources=resources,
        timeline=draw_timeline(profile, record),
        verdict=judge(steps, train, control, find_longer_wait(views, train), _loop_python_share(resources, train))
        if views
        else judge_nothing(profile.empty_pipelines),
        pipelines=views,
        train_id=record.id if record is not None else None,
    )


def _loop_python_share(resources: Resources, train: PipelineView | None) -> float | None:
    """Return the share of the loop in which the interpreter's lock was held, less what the pipeline's own Python computed."""
    if resources.lock_held_share is None or train is None or train.record.loop.wall_s <= 0:
        return None
    own_s = sum(stage.python.cpu_s for stage in train.record.written if stage.python is not None)
    return max(0.0, resources.lock_held_share - own_s / train.record.loop.wall_s)


def _checked(control: Control, steps: Steps, train: PipelineView) -> Control:
    return check_control(control, steps, train) if control.pipeline_id == train.record.id else control
