"""Which IAM statement lets a role make a signed request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ..config.aws_hosts import AwsHost, host_of
from ..config.partitions import partition_of
from ..config.schema import HttpClientConfig, SigV4

Statement = dict[str, Any]

ACCOUNT = "ACCOUNT"  # stands for what only the reader knows
_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}  # of actions, where signatures have another name
_HTTP_ACTIONS = {"GET": "ESHttpGet", "POST": "ESHttpPost"}
_WORKSPACE = re.compile(r"/workspaces/(?P<id>ws-[A-Za-z0-9-]+)/api/v1/(?P<what>\w+)")
_QUERY_ACTIONS = {
    "query": "QueryMetrics", "query_range": "QueryMetrics", "labels": "GetLabels", "label": "GetLabels",
    "series": "GetSeries", "metadata": "GetMetricMetadata", "rules": "ListRules", "alerts": "ListAlerts",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request to an API of AWS, as far as IAM looks at it."""

    method: str
    url: str = field(repr=False)
    client: HttpClientConfig = field(repr=False)
    body: str = field(default="", repr=False)

    @property
    def operation(self) -> str:
        """What AWS's own APIs are asked: `X-Amz-Target: Service.Operation`, or the parameter `Action`."""
        targets = [values[0].literal for name, values in self.client.http_headers if name.lower() == "x-amz-target"]
        if targets and targets[0]:
            return targets[0].rpartition(".")[2]
        named = parse_qs(urlsplit(self.url).query) | parse_qs(self.body if self.body.startswith("Action=") else "")
        return named.get("Action", [""])[0]


def statements(calls: Iterable[ApiCall]) -> list[Statement]:
    """What the roles need, each statement once, as `{role, statement, note}`: the function's role, or that which it
    assumes."""
    found: list[Statement] = []
    for call in calls:
        if (sigv4 := call.client.sigv4) is None:
            continue
        wanted = [_of_function(sigv4)] if sigv4.role_arn else []
        actions, resource, note = _needed(sigv4, call)
        wanted.append(_entry(sigv4.role_arn, actions, resource, note))
        found += [one for one in wanted if one not in found]
    return found


def _of_function(sigv4: SigV4) -> Statement:
    actions = ["sts:AssumeRole", "sts:TagSession"] if sigv4.tags else ["sts:AssumeRole"]
    return _entry("", actions, sigv4.role_arn, "the parameter AssumeRoleArns allows it")


def _entry(role: str, actions: list[str], resource: str, note: str) -> Statement:
    action = actions[0] if len(actions) == 1 else actions
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"role": role or "the function's role", "statement": statement, "note": note}


def _needed(sigv4: SigV4, call: ApiCall) -> tuple[list[str], str, str]:
    """Actions, resource, and what the reader has to fill in."""
    known = host_of(call.url)
    host = known or AwsHost(sigv4.service, sigv4.region)
    arn = f"arn:{partition_of(sigv4.region).id}:{{}}:{sigv4.region}:{ACCOUNT}:{{}}"
    path = unquote(urlsplit(call.url).path)
    if sigv4.service == "execute-api":
        return ["execute-api:Invoke"], arn.format("execute-api", _of_gateway(known, call.method, path)), _STAGE
    if sigv4.service == "lambda" and (known is None or known.name):  # a URL of a function, or an own domain before it
        actions = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
        return actions, arn.format("lambda", "function:NAME"), "put the function's name in for NAME"
    if sigv4.service == "es":
        action = f"es:{_HTTP_ACTIONS.get(call.method, 'ESHttp*')}"
        return [action], arn.format("es", f"domain/{host.name or 'NAME'}{path.rstrip('/') or '/*'}"), ""
    if sigv4.service == "aoss":
        note = "the collection's data access policy must name the role, too"
        return ["aoss:APIAccessAll"], arn.format("aoss", f"collection/{host.name or 'ID'}"), note
    if sigv4.service == "appsync":
        return ["appsync:GraphQL"], arn.format("appsync", "apis/ID/*"), "put the API's id in for ID"
    if sigv4.service == "s3":
        return _of_bucket(host, path, partition_of(sigv4.region).id)
    if sigv4.service == "vpc-lattice-svcs":
        return ["vpc-lattice-svcs:Invoke"], arn.format("vpc-lattice", f"service/ID{path}"), "put the service's id in"
    match = _WORKSPACE.match(path)
    if sigv4.service == "aps" and match and match["what"] in _QUERY_ACTIONS:
        return [f"aps:{_QUERY_ACTIONS[match['what']]}"], arn.format("aps", f"workspace/{match['id']}"), ""
    return _of_operation(sigv4.service, call.operation)


_STAGE = "of an HTTP API whose stage is $default the path has none: put $default before it"


def _of_gateway(host: AwsHost | None, method: str, path: str) -> str:
    """`api-id/stage/METHOD/path`; the first part of a path is the stage. An own domain hides id and stage, and an
    endpoint of a VPC the id."""
    if host is None:
        return f"API/STAGE/{method}{path.rstrip('/')}"
    stage, _, rest = path.lstrip("/").partition("/")
    return f"{host.name or 'API'}/{stage or '$default'}/{method}/{rest}"


def _of_bucket(host: AwsHost, path: str, partition: str) -> tuple[list[str], str, str]:
    bucket, _, key = (host.name + path).lstrip("/").partition("/")
    if not key:
        return ["s3:ListBucket"], f"arn:{partition}:s3:::{bucket}", ""
    return ["s3:GetObject"], f"arn:{partition}:s3:::{bucket}/{key}", ""


def _of_operation(service: str, operation: str) -> tuple[list[str], str, str]:
    prefix = _PREFIXES.get(service, service)
    if operation:
        return [f"{prefix}:{operation}"], "*", ""
    return [f"{prefix}:ACTION"], "*", f"put the action in: the Service Authorization Reference lists those of {prefix}"
