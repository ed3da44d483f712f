"""The requests of one run for one endpoint: the samples, relabelled, in order and encoded; then the metadata that is
due, and the run's own metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..model.delivery import Delivery, WriteRequest
from ..model.reason_counts import ReasonCounts
from ..model.samples import Metadata, Samples
from ..model.scrape import Scrape
from ..series import order
from .encode import packing
from .endpoint import EndpointState

_MAX_FAMILIES = 100_000  # whose metadata is known to be sent; those of the next run are then sent anew


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
    """The samples of a run as they were collected, and what each endpoint gets of them."""

    def __init__(self, scrapes: Sequence[Scrape]) -> None:
        self.scrapes = scrapes
        self._raw = scrapes[0].samples if len(scrapes) == 1 else Samples()  # the only ones are not copied
        self._dropped = ReasonCounts()
        for scrape in scrapes:
            if len(scrapes) > 1:
                self._raw.extend(scrape.samples)
            self._dropped.merge(scrape.dropped)
        self.count = len(self._raw) + self._dropped.total()
        self.metadata = list({one.name: one for scrape in scrapes for one in scrape.metadata}.values())

    def encoded_for(self, endpoint: EndpointState, now_ms: int) -> EncodedBatch:
        """The endpoint's requests, once: what was handed out counts as sent, and does not come again."""
        started, dropped, more = time.monotonic(), ReasonCounts(), 0
        try:
            samples, more = self._ordered_for(endpoint, dropped, now_ms)
            try:
                requests = packing.pack(samples, protocol_of(endpoint, self.metadata), now_ms, dropped)
            except Exception:
                order.forget(samples)  # nothing of it has been sent
                raise
        except Exception as error:  # it must not cost the other endpoints' samples
            return EncodedBatch((), dropped, self.count + more, error=error)
        seconds = time.monotonic() - started
        return EncodedBatch(requests, dropped, self.count + more, samples.prefixes is not None, seconds=seconds)

    def ordered_for(self, endpoint: EndpointState, dropped: ReasonCounts, now_ms: int) -> Samples:
        """The samples that this endpoint gets, in order; the others are counted in `dropped`. Once for each endpoint:
        what was handed out counts as sent, and does not come again."""
        return self._ordered_for(endpoint, dropped, now_ms)[0]

    def _ordered_for(self, endpoint: EndpointState, dropped: ReasonCounts, now_ms: int) -> tuple[Samples, int]:
        dropped.merge(self._dropped)
        view = endpoint.view
        samples, more = packing.apply_write_relabel(view, self._raw, dropped) if view else self._raw, 0
        if view and view.classic:
            samples, more = view.classic.convert(samples, dropped)
        if limit_ms := endpoint.config.queue.sample_age_limit_ms:
            samples = order.without_history(samples, now_ms - limit_ms, dropped)
        return order.order(samples, dropped, endpoint.prefixes), more


def protocol_of(endpoint: EndpointState, metadata: Iterable[Metadata]) -> packing.Protocol:
    """How an endpoint is written to now; from 2.0 on, with the metadata of these families."""
    version = endpoint.client.version
    has_metadata = version > 1 and endpoint.config.metadata.send
    families = {one.name: one for one in metadata} if has_metadata else {}
    return packing.Protocol(endpoint.config, version, families, endpoint.escape)


class MetadataRequests:
    """The requests that go last, so that a refused entry costs no sample of the data."""

    def __init__(self, endpoint: EndpointState, metadata: Sequence[Metadata], now_ms: int) -> None:
        """To a receiver of 1.0 metadata goes by itself; with 2.0 it has gone along with the series."""
        self._endpoint, self._now_ms = endpoint, now_ms
        self._due = metadata_due(endpoint, metadata, now_ms) if endpoint.client.version == 1 else []

    def requests(self, own: Samples, families: Sequence[Metadata], accounting: Delivery) -> list[WriteRequest]:
        """The run's own metrics `own`, and the metadata. In 1.0 one request holds as much of both as fits."""
        endpoint = self._endpoint.config
        mine = packing.pack(own, protocol_of(self._endpoint, families), self._now_ms, accounting.dropped)
        limits = endpoint.metadata.max_samples_per_send, endpoint.queue.max_body_bytes
        metadata = packing.pack_metadata(self._due, *limits)
        if len(mine) == 1 and metadata and mine[0].version == 1:
            joint = packing.with_metadata(mine[0], metadata[0])
            if max(joint.raw_bytes, len(joint.body)) < endpoint.queue.max_body_bytes:
                return [joint, *metadata[1:]]
        return [*mine, *metadata]

    def remember(self, accounting: Delivery) -> None:
        """What was sent is not due again, refused entries included."""
        if accounting.metadata_accepted + accounting.metadata_rejected != len(self._due):
            return
        sent_ms = self._endpoint.metadata_sent_ms
        if len(sent_ms) > _MAX_FAMILIES:  # names that come and go
            sent_ms.clear()
        sent_ms.update(dict.fromkeys((one.name for one in self._due), self._now_ms))


def metadata_due(endpoint: EndpointState, metadata: Sequence[Metadata], now_ms: int) -> list[Metadata]:
    """The entries for which `metadata_config` says that it is time, each by itself, because jobs run at their own
    intervals; a run a little early counts as in time, and what was sent after now was sent before the clock was set
    back."""
    policy, sent_ms = endpoint.config.metadata, endpoint.metadata_sent_ms
    newest_ms = now_ms - policy.send_interval_ms + policy.send_interval_ms // 10
    return [one for one in metadata if policy.send and not newest_ms < sent_ms.get(one.name, newest_ms) <= now_ms]
