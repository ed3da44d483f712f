"""A world for `pusher doctor`, of which each test breaks one thing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.amp import Receiver
from sandbox.api import Api
from tests.rig.doctor import KEYS, REGION, AwsWithLimit, Patient


@pytest.fixture(scope="package")
def shared_aws() -> Iterator[AwsWithLimit]:
    with AwsWithLimit() as served:
        yield served


@pytest.fixture
def aws(shared_aws: AwsWithLimit) -> AwsWithLimit:
    shared_aws.reset()
    shared_aws.limit = 1000
    return shared_aws


@pytest.fixture
def patient(
    aws: AwsWithLimit, api: Api, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Patient:  # fmt: skip
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "PUSHER_WORKSPACE", "PUSHER_SPOOL"):
        monkeypatch.delenv(name, raising=False)
    variables = {
        "AWS_ENDPOINT_URL": aws.url, "AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key,
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = Patient(tmp_path / "config.yaml", aws, api, receiver, capsys, monkeypatch)
    found.write()
    return found
