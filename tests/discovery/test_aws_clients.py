"""boto3 clients for discovery: whose keys they use, when they are made, and where they ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lambda_remote_write.aws.credentials import CredentialsError
from lambda_remote_write.config.sd_configs import AwsSd
from sandbox.server import Answer
from tests.rig.aws import Aws
from tests.rig.discovery import Rig, configs
from tests.rig.scraping import Recorder


def config(entry: str) -> AwsSd:
    (found,) = configs(entry)
    assert isinstance(found, AwsSd)
    return found


WHOSE = {  # keys and region that sign, and the session token
    "the function's": ("{}", "AKIDEXAMPLE/", "/eu-west-1/ec2/", "token"),
    "the config's, without a token": (
        "{access_key: AKIDOTHER, secret_key: s, region: us-east-1}", "AKIDOTHER/", "/us-east-1/ec2/", None
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "key", "scope", "token"), WHOSE.values(), ids=WHOSE)
def test_whose_keys_sign(make_rig: Callable[..., Rig], entry: str, key: str, scope: str, token: str | None) -> None:
    with Recorder(Answer(200, {}, b"<DescribeInstancesResponse/>")) as ec2:
        make_rig(ec2.url).clients("ec2", config(f"ec2_sd_configs: [{entry}]")).describe_instances()
        (asked,) = ec2.requests
    assert f"Credential={key}" in asked.headers["Authorization"]
    assert scope in asked.headers["Authorization"]
    assert asked.headers["X-Amz-Security-Token"] == token


def test_profile(rig: Rig) -> None:
    """A profile is the session's business; another config of the same profile has the same session."""

    class Keys:
        access_key, secret_key, token = "AKIDPROFILE", "s", None

        def get_frozen_credentials(self) -> Keys:
            return self

    rig.session.get_credentials = Keys  # type: ignore[attr-defined]
    for port in (1, 2):
        client = rig.clients("ec2", config(f"ec2_sd_configs: [{{profile: lab, port: {port}}}]"))
        assert client._request_signer._credentials.access_key == "AKIDPROFILE"
    assert rig.session.asked == [("lab", "eu-west-1")] * 2  # for the keys, and for the clients


def test_kept(rig: Rig) -> None:
    """A client is made once for a config and a service: making one takes longer than a call."""
    one, other = config("ecs_sd_configs: [{}]"), config("ecs_sd_configs: [{port: 8080}]")
    clients = [rig.clients(service, which) for which in (one, other) for service in ("ecs", "ec2") for _ in range(3)]
    assert len(set(map(id, clients))) == 4
    assert rig.session.made == ["ecs", "ec2", "ecs", "ec2"]


def test_changed_keys(rig: Rig) -> None:
    """Keys that were replaced make a new client."""
    which = config("ec2_sd_configs: [{}]")
    before = rig.clients("ec2", which)
    rig.env_vars["AWS_ACCESS_KEY_ID"] = "AKIDNEW"
    after = rig.clients("ec2", which)
    assert after is not before
    assert after._request_signer._credentials.access_key == "AKIDNEW"


ENDPOINTS = [
    ("ec2_sd_configs: [{endpoint: 'http://own:1'}]", "ec2", "http://own:1"),
    ("ecs_sd_configs: [{endpoint: 'http://own:1'}]", "ecs", "http://own:1"),
    ("ecs_sd_configs: [{endpoint: 'http://own:1'}]", "ec2", "http://127.0.0.1:1"),
]


@pytest.mark.parametrize(("entry", "service", "url"), ENDPOINTS, ids=["ec2", "ecs", "ec2-behind-ecs"])
def test_endpoint(rig: Rig, entry: str, service: str, url: str) -> None:
    """It is the address of the service that the config is for."""
    assert rig.clients(service, config(entry)).meta.endpoint_url == url


def test_patience(rig: Rig) -> None:
    """A call ends by itself, after few attempts."""
    patience = rig.clients("ec2", config("ec2_sd_configs: [{}]")).meta.config
    assert (patience.connect_timeout, patience.read_timeout) == (2, 10)
    assert patience.retries["total_max_attempts"] == 3


def test_role_refused(aws: Aws, cloud: Rig) -> None:
    """The error names the role and what it takes to assume it."""
    aws.refusal = (403, "AccessDenied")
    entry = "ec2_sd_configs: [{role_arn: 'arn:aws:iam::111122223333:role/seen'}]"
    with pytest.raises(
        CredentialsError, match=r"(?s)^cannot assume arn:aws:iam::111122223333:role/seen: .*sts:AssumeRole"
    ):
        cloud.clients("ec2", config(entry))
    (warning,) = cloud.found(entry).warnings
    assert warning.startswith("ec2_sd_configs: eu-west-1 as arn:aws:iam::111122223333:role/seen: cannot assume")
