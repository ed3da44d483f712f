"""Samples -> compressed WriteRequests of a size and version that the receiver accepts; and cutting them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import snappy

from ...config.schema import RemoteWriteConfig
from ...model.delivery import WriteRequest
from ...model.drop_reasons import DropReason
from ...model.reason_counts import ReasonCounts
from ...model.samples import Histogram, Labels, Metadata, Samples, Series, earliest, has_histograms, latest
from ...series import order
from ...series.cache import has_legacy_names, legacy_prefix
from ...series.name_escaping import escaped
from . import histogram, v1, v2
from .columns import Block, Blocks
from .decode import unpack, unpack_metadata

View = Callable[[Series], Series | str]
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
        if self.version == 1:
            one = histogram.for_version_1(one)
        return histogram.for_amp(one) if self.endpoint.is_amp else one


def pack(samples: Samples, protocol: Protocol, now_ms: int, dropped: ReasonCounts) -> list[WriteRequest]:
    """Ordered samples -> requests in send order, each within `max_samples_per_send` and `max_body_bytes` (raw and
    compressed). Samples that are older than `sample_age_limit`, too large for a request of their own or of a kind that
    the receiver does not accept are counted in `dropped`."""
    queue = protocol.endpoint.queue
    fresh = _without_old(samples, queue.sample_age_limit_ms, now_ms, dropped)
    taken = _with_histograms_taken(_with_names_taken(fresh, protocol, dropped), protocol, dropped)
    packer = _Packer(taken, protocol, dropped)
    starts = range(0, len(taken), queue.max_samples_per_send)
    return [request for start in starts for request in packer.fit(start, start + queue.max_samples_per_send)]


def apply_write_relabel(view: View, samples: Samples, dropped: ReasonCounts) -> Samples:
    """The samples of one endpoint after its `write_relabel_configs`, in any order."""
    seen = Samples()
    for series, value, timestamp_ms in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
        mapped = view(series)
        if isinstance(mapped, str):
            dropped.add(mapped, "dropped by write_relabel_configs of this endpoint")
        else:
            seen.add(mapped, value, timestamp_ms)
    for series, exemplars in samples.exemplars.items():
        if isinstance(mapped := view(series), Series):
            seen.exemplars[mapped] = exemplars
    for series, start_ms in samples.starts_ms.items():
        if isinstance(mapped := view(series), Series):
            seen.starts_ms[mapped] = start_ms
    return seen


def pack_metadata(metadata: Sequence[Metadata], max_entries: int, max_bytes: int) -> list[WriteRequest]:
    """Metadata -> 1.0 requests without samples, so that a refused entry loses no sample; each within both limits."""
    fields = list(map(v1.encode_metadata, metadata))
    starts = range(0, len(fields), max_entries)
    return [request for start in starts for request in _fit_fields(fields[start : start + max_entries], max_bytes)]


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
    blocks = _whole(samples)
    cuts = (blocks.cut(0, half), blocks.cut(half, len(samples)))
    return [_with_maybe_stored_of(request, _request(block, request.version, families)) for block in cuts]


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
    parts = [samples.pick(young), samples.pick(old)]
    whole = [_whole(part).cut(0, len(part)) if part else None for part in parts]
    kept, gone = [
        _with_maybe_stored_of(request, _request(one, request.version, families)) if one else None for one in whole
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
    return _request(_whole(samples).cut(0, len(samples)), request.version, families)


def _with_maybe_stored_of(request: WriteRequest, part: WriteRequest) -> WriteRequest:
    return replace(part, maybe_stored=True) if request.maybe_stored else part


def _whole(samples: Samples) -> Blocks:
    """Blocks with exemplars and starts."""
    return Blocks(samples, exemplars=True, starts=True)


def _request(block: Block, version: int, families: Mapping[str, Metadata]) -> WriteRequest:
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


class _Packer:
    """Cuts samples into requests that fit."""

    def __init__(self, samples: Samples, protocol: Protocol, dropped: ReasonCounts) -> None:
        self._protocol, self._dropped, self._count = protocol, dropped, len(samples)
        exemplars, starts = protocol.endpoint.send_exemplars, protocol.version > 1
        self._blocks = Blocks(samples, exemplars=exemplars, starts=starts)

    def fit(self, start: int, stop: int) -> Iterator[WriteRequest]:
        stop, max_bytes = min(stop, self._count), self._protocol.endpoint.queue.max_body_bytes
        block = self._blocks.cut(start, stop)
        request = _request(block, self._protocol.version, self._protocol.families)
        if request.raw_bytes < max_bytes and len(request.body) < max_bytes:
            yield request
        elif stop - start == 1:
            detail = f"one sample takes {request.raw_bytes} bytes; a request has at most {max_bytes}"
            self._dropped.add(DropReason.TOO_LARGE, detail)
        else:
            half = (start + stop) // 2
            yield from self.fit(start, half)
            yield from self.fit(half, stop)


def _fit_fields(fields: Sequence[bytes], max_bytes: int) -> Iterator[WriteRequest]:
    request = _request_of_fields(fields)
    if len(fields) < 2 or (request.raw_bytes < max_bytes and len(request.body) < max_bytes):
        yield request
    else:
        half = len(fields) // 2
        yield from _fit_fields(fields[:half], max_bytes)
        yield from _fit_fields(fields[half:], max_bytes)


def _request_of_fields(fields: Sequence[bytes]) -> WriteRequest:
    raw = b"".join(fields)
    return WriteRequest(_compress(raw), 0, len(raw), metadata=len(fields))


def _compress(raw: bytes) -> bytes:
    compressed: bytes = snappy.compress(raw)
    return compressed
