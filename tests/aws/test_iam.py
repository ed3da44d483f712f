"""The IAM statement that a signed request needs: actions and ARNs of the Service Authorization Reference."""

from __future__ import annotations

import json
from typing import Any

from lambda_remote_write.aws.iam import ApiCall, statements
from lambda_remote_write.config.schema import HttpClientConfig, SigV4
from lambda_remote_write.config.secrets import Secret
from tests.rig.tables import table

ROLE = "arn:aws:iam::222233334444:role/reader"


def call(service: str, url: str, method: str = "GET", target: str = "", body: str = "", **sigv4: Any) -> ApiCall:
    region = sigv4.pop("region", "eu-west-1")
    headers = (("x-amz-target", (Secret(literal=target),)),) if target else ()
    client = HttpClientConfig(sigv4=SigV4(region, service=service, **sigv4), http_headers=headers)
    return ApiCall(method, url, client, body)


API = "https://a1b2.execute-api.eu-west-1.amazonaws.com"
AMP = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1-2"
CE = "AWSInsightsIndexService.GetCostAndUsage"
E = "execute-api:Invoke"
GATEWAY = "execute-api:eu-west-1:ACCOUNT"
NEEDED = [
    ("API Gateway", call("execute-api", f"{API}/prod/orders/7"), E, f"{GATEWAY}:a1b2/prod/GET/orders/7"),
    ("its root", call("execute-api", f"{API}/prod"), E, f"{GATEWAY}:a1b2/prod/GET/"),
    ("POST", call("execute-api", f"{API}/p/q", "POST"), E, f"{GATEWAY}:a1b2/p/POST/q"),
    ("an own domain", call("execute-api", "https://api.example.com/v1/q"), E, f"{GATEWAY}:API/STAGE/GET/v1/q"),
    (
        "an endpoint of a VPC",
        call("execute-api", "https://vpce-1.execute-api.eu-west-1.vpce.amazonaws.com/v1/q"),
        E,
        f"{GATEWAY}:API/v1/GET/q",
    ),
    (
        "a function's URL, whatever its path",
        call("lambda", "https://ab.lambda-url.eu-west-1.on.aws/functions/7"),
        ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"],
        "lambda:eu-west-1:ACCOUNT:function:NAME",
    ),
    (
        "OpenSearch",
        call("es", "https://search-logs-ab.eu-west-1.es.amazonaws.com/_cluster/health"),
        "es:ESHttpGet",
        "es:eu-west-1:ACCOUNT:domain/logs/_cluster/health",
    ),
    (
        "its search",
        call("es", "https://vpc-logs-ab.eu-west-1.es.amazonaws.com/i/_search", "POST"),
        "es:ESHttpPost",
        "es:eu-west-1:ACCOUNT:domain/logs/i/_search",
    ),
    (
        "Serverless",
        call("aoss", "https://c1.eu-west-1.aoss.amazonaws.com/x"),
        "aoss:APIAccessAll",
        "aoss:eu-west-1:ACCOUNT:collection/c1",
    ),
    (
        "AppSync",
        call("appsync", "https://x.appsync-api.eu-west-1.amazonaws.com/graphql", "POST"),
        "appsync:GraphQL",
        "appsync:eu-west-1:ACCOUNT:apis/ID/*",
    ),
    ("AMP", call("aps", f"{AMP}/api/v1/query?query=up"), "aps:QueryMetrics", "aps:eu-west-1:ACCOUNT:workspace/ws-1-2"),
    ("AMP's labels", call("aps", f"{AMP}/api/v1/labels"), "aps:GetLabels", "aps:eu-west-1:ACCOUNT:workspace/ws-1-2"),
    (
        "AMP's values of a label",
        call("aps", f"{AMP}/api/v1/label/job/values"),
        "aps:GetLabels",
        "aps:eu-west-1:ACCOUNT:workspace/ws-1-2",
    ),
    ("an object", call("s3", "https://b.s3.eu-west-1.amazonaws.com/a/b%20c"), "s3:GetObject", "s3:::b/a/b c"),
    ("an object by path", call("s3", "https://s3.eu-west-1.amazonaws.com/b/a"), "s3:GetObject", "s3:::b/a"),
    ("a listing", call("s3", "https://b.s3.eu-west-1.amazonaws.com/?list-type=2"), "s3:ListBucket", "s3:::b"),
]


@table("asked, action, resource", NEEDED)
def test_an_arn_is_as_narrow_as_the_address_tells(asked: ApiCall, action: str | list[str], resource: str) -> None:
    (found,) = statements([asked])
    assert found["statement"] == {"Effect": "Allow", "Action": action, "Resource": f"arn:aws:{resource}"}
    assert found["role"] == "the function's role"


OPERATIONS = [
    ("X-Amz-Target", call("ce", "https://ce.us-east-1.amazonaws.com/", "POST", CE), "ce:GetCostAndUsage"),
    ("Action in the query", call("sqs", "https://sqs.eu-west-1.amazonaws.com/?Action=ListQueues"), "sqs:ListQueues"),
    ("Action in a body", call("rds", "https://a/", "POST", body="Action=DescribeEvents&V=1"), "rds:DescribeEvents"),
    ("another prefix", call("monitoring", "https://a/", "POST", "G.GetMetricData"), "cloudwatch:GetMetricData"),
    ("a REST API", call("xray", "https://xray.eu-west-1.amazonaws.com/Groups"), "xray:ACTION"),
]


@table("asked, action", OPERATIONS)
def test_an_action_is_named_as_aws_is_asked(asked: ApiCall, action: str) -> None:
    (found,) = statements([asked])
    assert found["statement"] == {"Effect": "Allow", "Action": action, "Resource": "*"}
    assert ("Service Authorization Reference" in found["note"]) is action.endswith("ACTION")


def test_a_function_url_needs_two_actions() -> None:
    """Lambda's guide: since October 2025 new function URLs require both."""
    (found,) = statements([call("lambda", "https://x.lambda-url.eu-west-1.on.aws/")])
    assert found["statement"]["Action"] == ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
    assert found["statement"]["Resource"] == "arn:aws:lambda:eu-west-1:ACCOUNT:function:NAME"


def test_arns_are_those_of_the_partition() -> None:
    china = call("execute-api", "https://a1.execute-api.cn-north-1.amazonaws.com.cn/p/q", region="cn-north-1")
    (found,) = statements([china])
    assert found["statement"]["Resource"] == "arn:aws-cn:execute-api:cn-north-1:ACCOUNT:a1/p/GET/q"


def test_an_assumed_role_needs_two_statements() -> None:
    assume, invoke = statements([call("execute-api", f"{API}/p/q", role_arn=ROLE, tags=(("a", "b"),))])
    assert assume["role"] == "the function's role"
    assert assume["statement"]["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert assume["statement"]["Resource"] == ROLE
    assert (invoke["role"], invoke["statement"]["Action"]) == (ROLE, "execute-api:Invoke")


def test_each_statement_stands_once() -> None:
    calls = [call("aps", f"{AMP}/api/v1/query?query={name}") for name in "abc"]
    assert len(statements([*calls, ApiCall("GET", "https://a/", HttpClientConfig())])) == 1


def test_no_statement_shows_the_query() -> None:
    assert "hidden" not in json.dumps(statements([call("execute-api", f"{API}/p/q?key=hidden")]))
