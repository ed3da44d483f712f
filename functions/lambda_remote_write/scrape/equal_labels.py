"""Targets of one job that relabelling has left with equal labels. Their samples would be one series, so one of them is
scraped, and the warning has the rule that tells them apart."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..config.yaml_reader import shown_url
from .targets import DroppedTarget, Target, Targets

_URL = ("__scheme__", "__address__", "__metrics_path__")
_PLAIN = re.compile(r"\w+", re.ASCII)
_SHOWN_NAMES = 10


def drop(found: Targets[Any], relabelled: Mapping[str, Mapping[str, str]]) -> None:
    """Keeps one target of those with equal labels: the first by its URL, so that the order of a list does not matter.
    `relabelled` has the labels that relabelling has given each, by its key."""
    alike: dict[frozenset[tuple[str, str]], list[Target[Any]]] = defaultdict(list)
    for target in sorted(found.active.values(), key=lambda one: (bool(one.error), one.url, one.key)):
        alike[frozenset(target.labels.items())].append(target)
    several = [targets for targets in alike.values() if len(targets) > 1]
    for first, *others in several:
        for other in others:
            del found.active[other.key]
            found.dropped.append(DroppedTarget(other.discovered, same_as=shown_url(first.url)))
    found.equal_labels = _warning(several, relabelled)


def _warning(several: Sequence[Sequence[Target[Any]]], relabelled: Mapping[str, Mapping[str, str]]) -> str:
    count = sum(len(targets) - 1 for targets in several)
    what = "1 target has" if count == 1 else f"{count} targets have"
    first, second = several[0][:2]
    names = _differing([[relabelled[target.key] for target in targets] for targets in several])
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    names = names[:_SHOWN_NAMES]
    return (
        f"{what} the same labels as another one and cannot be scraped beside it, such as {shown_url(second.url)} "
        f"beside {shown_url(first.url)}; what differs is {', '.join(names)}{more}: give each an instance of its own, "
        f"by a last rule in relabel_configs: [{_rule(names)}]"
    )


def _differing(several: Sequence[Sequence[Mapping[str, str]]]) -> list[str]:
    """The labels in which targets with equal labels differ: those that make the URL, or else what was discovered."""
    names = {
        name
        for first, *others in several
        for labels in others
        for name, value in first.items() ^ labels.items()
        if value
    }
    of_url = [name for name in _URL if name in names]
    of_url += sorted(name for name in names if name.startswith("__param_"))
    return of_url or sorted(names)


def _rule(names: Sequence[str]) -> str:
    scheme = [name for name in names if name == "__scheme__"]
    others = [name for name in names if name not in ("__scheme__", "__address__")]
    sources = [*scheme, "__address__", *others]
    separator = ' separator: "",' if others == ["__metrics_path__"] and not scheme else ""
    listed = ", ".join(name if _PLAIN.fullmatch(name) else json.dumps(name) for name in sources)
    return f"{{source_labels: [{listed}],{separator} target_label: instance}}"
