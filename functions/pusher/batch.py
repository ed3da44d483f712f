"""The samples of one run, and what each endpoint gets of them: in order, relabelled, packed, delivered, booked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .delivery import deliver
from .model import Delivery, Metadata, Samples, Scrape, Tally, WriteRequest
from .warm import Target, Warm
from .wire import order, packing


class Batch:
    """The samples of a run as they were collected, and what each endpoint gets of them."""

    def __init__(self, scrapes: Sequence[Scrape]) -> None:
        self._raw = scrapes[0].samples if len(scrapes) == 1 else Samples()
        self._dropped = Tally()
        for scrape in scrapes:
            if len(scrapes) > 1:
                self._raw.extend(scrape.samples)
            self._dropped.merge(scrape.dropped)
        self.count = len(self._raw) + self._dropped.total()
        self.metadata = list({one.name: one for scrape in scrapes for one in scrape.metadata}.values())

    def deliver_to(self, target: Target, warm: Warm, deadline: float) -> Delivery:
        """Everything of this run to one endpoint, booked to the last sample."""
        outside = warm.outside
        delivery = Delivery(target.endpoint.name, collected=self.count)
        requests = self.requests_for(target, delivery, outside.now_ms())
        edges = deliver.Edges(target.poster, outside.now_ms, sleep=outside.sleep)
        left = send(target, requests, self.metadata, delivery, edges, deadline)
        order.take_back(left, target.view.find if target.view else warm.series.find)
        return delivery

    def requests_for(self, target: Target, delivery: Delivery, now_ms: int) -> list[WriteRequest]:
        """The endpoint's requests in send order; what goes into none is booked in `delivery.dropped`."""
        samples = self.seen_by(target, delivery.dropped)
        return packing.pack(samples, protocol_of(target, self.metadata), now_ms, delivery.dropped)

    def seen_by(self, target: Target, dropped: Tally) -> Samples:
        """The samples that this endpoint gets, in order; the others are counted in `dropped`."""
        dropped.merge(self._dropped)
        if target.view:
            return packing.through(target.view, self._raw, dropped, target.last_run)
        return order.order(self._raw, dropped, target.last_run)


def protocol_of(target: Target, metadata: Iterable[Metadata]) -> packing.Protocol:
    """How an endpoint is written to now; from 2.0 on, with the metadata of these families."""
    endpoint, version = target.endpoint, target.poster.version
    has_metadata = version > 1 and endpoint.metadata.send
    return packing.Protocol(endpoint, version, {one.name: one for one in metadata} if has_metadata else {})


def send(
    target: Target,
    requests: Sequence[WriteRequest],
    metadata: Sequence[Metadata],
    delivery: Delivery,
    edges: deliver.Edges,
    deadline: float,
) -> list[WriteRequest]:
    """Delivers the samples, and after them, to a receiver of 1.0, the metadata that is due. Returns what could not be
    delivered."""
    endpoint, poster = target.endpoint, target.poster
    if poster.version > 1:
        left = deliver.deliver(endpoint, requests, delivery, edges, deadline)
        if left or poster.version > 1:
            return left
        requests = ()  # the receiver has just refused 2.0, and with it the metadata
    due = metadata_due(target, metadata, edges.now_ms())
    after = packing.pack_metadata(due, endpoint.metadata.max_samples_per_send, endpoint.queue.max_body_bytes)
    left = deliver.deliver(endpoint, [*requests, *after], delivery, edges, deadline)
    if delivery.metadata_accepted + delivery.metadata_rejected == len(due):  # a refused entry is not sent at once again
        target.metadata_sent_ms.update(dict.fromkeys((one.name for one in due), edges.now_ms()))
    return left


def metadata_due(target: Target, metadata: Sequence[Metadata], now_ms: int) -> list[Metadata]:
    """The entries for which `metadata_config` says that it is time, each by itself, because jobs run at their own
    intervals; a run a little early counts as in time."""
    policy, sent_ms = target.endpoint.metadata, target.metadata_sent_ms
    newest_ms = now_ms - policy.send_interval_ms + policy.send_interval_ms // 10
    return [one for one in metadata if policy.send and sent_ms.get(one.name, newest_ms) <= newest_ms]
