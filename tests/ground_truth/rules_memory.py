"""Rules of caches, buffers, memory and Python: pipelines with one such problem, and the same cured."""
