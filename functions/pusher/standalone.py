"""`pusher run`: the same work as a process of its own, without a schedule: jobs at their own intervals into a queue per
endpoint, and a sender per endpoint that batches, retries and flushes at the end."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType

from .batch import Batch, send
from .config.schema import Config, Endpoint
from .delivery import deliver
from .model import Delivery, Metadata, Samples, Tally
from .sources import collect
from .sources.due import offset_ms
from .sources.json_api import JsonSource
from .warm import Outside, Target, Warm
from .wire import packing

_NEVER = 1e9  # seconds; longer than any process lives
_FLUSH_SECONDS = 60.0  # after a signal, as Prometheus's flush deadline
_IDLE_SECONDS = 0.5  # the longest a loop sleeps without looking at its stop sign


class SampleQueue:
    """Samples waiting for one endpoint, oldest first, `capacity` times `max_shards` at most: beyond, the oldest go."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._max_samples = endpoint.queue.capacity * endpoint.queue.max_shards
        self._parts: deque[tuple[float, Samples]] = deque()
        self._count = 0
        self._changed = threading.Condition()
        self._dropped = Tally()

    def put(self, samples: Samples) -> None:
        with self._changed:
            self._parts.append((time.monotonic(), samples))
            self._count += len(samples)
            while self._count > self._max_samples and len(self._parts) > 1:
                gone = len(self._parts.popleft()[1])
                self._count -= gone
                self._dropped.add("queue_full", f"more than {self._max_samples} samples were waiting", gone)
            self._changed.notify()

    def take(self, count: int, wait_seconds: float, is_stopping: Callable[[], bool]) -> Samples:
        """Waits until `count` samples are there or the oldest waited `wait_seconds`; nothing at the end."""
        with self._changed:
            while not self._is_ripe(count, wait_seconds) and not is_stopping():
                self._changed.wait(_IDLE_SECONDS if not self._parts else min(_IDLE_SECONDS, wait_seconds))
            taken = Samples()
            while self._parts and len(taken) < count:
                taken.extend(self._parts.popleft()[1])
            self._count -= len(taken)
            return taken

    def taken_dropped(self) -> Tally:
        """What went because too much was waiting, since this was last asked."""
        with self._changed:
            dropped, self._dropped = self._dropped, Tally()
            return dropped

    def _is_ripe(self, count: int, wait_seconds: float) -> bool:
        return bool(self._parts) and (self._count >= count or time.monotonic() - self._parts[0][0] >= wait_seconds)


