"""One endpoint's part of a push: drain the spool, send what was encoded, keep what is left, send metadata and
self-metrics.

It comes back by itself soon after the deadline, whatever hangs: stores are punctual, and a send that no timeout reaches
is left behind. What it sends comes from a queue that is closed then, so that a late answer changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .deadline import DeadlineExceeded, call_until
from .environment import Environment, Run
from .model.delivery import Delivery, PendingRequest, WriteRequest
from .model.drop_reasons import DropReason
from .model.samples import Metadata, Samples
from .remote_write import send
from .remote_write.batches import EncodedBatch, MetadataRequests, rollback
from .remote_write.endpoint import EndpointState
from .remote_write.queue import SendQueue
from .report import self_metrics
from .spool.drain import SpoolDrain

# Reasons to have samples left that do not say that the receiver is down.
_WITH_METADATA = {DropReason.DEADLINE, DropReason.BEHIND_BACKLOG}
_METADATA_SHARE, _METADATA_SECONDS = 0.6, 5.0  # of the time that is reserved to keep what is left, and at most
_SENDING_SECONDS, _REQUEST_SECONDS = 10.0, 0.05  # to send what is fresh: at least, and for each request
_LATE = "no answer within the run's time; a name look-up may hang"
_SPOOL_SHARE, _SPOOL_SECONDS = 0.2, 5.0  # of the time that is left, and at most, to keep what could not be sent
_SPARE_SECONDS = 0.5  # after the deadline, until a send counts as hanging
_LAST_SECONDS = 2.0  # after the deadline, until what a hanging send has left must be kept


@dataclass(frozen=True, slots=True)
class RunBatch:
    """What a run sends to every endpoint besides samples: the metadata of what it collected, and what it knows of
    itself, if it sends self-metrics."""

    metadata: Sequence[Metadata]
    facts: self_metrics.RunFacts | None


class EndpointRun:
    """One endpoint's part of a run. `deliver` may run beside those of other endpoints."""

    def __init__(
        self, endpoint: EndpointState, environment: Environment, run: Run, encoded: EncodedBatch, run_batch: RunBatch
    ) -> None:
        self._endpoint, self._environment, self._encoded, self._run_batch = endpoint, environment, encoded, run_batch
        self._accounting = Delivery(endpoint.config.name, encoded.collected, dropped=encoded.dropped)
        self._deadline, spool_state = run.deadline, environment.spool_state
        left_seconds = max(run.deadline - time.monotonic(), 0.0)
        self._send_until = run.deadline - (min(_SPOOL_SECONDS, _SPOOL_SHARE * left_seconds) if spool_state else 0.0)
        dependencies = environment.dependencies
        self._options = send.SendOptions(
            dependencies.now_ms,
            sleep=dependencies.sleep,
            dead_letter_reasons=spool_state.dead_letter_reasons if spool_state else frozenset(),
        )
        age_limit_ms = endpoint.config.queue.sample_age_limit_ms
        self._spool = (
            SpoolDrain(spool_state, run.id, self._accounting, run.deadline, age_limit_ms) if spool_state else None
        )

    def deliver(self) -> Delivery:
        """Sends all that the endpoint gets. Returns what became of every sample, whatever happens."""
        started, fresh = time.monotonic(), Delivery(self._accounting.endpoint)
        try:
            if self._encoded.error:
                raise self._encoded.error
            left = self._send_samples(fresh)
            deliver_seconds = time.monotonic() - started
            self._keep(left, fresh)
            if {one.reason for one in left} <= _WITH_METADATA:
                self._send_metadata_requests(deliver_seconds)
        except Exception as error:
            self._accounting.record_bug(error)
        return self._accounting

    # samples

    def _send_samples(self, fresh: Delivery) -> list[PendingRequest]:
        """Sends what waits in the spool, and then what this run has, whose outcomes go into `fresh`. Returns what is
        left of the latter, with the reason."""
        send_queue = SendQueue(self._encoded.requests, fresh)
        try:
            if why := self._drain_spool():
                detail = f"what was spooled before goes first, and is not delivered yet: {why}"
                send_queue.hold_back(DropReason.BEHIND_BACKLOG, detail)
            else:
                self._send(send_queue, self._options, disjoint=self._encoded.disjoint)
        except DeadlineExceeded:
            send_queue.hold_back(DropReason.NO_RESULT, _LATE)
        except Exception as error:  # what was not sent is kept all the same
            send_queue.hold_back(DropReason.NO_RESULT, self._accounting.warn_of_bug(error))
        return send_queue.close()

    def _drain_spool(self) -> str:
        """Sends what earlier runs have left. Returns why this run's samples may not go yet, "" if they may."""
        if self._spool is None:
            return ""
        self._spool.write_ahead(self._encoded.requests, disjoint=self._encoded.disjoint)
        sending_seconds = _SENDING_SECONDS + _REQUEST_SECONDS * len(self._encoded.requests)
        if self._spool.drain(self._send_entry, self._send_until, sending_seconds):
            return ""
        reasons = [*self._accounting.spooled.first_examples.values(), *self._accounting.warnings]
        return next(iter(reasons), "there was no time for it")

    def _send_entry(
        self, requests: Sequence[WriteRequest], accounting: Delivery, disjoint: bool
    ) -> list[PendingRequest]:
        """Sends an entry of the spool. One that hangs raises DeadlineExceeded, and the entry stays as it is."""
        dead_letter_reasons = self._options.dead_letter_reasons | {DropReason.OVERTAKEN}
        send_queue = SendQueue(requests, accounting)
        try:
            self._send(send_queue, replace(self._options, dead_letter_reasons=dead_letter_reasons), disjoint=disjoint)
        finally:
            left = send_queue.close()
        return left

    def _send(
        self, send_queue: SendQueue, options: send.SendOptions, *, disjoint: bool, until: float | None = None
    ) -> None:
        """Sends until `until`, or the time that is reserved to keep what is left. Raises DeadlineExceeded when it
        hangs; the caller then closes the queue."""
        send_until = self._send_until if until is None else until
        call_until(
            lambda: send.deliver(self._endpoint, send_queue, options, send_until, disjoint=disjoint),
            self._deadline + _SPARE_SECONDS,
        )

    def _keep(self, left: list[PendingRequest], fresh: Delivery) -> None:
        """Puts what is left into the spool. Without one, or when it fails, the samples are undelivered: they count as
        not sent, so that the next run may send them again."""
        lost = left
        try:
            if self._spool is None:
                fresh.record_undelivered(left)
            else:
                if time.monotonic() > self._deadline:  # a send has hung
                    self._spool.deadline = self._deadline + _LAST_SECONDS
                lost = self._spool.keep(left, fresh, disjoint=self._encoded.disjoint)
        finally:
            self._accounting.merge(fresh)
            if lost:
                rollback([one.request for one in lost], self._endpoint.find)
        if self._spool is not None:
            self._spool.write_dead_letters()

    # metadata and self-metrics

    def _send_metadata_requests(self, deliver_seconds: float) -> None:
        """Neither is kept when it cannot be sent, and samples of self-metrics are not accounted for."""
        endpoint, part = self._endpoint, Delivery(self._accounting.endpoint)
        own = self_metrics.FAMILIES if self._run_batch.facts else ()
        metadata_requests = MetadataRequests(endpoint, [*self._run_batch.metadata, *own], self._options.now_ms())
        requests = metadata_requests.requests(self._self_metrics(part, deliver_seconds), self_metrics.FAMILIES, part)
        send_queue = SendQueue(requests, part)
        until = self._send_until + _METADATA_SHARE * (self._deadline - self._send_until)
        until = min(until, time.monotonic() + _METADATA_SECONDS)  # it is not worth a whole run
        try:
            self._send(send_queue, self._options, disjoint=False, until=until)
        except DeadlineExceeded:
            send_queue.hold_back(DropReason.NO_RESULT, _LATE)
        left = send_queue.close()
        metadata_requests.remember(part)
        for one in left:
            part.warn(f"{'self-metrics' if one.request.samples else 'metadata'} not sent: {one.detail}")
        for detail in part.rejected.first_examples.values():
            part.warn(f"self-metrics refused: {detail}")
        self._accounting.merge(part.without_samples())

    def _self_metrics(self, part: Delivery, deliver_seconds: float) -> Samples:
        """The run's own metrics, as this endpoint gets them."""
        facts, endpoint = self._run_batch.facts, self._endpoint
        if facts is None:
            return Samples()
        seconds = {"collect": facts.collect_seconds, "encode": self._encoded.seconds, "deliver": deliver_seconds}
        found = self_metrics.samples(
            facts, endpoint.own_facts, self._accounting, seconds, self._options.now_ms(),
            self._environment.series.intern,
        )  # fmt: skip
        view = endpoint.view
        return view.apply(found, part.dropped) if view else found
