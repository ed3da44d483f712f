"""`pusher run`: the same work as a process of its own, without a schedule: jobs at their own intervals into a queue per
endpoint, and a sender per endpoint that batches, retries and flushes at the end."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType

from .batch import Batch, protocol_of
from .config.schema import Config, Endpoint
from .delivery import deliver
from .model import Delivery, Metadata, Samples, Scrape, Tally
from .shipment import send
from .sources import collect
from .sources.due import Tick
from .warm import Outside, Remote, Warm
from .wire import packing

_NEVER = 1e9  # seconds; longer than any process lives
_FLUSH_SECONDS = 60.0  # after a signal, as Prometheus's flush deadline
_DISCOVERY_SECONDS = 5.0  # how often discovery is looked at; each mechanism keeps its own refresh_interval
_MAX_FAMILIES = 20_000  # with metadata, as many as AMP keeps
_IDLE_SECONDS = 0.5  # the longest a loop sleeps without looking at its stop sign


class SampleQueue:
    """Samples waiting for one endpoint, oldest first, `capacity` times `max_shards` at most: beyond, the oldest go."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._max_samples = endpoint.queue.capacity * endpoint.queue.max_shards
        self._parts: deque[tuple[float, Samples]] = deque()
        self._count = 0
        self._taken_at = -_NEVER
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
        """Waits until `count` samples are there, or `wait_seconds` have passed since the oldest came or since the last
        time, so that the first after a pause go at once; nothing at the end."""
        with self._changed:
            while not self._is_ripe(count, wait_seconds) and not is_stopping():
                self._changed.wait(_IDLE_SECONDS if not self._parts else min(_IDLE_SECONDS, wait_seconds))
            taken = Samples()
            while self._parts and len(taken) < count:
                taken.extend(self._parts.popleft()[1])
            self._count -= len(taken)
            self._taken_at = time.monotonic() if taken else self._taken_at
            return taken

    def taken_dropped(self) -> Tally:
        """What went because too much was waiting, since this was last asked."""
        with self._changed:
            dropped, self._dropped = self._dropped, Tally()
            return dropped

    def _is_ripe(self, count: int, wait_seconds: float) -> bool:
        if not self._parts:
            return False
        since = min(self._taken_at, self._parts[0][0])
        return self._count >= count or time.monotonic() - since >= wait_seconds


