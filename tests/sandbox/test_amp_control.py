"""The control plane of the receiver: its configuration, its permissions, and what a new window does to writes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import cramjam
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from sandbox.amp import Limits, Receiver, SigV4

KEYS = SigV4(token="session-token")
WRITE_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "test",
}
WINDOW = "outOfOrderTimeWindowInSeconds"
MINUTE = 60


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def amp() -> Iterator[Receiver]:
    with Receiver(auth=KEYS) as receiver:
        yield receiver


def call(
    http: requests.Session,
    method: str,
    url: str,
    data: bytes = b"",
    headers: dict[str, str] | None = None,
    keys: SigV4 = KEYS,
) -> requests.Response:
    """The answer to a request that botocore signed."""
    request = AWSRequest(method, url, headers=headers or {}, data=data)
    SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.token), keys.service, keys.region).add_auth(request)
    return http.request(method, url, data=data, headers=dict(request.headers.items()), timeout=5)


def describe(amp: Receiver, http: requests.Session) -> dict[str, Any]:
    answer = call(http, "GET", f"{amp.base_url}/configuration")
    assert answer.status_code == 200
    return answer.json()["workspaceConfiguration"]


def update(amp: Receiver, http: requests.Session, **fields: object) -> requests.Response:
    return patch(amp, http, json.dumps(fields).encode())


def patch(amp: Receiver, http: requests.Session, data: bytes) -> requests.Response:
    return call(http, "PATCH", f"{amp.base_url}/configuration", data, {"Content-Type": "application/json"})


def write(amp: Receiver, http: requests.Session, age_seconds: float = 0) -> requests.Response:
    """Writes one sample of the series `up`, this old."""
    message = remote_pb2.WriteRequest()
    labels = [types_pb2.Label(name="__name__", value="up")]
    message.timeseries.add(labels=labels).samples.add(
        timestamp=round((time.time() - age_seconds) * 1000), value=age_seconds
    )
    data = bytes(cramjam.snappy.compress_raw(message.SerializeToString()))
    return call(http, "POST", amp.url, data, WRITE_HEADERS)


def query(amp: Receiver, http: requests.Session) -> requests.Response:
    return call(http, "GET", f"{amp.base_url}/api/v1/query?query=up")


def test_a_new_workspace_has_the_defaults_of_amp(amp: Receiver, http: requests.Session) -> None:
    """The window is a minute, the retention 150 days, the rules look a minute back, and no label set is limited."""
    assert describe(amp, http) == {
        "status": {"statusCode": "ACTIVE"},
        "outOfOrderTimeWindowInSeconds": 60,
        "retentionPeriodInDays": 150,
        "ruleQueryOffsetInSeconds": 60,
        "limitsPerLabelSet": [],
    }


def test_the_window_described_is_the_one_that_writes_meet(http: requests.Session) -> None:
    """A receiver that was given another window says so, as a whole number."""
    with Receiver(auth=KEYS, limits=Limits(out_of_order_seconds=120.0)) as amp:
        assert repr(describe(amp, http)[WINDOW]) == "120"
        amp.limits = replace(amp.limits, out_of_order_seconds=0)
        assert describe(amp, http)[WINDOW] == 0


def test_an_update_changes_what_it_names_and_nothing_else(amp: Receiver, http: requests.Session) -> None:
    """Settings that are absent or null stay as they are."""
    limits = [{"labelSet": {"team": "a"}, "limits": {"maxSeries": 10}}]
    answer = update(amp, http, retentionPeriodInDays=30, limitsPerLabelSet=limits, outOfOrderTimeWindowInSeconds=None)
    assert (answer.status_code, answer.json()) == (202, {"status": {"statusCode": "UPDATING"}})
    found = describe(amp, http)
    assert found["status"] == {"statusCode": "ACTIVE"}
    assert (found["retentionPeriodInDays"], found["limitsPerLabelSet"]) == (30, limits)
    assert (found[WINDOW], found["ruleQueryOffsetInSeconds"]) == (60, 60)


def test_a_window_is_in_force_when_the_update_is_over(amp: Receiver, http: requests.Session) -> None:
    """A sample of five minutes ago is refused until the status is ACTIVE, and taken from then on."""
    amp.configuration_delay = 2
    write(amp, http)
    statuses = [write(amp, http, 5 * MINUTE).status_code]
    assert update(amp, http, outOfOrderTimeWindowInSeconds=600).status_code == 202
    seen = []
    for _ in range(4):
        statuses.append(write(amp, http, 5 * MINUTE).status_code)
        found = describe(amp, http)
        seen.append((found["status"]["statusCode"], found[WINDOW]))
    statuses.append(write(amp, http, 5 * MINUTE).status_code)
    assert seen == [("UPDATING", 60), ("UPDATING", 60), ("ACTIVE", 600), ("ACTIVE", 600)]
    assert statuses == [400, 400, 400, 400, 200, 200]
    assert write(amp, http, 11 * MINUTE).status_code == 400


def test_a_window_can_be_closed(amp: Receiver, http: requests.Session) -> None:
    """With a window of zero no late sample gets in."""
    write(amp, http)
    update(amp, http, outOfOrderTimeWindowInSeconds=0)
    describe(amp, http)
    assert "out of order sample" in write(amp, http, 1).text


def test_no_window_lets_in_what_is_older_than_an_hour(amp: Receiver, http: requests.Session) -> None:
    """The limit of an hour counts from the clock, whatever the window and however new the series."""
    update(amp, http, outOfOrderTimeWindowInSeconds=600)
    describe(amp, http)
    assert "timestamp too old" in write(amp, http, 61 * MINUTE).text
    assert write(amp, http, 59 * MINUTE).status_code == 200


def test_the_other_limits_stay_when_a_window_comes_in(http: requests.Session) -> None:
    """An update of the window is no reset of the quotas."""
    limits = Limits(max_labels=7, out_of_order_seconds=60)
    with Receiver(auth=KEYS, limits=limits) as amp:
        update(amp, http, outOfOrderTimeWindowInSeconds=300)
        describe(amp, http)
        assert amp.limits == replace(limits, out_of_order_seconds=300)


def test_one_update_at_a_time(amp: Receiver, http: requests.Session) -> None:
    """A second one is refused as a conflict, leaves the first alone, and is taken after its end."""
    update(amp, http, outOfOrderTimeWindowInSeconds=300)
    second = update(amp, http, outOfOrderTimeWindowInSeconds=600)
    assert (second.status_code, second.headers["x-amzn-ErrorType"]) == (409, "ConflictException")
    assert {"message", "resourceId", "resourceType"} == set(second.json())
    assert second.json()["resourceId"] == "ws-sandbox"
    assert describe(amp, http)[WINDOW] == 300
    assert update(amp, http, outOfOrderTimeWindowInSeconds=600).status_code == 202
    assert describe(amp, http)[WINDOW] == 600


def test_a_failed_update_leaves_the_old_window(http: requests.Session) -> None:
    """It ends as UPDATE_FAILED with a reason, and another may follow it."""
    with Receiver(auth=KEYS, configuration_fails=True, configuration_delay=1) as amp:
        update(amp, http, outOfOrderTimeWindowInSeconds=600, retentionPeriodInDays=1)
        found = [describe(amp, http) for _ in range(3)]
        assert [one["status"]["statusCode"] for one in found] == ["UPDATING", "UPDATE_FAILED", "UPDATE_FAILED"]
        assert found[2]["status"]["statusReason"]
        assert (found[2][WINDOW], found[2]["retentionPeriodInDays"], amp.limits) == (60, 150, Limits())
        amp.configuration_fails, amp.configuration_delay = False, 0
        update(amp, http, outOfOrderTimeWindowInSeconds=600)
        assert describe(amp, http)["status"] == {"statusCode": "ACTIVE"}
        assert amp.limits.out_of_order_seconds == 600


@pytest.mark.parametrize(
    ("field", "value", "good"),
    [
        pytest.param(WINDOW, 0, True, id="no window"),
        pytest.param(WINDOW, 600, True, id="the widest window"),
        pytest.param(WINDOW, 601, False, id="too wide a window"),
        pytest.param(WINDOW, -1, False, id="a window below zero"),
        pytest.param(WINDOW, "60", False, id="a window in quotes"),
        pytest.param(WINDOW, 60.5, False, id="half a second"),
        pytest.param(WINDOW, True, False, id="true"),
        pytest.param("retentionPeriodInDays", 1, True, id="a day"),
        pytest.param("retentionPeriodInDays", 0, False, id="no day"),
        pytest.param("retentionPeriodInDays", 1095, True, id="three years"),
        pytest.param("retentionPeriodInDays", 1096, False, id="over three years"),
        pytest.param("ruleQueryOffsetInSeconds", 0, True, id="no offset"),
        pytest.param("ruleQueryOffsetInSeconds", 86_401, False, id="an offset over a day"),
        pytest.param("ruleQueryOffsetInSeconds", -1, False, id="an offset below zero"),
        pytest.param("clientToken", "t" * 64, True, id="a long token"),
        pytest.param("clientToken", "t" * 65, False, id="too long a token"),
        pytest.param("clientToken", "a b", False, id="a token with a space"),
        pytest.param("limitsPerLabelSet", [{"labelSet": {}, "limits": {"maxSeries": 0}}], True, id="default label set"),
        pytest.param("limitsPerLabelSet", [{"labelSet": {"a": "b"}}], False, id="label set without limits"),
        pytest.param("limitsPerLabelSet", {}, False, id="label sets that are no list"),
        pytest.param("somethingNew", 1, True, id="unknown field"),
    ],
)
def test_settings_have_their_ranges(
    amp: Receiver, http: requests.Session, field: str, value: object, good: bool
) -> None:
    """A setting outside of its range is named, and nothing of the request is taken."""
    answer = update(amp, http, **{"retentionPeriodInDays": 30, field: value})
    assert answer.status_code == (202 if good else 400)
    if not good:
        assert answer.headers["x-amzn-ErrorType"] == "ValidationException"
        assert (answer.json()["reason"], field in answer.json()["message"]) == ("FIELD_VALIDATION_FAILED", True)
        ((name, message),) = [(one["name"], one["message"]) for one in answer.json()["fieldList"]]
        assert (name, bool(message)) == (field, True)
        assert describe(amp, http)["retentionPeriodInDays"] == 150


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "CANNOT_PARSE", id="empty"),
        pytest.param(b"{", "CANNOT_PARSE", id="half an object"),
        pytest.param(b"\xff", "CANNOT_PARSE", id="no text"),
        pytest.param(b"[]", "CANNOT_PARSE", id="a list"),
        pytest.param(b"{}", "OTHER", id="no setting"),
        pytest.param(b'{"clientToken":"a"}', "OTHER", id="a token only"),
    ],
)
def test_an_update_is_an_object_with_a_setting(amp: Receiver, http: requests.Session, data: bytes, reason: str) -> None:
    """Anything else is no valid request."""
    answer = patch(amp, http, data)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    assert answer.headers["x-amzn-ErrorType"] == "ValidationException"
    assert describe(amp, http)["status"] == {"statusCode": "ACTIVE"}


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        pytest.param(None, "Missing Authentication Token", id="not signed"),
        pytest.param(replace(KEYS, secret_key="wrong"), "The request signature we calculated", id="wrong secret"),
        pytest.param(replace(KEYS, service="s3"), "correct service: 'aps'", id="wrong service"),
        pytest.param(replace(KEYS, region="eu-west-1"), "scoped to a valid region", id="wrong region"),
    ],
)
def test_the_control_plane_wants_a_signature(
    amp: Receiver, http: requests.Session, method: str, keys: SigV4 | None, message: str
) -> None:
    """Without a good one the answer is that of a write, and nothing happens."""
    url, data = f"{amp.base_url}/configuration", b'{"outOfOrderTimeWindowInSeconds":600}'
    answer = call(http, method, url, data, keys=keys) if keys else http.request(method, url, data=data, timeout=5)
    assert (answer.status_code, message in answer.json()["message"]) == (403, True)
    assert describe(amp, http)[WINDOW] == 60


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_another_workspace_is_not_there(amp: Receiver, http: requests.Session, method: str) -> None:
    """The error names the workspace that was asked about."""
    url = amp.base_url.replace("ws-sandbox", "ws-other")
    answer = call(http, method, f"{url}/configuration", b'{"retentionPeriodInDays":1}')
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")
    assert answer.json() == {
        "message": "Workspace not found", "resourceId": "ws-other", "resourceType": "AWS::APS::Workspace",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/configuration", 405), ("GET", "/api/v1/configuration", 404), ("GET", "//configuration", 404)],
)
def test_the_configuration_is_at_one_place(
    amp: Receiver, http: requests.Session, method: str, path: str, status: int
) -> None:
    """Other methods and paths find nothing."""
    assert call(http, method, amp.base_url + path).status_code == status


PERMISSIONS = {
    "aps:DescribeWorkspaceConfiguration": lambda amp, http: call(http, "GET", f"{amp.base_url}/configuration"),
    "aps:UpdateWorkspaceConfiguration": lambda amp, http: update(amp, http, retentionPeriodInDays=30),
    "aps:QueryMetrics": query,
    "aps:RemoteWrite": write,
}


@pytest.mark.parametrize("action", PERMISSIONS)
def test_a_permission_can_be_taken_away_and_given_back(amp: Receiver, http: requests.Session, action: str) -> None:
    """IAM refuses the one action, in its own words, and no other."""
    amp.denied = frozenset({action})
    answers = {name: attempt(amp, http) for name, attempt in PERMISSIONS.items()}
    refused = answers.pop(action)
    assert [answer.ok for answer in answers.values()] == [True, True, True]
    assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    ((key, message),) = refused.json().items()
    assert key == ("message" if action.endswith("Configuration") else "Message")
    assert message == (
        "User: arn:aws:sts::123456789012:assumed-role/sandbox/sandbox is not authorized to perform: "
        f"{action} on resource: arn:aws:aps:us-east-1:123456789012:workspace/ws-sandbox"
        f" because no identity-based policy allows the {action} action"
    )
    amp.denied = frozenset()
    describe(amp, http)  # ends an update that was let through before
    assert PERMISSIONS[action](amp, http).ok


def test_what_is_denied_does_not_happen(http: requests.Session) -> None:
    """A refused write stores nothing, a refused update changes nothing, a refused description moves nothing on."""
    with Receiver(auth=KEYS, configuration_delay=1, denied=frozenset(PERMISSIONS)) as amp:
        for attempt in PERMISSIONS.values():
            assert attempt(amp, http).status_code == 403
        assert (amp.samples, amp.requests[0].status) == ({}, 403)
        amp.denied = frozenset({"aps:DescribeWorkspaceConfiguration"})
        update(amp, http, outOfOrderTimeWindowInSeconds=600)
        call(http, "GET", f"{amp.base_url}/configuration")
        amp.denied = frozenset()
        assert [describe(amp, http)["status"]["statusCode"] for _ in range(2)] == ["UPDATING", "ACTIVE"]


def test_the_signature_is_looked_at_before_the_permission(amp: Receiver, http: requests.Session) -> None:
    """Who is not known is not told what a role may do."""
    amp.denied = frozenset(PERMISSIONS)
    answer = http.get(f"{amp.base_url}/configuration", timeout=5)
    assert answer.json() == {"message": "Missing Authentication Token"}


def test_control_requests_are_recorded_apart_from_writes(amp: Receiver, http: requests.Session) -> None:
    """Method, decoded body and status of each, refused ones included."""
    write(amp, http)
    query(amp, http)
    describe(amp, http)
    update(amp, http, outOfOrderTimeWindowInSeconds=600, clientToken="a")
    update(amp, http, outOfOrderTimeWindowInSeconds=300)
    patch(amp, http, b"{")
    http.get(f"{amp.base_url}/configuration", timeout=5)
    assert amp.control_requests == [
        ("GET", None, 200),
        ("PATCH", {"outOfOrderTimeWindowInSeconds": 600, "clientToken": "a"}, 202),
        ("PATCH", {"outOfOrderTimeWindowInSeconds": 300}, 409),
        ("PATCH", None, 400),
        ("GET", None, 403),
    ]
    assert len(amp.requests) == 1


@pytest.fixture
def client(amp: Receiver) -> Iterator[Any]:
    found = boto3.client(
        "amp",
        region_name=KEYS.region,
        endpoint_url=amp.base_url.partition("/workspaces")[0],
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        aws_session_token=KEYS.token,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    yield found
    found.close()


def test_the_sdk_reads_and_changes_the_configuration(amp: Receiver, client: Any) -> None:
    """AWS's own client signs, sends and understands all of it."""
    amp.configuration_delay = 1
    answer = client.update_workspace_configuration(
        workspaceId="ws-sandbox",
        outOfOrderTimeWindowInSeconds=600,
        limitsPerLabelSet=[{"labelSet": {"team": "a"}, "limits": {"maxSeries": 10}}],
    )
    assert answer["status"] == {"statusCode": "UPDATING"}
    found = [client.describe_workspace_configuration(workspaceId="ws-sandbox")["workspaceConfiguration"] for _ in "12"]
    assert found[0]["status"] == {"statusCode": "UPDATING"}
    assert found[1] == {
        "status": {"statusCode": "ACTIVE"},
        "outOfOrderTimeWindowInSeconds": 600,
        "retentionPeriodInDays": 150,
        "ruleQueryOffsetInSeconds": 60,
        "limitsPerLabelSet": [{"labelSet": {"team": "a"}, "limits": {"maxSeries": 10}}],
    }
    assert [(one.method, one.status) for one in amp.control_requests] == [("PATCH", 202), ("GET", 200), ("GET", 200)]
    assert amp.control_requests[0].body["clientToken"]


