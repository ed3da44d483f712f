"""Recording: what is fetched once becomes a test that passes, without any secret."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write_cli.golden import record
from lambda_remote_write_cli.golden.file import Answer as Recorded
from lambda_remote_write_cli.golden.file import read
from lambda_remote_write_cli.golden.live import fetch
from lambda_remote_write_cli.golden.record import save
from lambda_remote_write_cli.golden.run import run as replay
from lambda_remote_write_cli.main import main
from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.clouds import Ec2
from tests.rig.delivery import ENVIRONMENT
from tests.rig.tables import table

Capture = pytest.CaptureFixture[str]
CANARIES = {
    "KEY": "canary-api-key-1", "PASSWORD": "canary-password-2", "TOKEN": "canary-token-3",
    "REFRESH": "canary-refresh-4",
    "COOKIE": "canary-cookie-5", "BASIC": "canary-basic-6", "SIGNED": "canary-signature-7",
}  # fmt: skip
RECEIVER = "remote_write: [{url: 'https://receiver.example/api/v1/write'}]\n"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLUSTER", "west")
    monkeypatch.chdir(tmp_path)


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    status = main(["test", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def written(folder: Path) -> Iterator[Path]:
    """All files beside the config."""
    return (path for path in folder.rglob("*") if path.is_file() and path.name != "pusher.yaml")


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in written(folder))


def echoing(request: Request) -> Answer:
    """An API that repeats what it was sent, in its body, its headers and its links."""
    told = {
        "url": f"{request.path}?{request.query}",
        "key": request.params.get("appid"),
        **dict(request.headers.items()),
    }
    records = [{"id": "a", "n": 1}, {"id": "b", "n": 2}]
    headers = {"Set-Cookie": f"sid={CANARIES['COOKIE']}; Path=/", "X-Trace": "not asked for", "Via": CANARIES["KEY"]}
    return Answer.json({"told": told, "echo": [CANARIES["KEY"] * 2], "records": records}, headers=headers)


def test_a_record_has_no_secret_and_passes(api: Api, tmp_path: Path, capsys: Capture) -> None:
    """Keys in query and header, a password and its Base64 form, a token with a refresh token beside it, a cookie, and a
    signed address in a redirect; the API repeats them all."""
    tokens = {"data": {"token": CANARIES["TOKEN"], "refresh_token": CANARIES["REFRESH"]}, "expires": 60}
    api.serve("/login", Answer.json(tokens))
    api.serve("/echo", echoing)
    elsewhere = api.url.replace("127.0.0.1", "localhost")
    signed = f"{elsewhere}/stored?X-Amz-Signature={CANARIES['SIGNED']}"
    api.serve("/moved", lambda request: Answer(302, {"Location": signed}))
    api.serve("/stored", Answer.json([{"n": 5, "from": signed}]))
    (tmp_path / "pusher.yaml").write_text(
        f"""
