"""Where the config comes from, when it is read again, and what happens when the new one is bad."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import ConfigSource, Unreadable, not_loaded, problems_json
from lambda_remote_write.http import Transport
from tests.rig import config_places
from tests.rig.aws import REGION, Aws
from tests.rig.config_places import BUCKET, KEY, KEYS
from tests.rig.delivery import no_session

STACK = {"PUSHER_WORKSPACE": "ws-1", "AWS_REGION": REGION}
NOW_MS = 1_716_479_897_000


def text(job: str) -> str:
    return f'json_configs: [{{job_name: {job}, url: "https://api.example.com/", metrics: [{{name: a, value: v}}]}}]\n'


BAD = text("bad").replace("job_name", "jobname")


@pytest.fixture
def source_at() -> Iterator[Callable[..., ConfigSource]]:
    """A source at a location; `session` makes boto3 sessions, the rest is the environment."""
    transport = Transport()

    def make(location: str, session: Callable[[str, str], Any] = no_session, **env_vars: str) -> ConfigSource:
        given = STACK | env_vars
        secrets = SecretStore(given, lambda service: session("", REGION).client(service), time.monotonic)
        objects = S3(given, transport, secrets, session, lambda: NOW_MS)
        return ConfigSource(location, given, objects, session)

    yield make
    transport.close()


SourceAt = Callable[..., ConfigSource]


@pytest.fixture(scope="module")
def served() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def aws(served: Aws) -> Aws:
    served.reset()
    return served


# --- The packaged file ------------------------------------------------------------------------------------------------


def test_packaged(source_at: SourceAt) -> None:
    """Without a location the packaged file loads, and nothing else is asked."""
    loaded = source_at("").load()
    assert [job.job_name for job in loaded.config.jobs] == ["custom_exporter"]
    assert loaded.config.endpoints[0].is_amp
    assert (loaded.config.warnings, loaded.refused) == ((), "")


# --- A path, S3 and SSM behave the same -------------------------------------------------------------------------------


class File:
    """A config in a file."""

    def __init__(self, folder: Path, source_at: SourceAt) -> None:
        self.path, self.saves = folder / "pusher.yaml", 0
        self.location = str(self.path)
        self.source = source_at(self.location)

    def write(self, text: str) -> None:
        self.saves += 1
        self.path.write_text(text)
        os.utime(self.path, (self.saves, self.saves))  # saved a second apart

    def delete(self) -> None:
        self.path.unlink()


class AwsPlace(config_places.Place):
    """A config in S3, or in the Parameter Store, over a real socket."""

    def __init__(self, aws: Aws, kind: str, source_at: SourceAt) -> None:
        super().__init__(aws, kind)
        session = aws.session if kind == "ssm" else no_session
        self.source = source_at(self.location, session, AWS_ENDPOINT_URL_S3=aws.url, **KEYS)


@pytest.fixture(params=["path", "s3", "ssm"])
def place(request: pytest.FixtureRequest, tmp_path: Path, source_at: SourceAt) -> File | AwsPlace:
    if request.param == "path":
        return File(tmp_path, source_at)
    return AwsPlace(request.getfixturevalue("aws"), request.param, source_at)


Place = File | AwsPlace


def jobs_of(place: Place) -> list[str]:
    return [job.job_name for job in place.source.load().config.jobs]


def test_unchanged(place: Place) -> None:
    """The same version is the same object: it is not parsed again."""
    place.write(text("first"))
    assert place.source.load() is place.source.load()


def test_changed(place: Place) -> None:
    """A new version is used from the next load on."""
    place.write(text("first"))
    assert jobs_of(place) == ["first"]
    place.write(text("second"))
    assert jobs_of(place) == ["second"]
    assert place.source.load().refused == ""


def test_bad_from_the_start(place: Place) -> None:
    """A bad first version does not start, and its mistakes name the location."""
    place.write(BAD)
    with pytest.raises(ConfigError) as raised:
        place.source.load()
    assert {problem.file for problem in raised.value.problems} == {place.location}
    assert 'did you mean "job_name"' in str(raised.value)


def test_bad_new_version(place: Place) -> None:
    """A bad new version is refused at every load, loudly; the last good one stays in use."""
    place.write(text("first"))
    good = place.source.load()
    place.write(BAD)
    for _ in range(2):
        loaded = place.source.load()
        assert loaded.config is good.config
        assert loaded.version == good.version
        assert "last good" in loaded.refused
        assert 'did you mean "job_name"' in loaded.refused
        assert place.location in loaded.refused


@pytest.mark.parametrize("fixed", ["first", "third"], ids=["put-back", "corrected"])
def test_bad_then_fixed(place: Place, fixed: str) -> None:
    """Once fixed, by a correction or by putting the old one back, nothing is refused any more."""
    place.write(text("first"))
    place.source.load()
    place.write(BAD)
    assert place.source.load().refused
    place.write(text(fixed))
    assert jobs_of(place) == [fixed]
    assert place.source.load().refused == ""


def test_missing_from_the_start(place: Place) -> None:
    """Without a config there is no start: the error names the location."""
    with pytest.raises(Unreadable, match=place.location):
        place.source.load()


def test_missing_later(place: Place) -> None:
    """A message says that the config is gone, and the last good one stays in use; when it is back, all is well."""
    place.write(text("first"))
    place.source.load()
    place.delete()
    loaded = place.source.load()
    assert [job.job_name for job in loaded.config.jobs] == ["first"]
    assert "last good" in loaded.refused
    assert place.location in loaded.refused
    place.write(text("second"))
    assert jobs_of(place) == ["second"]


# --- Paths ------------------------------------------------------------------------------------------------------------

UNREADABLE = [
    ("latin-1", lambda path: path.write_bytes("größe: 1".encode("latin-1")), "not UTF-8 text"),
    ("missing", lambda path: None, "No such file"),
    ("a folder", lambda path: path.mkdir(), "Is a directory"),
]


@pytest.mark.parametrize(("make", "reason"), [case[1:] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
def test_path_unreadable(tmp_path: Path, source_at: SourceAt, make: Callable[[Path], object], reason: str) -> None:
    """The error names the path and the reason."""
    path = tmp_path / "pusher.yaml"
    make(path)
    with pytest.raises(Unreadable, match=f"pusher.yaml: {reason}"):
        source_at(str(path)).load()


# --- S3 ---------------------------------------------------------------------------------------------------------------


def test_s3_costs_one_request_per_load(aws: Aws, source_at: SourceAt) -> None:
    """Each load is one GET; an unchanged object is answered by 304 and not sent again."""
    place = AwsPlace(aws, "s3", source_at)
    place.write(text("first"))
    aws.exchanges.clear()
    for _ in range(3):
        place.source.load()
    place.write(text("second"))
    assert jobs_of(place) == ["second"]
    gets = [exchange for exchange in aws.exchanges if exchange.action == "GET"]
    assert [exchange.status for exchange in gets] == [200, 304, 304, 200]
    assert [bool(exchange.headers.get("if-none-match")) for exchange in gets] == [False, True, True, True]


@pytest.mark.parametrize("location", ["s3://", "s3://configs", "s3://configs/", "s3:///pusher.yaml"])
def test_s3_location(source_at: SourceAt, location: str) -> None:
    """A location without a bucket or a key is refused before anything is asked."""
    with pytest.raises(Unreadable, match=r"s3://BUCKET/KEY"):
        source_at(location, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1", **KEYS).load()


@pytest.mark.parametrize("extra", [0, 1, 2], ids=["even", "odd", "odder"])
def test_s3_too_long(aws: Aws, source_at: SourceAt, extra: int) -> None:
    """An object that is no config is not read to its end, and is called too long wherever the cut falls."""
    place = AwsPlace(aws, "s3", source_at)
    place.write("#" * extra + "서" * 500_000)
    with pytest.raises((ConfigError, Unreadable), match="1000000"):
        place.source.load()


def test_s3_not_utf8(aws: Aws, source_at: SourceAt) -> None:
    """The message says that the object is in another encoding."""
    place = AwsPlace(aws, "s3", source_at)
    place.client.put_object(Bucket=BUCKET, Key=KEY, Body="größe: 1".encode("latin-1"))
    with pytest.raises(Unreadable, match=f"^{place.location}: not UTF-8 text"):
        place.source.load()


def test_s3_without_credentials(aws: Aws, source_at: SourceAt) -> None:
    """Without credentials the error says so; nothing is asked unsigned."""

    class NoCredentials:
        def get_credentials(self) -> None:
            return None

    with pytest.raises(Unreadable, match="credentials"):
        source_at(f"s3://{BUCKET}/{KEY}", lambda *_: NoCredentials(), AWS_ENDPOINT_URL_S3=aws.url).load()
    assert aws.exchanges == []


# --- SSM --------------------------------------------------------------------------------------------------------------


def test_ssm_version(aws: Aws, source_at: SourceAt) -> None:
    """A parameter's version tells whether it changed, even when the text is the same."""
    place = AwsPlace(aws, "ssm", source_at)
    place.write(text("first"))
    assert place.source.load().version.startswith("1 of ")
    place.write(text("first"))
    assert place.source.load().version.startswith("2 of ")


