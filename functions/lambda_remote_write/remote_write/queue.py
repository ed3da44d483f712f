"""The queue of one delivery's requests, with the accounting of their outcomes.

Several threads may send requests. Closing the queue ends their access to the accounting, so that a late thread cannot
change it.
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
    """The queue was closed: this thread may no longer record outcomes."""


class QueuedRequest:
    """One request, or its pieces after a split, in send order. `reason` and `detail` say why it was not delivered."""

    __slots__ = ("detail", "in_flight", "pieces", "reason")

    def __init__(self, request: WriteRequest) -> None:
        self.pieces = deque([request])
        self.reason, self.detail = OUT_OF_TIME
        self.in_flight = False  # an attempt was sent and has no answer yet

    def mark_maybe_stored(self) -> None:
        """Records that the receiver may have stored the first piece, which was sent last."""
        if self.pieces:
            self.pieces[0] = replace(self.pieces[0], maybe_stored=True)


class SendQueue:
    """Requests in send order. `is_stopped` once an outcome prevents sending in the rest of this run."""

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
        """The next request; None when there is none left, or the queue is stopped or closed."""
        with self._lock:
            if self.is_stopped or self._closed or self._next >= len(self._queued):
                return None
            self._next += 1
            return self._queued[self._next - 1]

    def hold_back(self, reason: str, detail: str) -> None:
        """Sets the reason why none of the requests are sent in this run."""
        with self._lock:
            for queued in self._queued:
                queued.reason, queued.detail = reason, detail

    def stop(self, queued: QueuedRequest) -> None:
        """Stops sending. Requests that were not taken yet get the reason of this one."""
        with self._lock:
            if not self.is_stopped:
                self.is_stopped = True
                for other in self._queued[self._next :]:
                    other.reason, other.detail = queued.reason, queued.detail

    @contextlib.contextmanager
    def accounting(self) -> Iterator[Delivery]:
        """The accounting, for one thread at a time. Raises QueueClosed."""
        with self._lock:
            if self._closed:
                raise QueueClosed
            yield self._accounting

    def close(self) -> list[PendingRequest]:
        """Ends the delivery. Returns the requests without a final outcome, in send order. Those in flight are marked as
        maybe stored."""
        with self._lock:
            self._closed = True
            for queued in self._queued:
                if queued.in_flight:
                    queued.mark_maybe_stored()
            return [
                PendingRequest(piece, queued.reason, queued.detail)
                for queued in self._queued
                for piece in queued.pieces
            ]
