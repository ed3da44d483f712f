"""A new environment that finds a bad config takes the last good one, which earlier ones have left a note of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.dependencies import Dependencies
from tests.rig.aws import REGION, Aws
from tests.test_config_source import KEYS

GOOD = "json_configs: []\nremote_write: []\n"
BETTER = GOOD + "self_metrics: false\n"
BAD = "json_config: []\n"


class Place:
    """A config in S3 with its versions, or in SSM, and environments that read it."""

    def __init__(self, aws: Aws, kind: str, spool: Path) -> None:
        self._client = aws.client(kind)
        self.location = "s3://configs/pusher.yaml" if kind == "s3" else "ssm:/pusher"
        self._aws, self._spool, self._kind = aws, spool, kind
        self.outsides: list[Dependencies] = []
        if kind == "s3":
            self._client.create_bucket(Bucket="configs", CreateBucketConfiguration={"LocationConstraint": REGION})

    def versioned(self, *, on: bool) -> None:
        if on and self._kind == "s3":
            self._client.put_bucket_versioning(Bucket="configs", VersioningConfiguration={"Status": "Enabled"})

    def write(self, text: str) -> None:
        if self._kind == "s3":
            self._client.put_object(Bucket="configs", Key="pusher.yaml", Body=text.encode())
        else:
            self._client.put_parameter(Name="/pusher", Value=text, Type="String", Overwrite=True)

    def env_vars(self, *, spool: bool = True) -> App:
        variables = {
            **KEYS, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": self._aws.url, "PUSHER_CONFIG": self.location,
            **({"PUSHER_SPOOL": str(self._spool)} if spool else {}),
        }  # fmt: skip
        self.outsides.append(Dependencies(variables, session=self._aws.session))
        return App(self.outsides[-1])


@pytest.fixture(params=["s3", "ssm"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with Aws() as aws:
        found = Place(aws, request.param, tmp_path / "kept")
        yield found
        for dependencies in found.outsides:
            dependencies.transport.close()


def refused(app: App) -> str:
    result: dict[str, Any] = app.handle({}, None)
    return str(result.get("config_refused", ""))


def test_a_cold_start_finds_the_last_good_one(place: Place) -> None:
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.env_vars()) == ""
    place.write(BAD)
    cold = place.env_vars()
    assert "the last good one stays in use" in refused(cold)
    assert "json_config" in refused(cold)  # also in the next run, while the newest is bad
    place.write(BETTER)
    assert refused(cold) == ""
    place.write(BAD)
    assert "the last good one stays in use" in refused(place.env_vars())


def test_without_a_note_a_bad_config_never_starts(place: Place) -> None:
    place.versioned(on=True)
    place.write(BAD)
    with pytest.raises(ConfigError, match="json_config"):
        place.env_vars().handle({}, None)


def test_without_a_spool_nobody_has_left_a_note(place: Place) -> None:
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.env_vars(spool=False)) == ""
    place.write(BAD)
    with pytest.raises(ConfigError):
        place.env_vars(spool=False).handle({}, None)


def test_a_bucket_without_versions_has_no_last_good_one(place: Place) -> None:
    place.versioned(on=False)
    place.write(GOOD)
    assert refused(place.env_vars()) == ""
    place.write(BAD)
    if place.location.startswith("ssm:"):  # which always keeps versions
        assert "the last good one" in refused(place.env_vars())
    else:
        with pytest.raises(ConfigError):
            place.env_vars().handle({}, None)
