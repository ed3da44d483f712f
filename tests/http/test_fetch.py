"""Asking an API: who we are, what goes out, where it may go, how much comes in and how long it may take."""

from __future__ import annotations

import base64
import gzip
import json
import time
import tracemalloc
import zlib
from typing import Any
from urllib.parse import parse_qs

import pytest

from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

METRIC = "{name: m, value: v}"
GOOD = Answer.json({"v": 1})
CANARY = "canary-7f3a"


def only(rig: Rig, path: str = "/doc") -> Request:
    (request,) = (request for request in rig.api.requests if request.path == path)
    return request


# --- What goes out ---------------------------------------------------------------------------------------------------


def test_a_plain_get_names_us_and_asks_for_json(rig: Rig) -> None:
    rig.serve('{"v":1}')
    rig.push(rig.job(METRIC))
    request = only(rig)
    assert (request.method, request.query, request.body) == ("GET", "", b"")
    assert request.headers["User-Agent"].startswith("lambda-remote-write/")
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Accept-Encoding"] == "gzip, deflate, zstd"
    assert "Authorization" not in request.headers


SENT = [
    ("query", "query: {a: '1', 'b c': 'x&y'}", "/doc", "GET", "a=1&b+c=x%26y", b""),
    ("query beside the url's own", "query: {a: '1'}", "/doc?z=%20q&flag", "GET", "z=%20q&flag&a=1", b""),
    ("query over the url's own", "query: {a: '1'}", "/doc?a=0&b=2", "GET", "b=2&a=1", b""),
    ("post without a body", "method: POST", "/doc", "POST", "", b""),
    ("a body makes a post", "body: '{\"q\": 1}'", "/doc", "POST", "", b'{"q": 1}'),
    ("a body beyond ASCII", "method: POST, body: 'q=☃'", "/doc", "POST", "", "q=☃".encode()),
]


@table("keys, path, method, query, body", SENT)
def test_request(rig: Rig, keys: str, path: str, method: str, query: str, body: bytes) -> None:
    rig.serve('{"v":1}')
    report = rig.push(rig.job(METRIC, path=path, keys=keys))
    assert error(report) == ""
    request = only(rig)
    assert (request.method, request.query, request.body) == (method, query, body)


def test_headers(rig: Rig) -> None:
    rig.env_vars["KEY"] = "k-env"
    (rig.folder / "key").write_text("k-file\n")
    rig.serve('{"v":1}')
    two = f"X-Two: {{values: [a], secrets: [b], files: ['{rig.folder}/key'], refs: ['env:KEY']}}"
    own = "accept: {values: [text/json]}, User-Agent: {values: [mine]}"
    rig.push(rig.job(METRIC, keys=f"http_headers: {{{two}, {own}}}"))
    headers = only(rig).headers
    assert headers["X-Two"] == "a, b, k-file, k-env"
    assert headers.get_all("Accept") == ["text/json"]
    assert headers.get_all("User-Agent") == ["mine"]


def test_the_short_form_of_headers(rig: Rig) -> None:
    rig.serve('{"v":1}')
    rig.push(rig.job(METRIC, keys="headers: {X-One: '1', accept: text/json, User-Agent: mine}"))
    headers = only(rig).headers
    assert headers["X-One"] == "1"
    assert headers.get_all("Accept") == ["text/json"]
    assert headers.get_all("User-Agent") == ["mine"]


AUTH = [
    ("basic", "basic_auth: {username: me, password: 'p:w'}", "Basic " + base64.b64encode(b"me:p:w").decode()),
    (
        "basic, file and ref",
        "basic_auth: {username_file: '%/user', password_ref: 'env:PASS'}",
        "Basic " + base64.b64encode(b"me:pass").decode(),
    ),
    (
        "basic beyond ASCII",
        "basic_auth: {username: jürg, password: ''}",
        "Basic " + base64.b64encode("jürg:".encode()).decode(),
    ),
    ("basic, no password", "basic_auth: {username: user}", "Basic dXNlcjo="),
    ("basic, no user", "basic_auth: {username: '', password: token}", "Basic OnRva2Vu"),
    (
        "basic, on one line",
        f"basic_auth: {{username: {'u' * 60}, password: {'p' * 60}}}",
        "Basic " + base64.b64encode(b"u" * 60 + b":" + b"p" * 60).decode(),
    ),
    ("bearer", "authorization: {credentials: tok}", "Bearer tok"),
    ("bearer from a file", "authorization: {credentials_file: '%/token'}", "Bearer tok-file"),
    ("bearer from the environment", "authorization: {credentials_ref: 'env:TOKEN'}", "Bearer tok-env"),
    ("another type", "authorization: {type: Token, credentials: tok}", "Token tok"),
    ("a type alone", "authorization: {type: Negotiate}", "Negotiate"),
    ("a bare key", "headers: {authorization: {ref: 'env:TOKEN'}}", "tok-env"),
    ("deprecated bearer_token", "bearer_token: tok", "Bearer tok"),
    ("deprecated bearer_token_file", "bearer_token_file: '%/token'", "Bearer tok-file"),
]


