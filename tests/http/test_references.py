"""Secrets by reference in a query, a header and a form field: sent whole, renewed when refused, never shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest

from lambda_remote_write.app import App
from sandbox.server import Answer, Request
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

METRIC = "{name: m, value: v}"
GOOD = Answer.json({"v": 1})
KEY = "canary-9c1d&= %"
"""It has to be escaped in a query and in a form."""


@pytest.fixture
def keyed(rig: Rig) -> Rig:
    rig.env_vars["KEY"] = KEY
    return rig


def asked(rig: Rig, path: str = "/doc") -> list[Request]:
    return [request for request in rig.api.requests if request.path == path]


IN_QUERY = [
    ("query", "query: {q: a, appid: {ref: 'env:KEY'}}", "/doc", [("q", "a"), ("appid", KEY)]),
    ("params", "params: {q: [a, b], appid: [{ref: 'env:KEY'}]}", "/doc", [("q", "a"), ("q", "b"), ("appid", KEY)]),
    ("several values", "params: {k: [plain, {ref: 'env:KEY'}]}", "/doc", [("k", "plain"), ("k", KEY)]),
    ("over the url's own", "query: {appid: {ref: 'env:KEY'}}", "/doc?appid=old&a=1", [("a", "1"), ("appid", KEY)]),
]


@table("keys, path, sent", IN_QUERY)
def test_a_reference_in_a_query(keyed: Rig, keys: str, path: str, sent: list[tuple[str, str]]) -> None:
    keyed.api.serve("/doc", GOOD)
    report = keyed.push(keyed.job(METRIC, path=path, keys=keys))
    (request,) = asked(keyed)
    assert (error(report), parse_qsl(request.query)) == ("", sent)


def test_a_reference_in_the_short_form_of_headers(rig: Rig) -> None:
    rig.env_vars["KEY"] = "k"
    rig.api.serve("/doc", GOOD)
    rig.push(rig.job(METRIC, keys="headers: {X-Api-Key: {ref: 'env:KEY'}, X-Other: plain}"))
    (request,) = asked(rig)
    assert (request.headers["X-Api-Key"], request.headers["X-Other"]) == ("k", "plain")


@pytest.mark.parametrize("name", ["Cookie", "Accept", "User-Agent", "X-Api-Version", "X-Key"])
@pytest.mark.parametrize("keys", ["headers: {%: {ref: 'env:KEY'}}", "http_headers: {%: {refs: ['env:KEY']}}"])
def test_a_reference_is_masked_whatever_its_header_is_called(rig: Rig, keys: str, name: str) -> None:
    """A plain value of such a header is none."""
    rig.env_vars["KEY"] = "canary-9c1d"
    rig.api.serve("/doc", lambda request: Answer.json({"message": f"not {request.headers[name]}"}, 500))
    report = rig.push(rig.job(METRIC, keys=keys.replace("%", name)))
    assert error(report).endswith('it says "not <secret>"')


def test_a_reference_in_a_form_of_oauth2(keyed: Rig) -> None:
    """RFC 6749, 4.3.2: the password grant sends user and password as form fields."""
    keyed.api.serve("/token", Answer.json({"access_token": "t"}))
    keyed.api.serve("/doc", GOOD)
    form = "{grant_type: password, username: u, password: {ref: 'env:KEY'}}"
    keys = f"oauth2: {{client_id: app, token_url: '{keyed.api.url}/token', endpoint_params: {form}}}"
    assert error(keyed.push(keyed.job(METRIC, keys=keys))) == ""
    (request,) = asked(keyed, "/token")
    sent = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert sent == {"grant_type": "password", "username": "u", "password": KEY}


def test_every_page_is_asked_with_the_key(keyed: Rig) -> None:
    """The API's own link to the next page mostly leaves it out."""
    pages = {"": {"v": [1], "next": "/doc?page=2"}, "page=2": {"v": [2]}}

    def respond(request: Request) -> Answer:
        query = parse_qsl(request.query)
        if ("key", KEY) not in query:
            return Answer(401)
        return Answer.json(pages["&".join(f"{name}={value}" for name, value in query if name != "key")])

    keyed.api.serve("/doc", respond)
    keys = "query: {key: {ref: 'env:KEY'}}, pagination: {style: next_link, path: next}"
    metric = "{name: m, records: 'v[]', value: '@', labels: {v: '@'}}"
    assert error(keyed.push(keyed.job(metric, keys=keys))) == ""
    assert len(asked(keyed)) == 2


def test_a_redirect_to_another_origin_goes_without_the_key(keyed: Rig) -> None:
    other = Rig(keyed.folder)
    with other:
        other.api.serve("/there", GOOD)
        keyed.api.serve("/doc", Answer(302, {"Location": f"{other.api.url}/there?a=1"}))
        keyed.push(keyed.job(METRIC, keys="query: {key: {ref: 'env:KEY'}}, headers: {X-Key: plain}"))
        (request,) = asked(other, "/there")
        assert request.query == "a=1"
        assert KEY.split("&")[0] not in str(request.headers)


