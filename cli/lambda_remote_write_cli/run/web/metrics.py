"""`/metrics`: the process, in the text format or in OpenMetrics, as the client accepts.

Names begin with `pusher_`; what the runs of a Lambda send about themselves is `pusher_run_…` and means one run.
A job of the config is `scrape_job`, because `job` is what the scraping Prometheus calls this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ..status import EndpointStatus, JobStatus, ProcessStatus, TargetState, TargetStatus

_ENDPOINT, _JOB = ("endpoint",), ("scrape_job",)
_Rows = Iterable[tuple[Sequence[str], float]]


def exposition(status: ProcessStatus, accept: str) -> tuple[bytes, str]:
    """The page and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    ProcessCollector(registry=registry)
    try:
        encode, content_type = choose_encoder(accept if accept.isprintable() else "")  # of which a part is repeated
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


class _StatusCollector(Collector):
    def __init__(self, status: ProcessStatus) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield InfoMetricFamily("pusher_build", "Version of the pusher.", {"version": status.version})
        yield from _config(status)
        yield _gauge("series_cache_size", "Series that the process remembers.", (), [((), status.cached_series)])
        yield from _queues(status.endpoints)
        yield from _sending(status.endpoints)
        yield from _spool([one for one in status.endpoints if one.has_spool])
        yield from _jobs(status.jobs)
        yield from _targets(status.jobs, status.targets)


def _gauge(name: str, about: str, labels: Sequence[str], rows: _Rows) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"pusher_{name}", about, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, about: str, labels: Sequence[str], rows: _Rows) -> CounterMetricFamily:
    family = CounterMetricFamily(f"pusher_{name}", about, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _times(endpoints: Sequence[EndpointStatus], times_ms: Iterable[int]) -> _Rows:
    """Seconds since the epoch of those that have a time."""
    return [((one.name,), ms / 1000) for one, ms in zip(endpoints, times_ms, strict=True) if ms]


def _config(status: ProcessStatus) -> Iterator[Metric]:
    about = "Whether the last configuration reload attempt was successful."
    yield _gauge("config_last_reload_successful", about, (), [((), not status.reload.error)])
    about = "Timestamp of the last successful configuration reload."
    success = status.reload.success_ms / 1000
    yield _gauge("config_last_reload_success_timestamp_seconds", about, (), [((), success)])


def _queues(endpoints: Sequence[EndpointStatus]) -> Iterator[Metric]:
    about = "Samples that wait in memory, those that are being sent included."
    yield _gauge("queue_samples", about, _ENDPOINT, [((one.name,), one.queue_samples) for one in endpoints])
    about = "Samples that fit in memory: capacity times max_shards of queue_config."
    yield _gauge("queue_capacity_samples", about, _ENDPOINT, [((one.name,), one.queue_capacity) for one in endpoints])
    about = "Time of the oldest sample that waits in memory; absent while none does."
    oldest = _times(endpoints, (one.queue_oldest_ms for one in endpoints))
    yield _gauge("queue_oldest_sample_timestamp_seconds", about, _ENDPOINT, oldest)
    about = "Shards that send what waits: one for each endpoint, which keeps the samples in order."
    yield _gauge("queue_shards", about, _ENDPOINT, [((one.name,), one.senders) for one in endpoints])


def _sending(endpoints: Sequence[EndpointStatus]) -> Iterator[Metric]:
    samples = [((one.name, *key), count) for one in endpoints for key, count in one.samples.items()]
    yield _counter("samples", "Samples by outcome and reason.", ("endpoint", "outcome", "reason"), samples)
    about = 'Attempts to send a request, by the status of the answer; code "none" had no answer.'
    answers = [
        ((one.name, str(status or "none")), count)
        for one in endpoints
        for status, count in one.attempts.answers.items()
    ]
    yield _counter("request_attempts", about, ("endpoint", "code"), answers)
    about = "Attempts after the first of each request."
    yield _counter("request_retries", about, _ENDPOINT, [((one.name,), one.attempts.retries) for one in endpoints])
    about = "Compressed bytes of the requests that are finished, repeated ones included."
    yield _counter("sent_bytes", about, _ENDPOINT, [((one.name,), one.bytes_sent) for one in endpoints])
    about = "When the receiver last accepted a request; absent before it did."
    success = _times(endpoints, (one.attempts.last_success_ms for one in endpoints))
    yield _gauge("endpoint_last_success_timestamp_seconds", about, _ENDPOINT, success)


def _spool(endpoints: Sequence[EndpointStatus]) -> Iterator[Metric]:
    about = "Entries that wait in the spool, as far as the process has listed or written them."
    entries = [((one.name,), one.spool_entries) for one in endpoints]
    yield _gauge("spool_waiting_entries", about, _ENDPOINT, entries)
    about = "When the oldest of these entries was written; absent while none waits."
    oldest = _times(endpoints, (one.spool_oldest_ms for one in endpoints))
    yield _gauge("spool_oldest_entry_timestamp_seconds", about, _ENDPOINT, oldest)


def _jobs(jobs: Sequence[JobStatus]) -> Iterator[Metric]:
    yield _counter("scrapes", "Scrapes that have ended.", _JOB, [((one.name,), one.scrapes) for one in jobs])
    about = "Scrapes that have failed."
    yield _counter("scrapes_failed", about, _JOB, [((one.name,), one.failed_scrapes) for one in jobs])
    about = "Whether the last refresh of a list of targets failed."
    failing = [((one.name,), float(one.is_discovery_failing)) for one in jobs]
    yield _gauge("discovery_failing", about, _JOB, failing)
    about = "Targets that were discovered and are not scraped."
    yield _gauge("discovery_dropped_targets", about, _JOB, [((one.name,), one.dropped_targets) for one in jobs])


def _targets(jobs: Sequence[JobStatus], targets: Sequence[TargetStatus]) -> Iterator[Metric]:
    counts: dict[tuple[str, str], int] = {(job.name, state): 0 for job in jobs for state in TargetState}
    failed: Mapping[str, set[str]] = {job.name: set() for job in jobs if job.is_json}
    for one in targets:
        counts[one.job, one.state] = counts.get((one.job, one.state), 0) + 1
        failed.get(one.job, set()).update(one.failed)
    about = "Targets by what their last scrape came to."
    yield _gauge(
        "targets", about, ("scrape_job", "state"), [((job, str(state)), n) for (job, state), n in counts.items()]
    )
    about = "Metrics of a JSON job that failed at the last scrape of one of its targets."
    yield _gauge("json_metrics_failed", about, _JOB, [((job,), len(names)) for job, names in failed.items()])
