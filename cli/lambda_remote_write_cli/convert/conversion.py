"""One file of another program -> our config: its kind, its converter, and a check of the result by our own reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from lambda_remote_write.config.yaml_reader import ConfigError, Problem

from . import collector, drop_unsupported, json_exporter, prometheus
from .tree import Comment, Dropped, DroppedKeys, Entry, Map, read

KINDS = {
    "collector": "an OpenTelemetry collector config",
    "prometheus": "a prometheus.yml",
    "json_exporter": "a json_exporter config",
}
_SIGNS = {
    "collector": ("receivers", "exporters", "service", "processors", "extensions"),
    "json_exporter": ("modules", "metrics"),
    "prometheus": ("scrape_configs", "global", "remote_write", "scrape_config_files", "rule_files", "alerting"),
}
_JOBS = ("scrape_configs", "json_configs", "backfill_configs")
_NO_JOB = {
    "collector": "there is no job: no pipeline of metrics has a prometheus receiver with scrape_configs",
    "prometheus": "there is no job: the file has no scrape_configs",
    "json_exporter": "there is no job: no module has a metric that could be translated",
}
_HEADER = "Converted by pusher convert from "


@dataclass(frozen=True, slots=True)
class Conversion:
    """Our config as text, what it lacks, and what a person has to do before it is of use: the mistakes that it still
    has (taken over with the input), and what could not be converted at all."""

    kind: str
    config: str
    dropped: tuple[Dropped, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What the file itself does not say. `kind` is one of KINDS, or empty to tell it by the keys; `given` are values of
    the collector's environment variables; `targets` are text and name of the prometheus.yml whose jobs ask
    json_exporter; `exact` keeps what json_exporter makes of null and of texts."""

    kind: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[str, str] | None = None
    exact: bool = False


def convert(text: str, file: str, options: Options | None = None) -> Conversion:
    """A config of another program -> ours. Raises ConfigError for what cannot be read."""
    options = options or Options()
    top = read(text, file, "metrics" if options.kind in ("", "json_exporter") else "")
    kind = options.kind or _kind_of(top, file)
    dropped = DroppedKeys()
    asking = read(*options.targets) if options.targets else None
    converters: dict[str, Callable[[], Map]] = {
        "collector": lambda: collector.convert(top, dropped, options.given),
        "prometheus": lambda: prometheus.convert(top, dropped),
        "json_exporter": lambda: json_exporter.convert(top, dropped, asking, exact=options.exact),
    }
    result = converters[kind]()
    if not any(result.items(key) for key in _JOBS) and result.get("scrape_config_files") is None:
        result.entries.append(dropped.by_hand(Entry("", result), _NO_JOB[kind]))
    _put_header(result, f"{_HEADER}{KINDS[kind]} ({PurePath(file).name}). What was dropped is named in its place.")
    config, problems = drop_unsupported.drop_unsupported(result, "the result", dropped)
    gone = sorted(dict.fromkeys(dropped.entries), key=lambda one: one.line)
    left = [Problem(file, one.line, one.path, one.why) for one in dict.fromkeys(dropped.to_do)]
    return Conversion(kind, config, tuple(gone), (*left, *problems))


def _kind_of(top: Map, file: str) -> str:
    """The kind of which the file has most keys."""
    keys = {pair.key for pair in top.pairs()}
    found = {kind: len(keys.intersection(signs)) for kind, signs in _SIGNS.items()}
    best = max(found, key=lambda kind: found[kind])
    if found[best]:
        return best
    wanted = "; ".join(f"{', '.join(signs[:3])} ({KINDS[kind]})" for kind, signs in _SIGNS.items())
    detail = f"nothing here says what this is. Expected are the keys {wanted}, or --from {'|'.join(KINDS)}"
    raise ConfigError([Problem(file, 1, "", detail)])


def _put_header(result: Map, header: str) -> None:
    """Says where the config came from, once: a converted one may be converted again."""
    if not any(line.startswith(f"# {_HEADER}") for line in prometheus.said_in(result)):
        result.entries.insert(0, Comment(header, below=[""]))
