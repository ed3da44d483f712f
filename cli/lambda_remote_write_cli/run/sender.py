"""The thread that sends one endpoint's samples, in order, for as long as the process lives."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from lambda_remote_write.config.yaml_reader import shown_url
from lambda_remote_write.model.delivery import Delivery, PendingRequest, WriteRequest
from lambda_remote_write.model.drop_reasons import DropReason
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Metadata, Samples
from lambda_remote_write.remote_write import request_size, send
from lambda_remote_write.remote_write.batches import MetadataRequests, protocol_of
from lambda_remote_write.remote_write.endpoint import EndpointState
from lambda_remote_write.remote_write.queue import SendQueue
from lambda_remote_write.spool.drain import SpoolDrain, SpoolState
from lambda_remote_write.spool.spool import RunId

from .messages import LossLog, ReceiverWatch, Say, bug
from .sample_counts import SampleCounts
from .status import EndpointStatus
from .waiting import SampleQueue

NEVER = 1e9  # monotonic seconds; no process lives that long
_STORE_SECONDS = 30.0  # for the spool, each time that it is used
_SPOOLED_AT_ONCE = 100_000  # samples of one entry, which has an upper size
_LOOK_SECONDS = 5.0  # how long a backoff sleeps without looking at the queue
_DRAIN_AGAIN_SECONDS = 5.0  # after something of the spool could not go out


class Patience:
    """The clock and the sleep of an endpoint's deliveries, whose deadline is NEVER. The clock runs as the monotonic one
    does. When an end is set, it jumps ahead, so that NEVER comes at that end."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ends_at: float | None = None
        self._changed = threading.Condition()

    def end_in(self, seconds: float) -> None:
        """No delivery goes on for longer than this from now. An earlier end stays."""
        with self._changed:
            ends_at = self._monotonic() + seconds
            self._ends_at = ends_at if self._ends_at is None else min(self._ends_at, ends_at)
            self._changed.notify_all()

    def give_up(self) -> None:
        """A delivery has come to nothing. While flushing, that is the end: the requests after it are not tried."""
        if self._ends_at is not None:
            self.end_in(0)

    def monotonic(self) -> float:
        now, ends_at = self._monotonic(), self._ends_at
        return now if ends_at is None else NEVER - (ends_at - now)

    @property
    def is_over(self) -> bool:
        return self.monotonic() >= NEVER

    def sleep(self, seconds: float) -> None:
        """Sleeps for so long, and not beyond the end. A backoff is not cut short by being told to stop: a receiver in
        trouble is not helped by a sender that flushes faster."""
        with self._changed:
            until = self._monotonic() + seconds
            while (left := min(until, self._ends_at or until) - self._monotonic()) > 0:
                self._changed.wait(left)


@dataclass(frozen=True, slots=True)
class Tools:
    """What senders need of the process and the outside world. `lost` is called with what was lost for good."""

    now_ms: Callable[[], int]
    say: Say
    lost: Callable[[EndpointState, Sequence[WriteRequest]], None]
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class _Route:
    """Where batches go, and for how long it is tried. A config that was read again brings another."""

    endpoint: EndpointState
    patience: Patience


