"""Which path answers whom, and how: by Host, by Origin, by method, by state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lambda_remote_write_cli.run.status import ProcessStatus
from lambda_remote_write_cli.run.web.pages import WebOptions
from tests.rig.web import Client, MadeUp, client_of

OPERATIONS = (Path(__file__).parents[4] / "docs" / "operations.md").read_text()
NAMED = WebOptions(enable_lifecycle=True, allowed_hosts=["pusher.Example.com"])


@pytest.fixture
def process() -> MadeUp:
    return MadeUp()


@pytest.fixture
def client(process: MadeUp) -> Iterator[Client]:
    with client_of(process, NAMED) as found:
        yield found


# --- Host -------------------------------------------------------------------------------------------------------------

HOSTS = [
    pytest.param("127.0.0.1:9091", True, id="an IPv4 address"),
    pytest.param("10.1.2.3", True, id="without a port"),
    pytest.param("[::1]:9091", True, id="an IPv6 address"),
    pytest.param("[fe80::1]", True, id="one without a port"),
    pytest.param("localhost:9091", True, id="localhost"),
    pytest.param("LOCALHOST", True, id="in capitals"),
    pytest.param("pusher.example.com:9091", True, id="an allowed name"),
    pytest.param("PUSHER.example.COM", True, id="whatever its case"),
    pytest.param("evil.example.com:9091", False, id="another name"),
    pytest.param("pusher.example.com.evil.org", False, id="a name that begins with an allowed one"),
    pytest.param("127.0.0.1.evil.org", False, id="a name that begins with an address"),
    pytest.param("localhost.evil.org", False, id="a name that begins with localhost"),
    pytest.param("2130706433", False, id="an address as a number, which a browser shows as a name"),
    pytest.param("user@127.0.0.1", False, id="a user"),
    pytest.param("127.0.0.1:9091/x", False, id="a path"),
    pytest.param("[evil.org]", False, id="a name in brackets"),
    pytest.param("", False, id="an empty one"),
]


@pytest.mark.parametrize(("host", "is_allowed"), HOSTS)
@pytest.mark.parametrize(("path", "method"), [("/", "GET"), ("/-/reload", "POST")])
def test_the_status_page_and_reload_are_for_known_hosts(
    client: Client, process: MadeUp, path: str, method: str, host: str, is_allowed: bool
) -> None:
    answer = client.ask(path, method, [("Host", host)])
    assert answer.status == (200 if is_allowed else 403)
    assert process.reloads == (1 if is_allowed and method == "POST" else 0)
    assert is_allowed or "pusher 9.8.7" not in answer.text


@pytest.mark.parametrize(("host", "is_allowed"), HOSTS)
@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready"])
def test_metrics_and_health_are_for_all(client: Client, path: str, host: str, is_allowed: bool) -> None:
    assert client.ask(path, headers=[("Host", host)]).status == 200


def test_a_refused_host_is_answered_with_the_flag_that_allows_it(client: Client) -> None:
    assert "--web.allowed-host=evil.example.com" in client.ask("/", headers=[("Host", "evil.example.com:1")]).text


def test_two_hosts_are_none(client: Client) -> None:
    assert client.ask("/", headers=[("Host", "localhost"), ("Host", "localhost")]).status == 403


def test_a_request_without_host_is_refused(client: Client) -> None:
    assert client.raw(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 403 ")


# --- Reload -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin", "is_allowed"),
    [
        pytest.param("localhost:9091", "http://localhost:9091", True, id="the same"),
        pytest.param("localhost:9091", "http://LOCALHOST:9091", True, id="in another case"),
        pytest.param("localhost:9091", "https://localhost:9091", True, id="behind a proxy with TLS"),
        pytest.param("localhost:9091", "http://localhost:9092", False, id="another port"),
        pytest.param("localhost:9091", "http://localhost", False, id="no port"),
        pytest.param("localhost:9091", "http://evil.example.com", False, id="another site"),
        pytest.param("localhost:9091", "http://localhost:9091.evil.org", False, id="one that begins the same"),
        pytest.param("localhost:9091", "http://user@localhost:9091", False, id="a user"),
        pytest.param("localhost:9091", "null", False, id="a page without an origin"),
        pytest.param("localhost:9091", "", False, id="an empty one"),
        pytest.param("localhost:9091", "http://[", False, id="no address at all"),
        pytest.param("localhost:9091", "file://localhost:9091", False, id="a file"),
    ],
)
def test_reload_is_not_for_other_sites(
    client: Client, process: MadeUp, host: str, origin: str, is_allowed: bool
) -> None:
    answer = client.ask("/-/reload", "POST", [("Host", host), ("Origin", origin)])
    assert answer.status == (200 if is_allowed else 403)
    assert process.reloads == is_allowed
    assert is_allowed or "Origin" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_reload_answers_after_it_and_with_all_mistakes(client: Client, process: MadeUp, method: str) -> None:
    assert client.ask("/-/reload", method).status == 200
    process.refusal = "2 mistakes in the config:\na.yaml:1: one\na.yaml:2: two"
    answer = client.ask("/-/reload", method)
    assert answer.status == 500
    assert answer.text == f"failed to reload config: {process.refusal}\n"  # web/web.go, serveReload
    assert process.reloads == 2


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_reload_is_off_without_its_flag(process: MadeUp, method: str) -> None:
    with client_of(process) as client:
        answer = client.ask("/-/reload", method)
    assert (answer.status, answer.text.strip()) == (403, "Lifecycle API is not enabled.")  # Prometheus web/web.go
    assert process.reloads == 0


def test_a_body_is_read_and_forgotten(client: Client, process: MadeUp) -> None:
    head = f"POST /-/reload HTTP/1.1\r\nHost: {client.host}\r\nContent-Length: 3\r\n\r\n"
    assert client.raw(head.encode() + b"abc").startswith(b"HTTP/1.1 200 ")
    assert process.reloads == 1


# --- Methods, paths, state --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_pages_are_read_only(client: Client, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "get", "NONE"):
        answer = client.ask(path, method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD"), method


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_reload_is_not_read(client: Client, process: MadeUp, method: str) -> None:
    answer = client.ask("/-/reload", method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST, PUT")
    assert answer.text == ("" if method == "HEAD" else "Only POST or PUT requests allowed\n")  # Prometheus web/web.go
    assert process.reloads == 0


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_head_is_get_without_its_body(client: Client, path: str) -> None:
    whole, head = client.ask(path), client.ask(path, "HEAD")
    assert (head.status, head.text) == (200, "")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert int(whole.headers["content-length"]) == len(whole.text.encode())


@pytest.mark.parametrize("path", ["/index.html", "/metrics/", "/-/quit", "/../etc/passwd", "http://evil.org/"])
def test_there_are_no_other_pages(client: Client, path: str) -> None:
    assert client.ask(path).status == 404


def test_the_pages_are_those_of_the_docs(client: Client) -> None:
    section = OPERATIONS.partition("## As a process")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `(/[a-z/-]*)` \| ([A-Z, ]+) \|", section, re.M))
    assert client.ask("/nothing").text.strip().rpartition("there are ")[2].split(", ") == list(documented)
    for path, methods in documented.items():
        assert client.ask(path, "NONE").headers["allow"].replace(", HEAD", "") == methods


def test_a_query_changes_nothing(client: Client) -> None:
    assert client.ask("/-/ready?a=b").status == 200


def test_ready_while_it_is(client: Client, process: MadeUp) -> None:
    assert client.ask("/-/ready").status == 200
    process.made = replace(process.made, is_ready=False)
    assert client.ask("/-/ready").status == 503
    assert client.ask("/-/healthy").status == 200
    assert client.ask("/metrics").status == 200
    assert client.ask("/-/reload", "POST").status == 503
    assert process.reloads == 0


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/ready", "/-/reload", "/nothing"])
def test_every_answer_has_the_headers_that_browsers_obey(client: Client, path: str) -> None:
    headers = client.ask(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert not policy.keys() & {"script-src", "script-src-elem", "img-src"}


def test_a_page_that_fails_is_said_and_fails_alone() -> None:
    class Failing(MadeUp):
        def status(self) -> ProcessStatus:
            raise RuntimeError("unheard of")

    failing = Failing()
    with client_of(failing) as client:
        assert client.ask("/metrics").status == 500
        assert client.ask("/-/healthy").status == 200
    assert any("/metrics" in line and "unheard of" in line for line in failing.said)
