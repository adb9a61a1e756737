"""Editor of ``split_map`` where a shuffle stands before the map: both calls are given."""

from __future__ import annotations

from pipeprof.advise.edits.split_map import rewrite

__all__ = ["rewrite"]