class Sender(threading.Thread):
    """Sends what is in `queue`; what the spool holds goes first. `spool_state` is the spool, None for memory only. A
    sender of the same endpoint that is still flushing (`after`) is waited for."""

    def __init__(
        self, endpoint: EndpointState, spool_state: SpoolState | None, tools: Tools, after: Sender | None = None
    ) -> None:
        name = endpoint.config.name
        super().__init__(name=f"sender {name}", daemon=True)
        self.endpoint_name = name
        self.metadata: dict[str, Metadata] = {}  # by metric
        self.queue = SampleQueue(endpoint.config.queue, tools.monotonic)
        self.watch = ReceiverWatch(endpoint.config.shown_name, tools.say, tools.monotonic, tools.now_ms)
        self.counts = SampleCounts()
        self.losses = LossLog(endpoint.config.shown_name, tools.say, tools.monotonic)
        self._spool_state, self._tools, self._after = spool_state, tools, after
        self._route = _Route(endpoint, Patience(tools.monotonic))
        self._may_have_backlog = spool_state is not None
        self._last_run_ms = 0
        self._write_at = 0.0  # monotonic seconds

    # from other threads

    def put(
        self, number: int, samples: Samples, dropped: ReasonCounts, metadata: Sequence[Metadata], most: int
    ) -> None:
        """Adds a scrape's samples, counts those that were `dropped` before, and adds its metadata to what is known of
        `most` families."""
        self.counts.collected(len(samples), dropped)
        known = self.metadata | {one.name: one for one in metadata}
        self.metadata = dict(list(known.items())[-most:])  # anew, because the sender reads it
        self.queue.put(number, samples, keeps_all=self._spool_state is not None)

    def use(self, endpoint: EndpointState, spool_state: SpoolState | None) -> None:
        """Goes on with a config that was read again. A request that is being retried goes to the new address; where
        the endpoint is the same, so do its backoff and what is known of the receiver."""
        old, self._spool_state = self._route.endpoint, spool_state
        self._may_have_backlog = spool_state is not None
        if old.config == endpoint.config:
            endpoint.client, endpoint.rate_limiter = old.client, old.rate_limiter
            endpoint.metadata_sent_ms = old.metadata_sent_ms
            self._route = _Route(endpoint, self._route.patience)
            return
        patience, self._route = self._route.patience, _Route(endpoint, Patience(self._tools.monotonic))
        self.queue.configure(endpoint.config.queue)
        patience.end_in(0)

    def stop(self, seconds: float) -> None:
        """Flushes for so long at most, and ends."""
        self._route.patience.end_in(seconds)
        self.queue.close()

    def look(self) -> None:
        """Says what there is to say; to be called every second."""
        self.watch.look(self.waiting())
        self._record_queue_full()
        self.losses.look()

    def _record_queue_full(self) -> None:
        dropped = self.queue.take_dropped()
        self.losses.add("dropped", dropped)
        self.counts.add("dropped", dropped)

    def status(self) -> EndpointStatus:
        """Where the endpoint stands now."""
        self._record_queue_full()
        config, spool_state = self._route.endpoint.config, self._spool_state
        entries, oldest_entry_ms = spool_state.waiting_entries(self.endpoint_name) if spool_state else (0, 0)
        return EndpointStatus(
            name=self.endpoint_name,
            url=shown_url(config.url),
            senders=int(self.is_alive()),
            queue_samples=len(self.queue),
            queue_capacity=self.queue.capacity,
            queue_oldest_ms=self.queue.oldest_ms,
            has_spool=spool_state is not None,
            spool_entries=entries,
            spool_oldest_ms=oldest_entry_ms,
            samples=self.counts.by_outcome(),
            bytes_sent=self.counts.bytes_sent,
            attempts=self.watch.counts(),
            problem=self.watch.problem(),
        )

    def waiting(self) -> str:
        in_spool = " besides those in the spool" if self._spool_state is not None and self._may_have_backlog else ""
        return f"{len(self.queue)} samples wait{in_spool}"

    # the thread

    def run(self) -> None:
        if self._after is not None:
            self._after.join()
        self._survive(self._drain_at_start, 0)
        while (samples := self.queue.take(self._most())) is not None:
            self._survive(partial(self._send, samples), len(samples))
            self.queue.finished()
            self._survive(self._spill, 0)
        self._record_queue_full()
        self.losses.look(is_end=True)

    def _most(self) -> int:
        """After the flush, what is left goes into few entries of the spool."""
        return _SPOOLED_AT_ONCE if self._route.patience.is_over else 0

    def _survive(self, act: Callable[[], None], samples: int) -> None:
        """A sender outlives whatever goes wrong with one batch."""
        try:
            act()
        except Exception as error:
            self._tools.say(f"{self._route.endpoint.config.shown_name}: {samples} samples lost: {bug(error)}")
            lost = ReasonCounts()
            lost.add(DropReason.NO_RESULT, bug(error), samples)
            self.counts.add("undelivered", lost)

    def _drain_at_start(self) -> None:
        accounting = Delivery(self.endpoint_name)
        self._is_drained(self._backlog(accounting))
        self._report(accounting)

    def _send(self, samples: Samples) -> None:
        """One batch, behind what the spool holds, until it is finished: delivered, refused, kept or lost."""
        accounting, part = Delivery(self.endpoint_name), Delivery(self.endpoint_name)
        backlog = self._backlog(accounting)
        requests = self._packed(samples, part)
        if backlog is not None:
            backlog.write_ahead(requests, disjoint=False)
        if self._is_drained(backlog):
            left = self._deliver(requests, part)
            if not left:
                self._send_metadata(part)
        else:
            why = (DropReason.BEHIND_BACKLOG, "what was spooled before is not delivered yet")
            left = [PendingRequest(one, *why) for one in requests]
        self._keep(left, part, backlog)
        accounting.merge(part)
        if backlog is not None:
            backlog.write_dead_letters()
        self._report(accounting)

    def _packed(self, samples: Samples, accounting: Delivery) -> list[WriteRequest]:
        accounting.collected += len(samples)
        protocol = protocol_of(self._route.endpoint, self.metadata.values())
        return request_size.pack(samples, protocol, self._tools.now_ms(), accounting.dropped)

    def _deliver(
        self, requests: Sequence[WriteRequest], accounting: Delivery, dead_letter_reasons: Collection[str] = ()
    ) -> list[PendingRequest]:
        """Sends until all is finished, only a changed configuration helps, or the flush is over. When the config
        changes meanwhile, what is left goes to the new address. `dead_letter_reasons` adds to what the spool keeps as
        dead letters."""
        while True:
            route, send_queue = self._route, SendQueue(requests, accounting)
            send.deliver(route.endpoint, send_queue, self._options(route.patience, dead_letter_reasons), NEVER)
            left = send_queue.close()
            if not left:
                return left
            if route.patience is self._route.patience:
                route.patience.give_up()
                return left
            requests = [one.request for one in left]

    def _options(self, patience: Patience, dead_letter_reasons: Collection[str]) -> send.SendOptions:
        spool_state = self._spool_state
        return send.SendOptions(
            self._tools.now_ms,
            patience.monotonic,
            partial(self._sleep, patience),
            spool_state.dead_letter_reasons.union(dead_letter_reasons) if spool_state else frozenset(),
            splits_throttled=False,
            watch=self.watch,
        )

    def _sleep(self, patience: Patience, seconds: float) -> None:
        """Waits, and looks after what comes meanwhile."""
        until = self._tools.monotonic() + seconds
        while (left := until - self._tools.monotonic()) > 0 and not patience.is_over:
            self._spill(everything=self._must_write_ahead())
            patience.sleep(min(left, _LOOK_SECONDS))

    def _must_write_ahead(self) -> bool:
        """With mode `always`, what comes while a batch is being retried is written too, once a batch's time."""
        now = self._tools.monotonic()
        if self._spool_state is None or self._spool_state.mode != "always" or now < self._write_at:
            return False
        self._write_at = now + self._route.endpoint.config.queue.batch_send_deadline_ms / 1000
        return True

    def _send_metadata(self, part: Delivery) -> None:
        """The metadata that is due, last, so that a refused entry costs no sample."""
        metadata_requests = MetadataRequests(self._route.endpoint, list(self.metadata.values()), self._tools.now_ms())
        left = self._deliver(metadata_requests.requests(Samples(), (), part), part)
        metadata_requests.remember(part)
        for one in left:
            part.warn(f"metadata not sent: {one.detail}")

    # the spool

    def _backlog(self, accounting: Delivery) -> SpoolDrain | None:
        """The spool, for a batch that begins now. Its entries are in the order of their names, which rise whatever the
        clock does."""
        if self._spool_state is None:
            return None
        self._last_run_ms = max(self._tools.now_ms(), self._last_run_ms + 1)
        run = RunId(self._last_run_ms, secrets.token_hex(4))
        age_limit_ms = self._route.endpoint.config.queue.sample_age_limit_ms
        return SpoolDrain(self._spool_state, run, accounting, time.monotonic() + _STORE_SECONDS, age_limit_ms)

    def _is_drained(self, backlog: SpoolDrain | None) -> bool:
        """Sends what the spool holds, oldest first, for as long as it takes. False when the flush is over before."""
        if backlog is None:
            return True

        def send_entry(requests: Sequence[WriteRequest], part: Delivery, _: bool) -> list[PendingRequest]:
            left = self._deliver(requests, part, {DropReason.OVERTAKEN})
            backlog.deadline = time.monotonic() + _STORE_SECONDS
            return left

        while self._may_have_backlog:
            patience = self._route.patience
            if patience.is_over:
                return False
            backlog.deadline = until = time.monotonic() + _STORE_SECONDS
            may_go = backlog.drain(send_entry, until)
            self._may_have_backlog = backlog.is_unknown or not may_go
            if may_go:
                return True
            self._sleep(patience, _DRAIN_AGAIN_SECONDS)
        return True

    def _keep(self, left: list[PendingRequest], part: Delivery, backlog: SpoolDrain | None) -> None:
        """Puts what is left into the spool. Without one, or when it fails, that is lost."""
        lost = left
        if backlog is None:
            part.record_undelivered(left)
        else:
            backlog.deadline = time.monotonic() + _STORE_SECONDS
            lost = backlog.keep(left, part, disjoint=False)
            self._may_have_backlog = self._may_have_backlog or len(lost) < len(left)
        if lost:
            self._tools.lost(self._route.endpoint, [one.request for one in lost])

    def _spill(self, *, everything: bool = False) -> None:
        """Moves what no longer fits in memory, or `everything` that waits, into the spool, behind all that is there."""
        samples = self.queue.take_excess(everything=everything)
        if not samples:
            return
        why = (DropReason.QUEUE_FULL, "more samples were waiting than fit in memory")
        if everything:
            why = (DropReason.BEHIND_BACKLOG, "what came before is not delivered yet")
        accounting = Delivery(self.endpoint_name)
        backlog = self._backlog(accounting)
        self._keep([PendingRequest(one, *why) for one in self._packed(samples, accounting)], accounting, backlog)
        self._report(accounting)

    def _report(self, accounting: Delivery) -> None:
        self.counts.delivered(accounting)
        for fate in ("rejected", "undelivered", "dropped", "spooled"):
            self.losses.add(fate, getattr(accounting, fate))
        self.losses.look()
        for warning in accounting.warnings:
            self.losses.warn(warning)
