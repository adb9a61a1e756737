"""Editor of ``parse_batch``: the map and its batch change places; ``parse_together`` edits the function itself."""

from __future__ import annotations

from pipeprof.advise.edits.vectorize import rewrite

__all__ = ["rewrite"]
