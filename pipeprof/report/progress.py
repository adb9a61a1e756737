"""The progress line of the trials: on the user's terminal while they run, gone when they are over."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress


class TrialProgress:
    """A progress bar over the budget of the trials; silent where there is no terminal to show it on."""

    def __init__(
        self, stream: TextIO | None, *, quiet: bool = False, first: str = "preparing the trials (Ctrl-C skips them)"
    ) -> None:
        """Prepare for ``stream``; ``first`` is shown until the first update."""
        self._first = first
        self._stream = None if quiet or stream is None or not stream.isatty() else stream
        self._progress: Progress | None = None

    def __enter__(self) -> TrialProgress:
        """Show the bar."""
        if self._stream is not None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("pipeprof"),
                BarColumn(bar_width=20),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=Console(file=self._stream),
                transient=True,
            )
            self._progress.start()
            self._progress.add_task(self._first, total=1.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()

    def update(self, text: str, share: float) -> None:
        """Show what is being done and how much of the budget is used."""
        if self._progress is not None:
            task = self._progress.tasks[0].id
            self._progress.update(task, description=text, completed=min(share, 1.0))
