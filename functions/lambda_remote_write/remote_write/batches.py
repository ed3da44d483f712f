"""The requests of one run for one endpoint: its samples, relabelled, ordered and encoded; then metadata that is due and
the run's own metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..model.delivery import Delivery, WriteRequest
from ..model.reason_counts import ReasonCounts
from ..model.samples import Metadata, Samples, Series
from ..model.scrape import Scrape
from ..series import order
from . import request_size
from .encode.decode import unpack
from .endpoint import EndpointState

_MAX_FAMILIES = 100_000  # with metadata known to be sent; with more, all are sent again


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Requests in send order. Of `disjoint` ones no two have a sample of the same series. `collected` counts the
    samples that were collected, those that are `dropped` among them, and the classic series of histograms each. `error`
    is a bug, for which there are no requests; encoding took `seconds`."""

    requests: Sequence[WriteRequest]
    dropped: ReasonCounts
    collected: int
    disjoint: bool = True
    error: Exception | None = None
    seconds: float = 0.0


class Batch:
    """The collected samples of a run, and the requests of each endpoint."""

    def __init__(self, scrapes: Sequence[Scrape]) -> None:
        self.scrapes = scrapes
        self._raw = scrapes[0].samples if len(scrapes) == 1 else Samples()  # a single scrape is not copied
        self._dropped = ReasonCounts()
        for scrape in scrapes:
            if len(scrapes) > 1:
                self._raw.extend(scrape.samples)
            self._dropped.merge(scrape.dropped)
        self.count = len(self._raw) + self._dropped.total()
        self.metadata = list({one.name: one for scrape in scrapes for one in scrape.metadata}.values())

    def encoded_for(self, endpoint: EndpointState, now_ms: int) -> EncodedBatch:
        """The endpoint's requests. Call it once: returned samples count as sent and are not returned again."""
        started, dropped, more = time.monotonic(), ReasonCounts(), 0
        try:
            samples, more = self.ordered_for(endpoint, dropped, now_ms)
            try:
                requests = request_size.pack(samples, protocol_of(endpoint, self.metadata), now_ms, dropped)
            except Exception:
                order.forget(samples)  # nothing of it has been sent
                raise
        except Exception as error:  # it must not cost the other endpoints' samples
            return EncodedBatch((), dropped, self.count + more, error=error)
        seconds = time.monotonic() - started
        return EncodedBatch(requests, dropped, self.count + more, samples.prefixes is not None, seconds=seconds)

    def ordered_for(self, endpoint: EndpointState, dropped: ReasonCounts, now_ms: int) -> tuple[Samples, int]:
        """The endpoint's samples in order, and by how many the classic series of histograms are more; the others are
        counted in `dropped`. Call it once for each endpoint: returned samples count as sent and are not returned
        again."""
        dropped.merge(self._dropped)
        view = endpoint.view
        samples, more = view.apply(self._raw, dropped) if view else self._raw, 0
        if view and view.classic:
            samples, more = view.classic.convert(samples, dropped)
        if limit_ms := endpoint.config.queue.sample_age_limit_ms:
            samples = order.without_history(samples, now_ms - limit_ms, dropped)
        return order.order(samples, dropped, endpoint.prefixes), more


def rollback(requests: Iterable[WriteRequest], find: Callable[[bytes], Series | None]) -> None:
    """Marks the samples of undelivered requests as not sent, so that the next run may send them again. `find` returns
    the series of an encoded prefix."""
    for samples, _ in (unpack(request) for request in requests if request.samples):
        for undelivered, timestamp_ms in zip(samples.series, samples.timestamps_ms, strict=True):
            series = find(undelivered.prefix)
            if series is not None:
                order.rollback_series(series, timestamp_ms)


def protocol_of(endpoint: EndpointState, metadata: Iterable[Metadata]) -> request_size.Protocol:
    """How requests for an endpoint are encoded now; in 2.0 with the metadata of these families."""
    version = endpoint.client.version
    has_metadata = version > 1 and endpoint.config.metadata.send
    families = {one.name: one for one in metadata} if has_metadata else {}
    return request_size.Protocol(endpoint.config, version, families, endpoint.escape)


class MetadataRequests:
    """The last requests of a run, so that a rejected one does not affect the collected samples."""

    def __init__(self, endpoint: EndpointState, metadata: Sequence[Metadata], now_ms: int) -> None:
        """Metadata has its own requests in 1.0 only; in 2.0 each series carries it."""
        self._endpoint, self._now_ms = endpoint, now_ms
        self._due = metadata_due(endpoint, metadata, now_ms) if endpoint.client.version == 1 else []

    def requests(self, own: Samples, families: Sequence[Metadata], accounting: Delivery) -> list[WriteRequest]:
        """The run's own metrics `own`, and the metadata. In 1.0 they share a request if they fit."""
        endpoint = self._endpoint.config
        mine = request_size.pack(own, protocol_of(self._endpoint, families), self._now_ms, accounting.dropped)
        limits = endpoint.metadata.max_samples_per_send, endpoint.queue.max_body_bytes
        metadata = request_size.pack_metadata(self._due, *limits)
        if len(mine) == 1 and metadata and mine[0].version == 1:
            joint = request_size.with_metadata(mine[0], metadata[0])
            if request_size.fits(joint, endpoint.queue.max_body_bytes):
                return [joint, *metadata[1:]]
        return [*mine, *metadata]

    def remember(self, accounting: Delivery) -> None:
        """Records the metadata as sent, rejected entries included."""
        if accounting.metadata_accepted + accounting.metadata_rejected != len(self._due):
            return
        sent_ms = self._endpoint.metadata_sent_ms
        if len(sent_ms) > _MAX_FAMILIES:  # of names that came and went
            sent_ms.clear()
        sent_ms.update(dict.fromkeys((one.name for one in self._due), self._now_ms))


def metadata_due(endpoint: EndpointState, metadata: Sequence[Metadata], now_ms: int) -> list[Metadata]:
    """The entries that are due by `metadata_config`, each for itself, because jobs have different intervals. A run may
    be a little early. An entry sent in the future, before the clock was set back, is due."""
    policy, sent_ms = endpoint.config.metadata, endpoint.metadata_sent_ms
    newest_ms = now_ms - policy.send_interval_ms + policy.send_interval_ms // 10
    return [one for one in metadata if policy.send and not newest_ms < sent_ms.get(one.name, newest_ms) <= now_ms]
