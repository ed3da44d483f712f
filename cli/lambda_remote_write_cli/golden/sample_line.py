"""A sample as a line: series, value and milliseconds, as in the Prometheus text format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lambda_remote_write.exposition.writer import number, series_text
from lambda_remote_write.model.samples import Histogram, Value

_LABEL = re.compile(r'\s*(?:([A-Za-z_][\w]*)|"((?:[^"\\]|\\.)*)")\s*(?:=\s*"((?:[^"\\]|\\.)*)")?\s*(,|\})')
_NAME, _BRACE = re.compile(r"\s*([A-Za-z_:][\w:]*)"), re.compile(r"\s*\{")
_REST = re.compile(r"\s*(\{\{.*\}\}|\S+)(?:\s+(-?\d+))?\s*")
_ESCAPED = re.compile(r"\\(.)")
_EXPECTED = 'a line is NAME{label="value"} VALUE MILLISECONDS'


@dataclass(frozen=True, slots=True)
class SampleLine:
    """`series` is written with its labels in order. Without `timestamp_ms` a line stands for any time."""

    series: str
    value: str
    timestamp_ms: int | None = None

    def __str__(self) -> str:
        time = "" if self.timestamp_ms is None else f" {self.timestamp_ms}"
        return f"{self.series} {self.value}{time}"

    @property
    def labels(self) -> dict[str, str]:
        return _series(self.series)[0]


def line_of(labels: Mapping[str, str], value: Value, timestamp_ms: int) -> SampleLine:
    return SampleLine(series_text(_ordered(labels)), _written(value), timestamp_ms)


def parse_line(text: str) -> SampleLine:
    """Raises ValueError."""
    labels, end = _series(text)
    rest = _REST.fullmatch(text, end)
    if rest is None:
        raise ValueError(_EXPECTED)
    value = rest[1] if rest[1].startswith("{{") else _written(_float(rest[1]))
    return SampleLine(series_text(_ordered(labels)), value, int(rest[2]) if rest[2] else None)


def _series(text: str) -> tuple[dict[str, str], int]:
    """The labels of a series, and where it ends. Raises ValueError."""
    metric, position = _NAME.match(text), 0
    labels: dict[str, str] = {}
    if metric is not None:
        labels["__name__"], position = metric[1], metric.end()
    brace = _BRACE.match(text, position)
    is_open, position = brace is not None, brace.end() if brace else position
    if is_open and re.match(r"\s*\}", text[position:]):
        position, is_open = text.index("}", position) + 1, False
    while is_open:
        label = _LABEL.match(text, position)
        if label is None:
            raise ValueError(_EXPECTED)
        name = label[1] if label[1] is not None else _plain(label[2])
        if label[3] is None:
            name, value = "__name__", name
        else:
            value = _plain(label[3])
        labels[name] = value
        position, is_open = label.end(), label[4] != "}"
        if is_open and re.match(r"\s*\}", text[position:]):  # a comma at the end
            position, is_open = text.index("}", position) + 1, False
    if "__name__" not in labels:
        raise ValueError(f"it has no metric name: {_EXPECTED}")
    return labels, position


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text)


def _ordered(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(labels.items()))


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no value: {_EXPECTED}") from None


def _written(value: Value) -> str:
    return _histogram(value) if isinstance(value, Histogram) else number(value).removesuffix(".0")


def _histogram(value: Histogram) -> str:
    """As promtool's `test rules` writes a native histogram, with its spans."""
    parts = {
        "schema": value.schema,
        "count": number(value.count).removesuffix(".0"),
        "sum": number(value.sum).removesuffix(".0"),
        "z_bucket": number(value.zero_count).removesuffix(".0"),
        "z_bucket_w": number(value.zero_threshold),
        "offsets": _list(part for span in value.positive_spans for part in span),
        "buckets": _list(value.positive_buckets),
        "n_offsets": _list(part for span in value.negative_spans for part in span),
        "n_buckets": _list(value.negative_buckets),
        "custom_values": _list(value.custom_values),
    }
    return "{{" + " ".join(f"{name}:{part}" for name, part in parts.items() if part != "[]") + "}}"


def _list(numbers: Iterable[float]) -> str:
    return "[" + " ".join(number(float(one)).removesuffix(".0") for one in numbers) + "]"
