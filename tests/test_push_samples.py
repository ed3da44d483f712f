"""Samples that people push in an event: what is taken and what is refused, how they arrive, and what waits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from lambda_remote_write.app import PushFailed
from lambda_remote_write.events import BadEvent
from sandbox.amp import Labels
from sandbox.server import Fault
from tests.rig.operator import DOWN, NOW, NOW_MS, Operator, operator, refusing
from tests.rig.tables import events, table

__all__ = ["operator", "refusing"]  # fixtures


def sample(value: Any = 1, name: str = "by_hand", **labels: str) -> dict[str, Any]:
    return {"labels": {"__name__": name, **labels}, "value": value}


def labels_of(name: str, **labels: str) -> Labels:
    """As they arrive at `plain`."""
    return tuple(sorted({"__name__": name, "stack": "blue", **labels}.items()))


# --- What arrives -----------------------------------------------------------------------------------------------------


def test_samples_arrive_at_every_endpoint_with_external_labels_and_its_rules(operator: Operator) -> None:
    report = operator.push(sample(1.5, service="a"), sample(2, service="b"), sample(3, "secret_total"))
    assert operator.plain.samples == {
        labels_of("by_hand", service="a"): [(NOW_MS, 1.5)],
        labels_of("by_hand", service="b"): [(NOW_MS, 2.0)],
        labels_of("secret_total"): [(NOW_MS, 3.0)],
    }
    assert operator.relabelled.samples == {
        labels_of("by_hand", service="a", seen_by="rules"): [(NOW_MS, 1.5)],
        labels_of("by_hand", service="b", seen_by="rules"): [(NOW_MS, 2.0)],
    }
    assert (report["action"], report["ok"]) == ("push_samples", True)
    assert report["totals"]["AcceptedSamples"] == 5
    plain, rules = report["endpoints"]
    assert (plain["endpoint"], plain["collected"], plain["accepted"]) == ("plain", 3, 3)
    assert (rules["endpoint"], rules["accepted"]) == ("rules", 2)
    json.dumps(report)


def test_a_label_of_ones_own_wins_over_an_external_one(operator: Operator) -> None:
    operator.push(sample(1, stack="green"))
    assert list(operator.plain.samples) == [labels_of("by_hand", stack="green")]


@pytest.mark.parametrize(
    ("keys", "expected_ms"),
    [
        pytest.param({}, NOW_MS, id="none is now"),
        pytest.param({"timestamp": NOW - 60}, NOW_MS - 60_000, id="unix seconds"),
        pytest.param({"timestamp": NOW - 60 + 0.25}, NOW_MS - 59_750, id="a fraction of a second"),
        pytest.param({"timestamp": "2024-05-31T23:59:00Z"}, NOW_MS - 60_000, id="RFC 3339"),
        pytest.param({"timestamp": "2024-06-01T01:59:00.5+02:00"}, NOW_MS - 59_500, id="another zone and a fraction"),
        pytest.param({"timestamp_ms": NOW_MS - 1234}, NOW_MS - 1234, id="milliseconds"),
    ],
)
def test_times_are_what_their_key_says(operator: Operator, keys: dict[str, Any], expected_ms: int) -> None:
    operator.push(sample(4) | keys)
    assert operator.plain.samples == {labels_of("by_hand"): [(expected_ms, 4.0)]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1, 1.0, id="integer"),
        pytest.param(-1.5e300, -1.5e300, id="great"),
        pytest.param(0, 0.0, id="zero"),
        pytest.param("+Inf", math.inf, id="+Inf"),
        pytest.param("-Inf", -math.inf, id="-Inf"),
        pytest.param("NaN", math.nan, id="NaN"),
    ],
)
def test_values_are_numbers_or_what_json_has_no_number_for(operator: Operator, value: Any, expected: float) -> None:
    operator.push(sample(value))
    ((_, found),) = operator.plain.samples[labels_of("by_hand")]
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_a_series_arrives_oldest_first_whatever_the_order_of_the_event(operator: Operator) -> None:
    """The receiver takes nothing out of order, so that whatever came late would be refused."""
    ages = [0, 300, 120, 240, 60, 180]
    operator.push(*(sample(age, service=name) | {"timestamp": NOW - age} for age in ages for name in "ab"))
    for name in "ab":
        points = operator.plain.samples[labels_of("by_hand", service=name)]
        assert points == [(NOW_MS - age * 1000, float(age)) for age in sorted(ages, reverse=True)]
    assert operator.plain.refused == operator.relabelled.refused == 0


def test_more_samples_than_a_request_holds_arrive_oldest_first_too(operator: Operator) -> None:
    samples = [sample(age) | {"timestamp": NOW - age} for age in range(1_800)]
    report = operator.push(*samples)
    assert report["endpoints"][0]["accepted"] == 1_800
    assert [value for _, value in operator.plain.samples[labels_of("by_hand")]] == [*map(float, range(1_799, -1, -1))]
    assert operator.plain.refused == 0


def test_a_second_event_is_sent_by_the_same_environment(operator: Operator) -> None:
    operator.push(sample(1))
    operator.clock.ms += 1000
    operator.push(sample(1))
    assert operator.plain.samples == {labels_of("by_hand"): [(NOW_MS, 1.0), (NOW_MS + 1000, 1.0)]}


def test_what_is_older_than_an_earlier_event_is_not_lost_silently(operator: Operator) -> None:
    """It is the receiver's to refuse; either way it is counted."""
    operator.push(sample(1))
    report = operator.push(sample(2) | {"timestamp": NOW - 30})
    plain = report["endpoints"][0]
    assert (plain["collected"], plain["accepted"]) == (1, 0)
    assert plain["rejected"] or plain["dropped"]


