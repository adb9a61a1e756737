"""Rules of files, formats and where the work is done: pipelines with one such problem, and the same cured."""
