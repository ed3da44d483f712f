"""Decodes a request that must be cut, encoded for another version or rolled back. That is rare, so that the protobuf
stubs do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import snappy

from ...model.delivery import WriteRequest
from ...model.samples import Exemplar, Histogram, Metadata, Samples, Series
from ...series import label_codec
from .metadata import type_word

Pairs = Sequence[tuple[str, str]]


def unpack(request: WriteRequest) -> tuple[Samples, Mapping[str, Metadata]]:
    """The samples of a request, with a new Series object for each TimeSeries, and the metadata in it, by metric."""
    raw = snappy.uncompress(request.body)
    return _unpack_1(raw) if request.version == 1 else _unpack_2(raw)


def unpack_metadata(request: WriteRequest) -> list[bytes]:
    """The metadata fields of a 1.0 request, each with its tag and length."""
    from .generated import remote_pb2

    message = remote_pb2.WriteRequest.FromString(snappy.uncompress(request.body))
    return [remote_pb2.WriteRequest(metadata=[entry]).SerializeToString() for entry in message.metadata]


def _unpack_1(raw: bytes) -> tuple[Samples, Mapping[str, Metadata]]:
    from .generated import remote_pb2

    samples = Samples()
    for entry in remote_pb2.WriteRequest.FromString(raw).timeseries:
        exemplars = [(_pairs_1(exemplar.labels), exemplar) for exemplar in entry.exemplars]
        _add(samples, _pairs_1(entry.labels), entry, exemplars)
    return samples, {}


def _pairs_1(labels: Iterable[Any]) -> Pairs:
    return [(label.name, label.value) for label in labels]


def _unpack_2(raw: bytes) -> tuple[Samples, Mapping[str, Metadata]]:
    from .generated.io.prometheus.write.v2 import types_pb2

    message, samples, families = types_pb2.Request.FromString(raw), Samples(), dict[str, Metadata]()
    symbols = message.symbols
    for entry in message.timeseries:
        pairs = _pairs_2(entry.labels_refs, symbols)
        _add(samples, pairs, entry, [(_pairs_2(one.labels_refs, symbols), one) for one in entry.exemplars])
        if entry.HasField("metadata"):
            detail, metric = entry.metadata, dict(pairs)["__name__"]
            families[metric] = Metadata(
                metric, type_word(detail.type), symbols[detail.help_ref], symbols[detail.unit_ref]
            )
    return samples, families


def _pairs_2(refs: Sequence[int], symbols: Sequence[str]) -> Pairs:
    return [(symbols[name], symbols[value]) for name, value in zip(refs[::2], refs[1::2], strict=True)]


def _add(samples: Samples, pairs: Pairs, entry: Any, exemplars: Iterable[tuple[Pairs, Any]]) -> None:
    """Adds the content of a TimeSeries message; its fields have the same names in both versions."""
    series = Series(label_codec.series_prefix([(name.encode(), value.encode()) for name, value in pairs]))
    for sample in entry.samples:
        samples.add(series, sample.value, sample.timestamp)
    for histogram in entry.histograms:
        samples.add(series, _histogram(histogram), histogram.timestamp)
    for point in (*entry.samples, *entry.histograms):
        if start_ms := getattr(point, "start_timestamp", 0):
            samples.starts_ms[series] = start_ms
    found = tuple(Exemplar(tuple(own), one.value, one.timestamp) for own, one in exemplars)
    if found:
        samples.exemplars[series] = found


def _histogram(message: Any) -> Histogram:
    is_float = message.WhichOneof("count") == "count_float"
    return Histogram(
        count=message.count_float if is_float else message.count_int,
        sum=message.sum,
        schema=message.schema,
        zero_threshold=message.zero_threshold,
        zero_count=message.zero_count_float if is_float else message.zero_count_int,
        negative_spans=tuple((span.offset, span.length) for span in message.negative_spans),
        negative_buckets=tuple(message.negative_counts if is_float else message.negative_deltas),
        positive_spans=tuple((span.offset, span.length) for span in message.positive_spans),
        positive_buckets=tuple(message.positive_counts if is_float else message.positive_deltas),
        is_float=is_float,
        reset_hint=message.reset_hint,
        custom_values=tuple(message.custom_values),
    )
