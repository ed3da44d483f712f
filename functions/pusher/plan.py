"""`plan`: collect and map, send nothing; show the series, what relabelling did to them, lint and cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import cost
from .batch import Batch
from .config.nodes import shown_url
from .config.scalars import print_duration
from .config.schema import Config, JsonJob, Metric
from .model import Delivery, Labels, Scrape, Tally
from .report import tally_dict
from .shards import hashmod
from .sources import collect
from .sources.json_api import JsonSource
from .sources.pool import ScrapePool, shard_key
from .sources.scrape import TargetSource
from .sources.targets import Dropped
from .warm import Outside, Remote, Warm
from .wire.series import AMP_LIMITS

_SHOWN_SERIES = 20
_SHOWN_TARGETS = 20  # of those that are dropped, unless keep_dropped_targets says how many
_MANY_VALUES = 1_000  # distinct values of one label in one answer: a hint of an unbounded label
_MANY_LABELS = 30
_BASE_UNITS = {
    "ms": "seconds", "milliseconds": "seconds", "us": "seconds", "microseconds": "seconds", "ns": "seconds",
    "minutes": "seconds", "hours": "seconds", "days": "seconds", "kb": "bytes", "kilobytes": "bytes", "mb": "bytes",
    "megabytes": "bytes", "gb": "bytes", "gigabytes": "bytes", "bits": "bytes", "percent": "ratio",
    "fahrenheit": "celsius", "kilometers": "meters", "inches": "meters", "grams": "kilograms",
}  # fmt: skip


@dataclass(slots=True)
class Trace:
    """What relabelling did in one job, series by series."""

    shown: list[dict[str, Any]] = field(default_factory=list)
    dropped_by_rule: Counter[int] = field(default_factory=Counter)
    values: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    series: int = 0
    most_labels: int = 0

    def __call__(self, before: Labels, after: Labels | None, dropped_by: int | None) -> None:
        """Observes one new series: its labels before and after `metric_relabel_configs`."""
        if len(self.shown) < _SHOWN_SERIES:
            seen = {"before": dict(before), "after": dict(after) if after else None}
            self.shown.append(seen | ({"dropped_by_rule": dropped_by} if dropped_by is not None else {}))
        if dropped_by is not None:
            self.dropped_by_rule[dropped_by] += 1
        if after:
            self.series += 1
            self.most_labels = max(self.most_labels, len(after))
            for name, value in after.items():
                self.values[name].add(value)


def plan(config: Config, outside: Outside, deadline: float, shards: int = 1) -> dict[str, Any]:
    """Collects every job once and tells what a push would send, and what of it each of several shards. `deadline` is
    monotonic seconds."""
    traces = {name: Trace() for name in config.job_names()}
    warm = Warm(config, outside, observers=traces)
    warm.discover(deadline)
    sources = warm.sources()
    scrapes = collect.collect(sources, collect.Edges(warm.fetcher, outside.now_ms), deadline, run=1)
    by_job: dict[str, list[Scrape]] = {name: [] for name in traces}
    for scrape in scrapes:
        by_job[scrape.job].append(scrape)
    jobs = [_json_job(job, by_job[job.job_name], traces[job.job_name], config) for job in config.jobs]
    jobs += [_scrape_job(pool, by_job[pool.job.job_name], traces[pool.job.job_name], config) for pool in warm.pools]
    monthly = sum(job["samples_per_month"] for job in jobs)
    batch = Batch(scrapes)
    return {
        "action": "plan",
        "ok": not warm.undiscovered() and not any(scrape.error for scrape in scrapes),
        "jobs": jobs,
        "endpoints": [_endpoint(remote, batch, warm) for remote in warm.remotes],
        "estimate": {"samples_per_month": monthly, "amp_usd_per_month": cost.ingestion_usd(monthly)},
        **({"split": _split(sources, scrapes, shards)} if shards > 1 else {}),
        "warnings": warm.warnings(),
    }


def _split(
    sources: Sequence[JsonSource | TargetSource], scrapes: Sequence[Scrape], shards: int
) -> list[dict[str, Any]]:
    """What each shard asks and sends."""
    rows: list[dict[str, Any]] = [{"shard": index, "jobs": [], "targets": 0, "samples": 0} for index in range(shards)]
    for source, scrape in zip(sources, scrapes, strict=True):
        is_job = isinstance(source, JsonSource)
        row = rows[hashmod(source.name if is_job else shard_key(source.target), shards)]  # type: ignore[union-attr]
        row["samples"] += len(scrape.samples)
        row["targets"] += not is_job
        if scrape.job not in row["jobs"]:
            row["jobs"].append(scrape.job)
    return rows


def _json_job(job: JsonJob, scrapes: Sequence[Scrape], trace: Trace, config: Config) -> dict[str, Any]:
    found = _job(job.job_name, scrapes, trace, max(job.scrape_interval_ms, config.tick_ms))
    return found | {"lint": [*lint(job, trace), *_lint_interval(job.scrape_interval_ms)]}


def _scrape_job(pool: ScrapePool, scrapes: Sequence[Scrape], trace: Trace, config: Config) -> dict[str, Any]:
    job = pool.job
    found = _job(job.job_name, scrapes, trace, max(job.scrape_interval_ms, config.tick_ms))
    kept = job.keep_dropped_targets or _SHOWN_TARGETS
    return found | {
        "targets": [
            {
                "url": shown_url(source.target.url),
                "labels": dict(source.target.labels),
                "discovered": dict(source.target.discovered),
                "up": 0 if scrape.error else 1,
                "error": scrape.error,
                "samples": len(scrape.samples),
            }
            for source, scrape in zip(pool.sources.values(), scrapes, strict=True)
        ],
        "dropped_targets": [_dropped_target(one) for one in pool.targets.dropped[:kept]],
        "dropped_targets_count": len(pool.targets.dropped),
        "messages": pool.messages(),
        "lint": [*_lint_labels(trace), *_lint_interval(job.scrape_interval_ms)],
    }


def _dropped_target(dropped: Dropped) -> dict[str, Any]:
    by = dropped.error or (f"relabel_configs[{dropped.by_rule}]" if dropped.by_rule is not None else "relabel_configs")
    return {"discovered": dict(dropped.discovered), "by": by}


def _job(name: str, scrapes: Sequence[Scrape], trace: Trace, interval_ms: int) -> dict[str, Any]:
    """What a job's sources gave together."""
    cardinality = {label: len(values) for label, values in trace.values.items()}
    errors = [scrape.error for scrape in scrapes if scrape.error]
    skipped, dropped = Tally(), Tally()
    for scrape in scrapes:
        skipped.merge(scrape.skipped)
        dropped.merge(scrape.dropped)
    samples = sum(len(scrape.samples) for scrape in scrapes)
    return {
        "job": name,
        "up": len(scrapes) - len(errors),
        "error": errors[0] if errors else "",
        "records": sum(scrape.records for scrape in scrapes),
        "series": trace.series,
        "samples": samples,
        "skipped": tally_dict(skipped),
        "dropped": tally_dict(dropped),
        "dropped_by_rule": {
            f"metric_relabel_configs[{index}]": count for index, count in trace.dropped_by_rule.items()
        },
        "cardinality": dict(sorted(cardinality.items(), key=lambda item: -item[1])),
        "shown_series": trace.shown,
        "interval": print_duration(interval_ms),
        "samples_per_month": cost.samples_per_month(samples, interval_ms / 1000),
    }


