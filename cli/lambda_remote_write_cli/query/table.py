"""A query's result as a table on a terminal, and as lines with tabs elsewhere."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambda_remote_write.config.scalars import print_duration
from lambda_remote_write.exposition.writer import series_text
from lambda_remote_write.report.printable import printable

from ..terminal import Console, clock
from .api import Found, points, series_key

_NARROWEST = 60  # columns in which a row of the table can still be read
_BRACKETS = (
    ("(", "]"),
    ("[", ")"),
    ("(", ")"),
    ("[", "]"),
)  # which ends a bucket includes (Prometheus, "HTTP API", native histograms)


@dataclass(frozen=True, slots=True)
class Row:
    """A sample. `at` is when it was taken, None if that is not known; `now` counts its age."""

    series: str
    value: str
    at: float | None
    now: float

    def cells(self) -> list[str]:
        if self.at is None:
            return [self.series, self.value, "", ""]
        age_ms = round(self.now - self.at) * 1000
        age = print_duration(abs(age_ms))
        return [self.series, self.value, _clock(self.at), f"-{age}" if age_ms < 0 else age]


def rows(found: Found, now: float, times: Mapping[str, float] | None) -> Iterator[Row]:
    """`times` has the times of the samples of a selector, by `series_key`; without it, those of the evaluation."""
    if found.kind in ("scalar", "string"):
        at, value = found.result
        yield Row(found.kind, str(value), float(at), now)
        return
    for series in found.result:
        labels = dict(sorted(series["metric"].items()))
        name = series_text(labels) if "__name__" in labels else _without_name(labels)
        for at, value in points(series):
            sampled = float(at) if times is None else times.get(series_key(series["metric"]))
            yield Row(name, _value(value), sampled, now)


def show(table: Sequence[Row], console: Console) -> None:
    """Series, value, time and age; on a terminal in columns, with a head."""
    if not table:
        return
    if not console.is_terminal or console.width < _NARROWEST:
        for row in table:
            builtins.print("\t".join(map(printable, row.cells())), file=console.file)
        return
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("series", overflow="fold")
    shown.add_column("value", justify="right", overflow="fold")
    shown.add_column("time", no_wrap=True)
    shown.add_column("age", justify="right", no_wrap=True)
    for row in table:
        shown.add_row(*(Text(printable(cell)) for cell in row.cells()))
    console.print(shown)


def _without_name(labels: Mapping[str, str]) -> str:
    return "{" + series_text({"__name__": "x", **labels}).removeprefix("x").strip("{}") + "}"


def _value(value: Any) -> str:
    return _histogram(value) if isinstance(value, dict) else str(value)


def _histogram(value: Mapping[str, Any]) -> str:
    """As promtool prints a native histogram: count, sum, and the buckets that are not empty."""
    parts = [f"{name}:{value.get(name, '?')}" for name in ("count", "sum")]
    for boundaries, low, high, count in value.get("buckets") or ():
        left, right = _BRACKETS[int(boundaries)] if int(boundaries) < len(_BRACKETS) else ("(", ")")
        parts.append(f"{left}{low},{high}{right}:{count}")
    return f"{{{', '.join(parts)}}}"


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return clock(milliseconds, "milliseconds" if milliseconds % 1000 else "seconds")
