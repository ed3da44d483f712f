"""Samples -> compressed WriteRequests of a size and version that the receiver accepts; and cutting them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import snappy

from ..config.schema import RemoteWriteConfig
from ..model.delivery import WriteRequest
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Histogram, Labels, Metadata, Samples, Series, earliest, has_histograms, latest
from ..series import order
from ..series.cache import has_legacy_names, legacy_prefix
from ..series.name_escaping import escaped
from .encode import histogram, v1, v2
from .encode.columns import SampleBlock, SampleBlocks
from .encode.decode import unpack, unpack_metadata

Escape = Callable[[Labels], Labels]


def underscored(labels: Labels) -> Labels:
    return escaped(labels, "underscores")


@dataclass(frozen=True, slots=True)
class Protocol:
    """How requests for an endpoint are encoded. `version` is 1 also if 2 is configured but was refused. `families` is
    the metadata for the series of version 2, by family. `escape` replaces names that only version 2 allows when a
    request of version 2 is sent in version 1."""

    endpoint: RemoteWriteConfig
    version: int
    families: Mapping[str, Metadata] = field(default_factory=dict)
    escape: Escape = underscored

    def histogram(self, one: Histogram) -> Histogram:
        """The histogram as the receiver accepts it. Raises InvalidHistogram."""
        if not self.endpoint.send_native_histograms:
            detail = "a native histogram; this endpoint gets none without send_native_histograms: true"
            raise histogram.InvalidHistogram(DropReason.NATIVE_HISTOGRAMS_OFF, detail)
        if self.version == 1 and one.schema == histogram.CUSTOM_BUCKETS:
            detail = "a histogram with custom buckets, which remote write 1.0 cannot carry"
            detail += "; 2.0 can: protobuf_message: io.prometheus.write.v2.Request"
            raise histogram.InvalidHistogram(DropReason.CUSTOM_BUCKETS, detail)
        return histogram.for_amp(one) if self.endpoint.is_amp else one


def pack(samples: Samples, protocol: Protocol, now_ms: int, dropped: ReasonCounts) -> list[WriteRequest]:
    """Ordered samples -> requests in send order, each within `max_samples_per_send` and `max_body_bytes` (raw and
    compressed). Samples that are older than `sample_age_limit`, too large for a request of their own or of a kind that
    the receiver does not accept are counted in `dropped`."""
    queue = protocol.endpoint.queue
    fresh = _without_old(samples, queue.sample_age_limit_ms, now_ms, dropped)
    taken = _with_histograms_taken(_with_names_taken(fresh, protocol, dropped), protocol, dropped)
    blocks = SampleBlocks(taken, exemplars=protocol.endpoint.send_exemplars, starts=protocol.version > 1)

    def encoded(start: int, stop: int) -> WriteRequest:
        return _request(blocks.cut(start, stop), protocol.version, protocol.families)

    requests = []
    for request in _cut_to_fit(encoded, len(taken), queue.max_samples_per_send, queue.max_body_bytes):
        if fits(request, queue.max_body_bytes):
            requests.append(request)
        else:
            detail = f"one sample takes {request.raw_bytes} bytes; a request has at most {queue.max_body_bytes}"
            dropped.add(DropReason.TOO_LARGE, detail)
    return requests


def pack_metadata(metadata: Sequence[Metadata], max_entries: int, max_bytes: int) -> list[WriteRequest]:
    """Metadata -> 1.0 requests without samples, so that a refused entry loses no sample; each within both limits, but
    for an entry that is too large by itself."""
    fields = list(map(v1.encode_metadata, metadata))

    def encoded(start: int, stop: int) -> WriteRequest:
        return _request_of_fields(fields[start:stop])

    return list(_cut_to_fit(encoded, len(fields), max_entries, max_bytes))


def fits(request: WriteRequest, max_bytes: int) -> bool:
    """Whether a request is small enough, raw and compressed."""
    return request.raw_bytes < max_bytes and len(request.body) < max_bytes


def _cut_to_fit(
    encoded: Callable[[int, int], WriteRequest], count: int, most: int, max_bytes: int
) -> Iterator[WriteRequest]:
    """Requests of `count` things, at most `most` in each, halved as long as they do not fit. One thing that does not
    fit by itself is a request all the same. `encoded(start, stop)` makes a request."""
    ranges = [(start, min(start + most, count)) for start in reversed(range(0, count, most))]
    while ranges:
        start, stop = ranges.pop()
        request = encoded(start, stop)
        if stop - start == 1 or fits(request, max_bytes):
            yield request
        else:
            half = (start + stop) // 2
            ranges += [(half, stop), (start, half)]


def split(request: WriteRequest) -> list[WriteRequest]:
    """A request that was too large -> two halves in send order, or its samples and its metadata. A request that cannot
    be split is returned alone."""
    if request.samples and request.metadata:
        return [_with_maybe_stored_of(request, samples_alone(request)), _request_of_fields(unpack_metadata(request))]
    half = (request.samples or request.metadata) // 2
    if not half:
        return [request]
    if not request.samples:
        fields = unpack_metadata(request)
        return [_request_of_fields(fields[:half]), _request_of_fields(fields[half:])]
    samples, families = unpack(request)
    blocks = SampleBlocks(samples)
    cuts = (blocks.cut(0, half), blocks.cut(half, len(samples)))
    return [_with_maybe_stored_of(request, _request(one, request.version, families)) for one in cuts]


def cut_by_age(request: WriteRequest, oldest_allowed_ms: int) -> tuple[WriteRequest | None, WriteRequest | None]:
    """(the young samples, the old samples) as requests; None for a part without samples."""
    if request.oldest_ms >= oldest_allowed_ms or not request.samples:
        return request, None
    if request.newest_ms < oldest_allowed_ms:
        return None, request
    samples, families = unpack(request)
    young, old = list[int](), list[int]()
    for index, stamp in enumerate(samples.timestamps_ms):
        (young if stamp >= oldest_allowed_ms else old).append(index)
    kept, gone = [
        _with_maybe_stored_of(request, _request_of(part, request.version, families)) if part else None
        for part in (samples.pick(young), samples.pick(old))
    ]
    return kept, gone


def in_version_1(
    request: WriteRequest, endpoint: RemoteWriteConfig, now_ms: int, dropped: ReasonCounts, escape: Escape = underscored
) -> list[WriteRequest]:
    """A request of version 2 in version 1, for a receiver that refused version 2. It may take several requests, because
    1.0 repeats labels. What 1.0 cannot express is counted in `dropped`."""
    packed = pack(unpack(request)[0], Protocol(endpoint, 1, escape=escape), now_ms, dropped)
    return [_with_maybe_stored_of(request, one) for one in packed]


def with_metadata(request: WriteRequest, metadata: WriteRequest) -> WriteRequest:
    """Joins two requests of version 1: a protobuf message is a concatenation of its fields."""
    raw = snappy.uncompress(request.body) + snappy.uncompress(metadata.body)
    return replace(request, body=_compress(raw), raw_bytes=len(raw), metadata=metadata.metadata)


def samples_alone(request: WriteRequest) -> WriteRequest:
    """The request without its metadata."""
    samples, families = unpack(request)
    return _request_of(samples, request.version, families)


def _with_maybe_stored_of(request: WriteRequest, part: WriteRequest) -> WriteRequest:
    return replace(part, maybe_stored=True) if request.maybe_stored else part


def _request_of(samples: Samples, version: int, families: Mapping[str, Metadata]) -> WriteRequest:
    return _request(SampleBlocks(samples).cut(0, len(samples)), version, families)


def _request(block: SampleBlock, version: int, families: Mapping[str, Metadata]) -> WriteRequest:
    raw = v1.encode(block) if version == 1 else v2.encode(block, families)
    return WriteRequest(
        _compress(raw),
        len(block.series),
        len(raw),
        earliest(block.timestamps_ms),
        latest(block.timestamps_ms),
        histograms=block.histograms,
        exemplars=sum(map(len, block.exemplars.values())),
        version=version,
    )


def _without_old(samples: Samples, age_limit_ms: int, now_ms: int, dropped: ReasonCounts) -> Samples:
    oldest_allowed_ms = now_ms - age_limit_ms
    if not age_limit_ms or not samples or earliest(samples.timestamps_ms) >= oldest_allowed_ms:
        return samples
    kept = [index for index, stamp in enumerate(samples.timestamps_ms) if stamp >= oldest_allowed_ms]
    age = (now_ms - min(samples.timestamps_ms)) // 1000
    detail = f"the oldest is {age} s old; sample_age_limit is {age_limit_ms // 1000} s"
    dropped.add(DropReason.TOO_OLD, detail, len(samples) - len(kept))
    return samples.pick(kept)


def _with_names_taken(samples: Samples, protocol: Protocol, dropped: ReasonCounts) -> Samples:
    """Escapes the UTF-8 names that a series of version 2 may have, if it is sent in version 1. If two series become
    one, their second sample of a time is counted in `dropped`."""
    if protocol.version >= protocol.endpoint.version or all(map(has_legacy_names, samples.series)):
        return samples
    by_prefix: dict[bytes, Series] = {}
    renamed: dict[Series, Series] = {}
    for series in dict.fromkeys(samples.series):
        prefix = legacy_prefix(series.prefix, protocol.escape)
        renamed[series] = by_prefix.setdefault(prefix, Series(prefix))
    taken = Samples([renamed[series] for series in samples.series], samples.values, samples.timestamps_ms)
    taken.exemplars = {renamed[series]: found for series, found in samples.exemplars.items() if series in renamed}
    taken.starts_ms = {renamed[series]: start for series, start in samples.starts_ms.items() if series in renamed}
    return order.order(taken, dropped)


def _with_histograms_taken(samples: Samples, protocol: Protocol, dropped: ReasonCounts) -> Samples:
    if not has_histograms(samples.values):
        return samples
    kept = []
    for index, value in enumerate(samples.values):
        try:
            kept.append((index, protocol.histogram(value) if isinstance(value, Histogram) else value))
        except histogram.InvalidHistogram as error:
            dropped.add(error.reason, str(error))
    taken = samples.pick([index for index, _ in kept])
    taken.values = [value for _, value in kept]
    return taken


def _request_of_fields(fields: Sequence[bytes]) -> WriteRequest:
    raw = b"".join(fields)
    return WriteRequest(_compress(raw), 0, len(raw), metadata=len(fields))


def _compress(raw: bytes) -> bytes:
    compressed: bytes = snappy.compress(raw)
    return compressed
