"""An answer that breaks off within its head, one test for each that reads answers: it is a failure there, and never an
empty page, an empty list, an empty object or a word about what the other side can do."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError

from lambda_remote_write.aws.s3 import S3, S3Store
from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.config_source import ConfigSource, Unreadable
from lambda_remote_write.dependencies import Dependencies, boto3_session
from lambda_remote_write.http import Transport
from lambda_remote_write.model.scrape import HighWaterMark
from lambda_remote_write.state.state import State
from lambda_remote_write.store import StoreError
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.delivery import Clock, no_session, rig
from tests.rig.discovery import ENVIRONMENT, Rig, addresses
from tests.rig.json_source import Rig as Sources
from tests.rig.push import config_text, endpoint, run, warm_of

STALE = "7ff0000000000002"
LINES = [pytest.param(1, id="after the status line"), pytest.param(2, id="after a header")]


def soon() -> float:
    return time.monotonic() + 5


# --- Targets and APIs -------------------------------------------------------------------------------------------------


class Target:
    """Serves the same page at every request, unless `fault` is set."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.server = LoopbackServer(self._answer)

    def _answer(self, _: Request) -> Answer:
        headers = {"Content-Type": "text/plain; version=0.0.4"}
        return Answer(200, headers, b'm{a="b"} 1\n', fault=self.fault)


def scrapes(fault: Fault) -> tuple[list[str], dict[str, list[str]]]:
    """Three scrapes of a target, the second under the fault -> errors, and values by metric in their order."""
    target, clock = Target(), Clock()
    with target.server, Receiver(auth=None, now=clock.time) as receiver:
        scrape = {"job_name": "t", "static_configs": [{"targets": [f"127.0.0.1:{target.server.port}"]}]}
        text = config_text([], [endpoint(receiver, "r", sigv4=None)], scrape_configs=[scrape])
        with warm_of(text, clock) as environment:
            errors = []
            for now in (None, fault, None):
                target.fault = now
                errors += [one.error for one in run(environment).scrapes]
                clock.ahead += 60
        values: dict[str, list[str]] = {}
        for labels, points in receiver.samples.items():
            values[dict(labels)["__name__"]] = [shown(value) for _, value in points]
    del values["scrape_duration_seconds"]
    return errors, values


def shown(value: float) -> str:
    return "stale" if struct.pack(">d", value).hex() == STALE else repr(value)


@pytest.mark.parametrize("lines", LINES)
def test_a_target_is_down(lines: int) -> None:
    """As after any other failed scrape: `up 0`, an error, and the markers of what it had before."""
    errors, values = scrapes(Fault.cut_head(lines))
    assert values["up"] == ["1.0", "0.0", "1.0"]
    assert values["m"] == ["1.0", "stale", "1.0"]
    assert values == scrapes(Fault.reset())[1]
    assert [("the connection broke" in error) for error in errors] == [False, True, False]


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    with Sources(tmp_path) as made:
        yield made


@pytest.mark.parametrize("lines", LINES)
def test_an_api_is_down(sources: Sources, lines: int) -> None:
    sources.api.serve("/doc", Answer(200, {}, b"[]", fault=Fault.cut_head(lines)))
    report = sources.push(sources.job("{name: m, records: '[]', value: v}"))
    assert "the connection broke while waiting for the answer" in report["jobs"][0]["error"]
    assert sources.value("up") == 0


def test_a_token_endpoint_gives_no_token(sources: Sources) -> None:
    sources.serve('{"v": 1}')
    sources.api.serve("/token", Answer(200, {}, b'{"access_token": "t"}', fault=Fault.cut_head()))
    keys = f"oauth2: {{client_id: i, client_secret: s, token_url: '{sources.api.url}/token'}}"
    report = sources.push(sources.job("{name: m, value: v}", keys=keys))
    assert "the connection broke while waiting for the answer" in report["jobs"][0]["error"]


