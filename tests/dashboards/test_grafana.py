"""`make grafana` against a Grafana that holds state: what it creates, what it keeps, and what each refusal says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dashboards import grafana
from dashboards.data_source import data_source
from dashboards.grafana_client import Grafana, GrafanaError
from dashboards.import_settings import settings
from sandbox.process import free_port
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.grafana import GrafanaServer
from tests.rig.tls_peers import make_certificates, tls_server

ROOT = Path(__file__).parents[2]
ADMIN = "token-of-an-admin"
PLUGIN = "grafana-amazonprometheus-datasource"
WORKSPACE = {"WORKSPACE": "ws-0123-abcd", "REGION": "eu-west-1"}
WORKSPACE_URL = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-0123-abcd"
NAME = "AMP ws-0123-abcd"
CUSTOM, PUSHER = "lambda-remote-write-custom", "lambda-remote-write-pusher"


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with GrafanaServer() as running:
        yield running


def env_vars(server: GrafanaServer, **more: str) -> dict[str, str]:
    return {"URL": server.url, "GRAFANA_TOKEN": ADMIN, **WORKSPACE, **more}


def refusal(variables: dict[str, str], files: Sequence[Path] = grafana.FILES) -> str:
    """The sentence; it never shows the token."""
    with pytest.raises(GrafanaError) as raised:
        grafana.run(variables, files)
    said = str(raised.value)
    assert not variables.get("GRAFANA_TOKEN") or variables["GRAFANA_TOKEN"] not in said
    return said


@pytest.fixture
def newer(tmp_path: Path) -> list[Path]:
    """The files of a later release, whose dashboards have other titles."""
    for path in grafana.FILES:
        dashboard = json.loads(path.read_text())
        (tmp_path / path.name).write_text(json.dumps(dashboard | {"title": dashboard["title"] + " 2"}))
    return sorted(tmp_path.glob("*.json"))


# --- What is imported -------------------------------------------------------------------------------------------------


def test_folder_data_source_and_dashboards_are_created(
    server: GrafanaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grafana.run(env_vars(server))
    assert server.folders["lambda-remote-write"]["title"] == "lambda-remote-write"
    assert set(server.dashboards) == {CUSTOM, PUSHER}
    for uid, name in ((CUSTOM, "custom_metrics"), (PUSHER, "pusher")):
        stored, file = server.dashboards[uid], json.loads((Path(grafana.__file__).parent / f"{name}.json").read_text())
        assert stored.model == file | {"id": stored.model["id"], "version": 1}
        assert stored.folder_uid == "lambda-remote-write"
    made = server.data_sources[NAME]
    assert (made["type"], made["url"], made["access"]) == ("prometheus", WORKSPACE_URL, "proxy")
    assert made["jsonData"] == {
        "httpMethod": "POST", "timeInterval": "1m", "sigV4Auth": True, "sigV4AuthType": "default",
        "sigV4Region": "eu-west-1",
    }  # fmt: skip
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "folder lambda-remote-write: created",
        f"data source {NAME}: created",
        f"dashboard Custom metrics: created - {server.url}/d/{CUSTOM}",
        f"dashboard Pusher: created - {server.url}/d/{PUSHER}",
    ]
    assert ADMIN not in out


@pytest.mark.parametrize("version", ["10.4.1", "11.6.3", "13.0.0"])
def test_a_second_run_changes_nothing_and_says_so(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where Grafana adds keys of its own to what it stores."""
    with GrafanaServer(version, (PLUGIN,)) as server:
        grafana.run(env_vars(server))
        for stored in server.dashboards.values():
            stored.model |= {"schemaVersion": 42, "preload": False}
        server.requests.clear()
        capsys.readouterr()
        assert grafana.run(env_vars(server))
        assert server.changes == []
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition(": ")[2].partition(" - ")[0] for line in lines] == ["unchanged"] * 4


@pytest.mark.parametrize(
    ("version", "plugins", "expected"),
    [
        ("10.4.1", (), "prometheus"), ("10.4.1", (PLUGIN,), "prometheus"), ("11.6.11", (PLUGIN,), PLUGIN),
        ("12.2.0", (), "prometheus"), ("13.1.0", (PLUGIN,), PLUGIN),
    ],
)  # fmt: skip
def test_the_amazon_plugin_is_used_where_there_is_one(version: str, plugins: tuple[str, ...], expected: str) -> None:
    with GrafanaServer(version, plugins) as server:
        grafana.run(env_vars(server))
        assert server.data_sources[NAME]["type"] == expected


