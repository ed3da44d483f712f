"""Native histograms: their bytes, the same in both versions, and what a receiver accepts."""

from __future__ import annotations

from ...model.drop_reasons import DropReason
from ...model.histogram_buckets import coarser
from ...model.samples import Histogram
from ...series.label_codec import double, eight_bytes, integer, message, packed_doubles, packed_sint64, varint, zigzag

CUSTOM_BUCKETS = -53  # the schema whose bucket boundaries are listed
AMP_SCHEMAS = range(-4, 9)
AMP_MAX_BUCKETS = 200
AMP_MAX_BYTES = 2048

Spans = tuple[tuple[int, int], ...]
Buckets = tuple[float, ...]


class InvalidHistogram(Exception):
    """The receiver does not accept the histogram. `reason` is the key under which the drop is counted."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def encode(one: Histogram, timestamp_ms: int, start_ms: int = 0) -> bytes:
    """A Histogram message. In version 1 `start_ms` is 0, because it has no such field."""
    count, zero_count, negative, positive = _floats(one) if one.is_float else _integers(one)
    return b"".join(
        (
            count,
            double(b"\x19", one.sum),
            b"\x20" + zigzag(one.schema) if one.schema else b"",
            double(b"\x29", one.zero_threshold),
            zero_count,
            _encode_spans(b"\x42", one.negative_spans),
            negative,
            _encode_spans(b"\x5a", one.positive_spans),
            positive,
            integer(b"\x70", one.reset_hint),
            integer(b"\x78", timestamp_ms),
            packed_doubles(b"\x82\x01", one.custom_values),
            integer(b"\x88\x01", start_ms),
        )
    )


# Counts of zero are written too, because the field that is present tells the kind of the histogram.


def _integers(one: Histogram) -> tuple[bytes, bytes, bytes, bytes]:
    """The fields whose type depends on the kind of histogram: count, zero count, negative and positive buckets."""
    return (
        b"\x08" + varint(int(one.count)),
        b"\x30" + varint(int(one.zero_count)),
        packed_sint64(b"\x4a", one.negative_buckets),
        packed_sint64(b"\x62", one.positive_buckets),
    )


def _floats(one: Histogram) -> tuple[bytes, bytes, bytes, bytes]:
    """The same fields of a float histogram."""
    return (
        b"\x11" + eight_bytes(one.count),
        b"\x39" + eight_bytes(one.zero_count),
        packed_doubles(b"\x52", one.negative_buckets),
        packed_doubles(b"\x6a", one.positive_buckets),
    )


def _encode_spans(tag: bytes, spans: Spans) -> bytes:
    return b"".join(
        [
            message(tag, (b"\x08" + zigzag(offset) if offset else b"") + integer(b"\x10", length))
            for offset, length in spans
        ]
    )


def for_amp(one: Histogram) -> Histogram:
    """The histogram in the best resolution that AMP accepts. Raises InvalidHistogram."""
    if one.schema == CUSTOM_BUCKETS:
        raise InvalidHistogram(DropReason.CUSTOM_BUCKETS, "a histogram with custom buckets, which AMP does not take")
    if one.schema < AMP_SCHEMAS.start:
        detail = f"a histogram of schema {one.schema}; AMP takes {AMP_SCHEMAS.start} to {AMP_SCHEMAS.stop - 1}"
        raise InvalidHistogram(DropReason.HISTOGRAM_SCHEMA, detail)
    while one.schema not in AMP_SCHEMAS or _is_large(one):
        if one.schema == AMP_SCHEMAS.start:
            detail = f"AMP takes {AMP_MAX_BUCKETS} buckets and {AMP_MAX_BYTES} bytes"
            raise InvalidHistogram(
                DropReason.HISTOGRAM_TOO_LARGE, f"a histogram too large even in the coarsest schema: {detail}"
            )
        one = coarser(one)
    return one


def _is_large(one: Histogram) -> bool:
    buckets = len(one.negative_buckets) + len(one.positive_buckets)
    return buckets > AMP_MAX_BUCKETS or len(encode(one, 2**41)) > AMP_MAX_BYTES
