"""One object of the spool: requests as they would have gone out, in send order, and what they are.

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


class Unreadable(Exception):
    """These bytes are no entry, or no longer a whole one. The message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one run could not deliver to one endpoint. `started_ms` is when that run began; of requests that are
    `disjoint` no two have a sample of the same series."""

    endpoint: str
    started_ms: int
    kept: Sequence[PendingRequest] = field(repr=False)
    disjoint: bool = False

    @property
    def requests(self) -> list[WriteRequest]:
        return [one.request for one in self.kept]

    @property
    def samples(self) -> int:
        return sum(one.request.samples for one in self.kept)

    @property
    def oldest_ms(self) -> int:
        """Of its samples; when the run began, if it has none."""
        return min((one.request.oldest_ms for one in self.kept if one.request.samples), default=self.started_ms)

    @property
    def newest_ms(self) -> int:
        return max((one.request.newest_ms for one in self.kept if one.request.samples), default=self.started_ms)


def encode(entry: Entry) -> bytes:
    header = {
        "endpoint": entry.endpoint,
        "started_ms": entry.started_ms,
        "disjoint": entry.disjoint,
        "requests": [_described(one) for one in entry.kept],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    bodies = [piece for one in entry.kept for piece in (_LENGTH.pack(len(one.request.body)), one.request.body)]
    return b"".join([MAGIC, _LENGTH.pack(len(text)), text, *bodies])


def decode(content: bytes) -> Entry:
    """The entry in these bytes. Raises Unreadable for anything that `encode` would not have made."""
    if not content.startswith(MAGIC):
        raise Unreadable("it does not begin as an entry does")
    text, at = _piece(content, len(MAGIC), "its header")
    try:
        header = json.loads(text)
        kept = list[PendingRequest]()
        for described in header["requests"]:
            body, at = _piece(content, at, f"request {len(kept) + 1}")
            kept.append(_kept(described, body))
        entry = Entry(str(header["endpoint"]), int(header["started_ms"]), kept, bool(header["disjoint"]))
    except (ValueError, TypeError, KeyError) as error:
        raise Unreadable(f"its header is damaged: {type(error).__name__}: {error}") from None
    if at != len(content):
        raise Unreadable(f"{len(content) - at} bytes follow its last request")
    return entry


def counted_samples(content: bytes) -> int | None:
    """How many samples the header counts of bytes that are no whole entry; None when the header is damaged too."""
    try:
        text, _ = _piece(content, len(MAGIC), "its header")
        counts = [int(described["samples"]) for described in json.loads(text)["requests"]]
    except (Unreadable, ValueError, TypeError, KeyError):
        return None
    return sum(counts) if min(counts, default=0) >= 0 else None


def _described(one: PendingRequest) -> dict[str, int | str | bool]:
    request = one.request
    described: dict[str, int | str | bool] = {name: getattr(request, name) for name in _COUNTS}
    described |= {"crc32": zlib.crc32(request.body), "maybe_stored": request.maybe_stored}
    return described | ({"reason": one.reason, "said": one.detail} if one.reason else {})


def _kept(described: dict[str, int | str | bool], body: bytes) -> PendingRequest:
    if zlib.crc32(body) != described["crc32"]:
        raise Unreadable("the checksum of a request does not hold")
    counts = {name: int(described[name]) for name in _COUNTS}
    if min(counts["samples"], counts["metadata"]) < 0 or counts["version"] not in (1, 2):
        raise Unreadable("a request of its header cannot be")
    request = WriteRequest(body, maybe_stored=bool(described["maybe_stored"]), **counts)
    return PendingRequest(request, str(described.get("reason", "")), str(described.get("said", "")))


def _piece(content: bytes, at: int, what: str) -> tuple[bytes, int]:
    """The length-prefixed bytes at a place, and where they end."""
    start = at + _LENGTH.size
    if start > len(content):
        raise Unreadable(f"it ends before {what}")
    stop = start + _LENGTH.unpack_from(content, at)[0]
    if stop > len(content):
        raise Unreadable(f"it ends within {what}")
    return content[start:stop], stop


def with_maybe_stored(requests: Sequence[WriteRequest]) -> list[WriteRequest]:
    """The same requests, of which nobody will know whether the receiver has them already."""
    return [replace(request, maybe_stored=True) for request in requests]
