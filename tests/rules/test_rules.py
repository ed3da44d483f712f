"""rules/pusher.yaml: what promtool says of it, and that each alert has a case in which it fires and one in which not.

The cases are the *.test.yaml beside this file. Each of their checks lists every alert that fires at that time.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bench import cost
from generate.rules import RULES
from lambda_remote_write.model.drop_reasons import LOSSES, DropReason
from tests.rig.needs import Peer
from tests.rig.rules import TEST_FILES, alerts, cases, fired, groups, recorded, rules, series_behind
from tests.rig.stack import ROOT

DOC = (ROOT / "docs" / "rules.md").read_text()


# --- What promtool says ----------------------------------------------------------------------------------------------


def test_promtool_has_nothing_to_say(peer: Peer) -> None:
    command = [peer("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(RULES)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_alerts_fire_when_they_should(peer: Peer, path: Path) -> None:
    command = [peer("promtool"), "test", "rules", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


# --- The cases -------------------------------------------------------------------------------------------------------


def test_every_check_lists_all_that_fires() -> None:
    for case in cases():
        assert case["promql_expr_test"], case["name"]
        assert {check["expr"] for check in case["promql_expr_test"]} == {'ALERTS{alertstate="firing"}'}, case["name"]


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_not(alert: str) -> None:
    """One in which not has series that the alert reads."""
    firing = [case["name"] for case in cases() if alert in fired(case)]
    behind = series_behind(alerts()[alert]["expr"])
    behind = behind - {"pusher_schedule_interval_seconds", "pusher_shards"} or behind  # those two are in every case
    silent = [
        case["name"]
        for case in cases()
        if alert not in fired(case)
        and any(re.match(name + r"\b", one["series"]) for one in case["input_series"] for name in behind)
    ]
    assert firing
    assert silent


@pytest.mark.parametrize("alert", alerts())
def test_what_every_alert_says_is_checked_as_prometheus_writes_it(alert: str) -> None:
    written = [
        one["exp_annotations"]
        for case in cases()
        for check in case.get("alert_rule_test", [])
        for one in check["exp_alerts"]
        if check["alertname"] == alert
    ]
    assert [set(one) for one in written] == [{"summary", "description", "runbook_url"}]


# --- The rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_waits_and_says_what_a_woken_engineer_needs(alert: str) -> None:
    rule = alerts()[alert]
    assert re.fullmatch(r"[1-9]\d*[mh]", rule["for"])
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]
    assert len(summary) <= 100
    assert len(description) > len(summary)
    assert description.endswith(".")


def test_rules_use_what_amp_takes() -> None:
    """AMP, quotas: "Rule evaluation interval" of at least 30 seconds, "Rules per workspace" 2,000. A rule can rely on
    what another one of its own group recorded, but not on that of another group."""
    assert {key for group in groups() for key in group} == {"name", "interval", "rules"}
    assert {key for rule in rules() for key in rule} <= {"record", "alert", "expr", "for", "labels", "annotations"}
    assert all(re.fullmatch(r"\dm", group["interval"]) for group in groups())
    for group in groups():
        before: set[str] = set()
        for rule in group["rules"]:
            assert set(re.findall(r"\b\w+:\w+:\w+\b", rule["expr"])) <= before, rule
            before |= {rule["record"]} if "record" in rule else set()


def test_every_recorded_series_is_used_and_named_by_level_metric_and_operation() -> None:
    for name in recorded():
        assert re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z_]+", name)
        assert any(name in rule["expr"] for rule in rules()), name


def test_nothing_relies_on_the_look_back_of_five_minutes() -> None:
    """Of what runs send, each selector has a window."""
    for rule in rules():
        own = re.sub(r"\b\w+:\w+:\w+\b", "", rule["expr"])
        for selector in re.finditer(r"\b(?:pusher_\w+|up)\b(?:\{[^}]*\})?(.?)", own):
            subquery = own[: selector.start()].endswith("timestamp(")
            assert selector[1] == ("" if not selector[1] else ")" if subquery else "["), rule["expr"]


def test_lost_samples_are_the_rejected_and_those_dropped_as_a_loss() -> None:
    """What new_series_limit holds back has an alert of its own."""
    (pattern,) = re.findall(r'outcome="dropped", reason=~"([^"]+)"', alerts()["PusherSamplesLost"]["expr"])
    assert set(pattern.split("|")) == set(LOSSES) - {DropReason.NEW_SERIES_LIMITED}


# --- Beside the rules ------------------------------------------------------------------------------------------------


def test_the_table_of_the_documentation_is_that_of_the_rules() -> None:
    row = re.compile(r"^\| `(Pusher\w+)` \| (\w+) \| (\w+) \| .+ \| \[.+\]\(runbooks/([\w-]+\.md)\) \|$", re.MULTILINE)
    rows = row.findall(DOC)
    assert {name: (severity, waits, f"docs/runbooks/{page}") for name, severity, waits, page in rows} == {
        name: (rule["labels"]["severity"], rule["for"], rule["annotations"]["runbook_url"])
        for name, rule in alerts().items()
    }


def test_the_price_is_of_as_many_rules() -> None:
    assert len(rules()) == cost.RULES
