"""A new environment that reads its config: one bad answer of S3 or SSM costs no tick, and the last good version, which
earlier environments noted, serves when the newest is bad or cannot be read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable
from lambda_remote_write.dependencies import Dependencies, boto3_session
from sandbox.s3 import KEYS as STORE_KEYS
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, FaultScript, LoopbackServer, Request
from tests.rig.aws import REGION
from tests.rig.config_places import BAD, BETTER, BUCKET, GOOD, KEY, KEYS, Place, place
from tests.rig.delivery import no_session
from tests.rig.lambda_context import Context

pytestmark = pytest.mark.slow  # timeouts of S3 and SSM are the subject

__all__ = ["place"]  # a fixture

FAULTS = {
    "503": Fault.status(503),
    "500": Fault.status(500),
    "timeout": Fault.hang(),
    "reset": Fault.reset(),
    "reset within the body": Fault.reset_mid_answer(),
}


def handled(app: App) -> dict[str, Any]:
    return app.handle({}, Context(seconds=60))


# --- One bad answer ---------------------------------------------------------------------------------------------------


@pytest.fixture
def from_s3() -> Iterator[tuple[ObjectStore, App]]:
    with ObjectStore(bucket="configs") as bucket:
        bucket.put("pusher.yaml", GOOD.encode())
        dependencies = Dependencies(
            {
                "AWS_ENDPOINT_URL_S3": bucket.base_url, "PUSHER_CONFIG": "s3://configs/pusher.yaml",
                "AWS_ACCESS_KEY_ID": STORE_KEYS.access_key, "AWS_SECRET_ACCESS_KEY": STORE_KEYS.secret_key,
                "AWS_REGION": STORE_KEYS.region,
            },
            session=no_session,
        )  # fmt: skip
        yield bucket, App(dependencies)
        dependencies.transport.close()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_one_bad_answer_of_s3_costs_no_tick(from_s3: tuple[ObjectStore, App], fault: Fault) -> None:
    bucket, app = from_s3
    bucket.script("get", fault)
    assert handled(app)["ok"]


def test_reading_ends_with_the_invocation(from_s3: tuple[ObjectStore, App]) -> None:
    bucket, app = from_s3
    bucket.always("get", Fault.hang())
    started = time.monotonic()
    with pytest.raises(Unreadable, match="timed out"):
        app.handle({}, Context(seconds=4))
    assert time.monotonic() - started < 8


class Ssm:
    """Systems Manager with one parameter, behind a socket, and botocore's own client with a run's patience."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script = FaultScript()
        self.requests = 0
        self.server = LoopbackServer(self._answer, plan=lambda method, path: self.script.next())
        self.clients = 0
        self.refuses_newest = False
        for name, value in {"AWS_ENDPOINT_URL_SSM": self.server.base_url, **KEYS, "AWS_REGION": REGION}.items():
            monkeypatch.setenv(name, value)

    def _answer(self, request: Request) -> Answer:
        self.requests += 1
        if self.refuses_newest and json.loads(request.body)["Name"] == "/pusher":
            return Answer.json({"__type": "AccessDeniedException", "Message": "no"}, 400)
        parameter = {
            "Name": "/pusher",
            "Value": GOOD,
            "Version": 1,
            "LastModifiedDate": 1_700_000_000,
            "Type": "String",
        }
        return Answer.json({"Parameter": parameter})

    def session(self, profile: str, region: str) -> Any:
        made = boto3_session(profile, region)
        self.clients += 1
        return made

    def app(self, **env_vars: str) -> App:
        given = {"PUSHER_CONFIG": "ssm:/pusher", "AWS_REGION": REGION, **KEYS, **env_vars}
        return App(Dependencies(given, session=self.session))


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssm]:
    made = Ssm(monkeypatch)
    with made.server:
        yield made


OF_SSM = {name: [fault] for name, fault in FAULTS.items()} | {
    "an answer that is cut within its head": [Fault.cut_head(2)],
    "two in a row": [Fault.status(503), Fault.reset()],
}


