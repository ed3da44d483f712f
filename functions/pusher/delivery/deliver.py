"""ACT 3: bytes -> outcome. Requests of one endpoint go out one after the other, oldest first, until all are settled,
the deadline is near, or the receiver wants a person."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..config.schema import Endpoint
from ..model import Delivery, Outcome, WriteRequest
from ..wire.packing import split, without_old
from .attempt import Poster, Response
from .classify import classify, meaning
from .retry import BackoffPolicy, next_wait, retry_after_seconds

_SPLIT_ABOVE_BYTES = 100_000  # a 413 on less is not about the size of this body
_OUT_OF_TIME = ("deadline", "the run's time was up before it was sent")


@dataclass(frozen=True, slots=True)
class Edges:
    """What delivering needs of the outside world: how to post, wall clock (ms), monotonic clock and sleep (seconds)."""

    poster: Poster
    now_ms: Callable[[], int]
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def deliver(
    endpoint: Endpoint, requests: Sequence[WriteRequest], delivery: Delivery, edges: Edges, deadline: float
) -> list[WriteRequest]:
    """Sends `requests` in order and books every sample in `delivery`. `deadline` is monotonic seconds.

    Returns, oldest first, the requests that could not be delivered; their samples are booked as undelivered.
    """
    waiting = deque(requests)
    sender = _Sender(endpoint, delivery, edges, deadline)
    while waiting:
        outcome, waiting[0] = sender.settle(waiting[0])
        if outcome in (Outcome.UNAVAILABLE, Outcome.MISCONFIGURED):
            break
        request = waiting.popleft()
        if outcome is Outcome.TOO_LARGE:
            waiting.extendleft(reversed(split(request)))
    for request in waiting:
        sender.give_up(request)
    return list(waiting)


class _Sender:
    """Settles one request after the other and keeps the books."""

    def __init__(self, endpoint: Endpoint, delivery: Delivery, edges: Edges, deadline: float) -> None:
        self._endpoint, self._delivery, self._edges, self._deadline = endpoint, delivery, edges, deadline
        queue = endpoint.queue
        self._policy = BackoffPolicy(queue.min_backoff_ms / 1000, queue.max_backoff_ms / 1000)
        self._reason, self._said = _OUT_OF_TIME

    def settle(self, request: WriteRequest) -> tuple[Outcome | None, WriteRequest]:
        """Attempts one request until its outcome is final for this run, and books it. Returns what is left of the
        request with the outcome: samples that became too old on the way are booked and cut from it.

        UNAVAILABLE, MISCONFIGURED and TOO_LARGE are left to the caller: the samples are still in hand. None when all
        of them have become too old to be sent.
        """
        attempt, unanswered, renew, renewed = 0, False, False, False
        self._reason, self._said = _OUT_OF_TIME
        while True:
            fresh = self._still_young(request)
            if fresh is None:
                return None, request
            request = fresh
            left = self._deadline - self._edges.monotonic()
            if left <= 0:
                return Outcome.UNAVAILABLE, request
            attempt += 1
            response = self._edges.poster.post(request, attempt, left, renewed=renew)
            self._count(request)
            unanswered = unanswered or response.resent
            outcome = self._outcome(response, request)
            renew = self._is_renewable(response) and not renewed
            if renew:
                renewed = True
                continue
            if outcome is not Outcome.UNAVAILABLE:
                self._book(request, response, outcome, maybe_stored=unanswered and response.status == 400)
                return outcome, request
            unanswered = unanswered or response.status == 0
            self._remember(outcome, response)
            retry_after = retry_after_seconds(response.retry_after, self._edges.now_ms() / 1000)
            wait = next_wait(self._policy, attempt, retry_after, self._deadline - self._edges.monotonic())
            if wait is None:
                return outcome, request
            self._edges.sleep(wait)

    def give_up(self, request: WriteRequest) -> None:
        """Books a request that this run cannot deliver."""
        if request.samples:
            self._delivery.undelivered.add(self._reason, self._said, request.samples)
        elif request.metadata:
            self._warn(f"metadata not sent: {self._said}")

    def _still_young(self, request: WriteRequest) -> WriteRequest | None:
        limit_ms = self._endpoint.queue.sample_age_limit_ms
        if not limit_ms or not request.samples:
            return request
        young = without_old(request, self._edges.now_ms() - limit_ms)
        gone = request.samples - (young.samples if young else 0)
        if gone:
            self._delivery.dropped.add("too_old", "older than sample_age_limit before it could be sent", gone)
        return young

    def _is_renewable(self, response: Response) -> bool:
        """One more attempt with fresh credentials: they may have ended since they were fetched."""
        return response.status == 403 or (response.status == 401 and self._endpoint.http.oauth2 is not None)

    def _count(self, request: WriteRequest) -> None:
        self._delivery.attempts += 1
        self._delivery.bytes_sent += len(request.body)

    def _outcome(self, response: Response, request: WriteRequest) -> Outcome:
        if response.status == 0:
            return Outcome.MISCONFIGURED if response.fixable else Outcome.UNAVAILABLE
        outcome = classify(response.status)
        if response.status == 429 and not self._endpoint.queue.retry_on_http_429:
            return Outcome.REJECTED
        if outcome is Outcome.TOO_LARGE and (len(request.body) <= _SPLIT_ABOVE_BYTES or len(split(request)) < 2):
            return Outcome.REJECTED
        return outcome

    def _book(self, request: WriteRequest, response: Response, outcome: Outcome, *, maybe_stored: bool) -> None:
        delivery = self._delivery
        if outcome is Outcome.ACCEPTED:
            delivery.requests += 1
            delivery.accepted += request.samples
            delivery.metadata_accepted += request.metadata
            if response.status == 202:
                self._warn("the receiver answered 202: a receiver with replica election drops such samples")
        elif outcome is Outcome.MISCONFIGURED:
            self._remember(outcome, response)
        elif outcome is Outcome.REJECTED:
            reason = "maybe_stored" if maybe_stored else f"http_{response.status}"
            said = self._sentence(response)
            if maybe_stored:
                said = f"refused after an attempt without an answer, which may have stored it; {said}"
            if request.samples:
                delivery.rejected.add(reason, f"up to {request.samples} samples: {said}", request.samples)
            else:
                delivery.metadata_rejected += request.metadata
                self._warn(f"metadata refused: {said}")

    def _remember(self, outcome: Outcome, response: Response) -> None:
        """Why the run stops here, should it stop."""
        kind = "misconfigured" if outcome is Outcome.MISCONFIGURED else "unavailable"
        self._reason = f"http_{response.status}" if response.status else kind
        self._said = self._sentence(response)

    def _sentence(self, response: Response) -> str:
        if not response.status:
            return response.message
        quoted = f'; it said: "{response.message}"' if response.message else ""
        return f"{response.status}: {meaning(response.status)}{quoted}"

    def _warn(self, message: str) -> None:
        if message not in self._delivery.warnings:
            self._delivery.warnings.append(message)
