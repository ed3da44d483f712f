"""TLS with certificates of our own making, and proxies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.rig.json_source import Rig, error
from tests.rig.tables import table
from tests.rig.tls_peers import Certificates, Seen, make_certificates, proxy, tls_server

METRIC = "{name: m, value: v}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), "DNS:localhost,DNS:api.test,IP:127.0.0.1")


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of another CA, for another name."""
    return make_certificates(tmp_path_factory.mktemp("other_ca"), "DNS:elsewhere.test")


@pytest.fixture
def server(certificates: Certificates) -> Iterator[Seen]:
    with tls_server(certificates) as seen:
        yield seen


def fetch(rig: Rig, server: Seen, tls: str, host: str = "127.0.0.1", keys: str = "") -> str:
    more = f"scrape_timeout: 2s, tls_config: {tls}{', ' if keys else ''}{keys}"
    return error(rig.push(rig.job(METRIC, path=f"https://{host}:{server.port}/doc", keys=more)))


def inline(certificates: Certificates, **names: str) -> str:
    return json.dumps({key: certificates.text(name) for key, name in names.items()})


CHECKED = [  # (id, whose server, tls_config, host, words of the error)
    ("CA from a file", "own", "{ca_file: %ca_file}", "127.0.0.1", []),
    ("CA inline", "own", "{ca: %ca}", "localhost", []),
    ("an unknown CA", "own", "{}", "127.0.0.1", ["TLS failed", "certificate"]),
    ("any certificate", "other", "{insecure_skip_verify: true}", "127.0.0.1", []),
    ("another name", "other", "{ca: %ca}", "127.0.0.1", ["TLS failed"]),
    ("the name that is checked", "other", "{ca_file: %ca_file, server_name: elsewhere.test}", "127.0.0.1", []),
    ("a wrong name", "own", "{ca_file: %ca_file, server_name: other.test}", "127.0.0.1", ["TLS failed"]),
    ("no certificate", "own", "{ca: 'not a certificate'}", "127.0.0.1", []),
    ("a version", "own", "{ca_file: %ca_file, min_version: TLS12, max_version: TLS12}", "127.0.0.1", []),
]


@table("whose, tls, host, words", CHECKED)
def test_which_servers_are_trusted(
    rig: Rig, certificates: Certificates, other_ca: Certificates, whose: str, tls: str, host: str, words: list[str]
) -> None:
    """One that is not is sent nothing."""
    there = certificates if whose == "own" else other_ca
    tls = tls.replace("%ca_file", there.path("ca")).replace("%ca", json.dumps(there.text("ca")))
    is_trusted = not words and "not a certificate" not in tls
    with tls_server(there) as server:
        detail = fetch(rig, server, tls, host, "authorization: {credentials: tok}")
        assert [word for word in words if word not in detail] == []
        assert bool(detail) is not is_trusted
        assert not words or f"{host}:{server.port}" in detail
        assert [f"Host: {host}:{server.port}" in request for request in server.requests] == [True] * is_trusted
    assert rig.value("up") == is_trusted


@pytest.mark.parametrize("form", ["files", "inline"])
def test_client_certificate(rig: Rig, certificates: Certificates, form: str) -> None:
    files = {"ca_file": "ca", "cert_file": "client", "key_file": "client-key"}
    tls = json.dumps({key: certificates.path(name) for key, name in files.items()})
    if form == "inline":
        tls = inline(certificates, ca="ca", cert="client", key="client-key")
    with tls_server(certificates, client="required") as server:
        assert fetch(rig, server, tls) == ""
        assert server.clients == ["client"]


def test_without_the_required_client_certificate_it_is_up_0(rig: Rig, certificates: Certificates) -> None:
    with tls_server(certificates, client="required") as server:
        detail = fetch(rig, server, inline(certificates, ca="ca"))
        assert f"127.0.0.1:{server.port}" in detail
        assert server.clients == []
    assert rig.value("up") == 0


def test_the_client_certificate_does_not_follow_a_redirect_to_another_origin(
    rig: Rig, certificates: Certificates
) -> None:
    """The CA is no credential: it is kept, as everything else of tls_config that is none."""
    with tls_server(certificates, client="wanted") as other:
        moved = f"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:{other.port}/doc\r\nContent-Length: 0\r\n\r\n"
        with tls_server(certificates, moved.encode(), client="required") as server:
            tls = inline(certificates, ca="ca", cert="client", key="client-key")
            assert fetch(rig, server, tls, keys="headers: {X-Key: secret}") == ""
            assert server.clients == ["client"]
        assert (len(other.requests), other.clients) == (1, [])
        assert "X-Key" not in other.requests[0]


def test_plain_http_on_the_tls_port_and_the_other_way_round(rig: Rig, server: Seen) -> None:
    detail = error(rig.push(rig.job(METRIC, path=f"http://127.0.0.1:{server.port}/doc", keys="scrape_timeout: 1s")))
    assert f"127.0.0.1:{server.port}" in detail
    port = rig.api.url.rpartition(":")[2]
    detail = error(rig.push(rig.job(METRIC, path=f"https://127.0.0.1:{port}/doc", name="k", keys="scrape_timeout: 1s")))
    assert "TLS failed" in detail