global: {{external_labels: {{cluster: "${{CLUSTER}}"}}}}
json_configs:
  - job_name: keyed
    url: {api.url}/echo
    query: {{appid: {{ref: "env:KEY"}}, page: 1}}
    http_headers: {{X-Api-Key: {{refs: ["env:KEY"]}}}}
    metrics: [{{name: n, records: records, value: n, labels: {{id: id}}}}]
  - job_name: basic
    url: {api.url}/echo?literal_token={CANARIES["KEY"]}
    basic_auth: {{username: me, password_ref: "env:BASIC"}}
    metrics: [{{name: n, records: records, value: n, labels: {{id: id}}}}]
  - job_name: logged_in
    url: {api.url}/echo
    login:
      url: /login
      body: '{{"password": "{{ref.PASSWORD}}"}}'
      refs: {{PASSWORD: "env:PASSWORD"}}
      token: data.token
    metrics: [{{name: n, records: records, value: n, labels: {{id: id}}}}]
  - job_name: moved
    url: {api.url}/moved
    metrics: [{{name: n, value: n}}]
{RECEIVER}"""
    )
    status, out, err = run(capsys, "--record", "pusher.yaml", "-o", "pusher_test.yaml")
    assert (status, err) == (0, "")
    assert out == "pusher_test.yaml: 6 answers, 11 samples; review it, and run: pusher test pusher_test.yaml\n"
    (test,) = read(tmp_path / "pusher_test.yaml").tests
    assert [re.sub("^http://[^/]+", "", answer.url) for answer in test.answers] == [
        "/echo?page=1&appid=<secret>",
        "/echo?literal_token=<secret>",
        "/login",
        "/echo",
        "/moved",
        "/stored?X-Amz-Signature=<secret>",
    ]
    assert test.env == {"CLUSTER": "west"}
    assert b"not asked for" not in contents(tmp_path)
    assert b'"expires":60' in contents(tmp_path)
    for canary in CANARIES.values():
        for form in (canary, canary.encode().hex(), canary.upper(), b64encode(f"me:{canary}".encode()).decode()):
            assert not [path for path in written(tmp_path) if form.encode() in path.read_bytes()], form
    assert run(capsys, "pusher_test.yaml") == (0, "pusher_test.yaml: pusher: ok, 11 samples\n", "")
    assert next(str(line) for line in test.series if 'job="logged_in"' in str(line)).startswith(
        f'n{{cluster="west",id="a",instance="{api.url.removeprefix("http://")}",job="logged_in"}} 1 '
    )


def test_pages_a_compressed_answer_and_a_scraped_page(api: Api, tmp_path: Path, capsys: Capture) -> None:
    body = gzip.compress(json.dumps([{"n": 7, "text": "x" * 1000}]).encode())
    api.serve("/packed", Answer(200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, body))
    api.serve("/metrics", Answer(200, {"Content-Type": "text/plain"}, b'# TYPE a gauge\na 1\nb{c="d"} 2.5 1000\n'))
    address = api.url.removeprefix("http://")
    (tmp_path / "pusher.yaml").write_text(
        f"json_configs: [{{job_name: p, url: '{api.url}/packed', metrics: [{{name: n, value: n}}]}}]\n"
        f"scrape_configs: [{{job_name: s, static_configs: [{{targets: ['{address}']}}]}}]\n{RECEIVER}"
    )
    assert run(capsys, "--record", "pusher.yaml")[0] == 0
    (test,) = read(tmp_path / "pusher_test.yaml").tests
    assert json.loads(test.answers[0].body)[0]["n"] == 7
    assert (tmp_path / "pusher_test" / "packed.json").read_bytes() == test.answers[0].body
    assert not [name for name, _ in test.answers[0].headers if name.lower() == "content-encoding"]
    assert [str(line).partition(" ")[2].partition(" ")[0] for line in test.series] == ["1", "2.5", "7", "1", "1"]
    assert run(capsys, "pusher_test.yaml")[0] == 0


def test_one_job_can_be_recorded(api: Api, tmp_path: Path, capsys: Capture) -> None:
    metric = {"name": "n", "records": "[]", "value": "apiRequestCount", "labels": {"p": "projectCode"}}
    jobs = [{"job_name": name, "url": f"{api.url}/usage", "metrics": [metric]} for name in "ab"]
    (tmp_path / "pusher.yaml").write_text(f"json_configs: {json.dumps(jobs)}\n{RECEIVER}")
    assert run(capsys, "--record", "pusher.yaml", "--job", "b")[0] == 0
    (test,) = read(tmp_path / "pusher_test.yaml").tests
    assert (test.jobs, len(test.answers)) == (["b"], 1)
    assert run(capsys, "pusher_test.yaml") == (0, "pusher_test.yaml: pusher: ok, 4 samples\n", "")


def test_a_file_is_replaced_only_with_update(api: Api, tmp_path: Path, capsys: Capture) -> None:
    metric = "{name: n, records: '[0]', value: apiRequestCount}"
    config = f"json_configs: [{{job_name: a, url: '{api.url}/usage', metrics: [{metric}]}}]\n"
    (tmp_path / "pusher.yaml").write_text(config + RECEIVER)
    (tmp_path / "pusher_test.yaml").write_text("mine")
    status, _, err = run(capsys, "--record", "pusher.yaml")
    assert (status, err) == (
        2, "pusher_test.yaml exists: choose another file with -o, or replace it with --update\n"
    )  # fmt: skip
    assert (tmp_path / "pusher_test.yaml").read_text() == "mine"
    assert run(capsys, "--record", "pusher.yaml", "--update")[0] == 0


@table(
    "answer, status, expected",
    [
        ("down", Answer(503), 1, "nothing is recorded: job a: "),
        ("a failed metric", Answer.json({}), 1, "nothing is recorded: job a: metric n: "),
        (
            "too large",
            Answer.json({"n": 1, "x": "y" * 10_000_000}),
            1,
            "has more than 10000000 bytes, the most of a golden test",
        ),
    ],
)
def test_what_cannot_be_recorded_writes_nothing(
    answer: Answer, status: int, expected: str, api: Api, tmp_path: Path, capsys: Capture
) -> None:
    url = api.serve("/doc", answer)
    (tmp_path / "pusher.yaml").write_text(
        f"json_configs: [{{job_name: a, url: '{url}', metrics: [{{name: n, value: n}}]}}]\n{RECEIVER}"
    )
    found, out, err = run(capsys, "--record", "pusher.yaml")
    assert (found, out) == (status, "")
    assert expected in err
    assert not list(tmp_path.glob("pusher_test*"))


def test_tokens_that_are_numbers_and_keys_in_links_are_masked(api: Api, tmp_path: Path, capsys: Capture) -> None:
    """The document stays JSON, and the test passes."""
    login = {"access_token": "token-of-the-login", "refresh_token": 987654321987, "expires_in": 3600}
    api.serve("/login", Answer.json(login))
    headers = {"Link": "<http://127.0.0.1:1/?api_key=key-of-the-link>; rel=next"}
    api.serve("/v", Answer.json({"v": 1, "id": 987654321987}, headers=headers))
    oauth2 = {"token_url": f"{api.url}/login", "client_id": "a", "client_secret_ref": "env:CLIENT"}
    job = {"job_name": "j", "url": f"{api.url}/v", "oauth2": oauth2, "metrics": [{"name": "m", "value": "v"}]}
    config, test = tmp_path / "c.yaml", tmp_path / "c_test.yaml"
    config.write_text(json.dumps({"json_configs": [job], "remote_write": [{"url": "http://127.0.0.1:1/api/v1/write"}]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIENT", "secret-of-the-client")
        assert main(["test", "--record", str(config), "-o", str(test)]) == 0
    text = test.read_text()
    assert '"refresh_token":"<secret>"' in text.replace(": ", ":")
    assert not re.search("987654321987|key-of-the-link", text)
    assert main(["test", str(test)]) == 0


def test_a_secret_in_a_sample_is_masked_and_told(api: Api, tmp_path: Path, capsys: Capture) -> None:
    api.serve("/doc", Answer.json([{"n": 1, "owner": CANARIES["KEY"]}]))
    (tmp_path / "pusher.yaml").write_text(
        f"json_configs: [{{job_name: a, url: '{api.url}/doc', query: {{k: {{ref: 'env:KEY'}}}},"
        f" metrics: [{{name: n, value: n, labels: {{owner: owner}}}}]}}]\n{RECEIVER}"
    )
    status, out, _ = run(capsys, "--record", "pusher.yaml")
    assert status == 1
    assert "masking the secrets of the answers has changed this sample: n{" in out
    assert 'owner="<secret>"' in out
    assert CANARIES["KEY"] not in out
    assert CANARIES["KEY"].encode() not in contents(tmp_path)


def test_write_makes_a_test_of_answers_that_are_there(tmp_path: Path, capsys: Capture) -> None:
    """What `pusher init` calls. The config names a variable that does not exist; one body is long, one not text."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "pusher.yaml").write_text(
        "json_configs: [{job_name: a, url: 'https://api.example.com/list.json', query: {token: {ref: 'env:NOT_THERE'}},"
        " metrics: [{name: n, records: '[]', value: n, labels: {id: id}}]}]\n"
        "remote_write: [{workspace: 'env:NOR_THIS'}]\n"
    )
    body = json.dumps([{"id": f"{one:04}", "n": one} for one in range(50)]).encode()
    answer = Recorded(
        "https://me:pw@api.example.com/list.json?token=abcdefgh", 200, [("Content-Type", "application/json")], body
    )
    target = tmp_path / "golden" / "usage_test.yaml"
    target.parent.mkdir()
    record.write(tmp_path / "conf" / "pusher.yaml", target, [answer], 1_796_126_400_000)
    text = target.read_text()
    assert "config: ../conf/pusher.yaml\n" in text
    assert "url: https://api.example.com/list.json?token=<secret>\n" in text
    assert "body_file: usage_test/list.json\n" in text
    assert "abcdefgh" not in text
    (test,) = read(target).tests
    assert (test.now_ms, test.name, len(test.series)) == (1_796_126_400_000, "usage", 51)
    assert str(test.series[7]) == 'n{id="0007",instance="api.example.com",job="a"} 7 1796126400000'
    assert run(capsys, target)[0] == 0


