"""YAML text -> Config, or a ConfigError that names every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from . import foreign, json_configs, remote_write, scalars
from .nodes import ConfigError, Notes, Problem, Section, compose, is_null, kind_of
from .schema import Config, Limits


def parse_config(text: str, file: str, environment: Mapping[str, str]) -> Config:
    """One config file -> Config.

    `environment` gives the variables that `external_labels` expand, and AWS_REGION, PUSHER_WORKSPACE and PUSHER_TICK.
    Raises ConfigError with all problems.
    """
    notes = Notes(file)
    node = compose(text, file)
    if not isinstance(node, yaml.MappingNode):
        said = "the file is empty" if is_null(node) else f"a map of keys is expected at the top, not {kind_of(node)}"
        raise ConfigError([Problem(file, 1, "", f"{said}; a config has json_configs and remote_write")])
    top = Section(node, "", notes)
    tick_ms = _tick_ms(environment, notes)
    external_labels, defaults = _global(top, environment)
    jobs = json_configs.read(top, defaults)
    endpoints = remote_write.read(top, environment)
    _ignore(top, foreign.IGNORED_TOP_LEVEL)
    top.close(foreign.TOP_LEVEL)
    for index, job in enumerate(jobs):
        if job.scrape_interval_ms < tick_ms:
            _warn_below_tick(notes, index, job.scrape_interval_ms, tick_ms)
    if not jobs:
        notes.warnings.append(Problem(file, 0, "json_configs", "no job: nothing will be sent"))
    if notes.problems:
        raise ConfigError(notes.problems)
    warnings = sorted(notes.warnings, key=lambda warning: warning.line)
    return Config(external_labels, jobs, endpoints, tick_ms, tuple(map(str, warnings)))


def _tick_ms(environment: Mapping[str, str], notes: Notes) -> int:
    text = environment.get("PUSHER_TICK") or "1m"
    try:
        return scalars.duration_ms(text) or 60_000
    except ValueError as error:
        notes.problems.append(Problem("environment", 0, "PUSHER_TICK", f"{text!r} is not allowed: {error}"))
        return 60_000


def _warn_below_tick(notes: Notes, index: int, interval_ms: int, tick_ms: int) -> None:
    shown = scalars.print_duration
    path = f"json_configs[{index}].scrape_interval"
    said = f"{shown(interval_ms)} is below the schedule's tick: the real interval is {shown(tick_ms)}"
    notes.warnings.append(Problem(notes.file, 0, path, said))


def _global(top: Section, environment: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], json_configs.Defaults]:
    section = top.section("global")
    if section is None:
        return (), json_configs.Defaults(60_000, None, Limits())
    interval_ms = section.duration_ms("scrape_interval", 0) or 60_000
    timeout_ms = section.duration_ms("scrape_timeout", 0) or None
    if timeout_ms and timeout_ms > interval_ms and not section.is_wrong("scrape_interval"):
        shown = scalars.print_duration
        section.problem("scrape_timeout", f"{shown(timeout_ms)} is longer than scrape_interval {shown(interval_ms)}")
    labels = _external_labels(section, environment)
    limits = json_configs.limits(section, Limits())
    _ignore(section, foreign.IGNORED_GLOBAL)
    section.close()
    return labels, json_configs.Defaults(interval_ms, timeout_ms, limits)


def _external_labels(section: Section, environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    labels = section.section("external_labels")
    if labels is None:
        return ()
    found = []
    for name in labels:
        written = labels.text(name)
        value = scalars.expand_environment(written, environment)
        if written and not value:
            labels.warn(name, f"{written!r:.60} expands to nothing in this environment: the label is left out")
        if json_configs.label_name(labels, name) and value:
            found.append((name, value))
    return tuple(found)


def _ignore(section: Section, keys: Mapping[str, str]) -> None:
    """Keys of a prometheus.yml that have no meaning here load, and each is named in a warning."""
    for key in section:
        if key in keys and section.has(key):
            section.warn(key, f"ignored: {keys[key]}")
