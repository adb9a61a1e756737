"""Rules of parallelism and overlap: pipelines with one such problem, and the same cured."""
