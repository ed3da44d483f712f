"""Logging in at a source: what is sent, what of the answer is kept, where it goes, and when it is asked for again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.http import Transport
from lambda_remote_write.http.fetch import Fetcher, FetchError, SourceRequest
from lambda_remote_write.http.login import MAX_ANSWER_BYTES, MAX_TOKEN_CHARACTERS, LoginRequest, LoginStore
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig.discovery import no_request
from tests.rig.json_source import Rig, error
from tests.rig.parameters import Parameter
from tests.rig.tables import table

METRIC = "{name: m, value: v}"
GOOD = Answer.json({"v": 1})
CANARY = "canary-7f3a"


@dataclass(slots=True)
class Site:
    """An API at /doc that lets in who sends `sends` (a header's or parameter's name, and its value), and its login at
    /login, whose answers are `answers` in turn, the last one again and again."""

    sends: tuple[str, str] = ("Authorization", "Bearer tok-1")
    answers: list[Answer | Fault] = field(default_factory=lambda: [Answer.json({"token": "tok-1"})])
    logins: list[Request] = field(default_factory=list)
    status: int = 401

    def serve(self, api: Api) -> Site:
        api.serve("/login", self.login)
        api.serve("/doc", self.document)
        return self

    def login(self, request: Request) -> Answer | Fault:
        self.logins.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def document(self, request: Request) -> Answer:
        name, value = self.sends
        given = request.params if name.startswith("?") else request.headers
        return GOOD if given.get(name.lstrip("?")) == value else Answer.json({"error": "log in first"}, self.status)


def job(rig: Rig, login: str, more: str = "", **others: Any) -> str:
    url = "" if "url:" in login else f"url: '{rig.api.url}/login', "
    return rig.job(METRIC, keys=f"login: {{{url}{login}}}{more}", **others)


def run(rig: Rig, app: Any, times: int = 1) -> list[str]:
    return [error(app.handle({}, None)) for _ in range(times)]


# --- How devices and products are logged in ---------------------------------------------------------------------------

JSON_BODY = """body: '{"user":"u","password":"hunter2"}'"""
SESSION = {"Set-Cookie": "sid=s1; Path=/; HttpOnly"}
SIBLINGS = [
    (
        "Portainer: a JWT",
        f"{JSON_BODY}, token: jwt",
        Answer.json({"jwt": "ey.J.x"}),
        ("Authorization", "Bearer ey.J.x"),
    ),
    (
        "Redfish: a header of the answer",
        f"{JSON_BODY}, token: '@header.\"X-Auth-Token\"', use: {{header: X-Auth-Token}}",
        Answer.json({"Id": "1"}, 201, {"X-Auth-Token": "r3d"}),
        ("X-Auth-Token", "r3d"),
    ),
    (
        "Redfish: 204 without a body",
        f"{JSON_BODY}, token: '@header.\"X-Auth-Token\"', use: {{header: X-Auth-Token}}",
        Answer(204, {"X-Auth-Token": "r3d"}),
        ("X-Auth-Token", "r3d"),
    ),
    ("UniFi: a cookie", f"{JSON_BODY}, token: cookie", Answer.json({}, 200, SESSION), ("Cookie", "sid=s1")),
    (
        "qBittorrent: a form, a text and a cookie",
        "body: 'username=u&password=hunter2', token: cookie",
        Answer(200, {"Content-Type": "text/plain", "Set-Cookie": "SID=q1; path=/"}, b"Ok."),
        ("Cookie", "SID=q1"),
    ),
    (
        "Proxmox: a ticket that is sent as a cookie",
        "body: 'username=root@pam&password=x', token: data.ticket, use: {header: Cookie, prefix: 'PVEAuthCookie='}",
        Answer.json({"data": {"ticket": "PVE:root@pam:65F::a+b=="}}),
        ("Cookie", "PVEAuthCookie=PVE:root@pam:65F::a+b=="),
    ),
    (
        "Synology: a parameter",
        "method: GET, query: {account: u, passwd: x}, token: data.sid, use: {query: _sid}",
        Answer.json({"data": {"sid": "a b&c"}}),
        ("?_sid", "a b&c"),
    ),
    (
        "vCenter: a user that gets a quoted text",
        "basic_auth: {username: u, password: p}, token: '@', use: {header: vmware-api-session-id}",
        Answer(201, {"Content-Type": "application/json"}, b'"8f5e"'),
        ("vmware-api-session-id", "8f5e"),
    ),
    (
        "a plain text",
        f"{JSON_BODY}, token: '@', use: {{header: X-Token, prefix: 'T '}}",
        Answer(200, {"Content-Type": "text/plain"}, b"plain-token\r\n"),
        ("X-Token", "T plain-token"),
    ),
    (
        "JSON behind a byte order mark",
        f"{JSON_BODY}, token: t",
        Answer(200, {}, b'\xef\xbb\xbf{"t": "b0m"}'),
        ("Authorization", "Bearer b0m"),
    ),
    ("a number", f"{JSON_BODY}, token: id", Answer.json({"id": 4711}), ("Authorization", "Bearer 4711")),
    (
        "PAN-OS: cut out of XML",
        "method: GET, token: \"split(split(@, '<key>')[1], '</key>')[0]\", use: {header: X-PAN-KEY}",
        Answer(200, {"Content-Type": "application/xml"}, b"<response><result><key>LUFRPT==</key></result></response>"),
        ("X-PAN-KEY", "LUFRPT=="),
    ),
    ("PUT", "method: PUT, token: token", Answer.json({"token": "t"}), ("Authorization", "Bearer t")),
]


@table("login, answer, sends", SIBLINGS)
def test_a_login_lets_in(rig: Rig, login: str, answer: Answer, sends: tuple[str, str]) -> None:
    site = Site(sends, [answer]).serve(rig.api)
    assert run(rig, rig.app(job(rig, login)), 3) == [""] * 3
    assert len(site.logins) == 1


# Both of an answer are sent: the session is a cookie, and a token beside it stands against forged requests.
CSRF = [
    (
        "Omada: the token stands in the document",
        "token: result.token, use: {header: Csrf-Token, cookies: true}",
        Answer.json({"errorCode": 0, "result": {"token": "c1"}}, 200, SESSION),
        "Csrf-Token",
    ),
    (
        "UniFi and PowerStore: in a header",
        "token: '@header.\"X-CSRF-Token\"', use: {header: X-CSRF-Token, cookies: true}",
        Answer.json({}, 200, {**SESSION, "X-CSRF-Token": "c1"}),
        "X-CSRF-Token",
    ),
    (
        "as a parameter",
        "token: csrf, use: {query: csrf, cookies: true}",
        Answer.json({"csrf": "c1"}, 200, SESSION),
        "?csrf",
    ),
]


@table("login, answer, name", CSRF)
def test_a_token_and_the_cookies_let_in_together(rig: Rig, login: str, answer: Answer, name: str) -> None:
    site = Site((name, "c1"), [answer]).serve(rig.api)
    rig.api.serve(
        "/doc", lambda request: site.document(request) if request.headers.get("Cookie") == "sid=s1" else Answer(403)
    )
    assert run(rig, rig.app(job(rig, f"{JSON_BODY}, {login}")), 3) == [""] * 3
    assert len(site.logins) == 1


def test_the_cookies_of_a_token_stay_away_unless_they_are_asked_for(rig: Rig) -> None:
    Site(answers=[Answer.json({"token": "tok-1"}, 200, SESSION)]).serve(rig.api)
    assert run(rig, rig.app(job(rig, "token: token"))) == [""]
    assert "Cookie" not in rig.api.requests[-1].headers


def test_cookies_that_are_asked_for_beside_a_token_and_do_not_come_are_an_error(rig: Rig) -> None:
    Site().serve(rig.api)
    (detail,) = run(rig, rig.app(job(rig, "token: token, use: {cookies: true}")))
    assert "/login answered 200 without a cookie to keep: check the user and password that login sends" in detail
    assert "tok-1" not in detail


SENT = [
    ("JSON", """body: '{"a": "{ref.PW}"}'""", "application/json", '{"a": "p\\"w\\\\&+\\u00e4"}'),
    ("a form", "body: 'a=1&b={ref.PW}'", "application/x-www-form-urlencoded", "a=1&b=p%22w%5C%26%2B%C3%A4"),
    (
        "a form that is stated",
        "body: '{ref.PW}', headers: {content-type: application/x-www-form-urlencoded}",
        "application/x-www-form-urlencoded",
        "p%22w%5C%26%2B%C3%A4",
    ),
    ("a text", "body: 'hello {ref.PW} {a} {{ref}}'", None, 'hello p"w\\&+ä {a} {{ref}}'),
]


@table("body, content_type, sent", SENT)
def test_references_stand_in_the_body_as_its_kind_wants_them(
    rig: Rig, body: str, content_type: str | None, sent: str
) -> None:
    rig.env_vars["PW"] = 'p"w\\&+ä'
    site = Site().serve(rig.api)
    assert run(rig, rig.app(job(rig, f"{body}, refs: {{PW: 'env:PW'}}, token: token"))) == [""]
    (request,) = site.logins
    assert (request.method, request.headers.get("Content-Type"), request.body.decode()) == ("POST", content_type, sent)


def test_headers_query_and_user_of_the_login_are_its_own(rig: Rig) -> None:
    rig.env_vars["KEY"] = "k-1"
    site = Site().serve(rig.api)
    login = "headers: {X-Key: {ref: 'env:KEY'}}, query: {a: '1', b: {ref: 'env:KEY'}}, basic_auth: {username: u}"
    assert run(rig, rig.app(job(rig, f"{login}, token: token", ", headers: {X-Job: j}"))) == [""]
    (request,) = site.logins
    assert (request.query, request.headers["X-Key"], request.headers["Authorization"]) == (
        "a=1&b=k-1",
        "k-1",
        "Basic dTo=",
    )
    assert "X-Job" not in request.headers
    document = rig.api.requests[-1]
    assert (document.query, document.headers["X-Job"], "X-Key" in document.headers) == ("", "j", False)


def test_a_proxy_that_asks_for_basic_stands_before_both(rig: Rig) -> None:
    site = Site(("X-Token", "tok-1")).serve(rig.api)
    login = job(rig, "token: token, use: {header: X-Token}", ", basic_auth: {username: u, password: p}")
    assert run(rig, rig.app(login)) == [""]
    assert {request.headers["Authorization"] for request in rig.api.requests} == {"Basic dTpw"}
    with Api() as other:
        site.serve(other)
        site.logins.clear()
        login = f"url: '{other.url}/login', token: token, use: {{header: X-Token}}"
        assert run(rig, rig.app(job(rig, login, ", basic_auth: {username: u, password: p}"))) == [""]
    assert "Authorization" not in site.logins[0].headers


def test_cookies_of_the_login_stand_behind_those_of_the_config(rig: Rig) -> None:
    Site(("Cookie", "lang=en; sid=s1"), [Answer.json({}, 200, SESSION)]).serve(rig.api)
    assert run(rig, rig.app(job(rig, "token: cookie", ", headers: {Cookie: lang=en}"))) == [""]


# --- When it is asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_the_api_refuses_is_renewed_once_a_run(rig: Rig, status: int) -> None:
    site = Site(answers=[Answer.json({"token": "tok-1"}), Answer.json({"token": "tok-2"})], status=status).serve(
        rig.api
    )
    app = rig.app(job(rig, "token: token"), job(rig, "token: token", name="k"))
    assert run(rig, app) == [""]
    site.sends = ("Authorization", "Bearer tok-2")
    report = app.handle({}, None)
    assert (error(report, 0), error(report, 1), len(site.logins)) == ("", "", 2)
    site.sends = ("Authorization", "Bearer nothing")
    report = app.handle({}, None)
    assert f"answered {status}: it does not take our credentials; check login" in error(report)
    assert len(site.logins) == 3


def test_a_run_renews_a_login_once_whatever_its_pages_say(rig: Rig) -> None:
    """The first page is let in by the second login, and the next one by none."""
    site = Site(answers=[Answer.json({"token": "tok-1"}), Answer.json({"token": "tok-2"})]).serve(rig.api)

    def page(request: Request) -> Answer:
        is_first = request.query == "" and request.headers["Authorization"] == "Bearer tok-2"
        return Answer.json({"v": 1, "next": "/doc?page=2"}) if is_first else Answer(401)

    rig.api.serve("/doc", page)
    paged = ", pagination: {style: next_link, path: next}"
    assert "answered 401" in run(rig, rig.app(job(rig, "token: token", paged)))[0]
    assert len(site.logins) == 2


LOGIN_PAGE = Answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html><form action=login></form></html>")
ENDED = [
    ("an error that fail_if finds", Answer.json({"v": 0, "success": False}), ", fail_if: 'success == `false`'"),
    ("an error instead of the value", Answer.json({"success": False}), ""),
    ("a page to log in", LOGIN_PAGE, ""),
    ("a redirect to one", Answer(302, {"Location": "/welcome"}), ""),
]


@table("ended, more", ENDED)
def test_a_session_that_has_ended_with_a_good_status_is_renewed_in_the_next_run(
    rig: Rig, ended: Answer, more: str
) -> None:
    """As Synology's, Zabbix's and vManage's after a restart: none of them answers 401 or 403."""
    site = Site(answers=[Answer.json({"token": "tok-1"}), Answer.json({"token": "tok-2"})]).serve(rig.api)
    rig.api.serve("/welcome", LOGIN_PAGE)
    rig.api.serve("/doc", lambda request: ended if site.document(request).status == 401 else GOOD)
    app = rig.app(job(rig, "token: token", more))
    assert run(rig, app, 2) == ["", ""]
    site.sends = ("Authorization", "Bearer tok-2")
    first, second, third = run(rig, app, 3)
    assert (bool(first), second, third, len(site.logins)) == (True, "", "", 2)


