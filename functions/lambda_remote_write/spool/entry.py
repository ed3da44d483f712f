"""One object of the spool: encoded requests in send order, with a header that describes them.

    magic      8 bytes
    length     4 bytes, big-endian, of the header
    header     JSON: who wrote it, when and why; for each request its version, counts, times and checksum
    requests   each 4 bytes of length, then the compressed body

An entry describes itself and holds no secrets: neither addresses nor credentials.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..model.delivery import PendingRequest, WriteRequest

MAGIC = b"PUSHERS1"
_LENGTH = struct.Struct(">I")
_COUNTS = ("samples", "raw_bytes", "oldest_ms", "newest_ms", "metadata", "histograms", "exemplars", "version")


class UnreadableEntry(Exception):
    """The bytes are not a complete entry. The message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The requests that one run could not deliver to one endpoint. `started_ms` is when the run began. If they are
    `disjoint`, no two of them have samples of the same series."""

    endpoint: str
    started_ms: int
    pending: Sequence[PendingRequest] = field(repr=False)
    disjoint: bool = False

    @property
    def requests(self) -> list[WriteRequest]:
        return [one.request for one in self.pending]

    @property
    def samples(self) -> int:
        return sum(one.request.samples for one in self.pending)

    @property
    def oldest_ms(self) -> int:
        """The time of its oldest sample; the start of the run if it has none."""
        return min((one.request.oldest_ms for one in self.pending if one.request.samples), default=self.started_ms)

    @property
    def newest_ms(self) -> int:
        return max((one.request.newest_ms for one in self.pending if one.request.samples), default=self.started_ms)


def encode(entry: Entry) -> bytes:
    header = {
        "endpoint": entry.endpoint,
        "started_ms": entry.started_ms,
        "disjoint": entry.disjoint,
        "requests": [_described(one) for one in entry.pending],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    bodies = [piece for one in entry.pending for piece in (_LENGTH.pack(len(one.request.body)), one.request.body)]
    return b"".join([MAGIC, _LENGTH.pack(len(text)), text, *bodies])


def decode(content: bytes) -> Entry:
    """The entry in these bytes. Raises UnreadableEntry for anything that `encode` would not have made."""
    if not content.startswith(MAGIC):
        raise UnreadableEntry("it does not begin as an entry does")
    text, at = _piece(content, len(MAGIC), "its header")
    try:
        header = json.loads(text)
        pending = list[PendingRequest]()
        for described in header["requests"]:
            body, at = _piece(content, at, f"request {len(pending) + 1}")
            pending.append(_pending(described, body))
        entry = Entry(str(header["endpoint"]), int(header["started_ms"]), pending, bool(header["disjoint"]))
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableEntry(f"its header is damaged: {type(error).__name__}: {error}") from None
    if at != len(content):
        raise UnreadableEntry(f"{len(content) - at} bytes follow its last request")
    return entry


def counted_samples(content: bytes) -> int | None:
    """The number of samples by the header of a damaged entry; None when the header is damaged too."""
    try:
        text, _ = _piece(content, len(MAGIC), "its header")
        counts = [int(described["samples"]) for described in json.loads(text)["requests"]]
    except (UnreadableEntry, ValueError, TypeError, KeyError):
        return None
    return sum(counts) if min(counts, default=0) >= 0 else None


def _described(one: PendingRequest) -> dict[str, int | str | bool]:
    request = one.request
    described: dict[str, int | str | bool] = {name: getattr(request, name) for name in _COUNTS}
    described |= {"crc32": zlib.crc32(request.body), "maybe_stored": request.maybe_stored}
    return described | ({"reason": one.reason, "detail": one.detail} if one.reason else {})


def _pending(described: dict[str, int | str | bool], body: bytes) -> PendingRequest:
    if zlib.crc32(body) != described["crc32"]:
        raise UnreadableEntry("the checksum of a request does not hold")
    counts = {name: int(described[name]) for name in _COUNTS}
    if min(counts["samples"], counts["metadata"]) < 0 or counts["version"] not in (1, 2):
        raise UnreadableEntry("its header describes an impossible request")
    request = WriteRequest(body, maybe_stored=bool(described["maybe_stored"]), **counts)
    return PendingRequest(request, str(described.get("reason", "")), str(described.get("detail", "")))


def _piece(content: bytes, at: int, what: str) -> tuple[bytes, int]:
    """The length-prefixed bytes at an offset, and the offset of their end."""
    start = at + _LENGTH.size
    if start > len(content):
        raise UnreadableEntry(f"it ends before {what}")
    stop = start + _LENGTH.unpack_from(content, at)[0]
    if stop > len(content):
        raise UnreadableEntry(f"it ends within {what}")
    return content[start:stop], stop


def with_maybe_stored(requests: Sequence[WriteRequest]) -> list[WriteRequest]:
    """The same requests, marked as possibly stored by the receiver."""
    return [replace(request, maybe_stored=True) for request in requests]
