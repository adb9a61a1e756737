"""Cuts a pipeline where ``tf.distribute`` took it over: what comes to one step is one element of the user's own dataset.

Behind that the strategy deals a batch out to its replicas, an element for each of them, in stages that its call makes.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeprof.advise.match import is_auto_shard
from pipeprof.advise.replayable import Replayable
from pipeprof.advise.steadiness import cut_at
from pipeprof.errors import TrialError
from pipeprof.model.profile import PipelineRecord


def as_written(replayable: Replayable, names: Mapping[str, str], record: PipelineRecord) -> Replayable:
    """Return the pipeline without the stages that a strategy added behind it; as it is where there are none, or are not known.

    Args:
        replayable: the whole pipeline.
        names: its nodes by stage.
        record: what was seen of it.
    """
    stages = {stage.id: stage for stage in record.written}
    site = next((stage.call_site for stage in record.written if is_auto_shard(stage)), None)
    own = stages.get(record.output)
    while own is not None and site is not None and own.call_site == site and len(own.inputs) == 1:
        own = stages.get(own.inputs[0])
    name = None if own is None or own.id == record.output else names.get(own.id)
    if name is None:
        return replayable
    try:
        return cut_at(replayable, name)
    except TrialError:
        return replayable