@pytest.mark.parametrize("jobs", [1, 4])
def test_answers_that_are_never_good_cost_three_logins_in_a_row(rig: Rig, jobs: int) -> None:
    """However many jobs share the login. A wrong password may get a session all the same, and accounts lock."""
    site = Site().serve(rig.api)
    for n in range(jobs):
        rig.api.serve(f"/doc{n}", LOGIN_PAGE)
    app = rig.app(*(job(rig, "token: token", name=f"j{n}", path=f"/doc{n}") for n in range(jobs)))
    for _ in range(6):
        report = app.handle({}, None)
        assert all("looks like HTML" in error(report, n) for n in range(jobs))
    assert len(site.logins) == 3


TOO_MANY = [
    (
        "Pi-hole",
        Answer.json({"error": {"message": "API seats exceeded"}}, 429),
        "it allows no more logins or sessions for now",
    ),
    ("a locked account", Answer(423), "the account is locked"),
]


@table("answer, says", TOO_MANY)
def test_a_login_that_is_not_at_fault_is_not_blamed(rig: Rig, answer: Answer, says: str) -> None:
    Site(answers=[answer]).serve(rig.api)
    (detail,) = run(rig, rig.app(job(rig, "token: token")))
    assert f"/login answered {answer.status}: {says}" in detail
    assert "password" not in detail