def _endpoint(remote: Remote, batch: Batch, warm: Warm) -> dict[str, Any]:
    delivery = Delivery(remote.endpoint.name)
    requests = batch.packed_for(remote, delivery.dropped, warm.outside.now_ms()).requests
    return {
        "endpoint": remote.endpoint.name,
        "url": shown_url(remote.endpoint.url),
        "samples": sum(request.samples for request in requests),
        "requests": len(requests),
        "raw_bytes": sum(request.raw_bytes for request in requests),
        "compressed_bytes": sum(len(request.body) for request in requests),
        "dropped": tally_dict(delivery.dropped),
    }


def lint(job: JsonJob, trace: Trace) -> list[str]:
    """What Prometheus people would say about this job's metrics."""
    return [*(message for metric in job.metrics for message in _lint_metric(metric)), *_lint_labels(trace)]


def _lint_labels(trace: Trace) -> list[str]:
    found = []
    if trace.most_labels > _MANY_LABELS:
        limit = f"AMP takes {AMP_LIMITS.labels} at most, and few queries need so many"
        found.append(f"a series has {trace.most_labels} labels; {limit}")
    found += [
        f"label {name} has {len(values)} values in one answer: AMP cannot delete series, is it bounded?"
        for name, values in trace.values.items()
        if len(values) > _MANY_VALUES
    ]
    return found


def _lint_interval(interval_ms: int) -> list[str]:
    if interval_ms <= 300_000:
        return []
    said = f"scrape_interval {print_duration(interval_ms)} is longer than the 5m look-back"
    return [f"{said}: query with last_over_time, or graphs show gaps"]


def _lint_metric(metric: Metric) -> Sequence[str]:
    name, found = metric.name, []
    if metric.type == "counter" and not name.endswith("_total"):
        found.append(f"{name}: a counter's name ends in _total")
    if metric.type == "gauge" and name.endswith("_total"):
        found.append(f"{name}: only a counter's name ends in _total")
    if metric.type in ("histogram", "gaugehistogram", "summary"):
        found.append(f"{name}: one value per record is no {metric.type}; gauge or counter fits")
    stem = name.removesuffix("_total").rpartition("_")[2]
    if stem in _BASE_UNITS:
        found.append(f"{name}: use the base unit {_BASE_UNITS[stem]} (scale converts the value)")
    if metric.unit and not name.removesuffix("_total").endswith(f"_{metric.unit}"):
        found.append(f"{name}: the name does not end in its unit, {metric.unit}")
    if not metric.help:
        found.append(f"{name}: no help text")
    return found
