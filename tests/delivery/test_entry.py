"""An entry of the spool describes itself: it comes back as it was, or is told to be damaged."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.delivery.entry import MAGIC, Entry, Unreadable, decode, encode, with_doubt
from pusher.model import Kept, WriteRequest

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
kept = st.builds(Kept, requests, st.sampled_from(["", "http_503"]), st.text(max_size=20))
made = st.builds(Entry, st.text(max_size=10), times, st.lists(kept, max_size=4), st.booleans())

SMALL = Entry(
    "amp", 5, [Kept(WriteRequest(b"body", 1, 4, 7, 9), "http_503", "sorry"), Kept(WriteRequest(b"x", 2, 1, 3, 4))]
)


@given(made)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    """What is said of a request without a reason is nothing."""
    found = decode(encode(entry))
    assert (found.endpoint, found.started_ms, found.disjoint) == (entry.endpoint, entry.started_ms, entry.disjoint)
    assert found.requests == entry.requests
    assert [(one.reason, one.said) for one in found.kept] == [
        (one.reason, one.said) if one.reason else ("", "") for one in entry.kept
    ]


def test_an_entry_knows_its_samples_and_times() -> None:
    assert (SMALL.samples, SMALL.oldest_ms, SMALL.newest_ms) == (3, 3, 9)
    assert (Entry("amp", 5, []).samples, Entry("amp", 5, []).oldest_ms) == (0, 5)


def test_every_truncation_is_noticed() -> None:
    content = encode(SMALL)
    for length in range(len(content)):
        with pytest.raises(Unreadable):
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
            except Unreadable:
                continue
            assert [request.body for request in found.requests] == [b"body", b"x"]


def header(document: object) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return MAGIC + struct.pack(">I", len(text)) + text


HEADER = {"endpoint": "a", "started_ms": 1, "disjoint": 1, "requests": []}


def negative(entry: Entry) -> bytes:
    """An entry whose first request says that it has less than no samples."""
    one = entry.kept[0]
    return encode(Entry(entry.endpoint, entry.started_ms, [Kept(replace(one.request, samples=-1))]))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"something else", id="another file"),
        pytest.param(encode(SMALL) + b"!", id="more behind it"),
        pytest.param(header(b"{"), id="no JSON"),
        pytest.param(header([]), id="a list"),
        pytest.param(header({}), id="no keys"),
        pytest.param(header(HEADER | {"started_ms": "x"}), id="no number"),
        pytest.param(header(HEADER | {"requests": [{}]}), id="a request of nothing"),
        pytest.param(negative(SMALL), id="a negative count"),
        pytest.param(encode(SMALL).replace(b'"version":1', b'"version":3'), id="a version to come"),
    ],
)
def test_anything_else_is_no_entry(content: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(content)


def test_doubt_is_kept() -> None:
    doubted = Entry("amp", 5, [Kept(request) for request in with_doubt(SMALL.requests)])
    assert all(request.maybe_stored for request in decode(encode(doubted)).requests)
