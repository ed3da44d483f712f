"""The control plane of the receiver, seen through AWS's own client: its window, its errors, and its permissions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from requests_aws4auth import AWS4Auth

from sandbox.amp import Limits, Receiver, SigV4
from tests.rig import remote_write_client
from tests.rig.remote_write_client import KEYS, UP, series

WINDOW = "outOfOrderTimeWindowInSeconds"
MINUTE = 60


@pytest.fixture
def amp() -> Iterator[Receiver]:
    with Receiver(auth=KEYS) as receiver:
        yield receiver


def client_of(amp: Receiver, keys: SigV4 = KEYS) -> Any:
    return boto3.client(
        "amp",
        region_name=keys.region,
        endpoint_url=amp.base_url.partition("/workspaces")[0],
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
        config=Config(retries={"total_max_attempts": 1}, proxies={}, parameter_validation=False),
    )


@pytest.fixture
def client(amp: Receiver) -> Iterator[Any]:
    found = client_of(amp)
    yield found
    found.close()


def describe(client: Any, workspace: str = "ws-sandbox") -> dict[str, Any]:
    found = client.describe_workspace_configuration(workspaceId=workspace)["workspaceConfiguration"]
    return dict(found)


def update(client: Any, **settings: object) -> Any:
    return client.update_workspace_configuration(workspaceId="ws-sandbox", **settings)


def write(amp: Receiver, http: requests.Session, age_seconds: int = 0) -> requests.Response:
    """Writes one sample of the series `up`, this old."""
    return remote_write_client.write(amp, http, series(UP, (-1000 * age_seconds, float(age_seconds))))


def signer() -> AWS4Auth:
    return AWS4Auth(KEYS.access_key, KEYS.secret_key, KEYS.region, "aps", session_token=KEYS.token)


def test_a_new_workspace_has_the_defaults_of_amp(client: Any) -> None:
    """The window is a minute, the retention 150 days, the rules look a minute back, and no label set is limited."""
    assert describe(client) == {
        "status": {"statusCode": "ACTIVE"},
        WINDOW: 60,
        "retentionPeriodInDays": 150,
        "ruleQueryOffsetInSeconds": 60,
        "limitsPerLabelSet": [],
    }


def test_an_update_changes_what_it_names_and_nothing_else(amp: Receiver, client: Any) -> None:
    limits = [{"labelSet": {"team": "a"}, "limits": {"maxSeries": 10}}]
    assert update(client, retentionPeriodInDays=30, limitsPerLabelSet=limits)["status"] == {"statusCode": "UPDATING"}
    found = describe(client)
    assert (found["status"], found[WINDOW]) == ({"statusCode": "ACTIVE"}, 60)
    assert (found["retentionPeriodInDays"], found["limitsPerLabelSet"]) == (30, limits)
    assert [(one.method, one.status) for one in amp.control_requests] == [("PATCH", 202), ("GET", 200)]
    assert amp.control_requests[0].body["clientToken"]


def test_a_window_is_in_force_when_the_update_is_over(amp: Receiver, client: Any, http: requests.Session) -> None:
    """A sample of five minutes ago is refused until the status is ACTIVE, and taken from then on. The other limits
    stay."""
    amp.configuration_delay, amp.limits = 2, Limits(max_labels=7)
    write(amp, http)
    update(client, outOfOrderTimeWindowInSeconds=600)
    seen = []
    for _ in range(4):
        status = write(amp, http, 5 * MINUTE).status_code
        found = describe(client)
        seen.append((status, found["status"]["statusCode"], found[WINDOW]))
    assert seen == [(400, "UPDATING", 60), (400, "UPDATING", 60), (400, "ACTIVE", 600), (200, "ACTIVE", 600)]
    assert write(amp, http, 11 * MINUTE).status_code == 400
    assert amp.limits == Limits(max_labels=7, out_of_order_seconds=600)
    update(client, outOfOrderTimeWindowInSeconds=0)
    amp.configuration_delay = 0
    for _ in range(3):
        describe(client)
    assert "out of order sample" in write(amp, http, 1).text


def test_a_failed_update_leaves_the_old_window(amp: Receiver, client: Any) -> None:
    """It ends as UPDATE_FAILED with a reason, and another may follow it."""
    amp.configuration_fails, amp.configuration_delay = True, 1
    update(client, outOfOrderTimeWindowInSeconds=600, retentionPeriodInDays=1)
    found = [describe(client) for _ in range(3)]
    assert [one["status"]["statusCode"] for one in found] == ["UPDATING", "UPDATE_FAILED", "UPDATE_FAILED"]
    assert found[2]["status"]["statusReason"]
    assert (found[2][WINDOW], found[2]["retentionPeriodInDays"], amp.limits) == (60, 150, Limits())
    amp.configuration_fails, amp.configuration_delay = False, 0
    update(client, outOfOrderTimeWindowInSeconds=600)
    assert describe(client)["status"] == {"statusCode": "ACTIVE"}
    assert amp.limits.out_of_order_seconds == 600


@pytest.mark.parametrize(("window", "good"), [(0, True), (600, True), (601, False), (-1, False)])
def test_a_window_has_a_range(client: Any, window: int, good: bool) -> None:
    if good:
        assert update(client, outOfOrderTimeWindowInSeconds=window)["status"] == {"statusCode": "UPDATING"}
        return
    with pytest.raises(client.exceptions.ValidationException, match=WINDOW) as invalid:
        update(client, outOfOrderTimeWindowInSeconds=window)
    assert invalid.value.response["reason"] == "FIELD_VALIDATION_FAILED"
    assert describe(client)["status"] == {"statusCode": "ACTIVE"}


def test_one_update_at_a_time(client: Any) -> None:
    """A second one is refused as a conflict, leaves the first alone, and is taken after its end."""
    update(client, outOfOrderTimeWindowInSeconds=300)
    with pytest.raises(client.exceptions.ConflictException) as conflict:
        update(client, outOfOrderTimeWindowInSeconds=600)
    assert conflict.value.response["resourceId"] == "ws-sandbox"
    assert describe(client)[WINDOW] == 300
    update(client, outOfOrderTimeWindowInSeconds=600)
    assert describe(client)[WINDOW] == 600


def test_another_workspace_is_not_there(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException) as missing:
        describe(client, "ws-other")
    assert missing.value.response["resourceId"] == "ws-other"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param(replace(KEYS, secret_key="wrong"), "The request signature we calculated", id="wrong secret"),
        pytest.param(replace(KEYS, region="eu-west-1"), "scoped to a valid region", id="wrong region"),
        pytest.param(replace(KEYS, token="old"), "security token included", id="wrong token"),
    ],
)
def test_the_control_plane_wants_a_signature_before_all_else(amp: Receiver, keys: SigV4, message: str) -> None:
    """Who is not known does not hear what a role may do, and changes nothing."""
    amp.denied = frozenset(PERMISSIONS)
    client = client_of(amp, keys)
    for attempt in (lambda: describe(client), lambda: update(client, outOfOrderTimeWindowInSeconds=600)):
        with pytest.raises(ClientError, match=message):
            attempt()
    client.close()
    assert [(one.method, one.status) for one in amp.control_requests] == [("GET", 403), ("PATCH", 403)]


PERMISSIONS = {
    "aps:DescribeWorkspaceConfiguration": ("GET", "configuration"),
    "aps:UpdateWorkspaceConfiguration": ("PATCH", "configuration"),
    "aps:QueryMetrics": ("GET", "api/v1/query?query=up"),
    "aps:RemoteWrite": ("POST", "api/v1/remote_write"),
}


@pytest.mark.parametrize("action", PERMISSIONS)
def test_a_permission_can_be_taken_away(amp: Receiver, http: requests.Session, action: str) -> None:
    """IAM refuses the one action, in its own words, and no other."""
    amp.denied = frozenset({action})
    answers = {
        name: http.request(method, f"{amp.base_url}/{path}", auth=signer(), timeout=5)
        for name, (method, path) in PERMISSIONS.items()
    }
    refused = answers.pop(action)
    assert 403 not in [answer.status_code for answer in answers.values()]
    assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert refused.json() == {
        "message" if action.endswith("Configuration") else "Message": (
            "User: arn:aws:sts::123456789012:assumed-role/sandbox/sandbox is not authorized to perform: "
            f"{action} on resource: arn:aws:aps:us-east-1:123456789012:workspace/ws-sandbox"
            f" because no identity-based policy allows the {action} action"
        )
    }


def test_what_is_denied_does_not_happen(amp: Receiver, client: Any, http: requests.Session) -> None:
    """A refused write stores nothing, a refused update changes nothing, a refused description moves nothing on."""
    amp.configuration_delay, amp.denied = 1, frozenset(PERMISSIONS)
    assert write(amp, http).status_code == 403
    with pytest.raises(client.exceptions.AccessDeniedException):
        update(client, outOfOrderTimeWindowInSeconds=300)
    assert (amp.samples, amp.requests[0].status) == ({}, 403)
    amp.denied = frozenset({"aps:DescribeWorkspaceConfiguration"})
    update(client, outOfOrderTimeWindowInSeconds=600)
    with pytest.raises(client.exceptions.AccessDeniedException):
        describe(client)
    amp.denied = frozenset()
    assert [describe(client)["status"]["statusCode"] for _ in range(2)] == ["UPDATING", "ACTIVE"]