def test_a_role_is_assumed_when_one_is_given(server: GrafanaServer) -> None:
    role = "arn:aws:iam::123456789012:role/shop-GrafanaRole-1ABC"
    grafana.run(env_vars(server, ROLE_ARN=role, EXTERNAL_ID="shop"))
    found = server.data_sources[NAME]["jsonData"]
    assert (found["sigV4AssumeRoleArn"], found["sigV4ExternalId"]) == (role, "shop")


@pytest.mark.parametrize(
    ("given", "url", "region"),
    [
        ({"WORKSPACE_URL": WORKSPACE_URL + "/api/v1/remote_write"}, WORKSPACE_URL, "eu-west-1"),
        ({"WORKSPACE_URL": WORKSPACE_URL + "/", "REGION": "us-east-1"}, WORKSPACE_URL, "eu-west-1"),
        ({"WORKSPACE_URL": "https://vpce-1.example.com/workspaces/ws-1", "REGION": "us-east-1"},
         "https://vpce-1.example.com/workspaces/ws-1", "us-east-1"),
        ({"WORKSPACE": "ws-1", "AWS_REGION": "cn-north-1"},
         "https://aps-workspaces.cn-north-1.amazonaws.com.cn/workspaces/ws-1", "cn-north-1"),
    ],
    ids=["the stack's output", "the URL knows its region", "an endpoint of a VPC", "China"],
)  # fmt: skip
def test_the_workspace_is_given_by_id_or_url(
    server: GrafanaServer, given: dict[str, str], url: str, region: str
) -> None:
    grafana.run({"URL": server.url, "GRAFANA_TOKEN": ADMIN, **given})
    (made,) = server.data_sources.values()
    assert (made["url"], made["jsonData"]["sigV4Region"]) == (url, region)


def test_amazon_managed_grafana_signs_with_the_role_of_its_workspace() -> None:
    workspace = settings({"URL": "https://g.example", "GRAFANA_TOKEN": "t", **WORKSPACE}).workspace
    assert workspace
    made = data_source(workspace, PLUGIN, "https://g-0123.grafana-workspace.eu-west-1.amazonaws.com")
    assert made["jsonData"]["sigV4AuthType"] == "ec2_iam_role"