def test_many_targets_share_one_login_and_each_origin_has_its_own(rig: Rig) -> None:
    site = Site().serve(rig.api)
    rig.api.serve("/doc2", site.document)
    with Api() as other:
        of_other = Site(("Authorization", "Bearer tok-2"), [Answer.json({"token": "tok-2"})]).serve(other)
        hosts = [one.removeprefix("http://") for one in (rig.api.url, other.url)]
        targets = "".join(
            f"- {{targets: ['{host}'], labels: {{n: '{n}'}}}}\n      " for host in hosts for n in range(5)
        )
        config = (
            "json_configs:\n  - job_name: j\n    metrics_path: /doc\n    metrics: [{name: m, value: v}]\n"
            f"    login: {{url: /login, token: token}}\n    static_configs:\n      {targets}"
        )
        report = rig.app_of(config).handle({}, None)
        assert report["ok"], report
        assert (len(site.logins), len(of_other.logins)) == (1, 1)
        assert {request.headers.get("Authorization") for request in other.requests} == {None, "Bearer tok-2"}


def fetcher(now: Callable[[], float]) -> tuple[Fetcher, Transport]:
    return fetcher_in_runs(now)[:2]


def ticking(now: list[float]) -> float:
    now[0] += 0.001
    return now[0]


def fetcher_in_runs(now: Callable[[], float]) -> tuple[Fetcher, Transport, SecretStore]:
    transport, secrets = Transport(), SecretStore({}, lambda service: None, now)
    return Fetcher(transport, secrets, {}, no_request), transport, secrets


