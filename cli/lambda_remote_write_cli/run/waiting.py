"""The samples that wait in memory for one endpoint."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from lambda_remote_write.config.schema import QueueConfig
from lambda_remote_write.model.drop_reasons import DropReason
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Samples


class _Part(NamedTuple):
    """The samples of a scrape; the oldest one's time in milliseconds."""

    number: int
    samples: Samples
    oldest_ms: int


class SampleQueue:
    """Samples waiting for one endpoint, oldest first, in numbered parts. More than `capacity` times `max_shards` do not
    fit: the oldest are dropped, or, where a spool takes them, handed out by `take_excess`."""

    def __init__(self, config: QueueConfig, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config, self._monotonic = config, monotonic
        self._parts: deque[_Part] = deque()
        self._count = self._in_flight = self._oldest_in_flight_ms = 0
        self._last_number = self._first_in_flight = 0
        self._send_at = monotonic() + self._deadline_seconds
        self._is_closed = False
        self._dropped = ReasonCounts()
        self._changed = threading.Condition()

    @property
    def _deadline_seconds(self) -> float:
        return max(self._config.batch_send_deadline_ms, 1) / 1000

    @property
    def _max_samples(self) -> int:
        return self._config.capacity * self._config.max_shards

    @property
    def capacity(self) -> int:
        """How many samples fit."""
        with self._changed:
            return self._max_samples

    @property
    def oldest_ms(self) -> int:
        """The time of the oldest sample that is not finished, in milliseconds; 0 when none waits."""
        with self._changed:
            oldest_ms = [part.oldest_ms for part in self._parts]
            return min([*oldest_ms, *([self._oldest_in_flight_ms] if self._in_flight else [])], default=0)

    def __len__(self) -> int:
        """The samples that are not finished, those of the batch that is being sent included."""
        with self._changed:
            return self._count + self._in_flight

    @property
    def finished_number(self) -> int:
        """Every part up to this number is finished."""
        with self._changed:
            oldest = self._first_in_flight or (self._parts[0].number if self._parts else 0)
            return oldest - 1 if oldest else self._last_number

    # putting

    def put(self, number: int, samples: Samples, *, keeps_all: bool) -> None:
        """Adds a part; numbers rise. Unless `keeps_all`, the oldest samples make room for it."""
        with self._changed:
            self._last_number = number
            if not samples:
                return
            self._parts.append(_Part(number, samples, min(samples.timestamps_ms)))
            self._count += len(samples)
            while not keeps_all and self._has_excess():
                detail = f"more than {self._max_samples} samples were waiting"
                self._dropped.add(DropReason.QUEUE_FULL, detail, len(self._pop_oldest()))
            self._changed.notify()

    def configure(self, config: QueueConfig) -> None:
        """Takes over the settings of a config that was read again."""
        with self._changed:
            self._config = config
            self._send_at = min(self._send_at, self._monotonic() + self._deadline_seconds)
            self._changed.notify()

    def close(self) -> None:
        """From now on what waits goes out without waiting for more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    # taking

    def take(self, most: int = 0) -> Samples | None:
        """Waits for a batch: `max_samples_per_send` samples, or what is there when `batch_send_deadline` has passed
        since the last batch was finished (Prometheus storage/remote/queue_manager.go, runShard). None when the queue is
        closed and empty. A batch holds whole scrapes: as many as fit a request, or one that is larger. `most` asks for
        a larger batch."""
        with self._changed:
            while (left := self.wait_seconds()) > 0:
                self._changed.wait(left)
            if not self._parts:
                return None
            self._first_in_flight, self._oldest_in_flight_ms = self._parts[0].number, self._parts[0].oldest_ms
            taken, most = Samples(), max(most, self._config.max_samples_per_send)
            while self._parts and (not taken or len(taken) + len(self._parts[0].samples) <= most):
                self._oldest_in_flight_ms = min(self._oldest_in_flight_ms, self._parts[0].oldest_ms)
                taken.extend(self._pop_oldest())
            self._in_flight = len(taken)
            return taken

    def wait_seconds(self) -> float:
        """How long until there may be a batch; 0 when there is one, or the queue is closed. Time that passes while
        nothing waits moves the next deadline on."""
        if self._is_closed or self._count >= self._config.max_samples_per_send:
            return 0.0
        now = self._monotonic()
        if self._send_at <= now and not self._parts:
            late = now - self._send_at
            self._send_at += self._deadline_seconds * (late // self._deadline_seconds + 1)
        return max(self._send_at - now, 0.0 if self._parts else 0.001)

    def finished(self) -> None:
        """The batch that was taken is sent, kept or lost. The deadline of the next one begins."""
        with self._changed:
            self._first_in_flight = self._in_flight = 0
            self._send_at = self._monotonic() + self._deadline_seconds

    def take_excess(self, *, everything: bool = False) -> Samples:
        """The oldest samples of those that are too many, or `everything`."""
        with self._changed:
            taken = Samples()
            while self._has_excess() or (everything and self._parts):
                taken.extend(self._pop_oldest())
            return taken

    def take_dropped(self) -> ReasonCounts:
        """What was dropped since the last call."""
        with self._changed:
            dropped, self._dropped = self._dropped, ReasonCounts()
            return dropped

    def _has_excess(self) -> bool:
        return self._count > self._max_samples and len(self._parts) > 1

    def _pop_oldest(self) -> Samples:
        samples = self._parts.popleft().samples
        self._count -= len(samples)
        return samples
