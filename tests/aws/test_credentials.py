"""Whatever credentials the environment gives: Lambda's variables, static keys, a profile, an assumed role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from moto.server import ThreadedMotoServer
from moto.sts.models import sts_backends

from lambda_remote_write.aws.credentials import Credentials, CredentialsError, CredentialsProvider
from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.dependencies import boto3_session
from sandbox import amp
from sandbox.api import Api
from sandbox.example import usage_config
from sandbox.server import Answer, Fault, LoopbackServer
from tests.rig.command_line import SOURCES
from tests.rig.delivery import ENVIRONMENT, KEYS, endpoint_of, no_session, rig

ROOT = Path(__file__).parents[2]
ROLE = "arn:aws:iam::123456789012:role/writer"
AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in AWS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def provider(
    env_vars: dict[str, str] | None = None, now: Any = time.time, session: Any = boto3_session, **sigv4: Any
) -> CredentialsProvider:
    env_vars = env_vars or {}
    endpoint = endpoint_of("http://127.0.0.1/", env_vars, sigv4={"region": "eu-west-1", **sigv4})
    assert endpoint.sigv4
    secrets = SecretStore(env_vars, lambda service: no_session("", ""), time.monotonic)
    return CredentialsProvider(endpoint.sigv4, env_vars, secrets, session, lambda: int(now() * 1000))


# --- Lambda's variables and static keys -------------------------------------------------------------------------------


def test_a_whole_push_with_lambdas_variables_imports_no_boto3(tmp_path: Path) -> None:
    """It costs more than the rest of a cold start."""
    code = (
        "import json, sys\n"
        "from lambda_remote_write import app\n"
        "report = app.push_handler({}, None)\n"
        "loaded = [name for name in ('boto3', 'botocore.session') if name in sys.modules]\n"
        "print(json.dumps([report['totals']['AcceptedSamples'], loaded]))\n"
    )
    keys = replace(KEYS, token="token")
    with Api() as api, amp.Receiver(auth=keys) as receiver:
        config = tmp_path / "config.yaml"
        config.write_text(usage_config(api.url, receiver.url))
        env_vars = SOURCES | ENVIRONMENT | {"PUSHER_CONFIG": str(config), "AWS_SESSION_TOKEN": "token"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env_vars, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [8, []]
        assert receiver.accepted == 8


def test_lambdas_variables_are_read_at_every_attempt() -> None:
    env_vars = dict(ENVIRONMENT, AWS_SESSION_TOKEN="one")
    found = provider(env_vars)
    assert found.get().session_token == "one"
    env_vars["AWS_SESSION_TOKEN"] = "two"
    assert found.get().session_token == "two"


def test_static_keys_win_over_the_environment() -> None:
    with amp.Receiver(auth=amp.SigV4(access_key="AKIDSTATIC", secret_key="hidden", token=None)) as receiver:
        sigv4 = {"region": KEYS.region, "access_key": "AKIDSTATIC", "secret_key": "hidden"}
        with rig(receiver.url, sigv4=sigv4, env_vars=ENVIRONMENT | {"AWS_SESSION_TOKEN": "t"}) as made_rig:
            assert made_rig.deliver(made_rig.points()).accepted == 6


def test_credentials_do_not_show() -> None:
    shown = repr(Credentials("AKID", "the-secret", "the-token"))
    assert "AKID" in shown
    assert "the-" not in shown


# --- Profiles ---------------------------------------------------------------------------------------------------------


def write_profile(name: str, **values: str) -> None:
    lines = [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text("\n".join(lines) + "\n")


def test_a_profile_signs() -> None:
    """Also when the environment has keys: the config names the profile."""
    write_profile("team", aws_access_key_id="AKIDTEAM", aws_secret_access_key="s", aws_session_token="t")
    sigv4 = {"region": KEYS.region, "profile": "team"}
    with (
        amp.Receiver(auth=amp.SigV4(access_key="AKIDTEAM", secret_key="s", token="t")) as receiver,
        rig(receiver.url, sigv4=sigv4, session=boto3_session) as made_rig,
    ):
        assert made_rig.deliver(made_rig.points()).accepted == 6


def test_the_default_chain_is_asked_when_there_is_nothing_else() -> None:
    write_profile("default", aws_access_key_id="AKIDDEFAULT", aws_secret_access_key="s")
    assert provider().get().access_key == "AKIDDEFAULT"


@pytest.mark.parametrize(
    ("sigv4", "words"),
    [
        pytest.param({"profile": "missing"}, ["missing"], id="no such profile"),
        pytest.param({}, ["no AWS credentials", "environment", "profiles"], id="nothing anywhere"),
    ],
)
def test_no_credentials_is_an_error_that_says_where_they_were_looked_for(
    sigv4: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(CredentialsError) as caught:
        provider(None, **sigv4).get()
    assert [word for word in words if word not in str(caught.value)] == []


def test_without_credentials_nothing_is_sent_and_the_data_is_kept() -> None:
    with amp.Receiver() as receiver, rig(receiver.url, env_vars={}, session=boto3_session) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
        assert receiver.requests == []
    assert dict(delivery.undelivered.counts) == {"misconfigured": 6}
    assert "no AWS credentials" in delivery.undelivered.first_examples["misconfigured"]
    assert delivery.attempts == 1


# --- Credentials that run out -----------------------------------------------------------------------------------------


class Keyring:
    """Stands for a boto3 session whose credentials are replaced by someone else."""

    def __init__(self, *keys: amp.SigV4) -> None:
        self.keys = list(keys)

    def __call__(self, profile: str, region: str) -> Keyring:
        return self

    def get_credentials(self) -> Keyring:
        return self

    def get_frozen_credentials(self) -> amp.SigV4:
        """It has the three attributes of botocore's."""
        return self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]


