"""The protobuf format: length-delimited MetricFamily messages, the only format that carries native histograms.

Rules: Prometheus model/textparse/protobufparse.go. A timestamp of zero is none; a float count above zero takes the
place of the integer one; a histogram is native when it has spans or a zero bucket.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from ..model import histogram_buckets
from ..model.samples import Exemplar, Histogram, Series, Value
from . import nhcb
from .labels import label_dict
from .line_parser import ParseOptions, format_float
from .page import NO_TIME, BadPage, CacheEntry, Page, Resolve, ScrapeCache

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from .generated import metrics_pb2

_TYPES = ("counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram")  # by number
_GAUGE_RESET_HINT = 3
_MAX_MESSAGE_BYTES = 1 << 26  # held in memory until the message ends
_BETWEEN = "\udfff"  # half a surrogate pair, which no text of a page contains


class _Field(NamedTuple):
    """One series of a metric: the ending of its name, a label of its own, its value and the exemplars behind it."""

    ending: str
    label: tuple[str, str] | None
    value: Value
    exemplars: Sequence[metrics_pb2.Exemplar] = ()
    is_classic: bool = False


class ProtobufReader:
    """Parses one page. `feed` it the page in pieces, then `close` it."""

    def __init__(self, cache: ScrapeCache, resolve: Resolve, parse_options: ParseOptions) -> None:
        self._cache, self._resolve, self._parse_options = cache, resolve, parse_options
        self._rest = bytearray()
        self._over_limit = ""  # of native_histogram_bucket_limit; the page is still read to its end for its counts
        self.page = Page()

    def feed(self, piece: bytes) -> None:
        """The next piece of the page. Raises BadPage."""
        self._rest += piece
        at = 0
        while (end := _message_end(self._rest, at)) is not None and end[1] <= len(self._rest):
            self._take(bytes(self._rest[end[0] : end[1]]))
            at = end[1]
        del self._rest[:at]
        if len(self._rest) > _MAX_MESSAGE_BYTES:
            raise BadPage(f"a message of more than {_MAX_MESSAGE_BYTES} bytes")

    def close(self) -> Page:
        if self._rest:
            raise BadPage("the page ends within a message")
        if self._over_limit:
            raise BadPage(self._over_limit)
        return self.page

    def spellings(self, series: Collection[Series]) -> int:
        """In how many ways the page writes these series."""
        return sum(entry in series for entry in self._cache.entries.values())

    def _take(self, message: bytes) -> None:
        from .generated import metrics_pb2  # text pages do not load protobuf

        try:
            family = metrics_pb2.MetricFamily.FromString(message)
        except (DecodeError, UnicodeDecodeError) as error:
            raise BadPage(f"not a MetricFamily message ({str(error)[:100]})") from None
        if not family.metric:
            return
        if not family.name:
            raise BadPage("a metric family without a name")
        if not 0 <= family.type < len(_TYPES):
            raise BadPage(f"metric {family.name:.50}: {family.type} is not a metric type")
        kind = _TYPES[family.type]
        for field, text in (("type", kind), ("help", family.help), ("unit", family.unit)):
            self._cache.set_metadata(family.name, field, text)
        for metric in family.metric:
            self._metric(family.name, kind, metric)
        if self.page.parts:
            nhcb.convert(self.page, self._cache, is_strict=True)

    def _metric(self, name: str, kind: str, metric: metrics_pb2.Metric) -> None:
        start = _start_ms(kind, metric)
        for field in self._fields(kind, metric):
            self.page.scraped += 1
            pairs = [("__name__", f"{name}{field.ending}"), *((label.name, label.value) for label in metric.label)]
            family = name if field.is_classic else ""
            hint = _GAUGE_RESET_HINT if kind == "gaugehistogram" else 0
            entry = self._entry([*pairs, field.label] if field.label else pairs, family, hint)
            has_time = metric.timestamp_ms and self._parse_options.honor_timestamps
            value = field.value
            if isinstance(value, Histogram) and isinstance(entry, Series):
                value = self._fitted(value)
            self.page.add(entry, value, metric.timestamp_ms if has_time else NO_TIME)
            if not isinstance(entry, Series):
                continue
            if start and self._parse_options.starts:
                self.page.starts_ms[entry] = start
            if self._parse_options.exemplars:
                found = sorted(map(_exemplar, field.exemplars), key=lambda one: one.timestamp_ms)
                self.page.exemplars += [(entry, one) for one in found]

    def _entry(self, pairs: Sequence[tuple[str, str]], classic_family: str, reset_hint: int) -> CacheEntry:
        """The entry of these labels. `classic_family` is the name of their classic histogram, if any, and `reset_hint`
        that of the native one which it may become."""
        identity = _BETWEEN.join(part for pair in sorted(pairs) for part in pair).encode("utf-8", "surrogatepass")
        entry = self._cache.entries.get(identity)
        if entry is None:
            labels = label_dict(pairs)
            part, parse_options = None, self._parse_options
            if classic_family and parse_options.custom_buckets:
                classic = parse_options.classic_histograms
                part = nhcb.part_of(
                    labels, classic_family, self._cache, self._resolve, classic=classic, reset_hint=reset_hint
                )
            entry = self._cache.entries[identity] = self._resolve(labels) if part is None else part
        return entry

    def _fields(self, kind: str, metric: metrics_pb2.Metric) -> Iterator[_Field]:
        if kind == "counter":
            counter = metric.counter
            yield _Field("", None, counter.value, [counter.exemplar] if counter.HasField("exemplar") else [])
        elif kind == "gauge":
            yield _Field("", None, metric.gauge.value)
        elif kind == "unknown":
            yield _Field("", None, metric.untyped.value)
        elif kind == "summary":
            yield from _summary(metric.summary)
        else:
            one = metric.histogram
            has_buckets = one.positive_span or one.negative_span or one.zero_threshold > 0 or one.zero_count > 0
            is_native = self._parse_options.native_histograms and bool(has_buckets)
            if is_native:
                yield _native(one, is_gauge=kind == "gaugehistogram")
            if not is_native or (self._parse_options.classic_histograms and one.bucket):
                for field in _classic(one):  # a native one is not converted
                    yield field._replace(is_classic=not is_native)

    def _fitted(self, one: Histogram) -> Histogram:
        """A native histogram, reduced to the job's limits. Raises BadPage."""
        try:
            histogram_buckets.check(one)
        except histogram_buckets.BadHistogram as error:
            raise BadPage(f"a native histogram: {error}") from None
        try:
            return histogram_buckets.within(
                histogram_buckets.compact(one), self._parse_options.max_schema, self._parse_options.max_buckets
            )
        except histogram_buckets.BadHistogram as error:
            self._over_limit = self._over_limit or f"a native histogram: {error}"
            return one