@table("keys, expected", AUTH)
def test_authorization(rig: Rig, keys: str, expected: str) -> None:
    rig.env_vars |= {"TOKEN": "tok-env", "PASS": "pass"}
    (rig.folder / "token").write_text("tok-file\n")
    (rig.folder / "user").write_text("me\n")
    rig.serve('{"v":1}')
    report = rig.push(rig.job(METRIC, keys=keys.replace("%", str(rig.folder))))
    assert error(report) == ""
    assert only(rig).headers["Authorization"] == expected


NO_SECRET = [
    ("no such variable", "authorization: {credentials_ref: 'env:NOWHERE'}", "env:NOWHERE"),
    ("no such file", "authorization: {credentials_file: '/nowhere/token'}", "/nowhere/token: No such file"),
    ("a line break in the secret", "authorization: {credentials_ref: 'env:BROKEN'}", "header Authorization"),
    ("a zero byte in the secret", "authorization: {credentials_ref: 'env:ZERO'}", "header Authorization, env:ZERO"),
    ("no such variable for a header", "http_headers: {X-Key: {refs: ['env:NOWHERE']}}", "env:NOWHERE"),
    ("a character no header holds", "http_headers: {X-Key: {refs: ['env:SNOW']}}", "header X-Key"),
]


@table("keys, detail", NO_SECRET)
def test_a_secret_that_cannot_be_used_is_named_and_never_shown(
    rig: Rig, capsys: pytest.CaptureFixture[str], keys: str, detail: str
) -> None:
    rig.env_vars |= {"BROKEN": f"{CANARY}\r\nX-Evil: 1", "SNOW": f"{CANARY}☃", "ZERO": f"{CANARY}\0"}
    rig.serve('{"v":1}')
    report = rig.push(rig.job(METRIC, keys=keys), rig.job(METRIC, name="other"))
    assert detail in error(report)
    assert CANARY not in json.dumps(report) + capsys.readouterr().out
    assert rig.value("up", job="j") == 0
    assert rig.value("m", job="other") == 1


class Secrets:
    """Secrets Manager as boto3 shows it, with a secret that rotates."""

    def __init__(self) -> None:
        self.value, self.asked = "old", 0

    def __call__(self, profile: str, region: str) -> Secrets:
        return self

    def client(self, service: str) -> Secrets:
        assert service == "secretsmanager"
        return self

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803 - the name is AWS's
        self.asked += 1
        return {"SecretString": json.dumps({"token": self.value})}


@pytest.mark.parametrize("status", [401, 403])
def test_a_rotated_secret_is_fetched_once_more_on_401_and_403(rig: Rig, status: int) -> None:
    """In the run after the one that fetched it: within that one it was the newest there is."""
    rig.session = secrets = Secrets()

    def guarded(request: Request) -> Answer:
        return GOOD if request.headers["Authorization"] == "Bearer new" else Answer(status)

    rig.api.serve("/doc", guarded)
    app = rig.app(rig.job(METRIC, keys="authorization: {credentials_ref: 'secretsmanager:api#token'}"))
    first = app.handle({}, None)
    assert str(status) in error(first)
    assert "credentials" in error(first)
    assert (secrets.asked, len(rig.api.requests)) == (1, 2)
    secrets.value = "new"
    rig.clock.ms += 60_000
    assert error(app.handle({}, None)) == ""
    assert (secrets.asked, len(rig.api.requests)) == (2, 4)
    rig.clock.ms += 60_000
    assert error(app.handle({}, None)) == ""
    assert (secrets.asked, len(rig.api.requests)) == (2, 5)


