"""Pages of every format through their readers, and what they come to in words."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pusher.model import Exemplar, Histogram
from pusher.sources.exposition.lines import LineReader, Wishes, canonical_float
from pusher.sources.exposition.openmetrics import OpenMetricsReader
from pusher.sources.exposition.page import BadPage, Known, Memory
from pusher.sources.exposition.protobuf import ProtobufReader
from pusher.sources.exposition.text import TextReader
from tests.exposition.reading import Labelled

Reader = Callable[..., LineReader | ProtobufReader]
READERS: dict[str, Reader] = {"text": TextReader, "openmetrics": OpenMetricsReader, "protobuf": ProtobufReader}
Labels = tuple[tuple[str, str], ...]
_NUMBERS = ("le", "quantile")


@dataclass(frozen=True, slots=True)
class Read:
    """A page: samples in their order, as labels, value (to the last bit) and milliseconds or None, those with times of
    their own after the others; exemplars; how many samples it had; or why it is refused."""

    samples: tuple[tuple[Labels, str, int | None], ...] = ()
    exemplars: tuple[tuple[Labels, Exemplar], ...] = ()
    scraped: int = 0
    error: str = ""

    @property
    def is_bad(self) -> bool:
        return bool(self.error)


@dataclass(slots=True)
class Target:
    """What an environment remembers of one target, page after page. `normalises` takes every le and quantile for a
    number, whatever TYPE stands before it."""

    format: str
    wishes: Wishes = field(default_factory=lambda: Wishes(exemplars=True, native_histograms=True))
    memory: Memory = field(default_factory=Memory)
    normalises: bool = False
    _series: dict[Labels, Labelled] = field(default_factory=dict)

    def read(self, *pieces: bytes) -> Read:
        reader = READERS[self.format](self.memory, self._resolve, self.wishes)
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
            scraped=page.scraped,
        )

    def _resolve(self, labels: dict[str, str]) -> Known:
        if self.normalises:
            labels = {name: canonical_float(value) if name in _NUMBERS else value for name, value in labels.items()}
        labels = {name: value for name, value in labels.items() if value}
        if "__name__" not in labels or "" in labels:
            raise BadPage("a sample without a metric name, or a label without a name")
        made = Labelled(labels)
        return self._series.setdefault(made.labels, made)


def labels_of(series: Any) -> Labels:
    labels: Labels = series.labels
    return labels


def exact(value: float | Histogram) -> str:
    return repr(value) if isinstance(value, Histogram) else bits(value)


def bits(value: float) -> str:
    return struct.pack(">d", value).hex()


def cold(format_name: str, *pieces: bytes) -> Read:
    return Target(format_name).read(*pieces)


def cut(page: bytes, places: Iterable[int]) -> list[bytes]:
    """A page in pieces."""
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


def ids(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [row[0] for row in rows]
