"""The examples do what they say, and none of their files is left unchecked."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore import xform_name
from botocore.session import get_session

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write_cli.main import main
from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from sandbox.server import Answer
from tests.rig.needs import Peer
from tests.rig.rules import alerts, cases
from tests.rig.yaml_files import read_yaml

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(path for path in EXAMPLES.rglob("*") if path.is_file())
CONFIGS = [path for path in FILES if re.search(r"^(scrape|json)_configs:", path.read_text(), re.MULTILINE)]
# What a test below reads beside the configs.
OTHERS = {
    "README.md", "convert/README.md", "convert/adot-collector.yaml", "convert/json-exporter.yml",
    "json-api/usage.json", "json-api/fleet.json", "backfill/usage.ndjson", "backfill/event.json",
    "alertmanager/README.md", "alertmanager/alertmanager.yaml", "alertmanager/topic-policy.json",
    "deployer/policy.json", "deployer/policy-with-boundary.json",  # tests/deploy
    "terraform/README.md", "terraform/main.tf", "terraform/outputs.tf", "terraform/variables.tf",
}  # fmt: skip
ENVIRONMENT = {
    "AWS_REGION": SigV4().region,
    "AWS_ACCESS_KEY_ID": SigV4().access_key,
    "AWS_SECRET_ACCESS_KEY": SigV4().secret_key,
    "PUSHER_WORKSPACE": "ws-EXAMPLE",
    "API_TOKEN": "token-of-the-api",
}
JSON_API = (EXAMPLES / "json-api" / "config.yaml").read_text()
ALERT_MANAGER = EXAMPLES / "alertmanager"
BACKFILL = (EXAMPLES / "backfill" / "config.yaml").read_text()


def name_of(path: Path) -> str:
    return path.relative_to(EXAMPLES).as_posix()


def commands(text: str) -> list[str]:
    """The commands that a file tells to run."""
    return [found.strip() for found in re.findall(r"^(?:# +)?pusher (.*?)(?: # .*)?$", text, re.MULTILINE)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of an example's commands, with AWS credentials in the environment."""
    for name, value in {**ENVIRONMENT, "XDG_STATE_HOME": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def on_loopback(config: str, api: Api, receiver: Receiver) -> str:
    """An example's config with this test's servers in the place of those that it names."""
    assert "remote_write:" not in config
    config = config.replace("https://api.example.com", api.url).replace(
        "secretsmanager:usage-api#token", "env:API_TOKEN"
    )
    return f"{config}\nself_metrics: false\nremote_write: [{{url: '{receiver.url}', sigv4: {{}}}}]\n"


def handle(event: Any, config: Path, now_ms: int) -> Any:
    """The function's answer to an event."""
    dependencies = Dependencies(ENVIRONMENT | {"PUSHER_CONFIG": str(config)}, lambda: now_ms)
    try:
        return App(dependencies, ("push", "push_samples")).handle(event, None)
    finally:
        dependencies.transport.close()


def test_no_file_is_left_unchecked() -> None:
    assert {name_of(path) for path in FILES} == OTHERS | {name_of(path) for path in CONFIGS}


def test_the_table_lists_every_example() -> None:
    linked = set(re.findall(r"^\| \[([\w-]+)\]\((\S+)\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert {folder for folder, _ in linked} == {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert all((EXAMPLES / target).is_file() for _, target in linked)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_check_has_nothing_to_say(path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["check", str(path), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (status, answer.get("problems"), answer["warnings"]) == (0, None, [])


def test_plain_prometheus_configs_are_ones(peer: Peer) -> None:
    plain = [str(path) for path in CONFIGS if "json_configs:" not in path.read_text()]
    assert len(plain) == 4
    result = subprocess.run(
        [peer("promtool"), "check", "config", "--syntax-only", *plain], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_json_api_gives_the_series_that_its_comment_shows(folder: Path, api: Api) -> None:
    now_ms = 1_716_479_900_000  # three seconds after the newest record
    for answer in (EXAMPLES / "json-api").glob("*.json"):
        api.serve(f"/{answer.stem}", Answer.json(json.loads(answer.read_text())))
    path = folder / "config.yaml"
    with Receiver(now=lambda: now_ms / 1000) as receiver:
        path.write_text(on_loopback(JSON_API, api, receiver))
        handle({"action": "push"}, path, now_ms)
    lines = []
    for series, samples in receiver.samples.items():
        labels = ",".join(f'{name}="{value}"' for name, value in series if name not in ("__name__", "instance"))
        for at_ms, value in samples:
            time_of_record = "" if at_ms == now_ms else f" {at_ms // 1000}"
            lines.append(f"{dict(series)['__name__']}{{{labels}}} {value:g}{time_of_record}")
    shown = re.findall(r"^#   (\w+\{.*)", JSON_API, re.MULTILINE)
    assert len(shown) == 5
    assert sorted(line for line in lines if not line.startswith(("up{", "scrape_"))) == shown
    tokens = {request.path: request.headers["Authorization"] for request in api.requests}
    assert tokens == {"/usage": "Bearer token-of-the-api", "/fleet": None}


@pytest.mark.parametrize(
    ("command", "accepted"),
    [*zip(commands(BACKFILL), (range(1), range(120, 124), range(4, 5)), strict=True)],
    ids=["dry-run", "api", "file"],
)
def test_a_backfill(command: str, accepted: range, folder: Path, api: Api, receiver: Receiver) -> None:
    """A command of the comment, and how many samples it may bring: 40 or 41 whole minutes of three projects lie in its
    range. AMP takes the last hour, so the records of the file are moved there."""
    (folder / "config.yaml").write_text(on_loopback(BACKFILL, api, receiver))
    records = [json.loads(line) for line in (EXAMPLES / "backfill" / "usage.ndjson").read_text().splitlines()]
    late = int(time.time()) - 60 - max(record["currentTime"] for record in records)
    moved = [record | {"currentTime": record["currentTime"] + late} for record in records]
    (folder / "usage.ndjson").write_text("\n".join(map(json.dumps, moved)))
    assert main(shlex.split(command)) == 0
    assert sum(map(len, receiver.series("api_requests_total").values())) in accepted


def test_a_sample_of_an_event(folder: Path, api: Api, receiver: Receiver) -> None:
    (folder / "config.yaml").write_text(on_loopback(BACKFILL, api, receiver))
    event = json.loads((EXAMPLES / "backfill" / "event.json").read_text())
    handle(event, folder / "config.yaml", int(time.time() * 1000))
    ((labels, samples),) = receiver.samples.items()
    assert dict(labels) == {"__name__": "deployments_total", "service": "checkout", "version": "2.14.0"}
    assert [value for _, value in samples] == [1]


@pytest.mark.parametrize("command", commands((EXAMPLES / "convert" / "README.md").read_text()))
def test_a_conversion_is_what_the_command_gives(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    monkeypatch.chdir(EXAMPLES / "convert")
    assert main([*words[:-1], str(folder / words[-1])]) == 0
    assert (folder / words[-1]).read_text() == Path(words[-1]).read_text()


# --- Alerts to SNS ---------------------------------------------------------------------------------------------------


def alert_manager() -> dict[str, Any]:
    """What AMP hands to Alertmanager."""
    definition = read_yaml(ALERT_MANAGER / "alertmanager.yaml")
    assert set(definition) == {"alertmanager_config"}  # AMP: beside it only template_files may stand
    config: dict[str, Any] = yaml.safe_load(definition["alertmanager_config"])
    return config


def test_an_alert_manager_definition_is_one_that_amp_takes() -> None:
    """AMP, "Configure alert manager to send messages to your Amazon SNS topic": neither `api_url` nor `http_config`,
    and `sigv4` with `region`. "Create an alert manager configuration": `repeat_interval` of at most five days."""
    config = alert_manager()
    assert set(config) == {"route", "inhibit_rules", "receivers"}
    (receiver,) = config["receivers"]
    assert set(receiver) == {"name", "sns_configs"}
    assert config["route"]["receiver"] == receiver["name"]
    (sns,) = receiver["sns_configs"]
    assert set(sns) == {"topic_arn", "sigv4", "send_resolved", "subject", "message"}
    assert sns["sigv4"] == {"region": "REGION"}
    assert re.fullmatch(r"[1-9]\d?h", config["route"]["repeat_interval"])


def test_what_the_definition_says_of_an_alert_every_alert_has() -> None:
    config = alert_manager()
    message = config["receivers"][0]["sns_configs"][0]["message"]
    for rule in alerts().values():
        assert set(re.findall(r"\.Annotations\.(\w+)", message)) == set(rule["annotations"])
        assert set(re.findall(r"\.Labels\.(\w+)", message)) == set(rule["labels"])
    for rule in config["inhibit_rules"]:
        named = re.findall(r'alertname="(\w+)"', " ".join([*rule["source_matchers"], *rule["target_matchers"]]))
        assert len(named) == 2
        assert set(named) <= set(alerts())
        assert rule["equal"] == ["instance"]


def test_what_the_definition_mutes_does_fire_with_what_mutes_it() -> None:
    """In a case of tests/rules, at one time."""
    checks = [check["exp_samples"] for case in cases() for check in case["promql_expr_test"]]
    for rule in alert_manager()["inhibit_rules"]:
        both = (rule["source_matchers"], rule["target_matchers"])
        assert any(all(_is_among(matchers, samples) for matchers in both) for samples in checks), rule


def _is_among(matchers: list[str], samples: list[dict[str, Any]]) -> bool:
    return any(all(matcher in sample["labels"] for matcher in matchers) for sample in samples)


def test_the_topic_takes_alerts_of_one_workspace() -> None:
    """AMP, "Giving … permission to send alert messages to your Amazon SNS topic"."""
    (statement,) = json.loads((ALERT_MANAGER / "topic-policy.json").read_text())["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Principal"] == {"Service": "aps.amazonaws.com"}
    assert statement["Action"] == ["sns:Publish", "sns:GetTopicAttributes"]
    assert statement["Resource"] == alert_manager()["receivers"][0]["sns_configs"][0]["topic_arn"]
    assert statement["Condition"] == {
        "ArnEquals": {"aws:SourceArn": "arn:aws:aps:REGION:ACCOUNT:workspace/WORKSPACE"},
        "StringEquals": {"aws:SourceAccount": "ACCOUNT"},
    }


def aws_commands() -> list[str]:
    text = (ALERT_MANAGER / "README.md").read_text() + (EXAMPLES.parent / "docs" / "rules.md").read_text()
    return re.findall(r"^aws (.+)$", text.replace("\\\n", " "), re.MULTILINE)


@pytest.mark.parametrize("command", aws_commands())
def test_a_command_is_one_of_awss(command: str) -> None:
    """Service, operation and options are those that botocore knows, and no required one is missing."""
    service, name, *rest = shlex.split(command)
    model = get_session().get_service_model(service)
    operations = {xform_name(one, "-"): one for one in model.operation_names}
    shape = model.operation_model(operations[name]).input_shape
    assert shape
    # --endpoint would be short for --endpoint-url: the AWS CLI gives this one another name.
    given = {word[2:].replace("notification-endpoint", "endpoint") for word in rest if word.startswith("--")}
    assert given <= {xform_name(member, "-") for member in shape.members}
    assert given >= {xform_name(member, "-") for member in shape.required_members}


def test_there_are_commands() -> None:
    assert len(aws_commands()) == 5
