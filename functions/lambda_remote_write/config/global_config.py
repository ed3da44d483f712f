"""Reads `global`: what jobs inherit, and the labels of every series. Jobs of all kinds share its keys."""

from __future__ import annotations

from collections.abc import Mapping

from .. import relabel
from . import scalars, unsupported_keys
from .schema import NAME_ESCAPING, SCRAPE_TIMEOUT_MS, GlobalConfig, Limits
from .secrets import looks_like_reference
from .yaml_reader import Section

PROTOCOLS = (
    "PrometheusProto",
    "OpenMetricsText2.0.0",
    "OpenMetricsText1.0.0",
    "OpenMetricsText0.0.1",
    "PrometheusText1.0.0",
    "PrometheusText0.0.4",
)
HA_REPLICA = "__replica__"
"""By this external label and `cluster`, AMP knows the two servers of a pair, and stores the samples of one of them."""
PAIR_OF_SERVERS = (
    "the label by which AMP stores the samples of one of two servers; it is for pairs of Prometheus servers: leave it "
    "out, one sender is enough; a bare `cluster` is harmless"
)
NOT_A_NAME = {
    "utf8": "not a label name: it is empty, or no Unicode text",
    "legacy": "not a label name: letters, digits and _, no digit first",
}
ESCAPING_SCHEMES = ("allow-utf-8", "underscores", "dots", "values")


def read(top: Section, env_vars: Mapping[str, str], tick_ms: int) -> GlobalConfig:
    default = GlobalConfig(tick_ms=tick_ms)
    section = top.section("global", default)
    if section is None:
        return default
    interval_ms = section.positive_ms("scrape_interval", default.interval_ms)
    timeout_ms = section.duration_ms("scrape_timeout", 0) or None
    _check_timeout(section, timeout_ms or 0, interval_ms)
    validation, escaping = names(section, default.name_validation, default.name_escaping)
    found = GlobalConfig(
        external_labels=_external_labels(section, env_vars, validation),
        interval_ms=interval_ms,
        timeout_ms=timeout_ms,
        limits=limits(section, default.limits, default.limits),
        target_limit=section.integer("target_limit"),
        keep_dropped_targets=section.integer("keep_dropped_targets"),
        scrape_protocols=protocols(section),
        name_validation=validation,
        name_escaping=escaping,
        scrape_native_histograms=section.boolean("scrape_native_histograms"),
        convert_classic_histograms_to_nhcb=section.boolean("convert_classic_histograms_to_nhcb"),
        always_scrape_classic_histograms=section.boolean("always_scrape_classic_histograms"),
        extra_scrape_metrics=section.boolean("extra_scrape_metrics"),
        new_series_limit=section.integer("new_series_limit"),
        tick_ms=tick_ms,
    )
    ignore(section, unsupported_keys.IGNORED_GLOBAL)
    section.close()
    return found


def job_name(entry: Section, taken: set[str]) -> str:
    """What names a job in samples, in reports and in a backfill, unique in a file. `taken` holds the names of other
    jobs, and gets this one."""
    name = entry.text("job_name")
    if not name and not entry.is_wrong("job_name"):
        entry.problem("job_name", "is required")
    elif name and name in taken:
        entry.problem("job_name", f"{name!r} is the name of another job; job names are unique")
    taken.add(name)
    return name


def intervals(entry: Section, fallback: GlobalConfig) -> tuple[int, int]:
    """`scrape_interval` and `scrape_timeout`: absent (or 0) means the global one, the timeout at most the interval."""
    own_ms = entry.duration_ms("scrape_interval", 0)
    if 0 < own_ms < fallback.tick_ms:
        entry.warn("scrape_interval", _below_tick(own_ms, fallback.tick_ms))
    if not own_ms and not entry.is_wrong("scrape_interval"):
        fallback.heirs.append(entry.path)
    interval_ms = own_ms or fallback.interval_ms
    timeout_ms = entry.duration_ms("scrape_timeout", 0) or min(fallback.timeout_ms or SCRAPE_TIMEOUT_MS, interval_ms)
    _check_timeout(entry, timeout_ms, interval_ms)
    return interval_ms, timeout_ms


def _check_timeout(section: Section, timeout_ms: int, interval_ms: int) -> None:
    if timeout_ms > interval_ms and not section.is_wrong("scrape_interval"):
        shown = scalars.print_duration
        section.problem("scrape_timeout", f"{shown(timeout_ms)} is longer than scrape_interval {shown(interval_ms)}")


