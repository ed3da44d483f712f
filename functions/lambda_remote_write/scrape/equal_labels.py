"""What is said of targets of one job that relabelling has left with equal labels: one of them is scraped, and a rule
tells them apart."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_URL = ("__scheme__", "__address__", "__metrics_path__")
_PLAIN = re.compile(r"\w+", re.ASCII)
_SHOWN_NAMES = 10


def warning(several: Sequence[Sequence[tuple[str, Mapping[str, str]]]]) -> str:
    """Each of `several` has the targets with the same labels, of which the first is scraped: its address as it may be
    shown, and all labels that relabelling has left."""
    count = sum(len(targets) - 1 for targets in several)
    what = "1 target has" if count == 1 else f"{count} targets have"
    (first, _), (second, _) = several[0][:2]
    names = _differing([[labels for _, labels in targets] for targets in several])
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    names = names[:_SHOWN_NAMES]
    return (
        f"{what} the same labels as another one and cannot be scraped beside it, such as {second} "
        f"beside {first}; what differs is {', '.join(names)}{more}: give each an instance of its own, "
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
