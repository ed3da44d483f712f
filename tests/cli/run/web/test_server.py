"""Clients that are slow, large or wrong cost their own connection, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from lambda_remote_write_cli.run.web.listen import listen, listen_address
from lambda_remote_write_cli.run.web.server import MAX_CONNECTIONS, Server, plain
from tests.rig.web import Client, MadeUp, all_of, client_of


@pytest.fixture
def client() -> Iterator[Client]:
    with client_of(MadeUp()) as found:
        yield found


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\n\r\n", 414, id="a long address"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431, id="a long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, id="many headers"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: %990d\r\n" % 1 * 20 + b"\r\n", 431, id="large ones together"),
        pytest.param(b"GET /-/healthy HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", 413, id="a large body"),
        pytest.param(b"GET /-/healthy HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, id="a negative length"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, id="many digits"),
        pytest.param(b"GET /-/healthy HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, id="chunks"),
        pytest.param(b"GET /-/healthy\r\n\r\n", 400, id="HTTP 0.9"),
        pytest.param(b"GET /-/healthy HTTP/2.0\r\n\r\n", 505, id="HTTP 2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS"),
        pytest.param(b"a b c d e\r\n\r\n", 400, id="nonsense"),
        pytest.param(b"GET /-/healthy HTTP/1.0\r\n\r\n", 200, id="HTTP 1.0"),
    ],
)  # fmt: skip
def test_requests_are_bounded(client: Client, head: bytes, status: int) -> None:
    try:
        answer = client.raw(head)
    except ConnectionError:  # it was cut before all of it was read
        assert status in (413, 414, 431)
        return
    assert answer.split()[1] == str(status).encode()


def test_slow_clients_hold_up_no_others(client: Client) -> None:
    """By order: they are there before the others ask, and still after."""
    slow = [client.connect() for _ in range(3)]
    slow[0].sendall(b"GET / HT")
    slow[1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nA:")
    assert [client.ask(path).status for path in ("/-/healthy", "/", "/metrics")] == [200, 200, 200]
    for connection, rest in zip(slow, (b"TP/1.1\r\nHost: localhost\r\n\r\n", b" b\r\n\r\n"), strict=False):
        connection.sendall(rest)
        assert all_of(connection).startswith(b"HTTP/1.1 200 ")
        connection.close()
    slow[2].close()


def test_a_client_that_trickles_is_cut() -> None:
    """Each byte comes within the time that a socket waits for one, and all of them too late."""
    server = Server(listen(listen_address(":0")), lambda request: plain(200, "well"), seconds=0.5)
    server.start()
    with Client(server.address[1]).connect() as slow:
        slow.settimeout(0.02)
        assert any(is_cut_after_a_byte(slow) for _ in range(1_000))  # far from the longest line
    server.close()


def is_cut_after_a_byte(slow: socket.socket) -> bool:
    try:
        slow.sendall(b"A")
        return slow.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_more_connections_than_it_takes_are_answered_at_once(client: Client) -> None:
    held = [client.connect() for _ in range(MAX_CONNECTIONS)]
    for connection in held:
        connection.sendall(b"GET")
    refused = client.connect()
    assert b"503" in all_of(refused)
    refused.close()
    held[0].sendall(b" /-/healthy HTTP/1.1\r\n\r\n")
    assert all_of(held[0]).startswith(b"HTTP/1.1 200 ")
    for connection in held:
        connection.close()


def test_connections_for_which_there_was_no_thread_take_no_place(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refuse)
        for _ in range(MAX_CONNECTIONS):
            with client.connect() as connection:
                assert all_of(connection) == b""
    assert client.ask("/-/healthy").status == 200


def test_a_client_that_goes_away_is_no_message() -> None:
    process = MadeUp()
    with client_of(process) as client:
        client.connect().close()
        with client.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.ask("/-/healthy").status == 200
    (listening,) = process.said
    assert "listening" in listening
