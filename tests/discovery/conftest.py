from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.aws import Aws
from tests.rig.discovery import Rig

AWS_VARIABLES = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in AWS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*args: Any, **options: Any) -> Rig:
        made.append(Rig(*args, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.transport.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """With nothing of AWS and no DNS behind it."""
    return make_rig()


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as served:
        yield served


@pytest.fixture
def cloud(aws: Aws, make_rig: Callable[..., Rig]) -> Rig:
    """With moto's AWS behind it."""
    return make_rig(aws.url)