# --- Receivers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", LINES)
def test_a_receiver_of_2_0_still_gets_2_0(lines: int) -> None:
    """The request is sent again, and nothing is said of the receiver. The first time it was stored, too."""
    clock, message = Clock(), "io.prometheus.write.v2.Request"
    with Receiver(auth=None, now=clock.time) as receiver:
        receiver.script(Fault.cut_head(lines))
        with rig(receiver.url, clock=clock, protobuf_message=message, sigv4=None) as one:
            delivery = one.deliver(one.points(times=2))
            assert (delivery.collected, delivery.accepted, delivery.warnings) == (4, 4, [])
            assert one.endpoint.client.version == 2
        versions = [record.headers["X-Prometheus-Remote-Write-Version"] for record in receiver.requests]
        assert versions == ["2.0.0"] * 3


# --- Lists of targets -------------------------------------------------------------------------------------------------

TARGETS = b'[{"targets": ["h:1", "h:2"]}]'


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("kind", ["a file in S3", "a pattern in S3", "http_sd"])
def test_the_last_good_list_stays(kind: str, lines: int) -> None:
    with ObjectStore(auth=None) as bucket, Api() as api:
        bucket.put("t/a.json", TARGETS)
        found = Rig(bucket.base_url)
        url = api.serve("/sd", Answer(200, {"Content-Type": "application/json"}, TARGETS))
        discovery = found.discovery(
            {
                "a file in S3": "file_sd_configs: [{files: ['s3://spool/t/a.json']}]",
                "a pattern in S3": "file_sd_configs: [{files: ['s3://spool/t/*.json']}]",
                "http_sd": f"http_sd_configs: [{{url: '{url}'}}]",
            }[kind]
        )
        assert addresses(discovery.targets(found.deadline())) == ["h:1", "h:2"]
        bucket.always("list" if "pattern" in kind else "get", Fault.cut_head(lines))
        api.serve("/sd", Answer(200, {"Content-Type": "application/json"}, TARGETS, fault=Fault.cut_head(lines)))
        found.clock.ahead += 300
        later = discovery.targets(found.deadline())
        assert addresses(later) == ["h:1", "h:2"]
        (warning,) = later.warnings
        assert "the connection broke" in warning
        assert "stays in use (2 targets)" in warning
        found.transport.close()


# --- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> Iterator[ObjectStore]:
    with ObjectStore(auth=None) as made:
        made.put("k", b"content")
        yield made