def _message_end(data: bytearray, at: int) -> tuple[int, int] | None:
    """Where the message at `at` begins and ends; None when its length is not complete yet."""
    length, shift = 0, 0
    while at < len(data):
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return at, at + length
        if shift > 63:
            raise BadPage("the length of a message is not a varint")
    return None


def _summary(summary: metrics_pb2.Summary) -> Iterator[_Field]:
    yield _Field("_count", None, float(summary.sample_count))
    yield _Field("_sum", None, summary.sample_sum)
    for one in summary.quantile:
        yield _Field("", ("quantile", format_float(one.quantile)), one.value)


def _classic(histogram: metrics_pb2.Histogram) -> Iterator[_Field]:
    count = histogram.sample_count_float or float(histogram.sample_count)
    yield _Field("_count", None, count)
    yield _Field("_sum", None, histogram.sample_sum)
    for bucket in histogram.bucket:
        value = bucket.cumulative_count_float or float(bucket.cumulative_count)
        exemplars = [bucket.exemplar] if bucket.HasField("exemplar") else []
        yield _Field("_bucket", ("le", format_float(bucket.upper_bound)), value, exemplars)
        if bucket.upper_bound == math.inf:
            return
    yield _Field("_bucket", ("le", "+Inf"), count)


def _is_float(histogram: metrics_pb2.Histogram) -> bool:
    """Prometheus model/textparse/protobufparse.go, isFloatHistogram: the buckets decide where all counts are zero."""
    has_counts = histogram.sample_count_float > 0 or histogram.zero_count_float > 0
    return bool(has_counts or histogram.positive_count or histogram.negative_count)


def _native(histogram: metrics_pb2.Histogram, *, is_gauge: bool) -> _Field:
    is_float = _is_float(histogram)
    found = Histogram(
        count=histogram.sample_count_float if is_float else histogram.sample_count,
        sum=histogram.sample_sum,
        schema=histogram.schema,
        zero_threshold=histogram.zero_threshold,
        zero_count=histogram.zero_count_float if is_float else histogram.zero_count,
        negative_spans=tuple((span.offset, span.length) for span in histogram.negative_span),
        negative_buckets=tuple(histogram.negative_count if is_float else histogram.negative_delta),
        positive_spans=tuple((span.offset, span.length) for span in histogram.positive_span),
        positive_buckets=tuple(histogram.positive_count if is_float else histogram.positive_delta),
        is_float=is_float,
        reset_hint=_GAUGE_RESET_HINT if is_gauge else 0,
    )
    exemplars = histogram.exemplars or [one.exemplar for one in histogram.bucket if one.HasField("exemplar")]
    return _Field("", None, found, [one for one in exemplars if one.HasField("timestamp")])


def _start_ms(kind: str, metric: metrics_pb2.Metric) -> int:
    """The start time of this metric in milliseconds; 0 when the page has none."""
    if kind == "counter" and metric.counter.HasField("created_timestamp"):
        return _milliseconds(metric.counter.created_timestamp)
    if kind == "summary" and metric.summary.HasField("created_timestamp"):
        return _milliseconds(metric.summary.created_timestamp)
    if metric.histogram.HasField("created_timestamp"):
        return _milliseconds(metric.histogram.created_timestamp)
    return 0


def _milliseconds(stamp: Timestamp) -> int:
    return int(stamp.seconds) * 1000 + int(stamp.nanos) // 1_000_000


def _exemplar(one: metrics_pb2.Exemplar) -> Exemplar:
    stamp = _milliseconds(one.timestamp) if one.HasField("timestamp") else NO_TIME
    return Exemplar(tuple(sorted((label.name, label.value) for label in one.label)), one.value, stamp)
