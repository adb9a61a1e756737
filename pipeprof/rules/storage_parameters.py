"""Thresholds that the rules on storage share. Nothing else is in here."""

from __future__ import annotations

from dataclasses import dataclass

from pipeprof.rules.base import Parameters, parameter


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageParameters(Parameters):
    """Thresholds of the rules on storage that is the limit."""

    min_share: float = parameter(0.05, unit="share of the step", low=0, high=1, doc="it must explain this much")
    from_storage: float = parameter(
        0.5, unit="share of the bytes read", low=0.01, high=1, doc="that storage gave and not the page cache, at least"
    )
    waits_below: float = parameter(0.5, unit="CPU s per busy s", low=0, high=1, doc="a reader with less CPU waits")
    compresses: float = parameter(2.0, unit="ratio", low=1.1, high=100, doc="to which GZIP must shrink data to be worth it")
