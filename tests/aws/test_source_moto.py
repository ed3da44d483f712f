"""Signed jobs against moto, which computes each signature by botocore's signer and looks up the IAM policies of who
signs: services of AWS that answer JSON, by POST with a target, by GET, and from a bucket."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from lambda_remote_write.dependencies import boto3_session
from tests.rig.aws import Aws
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

pytestmark = pytest.mark.slow  # moto answers slowly

ANYONE = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
TRUST = {"Version": "2012-10-17", "Statement": [ANYONE]}


def of(target: str) -> str:
    return f"headers: {{X-Amz-Target: {target}, Content-Type: application/x-amz-json-1.0}}, body: '{{}}'"


CALLS = [
    ("SQS", "sqs", "/", of("AmazonSQS.ListQueues"), "length(QueueUrls)"),
    ("DynamoDB", "dynamodb", "/", of("DynamoDB_20120810.ListTables"), "length(TableNames)"),
    ("API Gateway's own API", "apigateway", "/restapis", "query: {limit: '5 0'}", "length(item)"),
    ("S3", "s3", "/reports/a%20b/c+d.json", "query: {a: b c}", "v"),
]
ACTIONS = {
    "sqs": "sqs:ListQueues", "dynamodb": "dynamodb:ListTables", "apigateway": "apigateway:*", "s3": "s3:GetObject",
}  # fmt: skip


class Cloud:
    """moto with something in each service, and a user without rights."""

    def __init__(self, aws: Aws) -> None:
        self.url, self._aws = aws.url, aws
        aws.client("sqs").create_queue(QueueName="q")
        attribute = {"AttributeName": "a"}
        aws.client("dynamodb").create_table(
            TableName="t",
            KeySchema=[attribute | {"KeyType": "HASH"}],
            AttributeDefinitions=[attribute | {"AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        aws.client("apigateway").create_rest_api(name="a")
        aws.client("s3").create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        aws.client("s3").put_object(Bucket="reports", Key="a b/c+d.json", Body=b'{"v": 1}')
        iam = aws.client("iam")
        iam.create_user(UserName="pusher")
        self.key: dict[str, str] = iam.create_access_key(UserName="pusher")["AccessKey"]

    def allow(self, *actions: str) -> None:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._aws.client("iam").put_user_policy(UserName="pusher", PolicyName="p", PolicyDocument=policy)

    def authenticate(self) -> None:
        """From now on, moto checks who asks."""
        after(self.url, "0")

    def env_vars(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": self.key["SecretAccessKey"]}


def after(url: str, requests: str) -> None:
    """How many requests go unchecked before moto checks the others."""
    text = {"Content-Type": "text/plain"}
    with urlopen(Request(f"{url}/moto-api/reset-auth", requests.encode(), text, method="POST")):
        pass


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as served:
        yield served


@pytest.fixture
def cloud(aws: Aws, rig: Rig) -> Iterator[Cloud]:
    aws.reset()
    rig.clock.ms = int(time.time() * 1000)  # moto's is the machine's
    made = Cloud(aws)
    rig.env_vars |= made.env_vars()
    yield made
    after(aws.url, "inf")


def pushed(rig: Rig, cloud: Cloud, service: str, path: str, keys: str, value: str, more: str = "") -> str:
    """The job's error."""
    signed = f"sigv4: {{region: eu-west-1, service: {service}{more}}}, {keys}"
    return error(rig.push(rig.job(f"{{name: m, value: '{value}'}}", path=f"{cloud.url}{path}", keys=signed)))


@table("service, path, keys, value", CALLS)
def test_what_is_signed_and_allowed_is_let_in(
    rig: Rig, cloud: Cloud, service: str, path: str, keys: str, value: str
) -> None:
    cloud.allow(ACTIONS[service])
    cloud.authenticate()
    assert pushed(rig, cloud, service, path, keys, value) == ""
    assert rig.value("m") == 1


@table("service, path, keys, value", CALLS)
def test_what_is_signed_and_not_allowed_is_refused(
    rig: Rig, cloud: Cloud, service: str, path: str, keys: str, value: str
) -> None:
    cloud.allow("ec2:DescribeInstances")
    cloud.authenticate()
    detail = pushed(rig, cloud, service, path, keys, value)
    assert "it does not take our credentials; check sigv4; it was" in detail
    assert f"signed for {service} in eu-west-1: check that they are the API's" in detail
    assert "pusher plan prints the IAM statement" in detail


@table("service, path, keys, value", CALLS)
def test_a_wrong_secret_key_is_refused(rig: Rig, cloud: Cloud, service: str, path: str, keys: str, value: str) -> None:
    """So that what is let in above was let in for its signature."""
    cloud.allow(ACTIONS[service])
    cloud.authenticate()
    rig.env_vars["AWS_SECRET_ACCESS_KEY"] = "another"
    assert "check sigv4" in pushed(rig, cloud, service, path, keys, value)


def test_an_unsigned_request_is_not_let_in(rig: Rig, cloud: Cloud) -> None:
    cloud.authenticate()
    with pytest.raises(HTTPError):
        urlopen(f"{cloud.url}/reports/a%20b/c+d.json")
    assert error(rig.push(rig.job("{name: m, value: v}", path=f"{cloud.url}/restapis")))


# --- An assumed role --------------------------------------------------------------------------------------------------


@pytest.fixture
def with_sts(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    """boto3 reads the process's own environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", cloud.url)
    for name, value in cloud.env_vars().items():
        monkeypatch.setenv(name, value)
    iam = cloud._aws.client("iam")
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=policy)
    return role


def test_a_role_is_assumed_and_signs(rig: Rig, cloud: Cloud, with_sts: str) -> None:
    rig.session = boto3_session
    cloud.allow("sts:AssumeRole")
    cloud.authenticate()
    _, *call = CALLS[0]
    assert pushed(rig, cloud, *call, more=f", role_arn: '{with_sts}', external_id: customer-7") == ""
    assert rig.value("m") == 1


def test_a_role_that_cannot_be_assumed_is_said_and_costs_nothing_else(rig: Rig, cloud: Cloud, with_sts: str) -> None:
    rig.session = boto3_session
    rig.serve('{"v": 2}', "/open")
    cloud.allow("sqs:ListQueues")
    cloud.authenticate()
    signed = f"sigv4: {{region: eu-west-1, service: sqs, role_arn: '{with_sts}'}}"
    jobs = [rig.job("{name: m, value: v}", path=f"{cloud.url}/", name=name, keys=signed) for name in "ab"]
    before = len(cloud._aws.exchanges)
    report = rig.push(*jobs, rig.job("{name: other, value: v}", name="o", path="/open"))
    detail = error(report)
    assert detail.startswith(f"sigv4: cannot assume {with_sts}: ")
    assert "its trust policy must name this function's role, and that role needs sts:AssumeRole on it" in detail
    assert error(report, 1) == detail
    assert len(cloud._aws.exchanges) == before + 1  # STS is asked once, the API not at all
    assert rig.value("other") == 2
