"""The real `sam` takes the options that `make deploy` gives it, and reads the same parameters from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from samcli.commands.deploy.command import cli

from deploy.programs import Programs, deploy

pytestmark = pytest.mark.slow
PARAMETERS = {
    "SecretArns": "arn:aws:secretsmanager:eu-west-1:1:secret:a-??????,arn:aws:secretsmanager:eu-west-1:1:secret:b*",
    "AlarmTopicArn": "",
    "Interval": "5m",
    "Spool": "no",
    "MemorySize": "512",
    "RunbookUrl": "https://wiki.example.com/a=b c",
}


@pytest.mark.parametrize("asks", [True, False])
def test_sam_reads_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: bool) -> None:
    monkeypatch.setenv("SAM_CLI_TELEMETRY", "0")
    given: list[str] = []

    def run(command: Sequence[str], env_vars: Mapping[str, str], is_captured: bool) -> tuple[int, str]:
        given.extend(command[command.index("deploy") + 1 :])
        return 0, ""

    assert deploy(Programs({"SAM": "A=b sam"}, tmp_path, run), "metrics", "eu-west-1", PARAMETERS, asks=asks)
    (tmp_path / "template.yaml").write_text("Resources: {}\n")
    options = cli.make_context("deploy", [*given, "--template-file", str(tmp_path / "template.yaml")]).params
    assert options["parameter_overrides"] == PARAMETERS
    assert (options["stack_name"], options["confirm_changeset"]) == ("metrics", asks)