def warn_below_tick(top: Section, fallback: GlobalConfig) -> None:
    """Once for all jobs that have their interval from `global`, or by default."""
    count = len(fallback.heirs)
    if fallback.interval_ms < fallback.tick_ms and count:
        detail = f"{_below_tick(fallback.interval_ms, fallback.tick_ms)}, for {count} job{'s' if count > 1 else ''}"
        section = top.section("global")
        if section is None:
            top.warn("global", f"by default scrape_interval {detail}")
        else:
            section.warn("scrape_interval", detail)


def _below_tick(interval_ms: int, tick_ms: int) -> str:
    shown = scalars.print_duration
    return f"{shown(interval_ms)} is below the schedule's tick: the real interval is {shown(tick_ms)}"


def limits(section: Section, fallback: Limits, default: Limits) -> Limits:
    """The limit keys; 0 or absent falls back to the global value, so that a job cannot turn one off. `default` bounds a
    body where neither does."""
    return Limits(
        body_size_bytes=section.read("body_size_limit", scalars.size_bytes, 0)
        or fallback.body_size_bytes
        or default.body_size_bytes,
        sample_limit=section.integer("sample_limit", 0) or fallback.sample_limit,
        label_limit=section.integer("label_limit", 0) or fallback.label_limit,
        label_name_length=section.integer("label_name_length_limit", 0) or fallback.label_name_length,
        label_value_length=section.integer("label_value_length_limit", 0) or fallback.label_value_length,
    )


def protocols(section: Section) -> tuple[str, ...]:
    """`scrape_protocols`: what to ask for, the most wanted first; () when absent."""

    def protocol(text: str) -> str:
        if text not in PROTOCOLS:
            raise ValueError(f"allowed are {', '.join(PROTOCOLS)}")
        return text

    found = section.read_list("scrape_protocols", protocol)
    if section.has("scrape_protocols") and not found and not section.is_wrong("scrape_protocols"):
        section.problem("scrape_protocols", "an empty list requests no protocol; leave it out for the default")
    if len(set(found)) < len(found):
        section.problem("scrape_protocols", "a protocol is listed twice")
    return tuple(found)


def names(section: Section, validation: str, escaping: str) -> tuple[str, str]:
    """`metric_name_validation_scheme` and `metric_name_escaping_scheme`, over what is inherited."""
    validation = section.choice("metric_name_validation_scheme", NAME_ESCAPING, validation)
    escaping = section.choice("metric_name_escaping_scheme", ESCAPING_SCHEMES, escaping)
    if validation == "legacy" and escaping == "allow-utf-8":
        keys = ("metric_name_escaping_scheme", "metric_name_validation_scheme")
        for key in [one for one in keys if section.has(one)][:1]:  # where both are inherited, `global` has the problem
            section.problem(key, "allow-utf-8 names cannot pass legacy validation: choose underscores, dots or values")
    return validation, escaping


def label_name(section: Section, name: str, validation: str = "legacy") -> bool:
    """Reports a label name that is reserved, or that the validation scheme forbids. Returns whether it is valid."""
    if section.is_null_key(name) or not relabel.is_valid_label_name(name, validation):
        section.problem(name, NOT_A_NAME[validation])
        return False
    if name.startswith("__"):
        section.problem(name, "not a label name here: names with a leading __ are reserved")
        return False
    return True


def ignore(section: Section, keys: Mapping[str, str]) -> None:
    """Warns of each of these keys; they load, because a prometheus.yml may hold them."""
    for key in section:
        if key in keys and section.has(key):
            section.warn(key, f"ignored: {keys[key]}")


def _external_labels(section: Section, env_vars: Mapping[str, str], validation: str) -> tuple[tuple[str, str], ...]:
    labels, found = section.map("external_labels"), []
    for name in labels:
        written = labels.text(name)
        value = scalars.expand_environment(written, env_vars)
        if written and not value:
            labels.warn(name, f"{written!r:.60} expands to nothing in this environment: the label is left out")
        if looks_like_reference(written):
            labels.warn(name, "looks like a reference, and none is read here: the label is this text; $VAR expands")
        if name == HA_REPLICA:
            labels.problem(name, PAIR_OF_SERVERS)
        elif label_name(labels, name, validation) and value:
            found.append((name, value))
    return tuple(found)
