"""The files of one pipeline: found when its tree is read, looked at once, later, on the capture's own thread.

Whatever fails here is a problem of the capture's, never the user's.
"""

from __future__ import annotations

from typing import Any

from pipeprof.capture.file_facts import describe_files
from pipeprof.capture.source_files import NamedFiles, find_named_files
from pipeprof.model.profile import SourceFiles


class FileBook:
    """What is known of the files of one pipeline."""

    def __init__(self) -> None:
        """Start with none."""
        self.problem = ""
        self._found: tuple[NamedFiles, ...] = ()
        self._facts: tuple[SourceFiles, ...] = ()

    def find(self, dataset: Any) -> tuple[NamedFiles, ...]:  # Any: a tf.data.Dataset
        """Find and return the stages that read files; no file is touched."""
        try:
            self._found = find_named_files(dataset)
        except Exception as error:  # noqa: BLE001 - an instrument's failure is never the user's
            self._fail(error)
        return self._found

    def describe(self) -> tuple[SourceFiles, ...]:
        """Return what the files are like; the first call looks at them and lets go of their names."""
        found, self._found = self._found, ()
        if found:
            try:
                self._facts = describe_files(found)
            except Exception as error:  # noqa: BLE001 - an instrument's failure is never the user's
                self._fail(error)
        return self._facts

    def _fail(self, error: Exception) -> None:
        self.problem = f"its files could not be looked at: {type(error).__name__}: {error}"
