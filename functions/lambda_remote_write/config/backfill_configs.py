"""Reads `backfill_configs`: servers that speak Prometheus's query API, to backfill from."""

from __future__ import annotations

from collections.abc import Mapping

from . import global_config, http_client, job_names, relabel_configs, remote_write, scalars
from .schema import MEGABYTE, BackfillServer
from .yaml_reader import Section

READS = ("query_range", "query", "federate")
MAX_POINTS = 10_000  # of one series in an answer: Prometheus gives 11,000 at most
_DEFAULT_BODY_BYTES = 50 * MEGABYTE
_WRITE_PATH = "/api/v1/remote_write"


def read(
    top: Section, env_vars: Mapping[str, str], taken: set[str], name_validation: str = "utf8"
) -> tuple[BackfillServer, ...]:
    """The servers. `taken` holds the names of jobs, and gets these: a backfill names one or the other.
    `name_validation` is the `metric_name_validation_scheme` of `global`."""
    return tuple(_server(entry, env_vars, taken, name_validation) for entry in top.sections("backfill_configs"))


def _server(entry: Section, env_vars: Mapping[str, str], taken: set[str], name_validation: str) -> BackfillServer:
    name = job_names.read(entry, taken)
    url, region = remote_write.address(entry, env_vars)
    how = entry.choice("read", READS, READS[0])
    step_ms = entry.duration_ms("step", 60_000) or 60_000
    window_ms = entry.duration_ms("window", 0) or 3_600_000
    if how == "query_range" and window_ms > MAX_POINTS * step_ms:
        entry.problem("window", f"holds more than {MAX_POINTS} steps, and a server answers 11000 at most")
    match = tuple(entry.texts("match"))
    if not match and not entry.is_wrong("match"):
        entry.problem("match", "is required: one selector at least, as '{job=\"node\"}'")
    server = BackfillServer(
        job_name=name,
        url=url.removesuffix(_WRITE_PATH).rstrip("/"),
        read=how,
        match=match,
        step_ms=step_ms,
        window_ms=window_ms,
        timeout_ms=entry.duration_ms("timeout", 60_000) or 60_000,
        sigv4=remote_write.read_sigv4(entry, region, env_vars),
        http=http_client.read(entry, http_client.RESERVED_FOR_SOURCES, redirects=False),
        body_size_bytes=entry.read("body_size_limit", scalars.size_bytes, 0) or _DEFAULT_BODY_BYTES,
        labels=_labels(entry),
        metric_relabel=relabel_configs.read(entry, "metric_relabel_configs", name_validation),
    )
    entry.close()
    return server


def _labels(entry: Section) -> tuple[tuple[str, str], ...]:
    section = entry.section("labels")
    if section is None:
        return ()
    return tuple((name, section.text(name)) for name in section if global_config.label_name(section, name))
