"""Analysis: calculation from a Profile, pure; no clock, no disk, no TensorFlow."""

from pipeprof.analysis.analyse import analyse

__all__ = ["analyse"]
