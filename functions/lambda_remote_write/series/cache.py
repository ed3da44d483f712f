"""Label set -> interned Series: external labels, validation, bytewise order, and the encoded bytes, once per series.

Rules: remote write 1.0, "Labels" (names, order, no empty ones), and AMP's quotas for a series.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..config.scalars import METRIC_NAME, is_label_name, is_metric_name
from ..model.drop_reasons import DropReason
from ..model.samples import FastIntern, InvalidSeries, Labels, Series
from ..relabel import LABEL_NAME, UTF8_NAME
from . import label_codec
from .fast_intern import TargetInterner
from .name_escaping import is_legacy

_MAX_NAMES = 10_000
MAX_SERIES = 200_000  # about 60 MB


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """What a receiver accepts; 0 means no limit. Sizes in bytes, all names and values of a series together. With
    `utf8_names` any text is a name: for remote write 2.0, and before `write_relabel_configs`."""

    labels: int = 0
    label_bytes: int = 0
    utf8_names: bool = False


NO_LIMITS = SeriesLimits()
AMP_LIMITS = SeriesLimits(labels=150, label_bytes=7 * 1024)


def validated(labels: Labels, limits: SeriesLimits) -> list[tuple[bytes, bytes]]:
    """Labels -> (name, value) in UTF-8, sorted by the bytes of the name; empty values are absent labels.

    Raises InvalidSeries with the rule that the labels break.
    """
    name = labels.get("__name__", "")
    metric_name, label_name = (UTF8_NAME, UTF8_NAME) if limits.utf8_names else (METRIC_NAME, LABEL_NAME)
    if not metric_name.fullmatch(name):
        raise InvalidSeries(DropReason.INVALID_METRIC_NAME, f"{name!r:.80} is not a metric name")
    pairs = []
    for label, value in labels.items():
        if not value:
            continue
        if not label_name.fullmatch(label):
            raise InvalidSeries(DropReason.INVALID_LABEL_NAME, f"{label!r:.80} of metric {name} is not a label name")
        try:
            pairs.append((label.encode(), value.encode()))
        except UnicodeEncodeError:
            detail = f"label {label} of metric {name} is not Unicode text"
            raise InvalidSeries(DropReason.INVALID_LABEL_VALUE, detail) from None
    if limits.labels and len(pairs) > limits.labels:
        detail = f"metric {name} has {len(pairs)} labels, the receiver accepts {limits.labels}"
        raise InvalidSeries(DropReason.TOO_MANY_LABELS, detail)
    size = sum(len(label) + len(value) for label, value in pairs)
    if limits.label_bytes and size > limits.label_bytes:
        detail = f"the labels of metric {name} have {size} bytes, the receiver accepts {limits.label_bytes}"
        raise InvalidSeries(DropReason.LABELS_TOO_LARGE, detail)
    pairs.sort()
    return pairs


def strings_of(series: Series) -> tuple[str, ...]:
    """The series' labels: name, value, name, value. The series keeps them; equal texts are shared."""
    if not series.strings:
        series.strings = tuple(map(sys.intern, label_codec.strings_of(series.prefix)))
    return series.strings


def has_legacy_names(series: Series) -> bool:
    """Whether remote write 1.0 allows the series' names."""
    strings = strings_of(series)
    names = strings[::2]
    return all(map(is_label_name, names)) and is_metric_name(strings[2 * names.index("__name__") + 1])


def legacy_prefix(prefix: bytes, escape: Callable[[Labels], Labels]) -> bytes:
    """The encoded prefix of a series under names that remote write 1.0 allows."""
    labels = label_codec.labels_of(prefix)
    return prefix if is_legacy(labels) else label_codec.series_prefix(validated(escape(labels), NO_LIMITS))


class SeriesCache:
    """The interned series of one environment, by their encoded labels. Thread-safe."""

    def __init__(self, external_labels: Sequence[tuple[str, str]], limits: SeriesLimits) -> None:
        self.external = external_labels
        self.limits = limits
        self._series: dict[bytes, Series] = {}
        self._marks: dict[bytes, int] = {}
        self._valid_names: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._series)

    def intern(self, labels: Labels) -> Series:
        """Final labels of a sample -> its series. External labels are added where the label is absent."""
        if self.external:
            labels = dict(labels)
            labels |= {name: value for name, value in self.external if not labels.get(name)}
        return self.interned(self._fast_prefix(labels) or self._slow_prefix(labels))

    def _slow_prefix(self, labels: Labels) -> bytes:
        pairs = validated(labels, self.limits)
        if len(self._valid_names) < _MAX_NAMES:
            self._valid_names.update(name.decode() for name, _ in pairs)  # without empty ones, which are not validated
        return label_codec.series_prefix(pairs)

    def _fast_prefix(self, labels: Labels) -> bytes:
        """The prefix of labels that need no validation: names known as valid, no empty value, within every limit. Empty
        for others."""
        limits = self.limits
        if not labels.keys() <= self._valid_names or "" in labels.values():
            return b""
        if not is_metric_name(labels.get("__name__", "")):
            return b""
        try:
            encoded = label_codec.encoded_labels(labels)
        except UnicodeEncodeError:
            return b""
        is_long = limits.label_bytes and len(encoded) > limits.label_bytes
        return b"" if is_long or (limits.labels and len(labels) > limits.labels) else label_codec.prefix_of(encoded)

    def fast_intern(self, own: Mapping[str, str]) -> FastIntern:
        """A fast path for the lines of one target with the labels `own`."""
        return TargetInterner(self.of_fields, own, self.external, self.limits.labels)

    def of_fields(self, fields: Sequence[bytes]) -> Series | None:
        """The series of valid labels, encoded and sorted; None when they are above the limit."""
        encoded, limit = b"".join(fields), self.limits.label_bytes
        return None if limit and len(encoded) > limit else self.interned(label_codec.prefix_of(encoded))

    def since(self, count: int) -> list[Series]:
        """The series added after the first `count`."""
        return list(itertools.islice(self._series.values(), count, None))

    def find(self, prefix: bytes) -> Series | None:
        """The series of an encoded prefix, None if it is not known."""
        return self._series.get(prefix)

    def marks(self) -> dict[bytes, int]:
        """Encoded prefix -> the newest timestamp handed to delivery, for the cache that replaces this one."""
        return self._marks | {prefix: series.last_ms for prefix, series in self._series.items()}

    def remember(self, marks: Mapping[bytes, int]) -> None:
        """Takes over the newest timestamps of another config's cache."""
        self._marks = dict(marks)
        for prefix, series in self._series.items():
            series.last_ms = max(series.last_ms, marks.get(prefix, series.last_ms))

    def interned(self, prefix: bytes) -> Series:
        with self._lock:
            series = self._series.get(prefix)
            if series is None:
                series = self._series[prefix] = Series(prefix)
                if self._marks:
                    series.last_ms = self._marks.pop(prefix, series.last_ms)
            return series

    def prune(self, max_series: int = MAX_SERIES) -> int:
        """Above `max_series`, forgets the half that was seen longest ago. Returns the oldest run number that is kept (0
        if nothing was forgotten): other holders must forget series seen before it."""
        if len(self._series) <= max_series:
            return 0
        runs = sorted(series.seen for series in self._series.values())
        oldest_kept = runs[len(runs) // 2]
        with self._lock:
            self._series = {prefix: series for prefix, series in self._series.items() if series.seen >= oldest_kept}
        return oldest_kept

    def keep(self, prefixes: set[bytes]) -> None:
        with self._lock:
            self._series = {prefix: series for prefix, series in self._series.items() if prefix in prefixes}
