"""What CloudFormation and Lambda say of a stack, read before the checks: its function knows workspace and spool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambda_remote_write.aws.credentials import aws_patience
from lambda_remote_write.dependencies import Dependencies

_NO_STACK = "does not exist"  # of the ValidationError with which CloudFormation answers
_KNOWN = ("PUSHER_WORKSPACE", "PUSHER_SPOOL", "PUSHER_TICK")


@dataclass(frozen=True, slots=True)
class StackDescription:
    """`status` is CloudFormation's, "" for a stack that does not exist. `function` is the configuration of the
    scheduled function; {} where it could not be read, or there is none. `error` is why nothing is known."""

    name: str
    status: str = ""
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    function: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    function_error: Exception | None = None

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables of the function."""
        found: Mapping[str, str] = self.function.get("Environment", {}).get("Variables", {})
        return found

    @property
    def known(self) -> dict[str, str]:
        """Those that decide what a config means."""
        return {name: self.variables[name] for name in _KNOWN if self.variables.get(name)}


def read(name: str, dependencies: Dependencies, region: str) -> StackDescription:
    """Raises nothing."""
    try:
        client = _client(dependencies, region, "cloudformation")
        (found,) = client.describe_stacks(StackName=name)["Stacks"]
    except Exception as error:  # botocore's errors are made at run time
        return StackDescription(name) if _NO_STACK in str(error) else StackDescription(name, error=error)
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())}
    function, problem = _function(outputs.get("PusherFunctionName", ""), dependencies, region)
    status, reason = found["StackStatus"], found.get("StackStatusReason", "")
    return StackDescription(name, status, reason, outputs, parameters, function, function_error=problem)


def _function(name: str, dependencies: Dependencies, region: str) -> tuple[Mapping[str, Any], Exception | None]:
    if not name:
        return {}, None
    try:
        client = _client(dependencies, region, "lambda")
        found: Mapping[str, Any] = client.get_function_configuration(FunctionName=name)
    except Exception as error:
        return {}, error
    return found, None


def _client(dependencies: Dependencies, region: str, service: str) -> Any:
    return dependencies.session("", region).client(service, region_name=region, config=aws_patience())
