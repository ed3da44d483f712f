"""ACT 3 of one endpoint in one run: the backlog first, then the fresh requests, the trailer last; what is left is kept
in the spool, or booked as undelivered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import self_metrics
from .batch import Batch, Packed
from .delivery import deliver
from .delivery.backlog import Backlog
from .delivery.outbox import Outbox
from .delivery.refusals import OVERTAKEN
from .delivery.spool import Run
from .in_time import Errand, Permit
from .model import Delivery, Kept, Metadata, Samples, WriteRequest
from .trailer import Trailer
from .warm import Remote, Warm
from .wire import order, packing

_NOT_THE_RECEIVERS = {"deadline", "behind_backlog"}  # reasons to have something left while the receiver takes requests
_TRAILER_SHARE, _TRAILER_SECONDS = 0.6, 5.0  # of the time that is reserved to keep what is left, and at most
_SENDING_SECONDS, _REQUEST_SECONDS = 10.0, 0.05  # to send what is fresh: at least, and for each request
_LATE = "no answer within the run's time; a name look-up may hang"
_SPOOL_SHARE, _SPOOL_SECONDS = 0.2, 5.0  # of the time that is left, and at most, to keep what could not be sent


def without_samples(part: Delivery) -> Delivery:
    """The books of a trailer without its samples."""
    names = ("requests", "attempts", "retries", "bytes_sent", "metadata_accepted", "metadata_rejected", "warnings")
    return Delivery(part.endpoint, **{name: getattr(part, name) for name in names})


def book_undelivered(books: Delivery, left: Sequence[Kept]) -> None:
    for one in left:
        if one.request.samples:
            books.undelivered.add(one.reason, one.said, one.request.samples)
        else:
            books.warn(f"metadata not sent: {one.said}")


@dataclass(frozen=True, slots=True)
class Cargo:
    """What is to be shipped: a run's samples with what the run knows of itself, until `deadline` (monotonic)."""

    batch: Batch
    run: Run
    facts: self_metrics.RunFacts
    deadline: float


