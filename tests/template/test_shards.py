"""Fan-out: a schedule for each shard and no more, each with its own number, alike in all else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.rig.grants import grants, statements_of
from tests.rig.stack import ROOT, Stack, StackOf

NUMBERS = [1, 2, 3, 4, 6, 8, 12, 16]


def schedules_of(stack: Stack) -> dict[int, dict[str, Any]]:
    """By the shard in the Input."""
    found = stack.of_type("AWS::Scheduler::Schedule").values()
    by_shard = {json.loads(schedule["Target"]["Input"])["shard"]: schedule for schedule in found}
    assert len(by_shard) == len(found)
    return by_shard


def alike(schedule: dict[str, Any]) -> dict[str, Any]:
    """All but what tells one shard from another."""
    target = {name: value for name, value in schedule["Target"].items() if name != "Input"}
    return {name: value for name, value in schedule.items() if name != "Description"} | {"Target": target}


def test_the_numbers_are_those_the_template_takes(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Shards"]["AllowedValues"] == NUMBERS
    assert template["Parameters"]["Shards"]["Default"] == 1


@pytest.mark.parametrize("shards", NUMBERS)
def test_each_shard_has_a_schedule_that_says_so(stack_of: StackOf, shards: int) -> None:
    """The Input is the recorded event, and says which shard of how many."""
    recorded = json.loads((ROOT / "events/schedule.json").read_text())
    schedules = schedules_of(stack_of(Shards=str(shards)))
    assert sorted(schedules) == list(range(shards))
    for shard, schedule in schedules.items():
        own = {"scheduled_time": "<aws.scheduler.scheduled-time>", "shard": shard, "shards": shards}
        assert json.loads(schedule["Target"]["Input"]) == recorded | own


@pytest.mark.parametrize("parameters", [{}, {"Interval": "15m"}, {"ScheduleState": "DISABLED"}])
def test_the_schedules_are_alike_in_all_else(stack_of: StackOf, parameters: dict[str, str]) -> None:
    first, *others = (alike(one) for one in schedules_of(stack_of(Shards="16", **parameters)).values())
    assert len(others) == 15
    assert all(other == first for other in others)


def test_shards_change_no_permission_and_no_alarm(stack_of: StackOf) -> None:
    one, many = stack_of(), stack_of(Shards="16")
    assert set(many.resources) - set(one.resources) == {f"PusherFunctionTick{shard}" for shard in range(1, 16)}
    assert set(one.resources) <= set(many.resources)
    for kind in ("AWS::CloudWatch::Alarm", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
        assert one.of_type(kind) == many.of_type(kind)


def test_the_schedule_of_every_shard_may_invoke_the_one_pusher(stack_of: StackOf) -> None:
    stack = stack_of(Shards="4")
    allowed = [places for actions, places in grants(statements_of(stack, "SchedulerRole")) if "lambda:" in str(actions)]
    assert allowed == [{schedule["Target"]["Arn"]} for schedule in list(schedules_of(stack).values())[:1]]
    assert {schedule["Target"]["RoleArn"] for schedule in schedules_of(stack).values()} == {"<SchedulerRole.Arn>"}
