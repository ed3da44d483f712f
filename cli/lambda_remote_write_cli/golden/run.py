"""Runs a golden test: the engine collects from the record, and what its endpoint would get is the outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lambda_remote_write.config.schema import Config, SpoolConfig
from lambda_remote_write.config.sd_configs import AwsSd, DnsSd, FileSd, SdConfig
from lambda_remote_write.config_source import Unreadable
from lambda_remote_write.discovery import DiscoveryResult
from lambda_remote_write.discovery.target_groups import group
from lambda_remote_write.environment import Environment
from lambda_remote_write.json_api.pagination import Pages
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.remote_write.batches import Batch
from lambda_remote_write.scrape import collect
from lambda_remote_write.scrape.collect import Scraper
from lambda_remote_write.series import label_codec

from .file import LOCAL_ONLY, GoldenTest
from .replay import ReplayDependencies, placeholder_variables
from .sample_line import SampleLine, line_of

_DEADLINE_SECONDS = 600.0  # of one test: it waits for nothing, and only has to end
_MAX_CONFIG_BYTES = 1_000_000


class NotTestable(Exception):
    """A test that does not fit its config. The message says what would."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A scrape, and the documents that it was made of."""

    scrape: Scrape
    documents: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a config makes of the answers of a test: the samples, sorted; the scrapes that gave them, with what failed;
    the requests that have no answer; the answers that no request was for, by index."""

    config: Config
    samples: Sequence[SampleLine]
    collected: Sequence[Collected]
    notes: Sequence[str]
    unrecorded: Sequence[str]
    unused: Sequence[int]


def run(test: GoldenTest, config_file: Path) -> Outcome:
    """Raises ConfigError, Unreadable and NotTestable."""
    text = _text(config_file)
    dependencies = ReplayDependencies(test.answers, test.now_ms, {**placeholder_variables(text), **test.env})
    config = dependencies.config_source(str(config_file)).load().config
    environment = Environment(without_delivery(config), dependencies)
    _discover(environment, test)
    sources = [source for source in environment.sources() if source.name in _jobs(test, config)]
    deadline = time.monotonic() + _DEADLINE_SECONDS
    collected = [_collect(one, environment, deadline) for one in sources]  # equal requests get their answers in order
    samples = samples_of(environment, sources, [one.scrape for one in collected], test.endpoint)
    replay, notes = dependencies.replay, [message for pool in environment.pools for message in pool.messages()]
    return Outcome(config, samples, collected, notes, replay.unrecorded, replay.unused)


def _collect(source: Scraper, environment: Environment, deadline: float) -> Collected:
    now_ms = environment.dependencies.now_ms
    response = collect.fetch(source, environment.fetcher, now_ms, deadline)
    documents = _documents(response.answer) if isinstance(response.answer, Pages) else ()
    return Collected(collect.to_scrape(source, response, 1, now_ms()), documents)


def _documents(answer: Pages) -> Sequence[Any]:
    """The decoded pages, to be looked into when a label is missing."""
    with suppress(Exception):  # the scrape says what cannot be decoded
        return [one.decoded(exact=False) if one.document is None else one.document for one in answer.pages]
    return ()


def without_delivery(config: Config) -> Config:
    """A config that keeps nothing and refuses no sample for its age: the clock of a record stands."""
    endpoints = tuple(replace(one, queue=replace(one.queue, sample_age_limit_ms=0)) for one in config.endpoints)
    return replace(config, endpoints=endpoints, spool=SpoolConfig())


def samples_of(
    environment: Environment, sources: Sequence[Scraper], scrapes: Sequence[Scrape], endpoint: str
) -> list[SampleLine]:
    """What an endpoint would get, with `up` and without the other synthetic series, which are not the same twice.
    Raises NotTestable."""
    names = [one.config.name for one in environment.endpoints]
    if endpoint and endpoint not in names:
        raise NotTestable(f"endpoint: no endpoint is named {endpoint!r:.100}; the config has {', '.join(names)}")
    left_out = {series for source in sources for series in source.synthetic.series[1:]}
    for scrape in scrapes:
        kept = [index for index, series in enumerate(scrape.samples.series) if series not in left_out]
        scrape.samples = scrape.samples.pick(kept)
    receiver = environment.endpoints[names.index(endpoint) if endpoint else 0]
    now_ms = environment.dependencies.now_ms()
    found, _ = Batch(scrapes).ordered_for(receiver, ReasonCounts(), now_ms)
    columns = zip(found.series, found.values, found.timestamps_ms, strict=True)
    lines = [line_of(label_codec.labels_of(series.prefix), value, at_ms) for series, value, at_ms in columns]
    return sorted(lines, key=lambda line: (line.series, line.timestamp_ms or 0))


def _text(config_file: Path) -> str:
    """Raises Unreadable; what is wrong in the text is found when it is loaded."""
    if "://" in str(config_file) or str(config_file).startswith(("s3:/", "ssm:")):
        raise Unreadable(f"{config_file}: {LOCAL_ONLY}")
    try:
        with config_file.open("rb") as file:
            return file.read(_MAX_CONFIG_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise Unreadable(f"{config_file}: {error.strerror}") from None


def _jobs(test: GoldenTest, config: Config) -> Sequence[str]:
    """Raises NotTestable."""
    known = config.job_names()
    for key, names in (("jobs", test.jobs), ("discovered", test.discovered)):
        if unknown := [name for name in names if name not in known]:
            raise NotTestable(f"{key}: no job is named {unknown[0]!r:.100}; the config has {', '.join(known)}")
    return test.jobs or known


def _discover(environment: Environment, test: GoldenTest) -> None:
    """Raises NotTestable for a discovery that asks something else than HTTP."""
    wanted = _jobs(test, environment.config)
    for pool in environment.pools:
        name = pool.job.job_name
        if name not in wanted:
            continue
        if name in test.discovered:
            groups = [
                group(str(index), list(targets), labels)
                for index, (targets, labels) in enumerate(test.discovered[name])
            ]
            pool.sync(DiscoveryResult(groups))
            continue
        asked = [_kind(one) for one in pool.job.discovery if is_elsewhere(one)]
        if asked:
            detail = f"job {name}: {asked[0]} asks something else than HTTP"
            raise NotTestable(f'{detail}: give its targets under discovered: {{{name}: [{{targets: ["host:port"]}}]}}')
        environment.discover(time.monotonic() + _DEADLINE_SECONDS, [name])


def is_elsewhere(config: SdConfig) -> bool:
    """Whether a discovery asks something else than HTTP servers and local files."""
    if isinstance(config, FileSd):
        return any(file.startswith("s3://") for file in config.files)
    return isinstance(config, AwsSd | DnsSd)


def _kind(config: SdConfig) -> str:
    return {"FileSd": "file_sd_configs with s3://", "DnsSd": "dns_sd_configs", "Ec2Sd": "ec2_sd_configs"}.get(
        type(config).__name__, "ecs_sd_configs"
    )
