"""Samples -> compressed WriteRequests of a size the receiver takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import snappy

from ..config.schema import QueueConfig
from ..model import Metadata, Samples, Series, Tally, WriteRequest
from . import v1
from .order import order

View = Callable[[Series], Series | str]


def pack(samples: Samples, queue: QueueConfig, now_ms: int, dropped: Tally) -> list[WriteRequest]:
    """Ordered samples -> requests in send order, each within `max_samples_per_send` and `max_body_bytes` (raw and
    compressed). What is older than `sample_age_limit` or fits no request alone is counted in `dropped`."""
    fresh = _without_old(samples, queue.sample_age_limit_ms, now_ms, dropped)
    requests: list[WriteRequest] = []
    for start in range(0, len(fresh), queue.max_samples_per_send):
        part = _slice(fresh, start, start + queue.max_samples_per_send)
        requests += _fit(part, queue.max_body_bytes, dropped)
    return requests


def through(view: View, samples: Samples, dropped: Tally) -> Samples:
    """Samples as one endpoint sees them after its `write_relabel_configs`, in order again."""
    seen = Samples()
    for series, value, timestamp_ms in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
        mapped = view(series)
        if isinstance(mapped, str):
            dropped.add(mapped, "dropped by write_relabel_configs of this endpoint")
        else:
            seen.add(mapped, value, timestamp_ms)
    return order(seen, dropped)


def pack_metadata(metadata: Sequence[Metadata], max_entries: int, max_bytes: int) -> list[WriteRequest]:
    """Metadata -> requests of its own, so that a refused entry costs no sample; each within both bounds."""
    fields = list(map(v1.encode_metadata, metadata))
    starts = range(0, len(fields), max_entries)
    return [request for start in starts for request in _fit_fields(fields[start : start + max_entries], max_bytes)]


def split(request: WriteRequest) -> list[WriteRequest]:
    """A request that was too large -> two halves in send order; one that cannot be split comes back alone."""
    fields = list(v1.fields_of(snappy.uncompress(request.body)))
    half = len(fields) // 2
    if not half:
        return [request]
    return [_request_of(fields[:half]), _request_of(fields[half:])]


def without_old(request: WriteRequest, oldest_allowed_ms: int) -> WriteRequest | None:
    """The request without the samples that have become too old; None when nothing is left."""
    if request.oldest_ms >= oldest_allowed_ms or not request.samples:
        return request
    fields = v1.fields_of(snappy.uncompress(request.body))
    kept = [young for field in fields if (young := v1.without_old_samples(field, oldest_allowed_ms))]
    return _request_of(kept) if kept else None


def _request_of(fields: Sequence[bytes]) -> WriteRequest:
    raw = b"".join(fields)
    if fields[0][:1] != b"\x0a":
        return WriteRequest(_compress(raw), 0, len(raw), metadata=len(fields))
    stamps = [stamp for field in fields for stamp in v1.timestamps_of(field)]
    return WriteRequest(_compress(raw), len(stamps), len(raw), min(stamps))


def _without_old(samples: Samples, age_limit_ms: int, now_ms: int, dropped: Tally) -> Samples:
    oldest_allowed_ms = now_ms - age_limit_ms
    if not age_limit_ms or not samples or min(samples.timestamps_ms) >= oldest_allowed_ms:
        return samples
    kept = [index for index, stamp in enumerate(samples.timestamps_ms) if stamp >= oldest_allowed_ms]
    age = (now_ms - min(samples.timestamps_ms)) // 1000
    said = f"the oldest is {age} s old; sample_age_limit is {age_limit_ms // 1000} s"
    dropped.add("too_old", said, len(samples) - len(kept))
    return samples.pick(kept)


def _slice(samples: Samples, start: int, stop: int) -> Samples:
    return Samples(samples.series[start:stop], samples.values[start:stop], samples.timestamps_ms[start:stop])


def _fit(samples: Samples, max_bytes: int, dropped: Tally) -> Iterator[WriteRequest]:
    raw = b"".join(v1.encode_samples(samples))
    body = _compress(raw)
    if len(raw) < max_bytes and len(body) < max_bytes:
        yield WriteRequest(body, len(samples), len(raw), min(samples.timestamps_ms))
    elif len(samples) == 1:
        dropped.add("too_large", f"one sample takes {len(raw)} bytes; a request has at most {max_bytes}")
    else:
        half = len(samples) // 2
        yield from _fit(_slice(samples, 0, half), max_bytes, dropped)
        yield from _fit(_slice(samples, half, len(samples)), max_bytes, dropped)


def _fit_fields(fields: Sequence[bytes], max_bytes: int) -> Iterator[WriteRequest]:
    request = _request_of(fields)
    if len(fields) < 2 or (request.raw_bytes < max_bytes and len(request.body) < max_bytes):
        yield request
    else:
        half = len(fields) // 2
        yield from _fit_fields(fields[:half], max_bytes)
        yield from _fit_fields(fields[half:], max_bytes)


def _compress(raw: bytes) -> bytes:
    compressed: bytes = snappy.compress(raw)
    return compressed
