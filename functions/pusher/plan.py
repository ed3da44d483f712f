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
from .model import Delivery, Labels, Scrape
from .report import tally_dict
from .sources import collect
from .sources.json_api import JsonSource
from .warm import Outside, Target, Warm
from .wire.series import AMP_LIMITS

_SHOWN_SERIES = 20
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


def plan(config: Config, outside: Outside, deadline: float) -> dict[str, Any]:
    """Collects every job once and tells what a push would send. `deadline` is monotonic seconds."""
    warm = Warm(config, outside)
    traces = {job.job_name: Trace() for job in config.jobs}
    sources = [JsonSource(job, warm.series.intern, traces[job.job_name]) for job in config.jobs]
    edges = collect.Edges(warm.fetcher, outside.now_ms)
    scrapes = collect.collect(sources, warm.series.intern, edges, deadline, run=1)
    jobs = [_job(job, scrape, traces[job.job_name], config) for job, scrape in zip(config.jobs, scrapes, strict=True)]
    monthly = sum(job["samples_per_month"] for job in jobs)
    batch = Batch(scrapes)
    return {
        "action": "plan",
        "ok": not any(scrape.error for scrape in scrapes),
        "jobs": jobs,
        "endpoints": [_endpoint(target, batch, warm) for target in warm.targets],
        "estimate": {"samples_per_month": monthly, "amp_usd_per_month": cost.ingestion_usd(monthly)},
        "warnings": list(config.warnings),
    }


def _job(job: JsonJob, scrape: Scrape, trace: Trace, config: Config) -> dict[str, Any]:
    interval_ms = max(job.scrape_interval_ms, config.tick_ms)
    cardinality = {name: len(values) for name, values in trace.values.items()}
    return {
        "job": job.job_name,
        "up": 0 if scrape.error else 1,
        "error": scrape.error,
        "records": scrape.records,
        "series": trace.series,
        "samples": len(scrape.samples),
        "skipped": tally_dict(scrape.skipped),
        "dropped": tally_dict(scrape.dropped),
        "dropped_by_rule": {
            f"metric_relabel_configs[{index}]": count for index, count in trace.dropped_by_rule.items()
        },
        "cardinality": dict(sorted(cardinality.items(), key=lambda item: -item[1])),
        "shown_series": trace.shown,
        "interval": print_duration(interval_ms),
        "samples_per_month": cost.samples_per_month(len(scrape.samples), interval_ms / 1000),
        "lint": lint(job, trace, config.tick_ms),
    }


def _endpoint(target: Target, batch: Batch, warm: Warm) -> dict[str, Any]:
    delivery = Delivery(target.endpoint.name)
    requests = batch.requests_for(target, delivery, warm.outside.now_ms())
    return {
        "endpoint": target.endpoint.name,
        "url": shown_url(target.endpoint.url),
        "samples": sum(request.samples for request in requests),
        "requests": len(requests),
        "raw_bytes": sum(request.raw_bytes for request in requests),
        "compressed_bytes": sum(len(request.body) for request in requests),
        "dropped": tally_dict(delivery.dropped),
    }


def lint(job: JsonJob, trace: Trace, tick_ms: int) -> list[str]:
    """What Prometheus people would say about this job's metrics."""
    found = [message for metric in job.metrics for message in _lint_metric(metric)]
    if job.scrape_interval_ms < tick_ms:
        shown = print_duration
        found.append(f"scrape_interval {shown(job.scrape_interval_ms)} is below the schedule's tick {shown(tick_ms)}")
    if trace.most_labels > _MANY_LABELS:
        limit = f"AMP takes {AMP_LIMITS.labels} at most, and few queries need so many"
        found.append(f"a series has {trace.most_labels} labels; {limit}")
    found += [
        f"label {name} has {len(values)} values in one answer: AMP cannot delete series, is it bounded?"
        for name, values in trace.values.items()
        if len(values) > _MANY_VALUES
    ]
    if job.scrape_interval_ms > 300_000:
        found.append(
            f"scrape_interval {print_duration(job.scrape_interval_ms)} is longer than the 5m look-back: "
            "query with last_over_time, or graphs show gaps"
        )
    return found


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
