"""Alignment on real pipelines: what TensorFlow made of each written stage, and how many elements passed it."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from pathlib import Path

import pytest

from pipeprof.analysis.alignment import align
from pipeprof.analysis.operational import view_pipeline
from pipeprof.analysis.rewrites import explained_share, name_rewrites
from pipeprof.capture.profile_maker import RunFacts
from pipeprof.capture.session import CaptureSession
from pipeprof.model.profile import PipelineRecord, Role
from pipeprof.settings import Settings
from tests.support.pipelines import EPOCHS, Case
from tests.support.pipelines_in_a_chain import CHAINS
from tests.support.pipelines_of_libraries import LIBRARY_CASES, LibraryCase
from tests.support.pipelines_of_sources import SOURCES

pytestmark = pytest.mark.tf

IN_PARTS = ("concatenate", "interleave", "flat_map")  # whose inputs come and go
LOOKS = (8, 20, 30)  # steps of an epoch of fifty, of which the first part of a concatenation gives fifteen


def observe(build: Callable[[], object], *, look_in: Container[int] = ()) -> PipelineRecord:
    """Iterate a dataset for two epochs of short steps under a capture, which gets a look at the steps ``look_in``."""
    capture = CaptureSession(Settings(), RunFacts(id="test", command=("test",), started_at="", working_directory=""))
    capture.start()
    try:
        dataset = build()
        for _ in range(EPOCHS):
            for step, _batch in enumerate(dataset):
                time.sleep(0.001)
                if step in look_in:
                    _await_a_look(capture)
    finally:
        profile = capture.stop()
    return next(record for record in profile.pipelines if record.role is Role.TRAIN)


def _await_a_look(capture: CaptureSession) -> None:
    """Wait until the counters were read once more: a node that lives for 50 ms is missed where the sampler gets no turn."""
    before, until = _looks(capture), time.monotonic() + 10
    while _looks(capture) == before:
        assert time.monotonic() < until, "the counters were not read for ten seconds"
        time.sleep(0.005)


def _looks(capture: CaptureSession) -> int:
    return sum(stage.snapshots for entry in capture.pipelines.all() for stage in entry.counters.freeze())


def _as_far_as_seen(node: str | None, seen: str | None) -> str | None:
    """Return what is to be seen of a stage: inner pipelines that read ahead live for milliseconds, unsampled perhaps."""
    is_outermost = node is not None and seen is not None and node.startswith(f"{seen} + ")
    return seen if is_outermost else node


@pytest.mark.parametrize("case", [*CHAINS, *SOURCES], ids=lambda case: case.name)
def test_every_written_stage_is_found_in_what_tensorflow_ran(case: Case, tmp_path: Path) -> None:
    is_in_parts = any(op in IN_PARTS for op, _node, _count in case.stages)
    record = observe(lambda: case.build(tmp_path), look_in=LOOKS if is_in_parts else ())

    view = view_pipeline(record)

    written = [item for item in view.stages if item.written is not None]
    found = [(item.stage.op, item.stage.executed_as, item.stage.elements) for item in written]
    assert found == [
        (op, _as_far_as_seen(node, seen), count) for (op, node, count), (_, seen, _) in zip(case.stages, found, strict=True)
    ]
    steps = record.loop.elements
    assert [item.visit_ratio for item in written] == [
        None if count is None else pytest.approx(item.stage.elements / steps, abs=0.501 / steps)  # elements are rounded
        for item, (_op, _node, count) in zip(written, case.stages, strict=True)
    ]
    assert [item.stage.executed_as for item in view.stages if item.stage.injected] == list(case.injected)
    assert [(item.stage.fused_into, item.id) for item in written if item.stage.fused_into] == list(case.fused)
    assert [item.shares_node_with for item in written if item.shares_node_with] == [
        (other,) for pair in case.fused for other in reversed(pair)
    ]
    assert align(record).unexplained == []


@pytest.mark.parametrize("case", LIBRARY_CASES, ids=lambda case: case.name)
def test_every_node_of_a_librarys_pipeline_is_explained_by_a_stage_or_a_named_rewrite(
    case: LibraryCase, tmp_path: Path
) -> None:
    record = observe(lambda: case.build(tmp_path))

    alignment = align(record)
    rewrites = name_rewrites(record, alignment)

    nodes = {stage.id: alignment.nodes.get(stage.id) for stage in record.written}
    found = [(stage.op, nodes[stage.id][0].node) for stage in record.written if nodes[stage.id]]
    rest = iter(found)
    assert all(wanted in rest for wanted in case.executed), found
    assert alignment.unexplained == []
    assert explained_share(record, alignment) == 1.0
    assert case.rewrites <= {applied.rewrite for applied in rewrites}
    assert all(stage.call_site.file.endswith("pipelines_of_libraries.py") for stage in record.written)
