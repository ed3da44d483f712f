"""ACT 2 and what leads to it: the samples of one run, and what each endpoint gets of them: relabelled, in order,
packed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..model.delivery import WriteRequest
from ..model.reason_counts import ReasonCounts
from ..model.samples import Metadata, Samples
from ..model.scrape import Scrape
from ..series import order
from .encode import packing
from .endpoint import EndpointState


@dataclass(frozen=True, slots=True)
class Packed:
    """Requests in send order. Of `disjoint` ones no two have a sample of the same series. `more` says by how many
    samples the classic series of histograms are more than what was collected."""

    requests: Sequence[WriteRequest]
    disjoint: bool
    more: int = 0


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

    def packed_for(self, endpoint: EndpointState, dropped: ReasonCounts, now_ms: int) -> Packed:
        """The endpoint's requests; what goes into none is booked in `dropped`."""
        samples, more = self._ordered_for(endpoint, dropped, now_ms)
        try:
            requests = packing.pack(samples, protocol_of(endpoint, self.metadata), now_ms, dropped)
        except Exception:  # a bug: nothing of it has been sent
            order.forget(samples)
            raise
        return Packed(requests, samples.prefixes is not None, more)

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
