"""The requests of one delivery until each is settled, with the books of what became of them.

Several threads may settle requests; whoever gives up waiting for them closes the outbox, and from then on nobody writes
into its books.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..model.delivery import Delivery, PendingRequest, WriteRequest
from ..model.drop_reasons import DropReason

OUT_OF_TIME: tuple[str, str] = (DropReason.DEADLINE, "the run's time was up before it was sent")


class QueueClosed(Exception):
    """The outbox was closed: what its requests came to is no longer this thread's to book."""


class QueuedRequest:
    """One request, or the pieces that became of it, in send order. `reason` and `detail` are why it is not settled."""

    __slots__ = ("detail", "in_flight", "pieces", "reason")

    def __init__(self, request: WriteRequest) -> None:
        self.pieces = deque([request])
        self.reason, self.detail = OUT_OF_TIME
        self.in_flight = False  # an attempt has gone out, and nothing has come back yet

    def maybe_stored(self) -> None:
        """Nobody knows whether the receiver has stored the piece that went out last."""
        if self.pieces:
            self.pieces[0] = replace(self.pieces[0], maybe_stored=True)


class SendQueue:
    """Requests in send order. `is_stopped` once one of them says that nothing more can go out in this run."""

    def __init__(self, requests: Sequence[WriteRequest], accounting: Delivery) -> None:
        self._queued = [QueuedRequest(request) for request in requests]
        self._next = 0
        self._accounting = accounting
        self._lock = threading.Lock()
        self._closed = False
        self.is_stopped = False

    def __len__(self) -> int:
        return len(self._queued)

    def take(self) -> QueuedRequest | None:
        """The next request that nobody has taken; None when there is none, or the delivery has stopped."""
        with self._lock:
            if self.is_stopped or self._closed or self._next >= len(self._queued):
                return None
            self._next += 1
            return self._queued[self._next - 1]

    def hold_back(self, reason: str, detail: str) -> None:
        """Nothing of it goes out in this run, for this reason."""
        with self._lock:
            for queued in self._queued:
                queued.reason, queued.detail = reason, detail

    def stop(self, queued: QueuedRequest) -> None:
        """Nothing more goes out, for the reason of this lane."""
        with self._lock:
            if not self.is_stopped:
                self.is_stopped = True
                for other in self._queued[self._next :]:
                    other.reason, other.detail = queued.reason, queued.detail

    @contextlib.contextmanager
    def accounting(self) -> Iterator[Delivery]:
        """The books, for one thread at a time. Raises Closed."""
        with self._lock:
            if self._closed:
                raise QueueClosed
            yield self._accounting

    def close(self) -> list[PendingRequest]:
        """Ends the delivery. Returns what is not settled, in send order; where an attempt is still under way, nobody
        knows whether it arrives."""
        with self._lock:
            self._closed = True
            for queued in self._queued:
                if queued.in_flight:
                    queued.maybe_stored()
            return [
                PendingRequest(piece, queued.reason, queued.detail)
                for queued in self._queued
                for piece in queued.pieces
            ]
