"""What a stack grants its functions, and the resources that its parameters may name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig.stack import ACCOUNT, REGION, Stack

WORKSPACE = "ws-12345678-1234-1234-1234-123456789012"
SECRETS = [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-??????" for name in ("usage-api", "fleet")]
PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/pusher/config"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234"
READER = "arn:aws:iam::210987654321:role/ec2-reader"
POLICIES = [f"arn:aws:iam::{ACCOUNT}:policy/sources-{index}" for index in range(5)]
OBJECT = "arn:aws:s3:::configs/pusher/config.yaml"
BUCKET = "arn:aws:s3:::lists"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"
GRAFANA = f"arn:aws:iam::{ACCOUNT}:role/grafana"
# The parameter WorkspaceId, and the workspace that a stack then writes to.
WORKSPACES = [
    pytest.param("", "<Workspace.Arn>", id="created"),
    pytest.param(WORKSPACE, f"arn:aws:aps:{REGION}:{ACCOUNT}:workspace/{WORKSPACE}", id="given"),
]
OWN_BUCKETS = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}


def grants(statements: list[dict[str, Any]]) -> list[tuple[set[str], set[str]]]:
    """Each statement as (actions, resources); all of them allow."""
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return [(_as_set(statement["Action"]), _as_set(statement["Resource"])) for statement in statements]


def _as_set(value: str | list[str]) -> set[str]:
    return {value} if isinstance(value, str) else set(value)


def statements_of(stack: Stack, role: str) -> list[dict[str, Any]]:
    """A role's statements, from its inline policies and from the stack's managed ones, not from the user's."""
    found = [
        document for policy in stack[role].get("Policies", []) for document in policy["PolicyDocument"]["Statement"]
    ]
    for reference in [one for one in stack[role].get("ManagedPolicyArns", []) if one not in POLICIES]:
        found += stack[reference.strip("<>")]["PolicyDocument"]["Statement"]
    return found


def variables_of(stack: Stack, function: str) -> dict[str, Any]:
    variables: dict[str, Any] = stack[function]["Environment"]["Variables"]
    return variables