def request_of(api: Api, login: str, path: str = "/doc") -> SourceRequest:
    text = f"json_configs: [{{job_name: j, url: '{api.url}/doc', login: {{{login}}}, metrics: [{METRIC}]}}]\n"
    config = parse_config(f"{text}remote_write: [{{url: 'http://h/w'}}]", "c.yaml", {})
    return SourceRequest("GET", f"{api.url}{path}", config.json_jobs[0].http, 1_000)


LIFETIMES = [("of the config", ", lifetime: 5m", 299, 301), ("by default", "", 2999, 3001)]


@table("more, before, after", LIFETIMES)
def test_a_login_is_renewed_after_its_lifetime(more: str, before: int, after: int) -> None:
    now = [1000.0]
    with Api() as api:
        site = Site().serve(api)
        source, transport = fetcher(lambda: now[0])
        request = request_of(api, f"url: /login, token: token{more}")
        for at, logins in ((0, 1), (before, 1), (after, 2)):
            now[0] = 1000.0 + at
            source.fetch(request, time.monotonic() + 5)
            assert len(site.logins) == logins
        transport.close()


def test_a_login_is_renewed_when_its_cookies_have_ended() -> None:
    now = [1000.0]
    with Api() as api:
        site = Site(answers=[Answer.json({}, 200, {"Set-Cookie": "sid=1; Path=/; Max-Age=60"})]).serve(api)
        source, transport = fetcher(time.monotonic)
        request = request_of(api, "url: /login, token: cookie")
        assert request.client.login is not None
        store = LoginStore(source.fetch, SecretStore({}, lambda service: None, time.monotonic), lambda: now[0])
        for seconds, logins in ((0, 1), (59, 1), (2, 2)):
            now[0] += seconds
            store.logged_in(LoginRequest.of(request, request.client.login), time.monotonic() + 5)
            assert len(site.logins) == logins
        transport.close()


def test_a_login_that_is_refused_three_times_is_tried_every_ten_minutes() -> None:
    """Accounts lock. One that succeeds begins anew."""
    now = [1000.0]
    refused = Answer.json({"message": "wrong password"}, 401)
    with Api() as api:
        site = Site(answers=[refused]).serve(api)
        source, transport = fetcher(lambda: now[0])
        request = request_of(api, "url: /login, token: token")

        def detail(seconds: float) -> str:
            now[0] += seconds
            with pytest.raises(FetchError) as raised:
                source.fetch(request, time.monotonic() + 5)
            return str(raised.value)

        details = [detail(60) for _ in range(3)]
        assert [
            '/login answered 401: check the user and password that login sends; it says "wrong password"' in one
            for one in details
        ]
        assert ["three" in one or "3 times" in one for one in details] == [False, False, True]
        assert "refused 3 times in a row, and tried every ten minutes only, as accounts lock" in details[2]
        assert "the next try is in 10m" in details[2]
        assert "the next try is in 9m" in detail(60)
        assert len(site.logins) == 3
        assert "refused 4 times" in detail(541)
        assert len(site.logins) == 4
        detail(590)
        assert len(site.logins) == 4
        site.answers = [Answer.json({"token": "tok-1"})]
        now[0] += 11
        source.fetch(request, time.monotonic() + 5)
        site.answers, site.sends = [refused], ("Authorization", "gone")
        assert "times in a row" not in detail(60)
        transport.close()


