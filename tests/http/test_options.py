"""How a connection is made and who we say we are: proxies and their exceptions, TLS files, auth headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_remote_write.config.schema import Authorization, BasicAuth, HttpClientConfig, ProxyConfig, TlsConfig
from lambda_remote_write.config.secrets import Secret, SecretError, SecretStore
from lambda_remote_write.http.options import auth_headers, connection_options
from tests.rig.tables import table

PROXY = "http://user:password@proxy.example.com:3128"
VALUE = "s3cr3t-value"


def secrets(**env_vars: str) -> SecretStore:
    def no_client(service: str) -> object:
        raise AssertionError(f"a client for {service} was made")

    return SecretStore(env_vars, no_client, lambda: 0.0)


def proxy_of(url: str, proxy: ProxyConfig, **env_vars: str) -> str:
    return connection_options(url, TlsConfig(), proxy, secrets(), env_vars).proxy_url


# --- no_proxy, as Go's httpproxy --------------------------------------------------------------------------------------

NO_PROXY: list[tuple[str, str, bool]] = [  # (no_proxy, URL, whether the proxy is used)
    # names
    ("example.com", "http://example.com/", False),
    ("example.com", "http://api.example.com/", False),
    ("example.com", "http://a.b.example.com/", False),
    ("example.com", "http://notexample.com/", True),
    ("example.com", "http://example.com.evil.org/", True),
    ("example.com", "http://EXAMPLE.com/", False),
    ("EXAMPLE.com", "http://api.example.COM/", False),
    ("com", "http://example.com/", False),
    ("api.example.com", "http://example.com/", True),
    # subdomains alone
    (".example.com", "http://api.example.com/", False),
    (".example.com", "http://example.com/", True),
    (".example.com", "http://notexample.com/", True),
    ("*.example.com", "http://api.example.com/", False),
    ("*.example.com", "http://a.b.example.com/", False),
    ("*.example.com", "http://example.com/", True),
    ("api.*", "http://api.example.com/", True),
    # all
    ("*", "http://example.com/", False),
    ("a.org, *, b.org", "http://example.com/", False),
    ("*", "http://10.0.0.1/", False),
    ("*:80", "http://example.com/", True),
    # lists
    ("a.org,example.com", "http://example.com/", False),
    (" a.org , example.com ", "http://example.com/", False),
    (",, example.com,", "http://example.com/", False),
    ("a.org example.com", "http://example.com/", True),
    (",", "http://example.com/", True),
    ("", "http://example.com/", True),
    # ports
    ("example.com:8080", "http://example.com:8080/", False),
    ("example.com:8080", "http://example.com:8081/", True),
    ("example.com:8080", "http://example.com/", True),
    ("example.com:80", "http://example.com/", False),
    ("example.com:443", "https://example.com/", False),
    ("example.com:443", "http://example.com/", True),
    ("example.com:", "http://example.com:8080/", False),
    (".example.com:443", "https://api.example.com/", False),
    ("*.example.com:443", "https://api.example.com/", False),
    (":80", "http://example.com/", True),
    # addresses and networks
    ("10.0.0.1", "http://10.0.0.1/", False),
    ("10.0.0.1", "http://10.0.0.11/", True),
    ("10.0.0.1:8080", "http://10.0.0.1:8080/", False),
    ("10.0.0.1:8080", "http://10.0.0.1/", True),
    ("10.0.0.0/8", "http://10.200.3.4/", False),
    ("10.0.0.0/8", "http://11.0.0.1/", True),
    ("10.1.2.3/8", "http://10.200.3.4/", False),
    ("10.0.0.0/8", "http://ten.example.com/", True),
    ("10.0.0.0/33", "http://10.0.0.1/", True),
    ("fd00::/8", "http://[fd12::1]/", False),
    ("fd00::/8", "http://[fe80::1]/", True),
    ("fd00::1", "http://[fd00:0::1]/", False),
    ("[fd00::1]:8080", "http://[fd00::1]:8080/", False),
    ("[fd00::1]:8080", "http://[fd00::1]:8081/", True),
]
NO_PROXY_IDS = [f"{entries} {url}" for entries, url, _ in NO_PROXY]


@pytest.mark.parametrize(("entries", "url", "used"), NO_PROXY, ids=NO_PROXY_IDS)
def test_no_proxy(entries: str, url: str, used: bool) -> None:
    """`no_proxy` excepts hosts from `proxy_url` by the rules of Go's httpproxy."""
    proxy = ProxyConfig(url=Secret(literal=PROXY), no_proxy=entries)
    assert proxy_of(url, proxy) == (PROXY if used else "")


