"""YAML text -> Config, or a ConfigError that names every mistake at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import yaml

from . import (
    backfill_configs,
    global_config,
    go_glob,
    json_configs,
    remote_write,
    scalars,
    scrape_configs,
    spool,
    unsupported_keys,
)
from .schema import Config
from .yaml_reader import ConfigError, Diagnostics, Problem, Section, compose, is_null, kind_of

_ONE_STAR = "a * stands in the last part of a path only"
Include = Callable[[str], Sequence[tuple[str, str]]]
"""A pattern of `scrape_config_files` -> the names and texts of these files. Raises OSError and ValueError."""


def parse_config(
    text: str,
    file: str,
    env_vars: Mapping[str, str],
    include: Include | None = None,
    *,
    has_schedule: bool = True,
) -> Config:
    """One config file -> Config.

    `env_vars` gives the variables that `external_labels` expand, and AWS_REGION, PUSHER_WORKSPACE, PUSHER_SPOOL
    and PUSHER_TICK; `include` reads the files that it names. Without a schedule (`pusher run`) there is no tick.
    Raises ConfigError with all problems.
    """
    notes = Diagnostics(file)
    node = compose(text, file, notes)
    if not isinstance(node, yaml.MappingNode):
        detail = "the file is empty" if is_null(node) else f"a map of keys is expected at the top, not {kind_of(node)}"
        raise ConfigError([Problem(file, 1, "", f"{detail}; a config has json_configs and remote_write")])
    top = Section(node, "", notes)
    tick_ms = _tick_ms(env_vars, notes) if has_schedule else 0
    fallback = global_config.read(top, env_vars, tick_ms)
    taken: set[str] = set()
    jobs = json_configs.read(top, fallback, taken)
    scrape_jobs = scrape_configs.read(top, fallback, env_vars, taken)
    for section in _included(top, include):
        scrape_jobs += scrape_configs.read(section, fallback, env_vars, taken)
        section.close()
    endpoints = remote_write.read(top, env_vars, fallback.name_validation)
    servers = backfill_configs.read(top, env_vars, taken, fallback.name_validation)
    kept_in = spool.read(top, env_vars)
    self_metrics, new_series = top.boolean("self_metrics", True), top.integer("new_series_limit", 0)
    _check_rule_files(top)
    global_config.ignore(top, unsupported_keys.IGNORED_TOP_LEVEL)
    top.close(unsupported_keys.TOP_LEVEL)
    global_config.warn_below_tick(top, fallback)
    if not jobs and not scrape_jobs and not servers:
        notes.warnings.append(Problem(file, 0, "", "neither json_configs nor scrape_configs: nothing will be sent"))
    if notes.problems:
        raise ConfigError(notes.problems)
    warnings = tuple(map(str, sorted(notes.warnings, key=lambda warning: warning.line)))
    return Config(
        fallback.external_labels,
        jobs,
        scrape_jobs,
        endpoints,
        tick_ms,
        warnings,
        kept_in,
        self_metrics,
        new_series,
        servers,
        fallback.name_escaping or ("underscores" if fallback.name_validation == "legacy" else "allow-utf-8"),
    )


def _check_rule_files(top: Section) -> None:
    """They do nothing here, and a bad pattern is a mistake all the same."""
    for index, node in enumerate(top.items("rule_files") if top.is_list("rule_files") else ()):
        if isinstance(node, yaml.ScalarNode) and not go_glob.RULE_PATH.fullmatch(node.value):
            top.problem_at(node, f"rule_files[{index}]", f"{node.value!r:.100} is not allowed: {_ONE_STAR}")


def _included(top: Section, include: Include | None) -> Iterator[Section]:
    """The files of `scrape_config_files`, each with a `scrape_configs` of its own and nothing else."""
    for index, pattern in enumerate(top.texts("scrape_config_files")):
        key = f"scrape_config_files[{index}]"
        if not go_glob.RULE_PATH.fullmatch(pattern):
            top.problem(key, f"{pattern!r:.100} is not allowed: {_ONE_STAR}")
            continue
        if include is None:
            top.problem(key, "only a config in a local file can name others: put the jobs into this one")
            return
        try:
            found = include(pattern)
        except (OSError, ValueError) as error:
            top.problem(key, f"{pattern!r:.100} cannot be read: {error}")
            continue
        if not found:
            top.warn("scrape_config_files", f"{pattern!r:.100} names no file")
        for name, text in found:
            notes = Diagnostics(name, top.notes.problems, top.notes.warnings)
            node = compose(text, name, notes)
            if isinstance(node, yaml.MappingNode):
                yield Section(node, "", notes)
            elif not is_null(node):
                notes.problem(1, "", f"a map with scrape_configs is expected, not {kind_of(node)}")


def _tick_ms(env_vars: Mapping[str, str], notes: Diagnostics) -> int:
    text = env_vars.get("PUSHER_TICK") or "1m"
    try:
        return scalars.duration_ms(text) or 60_000
    except ValueError as error:
        notes.problems.append(Problem("environment", 0, "PUSHER_TICK", f"{text!r} is not allowed: {error}"))
        return 60_000
