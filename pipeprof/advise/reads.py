"""What a process reads, and how much of that comes from storage: whether a trial read files or the page cache."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reads:
    """Bytes since the process began, or between two instants (Linux, /proc/PID/io)."""

    all_bytes: int
    storage_bytes: int

    @classmethod
    def now(cls) -> Reads | None:
        """Return what this process has read so far, None where the system does not say."""
        import psutil

        try:
            counters = psutil.Process().io_counters()
            return cls(int(counters.read_chars), int(counters.read_bytes))
        except (AttributeError, OSError, psutil.Error):
            return None

    @classmethod
    def since(cls, before: Reads | None) -> Reads | None:
        """Return what was read since an instant."""
        now = cls.now()
        if before is None or now is None:
            return None
        return cls(now.all_bytes - before.all_bytes, now.storage_bytes - before.storage_bytes)
