"""Target groups: what discovery finds, and the JSON or YAML in which files and HTTP servers list them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import yaml

from .. import relabel
from ..config.yaml_reader import ConfigError, Diagnostics, Section, compose, is_null, kind_of
from ..http.body_kind import kind_and_beginning

ADDRESS = "__address__"
MAX_TARGETS = 100_000
"""Of one list. No run scrapes as many; relabelling ten times as many would take all of its time and memory."""
TOO_MANY = f"lists more than {MAX_TARGETS:,} targets: narrow the list"
_SHOWN_TARGETS = 3


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Targets and the labels they share. `source` is unique among the groups of one list. `error` says why a listed
    group has no targets."""

    source: str
    targets: tuple[Mapping[str, str], ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


class DiscoveryError(Exception):
    """A list of targets could not be read. The message names it and says what to do, without secrets."""


class Gone(DiscoveryError):
    """The file or cluster no longer exists: its old targets do not stay in use."""


Groups = tuple[TargetGroup, ...]
Parts = Mapping[str, Groups | DiscoveryError]
"""A refreshed list by its parts (files, clusters), each good or failed; a list without parts has the one part ""."""

Refresh = Callable[[float], Parts]
"""Reads a list before the deadline (monotonic seconds). Raises DiscoveryError if the whole list failed."""


def group(source: str, targets: list[str], labels: Mapping[str, str]) -> TargetGroup:
    return TargetGroup(source, tuple({ADDRESS: target} for target in targets), labels)


def at(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Listed(msgspec.Struct, forbid_unknown_fields=True):
    """One group as written. Go reads a null as an empty text."""

    targets: Sequence[str | None] | None = None
    labels: Mapping[str, str | None] | None = None


def parse_json(content: bytes | bytearray, place: str, meta: Mapping[str, str]) -> Groups:
    """`[{"targets": ["host:port"], "labels": {…}}]` -> groups with the labels of `meta`. Raises DiscoveryError."""
    try:
        listed = msgspec.json.decode(content, type=list[_Listed] | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        form = 'a list of {"targets": [host:port, …], "labels": {…}} is expected'
        what = "" if isinstance(error, msgspec.ValidationError) else f"; {kind_and_beginning(content)}"
        raise DiscoveryError(f"{place}: {error}; {form}{what}") from None
    return _groups(listed or [], place, meta)


def parse_yaml(content: bytes | bytearray, place: str, meta: Mapping[str, str]) -> Groups:
    """The same in YAML. Values stay text as written. Raises DiscoveryError."""
    try:
        root = compose(content.decode("utf-8"), place)
    except UnicodeDecodeError:
        raise DiscoveryError(f"{place}: not UTF-8 text") from None
    except ConfigError as error:
        raise _first_of(error) from None
    if root is None or is_null(root):
        return ()
    if not isinstance(root, yaml.SequenceNode):
        raise DiscoveryError(f"{place}: a list of maps with targets and labels is expected, not {kind_of(root)}")
    notes = Diagnostics(place)
    listed = [_read(node, f"[{index}]", notes) for index, node in enumerate(root.value)]
    if notes.problems:
        raise _first_of(ConfigError(notes.problems))
    return _groups(listed, place, meta)


def _read(node: yaml.Node, path: str, notes: Diagnostics) -> _Listed:
    if not isinstance(node, yaml.MappingNode):
        notes.problem(node.start_mark.line + 1, path, f"a map is expected here, not {kind_of(node)}")
        return _Listed()
    section = Section(node, path, notes)
    listed = _Listed(section.texts("targets"), section.text_map("labels"))
    section.close()
    return listed


def _first_of(error: ConfigError) -> DiscoveryError:
    others = len(error.problems) - 1
    return DiscoveryError(f"{error.problems[0]}{f' (and {others} more)' if others else ''}")


def _groups(listed: list[_Listed], place: str, meta: Mapping[str, str]) -> Groups:
    """A group with an invalid label has an `error` and no targets; the others stay. (Prometheus keeps the whole list
    that it had before, or has none.)"""
    found = []
    for index, one in enumerate(listed):
        source, targets = f"{place}:{index}", [target or "" for target in one.targets or ()]
        labels = {name: value or "" for name, value in (one.labels or {}).items()}
        wrong = next((name for name in labels if not relabel.is_valid_label_name(name, "utf8")), None)
        if wrong is None:
            found.append(group(source, targets, {**labels, **meta}))
            continue
        problem = f"{wrong!r:.60} of group {index} is not a label name: it is empty, or no Unicode text"
        found.append(TargetGroup(source, (), error=f"{place}: {problem}; not scraped: {_shown(targets)}"))
    return tuple(found)


def _shown(targets: Sequence[str]) -> str:
    """The first targets of a list, for messages."""
    shown = ", ".join(f"{target!r:.100}" for target in targets[:_SHOWN_TARGETS])
    return f"{shown} and {len(targets) - _SHOWN_TARGETS} more" if len(targets) > _SHOWN_TARGETS else shown
