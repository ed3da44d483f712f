"""ACT 2 and what leads to it: the samples of one run, and what each endpoint gets of them: relabelled, in order,
packed, delivered, booked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .delivery import deliver
from .model import Delivery, Metadata, Samples, Scrape, Tally, WriteRequest
from .warm import Remote, Warm
from .wire import order, packing

_MAX_FAMILIES = 100_000  # whose metadata is known to be sent; those of the next run are then sent anew


class Batch:
    """The samples of a run as they were collected, and what each endpoint gets of them."""

    def __init__(self, scrapes: Sequence[Scrape]) -> None:
        self._raw = scrapes[0].samples if len(scrapes) == 1 else Samples()  # the only ones are not copied
        self._dropped = Tally()
        for scrape in scrapes:
            if len(scrapes) > 1:
                self._raw.extend(scrape.samples)
            self._dropped.merge(scrape.dropped)
        self.count = len(self._raw) + self._dropped.total()
        self.metadata = list({one.name: one for scrape in scrapes for one in scrape.metadata}.values())

    def deliver_to(self, remote: Remote, warm: Warm, deadline: float) -> Delivery:
        """Everything of this run to one endpoint, booked to the last sample."""
        outside = warm.outside
        delivery = Delivery(remote.endpoint.name, collected=self.count)
        edges = deliver.Edges(remote.poster, outside.now_ms, sleep=outside.sleep)
        samples = self.ordered_for(remote, delivery.dropped)
        try:
            requests = self._packed(samples, remote, delivery, outside.now_ms())
            left = send(remote, requests, self.metadata, delivery, edges, deadline)
        except Exception:  # a bug: nobody knows what became of them, and they are booked as undelivered
            order.forget(samples)
            raise
        order.take_back(left, remote.view.find if remote.view else warm.series.find)
        return delivery

    def requests_for(self, remote: Remote, delivery: Delivery, now_ms: int) -> list[WriteRequest]:
        """The endpoint's requests in send order; what goes into none is booked in `delivery.dropped`."""
        return self._packed(self.ordered_for(remote, delivery.dropped), remote, delivery, now_ms)

    def _packed(self, samples: Samples, remote: Remote, delivery: Delivery, now_ms: int) -> list[WriteRequest]:
        return packing.pack(samples, protocol_of(remote, self.metadata), now_ms, delivery.dropped)

    def ordered_for(self, remote: Remote, dropped: Tally) -> Samples:
        """The samples that this endpoint gets, in order; the others are counted in `dropped`. Once for each endpoint:
        what was handed out counts as sent, and does not come again."""
        dropped.merge(self._dropped)
        samples = packing.through(remote.view, self._raw, dropped) if remote.view else self._raw
        return order.order(samples, dropped, remote.prefixes)


def protocol_of(remote: Remote, metadata: Iterable[Metadata]) -> packing.Protocol:
    """How an endpoint is written to now; from 2.0 on, with the metadata of these families."""
    endpoint, version = remote.endpoint, remote.poster.version
    has_metadata = version > 1 and endpoint.metadata.send
    return packing.Protocol(endpoint, version, {one.name: one for one in metadata} if has_metadata else {})


def send(
    remote: Remote,
    requests: Sequence[WriteRequest],
    metadata: Sequence[Metadata],
    delivery: Delivery,
    edges: deliver.Edges,
    deadline: float,
) -> list[WriteRequest]:
    """Delivers the samples, and after them, to a receiver of 1.0, the metadata that is due. Returns what could not be
    delivered."""
    endpoint, poster = remote.endpoint, remote.poster
    if poster.version > 1:
        left = deliver.deliver(endpoint, requests, delivery, edges, deadline)
        if left or poster.version > 1:
            return left
        requests = ()  # the receiver has just refused 2.0, and with it the metadata
    due = metadata_due(remote, metadata, edges.now_ms())
    after = packing.pack_metadata(due, endpoint.metadata.max_samples_per_send, endpoint.queue.max_body_bytes)
    left = deliver.deliver(endpoint, [*requests, *after], delivery, edges, deadline)
    if delivery.metadata_accepted + delivery.metadata_rejected == len(due):  # a refused entry is not sent at once again
        sent_ms = remote.metadata_sent_ms
        if len(sent_ms) > _MAX_FAMILIES:  # names that come and go
            sent_ms.clear()
        sent_ms.update(dict.fromkeys((one.name for one in due), edges.now_ms()))
    return left


def metadata_due(remote: Remote, metadata: Sequence[Metadata], now_ms: int) -> list[Metadata]:
    """The entries for which `metadata_config` says that it is time, each by itself, because jobs run at their own
    intervals; a run a little early counts as in time."""
    policy, sent_ms = remote.endpoint.metadata, remote.metadata_sent_ms
    newest_ms = now_ms - policy.send_interval_ms + policy.send_interval_ms // 10
    return [one for one in metadata if policy.send and sent_ms.get(one.name, newest_ms) <= newest_ms]
