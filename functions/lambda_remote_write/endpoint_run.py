"""ACT 3 of one endpoint in one run: the backlog first, then the fresh requests, the trailer last; what is left is kept
in the spool, or booked as undelivered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .environment import Environment
from .in_time import Errand, Permit
from .model.delivery import Delivery, PendingRequest, WriteRequest
from .model.samples import Metadata, Samples
from .remote_write import send
from .remote_write.batches import Batch, Packed
from .remote_write.encode import packing, rollback
from .remote_write.endpoint import EndpointState
from .remote_write.metadata_requests import MetadataRequests
from .remote_write.queue import SendQueue
from .remote_write.refusals import OVERTAKEN
from .report import self_metrics
from .spool.drain import SpoolDrain
from .spool.spool import RunId

_NOT_THE_RECEIVERS = {"deadline", "behind_backlog"}  # reasons to have something left while the receiver takes requests
_TRAILER_SHARE, _TRAILER_SECONDS = 0.6, 5.0  # of the time that is reserved to keep what is left, and at most
_SENDING_SECONDS, _REQUEST_SECONDS = 10.0, 0.05  # to send what is fresh: at least, and for each request
_LATE = "no answer within the run's time; a name look-up may hang"
_SPOOL_SHARE, _SPOOL_SECONDS = 0.2, 5.0  # of the time that is left, and at most, to keep what could not be sent


def without_samples(part: Delivery) -> Delivery:
    """The books of a trailer without its samples."""
    names = ("requests", "attempts", "retries", "bytes_sent", "metadata_accepted", "metadata_rejected", "warnings")
    return Delivery(part.endpoint, **{name: getattr(part, name) for name in names})


def record_undelivered(accounting: Delivery, left: Sequence[PendingRequest]) -> None:
    for one in left:
        if one.request.samples:
            accounting.undelivered.add(one.reason, one.detail, one.request.samples)
        else:
            accounting.warn(f"metadata not sent: {one.detail}")


@dataclass(frozen=True, slots=True)
class RunBatch:
    """What is to be shipped: a run's samples with what the run knows of itself, until `deadline` (monotonic)."""

    batch: Batch
    run: RunId
    facts: self_metrics.RunFacts
    deadline: float


