"""The one way to wait for what no timeout reaches, such as a name look-up or a file system that hangs: it runs in a
thread of its own, and the run goes on without it after a deadline. `Calls` runs many, of one host no more at the same
time than `ConcurrencyLimiter` admits.

Such a thread is frozen when Lambda ends the run, and wakes up within another one. It changes nothing then: all it does
is to hand over a result, which its caller takes by the deadline or never.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item", bound=Hashable)


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


@contextmanager
def exclusive(lock: threading.Lock, deadline: float, late: Exception) -> Iterator[None]:
    """Holds a lock, as those do who wait for one answer that serves them all. Raises `late` when it is not free before
    `deadline` (monotonic seconds): none waits beyond its own time."""
    if not lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
        raise late
    try:
        yield
    finally:
        lock.release()


class ConcurrencyLimiter(Generic[Item]):
    """Admits at most `limit` items with one key at the same time (0: any number), in the order in which they ask: one
    that waits holds up only those behind it with the same key. Thread-safe."""

    def __init__(self) -> None:
        self._admitted = Counter[Hashable]()
        self._waiting: dict[Hashable, deque[tuple[Item, int]]] = {}
        self._lock = threading.Lock()

    def admit(self, item: Item, key: Hashable, limit: int) -> list[Item]:
        """The item, if it is admitted now. If not, a call of `release` returns it."""
        with self._lock:
            if limit:
                self._waiting.setdefault(key, deque()).append((item, limit))
                return self._next(key)
            self._admitted[key] += 1
            return [item]

    def release(self, key: Hashable) -> list[Item]:
        """An admitted item with this key has ended. Returns those that are admitted in its place."""
        with self._lock:
            self._admitted[key] -= 1
            found = self._next(key)
            if not self._admitted[key]:
                del self._admitted[key]
            return found

    def waiting(self) -> set[Item]:
        with self._lock:
            return {item for line in self._waiting.values() for item, _ in line}

    def _next(self, key: Hashable) -> list[Item]:
        line, found = self._waiting.get(key, deque()), []
        while line and self._admitted[key] < line[0][1]:
            found.append(line.popleft()[0])
            self._admitted[key] += 1
        if not line:
            self._waiting.pop(key, None)
        return found


@dataclass(frozen=True, slots=True)
class BoundedCall(Generic[Result]):
    """A function that raises nothing. `key` and `limit` are those of ConcurrencyLimiter."""

    function: Callable[[], Result]
    key: Hashable = None
    limit: int = 0


class Calls(Generic[Result]):
    """Calls side by side, in at most `max_threads` threads at the same time. One that is not admitted yet has none."""

    def __init__(self, calls: Sequence[BoundedCall[Result]], max_threads: int) -> None:
        self._calls, self._idle = calls, max_threads
        self._limiter, self._ready = ConcurrencyLimiter[int](), deque[int]()
        self._results: queue.SimpleQueue[tuple[int, Result]] = queue.SimpleQueue()
        self._begin_by = float("-inf")
        self._lock = threading.Lock()

    def until(self, deadline: float, spare_seconds: float = 0.0) -> Iterator[tuple[int, Result]]:
        """(index, result) as the results come. What has not begun by the deadline (monotonic seconds) never begins;
        results are waited for so much longer."""
        self._begin_by = deadline
        for index, call in enumerate(self._calls):
            self._begin(self._limiter.admit(index, call.key, call.limit))
        for _ in self._calls:
            try:
                yield self._results.get(timeout=max(deadline + spare_seconds - time.monotonic(), 0.01))
            except queue.Empty:
                return

    def waiting(self) -> set[int]:
        """The calls that have not been admitted."""
        return self._limiter.waiting()

    def _begin(self, ready: Sequence[int], working: int = 0) -> None:
        """Calls these in new threads, but for as many as are `working` and take the next one themselves."""
        with self._lock:
            self._ready.extend(ready)
            new = max(min(len(ready) - working, self._idle), 0)
            self._idle -= new
        for _ in range(new):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while (index := self._take()) is not None:
            call = self._calls[index]
            self._results.put((index, call.function()))
            if self._may_begin():
                self._begin(self._limiter.release(call.key), working=1)

    def _take(self) -> int | None:
        with self._lock:
            if self._ready and self._may_begin():
                return self._ready.popleft()
            self._idle += 1
            return None

    def _may_begin(self) -> bool:
        return time.monotonic() < self._begin_by
