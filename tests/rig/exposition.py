"""Pages of every format through their readers as a scrape does it, cold or with a cache, and what they come to."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lambda_remote_write.exposition.line_parser import LineReader, ParseOptions
from lambda_remote_write.exposition.openmetrics_parser import OpenMetricsReader
from lambda_remote_write.exposition.page import BadPage, CacheEntry, ScrapeCache
from lambda_remote_write.exposition.protobuf_parser import ProtobufReader
from lambda_remote_write.exposition.text_parser import TextReader
from lambda_remote_write.model.samples import Exemplar, Histogram, Series

Reader = Callable[..., LineReader | ProtobufReader]
READERS: dict[str, Reader] = {"text": TextReader, "openmetrics": OpenMetricsReader, "protobuf": ProtobufReader}
Labels = tuple[tuple[str, str], ...]


class Labelled(Series):
    """A series that says which labels it stands for."""

    __slots__ = ("labels",)

    def __init__(self, labels: dict[str, str]) -> None:
        super().__init__(b"")
        self.labels: Labels = tuple(sorted(labels.items()))


@dataclass(frozen=True, slots=True)
class Read:
    """A page: samples in their order, as labels, value (to the last bit) and milliseconds or None, those with times of
    their own after the others; exemplars; how many samples it had; or why it is refused."""

    samples: tuple[tuple[Labels, str, int | None], ...] = ()
    exemplars: tuple[tuple[Labels, Exemplar], ...] = ()
    starts_ms: frozenset[tuple[Labels, int]] = frozenset()
    scraped: int = 0
    error: str = ""

    @property
    def is_bad(self) -> bool:
        return bool(self.error)


@dataclass(slots=True)
class Target:
    """What an environment remembers of one target, page after page. Metrics whose names begin with `drops` are dropped
    by relabelling; `resolved` counts the looks at new labels."""

    format: str
    parse_options: ParseOptions = field(default_factory=lambda: ParseOptions(exemplars=True, native_histograms=True))
    cache: ScrapeCache = field(default_factory=ScrapeCache)
    drops: str = ""
    resolved: int = 0
    _series: dict[Labels, Labelled] = field(default_factory=dict)

    def read(self, *pieces: bytes) -> Read:
        reader = READERS[self.format](self.cache, self.resolve, self.parse_options)
        try:
            for piece in pieces:
                reader.feed(piece)
            page = reader.close()
        except BadPage as error:
            return Read(error=str(error))
        rows = [*zip(page.series, page.values, [None] * len(page.series), strict=True), *page.stamped]
        return Read(
            samples=tuple((labels_of(series), exact(value), stamp) for series, value, stamp in rows),
            exemplars=tuple((labels_of(series), one) for series, one in page.exemplars),
            starts_ms=frozenset((labels_of(series), start) for series, start in page.starts_ms.items()),
            scraped=page.scraped,
        )

    def resolve(self, labels: dict[str, str]) -> CacheEntry:
        """What a scrape's own look at new labels comes to; called once for each identity."""
        self.resolved += 1
        labels = {name: value for name, value in labels.items() if value}
        if "__name__" not in labels or "" in labels:
            raise BadPage("a sample without a metric name, or a label without a name")
        if self.drops and labels["__name__"].startswith(self.drops):
            return False
        made = Labelled(labels)
        return self._series.setdefault(made.labels, made)

    def families(self) -> dict[str, tuple[str, str, str]]:
        """Type, help and unit of each metric family."""
        return {name: (one.type, one.help, one.unit) for name, one in self.cache.families.items()}


def labels_of(series: Any) -> Labels:
    labels: Labels = series.labels
    return labels


def exact(value: float | Histogram) -> str:
    return repr(value) if isinstance(value, Histogram) else bits(value)


def bits(value: float) -> str:
    return struct.pack(">d", value).hex()


def cold(format_name: str, *pieces: bytes) -> Read:
    return Target(format_name).read(*pieces)


def pieces(page: bytes, size: int = 65_536) -> list[bytes]:
    """A page in pieces of so many bytes, as an answer comes."""
    return [page[start : start + size] for start in range(0, len(page), size)]


def cut(page: bytes, places: Iterable[int]) -> list[bytes]:
    """A page cut at these places."""
    ends = [0, *sorted(place % (len(page) + 1) for place in places), len(page)]
    return [page[start:end] for start, end in itertools.pairwise(ends)]


def shown(read: Read) -> list[str]:
    """Samples as lines: `name{label='value'} value @milliseconds`."""
    lines = []
    for labels, value, stamp in read.samples:
        named = dict(labels)
        name = named.pop("__name__")
        inner = ",".join(f"{label}={text!r}" for label, text in named.items())
        number = value if value.startswith("Histogram") else repr(struct.unpack(">d", bytes.fromhex(value))[0])
        lines.append(f"{name}{{{inner}}} {number}" + ("" if stamp is None else f" @{stamp}"))
    return lines
