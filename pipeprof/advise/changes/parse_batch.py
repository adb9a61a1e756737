"""Parses a batch of records in one call: ``.map(parse).batch(b)`` becomes ``.batch(b).map(parse)``.

TensorFlow's ``parse_single_example`` is ``parse_example`` behind a check that it gets one record. The user's function is traced
again on batches without that check, which is what the edited source does; the rest of it must be proven elementwise, and real
elements must come out equal, as for ``vectorize``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any  # TensorFlow's modules carry no types

from pipeprof.advise.changes.base import Params, stage_label
from pipeprof.advise.changes.vectorize import Vectorize
from pipeprof.advise.replayable import Replayable
from pipeprof.errors import TrialError
from pipeprof.model.analysis import PipelineView
from pipeprof.model.diagnosis import Safety

PARSE = "parse_batch"


class ParseBatch(Vectorize):
    """A map that parses and the batch behind it change places, and ``parse_example`` parses all records of a batch."""

    kind = PARSE
    parses = True

    def title(self, view: PipelineView, stage_id: str, params: Params) -> str:  # noqa: ARG002 - one signature for all kinds
        """Return the cure and its effect."""
        return f"Batch before {stage_label(view.stage(stage_id))}, and parse a whole batch in one call"

    def safety(self, view: PipelineView, stage_id: str, params: Params) -> tuple[Safety, str]:
        """Return that elements stay: it is not rewritten otherwise."""
        safety, _ = super().safety(view, stage_id, params)
        return safety, "one bad record fails its whole batch" if safety is Safety.SAFE else ""

    def rewrite(self, replayable: Replayable, node_names: Mapping[str, str], stage_id: str, params: Params) -> Replayable:
        """Swap map and batch where the function is proven elementwise but for its parsing.

        Raises:
            TrialError: it is not proven, or the stages are not a map and its batch.
        """
        with _many_records():
            return super().rewrite(replayable, node_names, stage_id, params)


@contextmanager
def _many_records() -> Iterator[None]:
    """Let ``parse_single_example`` take many records, as ``parse_example`` does.

    Raises:
        TrialError: this TensorFlow has no such check to leave out.
    """
    from tensorflow.python.ops import parsing_ops

    check = getattr(parsing_ops, "_assert_scalar", None)
    if check is None:
        raise TrialError("this TensorFlow parses single records in another way")

    def take(value: Any, name: str) -> Any:  # noqa: ARG001 - TensorFlow's signature
        return value

    parsing_ops._assert_scalar = take
    try:
        yield
    finally:
        parsing_ops._assert_scalar = check
