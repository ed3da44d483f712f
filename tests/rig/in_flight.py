"""A server that answers late and knows how many requests were under way at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from sandbox.server import Answer, LoopbackServer, Request


class InFlight:
    """Answers each request with `answer` of it, after `seconds`; the first ones not before `together` are there at
    once, for twenty seconds at most. `most` is how many were there at once."""

    def __init__(self, answer: Callable[[Request], Answer], seconds: float, together: int = 1) -> None:
        self.most = self.asked = self._now = 0
        self._together, self._are_together = together, threading.Event()
        self._answer, self._seconds, self._lock = answer, seconds, threading.Lock()
        self._closed = threading.Event()
        self._server = LoopbackServer(self._respond)
        self.url, self.address = self._server.base_url, f"127.0.0.1:{self._server.port}"

    def _respond(self, request: Request) -> Answer:
        with self._lock:
            self._now += 1
            self.asked += 1
            self.most = max(self.most, self._now)
            if self.most >= self._together:
                self._are_together.set()
        self._are_together.wait(20)
        self._closed.wait(self._seconds)
        with self._lock:
            self._now -= 1
        return self._answer(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._are_together.set()
        self._server.close()
