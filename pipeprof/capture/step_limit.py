"""Ends a program after so many steps of one of its pipelines, so that two runs of it can be compared over the same steps.

The end comes as the step after the last one is asked for: the last one is whole. It must not know how a program is ended.
"""

from __future__ import annotations

from collections.abc import Callable


class StepLimit:
    """Counts the steps of one pipeline over all its iterators, on the threads that take them."""

    def __init__(self, pipeline_id: str, steps: int, end: Callable[[], None]) -> None:
        """Wait for the pipeline's iterators.

        Args:
            pipeline_id: the pipeline whose steps count.
            steps: how many of them there may be.
            end: ends the program; it is not expected to return.
        """
        self.end = end
        self._pipeline_id = pipeline_id
        self._left = steps
        self._iterators: set[int] = set()

    def watch(self, iterator: int, pipeline_id: str) -> None:
        """An iterator of some pipeline was made."""
        if pipeline_id == self._pipeline_id:
            self._iterators.add(iterator)

    def is_over(self, iterator: int, elements: int) -> bool:
        """An iterator gave so many elements; return whether these are beyond the limit."""
        if iterator not in self._iterators:
            return False
        self._left -= elements
        return self._left < 0
