"""Digest access authentication: what is sent is what the standards' examples, requests and a strict server expect."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

import pytest
import requests
from requests.auth import HTTPDigestAuth

from lambda_remote_write.config.schema import DigestAuth
from lambda_remote_write.config.secrets import Secret, SecretStore
from lambda_remote_write.http import HttpRequest
from lambda_remote_write.http.authentication import Refusal
from lambda_remote_write.http.digest_auth import (
    Challenge,
    ChallengeStore,
    Credentials,
    Digest,
    UnknownDigest,
    authorization,
    chosen,
)
from lambda_remote_write.http.response import Headers
from sandbox.api import Api
from sandbox.server import Answer
from tests.rig.digest import DigestServer
from tests.rig.json_source import Rig, error
from tests.rig.parameters import Parameter
from tests.rig.tables import table

METRIC = "{name: m, value: v}"
DIGEST = "digest_auth: {username: u, password: p}"
NO_STALE = {"says_stale": False}


def fields(header: str) -> dict[str, str]:
    scheme, _, rest = header.partition(" ")
    assert scheme == "Digest"
    return parse_keqv_list(parse_http_list(rest))


def get(url: str) -> HttpRequest:
    return HttpRequest("GET", url, {})


# --- The examples of the standards ------------------------------------------------------------------------------------

MUFASA = {
    "realm": "http-auth@example.org",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "qop": "auth",
}
OLD = {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093", "cnonce": "0a4f113b"}
EXAMPLES = [
    (
        "RFC 7616, 3.9.1, MD5",
        Challenge(**MUFASA),
        Credentials("Mufasa", "Circle of Life"),
        "http://www.example.org/dir/index.html",
        "8ca523f5e9506fed4657c9700eebdbec",
    ),
    (
        "RFC 7616, 3.9.1, SHA-256",
        Challenge(**MUFASA, algorithm="SHA-256"),
        Credentials("Mufasa", "Circle of Life"),
        "http://www.example.org/dir/index.html",
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    ),
    (
        "RFC 2617, 3.5",
        Challenge(**OLD, qop="auth"),
        Credentials("Mufasa", "Circle Of Life"),
        "http://www.nowhere.org/dir/index.html",
        "6629fae49393a05397450978507c4ef1",
    ),
    (
        "RFC 2069, 2.4, erratum 749",
        Challenge(**OLD),
        Credentials("Mufasa", "CircleOfLife"),
        "http://www.nowhere.org/dir/index.html",
        "1949323746fe6a43ef61f9606e7febea",
    ),
]


@table("challenge, credentials, url, response", EXAMPLES)
def test_the_examples_of_the_standards(challenge: Challenge, credentials: Credentials, url: str, response: str) -> None:
    found = fields(authorization(challenge, 1, credentials, get(url)))
    assert (found["response"], found["username"], found["uri"]) == (response, credentials.username, "/dir/index.html")
    assert ("nc" in found, "qop" in found) == (bool(challenge.qop), bool(challenge.qop))


def test_a_user_is_hidden_where_the_server_asks_for_it() -> None:
    """RFC 7616, 3.9.2."""
    header = (
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
        'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
    )
    challenge = chosen(header)
    assert challenge is not None
    challenge.cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    user = Credentials("Jäsøn Doe", "Secret, or not?")
    found = fields(authorization(challenge, 1, user, get("http://api.example.org/doe.json")))
    assert found["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"  # erratum 4897
    assert found["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert (found["userhash"], found["algorithm"], found["opaque"][:4]) == ("true", "SHA-512-256", "HRPC")


@pytest.mark.parametrize("qop", ["", "auth", "auth,auth-int", "auth-int,auth"])
@pytest.mark.parametrize("algorithm", ["", "MD5", "MD5-sess", "SHA-256"])
@pytest.mark.parametrize("url", ["http://h/a", "http://h:81", "http://h/a%20b?x=1&y=%C3%A4"])
def test_what_requests_answers_is_answered_here(url: str, algorithm: str, qop: str) -> None:
    named = f", algorithm={algorithm}" if algorithm else ""
    header = f'Digest realm="r, 1", nonce="abc=="{named}{f", qop={chr(34)}{qop}{chr(34)}" if qop else ""}, opaque="o"'
    oracle = HTTPDigestAuth("jürg", "p:w")
    oracle.init_per_thread_state()
    oracle._thread_local.chal = requests.utils.parse_dict_header(header.removeprefix("Digest "))
    answer = oracle.build_digest_header("POST", url)
    assert answer is not None
    expected = fields(answer)
    challenge = chosen(header)
    assert challenge is not None
    challenge.cnonce = expected.get("cnonce", challenge.cnonce)
    found = fields(authorization(challenge, 1, Credentials("jürg", "p:w"), HttpRequest("POST", url, {}, b"{}")))
    if algorithm == "MD5-sess" and not qop:  # its cnonce is in the hash alone
        return
    names = ("realm", "nonce", "uri", "response", "opaque", "algorithm", "qop", "nc")
    assert {name: found.get(name) for name in names} == {name: expected.get(name) for name in names}
    assert found["username*"] == "UTF-8''j%C3%BCrg"


# --- Challenges -------------------------------------------------------------------------------------------------------

CHOSEN = [
    ("the strongest", 'Digest nonce="a", Digest nonce="b", algorithm=SHA-256', "b"),
    ("the strongest comes first", 'Digest nonce="b", algorithm=SHA-256-sess, Digest nonce="a", algorithm=MD5', "b"),
    ("beside Basic", 'Basic realm="a, b", Digest realm="x", nonce="n", Bearer', "n"),
    ("after a token68", 'Negotiate YIIJvw==, Digest nonce="n"', "n"),
    ("an unknown one beside a known", 'Digest nonce="x", algorithm=SHA-3, digest nonce=n, algorithm=md5', "n"),
    ("without commas between", 'DIGEST NONCE = "n" , qop = auth', "n"),
    ("none", 'Basic realm="Digest nonce=x"', None),
    ("nothing", "", None),
]


@table("header, nonce", CHOSEN)
def test_the_strongest_challenge_that_is_known_is_answered(header: str, nonce: str | None) -> None:
    found = chosen(header)
    assert (found.nonce if found else None) == nonce


UNKNOWN = [
    (
        "algorithm",
        'Digest nonce="n", algorithm=SHA-1',
        "algorithm SHA-1, which is unknown: known are MD5, SHA-256, SHA-512-256, also with -sess",
    ),
    ("qop", 'Digest nonce="n", qop="token"', "qop token, which is unknown: known are auth, auth-int"),
    ("no nonce", 'Digest realm="r"', "without a nonce"),
]


@table("header, detail", UNKNOWN)
def test_a_challenge_that_is_unknown_is_named(rig: Rig, header: str, detail: str) -> None:
    with pytest.raises(UnknownDigest):
        chosen(header)
    rig.api.serve("/doc", Answer(401, {"WWW-Authenticate": header}))
    rig.api.serve("/other", Answer.json({"v": 1}))
    report = rig.push(rig.job(METRIC, keys=DIGEST), rig.job(METRIC, name="other", path="/other", keys=DIGEST))
    assert detail in error(report)
    assert (error(report, 1), rig.value("m", job="other")) == ("", 1)


# --- A server that asks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qop", ["", "auth", "auth-int", "auth,auth-int"])
@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256"])
@pytest.mark.parametrize("keys", ["query: {a: 'x y', b: ü}", "body: '{\"q\": 1}'"])
def test_a_server_lets_in(rig: Rig, algorithm: str, qop: str, keys: str) -> None:
    """One challenge serves for all runs, and each answer counts up; the body is sent again."""
    server = DigestServer(algorithm=algorithm, qop=qop)
    rig.api.serve("/doc", server)
    app = rig.app(rig.job(METRIC, keys=f"{DIGEST}, {keys}"))
    assert [error(app.handle({}, None)) for _ in range(3)] == ["", "", ""]
    assert server.seen == ["nothing", "let in", "let in", "let in"]
    assert server.counts["n0"] == ([1, 2, 3] if qop else [0, 0, 0])
    assert len({request.body for request in rig.api.requests}) == 1


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_server_of_these_tests_lets_requests_in(rig: Rig, algorithm: str) -> None:
    url = rig.api.serve("/doc", DigestServer(algorithm=algorithm))
    assert requests.get(f"{url}?a=1", auth=HTTPDigestAuth("u", "p"), timeout=5).status_code == 200
    assert requests.get(f"{url}?a=1", auth=HTTPDigestAuth("u", "x"), timeout=5).status_code == 401


def test_the_first_challenge_may_be_stale_at_once(rig: Rig) -> None:
    """A nonce that others use up: one more request with the new one."""
    server = DigestServer(one_time=True)
    rig.api.serve("/doc", server)
    app = rig.app(rig.job(METRIC, keys=DIGEST))
    assert [error(app.handle({}, None)) for _ in range(2)] == ["", ""]
    assert server.seen == ["nothing", "let in", "stale", "let in"]
    assert server.counts == {"n0": [1], "n0'": [1]}


def test_servers_behind_two_sockets_of_one_address_have_challenges_of_their_own() -> None:
    store = ChallengeStore(SecretStore({}, lambda service: None, lambda: 0.0))
    config = DigestAuth(Secret(literal="u"), Secret(literal="p"))
    first, second = (Digest(config, store, path) for path in ("/run/first", "/run/second"))
    for server, nonce in ((first, "n1"), (second, "n2")):
        assert server.authenticated(get("http://h/m"), 0) == get("http://h/m")
        asks = Headers([("WWW-Authenticate", f'Digest realm="r", nonce="{nonce}"')])
        assert server.renew(Refusal(401, asks, 0))
    sent = [one.authenticated(get("http://h/m"), 0).headers["Authorization"] for one in (first, second)]
    assert [fields(one)["nonce"] for one in sent] == ["n1", "n2"]


def test_a_nonce_that_is_stale_again_and_again_ends(rig: Rig) -> None:
    rig.api.serve("/doc", Answer(401, {"WWW-Authenticate": 'Digest nonce="n", stale=true'}))
    report = rig.push(rig.job(METRIC, keys=DIGEST))
    assert "it does not take our credentials; check digest_auth" in error(report)
    assert len(rig.api.requests) == 3


@pytest.mark.parametrize("options", [{}, NO_STALE], ids=["said", "unsaid"])
def test_a_server_that_has_forgotten_its_nonce_is_asked_once_more(rig: Rig, options: dict[str, Any]) -> None:
    server = DigestServer(**options)
    rig.api.serve("/doc", server)
    app = rig.app(rig.job(METRIC, keys=DIGEST))
    assert error(app.handle({}, None)) == ""
    server.nonce = "restarted"
    assert error(app.handle({}, None)) == ""
    assert server.seen == ["nothing", "let in", "stale", "let in"]


def test_a_wrong_password_is_offered_once_a_run(rig: Rig) -> None:
    server = DigestServer(password="another")
    rig.api.serve("/doc", server)
    app = rig.app(rig.job(METRIC, keys=DIGEST))
    for _ in range(2):
        assert "answered 401: it asks for Digest; it does not take our credentials" in error(app.handle({}, None))
    assert server.seen == ["nothing", "wrong"] * 2


def test_a_password_is_read_anew_when_it_was_rotated(rig: Rig) -> None:
    rig.session, server = Parameter("old"), DigestServer(password="old")
    rig.api.serve("/doc", server)
    app = rig.app(rig.job(METRIC, keys="digest_auth: {username: u, password_ref: 'ssm:/pw'}"))
    assert error(app.handle({}, None)) == ""
    rig.session.value = server.password = "new"
    assert error(app.handle({}, None)) == ""
    assert server.seen == ["nothing", "let in", "wrong", "wrong", "let in"]


def test_a_proxy_sees_the_target_that_was_signed(rig: Rig) -> None:
    """A plain proxy gets the whole address, and the server behind it the path (RFC 9112, 3.2)."""
    server = DigestServer()
    rig.api.serve("http://device.example/doc", server)
    job = rig.job(METRIC, path="http://device.example/doc?a=1", keys=f"{DIGEST}, proxy_url: '{rig.api.url}'")
    rig.push(job)
    (last,) = rig.api.requests[1:]
    assert fields(last.headers["Authorization"])["uri"] == "/doc?a=1"


def test_basic_is_never_sent_and_never_answers_a_digest(rig: Rig) -> None:
    rig.api.serve("/basic", Answer(401, {"WWW-Authenticate": 'Basic realm="r"'}))
    rig.api.serve("/digest", DigestServer())
    basic = "basic_auth: {username: u, password: p}"
    report = rig.push(
        rig.job(METRIC, name="a", path="/basic", keys=DIGEST), rig.job(METRIC, name="b", path="/digest", keys=basic)
    )
    assert "digest_auth sends Digest only: set basic_auth" in error(report, 0)
    assert "basic_auth sends Basic only: set digest_auth" in error(report, 1)
    sent = {request.path: request.headers.get("Authorization", "") for request in rig.api.requests}
    assert (sent["/basic"], sent["/digest"][:6]) == ("", "Basic ")


def test_a_digest_never_goes_to_another_origin(rig: Rig) -> None:
    with Api() as other:
        server = DigestServer()
        other.serve("/doc", server)
        rig.api.serve("/doc", Answer(302, {"Location": f"{other.url}/doc"}))
        found = error(rig.push(rig.job(METRIC, keys=DIGEST)))
    assert "a redirect has led to another origin" in found
    assert server.seen == ["nothing"]


def test_a_password_never_shows(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does the response that is made of it, from which a weak one can be guessed."""
    rig.env_vars["PW"] = "c4nary-7f3a"
    rig.api.serve(
        "/doc",
        lambda request: Answer.json(
            {"message": f"no {request.headers.get('Authorization')} c4nary-7f3a"},
            401,
            {"WWW-Authenticate": 'Digest nonce="n"'},
        ),
    )
    report = rig.push(rig.job(METRIC, keys="digest_auth: {username: canary-user, password_ref: 'env:PW'}"))
    shown = json.dumps(report) + capsys.readouterr().out
    assert "Digest" in error(report)
    assert "c4nary" not in shown
    assert "canary-user" not in shown
    assert not re.search(r"response=\W*[0-9a-f]{32}", shown)


