"""Sends the requests of one endpoint, oldest first, until all have an outcome, the deadline is near, or only a changed
configuration helps. Requests that share no series may go side by side."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..config.schema import RemoteWriteConfig
from ..deadline import Call
from ..model.delivery import Delivery, Outcome, PendingRequest, WriteRequest
from ..model.drop_reasons import DropReason
from .backoff import BackoffPolicy, next_wait, retry_after_seconds
from .client import WriteResponse, WrittenCounts
from .endpoint import EndpointState
from .explain import Explanation, explain
from .queue import OUT_OF_TIME, QueueClosed, QueuedRequest, SendQueue
from .refusals import OUT_OF_ORDER, TOO_LATE
from .request_size import cut_by_age, in_version_1, split
from .retryable import classify

_SPLIT_ABOVE_BYTES = 100_000  # a 413 on less is not about the size of this body
_MAX_CONNECTIONS = 4
_REQUESTS_PER_CONNECTION = 4  # that make another connection worthwhile; min_shards may ask for more
_THROTTLED_BEFORE_SPLIT = 2  # a 429 rejects the whole request: it is retried once before it is split
_QUICK_SECONDS = 0.005  # a receiver that answers sooner is served over one connection
_SPARE_SECONDS = 0.5


class Watch(Protocol):
    """Is called before and after every attempt; a request's first one has the number 1."""

    def asked(self, attempt: int) -> None: ...
    def answered(self, response: WriteResponse) -> None: ...


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How requests are sent: by which wall clock (ms), monotonic clock and sleep (seconds). `dead_letter_reasons` names
    what is kept as dead letters: samples that are "too_old", requests that are "rejected", and requests that are
    "overtaken": they waited in the spool, and are refused because newer samples of their series were stored first. With
    `splits_throttled`, a request that is throttled again is split: AMP refuses one that is larger than what its rate
    still allows."""

    now_ms: Callable[[], int]
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    dead_letter_reasons: frozenset[str] = frozenset()
    splits_throttled: bool = True
    watch: Watch | None = None


def deliver(
    endpoint: EndpointState, send_queue: SendQueue, options: SendOptions, deadline: float, *, disjoint: bool = False
) -> bool:
    """Sends what is in `send_queue` and accounts for every sample. `deadline` is monotonic seconds; of `disjoint`
    requests no two have a series in common. Returns whether the queue is empty."""
    count = connections(endpoint.config, len(send_queue), disjoint)
    senders = [_Sender(endpoint, send_queue, options, deadline) for _ in range(count)]
    if count > endpoint.config.queue.min_shards and senders[0].sends_quickly():
        del senders[max(endpoint.config.queue.min_shards, 1) :]
    if len(senders) == 1:
        senders[0].send_all()
        return not send_queue.is_stopped
    calls = [Call(sender.send_all) for sender in senders]
    # Each ends by itself at the deadline, except in a call that no timeout reaches.
    ended = [call for call in calls if call.wait(deadline + _SPARE_SECONDS - options.monotonic())]
    for call in ended:
        call.result(0.0)  # raises what is a bug
    return not send_queue.is_stopped and len(ended) == len(calls)


def connections(endpoint: RemoteWriteConfig, requests: int, disjoint: bool) -> int:
    """How many requests are sent concurrently: one if they share series, because order would be lost."""
    if not disjoint or requests < 2:
        return 1
    queue = endpoint.queue
    wanted = max(queue.min_shards, -(-requests // _REQUESTS_PER_CONNECTION))
    return min(wanted, queue.max_shards, _MAX_CONNECTIONS, requests)


class _Sender:
    """Sends one request after the other over one connection, and accounts for its samples."""

    def __init__(self, endpoint: EndpointState, send_queue: SendQueue, options: SendOptions, deadline: float) -> None:
        self._endpoint, self._config, self._client = endpoint, endpoint.config, endpoint.client
        self._send_queue, self._options, self._deadline = send_queue, options, deadline
        queue = endpoint.config.queue
        self._policy = BackoffPolicy(queue.min_backoff_ms / 1000, queue.max_backoff_ms / 1000)

    def sends_quickly(self) -> bool:
        """Sends the first request. Returns whether the receiver is so quick that more connections only cost CPU."""
        started = self._options.monotonic()
        self.send_all(max_requests=1)
        return self._options.monotonic() - started < _QUICK_SECONDS

    def send_all(self, max_requests: int | None = None) -> None:
        """Until the queue gives no more, or so many requests are done. What a bug leaves stays in the queue."""
        with contextlib.suppress(QueueClosed):
            for _ in itertools.count() if max_requests is None else range(max_requests):
                queued = self._send_queue.take()
                if queued is None:
                    return
                while queued.pieces:
                    if self._send(queued) in (Outcome.UNAVAILABLE, Outcome.MISCONFIGURED):
                        self._send_queue.stop(queued)
                        return

    def _send(self, queued: QueuedRequest) -> Outcome | None:
        """Attempts the first piece of a request until its outcome is final for this run. UNAVAILABLE and MISCONFIGURED
        leave it in the queue; after any other outcome it is recorded and removed, or split."""
        attempt, throttled, renew, renewed = 0, 0, False, False
        policy: BackoffPolicy | None = None
        while self._make_ready(queued):
            request = queued.pieces[0]
            if not self._wait_for_turn(request, queued):
                return Outcome.UNAVAILABLE
            attempt += 1
            response = self._post(queued, attempt, renew=renew)
            outcome = self._outcome(response, request)
            renew = self._is_renewable(response) and not renewed
            if renew:
                renewed = True
                continue
            if outcome is not Outcome.UNAVAILABLE:
                return self._record(queued, response, outcome)
            self._remember(queued, outcome, response)
            queued.in_flight = False
            throttled += response.status == 429
            policy = policy or self._policy.of_one_request()
            if not self._back_off(policy, response, attempt):
                return outcome
            if self._options.splits_throttled and throttled >= _THROTTLED_BEFORE_SPLIT and request.samples > 1:
                self._replace(queued, split(request))
                return None
        return None

    def _make_ready(self, queued: QueuedRequest) -> bool:
        """Prepares the first piece: converts it to the receiver's version and drops samples that have become too old.
        False when nothing of it is left."""
        queued.in_flight = False
        if queued.pieces[0].version > self._client.version:
            with self._send_queue.accounting() as accounting:
                request = queued.pieces.popleft()
                now_ms, escape = self._options.now_ms(), self._endpoint.escape
                converted = in_version_1(request, self._config, now_ms, accounting.dropped, escape)
                queued.pieces.extendleft(reversed(converted))
        return bool(queued.pieces) and self._is_young(queued)

    def _is_young(self, queued: QueuedRequest) -> bool:
        request, limit_ms = queued.pieces[0], self._config.queue.sample_age_limit_ms
        oldest_allowed_ms = self._options.now_ms() - limit_ms
        if not limit_ms or not request.samples or request.oldest_ms >= oldest_allowed_ms:
            return True
        young, old = cut_by_age(request, oldest_allowed_ms)
        with self._send_queue.accounting() as accounting:
            if old:
                self._drop_old(accounting, old)
            queued.pieces.popleft()
            if young:
                queued.pieces.appendleft(young)
        return young is not None

    def _drop_old(self, accounting: Delivery, old: WriteRequest) -> None:
        reason, detail = DropReason.TOO_OLD, "older than sample_age_limit before it could be sent"
        accounting.dropped.add(reason, detail, old.samples)
        if reason in self._options.dead_letter_reasons:
            accounting.dead.append(PendingRequest(old, reason, detail))

    def _wait_for_turn(self, request: WriteRequest, queued: QueuedRequest) -> bool:
        """Waits for the rate limit. False when the run ends before the request may be sent."""
        now = self._options.monotonic()
        left = self._deadline - now
        limiter = self._endpoint.rate_limiter
        wait = limiter.wait_seconds(request.samples, now, left) if limiter else 0.0
        if left <= 0 or wait is None:
            if queued.reason == OUT_OF_TIME[0] and wait is None and left > 0:
                queued.detail = "max_samples_per_second allowed no more in this run's time"
            return False
        if wait:
            self._options.sleep(wait)
        return True

    def _post(self, queued: QueuedRequest, attempt: int, *, renew: bool) -> WriteResponse:
        """One attempt. A request without an answer is marked as maybe stored."""
        request = queued.pieces[0]
        queued.in_flight = True
        left = self._deadline - self._options.monotonic()
        watch = self._options.watch
        if watch:
            watch.asked(attempt)
        response = self._client.post(request, attempt, left, renewed=renew)
        if watch:
            watch.answered(response)
        with self._send_queue.accounting() as accounting:
            accounting.attempts += 1
            accounting.retries += attempt > 1
            accounting.bytes_sent += len(request.body)
            if response.resent or response.is_unanswered:
                queued.mark_maybe_stored()
        return response

    def _back_off(self, policy: BackoffPolicy, response: WriteResponse, attempt: int) -> bool:
        """Waits before the next attempt. False when the deadline comes first."""
        retry_after = retry_after_seconds(response.retry_after, self._options.now_ms() / 1000)
        wait = next_wait(policy, attempt, retry_after, self._deadline - self._options.monotonic())
        if wait is None:
            return False
        self._options.sleep(wait)
        return True

    def _is_renewable(self, response: WriteResponse) -> bool:
        """Whether another attempt with fresh credentials may help: they may have expired since they were fetched."""
        signs, http = self._config.sigv4 is not None, self._config.http
        return (response.status == 403 and (signs or http.may_renew)) or (response.status == 401 and http.may_renew)

    def _outcome(self, response: WriteResponse, request: WriteRequest) -> Outcome:
        if response.status == 0:
            return Outcome.MISCONFIGURED if response.fixable else Outcome.UNAVAILABLE
        outcome = classify(response.status)
        if request.version > 1 and (response.status == 415 or (outcome is Outcome.ACCEPTED and not response.written)):
            return Outcome.OTHER_VERSION
        if response.status == 429 and not self._config.queue.retry_on_http_429:
            return Outcome.REJECTED
        is_small = len(request.body) <= _SPLIT_ABOVE_BYTES or max(request.samples, request.metadata) < 2
        if outcome is Outcome.TOO_LARGE and is_small:
            return Outcome.REJECTED
        return outcome

    # outcomes

    def _record(self, queued: QueuedRequest, response: WriteResponse, outcome: Outcome) -> Outcome:
        if outcome is Outcome.MISCONFIGURED:
            self._remember(queued, outcome, response)
            queued.in_flight = False  # it was answered, and not stored
        elif outcome is Outcome.TOO_LARGE:
            self._replace(queued, split(queued.pieces[0]))
        else:
            with self._send_queue.accounting() as accounting:
                if outcome is Outcome.OTHER_VERSION:  # the piece is made ready in the other version
                    self._fall_back(accounting, response)
                elif outcome is Outcome.ACCEPTED:
                    self._accept(accounting, queued.pieces.popleft(), response)
                else:
                    self._reject(accounting, queued.pieces.popleft(), response)
        return outcome

    def _replace(self, queued: QueuedRequest, pieces: list[WriteRequest]) -> None:
        with self._send_queue.accounting():
            queued.pieces.popleft()
            queued.pieces.extendleft(reversed(pieces))

    def _accept(self, accounting: Delivery, request: WriteRequest, response: WriteResponse) -> None:
        accounting.requests += 1
        accounting.metadata_accepted += request.metadata
        # A success in version 1 counts nothing: all of the request was written.
        floats = request.samples - request.histograms
        written = response.written or WrittenCounts(floats, request.histograms, request.exemplars)
        if missing := request.samples - self._take(accounting, request, written):
            wrote = f"wrote {request.samples - missing} of {request.samples}"
            detail = f"{missing} samples: the receiver answered {response.status} and {wrote}; its log may say why"
            accounting.rejected.add(DropReason.NOT_WRITTEN, detail, missing)
        if response.status == 202:
            accounting.warn("the receiver answered 202: a receiver with replica election drops such samples")

    def _take(self, accounting: Delivery, request: WriteRequest, written: WrittenCounts) -> int:
        """Counts what was written as accepted, and returns how many samples that is."""
        taken = written.of(request)
        accounting.accepted += taken
        accounting.exemplars_accepted += min(written.exemplars, request.exemplars)
        return taken

    def _fall_back(self, accounting: Delivery, response: WriteResponse) -> None:
        self._client.version = 1
        detail = f"answered {response.status}" + ("" if response.status == 415 else " without saying what it wrote")
        advice = "leave out protobuf_message, or use a receiver of 2.0"
        accounting.warn(f"the receiver {detail}: it does not take remote write 2.0. It gets 1.0 from now on; {advice}")

    def _reject(self, accounting: Delivery, request: WriteRequest, response: WriteResponse) -> None:
        explained = explain(response.status, response.message, self._config)
        detail = _sentence(response, explained)
        if request.metadata:
            accounting.metadata_rejected += request.metadata
            if not request.samples:
                accounting.warn(f"metadata refused: {detail}")
        maybe_stored = request.maybe_stored and response.status == 400
        if maybe_stored:
            detail = f"refused after an attempt without an answer, which may have stored it; {detail}"
        refused = request.samples - self._take(accounting, request, response.written or WrittenCounts())
        is_late = DropReason.OVERTAKEN in self._options.dead_letter_reasons and explained.reason in TOO_LATE
        reason = DropReason.MAYBE_STORED if maybe_stored else explained.reason
        if is_late and reason in OUT_OF_ORDER:
            reason = DropReason.OVERTAKEN
        count = f"{refused} samples" if response.written else f"up to {refused} samples"
        if refused:
            accounting.rejected.add(reason, f"{count}: {detail}", refused)
            if is_late or "rejected" in self._options.dead_letter_reasons:
                is_whole = refused == request.samples  # else some samples were accepted, and are counted so
                accounting.dead.append(PendingRequest(request, reason if is_whole else explained.reason, detail))

    def _remember(self, queued: QueuedRequest, outcome: Outcome, response: WriteResponse) -> None:
        """Records the reason in case the run stops here."""
        is_misconfigured = outcome is Outcome.MISCONFIGURED
        queued.reason = DropReason.MISCONFIGURED if is_misconfigured else DropReason.UNAVAILABLE
        queued.detail = response.message
        if response.status:
            explained = explain(response.status, response.message, self._config)
            queued.reason, queued.detail = f"http_{response.status}", _sentence(response, explained)


def _sentence(response: WriteResponse, explained: Explanation) -> str:
    """What the receiver answered, what that means, and what helps."""
    quoted = f'; it said: "{response.message}"' if response.message else ""
    named = f"; it names {explained.series}" if explained.series else ""
    advice = f". {explained.help}" if explained.help else ""
    return f"{response.status}: {explained.meaning}{named}{advice}{quoted}"
