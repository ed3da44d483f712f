"""What became of the samples of one endpoint since the process started."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from lambda_remote_write.model.delivery import Delivery
from lambda_remote_write.model.reason_counts import ReasonCounts


class SampleCounts:
    """Samples by outcome and reason, as in a run's report. At any time, collected + taken = accepted + spooled +
    rejected + dropped + undelivered + what is in the queue. Safe for several threads."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[str, str]]({(name, ""): 0 for name in ("collected", "taken", "accepted")})
        self._bytes_sent = 0
        self._lock = threading.Lock()

    def collected(self, samples: int, dropped: ReasonCounts) -> None:
        """A scrape gave so many samples for the queue, and others that go no further."""
        with self._lock:
            self._counts["collected", ""] += samples + dropped.total()
        self.add("dropped", dropped)

    def add(self, outcome: str, reasons: ReasonCounts) -> None:
        with self._lock:
            for reason, count in reasons.counts.items():
                self._counts[outcome, str(reason)] += count

    def delivered(self, accounting: Delivery) -> None:
        """A part of the queue or of the spool is finished. What was collected has been counted."""
        with self._lock:
            self._counts["accepted", ""] += accounting.accepted
            self._counts["taken", ""] += accounting.taken
            self._bytes_sent += accounting.bytes_sent
        for outcome, reasons in accounting.reason_counts().items():
            self.add(outcome, reasons)

    def by_outcome(self) -> Mapping[tuple[str, str], int]:
        with self._lock:
            return dict(self._counts)

    @property
    def bytes_sent(self) -> int:
        """Compressed bytes, repeated ones included."""
        with self._lock:
            return self._bytes_sent
