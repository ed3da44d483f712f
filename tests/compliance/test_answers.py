"""What a sender does with each answer: one run to an endpoint for every kind of it, in both protocols."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from sandbox.server import Fault
from tests.rig import compliance as rig
from tests.rig.compliance import PROTOCOLS, Run, Write

pytestmark = pytest.mark.slow

SAID = "Error: Invalid label name '__invalid__'; see <there> 100%"
CONFIRMED = {"X-Prometheus-Remote-Write-Samples-Written": "6"}
RETRIED = (500, 502, 503, 504, 599)
NOT_RETRIED = (400, 401, 403, 404, 413, 422)
WELL = (200, 202, 204, 299)
BROKEN = {
    "reset": Fault.reset(),
    "half": Fault.half_answer(),
    "garbage": Fault.garbage(),
}
MIN_BACKOFF, MAX_BACKOFF, TROUBLES = 0.05, 0.4, 7


@dataclass(frozen=True)
class Scene:
    """The faults of one endpoint: first those of the script, then the lasting one."""

    script: list[Fault | None] = field(default_factory=list)
    lasting: Fault | None = None
    queue: dict[str, Any] = field(default_factory=dict)
    least: int = 4  # requests to wait for
    keys: dict[str, Any] = field(default_factory=dict)


def scenes(protocol: str) -> dict[str, Scene]:
    """By name; half an answer with a success in its status line is a success."""
    confirmed = CONFIRMED if protocol == "v2" else {}
    busy = Fault.status(429, b"Too many requests", {"Retry-After": "1"})
    found = {
        **{str(status): Scene([Fault.status(status, b"trouble")] * 2) for status in RETRIED},
        **{str(status): Scene(lasting=Fault.status(status, SAID.encode())) for status in NOT_RETRIED},
        **{str(status): Scene(lasting=Fault.status(status, b"ignored", confirmed)) for status in WELL},
        **{name: Scene([fault]) for name, fault in BROKEN.items()},
        "hang": Scene([Fault.hang()], keys={"remote_timeout": "2s"}),
        "busy": Scene([busy], queue={"retry_on_http_429": True}),
        "busy, not retried": Scene([busy] * 3, queue={"retry_on_http_429": False}),
        "busy for a moment": Scene([Fault.status(429)] * 2, queue={"retry_on_http_429": True}),
        "later": Scene([Fault.status(503, headers={"Retry-After": "1"})]),
        "backoff": Scene([Fault.status(503)] * TROUBLES, least=TROUBLES + 3),
        "large": Scene(lasting=Fault.status(400, b"x" * 1_048_576)),
        "partly": Scene(lasting=Fault.status(400, b"Rejected 4 samples", CONFIRMED)),
        "well": Scene(),
    }
    if protocol == "v2":
        refused = Fault.status(415, b"Remote write 2.0 is not taken")
        found["415"] = Scene([refused])
        found["415 late"] = Scene([None, None, refused], least=6)
        found["unconfirmed"] = Scene([Fault.status(204)])
        found["less"] = Scene(lasting=Fault.status(204, headers={"X-Prometheus-Remote-Write-Samples-Written": "0"}))
    else:
        found["415"] = Scene(lasting=Fault.status(415, b"no"))
    return found


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Everything at once, because each endpoint has a sender of its own. One more is not there at all."""
    page = b"steady 1\nrising 2\n"
    with rig.Pages({"/metrics": (page, rig.TEXT)}) as served, rig.Receiver() as receiver, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # no process listens there
        endpoints, least = [rig.endpoint(f"http://127.0.0.1:{unused.getsockname()[1]}/")], {}
        for protocol in PROTOCOLS:
            for name, scene in scenes(protocol).items():
                path = path_of(protocol, name)
                receiver.faults(path).script(*scene.script)
                receiver.faults(path).always(scene.lasting)
                endpoints.append(rig.endpoint(receiver.url(path), protocol, scene.queue, **scene.keys))
                least[path] = scene.least
        config = rig.config(endpoints, [rig.job(served.target)])
        with rig.sender(config, tmp_path_factory.mktemp("answered")) as sender:
            sender.wait_for(
                lambda: all(len(receiver.writes(path)) >= count for path, count in least.items()),
                "every endpoint has been written to often enough",
            )
            sender.kill()  # the endpoint that is not there would hold up the flush
            yield Run({path: receiver.writes(path) for path in least}, sender.started_at, 0, sender.log_text)


def path_of(protocol: str, name: str) -> str:
    return f"{protocol}-{name.replace(',', '').replace(' ', '-')}"


def at(run: Run, protocol: str, name: str) -> list[Write]:
    """The requests to one endpoint."""
    return rig.seen(run, path_of(protocol, name))


def stamps(writes: list[Write]) -> Counter[int]:
    """How often each scrape was sent."""
    return Counter(rig.stamps_of(writes, "steady"))


def attempts(writes: list[Write]) -> int:
    """How often the first body was sent, one time after the other."""
    count = 1
    while count < len(writes) and writes[count].body == writes[0].body:
        count += 1
    return count


