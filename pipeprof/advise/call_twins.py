"""Stages that one call makes: a patch of the call changes them all, and so must a trial of it.

A helper, a loop or a comprehension makes several stages with one line. It must not decide whether a change is right for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.changes import find_change
from pipeprof.advise.replayable import Replayable
from pipeprof.model.analysis import PipelineView
from pipeprof.model.profile import CallSite, Change

ONE_FOR_ALL = frozenset({"thread_pool", "prefetch", "nondeterministic", "enable_autotune", "limit_memory", "repeat_once"})
"""Changes of a pipeline, whatever stage they are found at: they are made behind its last one."""


def stages_of_call(view: PipelineView, site: CallSite | None) -> tuple[str, ...]:
    """Return the ids of a pipeline's stages that one call makes, source first; a call that is not known makes none."""
    return tuple(item.id for item in view.stages if site is not None and item.stage.call_site == site)


def rewrite_call(
    current: Replayable, names: Mapping[str, str], view: PipelineView, stage_id: str, change: Change
) -> Replayable:
    """Rewrite every stage of the pipeline that the call of one stage makes.

    Raises:
        TrialError: one of them cannot be rewritten.
    """
    kind = find_change(change.kind)
    op = view.stage(stage_id).stage.op
    twins = [key for key in stages_of_call(view, view.stage(stage_id).stage.call_site) if view.stage(key).stage.op == op]
    for key in (stage_id,) if change.kind in ONE_FOR_ALL else twins or (stage_id,):
        current = kind.rewrite(current, names, key, change.params)
    return current
