"""Label set -> interned Series: external labels, validation, bytewise order, and the encoded bytes, once per series.

Rules: remote write 1.0, "Labels" (names, order, no empty ones), and AMP's quotas for a series.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import relabel
from ..config.scalars import LABEL_NAME, METRIC_NAME, UTF8_NAME, is_label_name, is_metric_name
from ..model import InvalidSeries, Labels, PlainIntern, Series
from ..sources.names import is_legacy
from . import v1
from .plain import PlainSeries

if TYPE_CHECKING:
    from .classic import ClassicHistograms

_MAX_NAMES = 10_000
MAX_SERIES = 200_000  # about 60 MB


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """What a receiver takes; 0 means no limit. Sizes in bytes, all names and values of a series together. With
    `utf8_names` any text is a name; that is for receivers of 2.0, and before `write_relabel_configs`."""

    labels: int = 0
    label_bytes: int = 0
    utf8_names: bool = False


NO_LIMITS = SeriesLimits()
AMP_LIMITS = SeriesLimits(labels=150, label_bytes=7 * 1024)


def validated(labels: Labels, limits: SeriesLimits) -> list[tuple[bytes, bytes]]:
    """Labels -> (name, value) in UTF-8, sorted by the bytes of the name; empty values are absent labels.

    Raises InvalidSeries with the rule that is broken.
    """
    name = labels.get("__name__", "")
    metric_name, label_name = (UTF8_NAME, UTF8_NAME) if limits.utf8_names else (METRIC_NAME, LABEL_NAME)
    if not metric_name.fullmatch(name):
        raise InvalidSeries("invalid_metric_name", f"{name!r:.80} is no metric name")
    pairs = []
    for label, value in labels.items():
        if not value:
            continue
        if not label_name.fullmatch(label):
            raise InvalidSeries("invalid_label_name", f"{label!r:.80} of metric {name} is no label name")
        try:
            pairs.append((label.encode(), value.encode()))
        except UnicodeEncodeError:
            raise InvalidSeries("invalid_label_value", f"label {label} of metric {name} is not Unicode text") from None
    if limits.labels and len(pairs) > limits.labels:
        raise InvalidSeries(
            "too_many_labels", f"metric {name} has {len(pairs)} labels, the receiver takes {limits.labels}"
        )
    size = sum(len(label) + len(value) for label, value in pairs)
    if limits.label_bytes and size > limits.label_bytes:
        said = f"the labels of metric {name} have {size} bytes, the receiver takes {limits.label_bytes}"
        raise InvalidSeries("labels_too_large", said)
    pairs.sort()
    return pairs


def strings_of(series: Series) -> tuple[str, ...]:
    """The series' labels: name, value, name, value. Kept with it, each text shared by all series that have it."""
    if not series.strings:
        series.strings = tuple(map(sys.intern, v1.strings_of(series.prefix)))
    return series.strings


def has_legacy_names(series: Series) -> bool:
    """Whether the series' names are such as remote write 1.0 allows."""
    strings = strings_of(series)
    names = strings[::2]
    return all(map(is_label_name, names)) and is_metric_name(strings[2 * names.index("__name__") + 1])


def legacy_prefix(prefix: bytes, escape: Callable[[Labels], Labels]) -> bytes:
    """The encoded prefix of a series under names that remote write 1.0 allows."""
    labels = v1.labels_of(prefix)
    return prefix if is_legacy(labels) else v1.series_prefix(validated(escape(labels), NO_LIMITS))


