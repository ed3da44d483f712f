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

from ..model import Delivery, Kept, WriteRequest

OUT_OF_TIME = ("deadline", "the run's time was up before it was sent")


class Closed(Exception):
    """The outbox was closed: what its requests came to is no longer this thread's to book."""


class Lane:
    """One request, or the pieces that became of it, in send order. `reason` and `said` are why it is not settled."""

    __slots__ = ("in_flight", "pieces", "reason", "said")

    def __init__(self, request: WriteRequest) -> None:
        self.pieces = deque([request])
        self.reason, self.said = OUT_OF_TIME
        self.in_flight = False  # an attempt has gone out, and nothing has come back yet

    def doubt(self) -> None:
        """Nobody knows whether the receiver has stored the piece that went out last."""
        if self.pieces:
            self.pieces[0] = replace(self.pieces[0], maybe_stored=True)


class Outbox:
    """Requests in send order. `is_stopped` once one of them says that nothing more can go out in this run."""

    def __init__(self, requests: Sequence[WriteRequest], books: Delivery) -> None:
        self._lanes = [Lane(request) for request in requests]
        self._next = 0
        self._books = books
        self._lock = threading.Lock()
        self._closed = False
        self.is_stopped = False

    def __len__(self) -> int:
        return len(self._lanes)

    def take(self) -> Lane | None:
        """The next request that nobody has taken; None when there is none, or the delivery has stopped."""
        with self._lock:
            if self.is_stopped or self._closed or self._next >= len(self._lanes):
                return None
            self._next += 1
            return self._lanes[self._next - 1]

    def hold_back(self, reason: str, said: str) -> None:
        """Nothing of it goes out in this run, for this reason."""
        with self._lock:
            for lane in self._lanes:
                lane.reason, lane.said = reason, said

    def stop(self, lane: Lane) -> None:
        """Nothing more goes out, for the reason of this lane."""
        with self._lock:
            if not self.is_stopped:
                self.is_stopped = True
                for other in self._lanes[self._next :]:
                    other.reason, other.said = lane.reason, lane.said

    @contextlib.contextmanager
    def books(self) -> Iterator[Delivery]:
        """The books, for one thread at a time. Raises Closed."""
        with self._lock:
            if self._closed:
                raise Closed
            yield self._books

    def close(self) -> list[Kept]:
        """Ends the delivery. Returns what is not settled, in send order; where an attempt is still under way, nobody
        knows whether it arrives."""
        with self._lock:
            self._closed = True
            for lane in self._lanes:
                if lane.in_flight:
                    lane.doubt()
            return [Kept(piece, lane.reason, lane.said) for lane in self._lanes for piece in lane.pieces]
