"""boto3 clients for discovery: whose keys they use, when they are made, and where they ask."""

from __future__ import annotations

import pytest

from lambda_remote_write.aws.credentials import CredentialsError
from lambda_remote_write.config.sd_configs import AwsSd
from tests.rig.aws import Aws
from tests.rig.discovery import Rig, configs


def config(entry: str) -> AwsSd:
    (found,) = configs(entry)
    assert isinstance(found, AwsSd)
    return found


def signed_by(aws: Aws) -> str:
    return aws.exchanges[-1].headers["authorization"].partition("Credential=")[2].partition("/")[0]


def test_keys_of_the_function(aws: Aws, cloud: Rig) -> None:
    """Without keys or a role in the config those of the environment sign."""
    cloud.clients("ec2", config("ec2_sd_configs: [{}]")).describe_instances()
    assert signed_by(aws) == "AKIDEXAMPLE"
    assert aws.exchanges[-1].headers["x-amz-security-token"] == "token"


def test_keys_of_the_config(aws: Aws, cloud: Rig) -> None:
    """Keys in the config sign, without the environment's session token."""
    entry = "ec2_sd_configs: [{access_key: AKIDOTHER, secret_key: s, region: us-east-1}]"
    cloud.clients("ec2", config(entry)).describe_instances()
    headers = aws.exchanges[-1].headers
    assert "Credential=AKIDOTHER/" in headers["authorization"]
    assert "/us-east-1/ec2/" in headers["authorization"]
    assert "x-amz-security-token" not in headers


def test_profile(cloud: Rig) -> None:
    """A profile is the session's business; another config of the same profile has the same session."""

    class Keys:
        access_key, secret_key, token = "AKIDPROFILE", "s", None

        def get_frozen_credentials(self) -> Keys:
            return self

    cloud.session.get_credentials = Keys  # type: ignore[attr-defined]
    for port in (1, 2):
        client = cloud.clients("ec2", config(f"ec2_sd_configs: [{{profile: lab, port: {port}}}]"))
        assert client._request_signer._credentials.access_key == "AKIDPROFILE"
    assert cloud.session.asked == [("lab", "eu-west-1")] * 2  # for the keys, and for the clients


def test_kept(cloud: Rig) -> None:
    """A client is made once for a config and a service: making one takes longer than a call."""
    one, other = config("ecs_sd_configs: [{}]"), config("ecs_sd_configs: [{port: 8080}]")
    clients = [cloud.clients(service, which) for which in (one, other) for service in ("ecs", "ec2") for _ in range(3)]
    assert len(set(map(id, clients))) == 4
    assert cloud.session.made == ["ecs", "ec2", "ecs", "ec2"]


def test_changed_keys(cloud: Rig) -> None:
    """Keys that were replaced make a new client."""
    which = config("ec2_sd_configs: [{}]")
    before = cloud.clients("ec2", which)
    cloud.env_vars["AWS_ACCESS_KEY_ID"] = "AKIDNEW"
    after = cloud.clients("ec2", which)
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
