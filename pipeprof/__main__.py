"""Entry point of ``python -m pipeprof``."""

from __future__ import annotations

from pipeprof.cli.main import run_and_exit

if __name__ == "__main__":
    run_and_exit()