def test_what_is_too_old_for_the_receiver_is_counted(operator: Operator) -> None:
    report = operator.push(sample(1, service="old") | {"timestamp": NOW - 2 * 86_400}, sample(2, service="new"))
    assert report["endpoints"][0]["dropped"]["too_old"]["count"] == 1
    assert operator.plain.samples == {labels_of("by_hand", service="new"): [(NOW_MS, 2.0)]}


# --- Text -------------------------------------------------------------------------------------------------------------

OPENMETRICS = f"""\
# TYPE build_seconds gauge
# HELP build_seconds How long a build takes.
build_seconds{{branch="main"}} 41.5 {NOW - 10}
build_seconds{{branch="other"}} 40
# TYPE builds counter
builds_total 3
# EOF
"""
PROMETHEUS = f"""\
# TYPE build_seconds gauge
build_seconds{{branch="main"}} 41.5 {NOW_MS - 10_000}
build_seconds{{branch="other"}} 40
builds_total 3
"""
OF_THE_TEXT = {
    labels_of("build_seconds", branch="main"): [(NOW_MS - 10_000, 41.5)],
    labels_of("build_seconds", branch="other"): [(NOW_MS, 40.0)],
    labels_of("builds_total"): [(NOW_MS, 3.0)],
}


@pytest.mark.parametrize("from_s3", [False, True], ids=["in the event", "in S3"])
@pytest.mark.parametrize(
    ("format_", "text"), [("openmetrics", OPENMETRICS), ("prometheus", PROMETHEUS)], ids=["openmetrics", "prometheus"]
)
def test_text_is_pushed_and_lines_without_a_time_are_now(
    operator: Operator, format_: str, text: str, from_s3: bool
) -> None:
    operator.bucket.put("history/page.txt", text.encode())
    source = {"s3": "s3://files/history/page.txt"} if from_s3 else {"text": text}
    report = operator(format=format_, **source)
    assert operator.plain.samples == OF_THE_TEXT
    assert report["endpoints"][0]["accepted"] == 3


def test_lines_of_one_series_are_ordered(operator: Operator) -> None:
    text = "".join(f"a {age} {NOW - age}\n" for age in (10, 30, 20))
    operator(format="openmetrics", text=f"# TYPE a gauge\n{text}# EOF\n")
    assert [value for _, value in operator.plain.samples[labels_of("a")]] == [30.0, 20.0, 10.0]


def test_a_file_of_other_bytes_is_refused(refusing: Operator) -> None:
    refusing.bucket.put("page.txt", b"a 1\n\xff\xfe 2\n")
    refusing.refusal(format="prometheus", s3="s3://files/page.txt")