def test_ssm_denied(aws: Aws, source_at: SourceAt) -> None:
    """The message names the permission that the role lacks."""
    aws.refusal = (400, "AccessDeniedException")
    with pytest.raises(Unreadable, match=r"^ssm:/team/pusher: .*AccessDenied.*ssm:GetParameter"):
        source_at("ssm:/team/pusher", aws.session).load()


# --- For people and programs ------------------------------------------------------------------------------------------


def test_not_loaded(tmp_path: Path, source_at: SourceAt) -> None:
    """The log's text counts the mistakes and lists them; `--json` has their parts."""
    path = tmp_path / "pusher.yaml"
    path.write_text("global: {scrape_interval: 60}\njobs: []\n")
    with pytest.raises(ConfigError) as raised:
        source_at(str(path)).load()
    detail = not_loaded(str(path), raised.value)
    assert detail.startswith("2 mistakes in the config:\n")
    assert len(detail.splitlines()) == 3
    assert problems_json(raised.value)[1] == {
        "file": str(path),
        "line": 2,
        "path": "jobs",
        "message": "unknown key (nearest: global, json_configs, spool; docs/config.md has all keys)",
    }


def test_not_loaded_of_one_mistake(source_at: SourceAt, tmp_path: Path) -> None:
    """One mistake is one mistake; of a config that cannot be read the message says so."""
    path = tmp_path / "pusher.yaml"
    path.write_text("jobs: []\n")
    with pytest.raises(ConfigError) as raised:
        source_at(str(path)).load()
    assert not_loaded(str(path), raised.value).startswith("1 mistake in the config:\n")
    assert not_loaded("a.yaml", Unreadable("a.yaml: no")) == "the config cannot be read: a.yaml: no"
