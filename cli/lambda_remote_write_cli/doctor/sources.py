"""What a push asks: target lists, one fetch of each JSON job and of the first targets of a scrape job."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lambda_remote_write.environment import Environment
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.scrape import collect
from lambda_remote_write.scrape.collect import Scraper
from lambda_remote_write.scrape.pool import ScrapePool

from ..terminal import counted
from .examination import Examination
from .findings import WAIT_LONGER, Check, Finding, failed, ok, unknown, warning

_TARGETS = 5  # of each job: doctor is to answer in seconds
_SPARE_SECONDS = 1.0


def checks(examination: Examination) -> list[Check]:
    return [Check("sources", lambda deadline: _look(examination, deadline))] if examination.config.jobs else []


@dataclass(frozen=True, slots=True)
class _Asked:
    """Some scrapers of a job, with what they gave; the job has `targets` in all."""

    job: str
    targets: int
    scrapers: Sequence[Scraper]
    scrapes: Sequence[Scrape]


def _look(examination: Examination, deadline: float) -> Iterator[Finding]:
    environment, until = Environment(examination.config, examination.dependencies), deadline - _SPARE_SECONDS
    found = environment.find(until)
    environment.sync(found)
    for pool, result in found:
        if pool.finder and not pool.finder.is_static:
            yield _discovery(pool, result, examination)
    some = {pool.job.job_name: list(itertools.islice(pool.scrapers.values(), _TARGETS)) for pool in environment.pools}
    scrapers = [one for of_job in some.values() for one in of_job]
    scrapes = collect.collect(scrapers, environment.fetcher, examination.dependencies.now_ms, until, run=1)
    for pool in environment.pools:
        name = pool.job.job_name
        if some[name]:
            own = [scrape for scrape in scrapes if scrape.job == name]
            yield _source(_Asked(name, len(pool.scrapers), some[name], own), examination)
        elif pool.finder and pool.finder.is_static:
            yield warning(f"source {name}", "it has no targets", "is everything dropped by relabel_configs?")


def _discovery(pool: ScrapePool[Any], result: Any, examination: Examination) -> Finding:
    check, count = f"discovery {pool.job.job_name}", sum(len(group.targets) for group in result.groups)
    if result.warnings:
        detail = "; ".join(result.warnings[:3])
        fix = f"pusher iam {examination.location} prints the permission and the parameter; is the network there?"
        return failed(check, detail, fix) if result.is_unknown else warning(check, detail, fix)
    if not count:
        return warning(check, "it finds no targets", "are the filters, the files or the names right?")
    if not pool.scrapers:
        detail = f"it finds {counted(count, 'target')}, and none is scraped"
        return warning(check, detail, f"pusher plan {examination.location} says which rule drops each")
    return ok(check, f"{counted(count, 'target')} found, {len(pool.scrapers)} to scrape")


def _source(asked: _Asked, examination: Examination) -> Finding:
    check, down = f"source {asked.job}", [one.error for one in asked.scrapes if one.error]
    fix = f"pusher plan {examination.location} --job {asked.job} shows more"
    of_all = f" of {asked.targets}" if asked.targets > len(asked.scrapes) else ""
    if down and len(down) == len(asked.scrapes):
        if all(map(_is_out_of_reach, asked.scrapers, asked.scrapes)):
            reach = 'from inside their VPC: {"action": "plan"} to the stack\'s operator function says how it is there'
            return warning(check, f"private addresses do not answer here: {down[0]}", f"ask {reach}")
        return failed(check, down[0], fix)
    broken = [why for one in asked.scrapes for why in one.failed.values()]
    if broken:
        return failed(check, broken[0], fix)
    if down:
        return warning(check, f"{len(down)} of {len(asked.scrapes)} targets that were asked are down: {down[0]}", fix)
    samples = sum(len(one.samples) for one in asked.scrapes)
    if not asked.scrapes:
        return unknown(check, "it was not asked within the time", WAIT_LONGER)
    noun = "target" if asked.targets == 1 else "targets"
    return ok(
        check, f"{counted(samples, 'sample')} of {len(asked.scrapes)}{of_all} {noun}, up and its companions among them"
    )


def _is_out_of_reach(scraper: Scraper, scrape: Scrape) -> bool:
    """Whether a target is at a private address of another network, and has not answered at all."""
    host = scraper.host.rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private and not address.is_loopback and "answered" not in scrape.error
