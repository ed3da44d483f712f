"""Names of regions, ARNs and hosts in every partition of AWS, as botocore's own data has them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.config import Config as BotocoreConfig

from lambda_remote_write.backfill.workspace import configuration_url
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.partitions import PARTITIONS, checked_region, is_aws_host, partition_of
from lambda_remote_write.config.remote_write import amp_host
from lambda_remote_write.config.schema import Config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.remote_write.explain import explain
from tests.rig.delivery import no_session

DATA = json.loads((Path(botocore.__file__).parent / "data" / "partitions.json").read_text())["partitions"]
REGIONS = sorted(region for one in DATA for region in one["regions"] if not region.endswith("-global"))
ONE_OF_EACH = [
    "eu-west-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1",
    "us-isof-south-1",
]  # fmt: skip
WORKSPACE = "ws-0f3ca4d1-0000-4000-8000-000000000000"
WRITE = f"/workspaces/{WORKSPACE}/api/v1/remote_write"


@functools.cache
def session() -> Any:
    return botocore.session.get_session()


def client(service: str, region: str, **options: Any) -> Any:
    return session().create_client(
        service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b", config=BotocoreConfig(**options)
    )


def endpoint_of(service: str, region: str, **options: Any) -> str:
    """Where botocore's client would ask."""
    return str(client(service, region, **options).meta.endpoint_url)


def config_of(entry: dict[str, Any], **env_vars: str) -> Config:
    text = json.dumps({"json_configs": [], "remote_write": [entry]})
    return parse_config(text, "pusher.yaml", env_vars)


def test_partitions_are_those_of_botocore() -> None:
    """Also those that a newer botocore brings."""
    assert {one["id"]: (one["outputs"]["dnsSuffix"], one["outputs"]["dualStackDnsSuffix"]) for one in DATA} == {
        one.id: (one.suffix, one.dual_stack_suffix) for one in PARTITIONS
    }
    assert {one["id"]: one["regionRegex"].replace("\\-", "-").strip("^$") for one in DATA} == {
        one.id: one.regions for one in PARTITIONS
    }


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_is_one_of_its_partition(region: str) -> None:
    assert checked_region(region) == region
    assert partition_of(region).id == next(one["id"] for one in DATA if region in one["regions"])


@pytest.mark.parametrize("region", ["local", "eusc-de-west-2", "us-isob-west-1", "xx-new-north-1"])
def test_an_unknown_region_is_taken(region: str) -> None:
    """A stand-in's, or one that came after this version."""
    assert checked_region(region) == region


@pytest.mark.parametrize("region", [*ONE_OF_EACH, "local"])
def test_a_workspace_is_where_botocore_asks_its_control_plane(region: str) -> None:
    (endpoint,) = config_of({"workspace": WORKSPACE, "sigv4": {"region": region}}).endpoints
    assert endpoint.url == endpoint_of("amp", region).replace("//aps.", "//aps-workspaces.") + WRITE
    assert configuration_url(endpoint.url, {}) == f"{endpoint_of('amp', region)}/workspaces/{WORKSPACE}/configuration"


@pytest.mark.parametrize("region", ONE_OF_EACH)
def test_an_arn_names_region_and_partition(region: str) -> None:
    arn = f"arn:{partition_of(region).id}:aps:{region}:111122223333:workspace/{WORKSPACE}"
    (endpoint,) = config_of({"workspace": arn}).endpoints
    assert endpoint.sigv4 is not None
    assert endpoint.sigv4.region == region
    assert f".{region}.{partition_of(region).suffix}/" in endpoint.url
    denied = "User is not authorized to perform: aps:RemoteWrite"
    detail = explain(403, denied, endpoint)
    assert f"arn:{partition_of(region).id}:aps:{region}:" in f"{detail.meaning} {detail.help}"


@pytest.mark.parametrize("fips", [False, True], ids=["usual", "fips"])
@pytest.mark.parametrize("region", ONE_OF_EACH)
def test_every_public_host_of_amp_is_known(region: str, *, fips: bool) -> None:
    control = endpoint_of("amp", region, use_fips_endpoint=fips)
    url = control.replace("//aps", "//aps-workspaces") + WRITE
    (endpoint,) = config_of({"url": url, "sigv4": {}}).endpoints
    assert endpoint.sigv4 is not None
    assert endpoint.sigv4.region == region
    assert configuration_url(url, {}) == f"{control}/workspaces/{WORKSPACE}/configuration"