def test_a_literal_secret_is_not_tried_twice(rig: Rig) -> None:
    rig.api.serve("/doc", Answer(401))
    report = rig.push(rig.job(METRIC, keys="authorization: {credentials: tok}"))
    assert "401" in error(report)
    assert len(rig.api.requests) == 1


# --- OAuth2 ----------------------------------------------------------------------------------------------------------


class TokenServer:
    """A token endpoint and an API behind it, on one stand-in."""

    def __init__(self, api: Api, *, seconds: Any = 3600, wants_form: bool = False) -> None:
        self.seconds, self.wants_form = seconds, wants_form
        self.asked: list[Request] = []
        self.good = ""
        api.serve("/token", self.token)
        api.serve("/doc", self.document)

    def token(self, request: Request) -> Answer:
        self.asked.append(request)
        if self.wants_form and "Authorization" in request.headers:
            return Answer.json({"error": "invalid_client"}, 401)
        self.good = f"t{len(self.asked)}"
        found = {"access_token": self.good, "token_type": "Bearer"}
        return Answer.json(found | ({} if self.seconds is None else {"expires_in": self.seconds}))

    def document(self, request: Request) -> Answer:
        return GOOD if request.headers["Authorization"] == f"Bearer {self.good}" else Answer(401)


def oauth2(rig: Rig, more: str = "", path: str = "/token") -> str:
    return f"oauth2: {{client_id: 'id 1', client_secret: 's&{CANARY}', token_url: '{rig.api.url}{path}'{more}}}"


def run(rig: Rig, app: Any, times: int = 1) -> list[str]:
    """Errors of so many runs, a minute apart."""
    errors = []
    for _ in range(times):
        errors.append(error(app.handle({}, None)))
        rig.clock.ms += 60_000
    return errors


def test_oauth2_token_is_asked_for_once_while_warm(rig: Rig) -> None:
    server = TokenServer(rig.api)
    app = rig.app(rig.job(METRIC, keys=oauth2(rig, ", scopes: [a, b], endpoint_params: {audience: x}")))
    assert run(rig, app, 3) == ["", "", ""]
    (asked,) = server.asked
    assert asked.headers["Authorization"] == "Basic " + base64.b64encode(f"id+1:s%26{CANARY}".encode()).decode()
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"], "audience": ["x"]}


def test_oauth2_client_goes_into_the_form_where_the_header_is_refused(rig: Rig) -> None:
    server = TokenServer(rig.api, wants_form=True)
    assert run(rig, rig.app(rig.job(METRIC, keys=oauth2(rig)))) == [""]
    _, asked = server.asked
    assert "Authorization" not in asked.headers
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["id 1"],
        "client_secret": [f"s&{CANARY}"],
    }


def test_oauth2_token_refused_by_the_api_is_renewed_once(rig: Rig) -> None:
    server = TokenServer(rig.api)
    app = rig.app(rig.job(METRIC, keys=oauth2(rig)))
    assert run(rig, app) == [""]
    server.good = "revoked"
    assert run(rig, app) == [""]
    assert len(server.asked) == 2
    rig.api.serve("/doc", Answer(401))
    (detail,) = run(rig, app)
    assert "401" in detail
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("seconds", "asked"), [(3600, 1), ("3600", 1), (None, 1), (31, 1), (20, 1), (0.002, 3)], ids=str
)
def test_oauth2_expiry_is_honoured_with_time_to_spare(rig: Rig, seconds: Any, asked: int) -> None:
    server = TokenServer(rig.api, seconds=seconds)
    assert run(rig, rig.app(rig.job(METRIC, keys=oauth2(rig))), 3) == ["", "", ""]
    assert len(server.asked) == asked


BAD_TOKENS = [
    ("refused", Answer.json({"error": "invalid_client"}, 401), "401: check client_id"),
    ("broken server", Answer(503), "503"),
    ("no JSON", Answer(200, {}, b"<html>"), "no JSON with an access_token"),
    ("no token", Answer.json({"token": "x"}), "no JSON with an access_token"),
    ("null token", Answer.json({"access_token": None}), "no JSON with an access_token"),
    ("a list", Answer.json([1]), "no JSON with an access_token"),
    ("lists without end", Answer(200, {}, b"[" * 90_000), "no JSON with an access_token"),
    ("expires_in is a text", Answer.json({"access_token": "x", "expires_in": "soon"}), "no JSON with an access_token"),
]


