"""What a host of AWS says of its API, against botocore's own models."""

from __future__ import annotations

from functools import cache

import pytest
from botocore.session import get_session

from lambda_remote_write.config.aws_hosts import GLOBAL, SERVICES, SIGNED_AS, AwsHost, host_of
from tests.rig.tables import table

HOSTS = [
    ("REST API", "a1b2.execute-api.eu-west-1.amazonaws.com", "execute-api", "eu-west-1", "a1b2"),
    ("private API", "a1b2-vpce0123.execute-api.eu-west-1.amazonaws.com", "", "", ""),
    ("API of an endpoint", "a1b2-vpce-0123.execute-api.eu-west-1.amazonaws.com", "execute-api", "eu-west-1", "a1b2"),
    ("endpoint", "vpce-0a-b.execute-api.us-east-1.vpce.amazonaws.com", "execute-api", "us-east-1", ""),
    ("API in China", "a1b2.execute-api.cn-north-1.amazonaws.com.cn", "execute-api", "cn-north-1", "a1b2"),
    ("function URL", "x9y8.lambda-url.eu-west-1.on.aws", "lambda", "eu-west-1", "x9y8"),
    ("OpenSearch", "search-logs-prod-abc123.eu-west-1.es.amazonaws.com", "es", "eu-west-1", "logs-prod"),
    ("OpenSearch in a VPC", "vpc-logs-abc123.us-gov-west-1.es.amazonaws.com", "es", "us-gov-west-1", "logs"),
    ("OpenSearch, dual stack", "search-logs-abc123.aos.eu-west-1.on.aws", "es", "eu-west-1", "logs"),
    ("OpenSearch Serverless", "abc123.eu-west-1.aoss.amazonaws.com", "aoss", "eu-west-1", "abc123"),
    ("AppSync", "abc123.appsync-api.eu-west-1.amazonaws.com", "appsync", "eu-west-1", "abc123"),
    ("AMP", "aps-workspaces.eu-west-1.amazonaws.com", "aps", "eu-west-1", ""),
    ("AMP by PrivateLink", "vpce-0a-b.aps-workspaces.eu-west-1.vpce.amazonaws.com", "aps", "eu-west-1", ""),
    ("Cost Explorer", "ce.us-east-1.amazonaws.com", "ce", "us-east-1", ""),
    ("FIPS", "monitoring-fips.us-east-1.amazonaws.com", "monitoring", "us-east-1", ""),
    ("dual stack", "sqs.eu-west-1.api.aws", "sqs", "eu-west-1", ""),
    ("bucket", "my.bucket.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1", "my.bucket"),
    ("all buckets", "s3.eu-west-1.amazonaws.com", "s3", "eu-west-1", ""),
    ("one host for all regions", "iam.amazonaws.com", "iam", "us-east-1", ""),
    ("a dot at the end", "ce.us-east-1.amazonaws.com.", "ce", "us-east-1", ""),
    ("a service that is not known", "frob.us-east-1.amazonaws.com", "", "", ""),
    ("a load balancer", "web-1.eu-west-1.elb.amazonaws.com", "", "", ""),
    ("an own domain", "api.example.com", "", "", ""),
    ("AWS's name in another's domain", "ce.us-east-1.amazonaws.com.evil.org", "", "", ""),
]


@table("host, service, region, name", HOSTS)
def test_host(host: str, service: str, region: str, name: str) -> None:
    expected = AwsHost(service, region, name) if service else None
    assert host_of(f"https://{host}:443/a?b=c") == expected


@pytest.mark.parametrize("url", ["", "http://[", "https://"])
def test_what_is_no_address_says_nothing(url: str) -> None:
    assert host_of(url) is None


@cache
def signed_as() -> dict[str, set[str]]:
    """By the beginning of their hosts, for which service botocore signs."""
    session, found = get_session(), dict[str, set[str]]()
    loader = session.get_component("data_loader")
    for name in loader.list_available_services("service-2"):
        metadata = loader.load_service_model(name, "service-2")["metadata"]
        prefix = metadata["endpointPrefix"]
        found.setdefault(prefix, set()).add(metadata.get("signingName", prefix))
    return found


@pytest.mark.slow
def test_services_are_signed_for_as_botocore_does() -> None:
    ours = {name: name for name in (*SERVICES, *GLOBAL)} | {k: v for k, v in SIGNED_AS.items() if k in signed_as()}
    assert {name: signed_as()[name] for name in ours} == {name: {service} for name, service in ours.items()}


def test_the_regions_of_global_services_are_botocores() -> None:
    endpoints = get_session().get_component("endpoint_resolver")
    found = {name: endpoints.construct_endpoint(name, "eu-west-1") for name in GLOBAL}
    assert {name: one["credentialScope"]["region"] for name, one in found.items()} == GLOBAL
