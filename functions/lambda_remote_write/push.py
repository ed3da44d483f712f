"""One push: collect, pack and deliver to every endpoint, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from .endpoint_run import EndpointRun, RunBatch
from .environment import Environment, Run
from .model.scrape import Scrape
from .remote_write.batches import Batch
from .report.report import Report
from .report.self_metrics import RunFacts
from .scrape import collect
from .scrape.schedule import Tick

_SPARE_SECONDS = 0.5  # after the deadline, until a delivery counts as hanging
_LAST_SECONDS = 2.0  # after the deadline, until what a hanging delivery has left must be kept
_SOURCES_SHARE = 0.6  # of the run's time; the rest is for delivery, which must not starve behind slow sources


def push(environment: Environment, tick: Tick, deadline: float) -> Report:
    """One push of what is due to every endpoint. `deadline` is monotonic seconds; nothing waits beyond it, but for
    what hangs where no timeout reaches."""
    started, run = time.monotonic(), environment.begin(deadline)
    until = started + (deadline - started) * _SOURCES_SHARE
    environment.discover(until, tick.jobs)
    edges, due = collect.Edges(environment.fetcher, environment.dependencies.now_ms), environment.due_sources(tick)
    scrapes = collect.collect(due, edges, until, run.number)
    environment.judge(list(zip(due, scrapes, strict=True)))
    new_series_limited = environment.new_series_limiter.hold_back(scrapes, environment.series)
    return replace(
        ship(environment, run, scrapes, environment.ended(tick), deadline, started),
        new_series_limited=new_series_limited,
    )


def ship(
    environment: Environment,
    run: Run,
    scrapes: Sequence[Scrape],
    ended: Sequence[Scrape],
    deadline: float,
    started: float,
) -> Report:
    """Acts 2 and 3 of a run, begun at `started` (monotonic seconds): what the scrapes have, and the markers of what has
    `ended`, goes to every endpoint."""
    batch = Batch([*scrapes, *ended])
    run_batch = RunBatch(batch, run.id, _facts(environment, run, batch, time.monotonic() - started), deadline)
    shipments = [EndpointRun(endpoint, environment, run_batch) for endpoint in environment.endpoints]
    _ship_all(shipments, deadline)
    deliveries = [shipment.accounting for shipment in shipments]
    environment.end(scrapes, deliveries, deadline)
    seconds = time.monotonic() - started
    return Report(
        scrapes,
        environment.jobs_down(deadline),
        deliveries,
        [*environment.warnings(), *_notes(scrapes)],
        run.id.started_ms,
        seconds,
        has_spool=environment.spool_state is not None,
    )


def _facts(environment: Environment, run: Run, batch: Batch, seconds: float) -> RunFacts:
    env_vars, series = environment.dependencies.env_vars, len(environment.series)
    service = env_vars.get("POWERTOOLS_SERVICE_NAME") or env_vars.get("AWS_LAMBDA_FUNCTION_NAME")
    return RunFacts(
        instance=service or "pusher",
        shard=environment.shard.name,
        is_cold_start=run.is_cold_start,
        collect_seconds=seconds,
        collected=batch.count,
        series=series,
        added=series - environment.new_series_limiter.cached,
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


def _ship_all(shipments: Sequence[EndpointRun], deadline: float) -> None:
    """Endpoints side by side, so that one that hangs delays no other. One whose delivery breaks, or does not come back
    in time, has books all the same."""
    for shipment in shipments:
        shipment.start()
    for shipment in shipments:
        shipment.finish(deadline + _SPARE_SECONDS, deadline + _LAST_SECONDS)
