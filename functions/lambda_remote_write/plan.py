"""`plan`: collect and map, send nothing; show the series with their values, what relabelling did to them, what each
endpoint would drop, lint and cost."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from .config.scalars import print_duration
from .config.schema import SHOWN_DROPPED_TARGETS, Config, Job, JsonJob, Metric
from .config.sd_configs import HttpSd, JsonSd
from .config.yaml_reader import shown_url
from .dependencies import Dependencies
from .environment import Environment
from .model.reason_counts import ReasonCounts
from .model.samples import STALE, InvalidSeries, Labels, Series
from .model.scrape import MetricResult, Scrape
from .relabel import hashmod
from .remote_write.batches import Batch
from .remote_write.endpoint import EndpointState
from .report import cost
from .report.report import reasons_dict, skipped_dict, unknown_states
from .scrape import collect
from .scrape.pool import ScrapePool
from .scrape.targets import DroppedTarget
from .series.cache import AMP_LIMITS

_SHOWN_SERIES = 20  # of a job; at least one of each metric
_MANY_VALUES = 1_000  # distinct values of one label in one answer: a hint of an unbounded label
_MANY_LABELS = 30
_SHOWN_STATEMENTS = 10  # of IAM, of a job with many targets
_BASE_UNITS = {
    "ms": "seconds", "milliseconds": "seconds", "us": "seconds", "microseconds": "seconds", "ns": "seconds",
    "minutes": "seconds", "hours": "seconds", "days": "seconds", "kb": "bytes", "kilobytes": "bytes", "mb": "bytes",
    "megabytes": "bytes", "gb": "bytes", "gigabytes": "bytes", "bits": "bytes", "percent": "ratio",
    "fahrenheit": "celsius", "kilometers": "meters", "inches": "meters", "grams": "kilograms",
}  # fmt: skip


@dataclass(slots=True)
class MetricTrace:
    """What relabelling did in one job, series by series. `shown` has the first series of each metric, by the name that
    it has before relabelling; `count` how many there are."""

    shown: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    count: Counter[str] = field(default_factory=Counter)
    dropped_by_rule: Counter[int] = field(default_factory=Counter)
    values: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    series: int = 0
    most_labels: int = 0

    def __call__(self, before: Labels, after: Labels | None, dropped_by: int | None) -> None:
        """Observes one new series: its labels before and after `metric_relabel_configs`."""
        name = before.get("__name__", "")
        self.count[name] += 1
        if len(self.shown[name]) < _SHOWN_SERIES:
            seen = {"before": dict(before), "after": dict(after) if after else None}
            self.shown[name].append(seen | ({"dropped_by_rule": dropped_by} if dropped_by is not None else {}))
        if dropped_by is not None:
            self.dropped_by_rule[dropped_by] += 1
        if after:
            self.series += 1
            self.most_labels = max(self.most_labels, len(after))
            for label, value in after.items():
                self.values[label].add(value)


def plan(
    config: Config, dependencies: Dependencies, deadline: float, shards: int = 1, jobs: Collection[str] | None = None
) -> dict[str, Any]:
    """Collects every job (or these) once and tells what a push would send, and what of it each of several shards.
    `deadline` is monotonic seconds."""
    wanted = [name for name in config.job_names() if jobs is None or name in jobs]
    traces = {name: MetricTrace() for name in wanted}
    environment = Environment(config, dependencies, observers=traces)
    environment.discover(deadline, jobs)
    sources = [source for source in environment.sources() if source.name in traces]
    scrapes = collect.collect(sources, environment.fetcher, dependencies.now_ms, deadline, run=1)
    environment.update_health(list(zip(sources, scrapes, strict=True)))
    by_job: dict[str, list[Scrape]] = {name: [] for name in traces}
    for scrape in scrapes:
        by_job[scrape.job].append(scrape)
    now_ms = dependencies.now_ms()
    by_name = {name: _Shown(by_job[name], trace, environment, now_ms) for name, trace in traces.items()}
    pools = [pool for pool in environment.pools if pool.job.job_name in traces]
    found = [_job_of(pool, by_name[pool.job.job_name], config) for pool in pools]
    monthly = sum(job["samples_per_month"] for job in found)
    batch = Batch(scrapes)
    down = {job: why for job, why in environment.jobs_down(deadline).items() if job in traces}
    return {
        "action": "plan",
        "ok": not down,
        "jobs_down": down,
        "jobs": found,
        "endpoints": [_endpoint(endpoint, batch, environment) for endpoint in environment.endpoints],
        "estimate": {"samples_per_month": monthly, "amp_usd_per_month": cost.ingestion_usd(monthly)},
        **({"split": _split(sources, scrapes, shards)} if shards > 1 else {}),
        "warnings": [
            *environment.warnings(),
            *(f"{scrape.job}: {note}" for scrape in scrapes for note in scrape.notes),
        ],
    }


class _Shown:
    """One job's scrapes with what was observed of their series, and the first sample and the count of each."""

    def __init__(self, scrapes: Sequence[Scrape], trace: MetricTrace, environment: Environment, now_ms: int) -> None:
        self.scrapes, self.trace, self._environment, self._now_ms = scrapes, trace, environment, now_ms
        self._samples: dict[Series, tuple[Any, int]] = {}
        self._count: Counter[Series] = Counter()
        for scrape in scrapes:
            columns = scrape.samples.series, scrape.samples.values, scrape.samples.timestamps_ms
            for series, value, at_ms in zip(*columns, strict=True):
                if value is not STALE:
                    self._samples.setdefault(series, (value, at_ms))
                    self._count[series] += 1

    def metrics(self) -> list[dict[str, Any]]:
        """Every metric with its first series; one of many does not hide another."""
        results: dict[str, MetricResult] = {}
        for result in (one for scrape in self.scrapes for one in scrape.metrics):
            empty = MetricResult(result.metric, failed=result.failed, labels_not_found=result.labels_not_found)
            results.setdefault(result.metric, empty).merge(result)
        of_records = {name for result in results.values() for name in result.names}
        names = [*results, *(name for name in self.trace.count if name not in results.keys() | of_records)]
        most = max(_SHOWN_SERIES // max(len(names), 1), 1)
        return [self._metric(name, results.get(name), most) for name in names]

    def without_secrets(self, labels: Labels) -> dict[str, str]:
        """Labels of discovery: an address may have a key in its query."""
        return {name: self._environment.fetcher.masked(value) for name, value in labels.items()}

    def masked(self, value: Any) -> Any:
        """Texts of a document without secrets."""
        if isinstance(value, dict):
            return {name: self.masked(item) for name, item in value.items()}
        return self._environment.fetcher.masked(value) if isinstance(value, str) else value

    def _metric(self, name: str, result: MetricResult | None, most: int) -> dict[str, Any]:
        """One metric; those that records name are one together."""
        names = result.names if result and result.names else (name,)
        first = itertools.islice((one for each in names for one in self.trace.shown.get(each, ())), most)
        shown = list(map(self._with_sample, first))
        series = sum(self.trace.count[each] for each in names)
        found = {"metric": name, "series": series, "shown": shown, "not_shown": series - len(shown)}
        if result is None:
            return found
        return found | {
            "records": result.records,
            "failed": result.failed,
            "skipped": skipped_dict(result.skipped),
            "labels_not_found": list(result.labels_not_found),
            **({"names": len(result.names)} if result.names else {}),
            **({"unknown_states": unknown_states([result])[name]} if result.unknown_states.count else {}),
        }

    def _with_sample(self, one: dict[str, Any]) -> dict[str, Any]:
        """The series with the value, time and age of its first sample, when it has one, and how many there are."""
        try:
            series = self._environment.intern(one["after"] or {})
            value, at_ms = self._samples[series]
        except (InvalidSeries, KeyError):
            return one
        shown = value if isinstance(value, float | int) else "a native histogram"
        age = round((self._now_ms - at_ms) / 1000, 3)
        count = self._count[series]
        several = {"samples": count} if count > 1 else {}
        return one | {"value": shown, "timestamp_ms": at_ms, "age_seconds": age} | several


def _split(sources: Sequence[collect.Scraper], scrapes: Sequence[Scrape], shards: int) -> list[dict[str, Any]]:
    """What each shard scrapes and sends."""
    rows: list[dict[str, Any]] = [{"shard": index, "jobs": [], "targets": 0, "samples": 0} for index in range(shards)]
    for source, scrape in zip(sources, scrapes, strict=True):
        row = rows[hashmod(source.shard_key, shards)]
        row["samples"] += len(scrape.samples)
        row["targets"] += source.is_target
        if scrape.job not in row["jobs"]:
            row["jobs"].append(scrape.job)
    return rows


def _job_of(pool: ScrapePool[Any], shown: _Shown, config: Config) -> dict[str, Any]:
    job = pool.job
    of_metrics = (
        [message for metric in job.metrics for message in _lint_metric(metric)] if isinstance(job, JsonJob) else []
    )
    found = _job(job, shown, config) | (_targets(pool, shown) if pool.finder else {}) | _signed(pool, shown, config)
    return found | {"lint": [*of_metrics, *_lint_labels(shown.trace), *_lint_interval(job.scrape_interval_ms)]}


def _signed(pool: ScrapePool[Any], shown: _Shown, config: Config) -> dict[str, Any]:
    """Of a job that signs what it asks: the IAM statements that it needs, and what AWS bills for its requests."""
    job = pool.job
    lists = [one for one in job.discovery if isinstance(one, HttpSd | JsonSd)]
    asked = [(one.target.url, job) for one in pool.scrapers.values() if not one.target.error]
    signed = [(url, by) for url, by in (*asked, *((one.url, one) for one in lists)) if by.http.sigv4]
    if not signed:
        return {}
    from .aws import iam

    needed = iam.statements(
        iam.ApiCall(by.method, url, by.http, by.body or "")
        if isinstance(by, JsonJob | JsonSd)
        else iam.ApiCall("GET", url, by.http)
        for url, by in signed
    )
    return {"iam": [shown.masked(one) for one in needed[:_SHOWN_STATEMENTS]]} | _billed(job, shown, config)


def _billed(job: Job, shown: _Shown, config: Config) -> dict[str, Any]:
    price = cost.REQUEST_USD.get(job.http.sigv4.service, 0) if job.http.sigv4 else 0
    if not price:
        return {}
    interval_ms = max(job.scrape_interval_ms, config.tick_ms)
    requests = sum(max(scrape.pages, 1) for scrape in shown.scrapes) * cost.requests_per_month(interval_ms / 1000)
    return {"requests_per_month": requests, "requests_usd_per_month": round(requests * price, 2)}


def _targets(pool: ScrapePool[Any], shown: _Shown) -> dict[str, Any]:
    """The targets that a job has found, scraped or dropped."""
    kept = pool.job.keep_dropped_targets or SHOWN_DROPPED_TARGETS
    return {
        "targets": [
            {
                "url": shown_url(source.target.url),
                "labels": dict(source.target.labels),
                "discovered": shown.without_secrets(source.target.discovered),
                "up": 0 if scrape.error else 1,
                "error": scrape.error,
                "samples": len(scrape.samples),
            }
            for source, scrape in zip(pool.scrapers.values(), shown.scrapes, strict=True)
        ],
        "dropped_targets": [_dropped_target(one, shown) for one in pool.targets.dropped[:kept]],
        "dropped_targets_count": len(pool.targets.dropped),
        "messages": pool.messages(),
    }


def _dropped_target(dropped: DroppedTarget, shown: _Shown) -> dict[str, Any]:
    rule = f"relabel_configs[{dropped.by_rule}]" if dropped.by_rule is not None else "relabel_configs"
    same = f"the same labels as {dropped.same_as}" if dropped.same_as else ""
    return {"discovered": shown.without_secrets(dropped.discovered), "by": dropped.error or same or rule}


def _job(job: Job, shown: _Shown, config: Config) -> dict[str, Any]:
    """What a job's sources gave together."""
    scrapes, trace, interval_ms = shown.scrapes, shown.trace, max(job.scrape_interval_ms, config.tick_ms)
    cardinality = {label: len(values) for label, values in trace.values.items()}
    errors = [scrape.error for scrape in scrapes if scrape.error]
    skipped, dropped = ReasonCounts(), ReasonCounts()
    for scrape in scrapes:
        skipped.merge(scrape.skipped)
        dropped.merge(scrape.dropped)
    samples = sum(len(scrape.samples) for scrape in scrapes)
    return {
        "job": job.job_name,
        "up": len(scrapes) - len(errors),
        "error": errors[0] if errors else "",
        **(_pages(scrapes) if isinstance(job, JsonJob) and job.pagination else {}),
        "records": sum(scrape.records for scrape in scrapes),
        "series": trace.series,
        "samples": samples,
        "skipped": skipped_dict(skipped),
        "dropped": reasons_dict(dropped),
        "dropped_by_rule": {
            f"metric_relabel_configs[{index}]": count for index, count in trace.dropped_by_rule.items()
        },
        "cardinality": dict(sorted(cardinality.items(), key=lambda item: -item[1])),
        "metrics": shown.metrics(),
        "interval": print_duration(interval_ms),
        "samples_per_month": cost.samples_per_month(samples, interval_ms / 1000),
    }


def _pages(scrapes: Sequence[Scrape]) -> dict[str, Any]:
    """How many pages were read, and why each walk has ended, with how many targets."""
    ends = Counter(scrape.pages_end for scrape in scrapes if scrape.pages_end)
    return {"pages": sum(scrape.pages for scrape in scrapes), "pages_end": dict(ends)}


def _endpoint(endpoint: EndpointState, batch: Batch, environment: Environment) -> dict[str, Any]:
    encoded = batch.encoded_for(endpoint, environment.dependencies.now_ms())
    if encoded.error:
        raise encoded.error
    requests = encoded.requests
    return {
        "endpoint": endpoint.config.name,
        "url": shown_url(endpoint.config.url),
        "samples": sum(request.samples for request in requests),
        "requests": len(requests),
        "raw_bytes": sum(request.raw_bytes for request in requests),
        "compressed_bytes": sum(len(request.body) for request in requests),
        "dropped": reasons_dict(encoded.dropped),
    }


def _lint_labels(trace: MetricTrace) -> list[str]:
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
    detail = f"scrape_interval {print_duration(interval_ms)} is longer than the 5m look-back"
    return [f"{detail}: query with last_over_time, or graphs show gaps"]


def _lint_metric(metric: Metric) -> Sequence[str]:
    found = [] if metric.record_name else _lint_name(metric)  # the API's own names are no choice of the config
    if metric.type in ("histogram", "gaugehistogram", "summary"):
        found.append(f"{metric.name}: one value per record is no {metric.type}; gauge or counter fits")
    if not metric.help:
        found.append(f"{metric.name}: no help text")
    return found


def _lint_name(metric: Metric) -> list[str]:
    name, found = metric.name, []
    if metric.type == "counter" and not name.endswith("_total"):
        found.append(f"{name}: a counter's name ends in _total")
    if metric.type == "gauge" and name.endswith("_total"):
        found.append(f"{name}: only a counter's name ends in _total")
    stem = name.removesuffix("_total").rpartition("_")[2]
    if stem in _BASE_UNITS:
        found.append(f"{name}: use the base unit {_BASE_UNITS[stem]} (scale converts the value)")
    if metric.unit and not name.removesuffix("_total").endswith(f"_{metric.unit}"):
        found.append(f"{name}: the name does not end in its unit, {metric.unit}")
    return found
