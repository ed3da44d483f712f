"""The options of `pusher init` that say how the API is asked: what they become, and that no secret is written."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from lambda_remote_write_cli.command import BadUsage
from sandbox.server import Answer, Request
from tests.rig import init_command

SECRET = "s3cr3t-Value"
BASIC = base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["--header", f"X-Api-Key: {SECRET}"], 'headers: {X-Api-Key: {ref: "env:USAGE_X_API_KEY"}}'),
        (["--header", f"Authorization: Bearer {SECRET}"], 'authorization: {credentials_ref: "env:USAGE_TOKEN"}'),
        (["--header", f"Authorization: Token {SECRET}"], '{type: Token, credentials_ref: "env:USAGE_TOKEN"}'),
        (["--header", f"Authorization: Basic {BASIC}"], '{username: me, password_ref: "env:USAGE_PASSWORD"}'),
        (["--bearer-ref", SECRET], 'authorization: {credentials_ref: "env:USAGE_TOKEN"}'),
        (["--header-ref", f"X-Key={SECRET}"], 'headers: {X-Key: {ref: "env:USAGE_X_KEY"}}'),
        (["--query-ref", f"appid={SECRET}"], 'query: {appid: {ref: "env:USAGE_APPID"}}'),
        (["--basic-ref", f"me={SECRET}"], 'basic_auth: {username: me, password_ref: "env:USAGE_PASSWORD"}'),
        (["--body", f'{{"password": "{SECRET}", "unit": "c"}}'], 'refs: {password: "env:USAGE_PASSWORD"}'),
        (["--body", f"password={SECRET}&unit=c"], "body: password={ref.password}&unit=c"),
        (["?appid=" + SECRET + "&q=x"], 'query: {appid: {ref: "env:USAGE_APPID"}}'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_secret_given_as_it_is_becomes_a_reference(
    words: list[str], written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is sent, and stands in no file and in no line."""
    with init_command.rig(tmp_path) as rig:
        asked: list[Request] = []
        url = rig.api.serve("/usage", lambda request: asked.append(request) or Answer.json({"count": 7}))  # type: ignore[func-returns-value]
        suffix = words.pop(0) if words[0].startswith("?") else ""
        status, config = init_command.init(tmp_path, url + suffix, *words, "--yes")

    printed = capsys.readouterr()
    files = "".join(file.read_text() for file in tmp_path.rglob("*.*") if file.is_file())
    sent = f"{asked[0].query} {dict(asked[0].headers)} {asked[0].body!r}"
    assert status == 0
    assert len(asked) == 1
    assert SECRET in sent or BASIC in sent
    assert SECRET not in files + printed.out + printed.err
    assert written.replace("body: password", "password") in config.read_text()
    assert "is a secret: the config refers to env:USAGE_" in printed.out
    assert "export USAGE_" in printed.out


def test_a_reference_is_written_as_it_is(tmp_path: Path) -> None:
    with init_command.rig(tmp_path) as rig:
        url = rig.api.serve("/usage", Answer.json({"count": 7}))
        _, config = init_command.init(
            tmp_path, url, "--bearer-ref", "env:MY_TOKEN", "--yes", env_vars={"MY_TOKEN": SECRET}
        )

    assert 'authorization: {credentials_ref: "env:MY_TOKEN"}' in config.read_text()


def test_a_login_is_asked_first_and_its_token_is_nowhere(tmp_path: Path) -> None:
    """12-login of the cookbook: the token of the login's answer opens the API."""

    def respond(request: Request) -> Answer:
        is_in = request.headers.get("Authorization") == f"Bearer {SECRET}"
        return Answer.json({"ports": [{"port": 1, "watts": 12.5}]}) if is_in else Answer.json({}, 401)

    with init_command.rig(tmp_path) as rig:
        login = rig.api.serve("/login", Answer.json({"data": {"token": SECRET}}))
        url = rig.api.serve("/ports", respond)
        body = '{"user":"u","password":"hunter2"}'
        words = ["--login", login, "--login-body", body, "--login-token", "data.token", "--yes"]
        status, config = init_command.init(tmp_path, url, *words)
        again = init_command.planned(config, {"PORTS_PASSWORD": "hunter2"})

    files = "".join(file.read_text() for file in tmp_path.rglob("*.yaml"))
    assert status == 0
    assert again["ok"]
    assert SECRET not in files
    assert "hunter2" not in files
    assert ((("port", "1"),), 12.5) in init_command.recorded_series(config)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--header", "X-Key"], "write --header 'Name: value'"),
        (["--header", "Authorization: abc"], "write the scheme too"),
        (["--query-ref", "appid"], "--query-ref NAME=env:VARIABLE"),
        (["--sigv4", "es"], "SERVICE@REGION"),
        (["--login", "http://x.example/"], "--login needs --login-token"),
        (["--login-token", "token"], "need --login URL"),
        (["--basic-ref", "a=env:B", "--bearer-ref", "env:C"], "one of these logs in"),
        (["--interval", "often"], "write a duration"),
        (["--label", "a-b=c"], "NAME=VALUE"),
        (["--body", "@nowhere.json"], "cannot be read"),
        (["--bearer-ref", "env:AWS_SECRET_ACCESS_KEY"], "use sigv4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_that_cannot_be_meant_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    """Nothing is written."""
    with init_command.rig(tmp_path) as rig:
        url = rig.api.serve("/usage", Answer.json({"count": 7}))
        with pytest.raises(BadUsage, match=said.replace("(", r"\(")):
            init_command.init(tmp_path, url, *words, "--yes")

    assert list(tmp_path.glob("*.yaml")) == []