OLD, NEW = amp.SigV4(access_key="AKIDOLD", token="old"), amp.SigV4(access_key="AKIDNEW", token="new")


def test_expired_credentials_are_renewed_once_and_nothing_is_lost() -> None:
    keyring = Keyring(OLD, NEW)
    with amp.Receiver(auth=NEW) as receiver, rig(receiver.url, env_vars={}, session=keyring) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
    assert (delivery.accepted, delivery.attempts, made_rig.clock.slept) == (6, 4, [])
    assert [record.status for record in receiver.requests] == [403, 200, 200, 200]


def test_credentials_that_are_refused_after_renewal_stop_the_run() -> None:
    keyring = Keyring(OLD, OLD, NEW)
    with amp.Receiver(auth=NEW) as receiver, rig(receiver.url, env_vars={}, session=keyring) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
    assert dict(delivery.undelivered.counts) == {"http_403": 6}
    assert [record.status for record in receiver.requests] == [403, 403]


class Parameters:
    """Stands for Systems Manager with a parameter whose value is rotated."""

    def __init__(self, *values: str) -> None:
        self.values = list(values)

    def __call__(self, profile: str, region: str) -> Parameters:
        return self

    def client(self, service: str) -> Parameters:
        return self

    def get_parameter(self, **_: Any) -> dict[str, Any]:
        return {"Parameter": {"Value": self.values.pop(0)}}


def test_a_rotated_secret_is_fetched_again_after_a_403() -> None:
    parameters = Parameters("old", "new")
    headers = {"X-Token": {"refs": ["ssm:/token"]}}
    with (
        amp.Receiver(auth=None) as receiver,
        rig(receiver.url, sigv4=None, session=parameters, http_headers=headers) as made_rig,
    ):
        receiver.script(Fault.status(403))
        assert made_rig.deliver(made_rig.points()).accepted == 6
        assert [record.headers["X-Token"] for record in receiver.requests] == ["old", "new", "new", "new"]


# --- An assumed role --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sts() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def with_sts(sts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDCALLER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")


@pytest.mark.usefixtures("with_sts")
def test_an_assumed_role_signs_with_its_token() -> None:
    sigv4 = {"region": KEYS.region, "role_arn": ROLE, "external_id": "customer-7"}
    with amp.Receiver(auth=None) as receiver, rig(receiver.url, sigv4=sigv4, session=boto3_session) as made_rig:
        assert made_rig.deliver(made_rig.points()).accepted == 6
        assumed = sts_backends["123456789012"]["aws"].assumed_roles[-1]
        receiver.auth = amp.SigV4(
            access_key=assumed.access_key_id, secret_key=assumed.secret_access_key, token=assumed.session_token
        )
        assert made_rig.deliver(made_rig.points(age_ms=5_000)).accepted == 6
        assert sts_backends["123456789012"]["aws"].assumed_roles[-1] is assumed
    assert assumed.external_id == "customer-7"
    assert assumed.arn.endswith(":assumed-role/writer/lambda-remote-write")


@pytest.mark.usefixtures("with_sts")
def test_a_403_makes_the_retry_sign_with_a_role_assumed_anew() -> None:
    """The keys of a role are kept; a receiver that refuses them gets others in the next attempt, and from then on."""
    sigv4 = {"region": KEYS.region, "role_arn": ROLE}
    with amp.Receiver(auth=None) as receiver, rig(receiver.url, sigv4=sigv4, session=boto3_session) as made_rig:
        assert made_rig.deliver(made_rig.points()).accepted == 6
        made_rig.clock.ahead += 60
        receiver.script(Fault.status(403))
        assert made_rig.deliver(made_rig.points(age_ms=5_000)).accepted == 6
        signed = [record.headers["Authorization"] for record in receiver.requests]
    *_, first, second = (one.access_key_id for one in sts_backends["123456789012"]["aws"].assumed_roles)
    used = [header.partition("Credential=")[2].partition("/")[0] for header in signed]
    assert used == [first] * 4 + [second] * 3


