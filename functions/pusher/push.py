"""One push: collect, put in order, pack, deliver, report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .delivery import deliver
from .model import Delivery, Metadata, Samples, Scrape, Tally, WriteRequest
from .report import Report, summarise
from .sources import collect
from .sources.json_api import JsonSource
from .warm import Target, Warm
from .wire import order, packing

_JOIN_SPARE_SECONDS = 1.0
_SOURCES_SHARE = 0.6  # of the run's time; the rest is for delivery, which must not starve behind slow sources


def push(warm: Warm, sources: Sequence[JsonSource], deadline: float) -> Report:
    """One push of these jobs to every endpoint. `deadline` is monotonic seconds; nothing waits beyond it."""
    started, started_ms, run = time.monotonic(), warm.outside.now_ms(), warm.next_run()
    edges = collect.Edges(warm.fetcher, warm.outside.now_ms)
    scrapes = collect.collect(sources, warm.series.intern, edges, _sources_deadline(started, deadline), run)
    collected = Collected(scrapes)
    lost = Lost(collected.count, deadline)
    deliveries = _each(warm.targets, lambda target: collected.deliver_to(target, warm, deadline), lost)
    warm.finish_run()
    return summarise(scrapes, deliveries, warm.config.warnings, started_ms, time.monotonic() - started)


def _sources_deadline(started: float, deadline: float) -> float:
    return started + (deadline - started) * _SOURCES_SHARE


class Collected:
    """The samples of a run: as collected, and in the order that every endpoint without relabelling gets."""

    def __init__(self, scrapes: Sequence[Scrape]) -> None:
        self._raw = Samples()
        self._dropped = Tally()
        for scrape in scrapes:
            self._raw.extend(scrape.samples)
            self._dropped.merge(scrape.dropped)
        self.count = len(self._raw) + self._dropped.total()
        self.metadata = list({one.name: one for scrape in scrapes for one in scrape.metadata}.values())
        self._not_newer = Tally()
        self._ordered = order.order(self._raw, self._not_newer)

    def deliver_to(self, target: Target, warm: Warm, deadline: float) -> Delivery:
        """Everything of this run to one endpoint, booked to the last sample."""
        outside = warm.outside
        delivery = Delivery(target.endpoint.name, collected=self.count)
        requests = self.requests_for(target, delivery, outside.now_ms())
        edges = deliver.Edges(target.poster, outside.now_ms, sleep=outside.sleep)
        send(target, requests, self.metadata, delivery, edges, deadline)
        return delivery

    def requests_for(self, target: Target, delivery: Delivery, now_ms: int) -> list[WriteRequest]:
        """The endpoint's requests in send order; what goes into none is booked in `delivery.dropped`."""
        delivery.dropped.merge(self._dropped)
        samples = self.seen_by(target, delivery.dropped)
        return packing.pack(samples, target.endpoint.queue, now_ms, delivery.dropped)

    def seen_by(self, target: Target, dropped: Tally) -> Samples:
        """The samples that this endpoint gets, in order; the others are counted in `dropped`."""
        if target.view:
            return packing.through(target.view, self._raw, dropped)
        dropped.merge(self._not_newer)
        return self._ordered


def send(
    target: Target,
    requests: Sequence[WriteRequest],
    metadata: Sequence[Metadata],
    delivery: Delivery,
    edges: deliver.Edges,
    deadline: float,
) -> None:
    """Delivers the samples, and after them the metadata that is due."""
    due = metadata_due(target, metadata, edges.now_ms())
    endpoint = target.endpoint
    after = packing.pack_metadata(due, endpoint.metadata.max_samples_per_send, endpoint.queue.max_body_bytes)
    deliver.deliver(endpoint, [*requests, *after], delivery, edges, deadline)
    if delivery.metadata_accepted or delivery.metadata_rejected:  # what was refused is not sent again at once
        target.metadata_sent_ms.update(dict.fromkeys((one.name for one in due), edges.now_ms()))


def metadata_due(target: Target, metadata: Sequence[Metadata], now_ms: int) -> list[Metadata]:
    """The entries for which `metadata_config` says that it is time, each by itself, because jobs run at their own
    intervals; a run a little early counts as in time."""
    policy, sent_ms = target.endpoint.metadata, target.metadata_sent_ms
    newest_ms = now_ms - policy.send_interval_ms + policy.send_interval_ms // 10
    return [one for one in metadata if policy.send and sent_ms.get(one.name, newest_ms) <= newest_ms]


def _each(targets: Sequence[Target], deliver_to: Callable[[Target], Delivery], lost: Lost) -> list[Delivery]:
    """Endpoints side by side, so that one that hangs delays no other. `lost` books an endpoint whose delivery broke
    or did not come back in time: the others' reports are not lost with it."""
    results: dict[str, Delivery] = {}

    def one(target: Target) -> None:
        try:
            results[target.endpoint.name] = deliver_to(target)
        except Exception as error:
            results[target.endpoint.name] = lost(target, f"{type(error).__name__}: {error}, which is a bug")

    if len(targets) == 1:
        one(targets[0])
    else:
        _in_threads(one, targets, lost.deadline)
    late = "no answer within the run's time; a name look-up may hang"
    return [results.get(target.endpoint.name) or lost(target, late) for target in targets]


def _in_threads(one: Callable[[Target], None], targets: Sequence[Target], deadline: float) -> None:
    threads = [threading.Thread(target=one, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:  # each ends by itself at the deadline, but for what no timeout reaches
        thread.join(max(deadline + _JOIN_SPARE_SECONDS - time.monotonic(), 0.0))


@dataclass(frozen=True, slots=True)
class Lost:
    """Books everything of a run as undelivered to one endpoint."""

    collected: int
    deadline: float

    def __call__(self, target: Target, why: str) -> Delivery:
        delivery = Delivery(target.endpoint.name, collected=self.collected)
        if self.collected:
            delivery.undelivered.add("no_result", why, self.collected)
        return delivery
