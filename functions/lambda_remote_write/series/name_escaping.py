"""UTF-8 names -> the legacy names that remote write 1.0 allows (letters, digits, `_` and `:`).

Rules: prometheus/common model/metric.go, EscapeName. A legacy name stays as it is: a page that was asked to escape its
names has done so. This is here, below `exposition`, because the series cache and JSON jobs need it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..config.scalars import is_label_name, is_metric_name
from ..model.drop_reasons import DropReason
from ..model.samples import Intern, InvalidSeries, Labels, Series


def is_legacy(labels: Mapping[str, str]) -> bool:
    return all(map(is_label_name, labels)) and is_metric_name(labels.get("__name__", ""))


def escaped(labels: Mapping[str, str], scheme: str) -> dict[str, str]:
    """Labels with legacy names only; for `allow-utf-8`, which names no escaping, by underscores. Of two names that
    become equal, a legacy one keeps its value, else the first in order."""
    escape = _SCHEMES.get(scheme, _underscores)
    found = {name: value for name, value in labels.items() if is_label_name(name)}
    metric = found.get("__name__")
    if metric is not None and not is_metric_name(metric):
        found["__name__"] = escape(metric, ":")
    for name in sorted(name for name in labels if not is_label_name(name)):
        found.setdefault(escape(name, ""), labels[name])
    return found


def escaping(intern: Intern, scheme: str, *, metric_names: bool = True) -> Intern:
    """`intern` for labels of any names: those that it refuses are escaped. Without `metric_names` a metric's name is
    refused and not escaped: it comes from the config and not from a page."""

    def interned(labels: Labels) -> Series:
        if not metric_names and not is_metric_name(name := labels.get("__name__", "")):
            raise InvalidSeries(DropReason.INVALID_METRIC_NAME, f"{name!r:.80} is not a metric name")
        try:
            return intern(labels)
        except InvalidSeries:
            if is_legacy(labels):
                raise
        return intern(escaped(labels, scheme))

    return interned


def _is_legacy(char: str, index: int, also: str) -> bool:
    return char.isascii() and (char.isalpha() or char == "_" or char in also or (char.isdigit() and index > 0))


def _underscores(name: str, also: str) -> str:
    return "".join(char if _is_legacy(char, index, also) else "_" for index, char in enumerate(name))


def _dots(name: str, also: str) -> str:
    special = {"_": "__", ".": "_dot_"}
    return "".join(
        special.get(char) or (char if _is_legacy(char, index, also) else "__") for index, char in enumerate(name)
    )


def _values(name: str, also: str) -> str:
    def one(index: int, char: str) -> str:
        if char == "_":
            return "__"
        return char if _is_legacy(char, index, also) else f"_{ord(char):x}_"

    return "U__" + "".join(one(index, char) for index, char in enumerate(name))


_SCHEMES: dict[str, Callable[[str, str], str]] = {"underscores": _underscores, "dots": _dots, "values": _values}