@pytest.mark.parametrize(("entries", "url", "used"), NO_PROXY, ids=NO_PROXY_IDS)
def test_no_proxy_of_the_environment(entries: str, url: str, used: bool) -> None:
    """NO_PROXY has the same rules."""
    env_vars = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": entries}
    assert proxy_of(url, ProxyConfig(from_environment=True), **env_vars) == (PROXY if used else "")


def test_proxy_url_alone() -> None:
    """Without `no_proxy` everything goes through `proxy_url`, this machine too, as in Prometheus."""
    proxy = ProxyConfig(url=Secret(literal=PROXY))
    assert proxy_of("http://localhost:9090/", proxy) == PROXY
    assert proxy_of("https://example.com/", proxy) == PROXY


A, B = "http://a.example.com:1", "http://b.example.com:2"
FROM_ENVIRONMENT: list[tuple[str, dict[str, str], str]] = [  # (URL, environment, proxy)
    ("http://example.com/", {}, ""),
    ("http://example.com/", {"HTTP_PROXY": A}, A),
    ("http://example.com/", {"http_proxy": A}, A),
    ("http://example.com/", {"HTTP_PROXY": A, "http_proxy": B}, A),
    ("http://example.com/", {"HTTPS_PROXY": A}, ""),
    ("https://example.com/", {"HTTPS_PROXY": A}, A),
    ("https://example.com/", {"https_proxy": A, "HTTP_PROXY": B}, A),
    ("https://example.com/", {"HTTP_PROXY": A}, ""),
    ("https://example.com/", {"ALL_PROXY": A}, ""),
    ("http://example.com/", {"HTTP_PROXY": "a.example.com:1"}, A),
    ("http://example.com/", {"HTTP_PROXY": A, "no_proxy": "example.com"}, ""),
    ("http://example.com/", {"HTTP_PROXY": A, "NO_PROXY": "example.com", "no_proxy": "b.org"}, ""),
    ("http://example.com/", {"HTTP_PROXY": A, "NO_PROXY": "b.org", "no_proxy": "example.com"}, A),
]


@pytest.mark.parametrize(
    ("url", "env_vars", "proxy"), FROM_ENVIRONMENT, ids=[f"{url} {given}" for url, given, _ in FROM_ENVIRONMENT]
)
def test_proxy_from_environment(url: str, env_vars: dict[str, str], proxy: str) -> None:
    """With `proxy_from_environment` the variables count, upper case before lower case, as in Go."""
    assert proxy_of(url, ProxyConfig(from_environment=True), **env_vars) == proxy


def test_environment_is_not_trusted_unasked() -> None:
    """Without `proxy_from_environment` the variables do nothing."""
    assert proxy_of("http://example.com/", ProxyConfig(), HTTP_PROXY=A, http_proxy=A) == ""


def test_connect_header() -> None:
    """proxy_connect_header goes to the proxy only: where none is used there is none."""
    header = (("X-Proxy", (Secret(literal="one"), Secret(reference="env:TWO"))),)
    proxy = ProxyConfig(url=Secret(literal=PROXY), no_proxy="b.org", connect_header=header)
    through = connection_options("http://a.org/", TlsConfig(), proxy, secrets(TWO="two"), {})
    past = connection_options("http://b.org/", TlsConfig(), proxy, secrets(TWO="two"), {})
    assert through.proxy_headers == (("X-Proxy", "one"), ("X-Proxy", "two"))
    assert (past.proxy_url, past.proxy_headers) == ("", ())


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_tls(tmp_path: Path) -> None:
    """Certificates and keys are read, versions and names passed on."""
    (tmp_path / "ca.pem").write_text("CA\n")
    tls = TlsConfig(
        ca=Secret(file=str(tmp_path / "ca.pem")),
        cert=Secret(literal="CERT"),
        key=Secret(reference="env:KEY"),
        server_name="api.internal",
        insecure_skip_verify=True,
        min_version="TLS13",
        max_version="TLS13",
    )
    options = connection_options("https://example.com/", tls, ProxyConfig(), secrets(KEY="PRIVATE"), {})
    assert (options.ca, options.cert, options.key) == ("CA", "CERT", "PRIVATE")
    assert (options.server_name, options.verify) == ("api.internal", False)
    assert (options.min_version, options.max_version) == ("TLS13", "TLS13")