def test_the_sdk_tells_the_errors_apart(amp: Receiver, client: Any) -> None:
    """Each refusal becomes the exception that the model has for it, with its members."""
    update, errors = client.update_workspace_configuration, client.exceptions
    with pytest.raises(errors.ValidationException) as invalid:
        update(workspaceId="ws-sandbox", outOfOrderTimeWindowInSeconds=601)
    assert invalid.value.response["reason"] == "FIELD_VALIDATION_FAILED"
    assert [field["name"] for field in invalid.value.response["fieldList"]] == [WINDOW]
    with pytest.raises(errors.ResourceNotFoundException) as missing:
        client.describe_workspace_configuration(workspaceId="ws-other")
    assert missing.value.response["resourceId"] == "ws-other"
    update(workspaceId="ws-sandbox", outOfOrderTimeWindowInSeconds=600)
    with pytest.raises(errors.ConflictException):
        update(workspaceId="ws-sandbox", outOfOrderTimeWindowInSeconds=300)
    amp.denied = frozenset({"aps:UpdateWorkspaceConfiguration"})
    with pytest.raises(errors.AccessDeniedException, match="not authorized to perform: aps:UpdateWorkspace"):
        update(workspaceId="ws-sandbox", outOfOrderTimeWindowInSeconds=600)
    amp.expire_token()
    with pytest.raises(ClientError, match="is expired") as expired:
        client.describe_workspace_configuration(workspaceId="ws-sandbox")
    assert expired.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
