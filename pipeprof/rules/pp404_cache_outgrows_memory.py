"""PP404: a cache in memory that will hold more than there is.

The one idea: elements of an epoch times their bytes is known before the epoch is through, so that the warning comes before
the process is killed. It never asks whether the cache saves time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeprof import units
from pipeprof.analysis.stage_graph import downstream, upstream
from pipeprof.model.analysis import Analysis, PipelineView, StageView
from pipeprof.model.diagnosis import Confidence, Evidence, Finding, Safety, Severity
from pipeprof.rules.base import Parameters, Rule, Status, name_stage, parameter
from pipeprof.rules.cache_point import StoredSize, measure_stored, reads_everything
from pipeprof.rules.memory_room import TENSOR_OVERHEAD_BYTES, held_bytes, memory_limit, tensors_of
from pipeprof.rules.needs import Need

_IN_MEMORY = frozenset({"range", "from_tensor_slices", "from_tensors"})  # a cache after one of them keeps what is kept already
_FULL = 0.95  # of what it will hold


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgrowsMemoryParameters(Parameters):
    """Thresholds of PP404."""

    max_of_room: float = parameter(
        0.9, unit="share of the memory left for it", low=0.1, high=1, doc="from here on a cache is reported"
    )
    earlier_of_room: float = parameter(
        0.5, unit="share of the memory left for it", low=0.01, high=1, doc="an earlier cache that is named takes no more"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outlook:
    """What a cache will hold, and what there is for it."""

    stored: StoredSize
    total_bytes: float
    held_bytes: float
    room_bytes: float
    limit_bytes: float


class CacheOutgrowsMemory(Rule[OutgrowsMemoryParameters]):
    """Cache outgrows memory.

    What it looks for:
        A cache() in memory that will hold more than the memory that is left
        for it once an epoch is through.

    Why it costs time:
        It costs the run: the process is killed in its first epoch, or the
        machine swaps. Decoded images take ten to fifty times the bytes of
        their files, floats four times those of bytes.

    How it is measured:
        Elements of an epoch times the bytes of one element, static where shapes
        are, else as TensorFlow counted them, and 185 bytes for each tensor.
        Left for it is the memory, or the container's limit, less the peak that
        was seen, plus what the cache held of that peak. This also speaks while
        the cache is still growing.

    When it is wrong:
        Where the program means to end before its first epoch does. Behind
        take(), and where several epochs were left early, only what the cache
        held is counted. Memory that others will use is not foreseen.

    What to do:
        Cache earlier, where elements are still small: encoded bytes, uint8. Or
        keep it in a file: cache(filename). Or leave the cache out.

    What that can change:
        What stands after the cache runs in every epoch again. A cache in a
        file outlives the program: delete it when code or data change.

    References:
        TensorFlow guide "Better performance with the tf.data API", on caching;
        tensorflow/tensorflow issues 27128 and 60599.
    """

    code = "PP404"
    name = "cache-outgrows-memory"
    status = Status.STABLE
    remedy_safety = Safety.SAFE
    needs = (Need.PIPELINES, Need.MEMORY)
    follows_from = ("PP606",)
    parameters = OutgrowsMemoryParameters

    def check(self, analysis: Analysis, params: OutgrowsMemoryParameters) -> Iterator[Finding]:
        """Yield a finding for each cache that will not fit."""
        for pipeline in analysis.pipelines:
            for cache in pipeline.stages:
                outlook = _foresee(analysis, pipeline, cache)
                if outlook is not None and outlook.total_bytes >= params.max_of_room * outlook.room_bytes:
                    yield self._report_cache(pipeline, cache, outlook, params)

    def _report_cache(
        self, pipeline: PipelineView, cache: StageView, outlook: _Outlook, params: OutgrowsMemoryParameters
    ) -> Finding:
        earlier = _find_earlier(pipeline, cache, params.earlier_of_room * outlook.room_bytes)
        is_over = outlook.total_bytes > outlook.room_bytes
        whole = reads_everything(pipeline, cache)
        return self.report(
            f"{name_stage(cache)} {_describe_size(outlook)}; {units.byte_count(outlook.room_bytes)} of the "
            f"{units.byte_count(outlook.limit_bytes)} of memory are left for it. {_describe_end(outlook)} "
            f"{_describe_cure(earlier)}",
            severity=Severity.HIGH if is_over else Severity.LOW,
            confidence=Confidence.HIGH if outlook.stored.is_exact and whole else Confidence.MEDIUM,
            pipeline=pipeline,
            view=cache,
            evidence=(
                Evidence(
                    name="cache_bytes",
                    value=outlook.total_bytes,
                    unit="bytes",
                    threshold=params.max_of_room * outlook.room_bytes,
                ),
                Evidence(name="held_bytes", value=outlook.held_bytes, unit="bytes"),
                Evidence(name="elements_per_epoch", value=outlook.stored.elements, unit="elements"),
                Evidence(name="element_bytes", value=outlook.stored.element_bytes, unit="bytes"),
                *(() if earlier is None else (Evidence(name="cache_after", value=earlier[0].id),)),
            ),
        )


def _foresee(analysis: Analysis, pipeline: PipelineView, cache: StageView) -> _Outlook | None:
    written, limit = cache.written, memory_limit(analysis)
    if written is None or written.op != "cache" or written.arguments.get("filename") or limit is None:
        return None
    stored = measure_stored(pipeline, cache)
    if stored is None:
        return None
    held = held_bytes(cache)
    total = stored.total_bytes(tensors_of(cache), TENSOR_OVERHEAD_BYTES)
    if _is_read_in_part(pipeline, cache):
        total = held
    beside = max(0.0, (analysis.resources.rss_peak_bytes or 0) - held)
    return _Outlook(
        stored=stored,
        total_bytes=max(total, held),
        held_bytes=held,
        room_bytes=max(0.0, limit - beside),
        limit_bytes=limit,
    )


def _is_read_in_part(pipeline: PipelineView, cache: StageView) -> bool:
    """Tell whether the program never reads the cache to its end; one epoch that was left early may just have been stopped."""
    if reads_everything(pipeline, cache):
        return False
    return pipeline.record.loop.epoch_count > 1 or any(view.stage.op == "take" for view in downstream(pipeline, cache.id))


def _find_earlier(pipeline: PipelineView, cache: StageView, most_bytes: float) -> tuple[StageView, float] | None:
    """Return the last stage before the cache whose elements of an epoch fit, with their bytes."""
    for view in reversed(upstream(pipeline, cache.id)):
        is_counted = view.written is not None and (view.written.cardinality > 0 or pipeline.record.loop.epoch_count <= 1)
        if view.id == cache.id or view.stage.op in _IN_MEMORY or not is_counted:
            continue
        stored = measure_stored(pipeline, view)
        size = None if stored is None else stored.total_bytes(tensors_of(view), TENSOR_OVERHEAD_BYTES)
        if size is not None and size <= most_bytes:
            return view, size
    return None


def _describe_size(outlook: _Outlook) -> str:
    stored = outlook.stored
    what = f"{stored.elements:,.0f} elements of {units.byte_count(stored.element_bytes)}"
    if outlook.held_bytes >= _FULL * outlook.total_bytes:
        return f"holds {units.byte_count(outlook.total_bytes)}"
    return (
        f"will hold {units.byte_count(outlook.total_bytes)} once an epoch is through ({what}), "
        f"{units.byte_count(outlook.held_bytes)} of it so far"
    )


def _describe_end(outlook: _Outlook) -> str:
    if outlook.total_bytes <= outlook.room_bytes:
        return "Hardly anything remains for the rest of the program."
    return "The program would be killed, or the machine swap, before the epoch ends."


def _describe_cure(earlier: tuple[StageView, float] | None) -> str:
    if earlier is None:
        return "Cache before elements grow, keep them in a file (cache(filename)), or leave the cache out."
    view, size = earlier
    return f"Put it after {name_stage(view)}, where an epoch takes {units.byte_count(size)}, or in a file: cache(filename)."