class Sender(threading.Thread):
    """Sends one endpoint's queue, in order, for as long as the process lives."""

    def __init__(self, remote: Remote, outside: Outside, stop: threading.Event, say: Callable[[str], None]) -> None:
        super().__init__(name=f"sender {remote.endpoint.name}", daemon=True)
        self.queue = SampleQueue(remote.endpoint)
        self.metadata: dict[str, Metadata] = {}  # by metric
        self._remote, self._outside, self._stop_event, self._say = remote, outside, stop, say
        self._flush_until = _NEVER

    def run(self) -> None:
        queue_config = self._remote.endpoint.queue
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
            name = self._remote.endpoint.name
            self._say(f"{name}: {len(samples)} samples lost: {type(error).__name__}: {error}, which is a bug")

    def _send(self, samples: Samples) -> None:
        remote, now_ms = self._remote, self._outside.now_ms
        delivery = Delivery(remote.endpoint.name, collected=len(samples))
        metadata = list(self.metadata.values())
        protocol = protocol_of(remote, metadata)
        requests = packing.pack(samples, protocol, now_ms(), delivery.dropped)
        edges = deliver.Edges(remote.poster, now_ms, self._monotonic, self._sleep, remote.pace, splits_throttled=False)
        send(remote, requests, metadata, delivery, edges, deadline=_NEVER)
        self._report(delivery)

    def _report(self, delivery: Delivery) -> None:
        for tally in (delivery.rejected, delivery.undelivered, delivery.dropped):
            self._say_tally(tally)
        for warning in delivery.warnings:
            self._say(f"{delivery.endpoint}: {warning}")

    def _say_tally(self, tally: Tally) -> None:
        for reason, count in tally.counts.items():
            self._say(f"{self._remote.endpoint.name}: {count} samples {reason}: {tally.first[reason]}")

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
    """The process: every source at its own interval, a sender per endpoint."""

    def __init__(self, config: Config, outside: Outside, say: Callable[[str], None]) -> None:
        self._warm = Warm(config, outside)
        self._outside, self._say = outside, say
        self._stop = threading.Event()
        self._senders = [Sender(remote, outside, self._stop, say) for remote in self._warm.remotes]
        self._edges = collect.Edges(self._warm.fetcher, outside.now_ms)
        self._said: set[str] = set()  # what is wrong at present, so that it is not said again
        self._busy: set[str] = set()  # sources that are being scraped
        self._lock = threading.Lock()

    def stop(self, *_: int | FrameType | None) -> None:
        self._stop.set()

    def run(self) -> int:
        """Runs until SIGINT or SIGTERM; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        for sender in self._senders:
            sender.start()
        self._discover()
        threading.Thread(target=self._discover_again, name="discovery", daemon=True).start()
        self._scrape_all()
        for sender in self._senders:
            sender.join()
        return 0

    def _scrape_all(self) -> None:
        """Starts every scrape at its time, each by itself: a slow source holds up no other."""
        next_ms: dict[str, int] = {}
        looked_ms = self._outside.now_ms()
        while not self._stop.is_set():
            now_ms = self._outside.now_ms()
            sources = self._warm.sources()
            next_ms = {source.key: next_ms[source.key] for source in sources if source.key in next_ms}
            for source in sources:
                due_ms = next_ms.setdefault(source.key, _first_slot_ms(source, now_ms))
                if due_ms <= now_ms and source.key not in self._busy:
                    self._busy.add(source.key)
                    threading.Thread(target=self._scrape_or_say, args=(source,), daemon=True).start()
                    next_ms[source.key] += source.interval_ms * ((now_ms - due_ms) // source.interval_ms + 1)
            self._end(Tick(now_ms, looked_ms, tick_ms=0))
            looked_ms = now_ms
            wait_ms = min((next_ms[one.key] for one in sources), default=now_ms + 1000) - self._outside.now_ms()
            self._stop.wait(min(max(wait_ms / 1000, 0.001), _IDLE_SECONDS))

    def _scrape_or_say(self, source: collect.Source) -> None:
        """A source outlives whatever goes wrong with one scrape."""
        try:
            self._scrape(source)
        except Exception as error:
            self._say(f"{source.key}: a scrape is lost: {type(error).__name__}: {error}, which is a bug")
        finally:
            self._busy.discard(source.key)

    def _scrape(self, source: collect.Source) -> None:
        fetched = collect.ask(source, self._edges, time.monotonic() + source.timeout_ms / 1000)
        with self._lock:
            scrape = collect.settle(source, fetched, self._warm.next_run(), self._outside.now_ms())
            self._put([scrape])
            what = f"{scrape.job} {scrape.instance}"
            self._say_change(what, f"{what}: down: {scrape.error}" if scrape.error else "")
            self._warm.finish_run(busy=self._busy - {source.key})

    def _put(self, scrapes: Sequence[Scrape]) -> None:
        batch = Batch(scrapes)
        for remote, sender in zip(self._warm.remotes, self._senders, strict=True):
            dropped = Tally()
            metadata = sender.metadata | {one.name: one for one in batch.metadata}
            sender.metadata = dict(list(metadata.items())[-_MAX_FAMILIES:])  # anew, because another thread reads it
            sender.queue.put(batch.ordered_for(remote, dropped, self._outside.now_ms()))
            for reason, count in dropped.counts.items():
                if reason != "metric_relabel":
                    said = f"{remote.endpoint.name}: {count} samples {reason}: {dropped.first[reason]}"
                    self._say_change(f"{remote.endpoint.name} {reason} {dropped.first[reason]}", said)

    def _end(self, tick: Tick) -> None:
        with self._lock:
            scrapes = self._warm.ended(tick, self._busy)
            if scrapes:
                self._put(scrapes)

    def _discover(self) -> None:
        found = self._warm.find(time.monotonic() + 3 * _DISCOVERY_SECONDS)
        with self._lock:
            self._warm.sync(found)
            for pool in self._warm.pools:
                said = "; ".join(pool.messages())
                self._say_change(f"discovery {pool.job.job_name}", said)

    def _discover_again(self) -> None:
        while not self._stop.wait(_DISCOVERY_SECONDS):
            self._discover()

    def _say_change(self, what: str, problem: str) -> None:
        """Says a problem when it begins, and that it is over."""
        if problem and what not in self._said:
            self._say(problem)
            self._said.add(what)
        elif not problem and what in self._said:
            self._say(f"{what}: well again")
            self._said.discard(what)


def _first_slot_ms(source: collect.Source, now_ms: int) -> int:
    """At once for intervals up to a minute, so that a person sees something; else the source's own grid."""
    interval_ms, offset = source.interval_ms, source.offset_ms
    if interval_ms <= 60_000:
        return now_ms
    return (now_ms - offset) // interval_ms * interval_ms + interval_ms + offset


def say_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
