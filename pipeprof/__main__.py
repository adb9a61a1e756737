"""Entry point of ``python -m pipeprof``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and not sys.flags.isolated:
        del sys.path[0]  # the working directory: its files must not take the place of what pipeprof imports
    from pipeprof.cli.main import run_and_exit

    run_and_exit()