def waits(writes: list[Write], count: int) -> list[float]:
    return [after.received_at - before.received_at for before, after in pairwise(writes[:count])]


# --- Retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", RETRIED)
def test_retried(answered: Run, protocol: str, status: int) -> None:
    """MUST: a request that is answered with 5xx is sent again, the same bytes, until it is accepted."""
    writes = at(answered, protocol, str(status))
    assert [write.status for write in writes[:3]] == [status, status, 204]
    assert attempts(writes) == 3
    assert set(stamps(writes[2:]).values()) == {1}


SENT_ONCE = {
    **dict.fromkeys(map(str, NOT_RETRIED), "MUST NOT: what is answered with 4xx (other than 429) is not sent again"),
    **dict.fromkeys(map(str, WELL), "MUST: every 2xx is a success, whatever its body: nothing is sent again"),
    "large": "SHOULD: a large error text is no reason to stop",
    "partly": "MUST NOT: a 400 that confirms a part is not retried: the rest was refused for good",
}


@pytest.mark.parametrize("name", SENT_ONCE, ids=[f"{sentence}: {name}" for name, sentence in SENT_ONCE.items()])
def test_sent_once(answered: Run, protocol: str, name: str) -> None:
    writes = at(answered, protocol, name)
    assert_sent_once(writes, protocol)
    assert not name.isdigit() or {write.status for write in writes} == {int(name)}


def assert_sent_once(writes: list[Write], protocol: str) -> None:
    """Each request, and the next one is, in the same protocol."""
    assert len(writes) >= 4
    assert set(stamps(writes).values()) == {1}
    assert {write.protocol for write in writes} == {protocol}


def test_429_retried(answered: Run, protocol: str) -> None:
    """MAY: a request that is answered with 429 is sent again, where retry_on_http_429 says so."""
    for name in ("busy", "busy for a moment"):
        writes = at(answered, protocol, name)
        assert attempts(writes) == sum(write.status == 429 for write in writes) + 1
        assert attempts(writes) > 1


def test_429_not_retried(answered: Run, protocol: str) -> None:
    """MAY: without retry_on_http_429, 429 is final as other 4xx are."""
    writes = at(answered, protocol, "busy, not retried")
    assert [write.status for write in writes[:4]] == [429, 429, 429, 204]
    assert set(stamps(writes).values()) == {1}


@pytest.mark.parametrize("name", ["busy", "later"])
def test_retry_after(answered: Run, protocol: str, name: str) -> None:
    """MAY: Retry-After says how long to wait, on 429 and on 503."""
    writes = at(answered, protocol, name)
    assert attempts(writes) == 2
    assert 0.95 <= waits(writes, 2)[0] < 5


@pytest.mark.parametrize("name", ["reset", "garbage", "hang"])
def test_no_answer(answered: Run, protocol: str, name: str) -> None:
    """SHOULD: a connection that breaks, an answer that is none or that does not come in time is tried again."""
    writes = at(answered, protocol, name)
    assert attempts(writes) == 2
    assert set(stamps(writes[1:]).values()) == {1}


def test_half_an_answer(answered: Run, protocol: str) -> None:
    """SHOULD: an answer that ends early is no reason to stop."""
    writes = at(answered, protocol, "half")
    assert len(stamps(writes)) >= 3


def test_no_listener(answered: Run, protocol: str) -> None:
    """SHOULD: an endpoint that refuses connections holds up no other."""
    assert set(stamps(at(answered, protocol, "well")).values()) == {1}


# --- Backoff ----------------------------------------------------------------------------------------------------------


def test_backoff(answered: Run, protocol: str) -> None:
    """MUST: retries use a backoff, so that the receiver is not overwhelmed: never at once."""
    for name in ("backoff", *map(str, RETRIED)):
        writes = at(answered, protocol, name)
        assert all(wait >= 0.001 for wait in waits(writes, attempts(writes)))


def test_backoff_begins_small(answered: Run, protocol: str) -> None:
    """SHOULD: the first wait is min_backoff, give or take the jitter."""
    first, *_ = waits(at(answered, protocol, "backoff"), 2)
    assert first >= 0.8 * MIN_BACKOFF


def test_backoff_grows(answered: Run, protocol: str) -> None:
    """SHOULD: each wait is about twice the one before, up to the longest, across the scrapes that go on meanwhile."""
    writes = at(answered, protocol, "backoff")
    assert attempts(writes) == TROUBLES + 1
    found = waits(writes, TROUBLES + 1)
    meant = [min(MIN_BACKOFF * 2**count, MAX_BACKOFF) for count in range(TROUBLES)]
    assert all(wait >= 0.8 * least for wait, least in zip(found, meant, strict=True)), found
    assert sum(found) < sum(meant) + 3, found  # a busy machine may be late


