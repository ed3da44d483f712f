"""Reads `scrape_configs`: which pages are scraped, how, and what becomes of their samples. Every key means what it
means in Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from . import global_config, http_client, jobs, params, unsupported_keys
from .schema import NAME_ESCAPING, GlobalConfig, ScrapeJob
from .yaml_reader import Section


def read(top: Section, fallback: GlobalConfig, env_vars: Mapping[str, str], taken: set[str]) -> tuple[ScrapeJob, ...]:
    """The jobs. `taken` holds the names of other jobs, and gets these."""
    return tuple(_job(entry, fallback, env_vars, taken) for entry in top.sections("scrape_configs"))


def _job(entry: Section, fallback: GlobalConfig, env_vars: Mapping[str, str], taken: set[str]) -> ScrapeJob:
    interval_ms, timeout_ms = global_config.intervals(entry, fallback)
    # The global escaping scheme is for a job that has no validation scheme of its own: that one decides else.
    inherited = "" if entry.has("metric_name_validation_scheme") else fallback.name_escaping
    validation, escaping = global_config.names(entry, fallback.name_validation, inherited)
    native = entry.boolean("scrape_native_histograms", fallback.scrape_native_histograms)
    name = global_config.job_name(entry, taken)
    entry.defaults = default = ScrapeJob(name, interval_ms, timeout_ms, name_validation=validation)
    shared = jobs.shared(entry, fallback, default, http_client.RESERVED_FOR_SCRAPES, env_vars)
    job = replace(
        default,
        **params.with_params(params.read(entry), shared.pop("http")),
        **shared,
        **jobs.targets(entry, fallback, default, env_vars),
        scrape_protocols=_protocols(entry, fallback, default, native),
        fallback_scrape_protocol=entry.choice("fallback_scrape_protocol", global_config.PROTOCOLS),
        honor_timestamps=entry.boolean("honor_timestamps"),
        track_timestamps_staleness=entry.boolean("track_timestamps_staleness"),
        enable_compression=entry.boolean("enable_compression"),
        native_histogram_bucket_limit=entry.integer("native_histogram_bucket_limit"),
        native_histogram_min_bucket_factor=entry.number("native_histogram_min_bucket_factor"),
        scrape_native_histograms=native,
        convert_classic_histograms_to_nhcb=entry.boolean(
            "convert_classic_histograms_to_nhcb", fallback.convert_classic_histograms_to_nhcb
        ),
        always_scrape_classic_histograms=_always_classic(entry, fallback),
        extra_scrape_metrics=entry.boolean("extra_scrape_metrics", fallback.extra_scrape_metrics),
        name_escaping=escaping or NAME_ESCAPING[validation],
    )
    if entry.text("scrape_failure_log_file"):
        entry.warn("scrape_failure_log_file", "ignored: failures are in the run's log line")
    entry.close(unsupported_keys.SCRAPE_JOB)
    return job


def _protocols(entry: Section, fallback: GlobalConfig, default: ScrapeJob, native: bool) -> tuple[str, ...]:
    written = global_config.protocols(entry) or fallback.scrape_protocols
    return written or (("PrometheusProto",) if native else ()) + default.scrape_protocols


def _always_classic(entry: Section, fallback: GlobalConfig) -> bool:
    """Under its name, and the one it had before Prometheus 3."""
    old = entry.boolean("scrape_classic_histograms", fallback.always_scrape_classic_histograms)
    return entry.boolean("always_scrape_classic_histograms", old)