class Shipment:
    """One endpoint's part of a run. `start` ships it in a thread of its own, and `finish` waits for that; what comes
    later changes nothing, neither these books nor what the environment remembers."""

    def __init__(self, remote: Remote, warm: Warm, cargo: Cargo) -> None:
        self._remote, self._warm, self._cargo = remote, warm, cargo
        self.books = Delivery(remote.endpoint.name, collected=cargo.batch.count)
        self._part = Delivery(remote.endpoint.name)  # the fresh requests' books
        self._fresh: Outbox | None = None
        self._left: list[Kept] = []  # of the fresh requests, once they are closed
        self._packed = Packed((), disjoint=True)
        self._open: list[Outbox] = []
        self._is_booked = False
        self._permit = Permit()
        self._errand: Errand | None = None
        self._seconds = {"sources": cargo.facts.sources_seconds, "wire": 0.0, "delivery": 0.0}
        depot = warm.depot
        age_limit_ms = remote.endpoint.queue.sample_age_limit_ms
        self._backlog = Backlog(depot, cargo.run, self.books, cargo.deadline, age_limit_ms) if depot else None
        if self._backlog is not None:
            self._backlog.permit = self._permit
        left = max(cargo.deadline - time.monotonic(), 0.0)
        self._until = cargo.deadline - (min(_SPOOL_SECONDS, _SPOOL_SHARE * left) if depot else 0.0)
        outside = warm.outside
        self._edges = deliver.Edges(
            remote.poster,
            outside.now_ms,
            sleep=outside.sleep,
            pace=remote.pace,
            buries=depot.buries if depot else frozenset(),
            escape=remote.escape,
        )
        self._entry_edges = replace(self._edges, buries=self._edges.buries | {OVERTAKEN})

    def start(self) -> None:
        self._errand = Errand(self._permit, self._ship)

    def finish(self, deadline: float, until: float) -> None:
        """Waits until `deadline` (monotonic seconds) for the shipment. Of one that hangs longer, as in a name look-up,
        what had not been settled is kept before `until`, as far as there is time."""
        if self._errand is None or not self._errand.is_done_by(deadline):
            self._abandon(_LATE, until)
        elif self._errand.failure is not None:
            said = f"{type(self._errand.failure).__name__}: {self._errand.failure}, which is a bug"
            self.books.warn(said)
            self._lose(said)

    def _ship(self) -> None:
        """Everything that the endpoint gets, booked to the last sample."""
        started = time.monotonic()
        now_ms = self._edges.now_ms()
        self._packed = self._cargo.batch.packed_for(self._remote, self.books.dropped, now_ms)
        self.books.collected += self._packed.more
        self._seconds["wire"] = time.monotonic() - started
        self._fresh = Outbox(self._packed.requests, self._part)
        try:
            self._go_out(self._fresh)
        except Exception as error:
            said = f"{type(error).__name__}: {error}, which is a bug"
            self.books.warn(said)
            self._fresh.hold_back("no_result", said)
        self._left = self._fresh.close()
        self._seconds["delivery"] = time.monotonic() - started - self._seconds["wire"]
        self._finish()

    def _go_out(self, fresh: Outbox) -> None:
        """The backlog, then the fresh requests, while nothing of the backlog is left."""
        if self._backlog is not None:
            self._backlog.write_ahead(self._packed.requests, disjoint=self._packed.disjoint)
            sending_seconds = _SENDING_SECONDS + _REQUEST_SECONDS * len(self._packed.requests)
            if not self._backlog.drain(self._send_entry, self._until, sending_seconds):
                why = next(iter([*self.books.spooled.first.values(), *self.books.warnings]), "there was no time for it")
                fresh.hold_back(
                    "behind_backlog", f"what was spooled before goes first, and is not delivered yet: {why}"
                )
                return
        self._send(fresh, self._edges, disjoint=self._packed.disjoint)

    def _send_entry(self, requests: Sequence[WriteRequest], books: Delivery, disjoint: bool) -> list[Kept]:
        outbox = Outbox(requests, books)
        self._send(outbox, self._entry_edges, disjoint=disjoint)
        return outbox.close()

    def _send(self, outbox: Outbox, edges: deliver.Edges, *, disjoint: bool) -> None:
        """What hangs in here when the shipment is abandoned books nothing more: the outbox is closed then."""
        self._open.append(outbox)
        with self._permit.outside():
            deliver.deliver(self._remote.endpoint, outbox, edges, self._until, disjoint=disjoint)

    # the end

    def _finish(self) -> None:
        self._keep()
        if {one.reason for one in self._left} <= _NOT_THE_RECEIVERS:
            self._send_trailer()

    def _keep(self) -> None:
        """What is left goes into the spool; without one, or when it fails, it is booked as undelivered."""
        lost = left = self._left
        if self._backlog is not None:
            lost = self._backlog.keep(left, self._part, disjoint=self._packed.disjoint)
        else:
            book_undelivered(self._part, left)
        self.books.merge(self._part)
        self._is_booked = True
        self._take_back(lost)
        if self._backlog is not None:
            self._backlog.bury()

    def _take_back(self, lost: Sequence[Kept]) -> None:
        order.take_back([one.request for one in lost], self._remote.find())

    def _send_trailer(self) -> None:
        """Metadata and the run's own metrics. Neither is part of the books of the samples, nor worth keeping."""
        remote, part = self._remote, Delivery(self.books.endpoint)
        trailer = Trailer(remote, self._metadata(), self._edges.now_ms())
        outbox = Outbox(trailer.requests(self._own_samples(part), self_metrics.FAMILIES, part), part)
        until = self._until + _TRAILER_SHARE * (self._cargo.deadline - self._until)
        until = min(until, time.monotonic() + _TRAILER_SECONDS)  # it is not worth a whole run
        with self._permit.outside():
            deliver.deliver(remote.endpoint, outbox, self._edges, until)
        trailer.remember(part)
        for one in outbox.close():
            part.warn(f"{'self-metrics' if one.request.samples else 'metadata'} not sent: {one.said}")
        for said in part.rejected.first.values():
            part.warn(f"self-metrics refused: {said}")
        self.books.merge(without_samples(part))

    def _metadata(self) -> list[Metadata]:
        own = self_metrics.FAMILIES if self._warm.config.self_metrics else ()
        return [*self._cargo.batch.metadata, *own]

    def _own_samples(self, part: Delivery) -> Samples:
        """The run's own metrics, as this endpoint sees them."""
        if not self._warm.config.self_metrics:
            return Samples()
        found = self_metrics.samples(
            self._cargo.facts, self._remote.own_facts, self.books, self._seconds, self._edges.now_ms(),
            self._warm.series.intern,
        )  # fmt: skip
        view = self._remote.view
        return packing.through(view, found, part.dropped) if view else found

    # a thread that hangs where no timeout reaches, as in a name look-up

    def _abandon(self, why: str, until: float) -> None:
        """Ends the shipment in place of its thread, which has no permit any more."""
        for outbox in self._open:
            outbox.close()
        if self._is_booked:  # only the dead letters or the trailer hang
            return
        if self._fresh is None or self._left:  # it hangs where it packs, or where it keeps what is left
            self._lose(why)
            return
        self._fresh.hold_back("no_result", why)
        self._left = self._fresh.close()
        permit = Permit()
        if self._backlog is not None:
            self._backlog.deadline, self._backlog.permit = until, permit
        keeping = Errand(permit, self._keep)
        if not keeping.is_done_by(max(until, time.monotonic() + 0.1)) or keeping.failure is not None:
            self._lose(why)

    def _lose(self, why: str) -> None:
        """Books as undelivered what nothing is known of, and lets the next run send it again."""
        if self._is_booked:
            return
        self.books.merge(self._part)
        unknown = self.books.unaccounted
        if unknown:
            self.books.undelivered.add("no_result", why, unknown)
            self._take_back(self._left)
