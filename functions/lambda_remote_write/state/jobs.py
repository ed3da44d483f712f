"""What is remembered of jobs: which are down, and how far each has come. The environment remembers it, and the state
object for other environments.

A job is down or has a failed metric from its own scrape to its next one, whether or not the runs between scrape it.
One target of many that is down is what `up == 0` is for: a job is down when every target is. With several targets, a
metric has failed for the job when it has failed at every target that answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..config.schema import Config, JsonJob
from ..model.scrape import HighWaterMark, Scrape
from ..remote_write import last_sample
from ..remote_write.client import NoAnswer, RemoteWriteClient
from ..scrape.collect import Scraper
from .state import State

_QUERY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Result:
    """A source's last scrape: the error of one that is down, else the metrics that failed, with reasons."""

    error: str
    failed: Mapping[str, str]


class JobHealth:
    """What the last scrape of each source came to, and what that means for its job."""

    def __init__(self, state: State, before: JobHealth | None = None) -> None:
        self._state = state
        self._results: dict[str, _Result] = dict(before._results) if before else {}
        # of each job's sources, in the last run
        self._keys: dict[str, list[str]] = dict(before._keys) if before else {}

    def update(
        self, scraped: Sequence[tuple[Scraper, Scrape]], current: Iterable[Scraper], jobs: Iterable[str]
    ) -> None:
        """After a run: `scraped` are the sources that it scraped, `current` all that there are. Of `jobs` all targets
        are known. A job that was not scraped and has the same targets keeps its health: another environment may know
        more."""
        for source, scrape in scraped:
            self._results[source.key] = _Result(scrape.error, scrape.failed)
        due = {source.name for source, _ in scraped}
        by_job: dict[str, list[str]] = {job: [] for job in jobs}
        for source in current:
            if source.name in by_job:
                by_job[source.name].append(source.key)
        kept = {key for keys in by_job.values() for key in keys}
        self._results = {key: result for key, result in self._results.items() if key in kept}
        for job, keys in by_job.items():
            if job in due or not keys or self._keys.get(job, keys) != keys:
                self._find_problem(job, keys)
        self._keys |= by_job

    def _find_problem(self, job: str, keys: Sequence[str]) -> None:
        """Tells the state object what is wrong with a job; nothing, while too few of its targets were scraped here."""
        known = [self._results[key] for key in keys if key in self._results]
        answered = [one for one in known if not one.error]
        if answered:
            self._state.set_problem(job, _common_failure(answered))
        elif len(known) == len(keys):
            self._state.set_problem(job, known[0].error if known else "")

    def problems(self) -> dict[str, str]:
        """Job -> why it is down, or which of its metrics have failed."""
        return self._state.problems()


def _common_failure(answered: Sequence[_Result]) -> str:
    """The metrics that failed wherever there was an answer."""
    failed = [reason for metric, reason in answered[0].failed.items() if all(metric in one.failed for one in answered)]
    return "; ".join(failed)


class JobProgress:
    """How far jobs have come: as this environment remembers, else the state object, else one query to the receiver. An
    environment queries the receiver once, and only about jobs that can backfill gaps. Scrapers call this from their
    own threads."""

    def __init__(self, config: Config, state: State, clients: Sequence[RemoteWriteClient]) -> None:
        self._endpoints = list(zip(config.endpoints, clients, strict=True))
        self._with_backfill = {job.job_name: job for job in config.json_jobs if job.backfill}
        self._state = state
        self._from_receiver: dict[str, HighWaterMark] | None = None
        self._lock = threading.Lock()
        self.warning = ""
        # Scraped by this process, by job, but not yet delivered or kept.
        self.ahead: Mapping[str, HighWaterMark] = {}

    def mark_of(self, job: str) -> HighWaterMark | None:
        mark = self.ahead.get(job) or self._state.mark_of(job)
        if mark is not None or job not in self._with_backfill:
            return mark
        with self._lock:
            if self._from_receiver is None:
                self._from_receiver = self._ask()
            return self._from_receiver.get(job)

    def record(self, scrapes: Sequence[Scrape]) -> None:
        """Nothing of a run is lost, so that every job has come as far as its scrape."""
        series: dict[str, int] = {}
        for scrape in scrapes:
            series[scrape.job] = series.get(scrape.job, 0) + len(scrape.samples)
        for scrape in scrapes:
            if scrape.is_target:
                mark = HighWaterMark(scrape.started_ms, scrape.started_ms, series=series[scrape.job])
                self._state.mark(scrape.job, mark, is_exact=False)
            if scrape.mark is not None:
                self._state.mark(scrape.mark_name, scrape.mark, is_exact=scrape.job in self._with_backfill)

    def _ask(self) -> dict[str, HighWaterMark]:
        """The newest samples that the first receiver which answers queries has. A metric whose name is in its records
        cannot be queried."""
        unknown = [name for name in self._with_backfill if self._state.mark_of(name) is None]
        metrics = {name: _fixed_names(self._with_backfill[name]) for name in unknown}
        unnamed = [name for name, names in metrics.items() if not names]
        metrics = {name: names for name, names in metrics.items() if names}
        if unnamed:
            self.warning = _unknown(unnamed, "its records name its metrics, so that no query can ask for them")
        return self._ask_about(metrics) if metrics else {}

    def _ask_about(self, metrics: Mapping[str, Sequence[str]]) -> dict[str, HighWaterMark]:
        """The newest sample of these metrics, by job."""
        why = "no endpoint"
        for endpoint, client in self._endpoints:
            try:
                deadline = time.monotonic() + _QUERY_SECONDS
                found = last_sample.newest_ms(client, endpoint, metrics, deadline)
                return {job: HighWaterMark(newest_ms, newest_ms) for job, newest_ms in found.items()}
            except NoAnswer as error:
                why = f"{endpoint.shown_name}: {error}"
        self.warning = "; ".join(filter(None, (self.warning, _unknown(metrics, why))))
        return {}


def _fixed_names(job: JsonJob) -> list[str]:
    return [metric.name for metric in job.metrics if metric.record_name is None]


def _unknown(jobs: Iterable[str], why: str) -> str:
    return f"the last accepted time of {', '.join(jobs)} is not known, a gap before now stays: {why}"
