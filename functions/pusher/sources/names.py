"""Names that remote write 1.0 does not know (anything but letters, digits, `_` and `:`) -> names it does.

Rules: prometheus/common model/metric.go, EscapeName. A name that is legacy already stays as it is, because a page that
was asked to escape has escaped it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..config.scalars import is_label_name, is_metric_name


def is_legacy(labels: Mapping[str, str]) -> bool:
    return all(map(is_label_name, labels)) and is_metric_name(labels["__name__"])


def escaped(labels: Mapping[str, str], scheme: str) -> dict[str, str]:
    """Labels with legacy names only; `allow-utf-8` asks for no way of its own, so underscores are taken."""
    escape = _SCHEMES.get(scheme, _underscores)
    found = {}
    for name, value in labels.items():
        if name == "__name__":
            value = value if is_metric_name(value) else escape(value, ":")
        found[name if is_label_name(name) else escape(name, "")] = value
    return found


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
