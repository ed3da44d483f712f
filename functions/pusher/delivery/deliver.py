"""ACT 3: bytes -> outcome. Requests of one endpoint go out one after the other, oldest first, until all are settled,
the deadline is near, or the receiver wants a person."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..config.schema import Endpoint
from ..model import Delivery, Outcome, WriteRequest
from ..wire.packing import in_version_1, split, without_old
from .attempt import Poster, Response
from .classify import classify, meaning
from .retry import BackoffPolicy, next_wait, retry_after_seconds
from .written import Written

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
    sender = _Sender(endpoint, delivery, edges, deadline)
    waiting = deque(sender.in_spoken_version(requests))
    while waiting:
        outcome, waiting[0] = sender.settle(waiting[0])
        if outcome in (Outcome.UNAVAILABLE, Outcome.MISCONFIGURED):
            break
        request = waiting.popleft()
        if outcome is Outcome.TOO_LARGE:
            waiting.extendleft(reversed(split(request)))
        elif outcome is Outcome.OTHER_VERSION:
            waiting = deque(sender.in_spoken_version([request, *waiting]))
    for request in waiting:
        sender.give_up(request)
    return list(waiting)


def _all_of(request: WriteRequest) -> Written:
    """What a success of version 1 means: nothing is left out."""
    return Written(request.samples - request.histograms, request.histograms, request.exemplars)


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

        UNAVAILABLE, MISCONFIGURED, TOO_LARGE and OTHER_VERSION are left to the caller: the samples are still in hand.
        None when all of them have become too old to be sent.
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

    def in_spoken_version(self, requests: Sequence[WriteRequest]) -> list[WriteRequest]:
        """The requests in a version that the receiver takes, as far as it is known."""
        version, now_ms, dropped = self._edges.poster.version, self._edges.now_ms(), self._delivery.dropped
        spoken: list[WriteRequest] = []
        for request in requests:
            is_spoken = request.version <= version
            spoken += [request] if is_spoken else in_version_1(request, self._endpoint, now_ms, dropped)
        return spoken

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
        signs, http = self._endpoint.sigv4 is not None, self._endpoint.http
        return (response.status == 403 and (signs or http.may_renew)) or (response.status == 401 and http.may_renew)

    def _count(self, request: WriteRequest) -> None:
        self._delivery.attempts += 1
        self._delivery.bytes_sent += len(request.body)

    def _outcome(self, response: Response, request: WriteRequest) -> Outcome:
        if response.status == 0:
            return Outcome.MISCONFIGURED if response.fixable else Outcome.UNAVAILABLE
        outcome = classify(response.status)
        if request.version > 1 and (response.status == 415 or (outcome is Outcome.ACCEPTED and not response.written)):
            return Outcome.OTHER_VERSION
        if response.status == 429 and not self._endpoint.queue.retry_on_http_429:
            return Outcome.REJECTED
        is_small = len(request.body) <= _SPLIT_ABOVE_BYTES or max(request.samples, request.metadata) < 2
        if outcome is Outcome.TOO_LARGE and is_small:
            return Outcome.REJECTED
        return outcome

    def _book(self, request: WriteRequest, response: Response, outcome: Outcome, *, maybe_stored: bool) -> None:
        if outcome is Outcome.ACCEPTED:
            self._accept(request, response)
        elif outcome is Outcome.MISCONFIGURED:
            self._remember(outcome, response)
        elif outcome is Outcome.OTHER_VERSION:
            self._fall_back(response)
        elif outcome is Outcome.REJECTED:
            self._reject(request, response, maybe_stored=maybe_stored)

    def _accept(self, request: WriteRequest, response: Response) -> None:
        delivery = self._delivery
        delivery.requests += 1
        delivery.metadata_accepted += request.metadata
        missing = request.samples - self._take(request, response.written or _all_of(request))
        if missing:
            said = f"the receiver answered {response.status} and wrote {request.samples - missing} of {request.samples}"
            delivery.rejected.add("not_written", f"{missing} samples: {said}; its log may say why", missing)
        if response.status == 202:
            self._warn("the receiver answered 202: a receiver with replica election drops such samples")

    def _take(self, request: WriteRequest, written: Written) -> int:
        """Books what was written as accepted, and returns how many samples that is."""
        taken = written.of(request)
        self._delivery.accepted += taken
        self._delivery.exemplars_accepted += min(written.exemplars, request.exemplars)
        return taken

    def _fall_back(self, response: Response) -> None:
        self._edges.poster.version = 1
        said = f"answered {response.status}" + ("" if response.status == 415 else " without saying what it wrote")
        advice = "leave out protobuf_message, or use a receiver of 2.0"
        self._warn(f"the receiver {said}: it does not take remote write 2.0. It gets 1.0 from now on; {advice}")

    def _reject(self, request: WriteRequest, response: Response, *, maybe_stored: bool) -> None:
        said = self._sentence(response)
        if not request.samples:
            self._delivery.metadata_rejected += request.metadata
            self._warn(f"metadata refused: {said}")
            return
        if maybe_stored:
            said = f"refused after an attempt without an answer, which may have stored it; {said}"
        refused = request.samples - self._take(request, response.written or Written())
        reason = "maybe_stored" if maybe_stored else f"http_{response.status}"
        count = f"{refused} samples" if response.written else f"up to {refused} samples"
        if refused:
            self._delivery.rejected.add(reason, f"{count}: {said}", refused)

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
