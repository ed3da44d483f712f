"""One push: collect, pack and deliver to every endpoint, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from .batch import Batch
from .model import Scrape
from .report import Report
from .self_metrics import RunFacts
from .shipment import Cargo, Shipment
from .sources import collect
from .sources.due import Tick
from .warm import Begun, Warm

_SPARE_SECONDS = 0.5  # after the deadline, until a delivery counts as hanging
_LAST_SECONDS = 2.0  # after the deadline, until what a hanging delivery has left must be kept
_SOURCES_SHARE = 0.6  # of the run's time; the rest is for delivery, which must not starve behind slow sources


def push(warm: Warm, tick: Tick, deadline: float) -> Report:
    """One push of what is due to every endpoint. `deadline` is monotonic seconds; nothing waits beyond it, but for
    what hangs where no timeout reaches."""
    started, begun = time.monotonic(), warm.begin(deadline)
    until = started + (deadline - started) * _SOURCES_SHARE
    warm.discover(until, tick.jobs)
    edges, due = collect.Edges(warm.fetcher, warm.outside.now_ms), warm.due_sources(tick)
    scrapes = collect.collect(due, edges, until, begun.number)
    warm.judge(list(zip(due, scrapes, strict=True)))
    held_series = warm.newcomers.hold_back(scrapes, warm.series)
    return replace(ship(warm, begun, scrapes, warm.ended(tick), deadline, started), held_series=held_series)


def ship(
    warm: Warm, begun: Begun, scrapes: Sequence[Scrape], ended: Sequence[Scrape], deadline: float, started: float
) -> Report:
    """Acts 2 and 3 of a run, begun at `started` (monotonic seconds): what the scrapes have, and the markers of what has
    `ended`, goes to every endpoint."""
    batch = Batch([*scrapes, *ended])
    cargo = Cargo(batch, begun.run, _facts(warm, begun, batch, time.monotonic() - started), deadline)
    shipments = [Shipment(remote, warm, cargo) for remote in warm.remotes]
    _ship_all(shipments, deadline)
    deliveries = [shipment.books for shipment in shipments]
    warm.end(scrapes, deliveries, deadline)
    seconds = time.monotonic() - started
    return Report(
        scrapes,
        warm.jobs_down(deadline),
        deliveries,
        [*warm.warnings(), *_notes(scrapes)],
        begun.run.started_ms,
        seconds,
        has_spool=warm.depot is not None,
    )


def _facts(warm: Warm, begun: Begun, batch: Batch, seconds: float) -> RunFacts:
    environment, series = warm.outside.environment, len(warm.series)
    service = environment.get("POWERTOOLS_SERVICE_NAME") or environment.get("AWS_LAMBDA_FUNCTION_NAME")
    return RunFacts(
        instance=service or "pusher",
        shard=warm.shard.name,
        is_cold_start=begun.is_cold_start,
        sources_seconds=seconds,
        collected=batch.count,
        series=series,
        added=series - warm.newcomers.cached,
        records=_records(batch.scrapes),
    )


def _records(scrapes: Sequence[Scrape]) -> dict[tuple[str, str, str], int]:
    """(job, outcome, reason) -> records of JSON jobs."""
    found: dict[tuple[str, str, str], int] = {}
    for scrape in scrapes:
        for result in scrape.metrics:
            counts = {("mapped", ""): result.mapped} | {("skipped", why): n for why, n in result.skipped.counts.items()}
            for (outcome, reason), count in counts.items():
                key = (scrape.job, outcome, reason)
                found[key] = found.get(key, 0) + count
    return found


def _notes(scrapes: Sequence[Scrape]) -> list[str]:
    return [f"{scrape.job}: {note}" for scrape in scrapes for note in scrape.notes]


def _ship_all(shipments: Sequence[Shipment], deadline: float) -> None:
    """Endpoints side by side, so that one that hangs delays no other. One whose delivery breaks, or does not come back
    in time, has books all the same."""
    for shipment in shipments:
        shipment.start()
    for shipment in shipments:
        shipment.finish(deadline + _SPARE_SECONDS, deadline + _LAST_SECONDS)
