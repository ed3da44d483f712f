"""`pusher plan`: each job with its series, what was left out and why, and what would be sent."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lambda_remote_write.config.scalars import print_duration
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.model.reason_counts import ANYTHING
from lambda_remote_write.plan import plan
from lambda_remote_write.report.printable import json_text
from lambda_remote_write.report.report import skipped_lines
from lambda_remote_write.state.shards import MAX_SHARDS

from .command import BAD, NOT_DELIVERED, OK, Add, Command, Example, add_config, add_jobs, add_timeout, load
from .terminal import HEADING, WRONG, clock, counted, say, say_json, warn


def run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    config = load(options, dependencies)
    found = plan(config, dependencies, time.monotonic() + options.timeout, options.shards, options.jobs)
    if options.json:
        say_json(found)
    else:
        print_plan(found)
    return OK if found["ok"] else NOT_DELIVERED


def _add_arguments(add: Add) -> None:
    add_config(add)
    add("--shards", type=_shards, default=1, metavar="N", help="show how N shards would split the targets")
    add_jobs(add)
    add_timeout(add)


def _shards(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SHARDS:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MAX_SHARDS} is expected")
    return int(text)


def print_plan(found: dict[str, Any]) -> None:
    for job in found["jobs"]:
        say(f"{job['job']}: {_job_state(job)}", style=WRONG if job["error"] and not job["up"] else HEADING)
        for line in _job_lines(job):
            say(f"  {line}", style=WRONG if line.startswith("failed: ") else "")
    for endpoint in found["endpoints"]:
        requests = counted(endpoint["requests"], "request")
        size = f"{counted(endpoint['samples'], 'sample')} in {requests}, {endpoint['compressed_bytes']} bytes"
        say(f"would send to {endpoint['endpoint']} at {endpoint['url']}: {size}")
        for reason, entry in endpoint["dropped"].items():
            say(f"  would drop {entry['count']}, {reason}: {entry['example']}")
    for row in found.get("split", ()):
        jobs = ", ".join(row["jobs"]) or "nothing"
        counts = f"{counted(row['targets'], 'target')}, {counted(row['samples'], 'sample')}"
        say(f"shard {row['shard']}: {counts} of {jobs}")
    estimate = found["estimate"]
    dollars = f"${estimate['amp_usd_per_month']:.2f} on AMP (us-east-1, beyond the free ones)"
    say(f"{estimate['samples_per_month']:,} samples a month, {dollars}")
    printed = {message for job in found["jobs"] for message in job.get("messages", ())}
    for warning in (one for one in found["warnings"] if one not in printed):
        warn(warning)


def _job_state(job: dict[str, Any]) -> str:
    """Why a job is down; else its series, and how many targets are up where some are not."""
    if job["error"] and not job["up"]:
        return f"down: {job['error']}"
    targets = job.get("targets", ())
    of_targets = f", {job['up']} of {len(targets)} targets up" if job["error"] else ""
    return f"{job['series']} series every {job['interval']}{of_targets}"


def _job_lines(job: dict[str, Any]) -> Iterator[str]:
    """Metrics, pages, what was dropped, targets, what the requests need and cost, lint."""
    for metric in job["metrics"]:
        yield from _metric_lines(metric, job["error"])
    yield from skipped_lines({why: entry for why, entry in job["skipped"].items() if ANYTHING in entry["examples"]})
    if ends := job.get("pages_end"):
        yield f"{counted(job['pages'], 'page')} read, ended by: {', '.join(ends)}"
    if job["metrics"]:
        yield f"values per label: {', '.join(f'{name} {count}' for name, count in job['cardinality'].items())}"
    for reason, entry in job["dropped"].items():
        yield f"dropped {entry['count']}, {reason}: {entry['example']}"
    yield from _target_lines(job)
    yield from job.get("messages", ())
    yield from map(_iam_line, job.get("iam", ()))
    if "requests_per_month" in job:
        requests, dollars = job["requests_per_month"], job["requests_usd_per_month"]
        yield f"AWS bills each request: {requests:,} a month, each page one, ${dollars:,.2f} (us-east-1)"
    for message in job["lint"]:
        yield f"lint: {message}"


def _metric_lines(metric: dict[str, Any], of_job: str) -> Iterator[str]:
    """The first series, and why records gave no sample. The error `of_job` is printed above."""
    yield from map(_series_line, metric["shown"])
    if metric["not_shown"]:
        yield f"{metric['metric']}: {metric['not_shown']} more not shown"
    if metric.get("failed", "") not in ("", of_job):
        yield f"failed: {metric['failed']}"
    yield from skipped_lines(metric.get("skipped", {}))
    for label in metric.get("labels_not_found", ()):
        yield f"{metric['metric']}: label {label} was found in no record"


def _target_lines(job: dict[str, Any]) -> Iterator[str]:
    at = Counter(target["url"] for target in job.get("targets", ()))
    for target in job.get("targets", ()):
        which = _labels(target["labels"]) if at[target["url"]] > 1 else ""  # a query is not shown, and may differ
        yield f"{target['url']}{which}: {state(target['error'], target['samples'])}"
    for one in job.get("dropped_targets", ()):
        yield f"not scraped: {one['discovered'].get('__address__', 'a target without address')}, by {one['by']}"
    left = job.get("dropped_targets_count", 0) - len(job.get("dropped_targets", ()))
    if left > 0:
        yield f"not scraped: {left} more; keep_dropped_targets sets how many are shown"


def _iam_line(needed: dict[str, Any]) -> str:
    note = f" ({needed['note']})" if needed["note"] else ""
    return f"needs, for {needed['role']}: {json_text(needed['statement'])}{note}"


def state(error: str, samples: int) -> str:
    return f"down: {error}" if error else f"{samples} samples"


def _series_line(shown: dict[str, Any]) -> str:
    """One series: its labels, value, time and age, and what relabelling made of it."""
    before, after = shown["before"], shown["after"]
    if after is None:
        return f"{_labels(before)} dropped by metric_relabel_configs[{shown.get('dropped_by_rule', '?')}]"
    line = _labels(after)
    if "value" in shown:
        value = str(shown["value"]).removesuffix(".0")
        age = shown["age_seconds"]
        sense = "old" if age >= 0 else "ahead of the clock"
        line += f" {value} at {clock(shown['timestamp_ms'])}, {print_duration(round(abs(age)) * 1000)} {sense}"
        line += f", the first of {shown['samples']:,} samples" if "samples" in shown else ""
    return line if after == before else f"{line} (before metric_relabel_configs: {_labels(before)})"


def _labels(labels: dict[str, str]) -> str:
    rest = ", ".join(f'{name}="{_quoted(value)}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{rest}}}"


def _quoted(value: str) -> str:
    """As the exposition format has it, so that two values never look the same."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


COMMAND = Command(
    "plan",
    "collect and relabel, send nothing: show series, cardinality, lint, requests and cost",
    _add_arguments,
    run,
    (
        Example("pusher plan pusher.yaml", "what would be sent, job by job, and what a month of it costs"),
        Example("pusher plan pusher.yaml --job usage --json", "one job, as JSON"),
        Example("pusher plan pusher.yaml --shards 4", "how four shards would split the targets"),
    ),
    ((OK, "all is well"), (NOT_DELIVERED, "a job is down or a metric failed"), (BAD, "the usage or the config is bad")),
)