class Sender(threading.Thread):
    """Sends one endpoint's queue, in order, for as long as the process lives."""

    def __init__(self, target: Target, outside: Outside, stop: threading.Event, say: Callable[[str], None]) -> None:
        super().__init__(name=f"sender {target.endpoint.name}", daemon=True)
        self.queue = SampleQueue(target.endpoint)
        self.metadata: dict[str, Metadata] = {}  # by metric
        self._target, self._outside, self._stop_event, self._say = target, outside, stop, say
        self._flush_until = _NEVER

    def run(self) -> None:
        queue_config = self._target.endpoint.queue
        wait_seconds = queue_config.batch_send_deadline_ms / 1000
        while True:
            samples = self.queue.take(queue_config.max_samples_per_send, wait_seconds, self._stop_event.is_set)
            self._say_tally(self.queue.taken_dropped())
            if samples:
                self._send_or_say(samples)
            elif self._stop_event.is_set():
                return

    def _send_or_say(self, samples: Samples) -> None:
        """A sender outlives whatever goes wrong with one batch."""
        try:
            self._send(samples)
        except Exception as error:
            name = self._target.endpoint.name
            self._say(f"{name}: {len(samples)} samples lost: {type(error).__name__}: {error}, which is a bug")

    def _send(self, samples: Samples) -> None:
        target, now_ms = self._target, self._outside.now_ms
        delivery = Delivery(target.endpoint.name, collected=len(samples))
        requests = packing.pack(samples, target.endpoint.queue, now_ms(), delivery.dropped)
        edges = deliver.Edges(target.poster, now_ms, self._monotonic, self._sleep)
        send(target, requests, list(self.metadata.values()), delivery, edges, deadline=_NEVER)
        self._report(delivery)

    def _report(self, delivery: Delivery) -> None:
        for tally in (delivery.rejected, delivery.undelivered, delivery.dropped):
            self._say_tally(tally)
        for warning in delivery.warnings:
            self._say(f"{delivery.endpoint}: {warning}")

    def _say_tally(self, tally: Tally) -> None:
        for reason, count in tally.counts.items():
            self._say(f"{self._target.endpoint.name}: {count} samples {reason}: {tally.first[reason]}")

    def _monotonic(self) -> float:
        """The clock against which the deadline is held: it stands still while the process lives, and runs out with
        the flush."""
        if not self._stop_event.is_set():
            return 0.0
        self._flush_until = min(self._flush_until, time.monotonic() + _FLUSH_SECONDS)
        return _NEVER - (self._flush_until - time.monotonic())

    def _sleep(self, seconds: float) -> None:
        """A backoff; when the process stops, what is left of it is at most a second."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stop_event.is_set():
                time.sleep(min(left, 1.0))
                return
            self._stop_event.wait(left)


class Runner:
    """The process: one scrape loop, a sender per endpoint."""

    def __init__(self, config: Config, outside: Outside, say: Callable[[str], None]) -> None:
        self._warm = Warm(config, outside)
        self._outside, self._say = outside, say
        self._stop = threading.Event()
        self._senders = [Sender(target, outside, self._stop, say) for target in self._warm.targets]
        self._down: set[str] = set()
        self._lock = threading.Lock()

    def stop(self, *_: int | FrameType | None) -> None:
        self._stop.set()

    def run(self) -> int:
        """Runs until SIGINT or SIGTERM; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        for sender in self._senders:
            sender.start()
        next_ms = {source.job.job_name: self._first_slot_ms(source) for source in self._warm.sources}
        while not self._stop.is_set():
            now_ms = self._outside.now_ms()
            for source in self._warm.sources:
                name, interval_ms = source.job.job_name, source.job.scrape_interval_ms
                if next_ms[name] <= now_ms:  # each by itself: a slow job holds up no other
                    threading.Thread(target=self._scrape, args=(source,), daemon=True).start()
                    next_ms[name] += interval_ms * ((now_ms - next_ms[name]) // interval_ms + 1)
            wait_ms = min(next_ms.values(), default=now_ms + 1000) - self._outside.now_ms()
            self._stop.wait(min(max(wait_ms / 1000, 0.001), _IDLE_SECONDS))
        for sender in self._senders:
            sender.join()
        return 0

    def _first_slot_ms(self, source: JsonSource) -> int:
        """At once for intervals up to a minute, so that a person sees something; else the job's own grid."""
        now_ms, interval_ms = self._outside.now_ms(), source.job.scrape_interval_ms
        if interval_ms <= 60_000:
            return now_ms
        offset = offset_ms(source.job.job_name, interval_ms)
        return (now_ms - offset) // interval_ms * interval_ms + interval_ms + offset

    def _scrape(self, source: JsonSource) -> None:
        warm = self._warm
        with self._lock:
            run = warm.next_run()
        edges = collect.Edges(warm.fetcher, self._outside.now_ms)
        deadline = time.monotonic() + source.job.scrape_timeout_ms / 1000
        (scrape,) = collect.collect([source], warm.series.intern, edges, deadline, run)
        batch = Batch([scrape])
        with self._lock:
            for target, sender in zip(warm.targets, self._senders, strict=True):
                dropped = Tally()
                sender.metadata |= {one.name: one for one in batch.metadata}
                sender.queue.put(batch.seen_by(target, dropped))
                for reason, count in dropped.counts.items():
                    self._say(f"{target.endpoint.name}: {count} samples {reason}: {dropped.first[reason]}")
            self._say_change(scrape.job, scrape.error)
            warm.finish_run()

    def _say_change(self, job: str, error: str) -> None:
        if error and job not in self._down:
            self._say(f"{job}: down: {error}")
            self._down.add(job)
        elif not error and job in self._down:
            self._say(f"{job}: up again")
            self._down.discard(job)


def say_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
