"""A config in S3 or in SSM, and environments that read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from tests.rig.aws import REGION, Aws

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
BUCKET, KEY = "configs", "team/pusher.yaml"
GOOD = "json_configs: []\nremote_write: []\n"
BETTER = GOOD + "self_metrics: false\n"
BAD = "json_config: []\n"


class Place:
    """A config in S3 with its versions, or in SSM, and environments that read it, with a spool in a folder."""

    def __init__(self, aws: Aws, kind: str, spool: Path | None = None) -> None:
        self.client = aws.client(kind)
        self.location = f"s3://{BUCKET}/{KEY}" if kind == "s3" else "ssm:/team/pusher"
        self._aws, self._spool, self._kind = aws, spool, kind
        self.all_dependencies: list[Dependencies] = []
        if kind == "s3":
            self.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def versioned(self, *, on: bool) -> None:
        if on and self._kind == "s3":
            self.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def write(self, text: str) -> None:
        if self._kind == "s3":
            self.client.put_object(Bucket=BUCKET, Key=KEY, Body=text.encode())
        else:
            self.client.put_parameter(Name="/team/pusher", Value=text, Type="SecureString", Overwrite=True)

    def delete(self) -> None:
        if self._kind == "s3":
            self.client.delete_object(Bucket=BUCKET, Key=KEY)
        else:
            self.client.delete_parameter(Name="/team/pusher")

    def new_app(self, *, spool: bool = True) -> App:
        variables = {
            **KEYS, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": self._aws.url, "PUSHER_CONFIG": self.location,
            **({"PUSHER_SPOOL": str(self._spool)} if spool else {}),
        }  # fmt: skip
        self.all_dependencies.append(Dependencies(variables, session=self._aws.session))
        return App(self.all_dependencies[-1])


@pytest.fixture(params=["s3", "ssm"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with Aws() as aws:
        found = Place(aws, request.param, tmp_path / "kept")
        yield found
        for dependencies in found.all_dependencies:
            dependencies.transport.close()
