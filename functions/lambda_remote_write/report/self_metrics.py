"""`pusher_*`: what the pusher says of its own runs, as series beside the data.

Every value is of the one run that sends it, stamped with its end: environments that come, go or overlap write to the
same series without counting for each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import __version__
from ..model.delivery import Delivery
from ..model.samples import Intern, InvalidSeries, Metadata, Samples

JOB = "pusher"
FAMILIES = (
    Metadata("pusher_build_info", "gauge", "Version of the pusher that sent this.", ""),
    Metadata("pusher_config_last_reload_successful", "gauge", "Whether the newest config is the one in use.", ""),
    Metadata("pusher_run_cold_start", "gauge", "Whether the run was the first of its environment.", ""),
    Metadata("pusher_run_stage_duration_seconds", "gauge", "Time that a stage of the run took.", "seconds"),
    Metadata("pusher_run_samples", "gauge", "Samples of the run by outcome and reason, these not among them.", ""),
    Metadata("pusher_job_records", "gauge", "Records of a JSON job in its last scrape, by outcome and reason.", ""),
    Metadata("pusher_run_requests", "gauge", "Requests that the receiver accepted in the run.", ""),
    Metadata("pusher_run_retries", "gauge", "Attempts of the run after the first of each request.", ""),
    Metadata("pusher_run_sent_bytes", "gauge", "Compressed bytes sent in the run, repeated ones included.", "bytes"),
    Metadata("pusher_spool_entries", "gauge", "Entries that wait in the spool at the end of the run.", ""),
    Metadata("pusher_spool_age_seconds", "gauge", "Age of the oldest sample that waits in the spool.", "seconds"),
    Metadata("pusher_series_cache_size", "gauge", "Series that the environment remembers.", ""),
    Metadata("pusher_series_cache_hit_ratio", "gauge", "Part of the run's samples whose series was known.", "ratio"),
    Metadata("pusher_job_down", "gauge", "Whether a job is down or has a failed metric since its last own scrape.", ""),
    Metadata("pusher_job_failed_metrics", "gauge", "Metrics of a JSON job that failed in its last scrape.", ""),
    Metadata("pusher_new_series_limited", "gauge", "Series that new_series_limit holds back.", ""),
    Metadata("pusher_schedule_interval_seconds", "gauge", "Interval of the schedule that starts the runs.", "seconds"),
    Metadata("pusher_shards", "gauge", "Shards into which the schedule splits its jobs and targets.", ""),
    Metadata("pusher_last_success_timestamp_seconds", "gauge", "When all of a run was accepted last.", "seconds"),
)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run knows of itself before it delivers. Durations in seconds; `added` series are new to the cache.
    `records` counts the records of JSON jobs by job, outcome and reason. `jobs_down` says of each job whether it
    is down or has a failed metric, as far as this shard knows, None without targets here; `failed_metrics` counts those
    of the JSON jobs that were scraped. `schedule_seconds` is 0 where no schedule starts the runs, `shards` in
    what is no part of the split. `is_config_refused` says that the newest config is bad, and an older one in use."""

    instance: str
    shard: str
    is_cold_start: bool
    collect_seconds: float
    collected: int
    series: int
    added: int
    records: Mapping[tuple[str, str, str], int]
    jobs_down: Mapping[str, bool | None]
    failed_metrics: Mapping[str, int]
    new_series_limited: int
    schedule_seconds: float
    shards: int
    is_config_refused: bool


@dataclass(slots=True)
class EndpointFacts:
    """What the environment remembers of an endpoint for its own metrics: outcomes, records' outcomes and jobs that were
    seen, so that each goes back to 0, and the last success in milliseconds (0 for none known)."""

    outcomes: dict[tuple[str, str], None] = field(default_factory=dict)
    records: dict[tuple[str, str, str], None] = field(default_factory=dict)
    jobs: dict[str, None] = field(default_factory=dict)
    last_success_ms: int = 0