@pytest.mark.parametrize("status", [422, 423, 429])
def test_other_statuses_that_lock_accounts_count_as_refusals(status: int) -> None:
    """Validation (RFC 9110, 15.5.21), Locked (RFC 4918, 11.3), Too Many Requests (RFC 6585, 4)."""
    now = [1000.0]
    with Api() as api:
        site = Site(answers=[Answer.json({"detail": "no"}, status)]).serve(api)
        source, transport = fetcher(lambda: now[0])
        for _ in range(6):
            now[0] += 60
            with pytest.raises(FetchError) as raised:
                source.fetch(request_of(api, "url: /login, token: token"), time.monotonic() + 5)
        assert len(site.logins) == 3
        assert "tried every ten minutes only" in str(raised.value)
        transport.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_whose_session_is_refused_at_once_is_tried_three_times_and_then_every_ten_minutes(status: int) -> None:
    """Many devices answer a wrong password with 200 and the cookie of a visitor."""
    now = [1000.0]
    visitor = Answer(200, {"Set-Cookie": "PHPSESSID=visitor; Path=/"}, b"<p>wrong password</p>")
    with Api() as api:
        site = Site(sends=("Cookie", "PHPSESSID=user"), answers=[visitor], status=status).serve(api)
        source, transport, secrets = fetcher_in_runs(lambda: ticking(now))
        request = request_of(api, "url: /login, token: cookie")

        def logins(seconds: float) -> int:
            now[0] += seconds
            secrets.begin_run()
            now[0] += 1
            for _ in range(4):
                with pytest.raises(FetchError, match=f"answered {status}"):
                    source.fetch(request, time.monotonic() + 5)
            return len(site.logins)

        assert [logins(60) for _ in range(8)][2:] == [3] * 6
        assert [logins(60) for _ in range(6)][-1] == 4
        site.answers = [Answer(200, {"Set-Cookie": "PHPSESSID=user; Path=/"})]
        now[0] += 600
        secrets.begin_run()
        source.fetch(request, time.monotonic() + 5)
        transport.close()


def test_an_address_that_the_user_may_not_read_does_not_end_the_sessions_of_others() -> None:
    now = [1000.0]
    with Api() as api:
        site = Site().serve(api)
        api.serve("/admin", lambda request: Answer(403))
        source, transport, secrets = fetcher_in_runs(lambda: ticking(now))
        login = "url: /login, token: token"
        for run in range(30):
            now[0] += 10
            secrets.begin_run()
            now[0] += 1
            if run == 20:  # the session of all ends
                site.sends, site.answers = ("Authorization", "Bearer tok-2"), [Answer.json({"token": "tok-2"})]
            with pytest.raises(FetchError, match="answered 403"):
                source.fetch(request_of(api, login, "/admin"), time.monotonic() + 5)
            assert bytes(source.fetch(request_of(api, login), time.monotonic() + 5).content) == GOOD.body
        assert len(site.logins) == 4
        transport.close()


def test_a_run_tries_a_login_once_however_many_targets_ask(rig: Rig) -> None:
    site = Site(answers=[Answer.json({}, 401)]).serve(rig.api)
    app = rig.app(*(job(rig, "token: token", name=f"j{n}") for n in range(5)))
    for runs in (1, 2):
        report = app.handle({}, None)
        assert all("/login answered 401" in error(report, index) for index in range(5))
        assert len(site.logins) == runs


def test_a_password_that_was_rotated_is_read_anew(rig: Rig) -> None:
    rig.session = Parameter("old")
    site = Site().serve(rig.api)

    def login(request: Request) -> Answer:
        site.logins.append(request)
        return Answer.json({"token": "tok-1"}) if rig.session.value.encode() in request.body else Answer(401)

    rig.api.serve("/login", login)
    app = rig.app(job(rig, "body: 'p={ref.PW}', refs: {PW: 'ssm:/pw'}, token: token"))
    assert run(rig, app) == [""]
    rig.session.value, site.status = "new", 401
    site.sends = ("Authorization", "Bearer gone")
    assert "check login" in run(rig, app)[0]
    assert [request.body for request in site.logins] == [b"p=old", b"p=old", b"p=new"]


@pytest.mark.slow
def test_a_login_that_hangs_costs_other_jobs_nothing(rig: Rig) -> None:
    Site(answers=[Fault.hang()]).serve(rig.api)
    rig.serve('{"v":1}', "/other")
    slow = [job(rig, "token: token", ", scrape_timeout: 1s", name=f"slow{n}") for n in range(3)]
    report = rig.app(*slow, rig.job(METRIC, name="other", path="/other")).handle({}, None)
    assert all("login" in error(report, index) for index in range(3))
    assert error(report, 3) == ""
    assert all(rig.value("scrape_duration_seconds", job=f"slow{n}") < 4 for n in range(3))


def test_a_login_that_hangs_is_tried_again_only_with_clearly_more_time() -> None:
    with Api() as api:
        site = Site(answers=[Fault.hang()]).serve(api)
        source, transport = fetcher(time.monotonic)
        request = request_of(api, "url: /login, token: token")
        for seconds, logins in ((0.3, 1), (0.3, 1), (0.9, 2), (0.9, 2)):
            with pytest.raises(FetchError, match="/login"):
                source.fetch(request, time.monotonic() + seconds)
            assert len(site.logins) == logins
        transport.close()