OF_TARGETS = {
    "a page of metrics": "params: {token: [{ref: 'env:KEY'}]}, static_configs: [{targets: ['%']}]",
    "targets of a list": "json_sd_configs: [{url: 'http://%/list', target: at, query: {token: {ref: 'env:KEY'}}}]",
}


@pytest.mark.parametrize("keys", OF_TARGETS.values(), ids=OF_TARGETS)
def test_targets_have_no_label_of_it(keyed: Rig, keys: str) -> None:
    """Labels show: in the plan, in service discovery and, once relabelling copies them, in the workspace."""
    host = keyed.api.url.removeprefix("http://")
    page = Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, b"m 1\n")
    keyed.api.serve("/metrics", page)
    keyed.api.serve("/list", Answer.json([{"at": host}]))
    copied = "relabel_configs: [{action: labelmap, regex: __param_(.*)}]"
    app = keyed.app_of(f"scrape_configs: [{{job_name: j, {keys.replace('%', host)}, {copied}}}]")
    report = app.handle({"action": "plan"}, None)
    (target,) = report["jobs"][0]["targets"]
    assert (target["up"], set(target["labels"])) == (1, {"job", "instance"})
    (request,) = [one for one in keyed.api.requests if "token=" in one.query]
    assert parse_qsl(request.query) == [("token", KEY)]


# --- Renewal ----------------------------------------------------------------------------------------------------------


class Manager:
    """Secrets Manager as boto3 shows it; also a session of boto3."""

    def __init__(self) -> None:
        self.text, self.calls = "old", 0

    def __call__(self, profile: str, region: str) -> Manager:
        return self

    def client(self, service: str) -> Manager:
        return self

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803 - as boto3 calls it
        self.calls += 1
        return {"SecretString": self.text}


def in_query(request: Request) -> str:
    return dict(parse_qsl(request.query)).get("key", "")


def in_header(request: Request) -> str:
    return request.headers.get("X-Key", "")


PLACES: list[tuple[str, str, Callable[[Request], str]]] = [
    ("query", "query: {key: {ref: 'secretsmanager:k'}}", in_query),
    ("header", "headers: {X-Key: {ref: 'secretsmanager:k'}}", in_header),
]


@table("keys, sent", PLACES)
def test_a_key_that_is_refused_is_fetched_anew(rig: Rig, keys: str, sent: Callable[[Request], str]) -> None:
    """It was rotated since the run before."""
    manager, good = Manager(), "old"
    rig.session = manager
    rig.api.serve("/doc", lambda request: GOOD if sent(request) == good else Answer(401))
    app = rig.app(rig.job(METRIC, keys=keys))
    assert error(app.handle({}, None)) == ""
    good = manager.text = "new"
    assert error(app.handle({}, None)) == ""
    assert manager.calls == 2


# --- Nothing shows it -------------------------------------------------------------------------------------------------


def everything(app: App, capsys: pytest.CaptureFixture[str]) -> str:
    """All that a plan and a push say."""
    reports: list[Any] = [app.handle({"action": "plan"}, None), app.handle({}, None)]
    return json.dumps(reports) + "".join(capsys.readouterr())


ECHOES = [
    ("the address", lambda request: Answer(400, {}, f"bad request {request.path}?{request.query}".encode())),
    ("the key", lambda request: Answer.json({"error": f"unknown key {in_query(request) or in_header(request)}"}, 401)),
    ("in the document", lambda request: Answer.json({"v": f"no number: {in_query(request) or in_header(request)}"})),
    ("in a redirect", lambda request: Answer(302, {"Location": f"ftp://x/?{request.query}"})),
]


@table("respond", ECHOES)
@pytest.mark.parametrize("place", ["query", "headers"])
def test_an_api_that_repeats_the_key_does_not_make_it_show(
    keyed: Rig, capsys: pytest.CaptureFixture[str], place: str, respond: Callable[[Request], Answer]
) -> None:
    keyed.env_vars["KEY"] = secret = "canary-9c1d-and-more"
    keyed.api.serve("/doc", respond)
    name = "key" if place == "query" else "X-Key"
    said = everything(keyed.app(keyed.job(METRIC, keys=f"{place}: {{{name}: {{ref: 'env:KEY'}}}}")), capsys)
    assert "127.0.0.1" in said
    assert secret not in said


def test_a_key_that_is_not_there_is_named(rig: Rig) -> None:
    rig.api.serve("/doc", GOOD)
    report = rig.push(rig.job(METRIC, keys="query: {key: {ref: 'env:NOWHERE'}}"))
    assert error(report) == "env:NOWHERE: the environment has no variable NOWHERE"
    assert asked(rig) == []


def test_a_refusal_names_the_parameter(keyed: Rig) -> None:
    keyed.api.serve("/doc", Answer(401))
    report = keyed.push(keyed.job(METRIC, keys="query: {k: {ref: 'env:KEY'}}"))
    assert "check the query parameter k" in error(report)