@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1", "eusc-de-east-1", "us-gov-west-1"])
def test_dual_stack_hosts_have_a_dual_stack_control_plane(region: str) -> None:
    control = endpoint_of("amp", region, use_dualstack_endpoint=True)
    url = control.replace("//aps", "//aps-workspaces") + WRITE
    assert configuration_url(url, {}).startswith(f"{control}/")


# https://docs.aws.amazon.com/vpc/latest/privatelink/privatelink-access-aws-services.html, "DNS names":
# `endpoint_id.service_id.region.vpce.amazonaws.com`, and with `-az_name` behind the id for one zone.
PRIVATE = [
    ("vpce-0123-abc.aps-workspaces.eu-west-1.vpce.amazonaws.com", "eu-west-1", "aps.eu-west-1.amazonaws.com"),
    ("vpce-0-a-eu-west-1a.aps-workspaces.eu-west-1.vpce.amazonaws.com", "eu-west-1", "aps.eu-west-1.amazonaws.com"),
    ("vpce-0-a.aps-workspaces.cn-north-1.vpce.amazonaws.com.cn", "cn-north-1", "aps.cn-north-1.amazonaws.com.cn"),
    ("vpce-0-a.aps-workspaces.eusc-de-east-1.vpce.amazonaws.eu", "eusc-de-east-1", "aps.eusc-de-east-1.amazonaws.eu"),
    ("vpce-0-a.aps-workspaces-fips.us-gov-west-1.vpce.amazonaws.com", "us-gov-west-1",
     "aps-fips.us-gov-west-1.amazonaws.com"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "region", "control"), PRIVATE, ids=[host for host, *_ in PRIVATE])
def test_an_interface_endpoint_is_amp_too(host: str, region: str, control: str) -> None:
    """Region, signature and limits are those of the workspace behind it; its control plane has the public name, which
    private DNS leads to that service's own endpoint."""
    (endpoint,) = config_of({"url": f"https://{host}{WRITE}", "sigv4": {}}).endpoints
    assert endpoint.is_amp
    assert endpoint.sigv4 is not None
    assert endpoint.sigv4.region == region
    found = configuration_url(endpoint.url, {})
    assert found == f"https://{control}/workspaces/{WORKSPACE}/configuration"
    elsewhere = {"AWS_ENDPOINT_URL_AMP": "https://vpce-9-b.aps.eu-west-1.vpce.amazonaws.com/"}
    assert configuration_url(endpoint.url, elsewhere) == (
        f"https://vpce-9-b.aps.eu-west-1.vpce.amazonaws.com/workspaces/{WORKSPACE}/configuration"
    )


@pytest.mark.parametrize(
    "host",
    [
        "aps-workspaces.eu-west-1.amazonaws.com.example.com", "aps-workspaces.eu-west-1.example.com",
        "vpce-0-a.aps-workspaces.eu-west-1.amazonaws.com", "aps-workspaces.eu-west-1.vpce.amazonaws.com",
        "x.aps-workspaces.eu-west-1.amazonaws.com", "aps.eu-west-1.amazonaws.com",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_host_of_amp(host: str) -> None:
    assert amp_host(f"https://{host}{WRITE}") is None


@pytest.mark.parametrize("bucket", ["spool", "spool.example"])
@pytest.mark.parametrize("region", ONE_OF_EACH)
def test_a_bucket_is_where_botocore_has_it(region: str, bucket: str) -> None:
    style = "path" if "." in bucket else "virtual"  # what its default comes to for requests; links are another matter
    s3 = client("s3", region, signature_version="s3v4", s3={"addressing_style": style})
    presigned = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a/b"}).partition("?")[0]
    objects = Dependencies({"AWS_REGION": region}, session=no_session).objects
    assert objects._url(bucket, "a/b") == presigned
    assert is_aws_host(presigned.split("/")[2])


@pytest.mark.parametrize("region", ONE_OF_EACH)
def test_the_fips_endpoint_of_sts_is_botocores(region: str) -> None:
    assert endpoint_of("sts", region, use_fips_endpoint=True) == f"https://{partition_of(region).fips_sts_host(region)}"