def test_a_login_server_that_is_down_is_named(rig: Rig) -> None:
    rig.serve('{"v":1}')
    report = rig.push(job(rig, "url: 'http://127.0.0.1:9/login', token: token"), rig.job(METRIC, name="other"))
    assert error(report).startswith("login http://127.0.0.1:9/login: ")
    assert error(report, 1) == ""


# --- Answers that let nothing in --------------------------------------------------------------------------------------

HTML = b"<!doctype html><title>Sign in</title>"
NO_TOKEN = [
    (
        "an error with 200",
        Answer.json({"success": False, "error": {"message": "user is locked"}, "value": "s3cr3t-value"}),
        ["no token at token", "the keys success, error, value", 'it says "user is locked"'],
    ),
    ("another key", Answer.json({"access": f"{CANARY}-0"}), ["no token at token", "JSON with the keys access"]),
    ("a null", Answer.json({"token": None}), ["no token at token"]),
    ("an object", Answer.json({"token": {"value": CANARY}}), ["no text at token"]),
    ("a boolean", Answer.json({"token": True}), ["no text at token"]),
    ("an empty text", Answer.json({"token": " "}), ["no text at token"]),
    ("a list", Answer.json([CANARY]), ["no token at token", "JSON that is no object"]),
    ("HTML", Answer(200, {"Content-Type": "text/html"}, HTML), ["no token at token", "looks like HTML"]),
    ("a text", Answer(200, {"Content-Type": "text/plain"}, CANARY.encode()), ["bytes that are no JSON (text/plain)"]),
    ("nothing", Answer(200), ["0 bytes that are no JSON", "it is empty"]),
    ("a line break", Answer.json({"token": f"{CANARY}\r\nX: y"}), ["no line break"]),
    ("beyond Latin-1", Answer.json({"token": f"{CANARY}☃"}), ["nothing outside Latin-1"]),
    (
        "a long token",
        Answer.json({"token": CANARY + "x" * MAX_TOKEN_CHARACTERS}),
        [f"has {len(CANARY) + MAX_TOKEN_CHARACTERS} characters, and one has {MAX_TOKEN_CHARACTERS} at most"],
    ),
    (
        "1 MB",
        Answer.json({"token": CANARY + "x" * MAX_ANSWER_BYTES}),
        [f"no token that can be used: it has {MAX_ANSWER_BYTES} bytes or more"],
    ),
    ("400", Answer.json({"detail": "no such user"}, 400), ["answered 400: check the user and", "no such user"]),
    ("403", Answer(403), ["answered 403: check the user and password that login sends"]),
    ("503", Answer(503), ["/login answered 503"]),
    ("304", Answer(304), ["/login answered 304"]),
]  # fmt: skip


@table("answer, details", NO_TOKEN)
def test_an_answer_without_a_token_is_described_and_not_shown(
    rig: Rig, capsys: pytest.CaptureFixture[str], answer: Answer, details: list[str]
) -> None:
    Site(answers=[answer]).serve(rig.api)
    rig.serve('{"v":1}', "/other")
    report = rig.push(job(rig, f"{JSON_BODY}, token: token"), rig.job(METRIC, name="other", path="/other"))
    assert [one for one in details if one not in error(report)] == [], error(report)
    assert error(report).startswith(f"login {rig.api.url}/login")
    assert (rig.value("up", job="j"), error(report, 1), rig.value("m", job="other")) == (0, "", 1)
    shown = json.dumps(report) + capsys.readouterr().out
    assert [word for word in (CANARY, "hunter2", "s3cr3t-value") if word in shown] == []
    assert "/doc" not in [request.path for request in rig.api.requests]


def test_a_token_of_the_longest_length_goes_out(rig: Rig) -> None:
    token = "x" * MAX_TOKEN_CHARACTERS
    site = Site(("X-Token", token), [Answer.json({"token": token})]).serve(rig.api)
    assert run(rig, rig.app(job(rig, "token: token, use: {header: X-Token}"))) == [""]
    assert len(site.logins) == 1


NO_TEXT = [
    ("a page", Answer(200, {"Content-Type": "text/html"}, HTML), "no token at @"),
    ("an expression that cannot be applied", Answer.json({"a": 1}), "no token at length(a)"),
]


@table("answer, detail", NO_TEXT)
def test_a_page_is_no_token_either(rig: Rig, answer: Answer, detail: str) -> None:
    Site(answers=[answer]).serve(rig.api)
    expression = detail.rpartition(" ")[2]
    assert detail in run(rig, rig.app(job(rig, f"token: '{expression}'")))[0]


# --- Cookies ----------------------------------------------------------------------------------------------------------