def test_without_a_workspace_no_data_source_is_made(server: GrafanaServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert grafana.run({"URL": server.url, "GRAFANA_TOKEN": ADMIN})
    assert server.data_sources == {}
    assert "data source: none, because neither WORKSPACE=ws-… with REGION=…" in capsys.readouterr().out


def test_an_editor_may_import_the_dashboards_alone(server: GrafanaServer) -> None:
    server.tokens = {"token-of-an-editor": "Editor"}
    assert grafana.run({"URL": server.url, "GRAFANA_TOKEN": "token-of-an-editor"})
    assert set(server.dashboards) == {CUSTOM, PUSHER}


# --- What was changed by hand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["10.4.1", "12.1.0"])
def test_a_newer_file_replaces_what_an_import_has_saved(version: str, newer: list[Path]) -> None:
    """Also in the folder into which a user has moved it."""
    with GrafanaServer(version) as server:
        grafana.run(env_vars(server))
        server.dashboards[PUSHER].folder_uid = "team"
        assert grafana.run(env_vars(server), newer)
        assert server.dashboards[PUSHER].model["title"] == "Pusher 2"
        assert server.dashboards[PUSHER].folder_uid == "team"


def test_a_dashboard_that_was_edited_is_kept(
    server: GrafanaServer, newer: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    grafana.run(env_vars(server))
    server.save_by_hand(PUSHER, "Ours")
    assert grafana.run(env_vars(server))
    assert "kept as ada saved it (version 2); there is nothing newer to import" in capsys.readouterr().out
    assert not grafana.run(env_vars(server), newer)
    assert server.dashboards[PUSHER].model["title"] == "Ours"
    assert server.dashboards[CUSTOM].model["title"] == "Custom metrics 2"
    assert "kept as ada saved it (version 2). To replace it, repeat with FORCE=1" in capsys.readouterr().out
    assert grafana.run(env_vars(server, FORCE="1"), newer)
    assert server.dashboards[PUSHER].model["title"] == "Pusher 2"
    server.requests.clear()
    assert grafana.run(env_vars(server), newer)
    assert server.changes == []


def test_one_that_was_imported_in_the_console_is_kept(
    server: GrafanaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    grafana.run(env_vars(server))
    for entry in server.dashboards[PUSHER].versions:
        entry["message"] = ""
    assert not grafana.run(env_vars(server))
    assert "repeat with FORCE=1" in capsys.readouterr().out


def test_one_that_is_saved_at_the_same_moment_is_kept(server: GrafanaServer, newer: list[Path]) -> None:
    grafana.run(env_vars(server))

    def save_first(request: Request) -> None:
        if request.method == "POST" and server.dashboards[CUSTOM].model["title"] != "Ours":
            server.save_by_hand(CUSTOM, "Ours")

    server.instead = save_first
    assert "The dashboard has been changed by someone else. Look at it there, then run this again." in refusal(
        env_vars(server), newer
    )
    assert server.dashboards[CUSTOM].model["title"] == "Ours"


def test_one_that_is_provisioned_says_so(server: GrafanaServer, newer: list[Path]) -> None:
    grafana.run(env_vars(server))
    server.dashboards[CUSTOM].is_provisioned = True
    assert "did not save the dashboard Custom metrics 2: it answers 400, Cannot save provisioned" in refusal(
        env_vars(server), newer
    )


DATA_SOURCES: list[tuple[str, dict[str, Any], str, bool]] = [
    ("another type", {"type": "loki"}, "its type is loki. Give a name that is free, DATASOURCE=….", False),
    ("another workspace", {"url": "https://other"}, "its URL is https://other", True),
    ("another region", {"jsonData": {"sigV4Auth": True, "sigV4Region": "us-east-1"}},
     "its sigV4Region is us-east-1", True),
    ("no signature", {"jsonData": None}, "its sigV4Auth is None", True),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected", "is_replaced"), [row[1:] for row in DATA_SOURCES],
                         ids=[row[0] for row in DATA_SOURCES])  # fmt: skip
def test_a_data_source_of_the_name_that_is_another_is_kept(
    server: GrafanaServer, change: dict[str, Any], expected: str, is_replaced: bool
) -> None:
    grafana.run(env_vars(server))
    server.data_sources[NAME] |= change
    before = dict(server.data_sources[NAME])
    said = refusal(env_vars(server))
    assert f"the data source {NAME!r} is another one: {expected}" in said
    assert ("FORCE=1" in said) == is_replaced
    assert server.data_sources[NAME] == before
    if is_replaced:
        assert grafana.run(env_vars(server, FORCE="1"))
        assert server.data_sources[NAME]["url"] == WORKSPACE_URL
        assert grafana.run(env_vars(server))
    else:
        refusal(env_vars(server, FORCE="1"))
        assert grafana.run(env_vars(server, DATASOURCE="AMP 2"))


def test_what_is_nothing_of_the_workspace_may_be_set_by_hand(server: GrafanaServer) -> None:
    """The interval of a slow schedule, the credentials, the plugin that Grafana has moved the data source to."""
    grafana.run(env_vars(server))
    server.data_sources[NAME]["jsonData"] |= {"timeInterval": "15m", "sigV4AuthType": "credentials"}
    server.data_sources[NAME] |= {"type": PLUGIN, "url": WORKSPACE_URL + "/"}
    server.requests.clear()
    assert grafana.run(env_vars(server))
    assert server.changes == []


# --- Bad input --------------------------------------------------------------------------------------------------------

BAD: list[tuple[str, dict[str, str], str]] = [
    ("no URL", {"URL": ""}, "URL is the address of Grafana and begins with https://: make grafana URL=https://…"),
    ("no scheme", {"URL": "g.example.com"}, "begins with https://, not 'g.example.com'"),
    ("not encrypted", {"URL": "http://g.example.com"}, "URL is not encrypted"),
    ("a password", {"URL": "https://a:b@g.example.com"}, "URL has a user or password"),
    ("no token", {"GRAFANA_TOKEN": ""}, "GRAFANA_TOKEN is not set"),
    ("two lines", {"GRAFANA_TOKEN": "a\r\nX-Other: b"}, "GRAFANA_TOKEN is no token"),
    ("a token that others can see", {"MAKEFLAGS": " -- URL=https://g GRAFANA_TOKEN=token"},
     "GRAFANA_TOKEN is on the command line, where others can see it"),
    ("no region", {"REGION": ""}, "REGION is as eu-west-1, and is missing"),
    ("a zone", {"REGION": "eu-west-1a"}, "REGION is as eu-west-1, not 'eu-west-1a'"),
    ("no workspace", {"WORKSPACE": "/var/lib/jenkins"}, "WORKSPACE is as ws-12345678"),
    ("half an IPv6 address", {"URL": "https://[::1"}, "begins with https://, not 'https://[::1'"),
    ("no port", {"URL": "https://g:port"}, "begins with https://, not 'https://g:port'"),
    ("a typo before a password", {"URL": "htps://a:b@g.example.com"}, "begins with https://, not what has an @ in it:"),
    ("a workspace's password", {"WORKSPACE_URL": "https://a:b@h/workspaces/ws-1"}, "WORKSPACE_URL has a user"),
    ("a workspace's query", {"WORKSPACE_URL": "https://h/workspaces/ws-1?k=v"}, "WORKSPACE_URL has a user"),
    ("half a workspace's address", {"WORKSPACE_URL": "https://[::1"}, "WORKSPACE_URL is no https:// address"),
    ("a path", {"DATASOURCE": ".."}, "DATASOURCE is the name of a data source"),
    ("an ARN", {"ROLE_ARN": "GrafanaRole"}, "ROLE_ARN is as arn:aws:iam::123456789012:role/NAME, not 'GrafanaRole'"),
    ("a word for 1", {"FORCE": "true"}, "FORCE is 1 or not set, not 'true': make grafana … FORCE=1"),
    ("an external ID for no role", {"EXTERNAL_ID": "x-1"}, "no role is named: give ROLE_ARN too"),
    ("no URL of a workspace", {"WORKSPACE_URL": "ws-1"}, "WORKSPACE_URL is no https:// address: 'ws-1'"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_variables_are_refused_before_any_request(
    server: GrafanaServer, given: dict[str, str], expected: str
) -> None:
    assert expected in refusal(env_vars(server, **given))
    assert server.requests == []


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (None, "refuses the token: GRAFANA_TOKEN is wrong, expired or of another Grafana. Make a token of a service "
               "account with the role Admin there"),
        ("Viewer", "the token may not create the folder lambda-remote-write (You'll need additional permissions to "
                   "perform this action): give its service account the role Editor"),
        ("Editor", "the token may not read data sources (You'll need additional permissions to perform this action): "
                   "give its service account the role Admin"),
    ],
)  # fmt: skip
def test_a_token_that_may_not_names_the_role(server: GrafanaServer, role: str | None, expected: str) -> None:
    server.tokens = {ADMIN: role} if role else {}
    assert expected in refusal(env_vars(server))


@pytest.mark.parametrize("path", ["/api/folders", "/api/datasources"])
def test_another_import_at_the_same_moment_is_named(server: GrafanaServer, path: str) -> None:
    taken = Answer.json({"message": "the same name already exists"}, 409)
    server.instead = lambda request: taken if (request.method, request.path) == ("POST", path) else None
    said = refusal(env_vars(server))
    assert said.endswith(
        "it answers 409, the same name already exists. Rename what has the name, or run this again if another import "
        "was running."
    )


def test_a_folder_of_the_name_that_is_another_says_so() -> None:
    """Grafana 10 has one folder of a name."""
    with GrafanaServer("10.4.1") as server:
        server.folders["f1"] = {"uid": "f1", "title": "lambda-remote-write"}
        said = refusal(env_vars(server))
    assert "did not create the folder lambda-remote-write: it answers 409, a folder with the same name" in said
    assert "Rename what has the name" in said


def test_a_data_source_that_is_read_only_says_so(server: GrafanaServer) -> None:
    grafana.run(env_vars(server))
    server.data_sources[NAME] |= {"readOnly": True, "url": "https://other"}
    assert "may not change a data source (Cannot update read-only data source)" in refusal(env_vars(server, FORCE="1"))


def test_an_older_grafana_is_refused() -> None:
    with GrafanaServer("9.5.2") as server:
        assert "Grafana 9.5 is too old: the dashboards need 10.4 or newer" in refusal(env_vars(server))
        assert server.changes == []


def test_a_grafana_that_hides_its_version_tells_it_to_its_users(server: GrafanaServer) -> None:
    server.hides_version = True
    assert grafana.run(env_vars(server))
    server.version = "next"
    assert "does not say which version of Grafana it is, but 'next'" in refusal(env_vars(server))


def test_the_plugin_that_is_missing_is_named() -> None:
    with GrafanaServer("13.0.1") as server:
        assert f"the plugin {PLUGIN} is missing, and from Grafana 13 on data sources" in refusal(env_vars(server))
        assert server.data_sources == {}


def test_a_workspace_that_grafana_cannot_query_is_named(server: GrafanaServer) -> None:
    """After the dashboards are there: they need nothing of it."""
    server.health = (400, {"status": "ERROR", "message": "404 Not Found: workspace not found"})
    said = refusal(env_vars(server))
    assert "Grafana cannot query the workspace: 404 Not Found: workspace not found. Check that" in said
    assert set(server.dashboards) == {CUSTOM, PUSHER}


HUGE = Answer.json({"database": "ok", "version": "11.6.3", "more": "x" * 11_000_000})
HTML = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (HTML, "is no Grafana: /api/health answers 200 with text/html, not JSON"),
        (Answer.json({"error": "no such path"}, 404), "is no Grafana: /api/health answers 404 and not as Grafana does"),
        (Answer.json(["ok"]), "is no Grafana: /api/health answers 200 and not as Grafana does"),
        (HUGE, "is no Grafana: /api/health answers 200 with application/json, not JSON"),
    ],
    ids=["HTML", "another API", "another shape", "eleven megabytes"],
)
def test_what_is_no_grafana_never_sees_the_token(server: GrafanaServer, answer: Answer, expected: str) -> None:
    server.instead = lambda request: answer
    assert expected in refusal(env_vars(server))
    assert [request.headers.get("Authorization") for request in server.requests] == [None]


STRANGE: dict[str, Answer] = {
    "null": Answer.json(None), "a list": Answer.json([]), "a list of numbers": Answer.json([7]),
    "an empty map": Answer.json({}), "a text": Answer.json("ok"),
    "no version": Answer.json({"database": "ok", "version": "1" * 5000 + ".0"}),
    "other members": Answer.json({"versions": [7], "dashboard": [], "meta": 7, "datasource": [], "buildInfo": None}),
    "numbers for texts": Answer.json({"uid": 7, "type": 7, "url": 7, "jsonData": [], "status": 7, "dashboard": {},
                                      "datasource": {"uid": 7}, "versions": [{"version": "a"}, {"version": 2}]}),
    "many brackets": Answer(200, {"Content-Type": "application/json"}, b"[" * 100_000),
    "no gzip": Answer(200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"{}"),
    "half an answer": Answer(200, {}, b'{"a": 1}', fault=Fault.half_answer()),
    "a message of a megabyte": Answer.json({"message": "\x1b[2J\n" * 200_000}, 500),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("is_update", [False, True], ids=["a first import", "an update"])
@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE)
def test_an_answer_that_is_not_grafanas_ends_in_a_sentence(answer: Answer, is_update: bool) -> None:
    """Whichever of the run's requests gets it."""
    number = 0
    while _was_asked(number, answer, is_update):
        number += 1
    assert number >= 8


def _was_asked(number: int, answer: Answer, is_update: bool) -> bool:
    """Runs with this answer to the request of that number; whether there was one."""
    with GrafanaServer() as server:
        server.hides_version = True
        if is_update:
            grafana.run(env_vars(server))
            for stored in server.dashboards.values():
                stored.versions[-1]["message"] = grafana.MESSAGE
            server.requests.clear()
        server.instead = lambda request: answer if len(server.requests) == number + 1 else None
        said = ""
        try:
            grafana.run(env_vars(server))
        except GrafanaError as error:
            said = str(error)
        assert not said or said.isprintable()
        assert len(said) < 900
        return len(server.requests) > number


def test_an_answer_that_trickles_ends(server: GrafanaServer) -> None:
    server.instead = lambda request: Answer(200, {}, b"x" * 1000, Fault.drip_body(0.05))
    with pytest.raises(GrafanaError, match=r"cannot be reached: the answer has not ended after 0\.2 s"):
        Grafana(server.url, ADMIN, body_seconds=0.2).version()


def test_a_proxy_of_the_environment_does_not_see_what_is_not_encrypted(
    server: GrafanaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer(lambda request: Answer(502)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base_url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert grafana.run(env_vars(server))
        assert proxy.connections == 0


def test_the_secrets_of_another_data_source_are_not_shown(server: GrafanaServer) -> None:
    role = {"ROLE_ARN": "arn:aws:iam::123456789012:role/GrafanaRole"}
    grafana.run(env_vars(server, **role))
    server.data_sources[NAME] |= {"url": "https://ada:hidden@h/p?key=hidden"}
    said = refusal(env_vars(server, **role))
    assert "its URL is https://h/p." in said
    server.data_sources[NAME] |= {"url": WORKSPACE_URL}
    server.data_sources[NAME]["jsonData"]["sigV4ExternalId"] = "hidden"
    said += refusal(env_vars(server, **role, EXTERNAL_ID="shop"))
    assert "its sigV4ExternalId is not EXTERNAL_ID." in said
    assert "hidden" not in said


@pytest.mark.parametrize("path", ["/api/health", "/api/folders/lambda-remote-write"])
def test_a_redirect_is_not_followed(server: GrafanaServer, path: str) -> None:
    """As to a page for logging in, or to another origin; there no request arrives."""
    with LoopbackServer(lambda request: pytest.fail("the redirect was followed")) as other:
        place = f"{other.base_url}/login?token=secret"
        redirect = Answer(302, {"Location": place}, b"")
        server.instead = lambda request: redirect if request.path == path else None
        assert f"redirects to {other.base_url}/login, and the token is not sent there" in refusal(env_vars(server))
        assert other.connections == 0


def test_a_grafana_that_is_not_there_says_so() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = refusal({"URL": url, "GRAFANA_TOKEN": ADMIN})
    assert said == f"{url} cannot be reached: Connection refused. Check URL and the network."


def test_a_certificate_of_an_authority_of_its_own_says_where_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path, "IP:127.0.0.1")
    with tls_server(certificates) as grafana_server:
        variables = {"URL": f"https://127.0.0.1:{grafana_server.port}", "GRAFANA_TOKEN": ADMIN}
        said = refusal(variables)
        assert "certificate verify failed" in said
        assert said.endswith("Check URL, and name the file of an authority of your own in REQUESTS_CA_BUNDLE.")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.path("ca"))
        assert "/api/health answers 200" in refusal(variables)


def test_a_proxy_that_is_not_there_is_named_as_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hidden@127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    said = refusal({"URL": "https://g.example.com", "GRAFANA_TOKEN": ADMIN})
    assert said == (
        "https://g.example.com cannot be reached: Connection refused. Check the proxy that HTTPS_PROXY names; NO_PROXY "
        "leaves out the hosts that it lists."
    )


def test_a_netrc_does_not_replace_the_token(
    server: GrafanaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert grafana.run(env_vars(server))
    assert {request.headers.get("Authorization") for request in server.requests} == {None, f"Bearer {ADMIN}"}


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_command_needs_no_sdk_and_takes_the_token_from_the_environment(server: GrafanaServer) -> None:
    """What `make grafana` runs, where only the command line's requirements are installed."""
    recipe = (ROOT / "Makefile").read_text().partition("\ngrafana: $(VENV)/.run ")[2].partition("\n\n")[0]
    assert recipe.partition("\n\t")[2] == "@$(PY) -m dashboards.grafana"
    code = (
        "import runpy, sys; sys.modules['grafana_foundation_sdk'] = None;"
        "runpy.run_module('dashboards.grafana', run_name='__main__')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=env_vars(server), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4
    refused = subprocess.run(
        command, cwd=ROOT, env=env_vars(server, GRAFANA_TOKEN="other"), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"make grafana: {server.url} refuses the token")
    assert len(refused.stderr.splitlines()) == 1