class Cloud:
    """A boto3 session of an account with one instance."""

    def __init__(self, address: str) -> None:
        tags = [{"Key": "owner", "Value": CANARIES["KEY"]}, {"Key": "stage", "Value": "live"}]
        self._ec2 = Ec2([{"InstanceId": "i-0abc", "PrivateIpAddress": address, "VpcId": "v", "Tags": tags}])

    def __call__(self, profile: str, region: str) -> Cloud:
        return self

    def client(self, service: str, **options: Any) -> Ec2:
        return self._ec2


def test_what_ec2_has_found_is_recorded(api: Api, tmp_path: Path, capsys: Capture) -> None:
    """The test needs no AWS afterwards. A secret that the scrape sends is masked in a tag, too."""
    api.serve("/metrics", Answer(200, {"Content-Type": "text/plain"}, b"a 1\n"))
    host, _, port = api.url.removeprefix("http://").partition(":")
    (tmp_path / "pusher.yaml").write_text(
        f"scrape_configs: [{{job_name: node, ec2_sd_configs: [{{region: eu-west-1, port: {port}}}],"
        " authorization: {credentials_ref: 'env:KEY'}, relabel_configs: ["
        "{source_labels: [__meta_ec2_tag_stage], target_label: stage}]}]\n" + RECEIVER
    )
    config, dependencies = Path("pusher.yaml"), Dependencies({**ENVIRONMENT, **CANARIES}, session=Cloud(host))
    recorded = fetch(config, (), dependencies, 30.0)
    dependencies.transport.close()
    save(config, Path("pusher_test.yaml"), recorded.test, replay(recorded.test, config))
    (test,) = read(tmp_path / "pusher_test.yaml").tests
    ((targets, labels),) = test.discovered["node"]
    assert (targets, labels["__meta_ec2_instance_id"]) == ([f"{host}:{port}"], "i-0abc")
    assert CANARIES["KEY"].encode() not in contents(tmp_path)
    assert run(capsys, "pusher_test.yaml")[1] == "pusher_test.yaml: pusher: ok, 2 samples\n"
    assert 'stage="live"' in str(test.series[0])
