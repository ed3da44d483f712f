"""`pusher check`: every mistake in a config, without a request."""

from __future__ import annotations

import argparse

from lambda_remote_write.config.schema import Config
from lambda_remote_write.config.sd_configs import FileSd
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.discovery import static_groups
from lambda_remote_write.scrape.targets import targets_of

from .command import OK, Command, Example, add_config, load
from .terminal import counted, say_json, warn
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way

_IN_A_FUNCTION = ("/var/task/", "/opt/")  # its package and its layers
_MEMORY_ONLY = "no spool is configured: pusher run keeps undelivered samples in memory only"


def check(options: argparse.Namespace, dependencies: Dependencies) -> int:
    config = load(options, dependencies)
    jobs, endpoints = config.job_names(), [endpoint.name for endpoint in config.endpoints]
    receivers = {endpoint.name: endpoint.receiver for endpoint in config.endpoints}
    warnings = [*config.warnings, *_files_that_nothing_writes(config), *_equal_labels(config)]
    notes = [] if config.spool.location else [_MEMORY_ONLY]
    if options.json:
        found = {"ok": True, "jobs": jobs, "endpoints": endpoints, "receivers": receivers}
        say_json({**found, "warnings": warnings, "notes": notes})
        return OK
    for warning in warnings:
        warn(warning)
    for note in notes:
        print(f"note: {note}")
    for endpoint in config.endpoints:
        print(f"endpoint {endpoint.shown_name}")
    print(f"{options.config}: {counted(len(jobs), 'job')}, {counted(len(endpoints), 'endpoint')}, no mistakes")
    return OK


def _equal_labels(config: Config) -> list[str]:
    """Warns of targets in `static_configs` that would be one series; those of other lists are known to a run."""
    found = {job.job_name: targets_of(job, static_groups(job.discovery)).equal_labels for job in config.jobs}
    return [f"job {name}: {detail}" for name, detail in found.items() if detail]


def _files_that_nothing_writes(config: Config) -> list[str]:
    """Warns of file_sd_configs with a path that neither the function's package nor a layer can hold."""
    return [
        f"job {job.job_name}: file_sd_configs reads {file}, which does not exist in a Lambda: keep the list at "
        "s3://bucket/key or in the package (only pusher run can read this file)"
        for job in config.jobs
        for discovery in job.discovery
        if isinstance(discovery, FileSd)
        for file in discovery.files
        if file.startswith("/") and not file.startswith(_IN_A_FUNCTION)
    ]


COMMAND = Command(
    "check",
    "read the config and report every mistake in it",
    add_config,
    check,
    (
        Example("pusher check pusher.yaml", "line, key, value and what is allowed, for every mistake at once"),
        Example("pusher check prometheus.yml --json", "the same as JSON, for an editor or a pipeline"),
    ),
)
