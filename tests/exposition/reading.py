"""Reads a page the way a scrape does, cold or with a memory, in pieces of any size."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from pusher.model import Histogram, Series
from pusher.sources.exposition.lines import LineReader, Wishes
from pusher.sources.exposition.openmetrics import OpenMetricsReader
from pusher.sources.exposition.page import BadPage, Known, Memory
from pusher.sources.exposition.text import TextReader

READERS: dict[str, type[LineReader]] = {"text": TextReader, "openmetrics": OpenMetricsReader}
ALL = Wishes(exemplars=True, starts=True)


class Labelled(Series):
    """A series that says which labels it stands for."""

    __slots__ = ("labels",)

    def __init__(self, labels: dict[str, str]) -> None:
        super().__init__(b"")
        self.labels = tuple(sorted(labels.items()))


class Target:
    """A target's memory, and the series that its labels stand for; those with `drop` in their name are dropped."""

    def __init__(self) -> None:
        self.memory = Memory()
        self._series: dict[tuple[tuple[str, str], ...], Labelled] = {}

    def resolve(self, labels: dict[str, str]) -> Known:
        if "drop" in labels["__name__"]:
            return False
        made = Labelled(labels)
        return self._series.setdefault(made.labels, made)

    def read(self, format_name: str, page: bytes, piece: int = 65_536, wishes: Wishes = ALL) -> Read | str:
        """What the page says, or why it is refused."""
        reader = READERS[format_name](self.memory, self.resolve, wishes)
        try:
            for start in range(0, len(page), piece):
                reader.feed(page[start : start + piece])
            found = reader.close()
        except BadPage as error:
            return str(error)
        return Read(
            samples=tuple((_labels(one), _bits(value)) for one, value in zip(found.series, found.values, strict=True)),
            stamped=tuple((_labels(one), _bits(value), stamp) for one, value, stamp in found.stamped),
            exemplars=tuple((_labels(one), example) for one, example in found.exemplars),
            starts_ms=frozenset((_labels(one), start) for one, start in found.starts_ms.items()),
            scraped=found.scraped,
        )

    def families(self) -> dict[str, tuple[str, str, str]]:
        return {name: (one.type, one.help, one.unit) for name, one in self.memory.families.items()}


@dataclass(frozen=True)
class Read:
    """A page's samples as labels and the bits of their values."""

    samples: tuple[tuple[Any, int], ...]
    stamped: tuple[tuple[Any, int, int], ...]
    exemplars: tuple[Any, ...]
    starts_ms: frozenset[Any]
    scraped: int


def _labels(series: Series) -> tuple[tuple[str, str], ...]:
    assert isinstance(series, Labelled)
    return series.labels


def _bits(value: float | Histogram) -> int:
    assert isinstance(value, float)
    found: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return found
