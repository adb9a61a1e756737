"""Editor of ``parallel_inside``: the inner map's call is one like any other, and so is its argument."""

from __future__ import annotations

from pipeprof.advise.edits.parallel_calls import rewrite

__all__ = ["rewrite"]
