"""Where the time of Python functions goes that TensorFlow calls from its pipelines.

``py_function``, ``numpy_function`` and ``from_generator`` all pass through one method, ``FuncRegistry.__call__``; wrapped,
it tells calls, wall time and the calling thread's CPU time apart by token, the name that the graph's ``PyFunc`` and
``EagerPyFunc`` nodes carry. Wall far above CPU is sleeping, I/O or, in calls longer than the interpreter's switch interval
(5 ms), waiting for its lock. Shorter calls wait for the lock before they start, which is not in these figures: it is what
TensorFlow's processing time of the stage has beyond the wall time here. The wrapper must not be visible: same results, same
exceptions, same error texts.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeprof.model.profile import PythonCalls

MAX_TOKENS = 20_000  # every traced function takes a token; those after the limit are counted under OTHER_TOKENS
OTHER_TOKENS = ""


class PythonCallMeter:
    """Counts the Python functions that TensorFlow calls; one at a time is meant to be installed.

    Wall and CPU time of a function include those of others that it calls through TensorFlow on its own thread.
    """

    def __init__(
        self, wall_clock_ns: Callable[[], int] = time.perf_counter_ns, cpu_clock_ns: Callable[[], int] = time.thread_time_ns
    ) -> None:
        """Patch nothing yet.

        Args:
            wall_clock_ns: a monotonic clock, in nanoseconds.
            cpu_clock_ns: CPU time of the thread that asks, in nanoseconds.
        """
        self._wall_clock_ns = wall_clock_ns
        self._cpu_clock_ns = cpu_clock_ns
        self._lock = threading.RLock()  # entered again when a signal handler asks for the totals
        self._totals: dict[str, list[int]] = {}  # token -> calls, wall ns, CPU ns
        self._registry: Any = None  # TensorFlow's class, while patched
        self._original: Callable[..., Any] | None = None
        self._wrapper: Callable[..., Any] | None = None
        self._active = False

    def install(self) -> None:
        """Wrap TensorFlow's registry; imports it, so wait until the script has. May be called again."""
        self._active = True
        if self._registry is not None:
            return
        from tensorflow.python.ops import script_ops

        self._registry = script_ops.FuncRegistry
        self._original = self._registry.__call__
        self._wrapper = self._metered(self._original)
        self._registry.__call__ = self._wrapper

    def uninstall(self) -> None:
        """Put the original back; where somebody wrapped it again since, only stop counting. May be called again."""
        self._active = False
        if self._registry is not None and self._registry.__call__ is self._wrapper:
            self._registry.__call__ = self._original
            self._registry = self._original = self._wrapper = None

    def totals(self) -> Mapping[str, PythonCalls]:
        """Return what was counted so far by token, as TensorFlow writes it into graphs (``pyfunc_3``)."""
        with self._lock:
            counted = {token: tuple(numbers) for token, numbers in self._totals.items()}
        return {
            token: PythonCalls(calls=calls, wall_s=wall_ns * 1e-9, cpu_s=cpu_ns * 1e-9)
            for token, (calls, wall_ns, cpu_ns) in counted.items()
        }

    def _metered(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return the wrapper of ``FuncRegistry.__call__(self, token, device, args)``."""
        meter, count, wall_clock, cpu_clock = self, self._count, self._wall_clock_ns, self._cpu_clock_ns

        @functools.wraps(original)
        def metered(self: Any, token: str, device: str | None, args: Any) -> Any:
            if not meter._active:
                return original(self, token, device, args)
            wall_ns, cpu_ns = wall_clock(), cpu_clock()
            try:
                return original(self, token, device, args)
            except BaseException as error:
                # TensorFlow prints the traceback into its error text: leave this frame out. A bare raise adds it not again.
                error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
                raise
            finally:
                count(token, wall_clock() - wall_ns, cpu_clock() - cpu_ns)

        return metered

    def _count(self, token: str, wall_ns: int, cpu_ns: int) -> None:
        with self._lock:
            numbers = self._totals.get(token)
            if numbers is None:
                known = len(self._totals) < MAX_TOKENS
                numbers = self._totals.setdefault(token if known else OTHER_TOKENS, [0, 0, 0])
            numbers[0] += 1
            numbers[1] += wall_ns
            numbers[2] += cpu_ns
