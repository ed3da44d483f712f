"""The configuration of a workspace is changed without losing what else it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lambda_remote_write.backfill.workspace import NotAnswered, Workspace
from sandbox.server import Answer, LoopbackServer, Request
from tests.rig.delivery import rig

WINDOW = "outOfOrderTimeWindowInSeconds"
SETTINGS = {
    WINDOW: 60,
    "retentionPeriodInDays": 1095,
    "ruleQueryOffsetInSeconds": 30,
    "limitsPerLabelSet": [{"labelSet": {"team": "a"}, "limits": {"maxSeries": 1000}}, {"labelSet": {}, "limits": {}}],
    "aSettingOfTomorrow": {"x": [1]},
}


class Control:
    """The strictest reading of UpdateWorkspaceConfiguration: what is not sent is gone, and one of two settings must be
    there ("You must specify at least one of limitsPerLabelSet or retentionPeriodInDays for the request to be
    valid")."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.methods: list[str] = []

    def answer(self, request: Request) -> Answer:
        self.methods.append(request.method)
        if request.method == "GET":
            configuration = {"status": {"statusCode": "ACTIVE", "statusReason": "x"}, **self.settings}
            return Answer.json({"workspaceConfiguration": configuration})
        body = json.loads(request.body)
        if not {"limitsPerLabelSet", "retentionPeriodInDays"} & set(body) or "status" in body:
            return Answer.json({"message": "ValidationException"}, 400)
        assert body.pop("clientToken")
        self.settings = body
        return Answer.json({"status": {"statusCode": "UPDATING"}}, 202)


@contextmanager
def workspace_of(settings: dict[str, Any]) -> Iterator[tuple[Control, Workspace]]:
    control = Control(settings)
    with (
        LoopbackServer(control.answer) as server,
        rig(f"{server.base_url}/workspaces/ws-1/api/v1/remote_write") as made,
    ):
        endpoint = made.endpoint
        yield control, Workspace(endpoint.client, endpoint.config, made.dependencies)


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        {WINDOW: 60, "retentionPeriodInDays": 150},
        {WINDOW: 60, "limitsPerLabelSet": []},
        {WINDOW: 60, "retentionPeriodInDays": 150, "limitsPerLabelSet": None},
    ],
    ids=["every setting", "retention alone", "limits alone", "null"],
)
def test_a_window_is_set_and_put_back_with_everything_else(settings: dict[str, Any]) -> None:
    rest = {name: value for name, value in settings.items() if value is not None}
    with workspace_of(dict(settings)) as (control, workspace):
        workspace.set_window(600, time.monotonic() + 10)
        assert control.settings == rest | {WINDOW: 600}
        control.settings["ruleQueryOffsetInSeconds"] = 5  # another client's change meanwhile
        workspace.set_window(60, time.monotonic() + 10)
        assert control.settings == rest | {WINDOW: 60, "ruleQueryOffsetInSeconds": 5}


def test_a_workspace_that_says_neither_has_no_limits() -> None:
    with workspace_of({}) as (control, workspace):
        workspace.set_window(600, time.monotonic() + 10)
        assert control.settings == {WINDOW: 600, "limitsPerLabelSet": []}


def test_without_having_read_it_nothing_is_changed() -> None:
    with workspace_of({}) as (control, workspace):
        control.settings = {"status": None}
        with pytest.raises(NotAnswered) as raised:
            workspace.set_window(600, time.monotonic() + 10)
        assert raised.value.is_unchanged
        assert set(control.methods) == {"GET"}
