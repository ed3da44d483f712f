"""A config that has every section, the places where its sections stand, and what the readers say of other values."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from generate.config_keys import Key, keys_of, load
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config
from lambda_remote_write.config.yaml_reader import ConfigError, Problem
from tests.rig.yaml_files import read_yaml

FOLDER = Path(__file__).parents[1] / "testdata" / "config"
EVERY_SECTION = read_yaml(FOLDER / "every-section.yaml")
ENVIRONMENT = {"AWS_REGION": "eu-west-1", "PUSHER_SPOOL": "spool"}
SECTIONS = load()
Path_ = tuple[str | int, ...]


def places() -> dict[str, Path_]:
    """Where each section stands in EVERY_SECTION, the first time."""
    found: dict[str, Path_] = {}
    for name, path in _maps("top", EVERY_SECTION, ()):
        found.setdefault(name, path)
    return found


def _maps(section: str, written: Mapping[str, Any], path: Path_) -> Iterator[tuple[str, Path_]]:
    yield section, path
    for key in keys_of(SECTIONS, section):
        if key.name in written:
            yield from _within(key.type, written[key.name], (*path, key.name))


def _within(kind: Any, value: Any, path: Path_) -> Iterator[tuple[str, Path_]]:
    """The sections in a value of this type."""
    if isinstance(kind, list):
        for one in kind:
            yield from _within(one, value, path)
    elif not isinstance(kind, dict):
        return
    elif "section" in kind and isinstance(value, dict):
        yield from _maps(kind["section"], value, path)
    elif isinstance(value, list) and (item := _item(kind)):
        for index, one in enumerate(value):
            yield from _within(item, one, (*path, index))
    elif "map of" in kind and isinstance(value, dict):
        for name, one in value.items():
            yield from _within(kind["map of"], one, (*path, name))


def _item(kind: Mapping[str, Any]) -> Any:
    return {"section": kind["sections"]} if "sections" in kind else kind.get("list of") or kind.get("some of")


def around(path: Path_) -> tuple[dict[Any, Any], Path_]:
    """EVERY_SECTION without what does not stand around a place, and the place in it."""
    if not path:
        return {"remote_write": EVERY_SECTION["remote_write"]}, path
    key, *rest = path
    config: dict[Any, Any] = {"remote_write": EVERY_SECTION["remote_write"], key: EVERY_SECTION[key]}
    if rest and isinstance(rest[0], int):
        config[key], rest[0] = [EVERY_SECTION[key][rest[0]]], 0
    return config, (key, *rest)


def put(path: Path_, keys: Mapping[str, Any], without: str = "") -> tuple[dict[str, Any], str]:
    """A config with these keys in the map at a place, and how messages call the place."""
    config, path = around(path)
    config = copy.deepcopy(config)
    there: Any = config
    for step in path:
        there = there[step]
    there.pop(without, None)
    there.update(keys)
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return config, shown.removeprefix(".")


def read(config: Mapping[str, Any]) -> Config:
    """Raises ConfigError."""
    return parse_config(json.dumps(config), "config.yaml", ENVIRONMENT)


def problems(config: Mapping[str, Any]) -> list[Problem]:
    try:
        read(config)
    except ConfigError as error:
        return error.problems
    return []


def own_keys(section: str) -> list[Key]:
    """The keys of a section without those that it includes from others, which a test looks at once, there."""
    return [key for key in keys_of(SECTIONS, section) if key.row in SECTIONS[section].rows]
