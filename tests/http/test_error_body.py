"""An API that refuses: its own message once, what it asks for, and which credentials the job sends; never a secret."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.http.error_body import asked_schemes, message_of
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

METRIC = "{name: m, value: v}"
UNITS = "parameter units must be one of metric, imperial"


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


MESSAGES: list[tuple[str, bytes, str, str]] = [
    ("errors", body({"errors": [{"message": UNITS}]}), "application/json", UNITS),
    ("message", body({"cod": 401, "message": UNITS}), "application/json", UNITS),
    ("error is a text", body({"error": UNITS}), "application/json", UNITS),
    ("error is an object", body({"error": {"code": 7, "message": UNITS}}), "application/json", UNITS),
    ("OAuth2", body({"error": "invalid_request", "error_description": UNITS}), "application/json", UNITS),
    ("problem+json", body({"type": "about:blank", "title": "Bad", "detail": UNITS}), "application/problem+json", UNITS),
    ("title alone", body({"title": UNITS, "status": 400}), "application/problem+json", UNITS),
    ("FastAPI", body({"detail": [{"loc": ["query"], "msg": UNITS}]}), "application/json", UNITS),
    ("Jira", body({"errorMessages": [UNITS], "errors": {}}), "application/json", UNITS),
    ("OData", body({"error": {"message": {"value": UNITS}}}), "application/json", UNITS),
    ("AWS", body({"__type": "X", "Message": UNITS}), "application/x-amz-json-1.0", UNITS),
    ("Elasticsearch", body({"error": {"type": "x", "reason": UNITS}, "status": 400}), "application/json", UNITS),
    ("below another name", body({"response": {"status": {"error_message": UNITS}}}), "application/json", UNITS),
    ("an empty message first", body({"message": "", "error": UNITS}), "application/json", UNITS),
    ("a list", body([{"message": UNITS}]), "application/json", UNITS),
    ("a text", body(UNITS), "application/json", UNITS),
    ("no name that tells", body({"units": ["not metric"]}), "application/json", '{"units": ["not metric"]}'),
    ("broken JSON", body({"message": UNITS})[:-1], "application/json", UNITS),
    ("a long JSON", body({"message": UNITS, "trace": "x" * 20_000}), "application/json", UNITS),
    ("plain text", UNITS.encode() + b"\r\n", "text/plain", UNITS),
    ("nginx", b"<html>\n<head><title>502 Bad  Gateway</title></head></html>", "text/html", "502 Bad Gateway"),
    ("HTML without a title", b"<html><style>b{}</style><h1>No &amp; never</h1></html>", "text/html", "No & never"),
    ("S3", f"<?xml version='1.0'?><Error><Code>X</Code><Message>{UNITS}</Message></Error>".encode(), "text/xml", UNITS),
    ("Latin-1", "Größe".encode("latin-1"), "text/plain; charset=iso-8859-1", "Größe"),
    ("gzip", gzip.compress(body({"message": UNITS})), "application/json", UNITS),
    ("nothing", b"", "", ""),
    ("an empty object", b"{}", "application/json", ""),
    ("bytes", bytes(range(256)), "application/octet-stream", ""),
]  # fmt: skip


def test_the_message_of_an_error(rig: Rig) -> None:
    """It is in the error once, on one line, behind the status."""
    jobs, expected = [], {}
    for number, (name, content, content_type, detail) in enumerate(MESSAGES):
        for status in (400, 404, 422, 500, 503):
            path, job = f"/{number}/{status}", f"{name}, {status}"
            rig.api.serve(path, Answer(status, {"Content-Type": content_type}, content))
            jobs.append(rig.job(METRIC, name=f"'{job}'", path=path))
            expected[job] = f"{rig.api.url}{path} answered {status}" + (f': it says "{detail}"' if detail else "")
    assert {job["job"]: job["error"] for job in rig.push(*jobs)["jobs"]} == expected


def test_a_gzipped_message_that_says_so(rig: Rig) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    rig.api.serve("/doc", Answer(400, headers, gzip.compress(body({"message": UNITS}))))
    assert UNITS in error(rig.push(rig.job(METRIC)))


def test_a_long_message_is_cut(rig: Rig) -> None:
    rig.api.serve("/doc", Answer(400, {}, body({"message": "a\n\x1b[31m" + "b" * 5_000})))
    found = error(rig.push(rig.job(METRIC)))
    assert found.isprintable()
    assert len(found) < 300
    assert found.endswith('…"')


def test_a_message_that_never_ends_costs_no_more_than_the_job_has(rig: Rig) -> None:
    """The status is said all the same."""
    long = Answer(400, {"Content-Type": "application/json"}, body({"message": UNITS, "more": "x" * 4_000}))
    rig.api.serve("/doc", Answer(400, long.headers, long.body, fault=Fault.hang_mid_answer(0.5)))
    found = error(rig.push(rig.job(METRIC, keys="scrape_timeout: 300ms")))
    assert "answered 400" in found


@given(st.binary(max_size=300), st.sampled_from(["", "application/json", "text/html", "text/x; charset=utf-16"]))
def test_any_body_has_a_message_or_none(content: bytes, content_type: str) -> None:
    assert isinstance(message_of(content, content_type, ""), str)


# --- Credentials ------------------------------------------------------------------------------------------------------

SCHEMES = [
    ('Digest realm="r", qop="auth", nonce="n1", algorithm=MD5', ["Digest"]),
    ('Basic realm="a, b", Digest qop="auth,auth-int", nonce="x"', ["Basic", "Digest"]),
    ("Negotiate, NTLM", ["Negotiate", "NTLM"]),
    ('bearer error="invalid_token", error_description="it, has expired"', ["Bearer"]),
    ("Negotiate YIIJvwYGKwYBBQUCoIIJszCCCa+gDTAL==", ["Negotiate"]),
    ("ApiKey", ["ApiKey"]),
    ("", []),
    ('realm="x"', []),
]


@pytest.mark.parametrize(("header", "schemes"), SCHEMES)
def test_schemes(header: str, schemes: list[str]) -> None:
    """RFC 9110, 11.6.1: a list of challenges, each with parameters that may hold commas."""
    assert asked_schemes(header) == schemes


BASIC = "basic_auth: {username: u, password: p}"
DIGEST = "digest_auth: {username: u, password: p}"
LOGIN = "login: {url: /login, token: token}"
LET_IN = [
    ("nothing", "", "", ["no credentials are configured"], ["check"]),
    ("nothing, Basic wanted", "", 'Basic realm="r"', ["no credentials", "asks for Basic: set basic_auth"], []),
    ("nothing, Bearer wanted", "", "Bearer", ["asks for Bearer", "authorization or oauth2"], []),
    ("basic", BASIC, "", ["check basic_auth"], ["authorization", "oauth2"]),
    ("basic, Digest wanted", BASIC, 'Digest realm="r"', ["basic_auth sends Basic only: set digest_auth"], []),
    ("nothing, Digest wanted", "", "Digest", ["no credentials", "asks for Digest: set digest_auth"], []),
    ("bearer, Digest wanted", "bearer_token: t", "Digest", ["asks for Digest: set digest_auth"], ["sends Basic"]),
    ("digest, Basic wanted", DIGEST, "Basic", ["digest_auth sends Digest only: set basic_auth"], []),
    ("digest, Bearer wanted", DIGEST, "Bearer", ["set authorization or oauth2", "check digest_auth"], []),
    ("login, Bearer wanted", LOGIN, "Bearer", ["asks for Bearer; it does not take", "check login"], ["oauth2"]),
    ("basic, NTLM wanted", BASIC, "Negotiate, NTLM", ["asks for Negotiate or NTLM, which is not supported"], []),
    ("basic, Bearer wanted", BASIC, "Bearer", ["asks for Bearer: set authorization or oauth2"], []),
    ("bearer", "bearer_token: t", "", ["check authorization"], ["basic_auth"]),
    ("authorization", "authorization: {type: Token, credentials: t}", "", ["check authorization"], []),
    ("headers", "headers: {X-Api-Key: k, Accept: text/json}", "", ["check the header X-Api-Key"], ["Accept"]),
    ("http_headers", "http_headers: {X-Key: {secrets: [k]}}", "", ["check the header X-Key"], ["basic_auth"]),
    ("query", "query: {q: Bern, appid: k}", "", ["check the query parameter appid"], ["basic_auth", "parameter q"]),
    ("two", f"{BASIC}, query: {{api_key: k}}", "", ["check basic_auth and the query parameter api_key"], []),
]  # fmt: skip


@pytest.mark.parametrize("status", [401, 403])
@table("keys, asks, detail, unsaid", LET_IN)
def test_a_401_names_what_the_job_sends_and_what_is_wanted(
    rig: Rig, keys: str, asks: str, detail: list[str], unsaid: list[str], status: int
) -> None:
    answer = Answer(status, {"WWW-Authenticate": asks} if asks else {}, body({"message": "log in first"}))
    rig.api.serve("/doc", answer)
    rig.api.serve("/login", Answer.json({"token": "t"}))
    found = error(rig.push(rig.job(METRIC, keys=keys)))
    assert [word for word in detail if word not in found] == []
    assert [word for word in unsaid if word in found] == []
    assert found.count("log in first") == 1


def test_a_401_behind_a_redirect_says_that_nothing_was_sent(rig: Rig) -> None:
    with Api() as other:
        other.serve("/doc", Answer(401))
        rig.api.serve("/doc", Answer(302, {"Location": f"{other.url}/doc"}))
        found = error(rig.push(rig.job(METRIC, keys=BASIC)))
    assert "redirect has led to another origin" in found


# --- An API that repeats what it was sent -----------------------------------------------------------------------------

CANARY = "c4nary/+&<7f3a9>"
WAYS: dict[str, Callable[[Request], str]] = {
    "the Authorization header": lambda request: request.headers.get("Authorization", ""),
    "all headers": lambda request: "; ".join(f"{name}: {value}" for name, value in request.headers.items()),
    "the query": lambda request: request.query,
    "the body": lambda request: request.body.decode(),
    "the password": lambda request: CANARY,
    "the password in base64": lambda request: base64.b64encode(CANARY.encode()).decode(),
}
KEYS = [
    "basic_auth: {username: user, password_ref: 'env:KEY'}",
    "authorization: {credentials_ref: 'env:KEY'}",
    "http_headers: {X-Key: {refs: ['env:KEY']}}",
    f"headers: {{X-Key: '{CANARY}'}}",
    f"query: {{api_key: '{CANARY}'}}",
    f"""body: '{{"auth": {{"password": "{CANARY}"}}}}'""",
    f"body: 'client_secret={CANARY.replace('+', '%2B').replace('&', '%26')}'",
    f"headers: {{Cookie: 'sid={CANARY}'}}",
]
HOW: dict[str, Callable[[str], Answer]] = {
    "a message": lambda text: Answer.json({"message": f"bad key {text}"}, 401),
    "a text": lambda text: Answer(403, {"Content-Type": "text/plain"}, f"bad key {text} here".encode()),
    "HTML": lambda text: Answer(400, {"Content-Type": "text/html"}, f"<title>{text}</title>".encode()),
    "a challenge": lambda text: Answer(401, {"WWW-Authenticate": f'Digest realm="{text}"'}, b""),
    "no JSON": lambda text: Answer(200, {"Content-Type": "text/plain"}, f"key: {text}".encode()),
    "a Content-Type": lambda text: Answer(200, {"Content-Type": f"text/{text}"}, b"x"),
    "an encoding": lambda text: Answer(200, {"Content-Encoding": text}, b"x"),
    "a long text": lambda text: Answer(200, {"Content-Type": "text/plain"}, f"{'x' * 50} {text}{text}".encode()),
    "a value": lambda text: Answer.json({"v": text}),
}


def leaking(rig: Rig, capsys: pytest.CaptureFixture[str], *jobs: str) -> list[str]:
    """What shows the canary, as it is or encoded: entries of the report, or all of report, log and plan."""
    app = rig.app(*jobs)
    report, plan = app.handle({}, None), app.handle({"action": "plan"}, None)
    assert len(report["jobs"]) == len(jobs)
    shown = [*map(json.dumps, report["jobs"]), json.dumps([report, plan]) + capsys.readouterr().out]
    secrets = ["c4nary", *(base64.b64encode(part.encode()).decode()[:12] for part in (CANARY, f"user:{CANARY}"))]
    return [text for text in shown if any(secret in text for secret in secrets)]


@pytest.mark.parametrize("keys", KEYS)
def test_what_an_api_repeats_of_our_secrets_never_shows(
    rig: Rig, capsys: pytest.CaptureFixture[str], keys: str
) -> None:
    """Not in the report, not in the log, not in the plan. A job for each way in which an API can repeat one."""
    rig.env_vars["KEY"], jobs = CANARY, []
    for (how, answer), (what, repeated) in itertools.product(HOW.items(), WAYS.items()):
        path = f"/{len(jobs)}"
        rig.api.serve(path, lambda request, answer=answer, repeated=repeated: answer(repeated(request)))
        jobs.append(rig.job("{name: m, value: v, on_missing: error}", name=f"'{how}: {what}'", path=path, keys=keys))
    assert leaking(rig, capsys, *jobs) == []


def test_a_cookie_of_the_api_never_shows(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.api.serve("/doc", Answer(400, {"Set-Cookie": f"sid={CANARY}; Path=/"}, f"no session {CANARY}".encode()))
    assert leaking(rig, capsys, rig.job(METRIC)) == []
