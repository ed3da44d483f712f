"""*Pusher*: what lambda-remote-write says of its own runs. docs/operations.md explains each series."""

from __future__ import annotations

from grafana_foundation_sdk.builders.common import StackingConfig
from grafana_foundation_sdk.models.common import StackingMode
from grafana_foundation_sdk.models.dashboard import Dashboard, Threshold

from .panels import (
    GREEN,
    ORANGE,
    RED,
    Panel,
    Query,
    bars,
    choices_variable,
    filled,
    gauges,
    names,
    stat,
    states,
    titled,
    window_variable,
)

UID = "lambda-remote-write-pusher"
STACK = 'instance=~"$instance"'
ENDPOINT = f'{STACK}, endpoint=~"$endpoint"'
# AMP refuses samples older than an hour; half of it is left to act.
OLD_SECONDS, LOST_SECONDS = 1800.0, 3600.0


def dashboard() -> Dashboard:
    """Bars and lines take every run between two points, by $__interval. Numbers take the newest of $lookback. So no run
    is missed on a slow schedule or in a long range of time."""
    made = titled(
        "Pusher",
        UID,
        "How lambda-remote-write itself is doing. It needs self_metrics, which is on by default.",
        [
            choices_variable("instance", "Stack", "The stack's name.", "label_values(pusher_build_info, instance)"),
            choices_variable(
                "endpoint",
                "Endpoint",
                "The name of the endpoint in remote_write.",
                f"label_values(pusher_run_samples{{{STACK}}}, endpoint)",
            ),
            window_variable(
                "lookback",
                "Lookback",
                "How old the numbers of the first row may be: at least twice the schedule's interval.",
                "5m,15m,30m,1h,3h,6h,1d",
                "30m",
            ),
        ],
    )
    rows = [("Now", _now()), ("Delivery", _delivery()), ("Sources", _sources()), ("Spool", _spool()), ("Runs", _runs())]
    return filled(made, rows).build()


def newest(metric: str, selector: str) -> str:
    return f"last_over_time({metric}{{{selector}}}[$lookback])"


def summed(metric: str, selector: str) -> str:
    return f"sum_over_time({metric}{{{selector}}}[$__interval])"


def worst(metric: str, selector: str) -> str:
    return f"max_over_time({metric}{{{selector}}}[$__interval])"


# Each shard of a job that is split says it for its own targets: the job is down when all of them say so.
_DOWN = f"min by (instance, job) ({newest('pusher_job_down', STACK)})"


def _now() -> list[Panel]:
    success = f"last_over_time(pusher_last_success_timestamp_seconds{{{ENDPOINT}}}[$__range])"
    failed = newest("pusher_job_failed_metrics", STACK)
    return [
        stat(
            "Since the last success",
            "Time since all of a run was accepted, of the endpoint that waits longest. A run that delivers nothing "
            "sends no series about itself, so this one is looked for in the whole range of time. "
            "Runbook: docs/runbooks/silence.md",
            "s",
            Query(f"max(time() - max by (instance, endpoint) ({success}))", "since the last success"),
            Threshold(OLD_SECONDS, ORANGE),
            Threshold(LOST_SECONDS, RED),
        ),
        stat(
            "Jobs down",
            "Jobs that are down or have a failed metric since their last own scrape. "
            "Runbook: docs/runbooks/jobs-down.md",
            "short",
            Query(f"sum({_DOWN})", "jobs down"),
            Threshold(1, RED),
        ),
        stat(
            "Failed metrics",
            "Metrics of JSON jobs that failed in the last own scrape. Runbook: docs/runbooks/metric-failed.md",
            "short",
            Query(f"sum(max by (instance, job) ({failed}))", "failed metrics"),
            Threshold(1, RED),
        ),
        stat(
            "Oldest sample waiting",
            "Age of the oldest sample in the spool. AMP refuses samples older than an hour. "
            "Runbook: docs/runbooks/oldest-waiting.md",
            "s",
            Query(f"max({newest('pusher_spool_age_seconds', ENDPOINT)})", "age"),
            Threshold(OLD_SECONDS, ORANGE),
            Threshold(LOST_SECONDS, RED),
        ),
        stat(
            "New series held back",
            "Series that new_series_limit holds back. Runbook: docs/runbooks/new-series-limited.md",
            "short",
            Query(f"sum({newest('pusher_new_series_limited', STACK)})", "series"),
            Threshold(1, ORANGE),
        ),
        stat(
            "Configs refused",
            "Stacks whose newest config is refused or cannot be read, so that runs use the last good one. "
            "Runbook: docs/runbooks/bad-config.md",
            "short",
            Query(f"sum(1 - min by (instance) ({newest('pusher_config_last_reload_successful', STACK)}))", "stacks"),
            Threshold(1, ORANGE),
        ),
        names(
            "Version",
            "Versions that sent samples within the lookback.",
            Query(f"group by (version) ({newest('pusher_build_info', STACK)})", "{{version}}"),
        ),
        stat(
            "Interval",
            "Interval of the schedule. The lookback should be at least twice as long.",
            "s",
            Query(f"max({newest('pusher_schedule_interval_seconds', STACK)})", "interval"),
            width=5,
        ),
        stat(
            "Shards",
            "Shards of the split in force, of the stack with the most.",
            "short",
            Query(f"max({newest('pusher_shards', STACK)})", "shards"),
            width=5,
        ),
        stat(
            "Series",
            "Series that the environments remember.",
            "short",
            Query(f"sum({newest('pusher_series_cache_size', STACK)})", "series"),
            width=5,
        ),
        stat(
            "Entries waiting",
            "Entries in the spool.",
            "short",
            Query(f"sum({newest('pusher_spool_entries', ENDPOINT)})", "entries"),
            Threshold(1, ORANGE),
            width=5,
        ),
    ]


