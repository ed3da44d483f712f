"""CloudWatch Logs Insights, as far as the template's saved queries use it: the fields that it discovers in a log line,
and the commands filter, fields, unnest, stats, sort, limit and display over them.

Rules are those of the user guide: nested JSON is read with dots, an array's items by their number; "CloudWatch Logs
Insights can extract a maximum of 200 log event fields from a JSON log"; jsonParse gives a map or a list whose members
are read with dots by later commands; unnest makes an event of each item of a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

MOST_FIELDS = 200
Event = dict[str, Any]

_REPORT = re.compile(
    r"REPORT RequestId: (?P<requestId>\S+)\s+Duration: (?P<duration>[\d.]+) ms\s+"
    r"Billed Duration: (?P<billedDuration>\d+) ms\s+Memory Size: (?P<memorySize>\d+) MB\s+"
    r"Max Memory Used: (?P<maxMemoryUsed>\d+) MB"
)
_BYTES_OF_MB = 1_000_000


def discovered(line: str, timestamp_ms: int = 0) -> Event:
    """A log event with the fields that Logs Insights finds by itself."""
    event: Event = {"@message": line, "@timestamp": timestamp_ms}
    if line.startswith("{"):
        leaves = list(_leaves(json.loads(line), ""))
        return event | dict(leaves[:MOST_FIELDS])
    if report := _REPORT.match(line):
        found = {f"@{name}": float(text) for name, text in report.groupdict().items() if name != "requestId"}
        in_bytes = {name: found[name] * _BYTES_OF_MB for name in ("@memorySize", "@maxMemoryUsed")}
        return event | found | in_bytes | {"@requestId": report["requestId"], "@type": "REPORT"}
    return event


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from _leaves(item, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


@dataclass
class Query:
    """A query. After `run`, `resolved` has the names that had a value in some event; `named` has all it names."""

    text: str
    named: set[str] = field(default_factory=set)
    resolved: set[str] = field(default_factory=set)

    def run(self, events: Sequence[Event]) -> list[Event]:
        """What it shows of these events. Raises ValueError for what it has not been taught."""
        rows: list[Event] = list(events)
        shown: list[str] | None = None
        for command in _split(self.text, "|"):
            word, _, rest = command.partition(" ")
            if word == "display":
                shown = [name.strip() for name in _split(rest, ",")]
            elif word == "stats":
                rows = self._stats(rest, rows)
            else:
                rows = self._commands[word](self, rest, rows)
        if shown is None:
            return rows
        return [{name: self._value(name, row) for name in shown} for row in rows]

    def _filter(self, text: str, rows: list[Event]) -> list[Event]:
        keeps = self._expression(text)
        return [row for row in rows if keeps(row)]

    def _fields(self, text: str, rows: list[Event]) -> list[Event]:
        named = [self._named(part) for part in _split(text, ",")]
        return [row | {name: value(row) for name, value in named} for row in rows]

    def _unnest(self, text: str, rows: list[Event]) -> list[Event]:
        path, _, name = text.partition(" into ")
        found = [(row, self._value(path.strip(), row)) for row in rows]
        return [
            row | {name.strip(): item}
            for row, value in found
            if value is not None
            for item in (value if isinstance(value, list) else [value])
        ]

    def _sort(self, text: str, rows: list[Event]) -> list[Event]:
        name, _, order = text.partition(" ")
        known = [row for row in rows if self._value(name, row) is not None]
        return sorted(known, key=lambda row: self._value(name, row), reverse=order.strip() == "desc")

    def _limit(self, text: str, rows: list[Event]) -> list[Event]:
        return rows[: int(text)]

    def _stats(self, text: str, rows: list[Event]) -> list[Event]:
        what, _, by = re.sub(r"\s+", " ", text).partition(" by ")
        keys = [self._named(part) for part in _split(by, ",")] if by else []
        columns = [self._aggregate(part) for part in _split(what, ",")]
        groups: dict[tuple[Any, ...], list[Event]] = {}
        for row in rows:
            groups.setdefault(tuple(value(row) for _, value in keys), []).append(row)
        return [
            dict(zip((name for name, _ in keys), group, strict=True)) | {name: make(some) for name, make in columns}
            for group, some in groups.items()
        ]

    def _aggregate(self, text: str) -> tuple[str, Callable[[list[Event]], Any]]:
        parsed = re.fullmatch(r"(\w+)\((.*)\) as (\w+)", text.strip())
        if not parsed:
            raise ValueError(f"stats: {text}")
        function, argument, name = parsed.groups()
        if (function, argument) == ("count", "*"):
            return name, len
        value, aggregate = self._expression(argument), _AGGREGATES[function]

        def make(rows: list[Event]) -> Any:
            known = [found for found in map(value, rows) if found is not None]
            return aggregate(known) if known else None

        return name, make

    def _named(self, text: str) -> tuple[str, Callable[[Event], Any]]:
        expression, _, name = text.strip().rpartition(" as ")
        expression = expression or text.strip()
        return (name if " as " in text else expression), self._expression(expression)

    def _expression(self, text: str) -> Callable[[Event], Any]:
        return _Parser(self, text).parsed()

    def _value(self, path: str, row: Mapping[str, Any]) -> Any:
        """A discovered field has dots in its name; what jsonParse gave is entered with dots."""
        self.named.add(path)
        value = row[path] if path in row else _entered(row, path)
        if value is not None:
            self.resolved.add(path)
        return value

    _commands: ClassVar[dict[str, Callable[[Query, str, list[Event]], list[Event]]]] = {
        "filter": _filter, "fields": _fields, "unnest": _unnest, "sort": _sort, "limit": _limit,
    }  # fmt: skip


def _entered(row: Mapping[str, Any], path: str) -> Any:
    head, _, rest = path.partition(".")
    value: Any = row.get(head)
    for name in rest.split(".") if rest else ():
        value = value.get(name) if isinstance(value, dict) else None
    return value if rest else None


def _split(text: str, separator: str) -> list[str]:
    """At separators that stand neither in a regular expression, a text nor parentheses."""
    parts, depth, start = [], 0, 0
    for found in re.finditer(r'"[^"]*"|(?<=like )/[^/]*/|.', text, re.S):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(found[0], 0)
        if found[0] == separator and not depth:
            parts.append(text[start : found.start()].strip())
            start = found.end()
    return [*parts, text[start:].strip()]


_TOKEN = re.compile(
    r'\s*(?:(?P<text>"[^"]*")|(?P<regex>(?<=like )/[^/]*/)|(?P<number>\d+(?:\.\d+)?h?)|(?P<sign>>=|<=|!=|[>=<(),\[\]/])'
    r"|(?P<word>[@\w.]+))"
)
_AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "sum": sum, "max": max, "avg": lambda values: sum(values) / len(values),
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ispresent": lambda value: value is not None,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "jsonParse": lambda text: json.loads(text) if text.startswith("{") else None,
    "jsonStringify": lambda value: None if value is None else json.dumps(value),
    "bin": lambda hours: hours,
}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left is not None and left > right,
    "<": lambda left, right: left is not None and left < right,
}
Value = Callable[[Event], Any]


class _Parser:
    """`or` binds less than `and`, which binds less than a comparison."""

    def __init__(self, query: Query, text: str) -> None:
        self._query, self._text = query, text
        self._tokens, at = list[tuple[str, str]](), 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if not found:
                raise ValueError(f"{text}: {text[at:]!r} is not known here")
            self._tokens.append((str(found.lastgroup), found[0].strip()))
            at = found.end()

    def parsed(self) -> Value:
        value = self._any()
        if self._tokens:
            raise ValueError(f"{self._text}: {self._tokens[0][1]!r} is not known here")
        return value

    def _is_next(self, *words: str) -> bool:
        return bool(self._tokens) and self._tokens[0][1] in words

    def _take(self) -> tuple[str, str]:
        return self._tokens.pop(0)

    def _any(self) -> Value:
        left = self._all()
        while self._is_next("or"):
            self._take()
            left = _either(left, self._all())
        return left

    def _all(self) -> Value:
        left = self._compared()
        while self._is_next("and"):
            self._take()
            left = _both(left, self._compared())
        return left

    def _compared(self) -> Value:
        left = self._divided()
        if self._is_next("like"):
            self._take()
            pattern = re.compile(self._take()[1].strip("/"))
            return lambda row: bool(pattern.search(left(row) or ""))
        if self._is_next("in"):
            self._take()
            members = self._arguments("]")
            return lambda row: left(row) in [member(row) for member in members]
        if self._is_next(*_COMPARED):
            compare, right = _COMPARED[self._take()[1]], self._divided()
            return lambda row: compare(left(row), right(row))
        return left

    def _divided(self) -> Value:
        left = self._one()
        if self._is_next("/"):
            self._take()
            right = self._one()
            return lambda row: None if left(row) is None else left(row) / right(row)
        return left

    def _one(self) -> Value:
        kind, token = self._take()
        if kind == "text":
            return lambda _: token.strip('"')
        if kind == "number":
            return lambda _: token if token.endswith("h") else float(token)
        if kind == "word" and self._is_next("("):
            function, arguments = _FUNCTIONS[token], self._arguments(")")
            return lambda row: function(*(argument(row) for argument in arguments))
        if kind != "word":
            raise ValueError(f"{self._text}: {token!r} is not known here")
        self._query.named.add(token)
        return lambda row: self._query._value(token, row)

    def _arguments(self, end: str) -> list[Value]:
        self._take()
        found = [self._any()]
        while self._is_next(","):
            self._take()
            found.append(self._any())
        if not self._is_next(end):
            raise ValueError(f"{self._text}: {end!r} is missing")
        self._take()
        return found


def _either(left: Value, right: Value) -> Value:
    return lambda row: left(row) or right(row)


def _both(left: Value, right: Value) -> Value:
    return lambda row: left(row) and right(row)
