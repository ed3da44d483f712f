"""One exchange over a real socket: total timeouts, kept connections, and errors that say what to look at."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lambda_remote_write.http import Answer, ConnectionOptions, HttpRequest, Transport, TransportError
from sandbox.api import Api
from sandbox.server import Answer as Served
from sandbox.server import Fault
from tests.rig.tables import table

pytestmark = pytest.mark.slow  # timeouts are the subject

PLAIN = ConnectionOptions()


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as served:
        served.serve("/doc", Served(200, {"X-A": "1"}, b"hello"))
        served.serve("/echo", lambda request: Served(200, {}, request.body))
        yield served


def get(api: Api, path: str = "/doc") -> HttpRequest:
    return HttpRequest("GET", f"{api.url}{path}", {"X-B": "2"})


def body(answer: Answer) -> bytes:
    with answer:
        return b"".join(answer.chunks())


def host(api: Api) -> str:
    return api.url.removeprefix("http://")


def failure(
    transport: Transport, request: HttpRequest, seconds: float = 2.0, options: ConnectionOptions = PLAIN
) -> TransportError:
    with pytest.raises(TransportError) as caught:
        body(transport.send(request, options, seconds))
    return caught.value


# --- An exchange -----------------------------------------------------------------------------------------------------


def test_an_answer_has_status_headers_and_body(transport: Transport, api: Api) -> None:
    answer = transport.send(get(api), PLAIN, 2)
    assert (answer.status, answer.headers["x-a"], body(answer), answer.resent) == (200, "1", b"hello", False)
    assert api.requests[0].headers["X-B"] == "2"


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_bodies_of_any_size_go_both_ways(transport: Transport, api: Api, size: int) -> None:
    content = bytes(index % 251 for index in range(1000)) * (size // 1000) + b"x" * (size % 1000)
    answer = transport.send(HttpRequest("POST", f"{api.url}/echo", {}, content), PLAIN, 5)
    assert body(answer) == content


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_is_kept_when_the_body_was_read(transport: Transport, api: Api, chunked: bool) -> None:
    api.serve("/doc", Served(200, {}, b"x" * 5000, chunked=chunked))
    for _ in range(3):
        assert len(body(transport.send(get(api), PLAIN, 2))) == 5000
    assert api.connections == 1


def test_a_connection_is_given_up_when_the_body_was_not_read(transport: Transport, api: Api) -> None:
    api.serve("/doc", Served(200, {}, b"x" * 500_000))
    with transport.send(get(api), PLAIN, 2) as answer:
        assert answer.read(10) == b"x" * 10
    assert len(body(transport.send(get(api), PLAIN, 2))) == 500_000
    assert api.connections == 2


def test_a_rest_that_was_never_read_is_not_taken_for_the_next_answer(transport: Transport, api: Api) -> None:
    api.serve("/doc", Served(200, {}, b"x" * 1000))
    api.script(Fault.hang_mid_answer(sent=0.02))
    with transport.send(get(api), PLAIN, 2) as answer:
        assert answer.status == 200
    assert len(body(transport.send(get(api), PLAIN, 2))) == 1000
    assert api.connections == 2


def test_redirects_are_not_followed_and_nothing_is_decoded(transport: Transport, api: Api) -> None:
    api.serve("/doc", Served(302, {"Location": "/echo", "Content-Encoding": "gzip"}, b"not gzip"))
    answer = transport.send(get(api), PLAIN, 2)
    assert (answer.status, body(answer)) == (302, b"not gzip")


def test_the_environments_proxies_are_ignored(transport: Transport, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert body(transport.send(get(api), PLAIN, 2)) == b"hello"


def test_unequal_options_do_not_share_connections(transport: Transport, api: Api) -> None:
    for options in (PLAIN, ConnectionOptions(server_name="x"), PLAIN):
        body(transport.send(get(api), options, 2))
    assert api.connections == 2


def ask_all(transport: Transport, api: Api, numbers: range) -> int:
    """Asks so many sources in turn; gives how many connections that took."""
    before = api.connections
    for number in numbers:  # equal hosts of unequal options do not share connections
        with transport.send(get(api), ConnectionOptions(server_name=str(number)), 5, is_source=True) as answer:
            assert answer.read(100) == b"hello"
    return api.connections - before


def test_more_sources_than_places_keep_what_there_is(transport: Transport, api: Api) -> None:
    """410 targets, scraped in turn: 400 connections serve again, and so does the receiver's own."""
    assert ask_all(transport, api, range(410)) == 410
    receiver = HttpRequest("POST", f"{api.url}/echo", {}, b"x")
    body(transport.send(receiver, PLAIN, 5))
    for _ in range(2):
        assert ask_all(transport, api, range(410)) == 10
        before = api.connections
        body(transport.send(receiver, PLAIN, 5))
        assert api.connections == before