@table("answer, detail", BAD_TOKENS)
def test_oauth2_without_a_token_is_up_0_with_a_reason(rig: Rig, answer: Answer, detail: str) -> None:
    rig.api.serve("/token", answer)
    report = rig.push(rig.job(METRIC, keys=oauth2(rig)))
    assert detail in error(report)
    assert "/token" in error(report)
    assert CANARY not in json.dumps(report)
    assert rig.value("up") == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/other-token", "/token"], ids=["its own token", "the same token"])
def test_a_token_endpoint_that_hangs_delays_other_jobs_by_no_more_than_its_timeout(rig: Rig, path: str) -> None:
    rig.api.serve("/token", Fault.hang())
    rig.api.serve("/other-token", Answer.json({"access_token": "t"}))
    rig.serve('{"v":1}')
    slow = rig.job(METRIC, keys=f"scrape_timeout: 5s, {oauth2(rig)}")
    quick = rig.job(METRIC, name="quick", keys=f"scrape_timeout: 400ms, {oauth2(rig, path=path)}")
    app = rig.app(slow, quick)
    report = app.handle({}, None)
    assert "/token" in error(report)
    assert rig.value("scrape_duration_seconds", job="quick") < 4
    assert (error(report, 1) == "") == (path == "/other-token")


# --- Redirects -------------------------------------------------------------------------------------------------------

CREDENTIALS = "authorization: {credentials: tok}, headers: {X-Key: secret}"


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(status, {"Location": to})


def test_a_redirect_within_the_origin_keeps_credentials(rig: Rig) -> None:
    rig.api.serve("/old", redirect("/doc?x=1"))
    rig.serve('{"v":1}')
    assert error(rig.push(rig.job(METRIC, path="/old", keys=CREDENTIALS))) == ""
    request = only(rig)
    assert (request.headers["Authorization"], request.headers["X-Key"], request.query) == (
        "Bearer tok",
        "secret",
        "x=1",
    )


@pytest.mark.parametrize("keys", [CREDENTIALS, "headers: {Authorization: tok}"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_takes_no_credentials(rig: Rig, status: int, keys: str) -> None:
    """Another port is another origin."""
    with Api() as other:
        other.serve("/doc", GOOD)
        rig.api.serve("/old", redirect(f"{other.url}/doc", status))
        report = rig.push(rig.job(METRIC, path="/old", keys=keys))
        assert error(report) == ""
        (request,) = other.requests
    names = {name.lower() for name in request.headers}
    assert names <= {"host", "user-agent", "accept-encoding", "accept", "connection"}
    assert "tok" not in str(request.headers)
    assert rig.value("m") == 1


def test_a_way_out_and_back_brings_credentials_only_home(rig: Rig) -> None:
    with Api() as other:
        rig.api.serve("/old", redirect(f"{other.url}/away"))
        other.serve("/away", redirect(f"{rig.api.url}/doc"))
        rig.serve('{"v":1}')
        assert error(rig.push(rig.job(METRIC, path="/old", keys=CREDENTIALS))) == ""
        (request,) = other.requests
    assert "Authorization" not in request.headers
    assert len(rig.api.requests) == 2


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (307, "POST", "POST"), (308, "POST", "POST")]
    + [(status, "GET", "GET") for status in (301, 302, 303, 307, 308)],
)
def test_method_after_a_redirect(rig: Rig, status: int, method: str, expected: str) -> None:
    rig.api.serve("/old", redirect("/doc", status))
    rig.serve('{"v":1}')
    keys = "body: 'q=1'" if method == "POST" else ""
    assert error(rig.push(rig.job(METRIC, path="/old", keys=keys))) == ""
    request = only(rig)
    assert (request.method, request.body) == (expected, b"q=1" if expected == "POST" else b"")


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_never_goes_to_another_origin(rig: Rig, status: int) -> None:
    with Api() as other:
        other.serve("/doc", GOOD)
        rig.api.serve("/old", redirect(f"{other.url}/doc", status))
        report = rig.push(rig.job(METRIC, path="/old", keys="body: 'q=1'"))
        assert other.requests == []
    assert "another origin" in error(report)