# --- What is refused --------------------------------------------------------------------------------------------------


@table("keys, words", events("refused by push_samples"))
def test_an_event_that_cannot_be_is_refused_with_what_is_wrong(
    refusing: Operator, keys: dict[str, Any], words: list[str]
) -> None:
    detail = refusing.refusal(**keys)
    assert [word for word in words if word not in detail] == []


@table("wrong, words", events("refused samples"))
def test_a_sample_that_cannot_be_is_named_and_nothing_is_sent(refusing: Operator, wrong: Any, words: list[str]) -> None:
    """The others are good, and stay at home too."""
    detail = refusing.refusal(samples=[sample(), wrong, sample(2, service="c")])
    assert [word for word in words if word not in detail] == []
    assert "samples[0]" not in detail
    assert "samples[2]" not in detail


def test_a_limit_of_new_series_does_not_lose_samples_that_never_come_again(operator: Operator) -> None:
    """A job's series come in with later runs; what was pushed by hand is pushed once."""
    operator.write(new_series_limit=1)
    report = operator.push(*(sample(1, service=name) for name in "abc"))
    plain = report["endpoints"][0]
    assert (plain["collected"], plain["accepted"]) == (3, 3)


def test_all_mistakes_are_reported_at_once(refusing: Operator) -> None:
    detail = refusing.refusal(
        samples=[sample("x"), sample(), sample(job="usage"), sample() | {"timestamp": "noon"}, {"value": 1}]
    )
    for place in ("samples[0].value", "samples[2]", "samples[3].timestamp", "samples[4].labels"):
        assert place in detail
    assert "samples[1]" not in detail


def test_all_mistakes_of_one_sample_are_reported_at_once(refusing: Operator) -> None:
    detail = refusing.refusal(samples=[{"labels": {"a-b": "c"}, "value": "x", "timestamp": "noon"}])
    for word in ("a-b", "__name__", "samples[0].value", "samples[0].timestamp"):
        assert word in detail


def test_a_thousand_mistakes_are_no_message_of_a_thousand_lines(refusing: Operator) -> None:
    assert len(refusing.refusal(samples=[sample("x")] * 1_000)) < 10_000


def test_jobs_that_are_not_scheduled_are_taken(operator: Operator) -> None:
    """The job `own` calls itself billing, and the config's names are no patterns."""
    operator.push(sample(job="ci"), sample(job="usage2"), sample(job="Usage"), sample(job=""))
    assert len(operator.plain.samples) == 4


@pytest.mark.parametrize(
    "keys", [{"timestamp": NOW + 60}, {"timestamp_ms": NOW_MS + 60_000}], ids=["seconds", "milliseconds"]
)
def test_a_clock_that_is_a_minute_ahead_is_taken(operator: Operator, keys: dict[str, Any]) -> None:
    """AMP takes ten minutes."""
    operator.push(sample() | keys)
    assert operator.plain.samples == {labels_of("by_hand"): [(NOW_MS + 60_000, 1.0)]}


# --- Which function ---------------------------------------------------------------------------------------------------


def test_the_scheduled_function_names_the_one_that_does_it(operator: Operator) -> None:
    with pytest.raises(BadEvent, match="OperatorFunction"):
        operator.new_app(("push", "plan")).handle({"action": "push_samples", "samples": [sample()]}, None)
    assert operator.plain.requests == []


def test_the_operators_function_names_the_one_that_pushes(operator: Operator) -> None:
    with pytest.raises(BadEvent, match="PusherFunction"):
        operator.app.handle({"action": "push"}, None)


# --- What waits -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_delivered_waits_and_goes_out_first(operator: Operator) -> None:
    operator.down()
    for number in range(3):
        report = operator.push(sample(number))
        assert report["ok"] is True
        assert report["totals"]["SpooledSamples"] > 0
        operator.clock.ms += 1000
    assert {tuple(key.split("/")[1:3]) for key in operator.waiting()} == {("plain", "operator"), ("rules", "operator")}
    assert operator.plain.samples == {}
    operator.down(None)
    report = operator.push(sample(3))
    for delivery in report["endpoints"]:
        assert (delivery["collected"], delivery["taken"], delivery["accepted"]) == (1, 3, 4)
    assert operator.waiting() == []
    expected = [(NOW_MS + 1000 * number, float(number)) for number in range(4)]
    assert list(operator.plain.samples.values()) == list(operator.relabelled.samples.values()) == [expected]
    assert operator.plain.refused == operator.relabelled.refused == 0


