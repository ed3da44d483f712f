"""YAML text -> Config, or a ConfigError that names every mistake at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
from .schema import NAME_ESCAPING, TICK_MS, Config
from .yaml_reader import ConfigError, Diagnostics, Problem, ScalarsRead, Section, compose, is_null, kind_of

_ONE_STAR = "a * stands in the last part of a path only"
Include = Callable[[str], Sequence[tuple[str, str]]]
"""A pattern of `scrape_config_files` -> the names and texts of these files. Raises OSError and ValueError."""


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A file of the config as it was read, to be shown by `masked`."""

    file: str
    node: yaml.MappingNode
    scalars: ScalarsRead


def parse_config(
    text: str,
    file: str,
    env_vars: Mapping[str, str],
    include: Include | None = None,
    *,
    has_schedule: bool = True,
    documents: list[YamlDocument] | None = None,
) -> Config:
    """One config file -> Config.

    `env_vars` gives the variables that `external_labels` expand, and AWS_REGION, PUSHER_WORKSPACE, PUSHER_SPOOL
    and PUSHER_TICK; `include` reads the files that it names. Without a schedule (`pusher run`) there is no tick.
    `documents` gets the files that were read, the config itself first.
    Raises ConfigError with all problems.
    """
    diagnostics = Diagnostics(file)
    node = compose(text, file, diagnostics)
    if not isinstance(node, yaml.MappingNode):
        detail = "the file is empty" if is_null(node) else f"a map of keys is expected at the top, not {kind_of(node)}"
        raise ConfigError([Problem(file, 1, "", f"{detail}; a config has json_configs and remote_write")])
    if documents is not None:
        _add_document(documents, node, diagnostics)
    top = Section(node, "", diagnostics)
    tick_ms = _tick_ms(env_vars, diagnostics) if has_schedule else 0
    fallback = global_config.read(top, env_vars, tick_ms)
    taken: set[str] = set()
    jobs = json_configs.read(top, fallback, env_vars, taken)
    scrape_jobs = scrape_configs.read(top, fallback, env_vars, taken)
    for section in _included(top, include, documents):
        scrape_jobs += scrape_configs.read(section, fallback, env_vars, taken)
        section.close()
    endpoints = remote_write.read(top, env_vars, fallback.name_validation)
    top.defaults = default = Config(fallback.external_labels, jobs, scrape_jobs, endpoints, tick_ms)
    config = replace(
        default,
        servers=backfill_configs.read(top, env_vars, taken, fallback.name_validation),
        spool=spool.read(top, env_vars),
        self_metrics=top.boolean("self_metrics"),
        new_series_limit=top.integer("new_series_limit"),
        name_escaping=fallback.name_escaping or NAME_ESCAPING[fallback.name_validation],
    )
    _check_rule_files(top)
    global_config.ignore(top, unsupported_keys.IGNORED_TOP_LEVEL)
    top.close(unsupported_keys.TOP_LEVEL)
    global_config.warn_below_tick(top, fallback)
    if not jobs and not scrape_jobs and not config.servers:
        diagnostics.warnings.append(
            Problem(file, 0, "", "neither json_configs nor scrape_configs: nothing will be sent")
        )
    if diagnostics.problems:
        raise ConfigError(diagnostics.problems)
    warnings = tuple(map(str, sorted(diagnostics.warnings, key=lambda warning: warning.line)))
    return replace(config, warnings=warnings)


def _check_rule_files(top: Section) -> None:
    """They do nothing here, and a bad pattern is a mistake all the same."""
    for path, node in top.items("rule_files") if top.is_list("rule_files") else ():
        if isinstance(node, yaml.ScalarNode) and not go_glob.RULE_PATH.fullmatch(node.value):
            top.problem_at(node, path, f"{node.value!r:.100} is not allowed: {_ONE_STAR}")


def _add_document(documents: list[YamlDocument], node: yaml.MappingNode, diagnostics: Diagnostics) -> None:
    diagnostics.scalars = ScalarsRead()
    documents.append(YamlDocument(diagnostics.file, node, diagnostics.scalars))


def _included(top: Section, include: Include | None, documents: list[YamlDocument] | None) -> Iterator[Section]:
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
            diagnostics = Diagnostics(name, top.diagnostics.problems, top.diagnostics.warnings)
            node = compose(text, name, diagnostics)
            if isinstance(node, yaml.MappingNode):
                if documents is not None:
                    _add_document(documents, node, diagnostics)
                yield Section(node, "", diagnostics)
            elif not is_null(node):
                diagnostics.problem(1, "", f"a map with scrape_configs is expected, not {kind_of(node)}")


def _tick_ms(env_vars: Mapping[str, str], diagnostics: Diagnostics) -> int:
    text = env_vars.get("PUSHER_TICK") or "0"
    try:
        return scalars.duration_ms(text) or TICK_MS
    except ValueError as error:
        diagnostics.refuse_variable("PUSHER_TICK", text, error)
        return TICK_MS
