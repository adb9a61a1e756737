"""From a Profile to an Analysis: one pure function, the same Profile always giving the same Analysis."""

from __future__ import annotations

from pipeprof.analysis.operational import view_pipeline
from pipeprof.analysis.summary import draw_timeline, summarise_resources, summarise_steps
from pipeprof.analysis.verdict import judge
from pipeprof.model.analysis import Analysis
from pipeprof.model.profile import Profile, Role


def analyse(profile: Profile) -> Analysis:
    """Calculate everything that the rules and the report need."""
    views = tuple(view_pipeline(record) for record in profile.pipelines)
    training = [view for view in views if view.record.role is Role.TRAIN]
    train = max(training or views, key=lambda view: view.record.loop.wall_s, default=None)
    record = train.record if train is not None else None
    steps = summarise_steps(record)
    control = next((item for item in profile.controls if record is not None and item.pipeline_id == record.id), None)
    return Analysis(
        profile=profile,
        steps=steps,
        resources=summarise_resources(profile, record),
        timeline=draw_timeline(profile, record),
        verdict=judge(steps, train, control),
        pipelines=views,
        train_id=record.id if record is not None else None,
    )