def test_another_environment_delivers_what_waits(operator: Operator) -> None:
    operator.down()
    operator.push(sample(1))
    operator.down(None)
    operator.clock.ms += 1000
    operator.app = operator.new_app()
    operator.push(sample(2))
    assert list(operator.plain.samples.values()) == [[(NOW_MS, 1.0), (NOW_MS + 1000, 2.0)]]


def test_an_endpoint_that_is_down_does_not_keep_them_from_the_other(operator: Operator) -> None:
    operator.plain.always(DOWN)
    report = operator.push(sample(1))
    assert [one["accepted"] for one in report["endpoints"]] == [0, 1]
    assert [key.split("/")[1] for key in operator.waiting()] == ["plain"]


def test_a_refused_event_does_not_touch_what_waits(operator: Operator) -> None:
    operator.down()
    operator.push(sample(1))
    operator.down(None)
    operator.refusal(samples=[sample("x")])
    assert len(operator.waiting()) == 2


def test_the_schedule_leaves_the_operators_samples_alone(operator: Operator) -> None:
    """Each drains its own."""
    operator.down()
    operator.push(sample(1))
    kept = operator.waiting()
    operator.down(None)
    report = operator.new_app(("push", "plan")).handle({"action": "push"}, None)
    assert [one["taken"] for one in report["endpoints"]] == [0, 0]
    assert operator.waiting() == kept


def test_the_operator_leaves_the_schedules_samples_alone(operator: Operator) -> None:
    operator.down()
    operator.new_app(("push", "plan")).handle({"action": "push"}, None)
    kept = operator.waiting()
    assert {key.split("/")[2] for key in kept} == {"0"}
    operator.down(None)
    report = operator.push(sample(1))
    assert [one["taken"] for one in report["endpoints"]] == [0, 0]
    assert operator.waiting() == kept


def test_without_a_spool_what_is_undelivered_fails_the_invocation(operator: Operator) -> None:
    operator.write(spool={"mode": "off"})
    operator.down()
    with pytest.raises(PushFailed, match=r"2 undelivered.*Workspace not found"):
        operator.push(sample(1))


def test_what_the_receiver_rejects_is_counted(operator: Operator) -> None:
    operator.plain.script(Fault.status(400, b"err: out of bounds"))
    report = operator.push(sample(1), sample(2, service="b"))
    plain, rules = report["endpoints"]
    assert sum(one["count"] for one in plain["rejected"].values()) == 2
    assert rules["accepted"] == 2
    assert operator.waiting() == []


def test_the_run_is_one_log_line(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    operator.app = operator.new_app()
    operator.push(sample(1))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (logged,) = [one for one in lines if "_aws" not in one]
    assert logged["message"].startswith("2 accepted, 0 rejected")
    assert logged["level"] == "INFO"


# --- Both at once -----------------------------------------------------------------------------------------------------


def test_pushes_by_hand_do_not_change_what_the_schedule_sends(operator: Operator) -> None:
    """The schedule's series, with and without samples pushed by hand between its ticks."""

    def ticks(between: Callable[[], Any]) -> dict[Labels, list[tuple[int, float]]]:
        before, app = operator.plain.samples, operator.new_app(("push", "plan"))
        for _ in range(3):
            app.handle({"action": "push"}, None)
            between()
            operator.clock.ms += 60_000
        return {
            labels: points[len(before.get(labels, ())) :]
            for labels, points in operator.plain.samples.items()
            if ("__name__", "up") in labels
        }

    quiet = ticks(lambda: None)
    busy = ticks(lambda: operator.push(sample(1)))
    assert {labels: len(points) for labels, points in busy.items()} == dict.fromkeys(quiet, 3)
    assert operator.plain.refused == 0