@pytest.fixture
def objects(bucket: ObjectStore) -> Iterator[S3]:
    dependencies = Dependencies({**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": bucket.base_url}, session=no_session)
    yield dependencies.objects
    dependencies.transport.close()


OPERATIONS: dict[str, Callable[[S3], object]] = {
    "get": lambda s3: s3.get("spool", "k", soon()),
    "get if changed": lambda s3: s3.get_changed("spool", "k", '"x"', soon(), 100),
    "get a version": lambda s3: s3.get_version("spool", "k", "1", soon(), 100),
    "head": lambda s3: s3.head("spool", "k", soon()),
    "get a range": lambda s3: s3.get_range("spool", "k", 2, 3, "", soon()),
    "get a range behind the end": lambda s3: s3.get_range("spool", "k", 20, 3, "", soon()),
    "list": lambda s3: s3.list("spool", "", soon()),
    "list the first": lambda s3: s3.first("spool", "", soon(), 10),
    "folders": lambda s3: s3.folders("spool", "", soon()),
    "put": lambda s3: s3.put("spool", "k", b"new", soon()),
    "put a new one": lambda s3: s3.put("spool", "other", b"new", soon(), ""),
    "delete": lambda s3: s3.delete("spool", "k", soon()),
    "delete a missing one": lambda s3: s3.delete("spool", "other", soon(), '"x"'),
}


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("act", OPERATIONS.values(), ids=list(OPERATIONS))
def test_no_operation_of_s3_is_done(bucket: ObjectStore, objects: S3, act: Callable[[S3], object], lines: int) -> None:
    """Each is a StoreError: neither an empty object nor an empty list, neither written nor gone."""
    bucket.always("*", Fault.cut_head(lines))
    with pytest.raises(StoreError, match=r"s3://spool.*the connection broke"):
        act(objects)


@pytest.mark.parametrize("lines", LINES)
def test_a_state_object_is_not_known(bucket: ObjectStore, objects: S3, lines: int) -> None:
    """And not missing: a run that takes it for missing sends past the backlog that it names."""
    store = S3Store(objects, "s3://spool/p")
    writer = State(store, "0", lambda: 1_800_000_000_000)
    writer.will_spool("amp", "spool/amp/0/1", soon())
    writer.mark("j", HighWaterMark(5, 5, 5, 3), is_exact=True)
    writer.save(soon(), ["j"])
    written = bucket.objects
    bucket.always("get", Fault.cut_head(lines))
    reader = State(store, "0", lambda: 1_800_000_001_000)
    reader.start_reading(soon())
    reader.await_read()
    assert not reader.is_known
    assert "the connection broke" in reader.problem
    reader.mark("j", HighWaterMark(9, 9, 9, 3), is_exact=True)
    reader.save(soon(), ["j"])
    assert bucket.objects == written
    bucket.always("get", None)
    reader.save(soon(), ["j"])
    assert reader.has_backlog("amp")
    assert json.loads(bucket.objects["p/state/0"])["backlog"] == {"amp": "spool/amp/0/1"}


CONFIG = b'json_configs: [{job_name: j, url: "https://api.example.com/", metrics: [{name: a, value: v}]}]\n'


@pytest.mark.parametrize("lines", LINES)
def test_the_last_good_config_stays(bucket: ObjectStore, lines: int) -> None:
    """And where there is none, the function does not start with an empty one."""
    bucket.put("c.yaml", CONFIG)
    env_vars = {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": bucket.base_url, "PUSHER_WORKSPACE": "ws-1"}
    transport = Transport()
    secrets = SecretStore(env_vars, no_client, time.monotonic)
    objects = S3(env_vars, transport, secrets, no_session, lambda: int(time.time() * 1000))
    environment, cold = (ConfigSource("s3://spool/c.yaml", env_vars, objects, no_session) for _ in range(2))
    good = environment.load()
    bucket.put("c.yaml", CONFIG.replace(b": j", b": other"))
    bucket.always("get", Fault.cut_head(lines))
    assert environment.load().config is good.config
    assert "the connection broke" in environment.load().refused
    with pytest.raises(Unreadable, match="the connection broke"):
        cold.load()
    transport.close()


# --- AWS's own client -------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Any], object]] = {
    "ecs": lambda session: session.client("ecs").list_tasks(cluster="c"),
    "ec2": lambda session: session.client("ec2").describe_instances(),
    "ssm": lambda session: session.client("ssm").get_parameter(Name="/n"),
    "secretsmanager": lambda session: session.client("secretsmanager").get_secret_value(SecretId="s"),
    "sts": lambda session: session.client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="ours"
    ),
}


@pytest.fixture
def aws_that_dies(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[LoopbackServer]:
    """What the AWS services are for boto3 here. Its own retries are a session's and no part of this."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    with LoopbackServer(lambda _: Answer.json({"taskArns": []}, headers={"X-A": "b"})) as server:
        server.plan = lambda method, path: Fault.cut_head(request.param)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.base_url)
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("aws_that_dies", [1, 2, 3], ids=lambda lines: f"{lines} lines", indirect=True)
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_call_of_boto3_fails(aws_that_dies: LoopbackServer, call: Callable[[Any], object]) -> None:
    """botocore alone gives an empty answer, which says that there are no tasks or that a secret has no text."""
    with pytest.raises(ResponseStreamingError, match="the connection broke"):
        call(boto3_session("", "eu-west-1"))


def no_client(service: str) -> Any:
    raise AssertionError(f"nothing here asks {service}")
