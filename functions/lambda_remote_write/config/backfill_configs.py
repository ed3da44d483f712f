"""Reads `backfill_configs`: servers that speak Prometheus's query API, to backfill from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from . import global_config, http_client, relabel_configs, remote_write, scalars, unsupported_keys
from .schema import BackfillServer
from .yaml_reader import Section

READS = ("query_range", "query", "federate")
MAX_POINTS = 10_000  # of one series in an answer: Prometheus gives 11,000 at most
_WRITE_PATH = "/api/v1/remote_write"


def read(
    top: Section, env_vars: Mapping[str, str], taken: set[str], name_validation: str = "utf8"
) -> tuple[BackfillServer, ...]:
    """The servers. `taken` holds the names of jobs, and gets these: a backfill names one or the other.
    `name_validation` is the `metric_name_validation_scheme` of `global`."""
    return tuple(_server(entry, env_vars, taken, name_validation) for entry in top.sections("backfill_configs"))


def _server(entry: Section, env_vars: Mapping[str, str], taken: set[str], name_validation: str) -> BackfillServer:
    name = global_config.job_name(entry, taken)
    url, region = remote_write.address(entry, env_vars)
    entry.defaults = default = BackfillServer(name, url.removesuffix(_WRITE_PATH).rstrip("/"))
    how = entry.choice("read", READS)
    step_ms, window_ms = entry.positive_ms("step"), entry.positive_ms("window")
    if how == "query_range" and window_ms > MAX_POINTS * step_ms:
        entry.problem("window", f"holds more than {MAX_POINTS} steps, and a server answers 11000 at most")
    match = tuple(entry.texts("match"))
    if not match and not entry.is_wrong("match"):
        entry.problem("match", "is required: one selector at least, as '{job=\"node\"}'")
    server = replace(
        default,
        read=how,
        match=match,
        step_ms=step_ms,
        window_ms=window_ms,
        timeout_ms=entry.positive_ms("timeout"),
        sigv4=remote_write.read_sigv4(entry, region, env_vars),
        http=http_client.read(entry, http_client.RESERVED_FOR_SOURCES, default.http),
        body_size_bytes=entry.read("body_size_limit", scalars.size_bytes, 0) or default.body_size_bytes,
        labels=_labels(entry),
        metric_relabel=relabel_configs.read(entry, "metric_relabel_configs", name_validation),
    )
    entry.close(unsupported_keys.OF_SOURCES)
    return server


def _labels(entry: Section) -> tuple[tuple[str, str], ...]:
    section = entry.map("labels")
    return tuple((name, section.text(name)) for name in section if global_config.label_name(section, name))