NO_REDIRECT = [
    ("loop", redirect("/old"), "", "more than 10 times", 11),
    ("not followed", redirect("/doc"), "follow_redirects: false", "302: a redirect, and follow_redirects is false", 1),
    ("no target", Answer(302), "", "302: a redirect", 1),
    ("another scheme", redirect("ftp://127.0.0.1/x"), "", "no http address", 1),
    ("a file", redirect("file:///etc/passwd"), "", "no http address", 1),
    ("no port number", redirect("http://127.0.0.1:port/"), "", "no http address", 1),
    ("no host", redirect("http://[/"), "", "no http address", 1),
]


@table("answer, keys, detail, requests", NO_REDIRECT)
def test_redirects_that_lead_nowhere(rig: Rig, answer: Answer, keys: str, detail: str, requests: int) -> None:
    rig.serve('{"v":1}')
    rig.api.serve("/old", answer)
    report = rig.push(rig.job(METRIC, path="/old", keys=keys))
    assert detail in error(report)
    assert "/old" in error(report)
    assert len(rig.api.requests) == requests
    assert rig.value("up") == 0


# --- Status ----------------------------------------------------------------------------------------------------------

STATUSES = [
    (200, "", True),
    (201, "", True),
    (206, "", True),
    (299, "", True),
    (404, "", False),
    (404, "valid_status_codes: [200, 404]", True),
    (201, "valid_status_codes: [200]", False),
    (401, "valid_status_codes: [401]", True),
    (500, "", False),
    (304, "", False),
]


@pytest.mark.parametrize(("status", "keys", "good"), STATUSES)
def test_status(rig: Rig, status: int, keys: str, good: bool) -> None:
    rig.api.serve("/doc", Answer.json({"v": 1}, status))
    report = rig.push(rig.job(METRIC, keys=keys))
    assert (error(report) == "") is good
    assert good or f"/doc answered {status}" in error(report)
    assert ("valid_status_codes does not list it" in error(report)) is (status == 201 and not good)
    assert rig.value("up") == good


# --- Size and compression --------------------------------------------------------------------------------------------


def body(rig: Rig, content: bytes, encoding: str = "", *, chunked: bool = False) -> None:
    headers = {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {})
    rig.api.serve("/doc", Answer(200, headers, content, chunked=chunked))


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


SEVEN = b'{"v":' + b" " * 600_000 + b"7}"
ENCODINGS = [
    ("gzip", "gzip", gzip.compress(SEVEN)),
    ("its old name", "x-gzip", gzip.compress(SEVEN)),
    ("several members", "gzip", gzip.compress(SEVEN[:3]) + gzip.compress(SEVEN[3:])),
    ("capitals", "GZip", gzip.compress(SEVEN)),
    ("deflate", "deflate", zlib.compress(SEVEN)),
    ("deflate without a frame", "Deflate", raw_deflate(SEVEN)),
    ("twice", "gzip, gzip", gzip.compress(gzip.compress(SEVEN))),
    ("a list", "deflate,x-gzip", gzip.compress(zlib.compress(SEVEN))),
    ("identity in a list", "identity, gzip", gzip.compress(SEVEN)),
    ("a charset", "utf-8", SEVEN),
    ("empty", "", SEVEN),
    ("unknown", "none", SEVEN),
]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@table("encoding, content", ENCODINGS)
def test_encodings_of_a_document(rig: Rig, encoding: str, content: bytes, chunked: bool) -> None:
    """RFC 9110, 8.4: a list in the order of packing, without case. What names no packing is read as it is."""
    body(rig, content, encoding, chunked=chunked)
    assert error(rig.push(rig.job(METRIC))) == ""
    assert rig.value("m") == 7


BAD_BODIES = [
    ("no gzip", b'{"v":7}', "gzip", "not the gzip it claims to be"),
    ("gzip cut short", gzip.compress(b'{"v":7}' * 100)[:-12], "gzip", "ends before its end"),
    ("gzip with a wrong checksum", gzip.compress(b'{"v":7}')[:-8] + b"\0" * 8, "gzip", "not the gzip"),
    ("another encoding", b'{"v":7}', "br", "'br', which was not asked for"),
    ("another encoding in a list", b'{"v":7}', "gzip, br", "'gzip, br', which was not asked for"),
    ("no deflate", b'{"v":7}', "deflate", "the deflate body ends before its end"),
    ("deflate cut short", zlib.compress(b'{"v":7}' * 100)[:-6], "deflate", "ends before its end"),
    ("something behind deflate", zlib.compress(b'{"v":7}') + b"x", "deflate", "something follows"),
]


