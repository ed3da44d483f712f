"""Reads `scrape_configs`: which pages are scraped, how, and what becomes of their samples. Every key means what it
means in Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from . import global_config, http_client, plain_text, relabel_configs, unsupported_keys
from .schema import NAME_ESCAPING, GlobalConfig, ScrapeJob
from .yaml_reader import Section, did_you_mean


def read(top: Section, fallback: GlobalConfig, env_vars: Mapping[str, str], taken: set[str]) -> tuple[ScrapeJob, ...]:
    """The jobs. `taken` holds the names of other jobs, and gets these."""
    return tuple(_job(entry, fallback, env_vars, taken) for entry in top.sections("scrape_configs"))


def _job(entry: Section, fallback: GlobalConfig, env_vars: Mapping[str, str], taken: set[str]) -> ScrapeJob:
    from . import sd_configs  # a config that scrapes nothing need not pay for it in every cold start

    interval_ms, timeout_ms = global_config.intervals(entry, fallback)
    validation, escaping = global_config.names(entry, fallback.name_validation, _inherited_escaping(entry, fallback))
    native = entry.boolean("scrape_native_histograms", fallback.scrape_native_histograms)
    entry.defaults = default = ScrapeJob(global_config.job_name(entry, taken), interval_ms, timeout_ms)
    job = replace(
        default,
        scrape_protocols=_protocols(entry, fallback, default, native),
        fallback_scrape_protocol=entry.choice("fallback_scrape_protocol", global_config.PROTOCOLS),
        metrics_path=entry.text("metrics_path") or default.metrics_path,
        honor_labels=entry.boolean("honor_labels"),
        honor_timestamps=entry.boolean("honor_timestamps"),
        track_timestamps_staleness=entry.boolean("track_timestamps_staleness"),
        scheme=_scheme(entry, default.scheme),
        params=_params(entry),
        enable_compression=entry.boolean("enable_compression"),
        limits=global_config.limits(entry, fallback.limits, default.limits),
        target_limit=entry.integer("target_limit") or fallback.target_limit,
        keep_dropped_targets=entry.integer("keep_dropped_targets") or fallback.keep_dropped_targets,
        native_histogram_bucket_limit=entry.integer("native_histogram_bucket_limit"),
        native_histogram_min_bucket_factor=entry.number("native_histogram_min_bucket_factor"),
        scrape_native_histograms=native,
        convert_classic_histograms_to_nhcb=entry.boolean(
            "convert_classic_histograms_to_nhcb", fallback.convert_classic_histograms_to_nhcb
        ),
        always_scrape_classic_histograms=_always_classic(entry, fallback),
        extra_scrape_metrics=entry.boolean("extra_scrape_metrics", fallback.extra_scrape_metrics),
        name_validation=validation,
        name_escaping=escaping or NAME_ESCAPING[validation],
        allow_link_local=entry.boolean("allow_link_local"),
        http=http_client.read(entry, http_client.RESERVED_FOR_SCRAPES),
        relabel=relabel_configs.read(entry, "relabel_configs", validation),
        metric_relabel=relabel_configs.read(entry, "metric_relabel_configs", validation),
        discovery=sd_configs.read(entry, env_vars, validation),
        new_series_limit=entry.integer("new_series_limit") or fallback.new_series_limit,
    )
    if entry.text("scrape_failure_log_file"):
        entry.warn("scrape_failure_log_file", "ignored: failures are in the run's log line")
    entry.close(unsupported_keys.SCRAPE_JOB)
    return job


def _inherited_escaping(entry: Section, fallback: GlobalConfig) -> str:
    """The global escaping scheme, for a job that has no validation scheme of its own: that one decides else."""
    return "" if entry.has("metric_name_validation_scheme") else fallback.name_escaping


def _protocols(entry: Section, fallback: GlobalConfig, default: ScrapeJob, native: bool) -> tuple[str, ...]:
    written = global_config.protocols(entry) or fallback.scrape_protocols
    return written or (("PrometheusProto",) if native else ()) + default.scrape_protocols


def _scheme(entry: Section, default: str) -> str:
    """Any text, as in Prometheus: relabel_configs may set `__scheme__`, and a target of another scheme is `up 0`."""
    scheme = entry.text("scheme", default)
    if scheme.lower() not in ("http", "https"):
        detail = f"{scheme!r:.40} is neither http nor https: targets are down unless relabel_configs set __scheme__"
        entry.warn("scheme", f"{detail}{did_you_mean(scheme, ('http', 'https'))}")
    return scheme


def _always_classic(entry: Section, fallback: GlobalConfig) -> bool:
    """Under its name, and the one it had before Prometheus 3."""
    old = entry.boolean("scrape_classic_histograms", fallback.always_scrape_classic_histograms)
    return entry.boolean("always_scrape_classic_histograms", old)


def _params(entry: Section) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`params: {name: [value, …]}`."""
    section = entry.map("params")
    return tuple((name, tuple(plain_text.texts(section, name, plain_text.BY_HEADER))) for name in section)
