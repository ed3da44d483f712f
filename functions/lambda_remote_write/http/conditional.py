"""Conditional requests (RFC 9110, 13): an answer is remembered with its validators, so that next time its source may
say that it has not changed."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .response import Headers

MAX_BYTES = 50_000_000  # of all answers that an environment remembers
_OVERHEAD_BYTES = 2_000  # of one, beside its body
_MAX_VALIDATOR = 1_000  # characters: servers refuse long header lines
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')  # RFC 9110, 8.8.3
_DATE = re.compile(r"[\x20-\x7e]+")
_OWN = frozenset(("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range"))


@dataclass(frozen=True, slots=True)
class Body:
    """An answer read whole, uncompressed. `sent_with` stands for the request's URL and headers, 0 for an answer
    that is not remembered; one that `is_not_modified` has the body that was remembered. `moved_to` is the address that
    a redirect led to, "" without one."""

    content: bytearray = field(repr=False)
    content_type: str
    status: int = 200
    headers: Headers = field(default_factory=Headers, repr=False)
    sent_with: int = 0
    is_not_modified: bool = False
    moved_to: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class StoredAnswer:
    """An answer to the request `sent_with` stands for, and its validators."""

    sent_with: int
    validators: Mapping[str, str] = field(repr=False)  # as the headers of the next request
    body: Body = field(repr=False)

    def freshened(self, headers: Headers) -> Body:
        """The answer once more, with the headers of a 304 over its own (RFC 9111, 3.2)."""
        return replace(self.body, headers=self.body.headers.updated(headers), is_not_modified=True)


class AnswerMemory:
    """Makes stored answers, and keeps count of what they hold until they are dropped. Safe for several threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._used_bytes = max_bytes, 0
        self._lock = threading.RLock()  # an answer may be dropped by the garbage collector, anywhere

    def stored(self, body: Body, before: StoredAnswer | None) -> StoredAnswer | None:
        """An answer to ask about again, in place of the one `before` it; None for one that cannot be asked about, or
        for which there is no room."""
        validators = _validators(body.headers)
        if not validators or not body.sent_with:
            return None
        size, freed = _size(body), _size(before.body) if before else 0
        with self._lock:
            if self._used_bytes - freed + size > self._max_bytes:
                return None
            self._used_bytes += size
        found = StoredAnswer(body.sent_with, validators, body)
        weakref.finalize(found, self._release, size).atexit = False
        return found

    def _release(self, size: int) -> None:
        with self._lock:
            self._used_bytes -= size


def has_own_conditions(names: list[str]) -> bool:
    """Whether headers with these names are a condition themselves, or ask for a part."""
    return any(name.lower() in _OWN for name in names)


def _size(body: Body) -> int:
    return len(body.content) + _OVERHEAD_BYTES


def _validators(headers: Headers) -> dict[str, str]:
    """Both, where there are both (RFC 9110, 8.8.4); the server then compares the entity-tag alone (13.2.2). None for an
    answer that depends on more than the request (12.5.5), or that is not to be kept (RFC 9111, 5.2.2.5)."""
    if "*" in headers.joined("Vary") or "no-store" in headers.joined("Cache-Control").lower():
        return {}
    etag, modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
    found = {}
    if len(etag) <= _MAX_VALIDATOR and _ETAG.fullmatch(etag):
        found["If-None-Match"] = etag
    if len(modified) <= _MAX_VALIDATOR and _DATE.fullmatch(modified):
        found["If-Modified-Since"] = modified
    return found
