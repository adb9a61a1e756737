"""Rules of the order of stages and the work thrown away: pipelines with one such problem, and the same cured."""
