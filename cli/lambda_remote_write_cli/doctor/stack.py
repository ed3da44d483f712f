"""The stack, its function, its network and the account's concurrency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lambda_remote_write.config import scalars

from .aws_errors import of_reading
from .examination import Examination
from .findings import Check, Finding, failed, ok, warning
from .stack_description import StackDescription

_NEW_ACCOUNT = 10  # executions at a time; Lambda's quota for new accounts
_UNRESERVED = 100  # that must stay: "minus 100" (Lambda, "Configuring reserved concurrency")
_RAISE = (
    "raise it: aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
    "--desired-value 1000"
)
_TROUBLED = {
    "ROLLBACK_COMPLETE": "its creation failed and was undone: delete it (sam delete --stack-name {name}), look at the "
    "first failure, and deploy again",
    "ROLLBACK_FAILED": "its creation failed: delete it (sam delete --stack-name {name}), and deploy again",
    "CREATE_FAILED": "delete it (sam delete --stack-name {name}), and deploy again",
    "DELETE_FAILED": "delete it again: aws cloudformation describe-stack-events --stack-name {name} says what held it",
    "UPDATE_ROLLBACK_FAILED": "aws cloudformation continue-update-rollback --stack-name {name}",
    "UPDATE_FAILED": "aws cloudformation rollback-stack --stack-name {name}",
}
_EVENTS = "aws cloudformation describe-stack-events --stack-name {name} says why"


def checks(examination: Examination) -> list[Check]:
    found = []
    if examination.region and examination.is_on_aws:
        found.append(Check("concurrency", lambda _: [_concurrency(examination)]))
    if examination.stack is not None:
        facts = examination.stack
        found.append(Check(f"stack {facts.name}", lambda _: list(_stack(facts, examination))))
        if vpc := facts.function.get("VpcConfig", {}).get("VpcId"):
            found.append(Check("VPC endpoint", lambda _: list(_endpoints(vpc, examination))))
    return found


def _stack(facts: StackDescription, examination: Examination) -> Iterator[Finding]:
    check, events = f"stack {facts.name}", _EVENTS.format(name=facts.name)
    if facts.error:
        yield of_reading(check, facts.error, "cloudformation:DescribeStacks")
    elif not facts.status:
        yield ok(check, "there is none of this name yet: a deployment creates it")
    elif facts.status in _TROUBLED:
        yield failed(check, f"{facts.status} {facts.reason}".strip(), _TROUBLED[facts.status].format(name=facts.name))
    elif facts.status == "REVIEW_IN_PROGRESS":
        yield warning(check, "REVIEW_IN_PROGRESS: changes are waiting for a decision", "deploy again, or delete it")
    elif facts.status.endswith("IN_PROGRESS"):
        yield failed(check, f"{facts.status}: a deployment is under way", "wait for its end before the next one")
    elif "ROLLBACK" in facts.status:
        yield warning(check, f"{facts.status}: the last update failed, and the stack is as it was before", events)
    else:
        yield ok(check, facts.status)
    if facts.function_error:
        yield of_reading("function", facts.function_error, "lambda:GetFunctionConfiguration")
    elif facts.function:
        yield from _function(facts, examination)


def _function(facts: StackDescription, examination: Examination) -> Iterator[Finding]:
    """The scheduled function: the config that it reads, its interval and its timeout."""
    function, variables = facts.function, facts.variables
    state, seconds = function.get("State", "Active"), int(function.get("Timeout", 0))
    if state not in ("Active", "Inactive"):
        yield failed("function", f"{state}: {function.get('StateReason', '')}"[:300], "deploy again")
    where = variables.get("PUSHER_CONFIG", "")
    if where and where != examination.location:
        yield warning(
            "function's config", f"it reads {where}, not {examination.location}", "upload this one there, or deploy"
        )
    elif not where and examination.location.startswith(("s3://", "ssm:")):
        detail = f"it reads its packaged config, not {examination.location}"
        yield warning("function's config", detail, f"set the parameter Config to {examination.location}")
    tick_ms = scalars.duration_ms(variables["PUSHER_TICK"]) if variables.get("PUSHER_TICK") else 0
    if tick_ms and seconds * 1000 >= tick_ms:
        yield failed("function", f"its timeout of {seconds} s reaches the interval", "set Timeout below Interval")
    faster = [job.job_name for job in examination.config.jobs if job.scrape_interval_ms < tick_ms]
    if faster:
        detail = f"{', '.join(faster[:5])}: scrape_interval is shorter than its Interval, {variables['PUSHER_TICK']}"
        yield warning("interval", detail, "set Interval to the shortest scrape_interval (1m at least)")
    slow = [job.job_name for job in examination.config.jobs if job.scrape_timeout_ms >= seconds * 1000 > 0]
    if slow:
        detail = f"{', '.join(slow[:5])}: scrape_timeout does not fit into the function's {seconds} s"
        yield warning("timeout", detail, "raise Timeout, or lower scrape_timeout")


def _concurrency(examination: Examination) -> Finding:
    try:
        limit = examination.client("lambda").get_account_settings()["AccountLimit"]
    except Exception as error:  # botocore's errors are made at run time
        return of_reading("concurrency", error, "lambda:GetAccountSettings")
    return concurrency(limit, dict(examination.stack.parameters) if examination.stack else {})


def concurrency(limit: dict[str, Any], parameters: dict[str, str]) -> Finding:
    """Whether the account's limit is enough for each shard and the operator function at the same time."""
    every, unreserved = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    shards = int(parameters.get("Shards") or 1)
    detail = f"{every} executions at a time in this account and region, {unreserved} of them not reserved"
    if parameters.get("ReservedConcurrency") == "shards" and every - shards < _UNRESERVED:
        return failed(
            "concurrency", f"{detail}: {_UNRESERVED} must stay unreserved", f"{_RAISE}; or ReservedConcurrency=0"
        )
    if unreserved < shards + 1:
        return failed("concurrency", f"{detail}, and {shards + 1} run together", _RAISE)
    if every <= _NEW_ACCOUNT:
        return warning("concurrency", f"{detail}, as in a new account: other functions may throttle a push", _RAISE)
    return ok("concurrency", detail)


def _endpoints(vpc: str, examination: Examination) -> Iterator[Finding]:
    """The interface endpoint of AMP in the function's VPC; without one there has to be a NAT gateway."""
    service = f"com.amazonaws.{examination.region}.aps-workspaces"
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "service-name", "Values": [service]}]
    try:
        found = examination.client("ec2").describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    except Exception as error:
        yield of_reading("VPC endpoint", error, "ec2:DescribeVpcEndpoints")
        return
    working = [one for one in found if one["State"].lower() == "available"]
    if not found:
        detail, fix = f"{vpc} has none for aps-workspaces", "is there a NAT gateway? Else create one for"
        yield warning("VPC endpoint", detail, f"{fix} {service}")
    elif not working:
        yield failed("VPC endpoint", f"{found[0]['VpcEndpointId']} is {found[0]['State']}", "wait, or create it again")
    elif not any(one.get("PrivateDnsEnabled") for one in working):
        detail = f"{working[0]['VpcEndpointId']} has no private DNS, so that the workspace's address leads past it"
        yield failed("VPC endpoint", detail, "enable private DNS names, or put the endpoint's own name into url")
    else:
        yield ok("VPC endpoint", f"{working[0]['VpcEndpointId']} in {vpc}")
