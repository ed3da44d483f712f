"""The receivers: does the workspace exist, is a write let in, are the clocks equal, where does the address lead?"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import snappy

from lambda_remote_write.aws.credentials import CredentialsError
from lambda_remote_write.config.remote_write import amp_host
from lambda_remote_write.config.schema import RemoteWriteConfig
from lambda_remote_write.config.secrets import SecretError
from lambda_remote_write.http import HttpRequest, TransportError, one_line
from lambda_remote_write.http.oauth2 import TokenError
from lambda_remote_write.model.delivery import Outcome
from lambda_remote_write.remote_write.client import HEADERS
from lambda_remote_write.remote_write.explain import explain
from lambda_remote_write.remote_write.retryable import classify, meaning

from ..iam.needs import workspace_of
from ..stack_config import is_of_stack
from .aws_errors import GIVE_KEYS, code_of, is_denied, of_credentials
from .examination import Examination
from .findings import WAIT_LONGER, Check, Finding, failed, ok, unknown, warning

_NOTHING = {1: b"", 2: b"\x22\x00"}  # a WriteRequest without series; a Request whose symbols begin with ""
_MAX_ANSWER_BYTES = 1024
_REFUSED_SKEW_SECONDS = 300  # "within five minutes of the time stamp in the request" (IAM User Guide)
_SPARE_SECONDS = 0.5  # of the time of all checks, to print what was found
_WARNED_SKEW_SECONDS = 10  # samples are that much off; AMP takes them
_SET_CLOCK = "set this machine's clock (NTP): a signature holds for five minutes. A Lambda's clock is right"
Resolve = Callable[[str], Sequence[str]]


def checks(examination: Examination) -> list[Check]:
    found = [] if examination.config.endpoints else [Check("remote_write", lambda _: [_NO_ENDPOINT])]
    for endpoint in examination.config.endpoints:
        if is_of_stack(endpoint):
            found.append(Check("workspace", lambda _: [_MADE_BY_STACK]))
        else:
            found += _of_endpoint(endpoint, examination)
    hosts = {urlsplit(one.url).hostname or "" for one in examination.config.endpoints if amp_host(one.url)}
    in_vpc = bool(examination.stack and examination.stack.function.get("VpcConfig", {}).get("SubnetIds"))
    if examination.region and not in_vpc:
        found += [_leads_to(host) for host in sorted(hosts)]
    return found


_NO_ENDPOINT = failed(
    "remote_write",
    "the config has no endpoint, so that nothing is sent",
    "add one, or leave remote_write out: then the stack's workspace is used",
)
_MADE_BY_STACK = ok("workspace", "the config names none: the stack creates one, or takes the one in WorkspaceId")


def _of_endpoint(endpoint: RemoteWriteConfig, examination: Examination) -> list[Check]:
    write = Check(f"write to {endpoint.shown_name}", lambda deadline: _write(endpoint, examination, deadline))
    if workspace_of(endpoint) is None:
        return [write]
    return [Check(f"workspace {endpoint.shown_name}", lambda _: [_workspace(endpoint, examination)]), write]


def _workspace(endpoint: RemoteWriteConfig, examination: Examination) -> Finding:
    check = f"workspace {endpoint.shown_name}"
    region, workspace = workspace_of(endpoint) or ("", "")
    if endpoint.sigv4 is None:
        return unknown(check, "its requests are not signed", "add sigv4: {region: …}, which AMP asks for")
    try:
        client = examination.client("amp", region, examination.credentials(endpoint.sigv4))
        found = client.describe_workspace(workspaceId=workspace)["workspace"]
    except CredentialsError as error:
        return unknown(check, str(error), GIVE_KEYS)
    except Exception as error:  # botocore's errors are made at run time
        return _not_described(check, workspace, region, error)
    status = found["status"]["statusCode"]
    if status != "ACTIVE":
        return failed(
            check, f"its status is {status}", "wait until it is ACTIVE, or make another: aws amp create-workspace"
        )
    return ok(check, f"account {found['arn'].split(':')[4]}, {region}")


def _not_described(check: str, workspace: str, region: str, error: Exception) -> Finding:
    if code_of(error) == "ResourceNotFoundException":
        detail = f"this account has no {workspace} in {region}"
        fix = (
            f"aws amp list-workspaces --region {region} shows those there are; one of another account needs "
            "sigv4.role_arn, a role there, or a resource policy"
        )
        return failed(check, detail, fix)
    if is_denied(error):
        detail = "it cannot be checked: your identity lacks aps:DescribeWorkspace, which only doctor needs"
        return warning(check, detail, "the write below says whether it exists")
    return of_credentials(check, error)


# An empty write


@dataclass(frozen=True, slots=True)
class _Answer:
    """`before` and `after` are our clock in seconds, around the exchange; `date` is the receiver's."""

    status: int
    text: str
    date: str
    before: float
    after: float


