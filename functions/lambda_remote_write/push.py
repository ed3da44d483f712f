"""One push: collect, encode, deliver to every endpoint, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .deadline import Call, DeadlineExceeded
from .endpoint_run import EndpointRun, RunBatch
from .environment import Environment, Run
from .model.delivery import Delivery
from .model.drop_reasons import DropReason
from .model.scrape import Scrape
from .remote_write.batches import Batch, EncodedBatch
from .report.report import Report
from .report.self_metrics import RunFacts
from .scrape import collect as scraping
from .scrape.schedule import Tick

_COLLECT_SHARE = 0.6  # of the run's time; the rest is for delivery, which must not starve behind slow sources
_LAST_SECONDS = 2.5  # after the deadline, for the last endpoint to come back


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run has: the scrapes of the sources that were due, and the stale markers of those that have `ended`.
    `new_series_limited` is how many series `new_series_limit` holds back."""

    scrapes: Sequence[Scrape]
    ended: Sequence[Scrape] = ()
    new_series_limited: int = 0


def push(environment: Environment, tick: Tick, deadline: float) -> Report:
    """One push of what is due to every endpoint. `deadline` is monotonic seconds; no call is waited for beyond it, but
    for a last moment to keep what it leaves."""
    run = environment.begin(deadline)
    return push_collected(environment, run, collect(environment, run, tick))


def push_collected(environment: Environment, run: Run, collected: Collected) -> Report:
    """The rest of a push: encode, deliver, report."""
    batch = Batch([*collected.scrapes, *collected.ended])
    facts = _facts(environment, run, batch, collected.new_series_limited) if environment.config.self_metrics else None
    encoded = [batch.encoded_for(one, environment.dependencies.now_ms()) for one in environment.endpoints]
    deliveries = deliver(environment, run, encoded, RunBatch(batch.metadata, facts))
    return report(environment, run, collected, deliveries)


def collect(environment: Environment, run: Run, tick: Tick) -> Collected:
    """Discovers targets, and scrapes what is due."""
    until = run.started + (run.deadline - run.started) * _COLLECT_SHARE
    environment.discover(until, tick.jobs)
    due = environment.due_sources(tick)
    scrapes = scraping.collect(due, environment.fetcher, environment.dependencies.now_ms, until, run.number)
    environment.update_health(list(zip(due, scrapes, strict=True)))
    limiter = environment.new_series_limiter
    new_series_limited = limiter.hold_back(scrapes, environment.series, run.known_series) if limiter else 0
    return Collected(scrapes, environment.ended(tick), new_series_limited)


def deliver(environment: Environment, run: Run, encoded: Sequence[EncodedBatch], run_batch: RunBatch) -> list[Delivery]:
    """Delivers to the endpoints side by side, so that one that hangs delays no other."""
    runs = [
        EndpointRun(endpoint, environment, run, one, run_batch)
        for endpoint, one in zip(environment.endpoints, encoded, strict=True)
    ]
    calls = [Call(one.deliver) for one in runs]
    deliveries = []
    for call, endpoint, one in zip(calls, environment.endpoints, encoded, strict=True):
        try:
            deliveries.append(call.result(run.deadline + _LAST_SECONDS))
        except DeadlineExceeded:
            deliveries.append(Delivery(endpoint.config.name, one.collected))
            if one.collected:
                detail = "the endpoint's part of the run has not ended in time"
                deliveries[-1].undelivered.add(DropReason.NO_RESULT, detail, one.collected)
    return deliveries


def report(environment: Environment, run: Run, collected: Collected, deliveries: Sequence[Delivery]) -> Report:
    """Ends the run."""
    environment.end(collected.scrapes, deliveries, run.deadline)
    notes = [f"{scrape.job}: {note}" for scrape in collected.scrapes for note in scrape.notes]
    return Report(
        collected.scrapes,
        environment.jobs_down(run.deadline),
        deliveries,
        [*environment.warnings(), *notes],
        run.id.started_ms,
        time.monotonic() - run.started,
        new_series_limited=collected.new_series_limited,
        has_spool=environment.spool_state is not None,
        receivers={one.config.name: one.config.receiver for one in environment.endpoints},
    )


def _facts(environment: Environment, run: Run, batch: Batch, new_series_limited: int) -> RunFacts:
    env_vars, series = environment.dependencies.env_vars, len(environment.series)
    service = env_vars.get("POWERTOOLS_SERVICE_NAME") or env_vars.get("AWS_LAMBDA_FUNCTION_NAME")
    return RunFacts(
        instance=service or "pusher",
        shard=environment.shard.name,
        is_cold_start=run.is_cold_start,
        collect_seconds=time.monotonic() - run.started,
        collected=batch.count,
        series=series,
        added=series - run.known_series,
        records=_records(batch.scrapes),
        jobs_down=environment.jobs_down_here(),
        failed_metrics=_failed_metrics(environment, batch.scrapes),
        new_series_limited=new_series_limited,
        schedule_seconds=environment.config.tick_ms / 1000 if env_vars.get("PUSHER_TICK") else 0,
        shards=environment.shard.count,
        is_config_refused=bool(environment.config_refused),
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


def _failed_metrics(environment: Environment, scrapes: Sequence[Scrape]) -> dict[str, int]:
    """JSON job of this run -> how many metrics failed at every target that answered; 0 when none answered."""
    scraped = {scrape.job for scrape in scrapes}
    answered: dict[str, list[set[str]]] = {job.job_name: [] for job in environment.config.json_jobs}
    for scrape in scrapes:
        if scrape.job in answered and not scrape.error:
            answered[scrape.job].append(set(scrape.failed))
    return {job: len(set.intersection(*some)) if some else 0 for job, some in answered.items() if job in scraped}