class SeriesCache:
    """The interned series of one environment, by their encoded labels. Safe for several threads."""

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
        """Final labels of a sample -> its series; external labels fill in only what is absent."""
        if self.external:
            labels = dict(labels)
            labels |= {name: value for name, value in self.external if not labels.get(name)}
        return self.interned(self._usual_prefix(labels) or self._checked_prefix(labels))

    def _checked_prefix(self, labels: Labels) -> bytes:
        pairs = validated(labels, self.limits)
        if len(self._valid_names) < _MAX_NAMES:
            self._valid_names.update(name.decode() for name, _ in pairs)  # not those that nobody looked at: empty ones
        return v1.series_prefix(pairs)

    def _usual_prefix(self, labels: Labels) -> bytes:
        """The prefix of a series of which nothing has to be looked at: names that were valid before, no empty value,
        far from every limit. Empty for any other."""
        limits = self.limits
        if not labels.keys() <= self._valid_names or "" in labels.values():
            return b""
        if not is_metric_name(labels.get("__name__", "")):
            return b""
        try:
            encoded = v1.encoded_labels(labels)
        except UnicodeEncodeError:
            return b""
        is_long = limits.label_bytes and len(encoded) > limits.label_bytes
        return b"" if is_long or (limits.labels and len(labels) > limits.labels) else v1.prefix_of(encoded)

    def plain(self, own: Mapping[str, str]) -> PlainIntern:
        """A short way for the lines of one target, whose own labels are `own`."""
        return PlainSeries(self, own)

    def of_fields(self, fields: Sequence[bytes]) -> Series | None:
        """The series of valid labels, encoded and in order; None when they are longer than the receivers take."""
        encoded, limit = b"".join(fields), self.limits.label_bytes
        return None if limit and len(encoded) > limit else self.interned(v1.prefix_of(encoded))

    def since(self, count: int) -> list[Series]:
        """The series that came after there were `count` of them."""
        return list(itertools.islice(self._series.values(), count, None))

    def find(self, prefix: bytes) -> Series | None:
        """The series of an encoded prefix, when it is known."""
        return self._series.get(prefix)

    def marks(self) -> dict[bytes, int]:
        """Encoded prefix -> the newest timestamp handed to delivery, for whoever comes after this cache."""
        return self._marks | {prefix: series.last_ms for prefix, series in self._series.items()}

    def remember(self, marks: Mapping[bytes, int]) -> None:
        """Takes over what series had sent under another config."""
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
        """Above `max_series`, forgets the half that was seen longest ago. Returns the oldest run number that is kept
        (0 when nothing was forgotten); whoever holds series seen before it lets go of them too."""
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


class EndpointView:
    """One endpoint's own series, under its `write_relabel_configs` and its receiver's limits: each series maps to one
    of them, or to none. They remember what this endpoint has got, whatever became of it at another."""

    def __init__(
        self,
        rules: Sequence[relabel.Rule],
        limits: SeriesLimits | None,
        escape: Callable[[Labels], Labels] = dict,
        *,
        classic_histograms: bool = False,
    ) -> None:
        """`limits` is None where all series are known to keep to them. `escape` makes the names legacy of which the
        receiver would take no other. With `classic_histograms` the endpoint gets classic ones in place of native ones
        with custom buckets."""
        self._rules, self._limits, self._escape = rules, limits, escape
        self._cache = SeriesCache((), limits or NO_LIMITS)
        self._mapped: dict[Series, Series | str] = {}
        self.classic: ClassicHistograms | None = None
        if classic_histograms:
            from .classic import ClassicHistograms  # few endpoints pay for it

            self.classic = ClassicHistograms(self._own)

    def __call__(self, series: Series) -> Series | str:
        """The endpoint's series, or the reason why there is none."""
        found = self._mapped.get(series)
        if found is None:
            found = self._mapped[series] = self._map(series)
        return found

    def find(self, prefix: bytes) -> Series | None:
        """The endpoint's series of an encoded prefix, when it is known."""
        return self._cache.find(prefix)

    def marks(self) -> dict[bytes, int]:
        return self._cache.marks()

    def remember(self, marks: Mapping[bytes, int]) -> None:
        self._cache.remember(marks)

    def find_legacy(self, prefix: bytes) -> Series:
        """The endpoint's series of an encoded prefix, whose names may be such as only 2.0 allows."""
        return self._cache.interned(legacy_prefix(prefix, self._escape))

    def remember_legacy(self, marks: Mapping[bytes, int]) -> None:
        """Takes over what series had sent in 2.0."""
        self._cache.remember({legacy_prefix(prefix, self._escape): last_ms for prefix, last_ms in marks.items()})

    def _map(self, series: Series) -> Series | str:
        if self._limits is None and not self._rules:
            return self._cache.interned(series.prefix)
        labels = relabel.relabel(v1.labels_of(series.prefix), self._rules)
        return self._own(labels) if labels else "write_relabel"

    def _own(self, labels: Labels) -> Series | str:
        limits = self._limits or NO_LIMITS
        if not limits.utf8_names and not is_legacy(labels):
            labels = dict(self._escape(labels))
        try:
            return self._cache.interned(v1.series_prefix(validated(labels, limits)))
        except InvalidSeries as error:
            return error.reason

    def prune(self, oldest_kept: int) -> None:
        """Lets go of series last seen before the run `oldest_kept`."""
        self._mapped = {series: mapped for series, mapped in self._mapped.items() if series.seen >= oldest_kept}
        mapped = {mapped for mapped in self._mapped.values() if isinstance(mapped, Series)}
        classic = self.classic.prune(mapped) if self.classic else ()
        self._cache.keep({series.prefix for series in (*mapped, *classic)})