NO_COOKIE = [
    ("none", Answer.json({"message": "wrong user"}), ["without a cookie to keep", "the keys message", "wrong user"]),
    ("another domain", Answer.json({}, 200, {"Set-Cookie": f"a={CANARY}; Domain=example.org"}),
     ["without a cookie to keep: that for Domain=example.org is another host's"]),
    ("another path", Answer.json({}, 200, {"Set-Cookie": f"a={CANARY}; Path=/admin"}),
     ["its cookies are for 127.0.0.1/admin, and none goes to", "Domain, Path, Secure"]),
    ("secure", Answer.json({}, 200, {"Set-Cookie": f"a={CANARY}; Path=/; Secure"}), ["none goes to", "Secure"]),
]  # fmt: skip


@table("answer, details", NO_COOKIE)
def test_a_login_without_a_cookie_to_send_says_why(rig: Rig, answer: Answer, details: list[str]) -> None:
    Site(answers=[answer]).serve(rig.api)
    (found,) = run(rig, rig.app(job(rig, "token: cookie")))
    assert [one for one in details if one not in found] == [], found
    assert CANARY not in found


# --- Redirects of the login -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "method"), [(302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_cookies_are_collected_over_redirects_as_after_a_form(rig: Rig, status: int, method: str) -> None:
    site = Site(("Cookie", "a=1; b=2")).serve(rig.api)
    site.answers = [Answer(status, {"Location": "/home?x=1", "Set-Cookie": "a=1; Path=/"})]
    rig.api.serve("/home", Answer(200, {"Content-Type": "text/html", "Set-Cookie": "b=2; Path=/"}, HTML))
    assert run(rig, rig.app(job(rig, "body: 'u=1', query: {q: '1'}, token: cookie"))) == [""]
    home = rig.api.requests[1]
    assert (home.path, home.query, home.method, home.headers["Cookie"]) == ("/home", "x=1", method, "a=1")
    assert (home.body == b"u=1") == ("Content-Type" in home.headers) == (method == "POST")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("token", ["token", "cookie"])
def test_a_login_is_never_redirected_to_another_origin(rig: Rig, status: int, token: str) -> None:
    with Api() as other:
        answer = Answer(status, {"Location": f"{other.url}/home?t={CANARY}", "Set-Cookie": "a=1; Path=/"})
        Site(answers=[answer]).serve(rig.api)
        other.serve("/home", Answer.json({"token": "x"}))
        (found,) = run(rig, rig.app(job(rig, f"{JSON_BODY}, token: {token}")))
        assert f"to another origin, {other.url}/home: not followed" in found
        assert found.endswith("if the login is there, set login.url to it")
        assert CANARY not in found
        assert other.requests == []


def test_redirects_of_a_login_end(rig: Rig) -> None:
    Site(answers=[Answer(302, {"Location": "/login"})]).serve(rig.api)
    assert "redirected more than 5 times" in run(rig, rig.app(job(rig, "token: token")))[0]


@pytest.mark.parametrize(("token", "use"), [("token", ""), ("token", ", use: {query: t}"), ("cookie", "")])
def test_a_redirect_of_the_api_takes_no_token_elsewhere(rig: Rig, token: str, use: str) -> None:
    with Api() as other:
        other.serve("/doc", GOOD)
        Site(answers=[Answer.json({"token": CANARY}, 200, {"Set-Cookie": f"sid={CANARY}; Path=/"})]).serve(rig.api)
        rig.api.serve("/doc", Answer(302, {"Location": f"{other.url}/doc"}))
        assert run(rig, rig.app(job(rig, f"token: {token}{use}"))) == [""]
        (request,) = other.requests
    assert CANARY not in f"{request.headers}{request.query}"


COPIES = [
    ("the query, as a server that moved does", "/doc?{query}"),
    ("another parameter", "/doc?next=x%3F{query}"),
    ("the path", "/doc/{value}"),
]


@table("location", COPIES)
@pytest.mark.parametrize("kind", ["a token", "a reference"])
def test_a_redirect_elsewhere_whose_address_holds_a_secret_is_not_followed(rig: Rig, kind: str, location: str) -> None:
    token = f"{CANARY} +/="
    rig.env_vars["KEY"] = token
    with Api() as other:
        moved: list[str] = []

        def document(request: Request) -> Answer:
            moved.append(request.query)
            value = request.query.partition("=")[2].replace("+", "%20")
            return Answer(302, {"Location": other.url + location.format(query=request.query, value=value)})

        Site(answers=[Answer.json({"token": token})]).serve(rig.api)
        rig.api.serve("/doc", document)
        by_login = job(rig, "token: token, use: {query: t}")
        found = run(
            rig, rig.app(by_login if kind == "a token" else rig.job(METRIC, keys="query: {t: {ref: 'env:KEY'}}"))
        )
        assert (other.requests, len(moved)) == ([], 1)
    assert "redirected to another origin" in found[0]
    assert "set url to it" in found[0]
    assert CANARY not in found[0]


@table("url", [("at the target", "/login"), ("at an address", "http://169.254.169.254/login")])
def test_a_login_reaches_no_address_that_its_source_may_not_reach(rig: Rig, url: str) -> None:
    """Metadata services hand out credentials."""
    target = "169.254.169.254" if url == "/login" else rig.api.url.removeprefix("http://")
    keys = f"login: {{url: '{url}', token: token}}"
    report = rig.push(rig.job(METRIC, path=f"http://{target}/doc", keys=keys))
    assert error(report).startswith("login http://169.254.169.254/login: ")
    assert "allow_link_local" in error(report)


