"""The one way to wait for what no timeout reaches, such as a name look-up or a file system that hangs: it runs in a
thread of its own, and the run goes on without it after a deadline.

Such a thread is frozen when Lambda ends the run, and wakes up within another one. It changes nothing then: all it does
is to hand over a result, which its caller takes by the deadline or never.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Result = TypeVar("Result")


class DeadlineExceeded(Exception):
    """There was no result by the deadline."""


class Call(Generic[Result]):
    """A function that runs in a thread of its own. It must not change what others see."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._done = threading.Event()
        self._results: list[Result] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:
            self._error = error
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """Waits for the end of the call, for so long at most. Returns whether it has ended."""
        return self._done.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))

    def result(self, deadline: float) -> Result:
        """`deadline` is monotonic seconds. Raises DeadlineExceeded, and what the function raises."""
        if not self.wait(deadline - time.monotonic()):
            raise DeadlineExceeded
        if self._error is not None:
            raise self._error
        return self._results[0]


def call_until(function: Callable[[], Result], deadline: float) -> Result:
    """The function's result. Raises DeadlineExceeded, and what the function raises."""
    return Call(function).result(deadline)


def calls_until(
    functions: Sequence[Callable[[], Result]], deadline: float, max_threads: int
) -> Iterator[tuple[int, Result]]:
    """Calls functions, which raise nothing, side by side: (index, result) as the results come, until the deadline. What
    has not begun by then never begins."""
    waiting = deque(enumerate(functions))
    results: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                index, function = waiting.popleft()
            except IndexError:
                return
            results.put((index, function()))

    for _ in range(min(max_threads, len(functions))):
        threading.Thread(target=work, daemon=True).start()
    for _ in functions:
        try:
            yield results.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            waiting.clear()
            return
