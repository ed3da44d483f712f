"""A config as a stack will read it: the region and, where the config names none, the workspace come from the stack."""

from __future__ import annotations

from collections.abc import Mapping

from lambda_remote_write.config.schema import Config, RemoteWriteConfig
from lambda_remote_write.dependencies import Dependencies

WORKSPACE_OF_STACK = "ws-WORKSPACE"
"""Stands for a workspace that is known to the stack alone."""
NO_REGION = "unknown"


def region_of(dependencies: Dependencies) -> str:
    """The region that the AWS command line would use; "" for none."""
    env_vars = dependencies.env_vars
    if given := env_vars.get("AWS_REGION") or env_vars.get("AWS_DEFAULT_REGION"):
        return given
    try:
        return str(dependencies.session("", "").region_name or "")
    except Exception:  # a profile that does not exist, for one: who asks for credentials finds out why
        return ""


def of_stack(dependencies: Dependencies, region: str, known: Mapping[str, str] | None = None) -> Dependencies:
    """The same world with what a stack sets: what the environment already has counts more than `known`."""
    env_vars = {**(known or {}), **dependencies.env_vars, "AWS_REGION": region or NO_REGION}
    env_vars["PUSHER_WORKSPACE"] = env_vars.get("PUSHER_WORKSPACE") or WORKSPACE_OF_STACK
    return with_env_vars(dependencies, env_vars)


def with_env_vars(world: Dependencies, env_vars: Mapping[str, str]) -> Dependencies:
    return Dependencies(env_vars, world.now_ms, world.session, world.sleep, world.transport)


def is_of_stack(endpoint: RemoteWriteConfig) -> bool:
    """Whether the endpoint is the workspace that only the stack knows."""
    return f"/workspaces/{WORKSPACE_OF_STACK}/" in endpoint.url


def load_as_stack(location: str, dependencies: Dependencies) -> Config:
    """Raises ConfigError and Unreadable."""
    return dependencies.config_source(location).load().config
