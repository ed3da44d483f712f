"""The guides do what they say: what is shown as `before` becomes what is shown as `after`, and the commands run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from lambda_remote_write_cli.convert import convert
from lambda_remote_write_cli.convert.conversion import Options
from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from sandbox.example import usage_config
from sandbox.server import Answer
from tests.rig.documented_steps import run
from tests.rig.markdown import Block, blocks
from tests.rig.needs import Peer
from tests.rig.operator import Operator, operator
from tests.rig.stack import ROOT

__all__ = ["operator"]  # a fixture

GUIDES = ROOT / "docs" / "guides"
ENVIRONMENT = {
    "AWS_REGION": SigV4().region,
    "AWS_ACCESS_KEY_ID": SigV4().access_key,
    "AWS_SECRET_ACCESS_KEY": SigV4().secret_key,
}
QUEUES = {"time": 1, "queues": [{"name": "orders", "messages": 12, "consumers": 2, "state": "running"}]}


def yaml_of(name: str) -> list[str]:
    return [block.content for block in blocks(GUIDES / f"{name}.md") if block.language == "yaml"]


def test_a_collectors_config_becomes_what_is_shown() -> None:
    before, after = yaml_of("adot")
    made = convert(before, "collector.yaml")
    assert made.problems == ()
    assert yaml.safe_load(made.config) == yaml.safe_load(after)


def test_a_config_of_json_exporter_becomes_what_is_shown() -> None:
    modules, prometheus, after = yaml_of("json_exporter")
    made = convert(modules, "json-exporter.yml", Options(targets=(prometheus, "prometheus.yml")))
    assert made.problems == ()
    assert yaml.safe_load(made.config) == yaml.safe_load(after)


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Api, receiver: Receiver) -> dict[str, str]:
    """A folder as the current one, with a config for pages that write none, and servers for the addresses of a page."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    page = api.serve("/metrics", Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, b"node_load1 0.5\n"))
    api.serve("/queues", Answer.json(QUEUES))
    (tmp_path / "pusher.yaml").write_text(usage_config(api.url, receiver.url))
    endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-EXAMPLE/api/v1/remote_write"
    target = page.removeprefix("http://").removesuffix("/metrics")
    return {
        "10.0.1.7:9100": target,
        "https://api.example.com": api.url,
        endpoint: receiver.url,
        "-o pusher": "--force -o pusher",  # which is there already
        "pusher init": "pusher init --force",
    }


# Of each page how many commands of `pusher` it has, and what the last one prints.
PAGES = {
    "guides/adot": (3, ['node_load1{', 'team="shop"} 0.5']),
    "guides/json_exporter": (3, ['queue_messages{', 'queue="orders"', "12"]),
    "guides/accounts": (2, ["api_requests_total"]),
    "guides/many-targets": (2, ["shard 3"]),
    "guides/telegraf": (3, ["queues_messages{", "} 12 at"]),
    "security": (2, ["api_requests_total"]),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow if "telegraf" in one else ()) for one in PAGES]
)
def test_the_commands_of_a_page_run(
    name: str,
    tmp_path: Path,
    instead: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    count, words = PAGES[name]
    steps = run(ROOT / "docs" / f"{name}.md", tmp_path, instead, monkeypatch.setenv)
    done = [step for step in steps if step.words]
    printed = capsys.readouterr()
    assert [(step.words[1], step.status) for step in done if step.status] == [], printed
    assert len(done) == count
    assert [word for word in words if word not in printed.out] == [], printed.out


@pytest.mark.parametrize("block", [block for block in blocks(GUIDES / "pushgateway.md") if block.language == "bash"])
def test_what_a_batch_job_sends_arrives(block: Block, tmp_path: Path, operator: Operator, peer: Peer) -> None:
    """The commands run in bash. In the place of `aws` stands a program that keeps the event; the function gets it."""
    aws = tmp_path / "aws"
    aws.write_text('#!/bin/sh\ncp "${6#fileb://}" sent.json && echo \'{"ok": true}\' > "$7"\n')
    aws.chmod(0o755)
    path = f"{tmp_path}:{Path(peer('jq')).parent}:{os.environ['PATH']}"
    script = f"set -eu\nOPERATOR=metrics-OperatorFunction\n{block.content}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "true"), done.stderr
    event = json.loads((tmp_path / "sent.json").read_text())
    operator.clock.ms = 1_800_000_000_000
    assert operator(**{key: value for key, value in event.items() if key != "action"})["ok"]
    assert all(dict(labels)["job"] == "backup" for labels in operator.plain.samples)
    assert operator.plain.samples
