"""Waiting for what no timeout reaches, as a name look-up or a file system that hangs: in a thread of its own, until a
deadline, and then without it.

A thread that comes late changes nothing that others see. Either it only hands over a value, and whoever waits takes
that in time or never (`Pending`); or it may change what it shares while it holds a permit, which is withdrawn from it
(`Errand`). Lambda freezes such a thread when a run ends, and it wakes up within the next one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")

_WITHDRAWAL_SECONDS = 2.0  # for a thread that holds its permit, which only computes


class NotInTime(Exception):
    """The deadline has come, and nothing else."""


class Withdrawn(BaseException):
    """The permit of this thread was withdrawn. No `except Exception` on the way out is to keep it, as with
    asyncio.CancelledError."""


class Pending(Generic[Result]):
    """An act in a thread of its own, which hands over its result (or its exception) and changes nothing else."""

    def __init__(self, act: Callable[[], Result]) -> None:
        self._act = act
        self._done = threading.Event()
        self._found: list[Result] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._found.append(self._act())
        except BaseException as error:
            self._error = error
        self._done.set()

    def result(self, deadline: float) -> Result:
        """`deadline` is monotonic seconds. Raises NotInTime, and what the act raises."""
        left = min(deadline - time.monotonic(), threading.TIMEOUT_MAX)
        if not self._done.wait(max(left, 0.0)):
            raise NotInTime
        if self._error is not None:
            raise self._error
        return self._found[0]


def in_time(act: Callable[[], Result], deadline: float) -> Result:
    """The result of an act that changes nothing but what it is told to. Raises NotInTime, and what the act raises."""
    return Pending(act).result(deadline)


class Permit:
    """Held by a thread while it may change what it shares with others, and let go of while it waits for the outside
    world. When it was withdrawn meanwhile, the thread gets Withdrawn in place of what it waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_withdrawn = False

    def __enter__(self) -> Permit:
        self._lock.acquire()
        if self._is_withdrawn:
            self._lock.release()
            raise Withdrawn
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """What is done here may hang; the thread has the permit before and after. Raises Withdrawn."""
        if self._is_withdrawn:
            raise Withdrawn
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()
            if self._is_withdrawn:
                raise Withdrawn

    def withdraw(self) -> None:
        """The thread changes nothing any more, once this has returned."""
        has_waited = self._lock.acquire(timeout=_WITHDRAWAL_SECONDS)
        self._is_withdrawn = True
        if has_waited:
            self._lock.release()


class Errand:
    """An act in a thread of its own, which holds `permit` as long as somebody waits for it. What the act raises is its
    `failure`."""

    def __init__(self, permit: Permit, act: Callable[[], None]) -> None:
        self._permit, self._act = permit, act
        self._is_done = False
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(Withdrawn), self._permit:
            try:
                self._act()
            except Exception as error:
                self.failure = error
            self._is_done = True

    def is_done_by(self, deadline: float) -> bool:
        """Waits until then (monotonic seconds). False when the act has not come back: its permit is withdrawn."""
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if not self._is_done:
            self._permit.withdraw()
        return self._is_done