def test_backoff_ends_growing(answered: Run, protocol: str) -> None:
    """SHOULD: no wait is longer than max_backoff, give or take the jitter."""
    found = waits(at(answered, protocol, "backoff"), TROUBLES + 1)
    assert sorted(found)[TROUBLES // 2] <= 1.5 * MAX_BACKOFF, found


def test_nothing_is_lost(answered: Run, protocol: str) -> None:
    """SHOULD: samples that came while the receiver was in trouble are kept, and sent when it is well again."""
    for name in ("backoff", "later", *map(str, RETRIED)):
        assert_complete(answered, at(answered, protocol, name))


def assert_complete(answered: Run, writes: list[Write]) -> None:
    """Every scrape that an untroubled endpoint got was accepted here too, up to the last that both have."""
    everything = stamps(at(answered, "v1", "well"))
    accepted = stamps([write for write in writes if write.status == 204])
    last = min(max(accepted), max(everything))
    assert {stamp for stamp in accepted if stamp <= last} == {stamp for stamp in everything if stamp <= last}
    assert set(accepted.values()) == {1}


def test_in_order(answered: Run, protocol: str) -> None:
    """MUST: the samples of a series stay in order whatever is answered; only an attempt repeats what was sent."""
    for name in scenes(protocol):
        newest, body = 0, b""
        for write in at(answered, protocol, name):
            if write.body == body or not write.series:
                continue
            sent = rig.stamps_of([write], "steady")
            is_again = write.protocol == "v1" and protocol == "v2" and sent[-1] == newest  # the same, in 1.0
            assert is_again or (sent == sorted(set(sent)) and sent[0] > newest), name
            newest, body = sent[-1], write.body


# --- Error texts ------------------------------------------------------------------------------------------------------


def test_error_text(answered: Run, protocol: str) -> None:
    """SHOULD: the text of an error is logged as it is, and not interpreted."""
    assert len(at(answered, protocol, "400")) > 0
    lines = [line for line in answered.log_text.splitlines() if path_of(protocol, "400") in line]
    assert any(SAID in line for line in lines), lines


def test_large_error_text(answered: Run) -> None:
    """SHOULD: a large error text is not logged as a whole."""
    assert max(map(len, answered.log_text.splitlines())) < 3000


# --- Fallback ---------------------------------------------------------------------------------------------------------


def test_fallback_on_415(answered: Run) -> None:
    """SHOULD: a 2.0 message that is answered with 415 is sent again as a 1.0 message."""
    refused, again, *_ = at(answered, "v2", "415")
    assert (refused.protocol, refused.status, again.protocol) == ("v2", 415, "v1")
    mine, theirs = ({one.pairs: one.samples for one in write.series} for write in (refused, again))
    assert mine.keys() == theirs.keys()
    assert {pairs: samples[0].value for pairs, samples in mine.items()} == {
        pairs: samples[0].value for pairs, samples in theirs.items()
    }
    assert {one.ms for samples in mine.values() for one in samples} == {
        one.ms for samples in theirs.values() for one in samples
    }


@pytest.mark.parametrize("name", ["415", "415 late", "unconfirmed"])
def test_headers_of_the_fallback(answered: Run, name: str) -> None:
    """MUST: the headers change with the message: Content-Type and version are those of 1.0."""
    writes = at(answered, "v2", name)
    assert {write.protocol for write in writes} == {"v1", "v2"}
    for write in writes:
        meant = {"v1": ("application/x-protobuf", "0.1.0"), "v2": (writes[0].header("Content-Type")[0], "2.0.0")}
        content_type, version = meant[write.protocol]
        assert write.header("Content-Type") == [content_type]
        assert write.header("X-Prometheus-Remote-Write-Version") == [version]


@pytest.mark.parametrize("name", ["415", "415 late", "unconfirmed"])
def test_fallback_is_remembered(answered: Run, name: str) -> None:
    """SHOULD: the choice of 1.0 stays: 2.0 is not tried again with every request."""
    spoken = [write.protocol for write in at(answered, "v2", name)]
    assert spoken == sorted(spoken, reverse=True)
    assert spoken.count("v1") >= 3


def test_nothing_is_lost_by_the_fallback(answered: Run) -> None:
    """SHOULD: what was accepted after the fallback goes on from where it was refused."""
    assert_complete(answered, at(answered, "v2", "415"))


def test_unconfirmed(answered: Run) -> None:
    """SHOULD: 2xx without any Written header is a receiver that does not know 2.0, and is treated as 415."""
    first, second, *_ = at(answered, "v2", "unconfirmed")
    assert (first.protocol, first.status, second.protocol) == ("v2", 204, "v1")
    assert stamps([first]) == stamps([second])


def test_less_confirmed(answered: Run) -> None:
    """MUST NOT: 2xx is not retried, not even where the Written headers say less than was sent."""
    assert_sent_once(at(answered, "v2", "less"), "v2")


def test_no_fallback_from_1_0(answered: Run) -> None:
    """MUST NOT: there is nothing below 1.0: a 415 to it is final as other 4xx are."""
    assert_sent_once(at(answered, "v1", "415"), "v1")