class EndpointRun:
    """One endpoint's part of a run. `start` ships it in a thread of its own, and `finish` waits for that; what comes
    later changes nothing, neither these books nor what the environment remembers."""

    def __init__(self, endpoint: EndpointState, environment: Environment, run_batch: RunBatch) -> None:
        self._endpoint, self._environment, self._run_batch = endpoint, environment, run_batch
        self.accounting = Delivery(endpoint.config.name, collected=run_batch.batch.count)
        self._part = Delivery(endpoint.config.name)  # the fresh requests' books
        self._fresh: SendQueue | None = None
        self._left: list[PendingRequest] = []  # of the fresh requests, once they are closed
        self._packed = Packed((), disjoint=True)
        self._open: list[SendQueue] = []
        self._is_booked = False
        self._permit = Permit()
        self._errand: Errand | None = None
        self._seconds = {"collect": run_batch.facts.collect_seconds, "encode": 0.0, "deliver": 0.0}
        spool_state = environment.spool_state
        age_limit_ms = endpoint.config.queue.sample_age_limit_ms
        self._backlog = (
            SpoolDrain(spool_state, run_batch.run, self.accounting, run_batch.deadline, age_limit_ms)
            if spool_state
            else None
        )
        if self._backlog is not None:
            self._backlog.permit = self._permit
        left = max(run_batch.deadline - time.monotonic(), 0.0)
        self._until = run_batch.deadline - (min(_SPOOL_SECONDS, _SPOOL_SHARE * left) if spool_state else 0.0)
        dependencies = environment.dependencies
        self._edges = send.Edges(
            endpoint.client,
            dependencies.now_ms,
            sleep=dependencies.sleep,
            rate_limiter=endpoint.rate_limiter,
            dead_letter_reasons=spool_state.dead_letter_reasons if spool_state else frozenset(),
            escape=endpoint.escape,
        )
        self._entry_edges = replace(self._edges, dead_letter_reasons=self._edges.dead_letter_reasons | {OVERTAKEN})

    def start(self) -> None:
        self._errand = Errand(self._permit, self._ship)

    def finish(self, deadline: float, until: float) -> None:
        """Waits until `deadline` (monotonic seconds) for the shipment. Of one that hangs longer, as in a name look-up,
        what had not been settled is kept before `until`, as far as there is time."""
        if self._errand is None or not self._errand.is_done_by(deadline):
            self._abandon(_LATE, until)
        elif self._errand.failure is not None:
            detail = f"{type(self._errand.failure).__name__}: {self._errand.failure}, which is a bug"
            self.accounting.warn(detail)
            self._lose(detail)

    def _ship(self) -> None:
        """Everything that the endpoint gets, booked to the last sample."""
        started = time.monotonic()
        now_ms = self._edges.now_ms()
        self._packed = self._run_batch.batch.packed_for(self._endpoint, self.accounting.dropped, now_ms)
        self.accounting.collected += self._packed.more
        self._seconds["encode"] = time.monotonic() - started
        self._fresh = SendQueue(self._packed.requests, self._part)
        try:
            self._go_out(self._fresh)
        except Exception as error:
            detail = f"{type(error).__name__}: {error}, which is a bug"
            self.accounting.warn(detail)
            self._fresh.hold_back("no_result", detail)
        self._left = self._fresh.close()
        self._seconds["deliver"] = time.monotonic() - started - self._seconds["encode"]
        self._finish()

    def _go_out(self, fresh: SendQueue) -> None:
        """The backlog, then the fresh requests, while nothing of the backlog is left."""
        if self._backlog is not None:
            self._backlog.write_ahead(self._packed.requests, disjoint=self._packed.disjoint)
            sending_seconds = _SENDING_SECONDS + _REQUEST_SECONDS * len(self._packed.requests)
            if not self._backlog.drain(self._send_entry, self._until, sending_seconds):
                why = next(
                    iter([*self.accounting.spooled.first_examples.values(), *self.accounting.warnings]),
                    "there was no time for it",
                )
                fresh.hold_back(
                    "behind_backlog", f"what was spooled before goes first, and is not delivered yet: {why}"
                )
                return
        self._send(fresh, self._edges, disjoint=self._packed.disjoint)

    def _send_entry(
        self, requests: Sequence[WriteRequest], accounting: Delivery, disjoint: bool
    ) -> list[PendingRequest]:
        send_queue = SendQueue(requests, accounting)
        self._send(send_queue, self._entry_edges, disjoint=disjoint)
        return send_queue.close()

    def _send(self, send_queue: SendQueue, edges: send.Edges, *, disjoint: bool) -> None:
        """What hangs in here when the shipment is abandoned books nothing more: the outbox is closed then."""
        self._open.append(send_queue)
        with self._permit.released():
            send.deliver(self._endpoint.config, send_queue, edges, self._until, disjoint=disjoint)

    # the end

    def _finish(self) -> None:
        self._keep()
        if {one.reason for one in self._left} <= _NOT_THE_RECEIVERS:
            self._send_metadata_requests()

    def _keep(self) -> None:
        """What is left goes into the spool; without one, or when it fails, it is booked as undelivered."""
        lost = left = self._left
        if self._backlog is not None:
            lost = self._backlog.keep(left, self._part, disjoint=self._packed.disjoint)
        else:
            record_undelivered(self._part, left)
        self.accounting.merge(self._part)
        self._is_booked = True
        self._rollback(lost)
        if self._backlog is not None:
            self._backlog.write_dead_letters()

    def _rollback(self, lost: Sequence[PendingRequest]) -> None:
        rollback.rollback([one.request for one in lost], self._endpoint.find())

    def _send_metadata_requests(self) -> None:
        """Metadata and the run's own metrics. Neither is part of the books of the samples, nor worth keeping."""
        endpoint, part = self._endpoint, Delivery(self.accounting.endpoint)
        metadata_requests = MetadataRequests(endpoint, self._metadata(), self._edges.now_ms())
        send_queue = SendQueue(metadata_requests.requests(self._own_samples(part), self_metrics.FAMILIES, part), part)
        until = self._until + _TRAILER_SHARE * (self._run_batch.deadline - self._until)
        until = min(until, time.monotonic() + _TRAILER_SECONDS)  # it is not worth a whole run
        with self._permit.released():
            send.deliver(endpoint.config, send_queue, self._edges, until)
        metadata_requests.remember(part)
        for one in send_queue.close():
            part.warn(f"{'self-metrics' if one.request.samples else 'metadata'} not sent: {one.detail}")
        for detail in part.rejected.first_examples.values():
            part.warn(f"self-metrics refused: {detail}")
        self.accounting.merge(without_samples(part))

    def _metadata(self) -> list[Metadata]:
        own = self_metrics.FAMILIES if self._environment.config.self_metrics else ()
        return [*self._run_batch.batch.metadata, *own]

    def _own_samples(self, part: Delivery) -> Samples:
        """The run's own metrics, as this endpoint sees them."""
        if not self._environment.config.self_metrics:
            return Samples()
        found = self_metrics.samples(
            self._run_batch.facts, self._endpoint.own_facts, self.accounting, self._seconds, self._edges.now_ms(),
            self._environment.series.intern,
        )  # fmt: skip
        view = self._endpoint.view
        return packing.apply_write_relabel(view, found, part.dropped) if view else found

    # a thread that hangs where no timeout reaches, as in a name look-up

    def _abandon(self, why: str, until: float) -> None:
        """Ends the shipment in place of its thread, which has no permit any more."""
        for send_queue in self._open:
            send_queue.close()
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
        self.accounting.merge(self._part)
        unknown = self.accounting.unaccounted
        if unknown:
            self.accounting.undelivered.add("no_result", why, unknown)
            self._rollback(self._left)
