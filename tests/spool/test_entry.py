"""An entry of the spool describes itself: it comes back as it was, or is told to be damaged."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.delivery import Delivery, PendingRequest, WriteRequest
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.remote_write import batches, send
from lambda_remote_write.remote_write.encode import packing
from lambda_remote_write.remote_write.queue import SendQueue
from lambda_remote_write.spool.drain import SpoolDrain, SpoolState
from lambda_remote_write.spool.entry import MAGIC, Entry, Unreadable, decode, encode, with_maybe_stored
from lambda_remote_write.spool.spool import RunId, Spool
from lambda_remote_write.state.state import State
from sandbox.amp import Receiver
from sandbox.server import Fault
from tests.rig import made
from tests.rig.delivery import KEYS, Clock, rig
from tests.rig.stores import MemoryStore

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
    assert [(one.reason, one.detail) for one in found.kept] == [
        (one.reason, one.detail) if one.reason else ("", "") for one in entry.kept
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
    return encode(Entry(entry.endpoint, entry.started_ms, [PendingRequest(replace(one.request, samples=-1))]))


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
    doubted = Entry("amp", 5, [PendingRequest(request) for request in with_maybe_stored(SMALL.requests)])
    assert all(request.maybe_stored for request in decode(encode(doubted)).requests)


def points(draw_from: int) -> list[WriteRequest]:
    """Real bodies of so many series, in either version."""
    samples = made.samples_of(made.numbered(draw_from))
    version = 1 + draw_from % 2
    protocol = made.protocol(replace(made.NO_AGE_LIMIT, max_samples_per_send=2), version=version)
    return packing.pack(samples, protocol, made.NOW_MS, ReasonCounts())


@pytest.mark.parametrize("series", range(1, 8))
def test_real_bodies_come_back_and_mean_the_same(series: int) -> None:
    """What a receiver would have read out of the requests, it reads out of those that come back."""
    requests = points(series)
    found = decode(encode(Entry("amp", 5, list(map(PendingRequest, requests))))).requests
    assert found == requests
    assert made.points_in(found) == made.as_bits(made.numbered(series))


def test_a_flipped_bit_of_a_body_is_always_noticed() -> None:
    """The checksum of a request covers all of its body."""
    content = encode(SMALL)
    for body in (b"body", b"x"):
        start = content.rindex(struct.pack(">I", len(body)) + body) + 4
        for at in range(start, start + len(body)):
            for bit in range(8):
                damaged = bytearray(content)
                damaged[at] ^= 1 << bit
                with pytest.raises(Unreadable, match="checksum"):
                    decode(bytes(damaged))


def test_bodies_that_have_changed_places_are_noticed() -> None:
    """Each checksum belongs to one request."""
    one, other = (struct.pack(">I", len(body)) + body for body in (b"body", b"x"))
    with pytest.raises(Unreadable):
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
        *(pytest.param({name: None}, id=f"no {name}") for name in DESCRIBED if name not in ("reason", "said")),
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
    with pytest.raises(Unreadable):
        decode(with_request(**changes))


@pytest.mark.parametrize(
    "content",
    [
        *(pytest.param(header({k: v for k, v in HEADER.items() if k != name}), id=f"no {name}") for name in HEADER),
        pytest.param(header(HEADER | {"requests": None}), id="requests is null"),
        pytest.param(header(HEADER | {"requests": 3}), id="requests is a number"),
        pytest.param(header(HEADER | {"requests": [[]]}) + bytes(4), id="a request is a list"),
        pytest.param(header(HEADER | {"requests": ["x"]}) + bytes(4), id="a request is a word"),
        pytest.param(header(HEADER | {"started_ms": float("nan")}), id="started_ms is NaN"),
        pytest.param(header("text"), id="header is a word"),
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
def test_what_is_damaged_elsewhere_is_no_entry_either(content: bytes) -> None:
    """An unreadable entry is told to be one: nothing else is raised."""
    with pytest.raises(Unreadable):
        decode(content)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_entry_or_none(tail: bytes) -> None:
    """Whatever follows the magic, nothing but Unreadable is raised."""
    for content in (tail, MAGIC + tail, header(tail)):
        with contextlib.suppress(Unreadable):
            decode(content)


SECRET_URL = "/s3cret-path?token=s3cret"


def test_no_url_and_no_credential_stands_in_an_entry() -> None:
    """What a run keeps when its receiver refuses, or is not there, has neither the endpoint's url nor a key of it."""
    with Receiver() as receiver:
        receiver.always(Fault.status(503))
        for host in (urlsplit(receiver.url).netloc, f"127.0.0.1:{free_port()}"):
            (content,) = kept_of(f"http://{host}{SECRET_URL}")
            assert decode(content).samples == 6
            for secret in (host + "/", "s3cret", "token", "http://", KEYS.secret_key, KEYS.access_key):
                assert secret.encode() not in content


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def kept_of(url: str) -> list[bytes]:
    """What stands in the store after a run that could not deliver."""
    store, clock = MemoryStore(), Clock()
    with rig(url, clock=clock, name="amp") as wired:
        spool = Spool(store)
        spool_state = SpoolState(spool, State(store, "0", clock.now_ms))
        samples = made.samples_of(wired.points(), wired.series)
        now_ms, accounting = clock.now_ms(), Delivery("amp", collected=len(samples))
        requests = packing.pack(samples, batches.protocol_of(wired.endpoint, ()), now_ms, accounting.dropped)
        send_queue = SendQueue(requests, accounting)
        options = send.SendOptions(clock.now_ms, clock.monotonic, clock.sleep)
        send.deliver(wired.endpoint, send_queue, options, clock.monotonic() + 2)
        left = send_queue.close()
        backlog = SpoolDrain(spool_state, RunId(now_ms, "x"), accounting, time.monotonic() + 5)
        assert not backlog.keep(left, accounting, disjoint=False)
    return [content for key, content in store.objects.items() if key.startswith("spool/")]