# --- Secrets ----------------------------------------------------------------------------------------------------------

TOKENS = [
    ("a token", "token: token"),
    ("a parameter", "token: token, use: {query: sid}"),
    ("a cookie", "token: cookie"),
]


@table("login", TOKENS)
def test_what_a_login_sends_and_gets_never_shows(rig: Rig, capsys: pytest.CaptureFixture[str], login: str) -> None:
    rig.env_vars["PW"] = f"{CANARY}-password"
    got = f"{CANARY}-cookie" if "cookie" in login else f"{CANARY}-token"

    def repeats(request: Request) -> Answer:
        return Answer.json({"message": f"{request.headers} {request.query} {got} {CANARY}-password"}, 400)

    answer = Answer.json({"token": f"{CANARY}-token"}, 200, {"Set-Cookie": f"sid={CANARY}-cookie; Path=/"})
    Site(answers=[answer, Answer.json({"message": f"no {CANARY}-password"}, 401)]).serve(rig.api)
    rig.api.serve("/doc", repeats)
    rig.api.serve("/deny", Answer(401))
    body = "body: 'password={ref.PW}', refs: {PW: 'env:PW'}"
    app = rig.app(job(rig, f"{body}, {login}"), job(rig, f"{body}, {login}, lifetime: 1m", name="k"))
    report, plan = app.handle({}, None), app.handle({"action": "plan"}, None)
    first, second = sorted([error(report, 0), error(report, 1)])
    assert ("answered 400" in first, "/login answered 401" in second) == (True, True)
    assert CANARY not in json.dumps([report, plan]) + capsys.readouterr().out


@table("login", TOKENS)
def test_what_lets_in_stays_hidden_however_many_cookies_others_set(
    rig: Rig, capsys: pytest.CaptureFixture[str], login: str
) -> None:
    """Of cookies that come and go only the newest are masked."""
    answer = Answer.json({"token": f"{CANARY}-token"}, 200, {"Set-Cookie": f"sid={CANARY}-cookie; Path=/"})
    Site(answers=[answer]).serve(rig.api)
    rig.api.serve("/doc", GOOD)
    many = {"Set-Cookie": ", ".join(f"c{number}=value-{number}" for number in range(300))}
    rig.api.serve("/many", Answer.json({"v": 1}, 200, many))
    app = rig.app(job(rig, login), rig.job(METRIC, name="many", path="/many"))
    app.handle({}, None)
    rig.api.serve("/doc", lambda request: Answer.json({"message": f"{request.headers} {request.query}"}, 400))
    report = app.handle({}, None)
    assert "<secret>" in error(report)
    assert CANARY not in json.dumps(report) + capsys.readouterr().out


def test_the_token_of_a_login_at_one_address_goes_to_the_hosts_that_are_named(rig: Rig) -> None:
    """A list could name any target, and would have the token sent there."""
    site = Site().serve(rig.api)
    with Api() as other:
        hosts = rig.api.url.removeprefix("http://"), other.url.removeprefix("http://").replace("127.0.0.1", "localhost")
        rig.api.serve("/list", Answer.json([{"t": host} for host in hosts]))
        report = rig.app_of(
            f"json_configs:\n  - job_name: j\n    metrics_path: /doc\n    metrics: [{METRIC}]\n"
            f"    login: {{url: '{rig.api.url}/login', token: token}}\n    hosts: [127.0.0.1]\n"
            f"    json_sd_configs: [{{url: '{rig.api.url}/list', target: t}}]"
        ).handle({}, None)
        assert other.requests == []
    assert len(site.logins) == 1
    assert "localhost" in json.dumps(report)
    assert "hosts of the job does not list" in json.dumps(report)
    assert rig.value("up", instance=hosts[0]) == 1


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


@pytest.mark.parametrize("url", ["/login", "{}/login"], ids=["at each target", "at one address"])
@table("config", SOURCES)
def test_every_kind_of_source_is_logged_in(rig: Rig, config: str, url: str) -> None:
    host = rig.api.url.removeprefix("http://")
    page = Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, b"a 1\n")
    answers = {"/metrics": page, "/list": Answer.json([{"t": host}]), "/targets": Answer.json([{"targets": [host]}])}

    def guarded(answer: Answer) -> Callable[[Request], Answer]:
        return lambda request: answer if request.headers.get("Authorization") == "Bearer tok-1" else Answer(401)

    site = Site().serve(rig.api)
    for path, answer in answers.items():
        rig.api.serve(path, guarded(answer))
    rig.api.serve("/", guarded(GOOD) if "static" in config else GOOD)
    login = f"login: {{url: '{url.format(rig.api.url)}', token: token}}"
    report = rig.app_of(config.format(login, host, METRIC)).handle({}, None)
    assert (report["ok"], rig.value("up"), len(site.logins)) == (True, 1, 1), report
