"""The template's state machine with the real function behind it: round after round, until all samples are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from sandbox.amp import Receiver
from sandbox.server import Fault
from tests.rig import backfill as rigs
from tests.rig.backfill import AWAY, Past, endpoint
from tests.rig.lambda_context import Context
from tests.rig.stack import Stack, load_template, translate
from tests.rig.state_machine import Execution, Killed, definition_of, execute, hurried

pytestmark = pytest.mark.slow

EVENT = {"job": "usage", "start": "-50m", "end": "-5m"}
SUMMARY = "backfill/by-hand.json"
ALL = 88


@pytest.fixture(scope="module")
def definition() -> str:
    template = load_template()
    return hurried(definition_of(Stack(template, translate(template))))


@pytest.fixture
def past(past: Past) -> Past:
    """Forty-four minutes of two series, inside the range that is asked for also when that is 50 seconds later."""
    past.points = rigs.two_series(rigs.now_ms() - 50 * rigs.MINUTE + 50_000, 44)
    return past


@dataclass
class Operator:
    """The function that people invoke, with little time each; every invocation is one of a new environment."""

    folder: Path
    text: str
    seconds: float = 2.6
    asked: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    dies: Callable[[int], bool] = lambda number: False

    def __call__(self, payload: Any) -> Any:
        self.asked.append(payload)
        config = self.folder / "config.yaml"
        config.write_text(self.text)
        env_vars = {"PUSHER_CONFIG": str(config), "PUSHER_SPOOL": str(self.folder / "spool")}
        dependencies = Dependencies(env_vars)
        try:
            answer = App(dependencies, ("plan", "spool", "push_samples", "backfill")).handle(
                payload, Context(self.seconds)
            )
        finally:
            dependencies.transport.close()
        self.answers.append(answer)
        if self.dies(len(self.asked)):
            raise Killed("Sandbox.Timedout")
        return json.loads(json.dumps(answer))


def operator(folder: Path, amp: Receiver, past: Past, **keys: Any) -> Operator:
    return Operator(folder, rigs.config_text([endpoint(amp)], [past.job()]), **keys)


def assert_all_arrived(amp: Receiver, past: Past, ended: Execution) -> None:
    """It has succeeded, and every sample is there."""
    assert ended.status == "SUCCEEDED", (ended.error, ended.cause)
    assert rigs.stored(amp) == rigs.by_series(past.points)
    assert rigs.only(summary_of(ended))["accepted"] == amp.accepted == ALL


def summary_of(ended: Execution) -> dict[str, Any]:
    found = ended.document(SUMMARY)
    assert set(ended.objects) == {SUMMARY}
    return dict(found)


def test_it_goes_round_until_every_sample_is_there(definition: str, tmp_path: Path, past: Past) -> None:
    """A plan, then as many rounds as the time of each makes necessary, then the summary of all of them."""
    with Receiver() as amp:
        function = operator(tmp_path, amp, past)
        ended = execute(definition, function, EVENT)
        assert_all_arrived(amp, past, ended)
        assert len(rigs.sent_stamps(amp)) == ALL
        assert len(function.asked) > 4
        assert function.asked[0] == {**EVENT, "action": "backfill", "plan": True}
        assert all(set(one) == {"action", "resume"} for one in function.asked[1:])
        summary = summary_of(ended)
        assert (ended.output, summary["done"]) == (summary, True)
        rigs.assert_balances(summary)


def test_a_round_that_is_killed_after_its_work_is_done_again_without_harm(
    definition: str, tmp_path: Path, past: Past
) -> None:
    """The same token a second time sends nothing a second time."""
    with Receiver() as amp:
        function = operator(tmp_path, amp, past, dies=lambda number: number in (3, 5))
        assert_all_arrived(amp, past, execute(definition, function, EVENT))
        assert function.asked[2] == function.asked[3]
        assert len(rigs.sent_stamps(amp)) == ALL


def test_a_receiver_that_is_away_for_two_rounds_costs_nothing(definition: str, tmp_path: Path, past: Past) -> None:
    with Receiver() as amp:
        amp.script(None, AWAY, AWAY)
        assert_all_arrived(amp, past, execute(definition, operator(tmp_path, amp, past), EVENT))


def test_a_backfill_that_cannot_go_on_fails_and_says_how_it_would(definition: str, tmp_path: Path, past: Past) -> None:
    """The summary has the reason, what was done, and a token that works once it is mended."""
    refusal = Fault.status(403, b'{"Message":"User is not authorized to perform: aps:RemoteWrite"}')
    with rigs.failing_after(2, refusal) as amp:
        function = operator(tmp_path, amp, past)
        ended = execute(definition, function, EVENT)
        assert (ended.status, ended.error) == ("FAILED", "BackfillStopped")
        failure = summary_of(ended)
        assert (failure["error"], failure["event"]) == ("BackfillStopped", EVENT)
        assert "aps:RemoteWrite" in failure["cause"]
        assert (failure["last"]["done"], rigs.only(failure["last"])["accepted"]) == (False, 20)
        amp.always(None)
        assert_all_arrived(amp, past, execute(definition, function, {"resume": failure["last"]["resume"]}))


def test_rounds_without_progress_end_it(definition: str, tmp_path: Path, past: Past) -> None:
    """Three in a row, whose last answer the failure has; the token goes on once the receiver is back."""
    with Receiver() as amp:
        amp.always(AWAY)
        function = operator(tmp_path, amp, past)
        ended = execute(definition, function, EVENT)
        assert (ended.status, ended.error, len(function.asked)) == ("FAILED", "BackfillStopped", 1 + 3)
        failure = summary_of(ended)
        rigs.assert_says(failure["cause"], "3 invocations", "no progress", "503", "maintenance")
        amp.always(None)
        assert_all_arrived(amp, past, execute(definition, function, {"resume": failure["last"]["resume"]}))


def test_an_event_that_makes_no_sense_fails_at_once(definition: str, tmp_path: Path, past: Past) -> None:
    with Receiver() as amp:
        function = operator(tmp_path, amp, past)
        ended = execute(definition, function, {"job": "another", "start": "-50m"})
        assert (ended.status, ended.error, len(function.asked)) == ("FAILED", "BadEvent", 1)
        assert "another" in summary_of(ended)["cause"]
        assert (amp.requests, past.asked) == ([], [])


def test_a_backfill_with_nothing_to_do_succeeds(definition: str, tmp_path: Path, past: Past) -> None:
    """What is older than AMP takes is not even asked for."""
    with Receiver() as amp:
        ended = execute(definition, operator(tmp_path, amp, past), EVENT | {"start": "-3h", "end": "-2h"})
        assert ended.status == "SUCCEEDED", (ended.error, ended.cause)
        assert (summary_of(ended)["done"], past.asked, amp.requests) == (True, [], [])
