"""An entry of the spool describes itself: it is read as it was written, or is named as damaged."""

from __future__ import annotations

import contextlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.delivery import PendingRequest, WriteRequest
from lambda_remote_write.spool.entry import MAGIC, Entry, UnreadableEntry, decode, encode

counts = st.integers(0, 10_000)
times = st.integers(-(10**13), 10**13)
requests = st.builds(
    WriteRequest,
    st.binary(max_size=60),
    counts,
    counts,
    times,
    times,
    counts,
    counts,
    counts,
    st.sampled_from([1, 2]),
    st.booleans(),
)
kept = st.builds(PendingRequest, requests, st.sampled_from(["", "http_503"]), st.text(max_size=20))
made_entries = st.builds(Entry, st.text(max_size=10), times, st.lists(kept, max_size=4), st.booleans())

SMALL = Entry(
    "amp",
    5,
    [
        PendingRequest(WriteRequest(b"body", 1, 4, 7, 9), "http_503", "sorry"),
        PendingRequest(WriteRequest(b"x", 2, 1, 3, 4)),
    ],
)


@given(made_entries)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    """What is said of a request without a reason is nothing."""
    found = decode(encode(entry))
    assert (found.endpoint, found.started_ms, found.disjoint) == (entry.endpoint, entry.started_ms, entry.disjoint)
    assert found.requests == entry.requests
    assert [(one.reason, one.detail) for one in found.pending] == [
        (one.reason, one.detail) if one.reason else ("", "") for one in entry.pending
    ]


def test_an_entry_knows_its_samples_and_times() -> None:
    assert (SMALL.samples, SMALL.oldest_ms, SMALL.newest_ms) == (3, 3, 9)
    assert (Entry("amp", 5, []).samples, Entry("amp", 5, []).oldest_ms) == (0, 5)


def test_every_truncation_is_noticed() -> None:
    content = encode(SMALL)
    for length in range(len(content)):
        with pytest.raises(UnreadableEntry):
            decode(content[:length])


def test_every_flipped_bit_is_noticed_or_harmless() -> None:
    """A body is never another one; a count or a word of the header may be."""
    content = encode(SMALL)
    for at in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            try:
                found = decode(bytes(damaged))
            except UnreadableEntry:
                continue
            assert [request.body for request in found.requests] == [b"body", b"x"]


def header(document: object) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return MAGIC + struct.pack(">I", len(text)) + text


HEADER = {"endpoint": "a", "started_ms": 1, "disjoint": 1, "requests": []}


def test_bodies_that_have_changed_places_are_noticed() -> None:
    """Each checksum belongs to one request."""
    one, other = (struct.pack(">I", len(body)) + body for body in (b"body", b"x"))
    with pytest.raises(UnreadableEntry):
        decode(encode(SMALL).replace(one + other, other + one))


DESCRIBED = json.loads(encode(SMALL)[12:].partition(b"}]}")[0] + b"}]}")["requests"][1]


def with_request(**changes: object) -> bytes:
    """An entry of one request of which something else is said; None leaves the key out."""
    described = {key: value for key, value in (DESCRIBED | changes).items() if value is not None}
    return header(HEADER | {"requests": [described]}) + struct.pack(">I", 1) + b"x"


def test_the_request_that_is_changed_below_is_readable_as_it_is() -> None:
    """The next tests see one change, not another mistake."""
    assert decode(with_request()).requests == [SMALL.requests[1]]


@pytest.mark.parametrize(
    "changes",
    [
        *(pytest.param({name: None}, id=f"no {name}") for name in DESCRIBED if name not in ("reason", "detail")),
        *(pytest.param({name: "many"}, id=f"{name} is a word") for name in ("samples", "oldest_ms", "version")),
        *(pytest.param({name: [1]}, id=f"{name} is a list") for name in ("samples", "newest_ms", "version")),
        *(pytest.param({name: -1}, id=f"{name} is negative") for name in ("samples", "metadata")),
        *(pytest.param({"version": version}, id=f"version {version}") for version in (-1, 0, 3, 2**40)),
        pytest.param({"crc32": 0}, id="another checksum"),
        pytest.param({"crc32": "0"}, id="a checksum that is a word"),
    ],
)
def test_a_request_that_cannot_be_is_none(changes: dict[str, object]) -> None:
    """What is said of a request has all of its keys, numbers that can be, and a version that this code speaks."""
    with pytest.raises(UnreadableEntry):
        decode(with_request(**changes))


@pytest.mark.parametrize(
    "content",
    [
        *(pytest.param(header({k: v for k, v in HEADER.items() if k != name}), id=f"no {name}") for name in HEADER),
        pytest.param(b"something else", id="another file"),
        pytest.param(encode(SMALL) + b"!", id="more behind it"),
        pytest.param(header(b"{"), id="no JSON"),
        pytest.param(header([]), id="a list"),
        pytest.param(header(HEADER | {"started_ms": "x"}), id="no number"),
        pytest.param(header(HEADER | {"requests": [{}]}), id="a request of nothing"),
        pytest.param(header(HEADER | {"requests": None}), id="requests is null"),
        pytest.param(header(HEADER | {"requests": [[]]}) + bytes(4), id="a request is a list"),
        pytest.param(header(HEADER | {"started_ms": float("nan")}), id="started_ms is NaN"),
        pytest.param(header(None), id="header is null"),
        pytest.param(header(b"\xff\xfe"), id="header is no text"),
        pytest.param(header(b""), id="header is empty"),
        pytest.param(header(HEADER) + bytes(4), id="a body more than requests"),
        pytest.param(MAGIC + struct.pack(">I", 2**32 - 1) + b"{}", id="a header of four gigabytes"),
        pytest.param(b"PUSHERS2" + encode(SMALL)[8:], id="another magic"),
        pytest.param(b" " + encode(SMALL), id="something before the magic"),
        pytest.param(encode(SMALL) * 2, id="twice"),
    ],
)
def test_anything_else_is_no_entry(content: bytes) -> None:
    """Reading an entry that is no entry raises UnreadableEntry, and nothing else."""
    with pytest.raises(UnreadableEntry):
        decode(content)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_entry_or_none(tail: bytes) -> None:
    """Whatever follows the magic, nothing but UnreadableEntry is raised."""
    for content in (tail, MAGIC + tail, header(tail)):
        with contextlib.suppress(UnreadableEntry):
            decode(content)
