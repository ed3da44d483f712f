"""`pusher push`: every job once, and what became of its samples."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from lambda_remote_write.config.schema import Config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.push import push
from lambda_remote_write.report.report import Report, skipped_dict, skipped_lines
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.state.shards import WHOLE, Shard

from .command import BAD, NOT_DELIVERED, OK, Add, Command, Example, add_config, add_jobs, add_timeout, load
from .plan import state
from .terminal import HEADING, WARNING, WRONG, counted, say_json, warn, wrong
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way


def run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    config = load(options, dependencies)
    report = pushed(options, config, dependencies, options.jobs or config.job_names())
    return NOT_DELIVERED if report.jobs_down or report.lost else delivered(report)


def pushed(
    options: argparse.Namespace, config: Config, dependencies: Dependencies, jobs: Sequence[str], shard: Shard = WHOLE
) -> Report:
    """Pushes these jobs, and prints the report."""
    environment = Environment(config, dependencies, gap_backfill=True, shard=shard)
    tick = Tick(dependencies.now_ms(), None, config.tick_ms, frozenset(jobs))
    report = push(environment, tick, time.monotonic() + options.timeout)
    if options.json:
        say_json(report.as_dict())
        return report
    print(report.summary(), style=HEADING if report.as_dict()["ok"] else WRONG)
    for scrape in report.scrapes:
        line = f"  {scrape.job} {scrape.instance}: {state(scrape.error, len(scrape.samples))}"
        print(line, style=WRONG if scrape.error else "")
        _print_records(scrape)
    for endpoint in report.as_dict()["endpoints"]:
        _print_delivery(endpoint)
    for warning in report.warnings:
        warn(warning)
    return report


def _print_records(scrape: Scrape) -> None:
    """Why records of a JSON job gave no sample."""
    for why in () if scrape.error else scrape.failed.values():
        wrong(f"    failed: {why}")
    for line in skipped_lines(skipped_dict(scrape.skipped)):
        print(f"    {line}")
    for result in scrape.metrics:
        if result.merged:
            print(f"    merged {result.merged}: metric {result.metric}, duplicates: sum")


def delivered(report: Report) -> int:
    rejected = any(delivery.rejected.total() or delivery.waiting.unreadable for delivery in report.deliveries)
    is_pending = report.is_waiting or report.backlog_unknown
    return NOT_DELIVERED if report.failed or rejected or is_pending else OK


def _print_delivery(endpoint: dict[str, Any]) -> None:
    accepted = f"{endpoint['accepted']} of {endpoint['collected'] + endpoint['taken']} samples accepted"
    print(
        f"  {endpoint['endpoint']} ({endpoint['receiver']}): {accepted} in {counted(endpoint['requests'], 'request')}"
    )
    for fate in ("rejected", "dropped", "spooled", "undelivered"):
        for reason, entry in endpoint[fate].items():
            wrong(f"    {fate} {entry['count']}, {reason}: {entry['example']}")
    waiting = endpoint["waiting"]
    if waiting["drained"] or waiting["entries"]:
        drained, left = counted(waiting["drained"], "entry"), counted(waiting["entries"], "entry")
        print(f"    spool: {drained} drained with {endpoint['taken']} samples taken, {left} left")
    for warning in endpoint["warnings"]:
        print(f"    warning: {warning}", style=WARNING)


def _add_arguments(add: Add) -> None:
    add_config(add)
    add_jobs(add)
    add_timeout(add)


COMMAND = Command(
    "push",
    "run every job once and send its samples",
    _add_arguments,
    run,
    (
        Example("pusher push pusher.yaml", "one push from this shell, with the credentials that the AWS CLI would use"),
        Example("pusher push pusher.yaml --job usage", "one job alone"),
    ),
    (
        (OK, "all is delivered"),
        (NOT_DELIVERED, "a sample was not delivered, a job is down or a metric failed"),
        (BAD, "the usage or the config is bad"),
    ),
)
