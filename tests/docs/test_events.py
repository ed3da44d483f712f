"""docs/events.md against the functions: every key of every event is there and no other, and so is every key of an
answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lambda_remote_write.events import BadEvent, parse_event
from sandbox.server import Answer
from tests.rig.markdown import blocks
from tests.rig.operator import NOW, Operator, operator
from tests.rig.stack import ROOT

__all__ = ["operator"]  # a fixture

PAGE = ROOT / "docs" / "events.md"
TEXT = PAGE.read_text()
FUNCTIONS = {"PusherFunction": ("push", "plan"), "OperatorFunction": ("plan", "spool", "push_samples", "backfill")}
ACTIONS = sorted({action for actions in FUNCTIONS.values() for action in actions})


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def keys(text: str, head: str) -> set[str]:
    """The names in the first column of the table with this head."""
    rows = text.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}


def allowed(action: str) -> set[str]:
    """As the error says."""
    with pytest.raises(BadEvent) as caught:
        parse_event({"action": action, "zz": 1}, (action,))
    return set(str(caught.value).partition("allowed are ")[2].split(", ")) - {"action"}


def test_there_is_a_section_for_each_action_and_the_function_does_it() -> None:
    titles = re.findall(r"^## ([\w_]+)$", TEXT, re.M)
    assert sorted(title for title in titles if title in ACTIONS) == ACTIONS
    rows = dict(re.findall(r"^\| (\w+Function) \| (.*?) \|", TEXT, re.M))
    assert {name: tuple(re.findall(r"`(\w+)`", row)) for name, row in rows.items()} == FUNCTIONS


@pytest.mark.parametrize("action", ACTIONS)
def test_the_keys_of_an_event_are_those_that_are_read(action: str) -> None:
    assert keys(section(action), "key | default") == allowed(action)


def test_the_keys_of_a_sample_are_those_that_are_read(operator: Operator) -> None:
    refusal = operator.refusal(samples=[{"labels": {"__name__": "a"}, "value": 1, "zz": 1}])
    named = refusal.partition("allowed are ")[2].split(", ")
    assert keys(section("push_samples"), "key of a sample | default") == set(named)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_events_that_are_shown_are_of_their_section(action: str) -> None:
    (first, *_) = [block.content for block in blocks(PAGE) if block.content in section(action)]
    found = re.findall(r'"action": "(\w+)"', first)
    assert set(found) == {action}
    assert len(found) >= 2


RECORDED = sorted(path for path in (ROOT / "events").glob("*.json") if path.stem != "env")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_event_is_one_that_is_read(path: Path) -> None:
    action, _ = parse_event(json.loads(path.read_text()), ACTIONS)
    assert section(action)


def answer(operator: Operator, event: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operator.new_app().handle(event, None)
    return found


def test_every_key_of_the_answer_of_plan_is_explained(operator: Operator) -> None:
    assert keys(section("plan"), "key of the answer") == set(answer(operator, {"action": "plan", "shards": 2}))


def test_every_key_of_the_answer_of_spool_is_explained(operator: Operator) -> None:
    found = {*answer(operator, {"action": "spool"}), *answer(operator, {"action": "spool", "command": "show"})}
    assert keys(section("spool"), "key of the answer") == found


def test_every_key_of_the_answer_of_a_backfill_is_explained(operator: Operator) -> None:
    operator.api.serve("/records", Answer.json([{"id": "a", "value": 1, "at": NOW * 1000 - 600_000}]))
    config = yaml.safe_load(operator.config.read_text())
    config["json_configs"][0]["backfill"] = {"query": {"from": "{start}", "to": "{end}"}}
    operator.config.write_text(json.dumps(config))
    found = answer(operator, {"action": "backfill", "job": "usage", "start": "-1h"})
    explained = keys(section("backfill"), "key | meaning")
    per_endpoint = {"classes", "reasons", "accepted", "rejected", "dropped", "rules", "unknown"}
    assert explained - per_endpoint == set(found) | {"resume"}
    assert per_endpoint <= set(found["endpoints"][0])


def test_the_errors_are_those_of_the_functions() -> None:
    sources = [path.read_text() for path in (ROOT / "functions" / "lambda_remote_write").rglob("*.py")]
    named = keys(section("When it fails"), "`errorType` | meaning | was anything sent?")
    assert len(named) >= 5
    assert {name for name in named if not any(f"class {name}(" in source for source in sources)} == set()