@table("content, encoding, detail", BAD_BODIES)
def test_bad_compression_is_up_0(rig: Rig, content: bytes, encoding: str, detail: str) -> None:
    body(rig, content, encoding)
    report = rig.push(rig.job(METRIC))
    assert detail in error(report)
    assert rig.value("up") == 0


def test_a_gzip_bomb_is_stopped_at_the_limit(rig: Rig) -> None:
    """10 GB of zeros in 10 MB: neither the time nor the memory of ten gigabytes."""
    body(rig, gzip.compress(b"0" * (64 << 20), 6) * 160, "gzip")
    app = rig.app(rig.job(METRIC, keys="body_size_limit: 8MB"))
    started = time.monotonic()
    tracemalloc.start()
    try:
        report = app.handle({}, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "body_size_limit" in error(report)
    assert time.monotonic() - started < 8
    assert peak < 24 << 20


LIMITS = [
    ("just below", b'{"v":7}   ', "body_size_limit: 11B", True),
    ("at the limit, as Prometheus", b'{"v":7}   ', "body_size_limit: 10B", False),
    ("global limit", b'{"v":7}   ', "", False),
]


@table("content, keys, good", LIMITS)
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_body_size_limit_is_of_the_uncompressed_body(
    rig: Rig, content: bytes, keys: str, good: bool, encoding: str
) -> None:
    body(rig, gzip.compress(content) if encoding else content, encoding)
    report = rig.push(rig.job(METRIC, keys=keys), top="global: {body_size_limit: 10B}")
    assert (error(report) == "") is good
    assert good or "body_size_limit" in error(report)


def test_a_server_that_never_ends_is_cut_at_the_limit(rig: Rig) -> None:
    body(rig, b'{"v": 1, "x": "' + b"x" * 20_000_000, chunked=True)
    started = time.monotonic()
    report = rig.push(rig.job(METRIC, keys="body_size_limit: 100KB"))
    assert "body_size_limit" in error(report)
    assert time.monotonic() - started < 10


# --- Time ------------------------------------------------------------------------------------------------------------

SLOW = [
    ("hangs before the headers", Fault.hang(), "waiting for the answer"),
    ("drips the body", Fault.drip_body(0.05), "reading the body"),
]


@table("fault, detail", SLOW)
def test_a_slow_api_is_cut_at_its_timeout_and_fails_alone(rig: Rig, fault: Fault, detail: str) -> None:
    """The timeout is total: dripped bytes do not extend it."""
    rig.serve('{"v":1}')
    rig.api.serve("/slow", lambda request: Answer(200, {}, b" " * 400 + b'{"v":1}', fault=fault))
    app = rig.app(
        rig.job(METRIC, path="/slow", keys="scrape_timeout: 500ms"),
        *(rig.job(METRIC, name=f"other{index}") for index in range(3)),
    )
    started = time.monotonic()
    report = app.handle({}, None)
    seconds = time.monotonic() - started
    assert "timed out" in error(report)
    assert detail in error(report)
    assert rig.api.url.removeprefix("http://") in error(report)
    assert 0.45 < seconds < 6
    assert 0.45 < rig.value("scrape_duration_seconds", job="j") < 6
    assert rig.value("up", job="j") == 0
    assert [rig.value("m", job=f"other{index}") for index in range(3)] == [1, 1, 1]


def test_a_slow_chain_of_redirects_shares_one_timeout(rig: Rig) -> None:
    rig.api.serve("/old", lambda request: Answer(302, {"Location": "/old"}, fault=Fault.delay(0.4)))
    report = rig.push(rig.job(METRIC, path="/old", keys="scrape_timeout: 500ms"))
    assert "timed out" in error(report)
    assert rig.value("scrape_duration_seconds") < 3


@pytest.mark.slow  # its APIs take two seconds
def test_twelve_jobs_are_fetched_side_by_side(rig: Rig) -> None:
    rig.api.serve("/doc", lambda request: Answer(200, {}, b'{"v":1}', fault=Fault.delay(1.0)))
    app = rig.app(*(rig.job(METRIC, name=f"j{index}") for index in range(12)))
    started = time.monotonic()
    app.handle({}, None)
    assert time.monotonic() - started < 8
    assert len(rig.receiver.series("m")) == 12