def _write(endpoint: RemoteWriteConfig, examination: Examination, deadline: float) -> list[Finding]:
    """Sends a signed write request without a sample. A receiver that lets it in answers 2xx, or 400 because it is
    empty; either proves that this identity may write."""
    check, client = f"write to {endpoint.shown_name}", examination.dependencies.client(endpoint)
    try:
        answer = _exchange(endpoint, examination, deadline)
    except (CredentialsError, SecretError) as error:
        return [failed(check, client.masked(str(error)), "see the credentials and secrets above")]
    except TransportError as error:
        if error.kind == "tls":
            return [failed(check, client.masked(str(error)), "is the certificate right, and tls_config?")]
        if deadline - time.monotonic() < _SPARE_SECONDS:
            return [unknown(check, client.masked(str(error)), WAIT_LONGER)]
        return [
            unknown(check, client.masked(str(error)), "is there a network, a proxy, and the right region in the url?")
        ]
    except TokenError as error:
        return [failed(check, client.masked(str(error)), "look at oauth2: token_url, client_id and client_secret")]
    clock = _clock(f"clock, by {urlsplit(endpoint.url).hostname}", answer)
    return [_let_in(check, endpoint, answer), *clock]


def _exchange(endpoint: RemoteWriteConfig, examination: Examination, deadline: float) -> _Answer:
    """Raises CredentialsError, SecretError, TokenError and TransportError."""
    world, client = examination.dependencies, examination.dependencies.client(endpoint)
    body = snappy.compress(_NOTHING[endpoint.version])
    request = HttpRequest("POST", endpoint.url, HEADERS[endpoint.version], body)
    ready = client.authorised(request, deadline)
    left = min(endpoint.remote_timeout_ms / 1000, deadline - time.monotonic() - _SPARE_SECONDS)
    before = world.now_ms() / 1000
    with world.transport.send(ready, client.connection_options(), left) as answer:
        after = world.now_ms() / 1000
        text = one_line(client.masked(answer.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")))
        return _Answer(answer.status, text, answer.headers.get("Date", ""), before, after)


def _let_in(check: str, endpoint: RemoteWriteConfig, answer: _Answer) -> Finding:
    status = answer.status
    if 200 <= status < 300 or status == 400:
        return ok(check, f"an empty write was answered {status}: it is let in")
    if status == 415 and endpoint.version > 1:
        return warning(check, "answered 415: the receiver does not take remote write 2.0", "leave protobuf_message out")
    found = explain(status, answer.text, endpoint)
    why = found.meaning or meaning(status)
    said = f"; it said: {answer.text[:300]!r}" if answer.text else ""
    if classify(status) is Outcome.UNAVAILABLE:
        return unknown(check, f"answered {status}: {why}{said}", found.help or "run doctor again in a while")
    return failed(check, f"answered {status}: {why}{said}", found.help or _FIXES.get(status, "check the url"))


_FIXES = {
    401: "check the user and password, or the token, of this endpoint",
    403: "pusher iam prints the statement that the role needs; check sigv4.region",
    404: "check the url: AMP's ends in /workspaces/ws-…/api/v1/remote_write",
}


def _clock(check: str, answer: _Answer) -> list[Finding]:
    """By how much our clock surely differs from the receiver's, whose Date has whole seconds. Nothing without one."""
    try:
        theirs = parsedate_to_datetime(answer.date).timestamp()
    except (ValueError, TypeError):
        return []
    ahead, behind = answer.before - (theirs + 1), theirs - answer.after
    skew, side = (ahead, "ahead of") if ahead > behind else (behind, "behind")
    detail = f"this machine is {max(skew, 0):.0f} s {side} it"
    if skew > _REFUSED_SKEW_SECONDS:
        return [failed(check, detail, _SET_CLOCK)]
    if skew > _WARNED_SKEW_SECONDS:
        return [warning(check, detail, _SET_CLOCK)]
    return [ok(check, "equal to this machine's")]


# Where the address leads


def addresses_of(host: str) -> list[str]:
    """Raises OSError."""
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, 443, proto=socket.IPPROTO_TCP)})


def _leads_to(host: str) -> Check:
    return Check("VPC endpoint", lambda _: [vpc_endpoint(host)])


def vpc_endpoint(host: str, resolve: Resolve = addresses_of) -> Finding:
    """Whether a host of AMP leads to an interface endpoint, as seen from here."""
    try:
        found = resolve(host)
    except OSError as error:
        return unknown("VPC endpoint", f"{host} has no address here: {error}", "is there a network, and such a region?")
    if all(ipaddress.ip_address(one).is_private for one in found):
        return ok("VPC endpoint", f"{host} leads to {', '.join(found)}, an interface endpoint")
    return ok("VPC endpoint", f"not applicable here: {host} leads to public addresses, as from outside of a VPC")
