"""Drops from a converted config what the engine's own reader refuses, with the reader's message as the reason.

Only entries go without which the rest means the same. Any other mistake is left to be corrected by hand.
"""

from __future__ import annotations

import re

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError, Problem

from .render import commented, render
from .tree import DroppedKeys, Entry, List, Map, Scalar, Value

_ENVIRONMENT = {"AWS_REGION": "us-east-1", "PUSHER_WORKSPACE": "ws-CHANGE-ME"}
"""Variables that the function will have, and a shell may not."""

_MAY_GO = re.compile(
    r"((?:scrape|json)_configs\[\d+\]\.[a-z]+_sd_configs)"
    r"|((?:scrape|json)_configs\[\d+\]\.aws_sd_configs\[\d+\])\.role"
    r"|(.*\boauth2)\.grant_type"
    r"|(json_configs\[\d+\])\.metrics"
    r"|(json_configs\[\d+\]\.metrics\[\d+\])(?:\..*)?"
)
"""The path of a mistake; the group is what goes."""
_SHOWN = re.compile(r"json_configs\[\d+\]\.metrics\[\d+\]")
"""What stays as a comment when it is dropped, to be written anew."""


def drop_unsupported(top: Map, file: str, dropped: DroppedKeys) -> tuple[str, tuple[Problem, ...]]:
    """The text of the config, and the mistakes that it still has (their lines are the text's)."""
    while True:
        text = render(top)
        try:
            parse_config(text, file, _ENVIRONMENT, include=lambda pattern: ())
        except ConfigError as error:
            if not _drop(top, error.problems, dropped):
                return text, tuple(error.problems)
        else:
            return text, ()


def _drop(top: Map, problems: list[Problem], dropped: DroppedKeys) -> bool:
    """Returns whether something was dropped, so that another try may load."""
    places: dict[str, tuple[Map | List, Entry, str]] = {}  # all found before the first goes: a path counts its list
    for problem in problems:
        match = _MAY_GO.fullmatch(problem.path)
        path = match[match.lastindex or 0] if match else ""
        if path and (found := _find(top, path)):
            places.setdefault(path, (*found, problem.message))
    for path, (container, entry, why) in places.items():
        shown = entry.value if _SHOWN.fullmatch(path) and isinstance(entry.value, Map) else None
        comment = dropped.drop(container, entry, why, name=shown.text("name") if shown else "")
        if shown:
            comment.below = commented(List([Entry("", shown)]))
    return bool(places)


def _find(top: Map, path: str) -> tuple[Map | List, Entry] | None:
    """The entry at a path as `a[0].b`, and what holds it."""
    container: Value = top
    entry: Entry | None = Entry("", top)
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if entry is None:
            return None
        container = entry.value
        entry = dict(enumerate(entry.items)).get(int(index)) if index else entry.map.get(key)
    return (container, entry) if entry and not isinstance(container, Scalar) else None
