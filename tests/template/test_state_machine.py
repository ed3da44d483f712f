"""The state machine's definition, executed: what the operator function is asked, and what becomes of its answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import cfnlint.api
import pytest

from tests.rig.stack import Stack
from tests.rig.state_machine import Execution, Killed, Refused, definition_of, execute, hurried

pytestmark = pytest.mark.slow

EVENT = {"job": "usage", "start": "-2h", "end": "-10m", "step": "5m"}
PLAN = EVENT | {"action": "backfill", "plan": True}
SUMMARY = "backfill/by-hand.json"
THROTTLED = Refused("TooManyRequestsException", 429)
ENDED = {"done": True, "accepted": 40, "rejected": 0}


class BadEvent(Exception):
    """As the function names what it cannot use."""


class ConfigError(Exception):
    pass


class Unreadable(Exception):
    pass


class BackfillStopped(Exception):
    pass


class Script:
    """A function that says one thing after the other, and remembers what it was asked."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self._answers = iter(answers)
        self.asked: list[Any] = []

    def __call__(self, payload: Any) -> Any:
        self.asked.append(payload)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def unfinished(token: str, accepted: int = 0) -> dict[str, Any]:
    return {"done": False, "resume": token, "accepted": accepted}


def resumed(*tokens: str) -> list[dict[str, Any]]:
    return [{"action": "backfill", "resume": token} for token in tokens]


Run = Callable[..., tuple[Execution, list[Any]]]


@pytest.fixture(scope="session")
def definition(stack_of: Callable[..., Stack]) -> str:
    return definition_of(stack_of())


@pytest.fixture
def run(definition: str) -> Run:
    """Executes it against a script: how it ended, and what the function was asked."""

    def execution_of(*answers: Any) -> tuple[Execution, list[Any]]:
        script = Script(answers)
        return execute(hurried(definition), script, EVENT), script.asked

    return execution_of


def test_the_definition_lints(definition: str) -> None:
    role = "arn:aws:iam::123456789012:role/backfill"
    properties = {"RoleArn": role, "Definition": json.loads(definition)}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    found = cfnlint.api.lint_all(json.dumps({"Resources": {"Machine": machine}}))
    assert [str(one) for one in found if one.rule.severity != "informational"] == []


def test_a_backfill_goes_on_until_the_function_says_done(run: Run) -> None:
    ended, asked = run(unfinished("a"), unfinished("b", 10), unfinished("c", 20), unfinished("d", 30), ENDED)
    assert asked == [PLAN, *resumed("a", "b", "c", "d")]
    assert ended.status == "SUCCEEDED"
    assert ended.output == ENDED
    assert ended.document(SUMMARY) == ENDED
    assert set(ended.objects) == {SUMMARY}


def test_a_plan_with_nothing_to_do_is_the_end(run: Run) -> None:
    ended, asked = run({"done": True, "windows": []})
    assert asked == [PLAN]
    assert ended.status == "SUCCEEDED"
    assert ended.document(SUMMARY) == {"done": True, "windows": []}


def test_the_machine_says_what_is_asked_whatever_the_input_does(definition: str) -> None:
    script = Script([ENDED])
    execute(definition, script, EVENT | {"action": "spool", "plan": False})
    assert script.asked == [PLAN]


def test_each_execution_has_a_summary_of_its_own_and_leaves_the_bucket_alone(definition: str) -> None:
    before = {"backfill/by-hand.json": b"1", "spool/amp/0/0001": b"2"}
    ended = execute(definition, Script([ENDED]), EVENT, name="again", objects=before)
    assert ended.objects == before | {"backfill/again.json": json.dumps(ENDED).encode()}


@pytest.mark.parametrize(
    "trouble",
    [
        THROTTLED,
        Refused("ServiceException", 500),
        Killed("Sandbox.Timedout"),
        Killed("Runtime.ExitError"),
        Killed("Lambda.Unknown"),
    ],
    ids=str,
)
def test_trouble_of_lambda_is_tried_again_with_the_same_question(run: Run, trouble: Exception) -> None:
    ended, asked = run(trouble, unfinished("a"), unfinished("b"), trouble, ENDED)
    assert asked == [PLAN, PLAN, *resumed("a", "b", "b")]
    assert ended.status == "SUCCEEDED"


def test_a_function_that_is_killed_every_time_is_given_up(run: Run) -> None:
    ended, asked = run(unfinished("a"), unfinished("b", 7), *[Killed("Sandbox.Timedout")] * 4)
    assert asked == [PLAN, *resumed("a", "b", "b", "b", "b")]
    assert (ended.status, ended.error) == ("FAILED", "Sandbox.Timedout")
    assert ended.document(SUMMARY)["last"] == unfinished("b", 7)


@pytest.mark.parametrize("error", [BadEvent, ConfigError, Unreadable, BackfillStopped])
def test_what_the_function_refuses_is_not_asked_again(run: Run, error: type[Exception]) -> None:
    ended, asked = run(error("no such job"))
    assert asked == [PLAN]
    assert (ended.status, ended.error) == ("FAILED", error.__name__)
    document = ended.document(SUMMARY)
    assert json.loads(document.pop("cause"))["errorMessage"] == "no such job"
    assert document == {"error": error.__name__, "event": EVENT, "last": None}


def test_a_failure_on_the_way_keeps_the_last_answer(run: Run) -> None:
    ended, asked = run(unfinished("a"), unfinished("b", 10), BackfillStopped("the receiver answers 403"))
    assert asked == [PLAN, *resumed("a", "b")]
    assert (ended.status, ended.error) == ("FAILED", "BackfillStopped")
    assert "the receiver answers 403" in (ended.cause or "")
    assert ended.document(SUMMARY)["last"] == unfinished("b", 10)


def test_a_machine_out_of_time_ends(definition: str) -> None:
    def endless(payload: Any) -> Any:
        time.sleep(0.1)
        return unfinished("again")

    machine = json.loads(definition) | {"TimeoutSeconds": 1}
    assert execute(json.dumps(machine), endless, EVENT).status == "TIMED_OUT"


def test_a_failure_is_reported_where_its_summary_cannot_be_written(definition: str) -> None:
    machine = json.loads(hurried(definition).replace('"Bucket": "spool"', '"Bucket": "elsewhere"'))
    machine["States"]["WriteFailure"]["Retry"][0]["MaxAttempts"] = 1
    ended = execute(json.dumps(machine), Script([BadEvent("no such job")]), EVENT)
    assert (ended.status, ended.error, ended.objects) == ("FAILED", "BadEvent", {})


def test_every_retry_backs_off_with_jitter_and_none_is_for_what_the_function_says(definition: str) -> None:
    tasks = {name: state for name, state in json.loads(definition)["States"].items() if state["Type"] == "Task"}
    for name in ("Plan", "Backfill"):
        errors = {error for retry in tasks[name]["Retry"] for error in retry["ErrorEquals"]}
        assert {"Lambda.TooManyRequestsException", "States.Timeout", "Lambda.Unknown"} <= errors
        assert not errors & {"States.ALL", "States.TaskFailed"}
        assert tasks[name]["TimeoutSeconds"] > 900  # the function's own
    for task in tasks.values():
        assert all(retry["JitterStrategy"] == "FULL" and retry["BackoffRate"] > 1 for retry in task["Retry"])