def samples(
    facts: RunFacts,
    remembered: EndpointFacts,
    accounting: Delivery,
    seconds: Mapping[str, float],
    now_ms: int,
    intern: Intern,
) -> Samples:
    """The series of one endpoint's part of a run, whose accounting is complete. `seconds` are those of the stages."""
    found = Samples()
    base = {"job": JOB, "instance": facts.instance, "shard": facts.shard}
    to = {"endpoint": accounting.endpoint}

    def add(name: str, labels: Mapping[str, str], value: float) -> None:
        with contextlib.suppress(InvalidSeries):  # external labels that no receiver takes: every other series says so
            found.add(intern({**base, **labels, "__name__": name}), float(value), now_ms)

    add("pusher_build_info", {"version": __version__}, 1)
    add("pusher_config_last_reload_successful", {}, not facts.is_config_refused)
    add("pusher_run_cold_start", {}, facts.is_cold_start)
    for stage, duration in seconds.items():
        add("pusher_run_stage_duration_seconds", {**to, "stage": stage}, duration)
    for (outcome, reason), count in _outcomes(accounting, remembered).items():
        add("pusher_run_samples", {**to, "outcome": outcome, "reason": reason}, count)
    for (job, outcome, reason), count in _records(facts, remembered).items():
        add("pusher_job_records", {"job": job, "outcome": outcome, "reason": reason}, count)
    for job, is_down in _jobs(facts, remembered).items():
        add("pusher_job_down", {"job": job}, is_down)
    for job, count in facts.failed_metrics.items():
        add("pusher_job_failed_metrics", {"job": job}, count)
    add("pusher_new_series_limited", {}, facts.new_series_limited)
    if facts.schedule_seconds and facts.shards:  # neither a push by hand nor the operator's
        add("pusher_schedule_interval_seconds", {}, facts.schedule_seconds)
        add("pusher_shards", {}, facts.shards)
    add("pusher_run_requests", to, accounting.requests)
    add("pusher_run_retries", to, accounting.retries)
    add("pusher_run_sent_bytes", to, accounting.bytes_sent)
    oldest_ms = accounting.waiting.oldest_ms
    add("pusher_spool_entries", to, accounting.waiting.entries)
    add("pusher_spool_age_seconds", to, max(now_ms - oldest_ms, 0) / 1000 if oldest_ms else 0)
    add("pusher_series_cache_size", {}, facts.series)
    hit_ratio = 1 - min(facts.added / facts.collected, 1) if facts.collected else 1
    add("pusher_series_cache_hit_ratio", {}, hit_ratio)
    if accounting.accepted and not accounting.waiting.entries and not accounting.undelivered.total():
        remembered.last_success_ms = now_ms
    if remembered.last_success_ms:
        add("pusher_last_success_timestamp_seconds", to, remembered.last_success_ms / 1000)
    return found


def _outcomes(accounting: Delivery, remembered: EndpointFacts) -> dict[tuple[str, str], int]:
    """Samples by outcome and reason; what the environment has seen before, and this run has not, is 0."""
    found = dict.fromkeys(remembered.outcomes, 0)
    found |= {(outcome, ""): getattr(accounting, outcome) for outcome in ("collected", "taken", "accepted")}
    for outcome, reasons in accounting.reason_counts().items():
        for reason, count in reasons.counts.items():
            found[outcome, reason] = count
    remembered.outcomes.update(dict.fromkeys(found))
    return found


def _records(facts: RunFacts, remembered: EndpointFacts) -> dict[tuple[str, str, str], int]:
    """Records of the jobs in this run; of these jobs, an outcome that was seen before and is not now is 0."""
    jobs = {job for job, _, _ in facts.records}
    found = {key: 0 for key in remembered.records if key[0] in jobs} | dict(facts.records)
    remembered.records.update(dict.fromkeys(found))
    return found


def _jobs(facts: RunFacts, remembered: EndpointFacts) -> dict[str, bool]:
    """Whether each job that has targets here is down; one that has left the config is not. What another shard says of a
    job is not hidden by a 0 of this one, which has no targets of it."""
    left = {job: False for job in remembered.jobs if job not in facts.jobs_down}
    found = left | {job: is_down for job, is_down in facts.jobs_down.items() if is_down is not None}
    remembered.jobs.update(dict.fromkeys(found))
    return found
