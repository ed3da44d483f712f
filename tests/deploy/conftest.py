"""A deployer with credentials of moto's, in a region, with a config that checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.amp import Receiver
from tests.rig.aws import REGION, Aws
from tests.rig.deployer import AwsForDeployers, Deployer

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": REGION}


@pytest.fixture(scope="session")
def cloud() -> Iterator[Aws]:
    """One for all tests, and emptied for each: moto takes seconds to load each service."""
    with AwsForDeployers() as aws:
        yield aws


@pytest.fixture
def deployer(cloud: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployer:
    cloud.reset()
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION", "ARCH", "PYTHON_VERSION"):  # make's too
        monkeypatch.delenv(name, raising=False)
    nowhere = {"AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    for name, value in {
        **ENVIRONMENT,
        **nowhere,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ENDPOINT_URL_S3": cloud.url,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = Deployer(cloud, tmp_path)
    found.prepare()
    return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A remote-write receiver that asks for no signature."""
    with Receiver(auth=None) as running:
        yield running