SOURCES = [
    ("scrape_configs", "scrape_configs: [{{job_name: j, {0}, static_configs: [{{targets: ['{1}']}}]}}]"),
    ("json_configs", "json_configs: [{{job_name: j, {0}, static_configs: [{{targets: ['{1}']}}], metrics: [{2}]}}]"),
    (
        "json_sd_configs",
        "json_configs: [{{job_name: j, json_sd_configs: [{{url: 'http://{1}/list', target: t, {0}}}], "
        "metrics: [{2}]}}]",
    ),
    (
        "http_sd_configs",
        "json_configs: [{{job_name: j, http_sd_configs: [{{url: 'http://{1}/targets', {0}}}], metrics: [{2}]}}]",
    ),
]


@table("config", SOURCES)
def test_every_kind_of_source_answers_a_digest(rig: Rig, config: str) -> None:
    host = rig.api.url.removeprefix("http://")
    page = Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, b"a 1\n")
    rig.api.serve("/metrics", DigestServer(answer=page))
    rig.api.serve("/list", DigestServer(answer=Answer.json([{"t": host}])))
    rig.api.serve("/targets", DigestServer(answer=Answer.json([{"targets": [host]}])))
    rig.api.serve("/", DigestServer() if "static" in config else Answer.json({"v": 1}))
    report = rig.app_of(config.format(DIGEST, host, METRIC)).handle({}, None)
    assert (report["ok"], rig.value("up")) == (True, 1), report