def test_sources_that_are_gone_give_their_places_to_others(api: Api) -> None:
    transport = Transport(unused_seconds=0.0)
    ask_all(transport, api, range(400))
    assert ask_all(transport, api, range(400, 410)) == 10
    assert ask_all(transport, api, range(400, 410)) == 0
    assert ask_all(transport, api, range(20, 400)) == 0
    transport.close()


# --- Kept connections that died --------------------------------------------------------------------------------------


def test_a_kept_connection_that_was_closed_costs_nothing(transport: Transport, api: Api) -> None:
    api.script(Fault.dead_keep_alive())
    body(transport.send(get(api), PLAIN, 2))
    time.sleep(0.05)
    assert body(transport.send(get(api), PLAIN, 2)) == b"hello"
    assert len(api.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_dies_under_the_request_is_replaced_once(
    transport: Transport, api: Api, method: str
) -> None:
    request = HttpRequest(method, f"{api.url}/doc", {}, b"q" if method == "POST" else None)
    body(transport.send(request, PLAIN, 2))
    api.script(Fault.reset())
    answer = transport.send(request, PLAIN, 2)
    assert (answer.resent, body(answer)) == (True, b"hello")
    assert [received.body for received in api.requests] == [b"q" if method == "POST" else b""] * 3


@pytest.mark.parametrize(
    ("kept", "fault", "requests"),
    [
        pytest.param(True, Fault.reset(), 2, id="a kept connection is replaced once and not for ever"),
        pytest.param(False, Fault.reset(), 1, id="a fresh one is not"),
        pytest.param(True, Fault.half_answer(), 1, id="nor after half an answer"),
    ],
)
def test_a_request_is_sent_again_at_most_once(
    transport: Transport, api: Api, kept: bool, fault: Fault, requests: int
) -> None:
    if kept:
        body(transport.send(get(api), PLAIN, 2))
    api.always(fault)
    assert failure(transport, get(api)).kind == "reset"
    assert len(api.requests) == kept + requests


def test_the_resent_request_shares_the_timeout(transport: Transport, api: Api) -> None:
    body(transport.send(get(api), PLAIN, 2))
    api.script(Fault(delay_seconds=0.3, handled=False, silent=True, ending="reset"), Fault.hang())
    started = time.monotonic()
    assert failure(transport, get(api), 0.5).kind == "timeout"
    assert time.monotonic() - started < 5


def test_idle_connections_are_dropped_after_a_freeze(
    transport: Transport, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    body(transport.send(get(api), PLAIN, 2))
    transport.drop_idle()
    body(transport.send(get(api), PLAIN, 2))
    assert api.connections == 1
    later = time.time() + 600
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: later)
        transport.drop_idle()
    body(transport.send(get(api), PLAIN, 2))
    assert api.connections == 2


# --- Time ------------------------------------------------------------------------------------------------------------

DRIPPED = Fault.drip_body(0.01)
CHUNKS = replace(DRIPPED, instead=Served(200, {}, b"x" * 3000, chunked=True))
SLOW = [
    ("before the headers", Fault.hang(), "waiting for the answer"),
    ("dripped headers", Fault.drip(0.5), "waiting for the answer"),
    ("in the body", Fault.hang_mid_answer(), "reading the body"),
    ("dripped body", replace(DRIPPED, instead=Served(200, {}, b"x" * 3000)), "reading the body"),
    ("dripped chunks", CHUNKS, "reading the body"),
    ("late", Fault.delay(8.0), "waiting for the answer"),
    ("just in time, then in the body", Fault(delay_seconds=0.25, sent=0.5, ending="hang"), "reading the body"),
]


@table("fault, step", SLOW)
@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
def test_the_timeout_is_total(transport: Transport, api: Api, fault: Fault, step: str, kept: bool) -> None:
    if kept:
        body(transport.send(get(api), PLAIN, 2))
    api.script(fault)
    started = time.monotonic()
    error = failure(transport, get(api), 1.0)
    assert 0.95 < time.monotonic() - started < 6
    assert error.kind == "timeout"
    assert str(error).startswith(f"{host(api)}: timed out while {step}")


def test_what_the_other_side_says_instead_of_http_is_one_printable_line(transport: Transport, api: Api) -> None:
    """It goes into log lines and onto terminals, where escape sequences would do as they please."""
    api.script(Fault.garbage(b"SSH-2.0-\x1b[31mred\x1b[0m\x07\x9b2J\r\nsecond\r\n\r\n"))
    detail = str(failure(transport, get(api), 2))
    assert "not a valid HTTP answer while waiting for the answer" in detail
    assert "red" in detail
    assert detail.isprintable()


def test_time_between_headers_and_body_counts(transport: Transport, api: Api) -> None:
    api.serve("/doc", Served(200, {}, b"x" * 900_000, fault=Fault.hang_mid_answer()))
    answer = transport.send(get(api), PLAIN, 0.3)
    time.sleep(0.35)
    started = time.monotonic()
    with pytest.raises(TransportError, match="timed out while reading the body"):
        body(answer)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("scheme", "content"), [("http", b"x" * 50_000_000), ("https", b"x")], ids=["a body", "a TLS handshake"]
)
def test_a_server_that_does_not_read_is_cut_too(transport: Transport, scheme: str, content: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        request = HttpRequest("POST", f"{scheme}://127.0.0.1:{deaf.getsockname()[1]}/", {}, content)
        started = time.monotonic()
        error = failure(transport, request, 0.3)
        assert time.monotonic() - started < 6
    assert error.kind == "timeout"


@pytest.mark.parametrize("seconds", [0, -1])
def test_without_time_nothing_is_asked(transport: Transport, api: Api, seconds: float) -> None:
    assert failure(transport, get(api), seconds).kind == "timeout"
    assert api.connections == 0


def test_a_timeout_leaves_the_next_exchange_alone(transport: Transport, api: Api) -> None:
    api.script(Fault.hang_mid_answer())
    failure(transport, get(api), 0.1)
    assert body(transport.send(get(api), PLAIN, 2)) == b"hello"


# --- Errors ----------------------------------------------------------------------------------------------------------


def test_connection_refused(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(transport, HttpRequest("GET", f"http://127.0.0.1:{port}/x?token=canary", {}))
    assert error.kind == "connect"
    assert str(error).startswith(f"127.0.0.1:{port}: no connection")
    assert "refused" in str(error)
    assert "canary" not in str(error)
    assert "object at" not in str(error)


def test_a_name_that_does_not_resolve(transport: Transport) -> None:
    error = failure(transport, HttpRequest("GET", "http://name.invalid:81/", {}))
    assert error.kind == "dns"
    assert str(error).startswith("name.invalid:81: the name does not resolve")


BROKEN = [
    ("reset", Fault.reset(), "reset", "broke while waiting for the answer"),
    ("reset before the body was read", Fault.reset(before_body=True), "reset", "broke while"),
    ("reset in the body", Fault.reset_mid_answer(), "reset", "broke while reading the body"),
    ("short body", Fault.half_answer(), "reset", "broke while reading the body"),
    ("garbage", Fault.garbage(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "protocol", "while waiting for the answer"),
]


@table("fault, kind, detail", BROKEN)
def test_broken_answers_name_host_and_step(
    transport: Transport, api: Api, fault: Fault, kind: str, detail: str
) -> None:
    api.always(fault)
    error = failure(transport, get(api))
    assert error.kind == kind
    assert str(error).startswith(f"{host(api)}: ")
    assert detail in str(error)


def test_tls_where_none_is_spoken(transport: Transport, api: Api) -> None:
    error = failure(transport, HttpRequest("GET", api.url.replace("http:", "https:"), {}))
    assert error.kind == "tls"
    assert str(error).startswith(f"{host(api)}: TLS failed")


@pytest.mark.parametrize("value", ["canary\nX: 1", "canary\r", "canary\0", "canary☃", "canary\x7f"])
def test_a_header_that_cannot_be_sent_is_named_without_its_value(transport: Transport, api: Api, value: str) -> None:
    error = failure(transport, HttpRequest("GET", api.url, {"Authorization": value}))
    assert "header Authorization" in str(error)
    assert "canary" not in str(error)
    assert api.requests == []


# --- What is left ----------------------------------------------------------------------------------------------------


def test_close_leaves_no_connection_open(api: Api) -> None:
    """A socket left open would be a ResourceWarning, which is an error here."""
    transport = Transport()
    body(transport.send(get(api), PLAIN, 2))
    api.script(Fault.half_answer(), Fault.hang_mid_answer(), Fault.reset())
    for _ in range(3):
        with pytest.raises(TransportError):
            body(transport.send(get(api), PLAIN, 0.1))
    transport.close()
    transport.close()
    assert body(transport.send(get(api), PLAIN, 2)) == b"hello"
    transport.close()
