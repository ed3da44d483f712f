"""Rewrites the expected samples of a test file. Everything else of it stays as it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from lambda_remote_write.config.yaml_reader import compose

from .file import read
from .sample_line import SampleLine, parse_line

_INDENT = 2


class NotUpdated(Exception):
    """The samples stand in a form that cannot be rewritten. The message says in which."""


def update(path: Path, found: Mapping[str, Sequence[SampleLine]]) -> None:
    """Writes the samples of the tests with these names. Comments stay, but for those of samples that are gone. Raises
    NotUpdated and OSError."""
    before = path.read_text(encoding="utf-8")
    lines = before.splitlines()
    for name, node in reversed(_tests(before, path)):
        if name in found:
            _replace(lines, node, found[name])
    text = "\n".join(lines) + "\n"
    path.write_text(text, encoding="utf-8")
    if any(list(one.series) != list(found.get(one.name, one.series)) for one in read(path).tests):
        path.write_text(before, encoding="utf-8")
        raise NotUpdated(f"{path}: series cannot be rewritten where they are written with anchors; write them out")


def _tests(text: str, path: Path) -> list[tuple[str, yaml.MappingNode]]:
    """The tests of a file that was read before, by name, in its order."""
    tests = _value(compose(text, str(path)), "tests")
    nodes = [one for one in tests.value if isinstance(one, yaml.MappingNode)] if tests else []
    return [(name.value, node) for node in nodes if (name := _value(node, "name"))]


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _replace(lines: list[str], test: yaml.MappingNode, samples: Sequence[SampleLine]) -> None:
    key, node = next((key, value) for key, value in test.value if key.value == "series")
    first, column = key.start_mark.line, key.start_mark.column
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    is_block = bool(items) and node.start_mark.line > first
    last = items[-1].end_mark.line if is_block else node.end_mark.line
    comments = _comments(lines, first, items) if is_block else {}
    indent = " " * (items[0].start_mark.column - 2 if is_block else column + _INDENT)
    head = lines[first] if is_block else lines[first][: key.end_mark.column] + ":"
    written = [head if samples else head.partition("series:")[0] + "series: []"]
    for sample in samples:
        above, beside = comments.get(str(sample), comments.get(sample.series, ([], "")))
        written += [*above, f"{indent}- {_quoted(str(sample))}{beside}"]
    lines[first : last + 1] = written


def _comments(lines: Sequence[str], first: int, items: Sequence[yaml.Node]) -> dict[str, tuple[list[str], str]]:
    """The lines above a sample, and what stands behind it, by sample and by series."""
    found: dict[str, tuple[list[str], str]] = {}
    begin = first + 1
    for item in items:
        above, end = lines[begin : item.start_mark.line], item.end_mark
        kept = (list(above), lines[end.line][end.column :].rstrip())
        line = parse_line(str(item.value))
        found[str(line)] = kept
        found.setdefault(line.series, kept)
        begin = end.line + 1
    return found


def _quoted(text: str) -> str:
    """As a YAML scalar between single quotes."""
    return "'" + text.replace("'", "''") + "'"