def test_tls_defaults() -> None:
    """Without tls_config: the machine's authorities, verified, TLS 1.2 or newer."""
    options = connection_options("https://example.com/", TlsConfig(), ProxyConfig(), secrets(), {})
    assert (options.ca, options.cert, options.key, options.verify) == ("", "", "", True)
    assert (options.min_version, options.max_version) == ("TLS12", "")


@pytest.mark.parametrize("field", ["ca", "cert", "key"])
def test_tls_file_missing(tmp_path: Path, field: str) -> None:
    """A certificate or key that is not there is named."""
    tls = TlsConfig(**{field: Secret(file=str(tmp_path / f"{field}.pem"))})
    with pytest.raises(SecretError, match=rf"{field}\.pem: No such file"):
        connection_options("https://example.com/", tls, ProxyConfig(), secrets(), {})


def test_options_hide() -> None:
    """Connection options hold resolved secrets and print none."""
    tls = TlsConfig(ca=Secret(literal=VALUE), cert=Secret(literal=VALUE), key=Secret(literal=VALUE))
    header = (("X-Proxy", (Secret(literal=VALUE),)),)
    proxy = ProxyConfig(url=Secret(literal=f"http://user:{VALUE}@proxy.example.com"), connect_header=header)
    options = connection_options("https://example.com/", tls, proxy, secrets(), {})
    assert VALUE in options.proxy_url
    assert VALUE not in f"{options!r} {options}"


# --- Who we are -------------------------------------------------------------------------------------------------------


def basic(username: str | None, password: str | None) -> HttpClientConfig:
    pair = [Secret(literal=text) if text is not None else None for text in (username, password)]
    return HttpClientConfig(basic_auth=BasicAuth(pair[0], pair[1]))


AUTHORIZATION = [  # what a request does not show: white space around a header's value is no part of it
    ("no password", basic("user", None), "Basic dXNlcjo="),
    ("no user", basic(None, "token"), "Basic OnRva2Vu"),
    ("a type alone", HttpClientConfig(authorization=Authorization("Negotiate", None)), "Negotiate"),
    ("no type", HttpClientConfig(authorization=Authorization("", Secret(literal="abc"))), "abc"),
]


@table("client, header", AUTHORIZATION)
def test_authorization(client: HttpClientConfig, header: str) -> None:
    assert auth_headers(client, secrets()) == {"Authorization": header}


def test_no_auth() -> None:
    """Without any of the keys there is no header; a header without values is an empty one."""
    assert auth_headers(HttpClientConfig(), secrets()) == {}
    assert auth_headers(HttpClientConfig(http_headers=(("X-Empty", ()),)), secrets()) == {"X-Empty": ""}


def test_a_secret_that_no_header_takes_is_named(tmp_path: Path) -> None:
    """By header and where it is from, before any library quotes it."""
    path, text = tmp_path / "token", f"{VALUE}\n{VALUE}"
    path.write_text(text)
    places = {
        "env:TOKEN": Secret(reference="env:TOKEN"),
        str(path): Secret(file=str(path)),
        "a literal secret": Secret(literal=text),
    }
    for where, secret in places.items():
        client = HttpClientConfig(authorization=Authorization("Bearer", secret))
        with pytest.raises(SecretError) as raised:
            auth_headers(client, secrets(TOKEN=text))
        assert str(raised.value).startswith(f"header Authorization, {where}: ")
        assert VALUE not in str(raised.value)
