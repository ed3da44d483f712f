"""Label sets of the text formats: `{name="value", …}`, with quoted names and a quoted metric name among them.

Grammar: Prometheus model/textparse, promlex.l and openmetricslex.l.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .page import BadPage

_ESCAPED = re.compile(r'\\(["\\n])')
_END = re.compile(r'[^"\\]*+(?:\\[^\n][^"\\]*+)*+\\?\Z')


class Unterminated(Exception):
    """A quoted text continues in the next line."""


class LabelSyntax:
    """How one format writes an identity. `space` matches what is allowed between its parts; `commas` says whether
    labels need a comma between them, `newlines` whether a value may contain a line break."""

    def __init__(self, space: str, *, commas: bool, newlines: bool) -> None:
        end = "" if newlines else r"\n"
        # Possessive: a value may be long, and backtracking could not help.
        inner = rf'[^"\\{end}\0]*+(?:\\[^\n\0][^"\\{end}\0]*+)*+'
        value = rf'[^"\\{end}]*+(?:\\\0*[^\n\0][^"\\{end}]*+)*+'  # only here a NUL byte is allowed, as in Prometheus
        name = r"[a-zA-Z_][a-zA-Z0-9_]*"
        self._metric = re.compile(rf"{space}[a-zA-Z_:][a-zA-Z0-9_:]*")
        self._name = re.compile(rf'{space}(?:({name})|"({inner})"){space}')
        self._value = re.compile(rf'{space}"({value})"{space}')
        self._space = re.compile(space)
        self._commas = commas

    def identity(self, text: str) -> tuple[list[tuple[str, str]], int]:
        """The start of a line -> `__name__` and the labels in their order, and where the identity ends. Raises BadPage
        and Unterminated."""
        name = self._metric.match(text)
        metric, at = (name[0], name.end()) if name else (None, 0)  # white space before a name is part of it
        pairs: list[tuple[str, str]] = []
        brace = self._skip(text, at)
        if text.startswith("{", brace):
            pairs, metric, at = self._set(text, brace + 1, metric)
        if metric is None:
            raise BadPage("a line begins with a metric name, or with { and a quoted one")
        return [("__name__", metric), *pairs], at

    def _set(self, text: str, at: int, metric: str | None) -> tuple[list[tuple[str, str]], str | None, int]:
        """From after the opening brace -> labels, the metric's name (given, or quoted in the braces), and the end."""
        pairs: list[tuple[str, str]] = []
        while True:
            at = self._skip(text, at)
            if text.startswith("}", at):
                return pairs, metric, at + 1
            found = self._name.match(text, at)
            if found is None:
                raise _wrong(text, at, "a label name is expected")
            at = found.end()
            if found[2] is not None and text[at : at + 1] in (",", "}"):
                if metric is not None:
                    raise BadPage("a second metric name")
                metric = unescaped(found[2])
                at += text[at] == ","
                continue
            value, at = self._after_name(text, at)
            pairs.append((found[1] or unescaped(found[2] or ""), value))
            at = self._after_value(text, at)

    def _after_name(self, text: str, at: int) -> tuple[str, int]:
        if not text.startswith("=", at):
            raise _wrong(text, at, "= is expected after a label name")
        value = self._value.match(text, at + 1)
        if value is None:
            raise _wrong(text, self._skip(text, at + 1), "a label value in quotes is expected")
        return unescaped(value[1]), value.end()

    def _after_value(self, text: str, at: int) -> int:
        if text.startswith(",", at):
            return at + 1
        if self._commas and not text.startswith("}", at):
            raise _wrong(text, at, "a comma or } is expected after a label value")
        return at

    def _skip(self, text: str, at: int) -> int:
        match = self._space.match(text, at)
        return match.end() if match else at


def unescaped(text: str) -> str:
    r"""`\"`, `\\` and `\n` in a quoted text; any other backslash stands for itself."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def label_dict(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Pairs -> labels. Raises BadPage when a name is there twice, which no receiver accepts; if one of its values is
    empty, the label is absent, as in Prometheus."""
    labels = dict(pairs)
    if len(labels) < len(pairs):
        absent = {name: "" for name, value in pairs if not value}
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen and name not in absent:
                raise BadPage(f"the label name {name!r} is there twice")
            seen.add(name)
        labels |= absent
    return labels


def _wrong(text: str, at: int, expected: str) -> Exception:
    """Why the text does not parse: a mistake, or a quoted text that does not end in this line."""
    if text.startswith('"', at) and _END.match(text, at + 1):
        return Unterminated()
    return BadPage(f"{expected}, not {text[at : at + 20]!r}" if at < len(text) else f"{expected}, not the line's end")