# --- Proxies ---------------------------------------------------------------------------------------------------------


def test_http_goes_through_the_proxy(rig: Rig) -> None:
    rig.serve('{"v":1}')
    with proxy() as seen:
        report = rig.push(rig.job(METRIC, keys=f"proxy_url: 'http://me:pw@127.0.0.1:{seen.port}'"))
    assert error(report) == ""
    (request,) = seen.requests
    assert request.startswith(f"GET {rig.api.url}/doc HTTP/1.1\r\n")
    assert "roxy-" in request
    assert "Basic bWU6cHc=" in request


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_https_goes_through_a_tunnel_that_sees_no_credentials(
    rig: Rig, server: Seen, certificates: Certificates, scheme: str
) -> None:
    """Of a proxy over TLS too, which tls_config is for as for the target (Go's http.Transport)."""
    with proxy(certificates=certificates if scheme == "https" else None) as seen:
        keys = (
            f"proxy_url: '{scheme}://127.0.0.1:{seen.port}', proxy_connect_header: {{X-Pass: [letmein]}}, "
            "authorization: {credentials: tok}"
        )
        detail = fetch(rig, server, f"{{ca_file: {certificates.path('ca')}}}", keys=keys)
    assert detail == ""
    (request,) = seen.requests
    assert request.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.")
    assert "X-Pass: letmein" in request
    assert "tok" not in request
    assert "Bearer tok" in server.requests[0]
    assert "letmein" not in server.requests[0]


@pytest.mark.parametrize(
    ("no_proxy", "used"),
    [
        ("127.0.0.1:{port}", False),
        ("localhost,10.0.0.0/8", True),
    ],
)
def test_no_proxy(rig: Rig, no_proxy: str, used: bool) -> None:
    rig.serve('{"v":1}')
    no_proxy = no_proxy.format(port=rig.api.url.rpartition(":")[2])
    with proxy() as seen:
        report = rig.push(rig.job(METRIC, keys=f"proxy_url: 'http://127.0.0.1:{seen.port}', no_proxy: '{no_proxy}'"))
    assert error(report) == ""
    assert bool(seen.requests) is used


@pytest.mark.parametrize("asked", [True, False])
def test_the_environments_proxy_is_used_only_when_asked_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    rig.serve('{"v":1}')
    with proxy() as seen:
        url = f"http://127.0.0.1:{seen.port}"
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("http_proxy", url)
        rig.env_vars |= {"HTTP_PROXY": url, "NO_PROXY": "other.test"}
        assert error(rig.push(rig.job(METRIC, keys="proxy_from_environment: true" if asked else ""))) == ""
    assert bool(seen.requests) is asked


REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
FAILING = [  # (id, answer of the proxy, whose certificate it has, whether the target's CA is known, words of the error)
    ("it refuses", REFUSAL, "", True, ["proxy", "407"]),
    ("its certificate is unknown", b"", "other", True, ["the proxy failed while connecting", "certificate"]),
    ("the target's certificate is unknown", b"", "", False, ["TLS failed while connecting"]),
]


@table("refuse, whose, is_known, words", FAILING)
def test_a_proxy_or_what_is_behind_it_fails(
    rig: Rig,
    server: Seen,
    certificates: Certificates,
    other_ca: Certificates,
    refuse: bytes,
    whose: str,
    is_known: bool,
    words: list[str],
) -> None:
    with proxy(refuse=refuse, certificates=other_ca if whose else None) as seen:
        keys = f"proxy_url: '{'https' if whose else 'http'}://me:canary@127.0.0.1:{seen.port}'"
        detail = fetch(rig, server, f"{{ca_file: {certificates.path('ca')}}}" if is_known else "{}", keys=keys)
    assert [word for word in words if word not in detail] == []
    assert "canary" not in detail
    assert server.requests == []
    assert bool(seen.requests) is not bool(whose)


def test_a_proxy_that_is_down(rig: Rig, server: Seen) -> None:
    with proxy() as seen:
        pass
    detail = fetch(rig, server, "{}", keys=f"proxy_url: 'http://127.0.0.1:{seen.port}'")
    assert "proxy" in detail
    assert "refused" in detail
    assert "object at" not in detail


@pytest.mark.parametrize(("drip", "delay"), [(0.5, 0.0), (0.0, 0.4)], ids=["drips", "is late"])
def test_the_timeout_counts_the_proxy_too(rig: Rig, certificates: Certificates, drip: float, delay: float) -> None:
    """A slow tunnel and a slow server behind it share one total timeout."""
    with (
        tls_server(certificates, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") as server,
        proxy(drip_seconds=drip, delay_seconds=delay) as seen,
    ):
        started = time.monotonic()
        keys = f"scrape_timeout: 500ms, proxy_url: 'http://127.0.0.1:{seen.port}'"
        tls = f"tls_config: {{ca_file: {certificates.path('ca')}}}"
        report = rig.push(rig.job(METRIC, path=f"https://127.0.0.1:{server.port}/", keys=f"{keys}, {tls}"))
        assert time.monotonic() - started < 6
    assert error(report)
