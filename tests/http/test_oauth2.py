"""OAuth2 grants beyond client credentials: a user's password, tried with care, and refresh tokens that do not last."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs

import pytest

from lambda_remote_write.config.schema import OAuth2
from lambda_remote_write.config.secrets import Secret, SecretStore
from lambda_remote_write.http import Transport
from lambda_remote_write.http.oauth2 import TokenError, TokenStore
from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

METRIC = "{name: m, value: v}"
CANARY = "canary-7f3a"
TOKEN = Answer.json({"access_token": "t1", "expires_in": 3600})


class Issuer:
    """A token endpoint that answers with `answers` in turn, the last one again and again."""

    def __init__(self, api: Api, *answers: Answer) -> None:
        self.answers, self.asked = list(answers or [TOKEN]), list[Request]()
        self.url = api.serve("/token", self.token)
        api.serve("/doc", self.document)

    def token(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def document(self, request: Request) -> Answer:
        return Answer.json({"v": 1}) if request.headers.get("Authorization") == "Bearer t1" else Answer(401)


def oauth2(issuer: Issuer, more: str, **others: str) -> str:
    return f"oauth2: {{client_id: app, token_url: '{issuer.url}', {more}}}"


GRANTS = [
    (
        "a password by reference",
        "client_secret: s, grant_type: password, username: u, password_ref: 'env:PW', scopes: [openid]",
        {"grant_type": ["password"], "username": ["u"], "password": ["p&1"], "scope": ["openid"]},
    ),
    (
        "a user from a file",
        "client_secret: s, grant_type: password, username_file: '%/user', password_file: '%/pw'",
        {"grant_type": ["password"], "username": ["me"], "password": ["pw"]},
    ),
    (
        "as endpoint_params",
        "client_secret: s, endpoint_params: {grant_type: password, username: u, password: {ref: 'env:PW'}}",
        {"grant_type": ["password"], "username": ["u"], "password": ["p&1"]},
    ),
    (
        "endpoint_params beside it",
        "client_secret: s, grant_type: password, username: u, password: p, endpoint_params: {realm: x}",
        {"grant_type": ["password"], "username": ["u"], "password": ["p"], "realm": ["x"]},
    ),
    (
        "client credentials",
        "client_secret: s, grant_type: client_credentials",
        {"grant_type": ["client_credentials"]},
    ),
]


@table("keys, form", GRANTS)
def test_the_form_of_a_grant(rig: Rig, keys: str, form: dict[str, list[str]]) -> None:
    """RFC 6749, 4.3.2 and 4.4.2."""
    rig.env_vars["PW"] = "p&1"
    (rig.folder / "user").write_text("me\n")
    (rig.folder / "pw").write_text("pw\n")
    issuer = Issuer(rig.api)
    report = rig.push(rig.job(METRIC, keys=oauth2(issuer, keys.replace("%", str(rig.folder)))))
    assert error(report) == ""
    (asked,) = issuer.asked
    assert parse_qs(asked.body.decode()) == form
    assert asked.headers["Authorization"] == "Basic YXBwOnM="


def test_a_public_client_stands_in_the_form(rig: Rig) -> None:
    """Keycloak refuses a client without a secret in the header."""
    issuer = Issuer(rig.api, Answer.json({"error": "unauthorized_client"}, 401), TOKEN)
    keys = oauth2(issuer, "grant_type: password, username: u, password: p")
    assert error(rig.push(rig.job(METRIC, keys=keys))) == ""
    form = parse_qs(issuer.asked[1].body.decode())
    assert (form["client_id"], "client_secret" in form, form["password"]) == (["app"], False, ["p"])


@pytest.mark.parametrize("status", [201, 203])
def test_a_token_comes_with_any_good_status(rig: Rig, status: int) -> None:
    """As Go's client takes it (RFC 6749 says 200; CrowdStrike's token endpoint answers 201)."""
    issuer = Issuer(rig.api, Answer.json({"access_token": "t1", "expires_in": 1799}, status))
    assert error(rig.push(rig.job(METRIC, keys=oauth2(issuer, "client_secret: s")))) == ""
    assert len(issuer.asked) == 1


def test_a_wrong_password_is_tried_once_a_run_however_many_jobs_ask(rig: Rig) -> None:
    """Nor is it tried again with the client named otherwise: accounts lock."""
    issuer = Issuer(rig.api, Answer.json({"error": "invalid_grant"}, 401))
    keys = oauth2(issuer, "client_secret: s, grant_type: password, username: u, password: p")
    app = rig.app(*(rig.job(METRIC, name=f"j{n}", keys=keys) for n in range(4)))
    for runs in (1, 2):
        report = app.handle({}, None)
        detail = "/token answered 401: check client_id, client_secret, scopes, username and password"
        assert all(detail in error(report, n) for n in range(4)), report
        assert len(issuer.asked) == runs


@pytest.mark.parametrize("answer", [Answer(503), Answer.json({"error": "invalid_grant"}), Answer.json([], 404)])
def test_a_password_is_tried_once_a_run_whatever_the_answer_is(rig: Rig, answer: Answer) -> None:
    issuer = Issuer(rig.api, answer)
    keys = oauth2(issuer, "grant_type: password, username: u, password: p")
    app = rig.app(*(rig.job(METRIC, name=f"j{n}", keys=keys) for n in range(4)))
    for runs in (1, 2):
        report = app.handle({}, None)
        assert all("username and password" in error(report, n) for n in range(4)), report
        assert len(issuer.asked) == runs


@pytest.mark.parametrize("status", [400, 200])
def test_a_password_that_is_refused_three_times_is_tried_every_ten_minutes(status: int) -> None:
    now = [1000.0]
    with Api() as api:
        issuer = Issuer(api, Answer.json({"error": "invalid_grant"}, status))
        transport = Transport()
        store = TokenStore(transport, SecretStore({}, lambda service: None, lambda: now[0]), {})
        client = OAuth2("app", None, issuer.url, grant_type="password", password=Secret(literal="p"))
        details = []
        for _ in range(6):
            now[0] += 100
            with pytest.raises(TokenError) as raised:
                store.token(client, time.monotonic() + 5)
            details.append(str(raised.value))
        assert len(issuer.asked) == 3
        assert ["the next try is in" in one for one in details] == [False, False, True, True, True, True]
        now[0] += 310
        issuer.answers = [TOKEN]
        assert store.token(client, time.monotonic() + 5) == "t1"
        transport.close()


def test_an_api_that_takes_no_token_is_asked_twice(rig: Rig) -> None:
    """The second time with a new one."""
    issuer = Issuer(rig.api, Answer.json({"access_token": "t2"}))
    assert "check oauth2" in error(rig.push(rig.job(METRIC, keys=oauth2(issuer, "client_secret: s"))))
    assert [request.path for request in rig.api.requests] == ["/token", "/doc", "/token", "/doc"]


REFRESH = "client_secret: s, endpoint_params: {grant_type: refresh_token, refresh_token: {ref: 'env:RT'}}"


@pytest.mark.parametrize("given", [{}, {"refresh_token": f"{CANARY}-1"}], ids=["none given", "the same given"])
def test_a_refresh_token_that_stays_is_used(rig: Rig, given: dict[str, Any]) -> None:
    rig.env_vars["RT"] = f"{CANARY}-1"
    issuer = Issuer(rig.api, Answer.json({"access_token": "t1"} | given))
    assert error(rig.push(rig.job(METRIC, keys=oauth2(issuer, REFRESH)))) == ""
    assert parse_qs(issuer.asked[0].body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [f"{CANARY}-1"],
    }


def test_a_refresh_token_that_the_server_rotates_fails_at_once(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """And is not sent again: servers take that for theft, and revoke what the first answer gave."""
    rig.env_vars["RT"] = f"{CANARY}-1"
    issuer = Issuer(rig.api, Answer.json({"access_token": "t1", "refresh_token": f"{CANARY}-2"}))
    app = rig.app(rig.job(METRIC, keys=oauth2(issuer, REFRESH)))
    for _ in range(2):
        report = app.handle({}, None)
        assert "gives a new refresh token for each use, and none can be kept" in error(report)
        assert "grant_type client_credentials or password" in error(report)
        assert rig.value("up") == 0
    assert len(issuer.asked) == 1
    assert CANARY not in json.dumps(report) + capsys.readouterr().out


def test_a_refresh_token_beside_a_password_is_not_needed(rig: Rig) -> None:
    """The password gives the next token too."""
    issuer = Issuer(rig.api, Answer.json({"access_token": "t1", "refresh_token": "r1", "expires_in": 0.002}))
    app = rig.app(
        rig.job(METRIC, keys=oauth2(issuer, "client_secret: s, grant_type: password, username: u, password: p"))
    )
    assert [error(app.handle({}, None)) for _ in range(2)] == ["", ""]
    assert {tuple(parse_qs(one.body.decode())["grant_type"]) for one in issuer.asked} == {("password",)}
