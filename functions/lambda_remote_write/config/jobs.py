"""Reads the keys that entries of `json_configs` and `scrape_configs` share: which targets, how they are asked, what
bounds them. Each means what it means in Prometheus."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from . import global_config, relabel_configs, source_client
from .schema import MAX_REQUESTS_PER_HOST, GlobalConfig, Job
from .yaml_reader import Section, did_you_mean


def discovers(entry: Section) -> list[str]:
    """The keys by which an entry finds targets."""
    return [key for key in entry if key == "static_configs" or key.endswith("_sd_configs")]


def shared(
    entry: Section, fallback: GlobalConfig, default: Job, reserved: Collection[str], env_vars: Mapping[str, str]
) -> dict[str, Any]:
    """The keys of any job, as fields of Job. Headers of the names `reserved` may not be set."""
    return {
        "honor_labels": entry.boolean("honor_labels"),
        "limits": global_config.limits(entry, fallback.limits, default.limits),
        "allow_link_local": entry.boolean("allow_link_local"),
        "http": source_client.read(entry, reserved, getattr(default, "url", ""), env_vars),
        "metric_relabel": relabel_configs.read(entry, "metric_relabel_configs", default.name_validation),
        "new_series_limit": entry.integer("new_series_limit") or fallback.new_series_limit,
        "max_requests_per_host": entry.integer("max_requests_per_host", _requests_per_host(entry, default)),
    }


def _requests_per_host(entry: Section, default: Job) -> int:
    """An API that lists targets mostly lists its own paths."""
    return MAX_REQUESTS_PER_HOST if "json_sd_configs" in entry else default.max_requests_per_host


def targets(entry: Section, fallback: GlobalConfig, default: Job, env_vars: Mapping[str, str]) -> dict[str, Any]:
    """The keys of a job that finds targets, as fields of Job."""
    from . import sd_configs  # a config without discovery need not pay for it in every cold start

    return {
        "metrics_path": entry.text("metrics_path") or default.metrics_path,
        "scheme": _scheme(entry, default.scheme),
        "target_limit": entry.integer("target_limit") or fallback.target_limit,
        "keep_dropped_targets": entry.integer("keep_dropped_targets") or fallback.keep_dropped_targets,
        "relabel": relabel_configs.read(entry, "relabel_configs", default.name_validation),
        "hosts": _hosts(entry),
        "discovery": sd_configs.read(entry, env_vars, default.name_validation),
    }


def _hosts(entry: Section) -> tuple[str, ...]:
    needed_by = _needs_hosts(entry)
    if not needed_by and not entry.has("hosts"):
        return ()
    from . import hosts  # few configs have it

    return hosts.read(entry, needed_by)


def _needs_hosts(entry: Section) -> str:
    """The key for which a job needs `hosts`, "" when it needs none: one that makes credentials for targets that do not
    all stand in the config. A path as `login.url` gives each target a token of its own."""
    if all(key == "static_configs" for key in discovers(entry)):
        return ""
    if "sigv4" in entry:
        return "sigv4"
    login = entry.section("login")
    url = login.text("url") if login else ""
    return "login" if url and not url.startswith("/") else ""


def _scheme(entry: Section, default: str) -> str:
    """Any text, as in Prometheus: relabel_configs may set `__scheme__`, and a target of another scheme is `up 0`."""
    scheme = entry.text("scheme", default)
    if scheme.lower() not in ("http", "https"):
        detail = f"{scheme!r:.40} is neither http nor https: targets are down unless relabel_configs set __scheme__"
        entry.warn("scheme", f"{detail}{did_you_mean(scheme, ('http', 'https'))}")
    if "sigv4" in entry and not entry.has("scheme"):
        entry.warn("sigv4", "the job's scheme is http, its default; AWS's APIs take https: write scheme: https")
    return scheme