@pytest.mark.parametrize("faults", OF_SSM.values(), ids=OF_SSM)
def test_bad_answers_of_ssm_cost_no_tick(ssm: Ssm, faults: list[Fault]) -> None:
    ssm.script.script(*faults)
    assert handled(ssm.app())["ok"]


def test_a_config_in_ssm_makes_one_client_per_environment(ssm: Ssm) -> None:
    app = ssm.app()
    for _ in range(4):
        assert handled(app)["ok"]
    assert (ssm.clients, ssm.requests) == (1, 4)


# --- The newest cannot be read ----------------------------------------------------------------------------------------


in_a_bucket = pytest.mark.parametrize("place", ["s3"], indirect=True)


def refused(app: App) -> str:
    return str(handled(app).get("config_refused", ""))


UNREADABLE = {
    "it is gone": (
        lambda s3: s3.delete_object(Bucket=BUCKET, Key=KEY),
        "cannot be read, the last good one",
    ),
    "it is no text": (lambda s3: s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"\xff"), "not UTF-8 text"),
}


@in_a_bucket
@pytest.mark.parametrize(("spoil", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_the_last_good_one_serves_when_the_newest_cannot_be_read(
    place: Place, spoil: Callable[[Any], object], words: str
) -> None:
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.new_app()) == ""
    spoil(place.client)
    cold = place.new_app()
    for _ in range(2):
        assert words in refused(cold)
    place.write(GOOD)
    assert refused(cold) == ""


def test_the_last_good_one_serves_when_ssm_refuses_the_newest(ssm: Ssm, tmp_path: Path) -> None:
    """As where the key that it is encrypted with is another one."""
    assert refused(ssm.app(PUSHER_SPOOL=str(tmp_path))) == ""
    ssm.refuses_newest = True
    detail = refused(ssm.app(PUSHER_SPOOL=str(tmp_path)))
    assert "cannot be read, the last good one stays in use" in detail
    assert "ssm:GetParameter" in detail
    with pytest.raises(Unreadable, match="ssm:GetParameter"):
        handled(ssm.app())


@in_a_bucket
def test_without_a_good_one_the_first_error_is_raised(place: Place) -> None:
    """Not the one of a version that cannot be had either."""
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.new_app()) == ""
    (version,) = place.client.list_object_versions(Bucket=BUCKET)["Versions"]
    place.write(BAD)
    place.client.delete_object(Bucket=BUCKET, Key=KEY, VersionId=version["VersionId"])
    with pytest.raises(ConfigError, match="json_config"):
        handled(place.new_app())


# --- The newest is bad ------------------------------------------------------------------------------------------------


def test_a_cold_start_finds_the_last_good_one(place: Place) -> None:
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.new_app()) == ""
    place.write(BAD)
    cold = place.new_app()
    assert "the last good one stays in use" in refused(cold)
    assert "json_config" in refused(cold)  # also in the next run, while the newest is bad
    place.write(BETTER)
    assert refused(cold) == ""
    place.write(BAD)
    assert "the last good one stays in use" in refused(place.new_app())


def test_without_a_note_a_bad_config_never_starts(place: Place) -> None:
    place.versioned(on=True)
    place.write(BAD)
    with pytest.raises(ConfigError, match="json_config"):
        handled(place.new_app())


def test_without_a_spool_there_is_no_note(place: Place) -> None:
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.new_app(spool=False)) == ""
    place.write(BAD)
    with pytest.raises(ConfigError):
        handled(place.new_app(spool=False))


def test_a_bucket_without_versions_has_no_last_good_one(place: Place) -> None:
    place.versioned(on=False)
    place.write(GOOD)
    assert refused(place.new_app()) == ""
    place.write(BAD)
    if place.location.startswith("ssm:"):  # which always keeps versions
        assert "the last good one" in refused(place.new_app())
    else:
        with pytest.raises(ConfigError):
            handled(place.new_app())