def _delivery() -> list[Panel]:
    outcomes = summed("pusher_run_samples", f'{ENDPOINT}, reason=""')
    reasons = summed("pusher_run_samples", f'{ENDPOINT}, reason!=""')
    return [
        gauges(
            "Samples collected and accepted",
            "Samples of the runs in each step: collected, taken from the spool, accepted. Self-metrics do not count.",
            "short",
            Query(f"sum by (outcome) ({outcomes})", "{{outcome}}"),
        ),
        bars(
            "Samples not accepted",
            "Samples rejected, dropped, spooled or undelivered, by reason. Runbook: docs/runbooks/lost-samples.md",
            "short",
            Query(f"sum by (outcome, reason) ({reasons})", "{{outcome}}: {{reason}}"),
        ),
        bars(
            "Requests and retries",
            "Requests that the receiver accepted, and attempts after the first of each request.",
            "short",
            Query(f"sum({summed('pusher_run_requests', ENDPOINT)})", "requests"),
            Query(f"sum({summed('pusher_run_retries', ENDPOINT)})", "retries"),
        ),
        bars(
            "Bytes sent",
            "Compressed bytes, repeated ones included.",
            "bytes",
            Query(f"sum by (endpoint) ({summed('pusher_run_sent_bytes', ENDPOINT)})", "{{endpoint}}"),
        ),
    ]


def _sources() -> list[Panel]:
    skipped = summed("pusher_job_records", f'{STACK}, outcome="skipped"')
    mapped = summed("pusher_job_records", f'{STACK}, outcome="mapped"')
    return [
        states(
            "Job states",
            "Red while a job is down or has a failed metric, since its last own scrape. "
            "Runbook: docs/runbooks/jobs-down.md",
            {0: ("up", GREEN), 1: ("down", RED)},
            Query(_DOWN, "{{instance}} {{job}}"),
        ),
        gauges(
            "Failed metrics by job",
            "Metrics of a JSON job that failed in its last own scrape, as after a renamed field. "
            "Runbook: docs/runbooks/metric-failed.md",
            "short",
            Query(f"max by (instance, job) ({worst('pusher_job_failed_metrics', STACK)})", "{{instance}} {{job}}"),
        ),
        bars(
            "Records skipped by job",
            "Records of JSON jobs that gave no sample, by reason.",
            "short",
            Query(f"sum by (job, reason) ({skipped})", "{{job}}: {{reason}}"),
        ),
        bars(
            "Records mapped by job",
            "Records of JSON jobs that gave samples.",
            "short",
            Query(f"sum by (job) ({mapped})", "{{job}}"),
        ),
    ]


def _spool() -> list[Panel]:
    return [
        gauges(
            "Entries waiting by endpoint",
            "Entries in the spool at the end of a run.",
            "short",
            Query(f"sum by (endpoint) ({worst('pusher_spool_entries', ENDPOINT)})", "{{endpoint}}"),
        ),
        gauges(
            "Age of the oldest sample waiting",
            "AMP refuses samples older than an hour. Runbook: docs/runbooks/oldest-waiting.md",
            "s",
            Query(f"max by (endpoint) ({worst('pusher_spool_age_seconds', ENDPOINT)})", "{{endpoint}}"),
        ),
    ]


def _runs() -> list[Panel]:
    return [
        gauges(
            "Run time by stage",
            "The longest run in each step.",
            "s",
            Query(f"max by (stage) ({worst('pusher_run_stage_duration_seconds', ENDPOINT)})", "{{stage}}"),
        ),
        bars(
            "Runs and cold starts",
            "Runs that delivered, of which cold starts: the first run of an environment.",
            "short",
            Query(f"sum(count_over_time(pusher_run_cold_start{{{STACK}}}[$__interval]))", "runs"),
            Query(f"sum({summed('pusher_run_cold_start', STACK)})", "cold starts"),
        ).stacking(StackingConfig().mode(StackingMode.NONE).group("A")),
        gauges(
            "Series and new series held back",
            "Series that the environments remember, and those that new_series_limit holds back. "
            "Runbook: docs/runbooks/series-growth.md",
            "short",
            Query(f"sum by (instance) ({worst('pusher_series_cache_size', STACK)})", "{{instance}}"),
            Query(f"sum by (instance) ({worst('pusher_new_series_limited', STACK)})", "{{instance}}, held back"),
        ),
        gauges(
            "Samples of known series",
            "Part of a run's samples whose series the environment remembered. A cold start begins at 0.",
            "percentunit",
            Query(
                f"min by (instance) (min_over_time(pusher_series_cache_hit_ratio{{{STACK}}}[$__interval]))",
                "{{instance}}",
            ),
        ).max(1),
    ]