@pytest.mark.usefixtures("with_sts")
def test_a_session_has_the_name_and_the_tags_of_the_config() -> None:
    """STS AssumeRole: RoleSessionName, and Tags as a list of Key and Value. moto keeps the name; what it was asked with
    is read from the request itself."""
    asked: list[str] = []

    def session(profile: str, region: str) -> Any:
        made = boto3_session(profile, region)
        made.events.register("before-send.sts.AssumeRole", lambda request, **_: asked.append(str(request.body)))
        return made

    sigv4: dict[str, Any] = {"role_arn": ROLE, "session_name": "team=a@b", "tags": {"team": "a", "cost": ""}}
    assert provider(session=session, **sigv4).get().session_token
    assumed = sts_backends["123456789012"]["aws"].assumed_roles[-1]
    assert assumed.arn.endswith(":assumed-role/writer/team=a@b")
    (body,) = asked
    sent = parse_qs(body.removeprefix("b'").removesuffix("'"), keep_blank_values=True)
    tags = {name: values for name, values in sent.items() if name.startswith("Tags")}
    assert tags == {
        "Tags.member.1.Key": ["team"], "Tags.member.1.Value": ["a"],
        "Tags.member.2.Key": ["cost"], "Tags.member.2.Value": [""],
    }  # fmt: skip


@pytest.mark.usefixtures("with_sts")
def test_a_role_is_kept_and_renewed_five_minutes_before_its_end() -> None:
    clock = [time.time()]
    found = provider(now=lambda: clock[0], role_arn=ROLE)
    first = found.get()
    assert first.expires_at == pytest.approx(time.time() + 3600, abs=30)
    clock[0] = first.expires_at - 301
    assert found.get() is first
    clock[0] -= 3000
    first = found.get(renewed=True)
    assert found.get() is first
    clock[0] = first.expires_at - 299
    second = found.get()
    assert second is not first
    assert second.access_key != first.access_key


@pytest.mark.usefixtures("with_sts")
def test_a_role_is_assumed_once_however_many_requests_are_refused() -> None:
    """Side by side, as a big push sends them; also where it was assumed for them a moment ago."""
    clock = [time.time()]
    found = provider(now=lambda: clock[0], role_arn=ROLE)
    first = found.get()
    assert all(found.get(renewed=True) is first for _ in range(3))
    clock[0] += 60
    second = found.get(renewed=True)
    assert second is not first
    assert all(found.get(renewed=True) is second for _ in range(3))


@pytest.mark.usefixtures("with_sts")
def test_static_keys_and_profiles_can_assume_a_role() -> None:
    write_profile("team", aws_access_key_id="AKIDTEAM", aws_secret_access_key="s")
    assert provider(role_arn=ROLE, profile="team").get().session_token
    assert provider(role_arn=ROLE, access_key="AKIDSTATIC", secret_key="s").get().session_token


def test_a_role_that_may_not_be_assumed_says_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized</Message></Error></ErrorResponse>"
    with LoopbackServer(lambda request: Answer(403, {"Content-Type": "text/xml"}, denied)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.base_url)
        with pytest.raises(CredentialsError, match="trust policy") as caught:
            provider(role_arn=ROLE, access_key="AKID", secret_key="the-secret").get()
    assert ROLE in str(caught.value)
    assert "not authorized" in str(caught.value)
    assert "the-secret" not in str(caught.value)


@pytest.mark.slow
def test_an_sts_that_does_not_answer_does_not_eat_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function in a VPC without an STS endpoint: AWS's own client would wait for minutes."""
    with LoopbackServer(lambda request: Fault.hang()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.base_url)
        started = time.monotonic()
        with pytest.raises(CredentialsError, match="cannot assume"):
            provider(role_arn=ROLE, access_key="AKID", secret_key="s").get()
        assert time.monotonic() - started < 10


def test_the_fips_endpoint_is_that_of_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket: the name only shows where the client would ask."""
    asked: list[dict[str, Any]] = []

    class Session:
        def client(self, service: str, **options: Any) -> Any:
            asked.append({"service": service, **options})
            raise RuntimeError("enough")

    with pytest.raises(CredentialsError):
        provider(session=lambda profile, region: Session(), role_arn=ROLE, use_fips_sts_endpoint="true").get()
    assert asked[0]["endpoint_url"] == "https://sts-fips.eu-west-1.amazonaws.com"
