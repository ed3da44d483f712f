"""What a backfill finds out before it sends anything, what it says of it, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from sandbox.amp import Limits, Received, Receiver
from tests.rig.backfill_receiving import (
    HOUR_MS,
    MINUTE_MS,
    Past,
    Place,
    by_series,
    config_text,
    counted,
    desk,
    endpoint,
    kept,
    minutes,
    now_ms,
    only,
    other_endpoint,
    point,
    sent_stamps,
    stored,
    total,
    workspace,
    write_file,
)
from tests.rig.needs import Peer

SECOND = 1_000
DAY_MS = 24 * HOUR_MS
ANY_AGE = Limits(max_age_seconds=90 * 86_400, out_of_order_seconds=90 * 86_400)
QUERY, DESCRIBE = "aps:QueryMetrics", "aps:DescribeWorkspaceConfiguration"


@pytest.fixture(autouse=True, scope="module")
def _prometheus(peer: Peer) -> None:
    peer("prometheus")


@pytest.fixture
def place() -> Iterator[Place]:
    """A workspace with a series `live` up to ten seconds ago, and `gone` up to half an hour ago."""
    now = now_ms()
    points = [point("gone", now - 30 * MINUTE_MS), point("live", now - 5 * MINUTE_MS), point("live", now - 10 * SECOND)]
    with workspace(points) as found:
        yield found


def of_every_class(now: int) -> list[Any]:
    """Three that can be accepted, one only inside the window, and two that are impossible for each of two reasons."""
    accepted = [
        point("new", now - 50 * MINUTE_MS),
        point("gone", now - 29 * MINUTE_MS),
        point("live", now - 2 * SECOND),
    ]
    late = [point("live", now - 30 * SECOND), point("live", now - 200 * SECOND), point("gone", now - 35 * MINUTE_MS)]
    return [*accepted, *late, point("new", now - 2 * HOUR_MS), point("gone", now - 3 * HOUR_MS)]


# --- Classes ----------------------------------------------------------------------------------------------------------


def test_every_sample_is_checked_and_only_possible_ones_are_sent(tmp_path: Path, place: Place) -> None:
    """The answer has the classes, the reasons and the rules; the receiver refuses nothing."""
    now = now_ms()
    file = write_file(tmp_path / "x.om", of_every_class(now))
    answer = desk(tmp_path, [endpoint(place.amp)]).backfill(from_=file)
    found = only(answer)
    assert answer["done"]
    assert (answer["samples"], found["collected"], found["accepted"], found["rejected"]) == (8, 8, 4, {})
    assert found["classes"] == {"accepted": 3, "window": 1, "impossible": 4}
    assert counted(found["dropped"]) == {"too_old": 2, "behind_window": 2}
    assert all(entry["example"] for entry in found["dropped"].values())
    assert (found["rules"]["max_age_seconds"], found["rules"]["out_of_order_window_seconds"]) == (3600, 60)
    assert abs(found["rules"]["newest_sample_ms"] - now) <= 15 * SECOND
    assert found["unknown"] == []
    assert place.amp.refused == 0
    rows = [row["endpoints"]["amp"] for row in answer["preflight"]]
    assert {kind: sum(row[kind] for row in rows) for kind in found["classes"]} == found["classes"]
    assert all(row["where"] for row in answer["preflight"])


@pytest.mark.parametrize("window", [0, 120, 600])
def test_the_window_is_the_one_of_the_workspace(tmp_path: Path, window: int) -> None:
    """How far late samples may go back is asked, not assumed."""
    now = now_ms()
    with workspace([point("live", now)], limits=Limits(out_of_order_seconds=window)) as place:
        points = [point("live", now - age * SECOND) for age in (50, 110, 500, 700)]
        found = only(desk(tmp_path, [endpoint(place.amp)]).backfill(from_=write_file(tmp_path / "x.om", points)))
        assert found["rules"]["out_of_order_window_seconds"] == window
        inside = {0: 0, 120: 2, 600: 3}[window]
        assert found["classes"] == {"accepted": 0, "window": inside, "impossible": 4 - inside}
        assert (found["accepted"], found["rejected"]) == (inside, {})


def test_the_newest_samples_come_from_one_query_for_new_metrics_and_one_for_the_head(
    tmp_path: Path, place: Place
) -> None:
    """However many series: what is known of a metric is not asked again."""
    now = now_ms()
    points = [point(f"s{n}", now - 40 * MINUTE_MS, metric) for n in range(50) for metric in ("one_total", "two_total")]
    assert desk(tmp_path, [endpoint(place.amp)]).backfill(from_=write_file(tmp_path / "x.om", points))["done"]
    about = [query for query in place.queries if "one_total" in query or "two_total" in query]
    assert len(about) == 1
    assert len(place.queries) == 2


def test_metrics_of_later_parts_are_asked_about_when_they_come(tmp_path: Path, place: Place, past: Past) -> None:
    """Windows with the same metric cost no query each."""
    now = now_ms()
    past.points = minutes("new", now - 40 * MINUTE_MS, 30)
    at_desk = desk(tmp_path, [endpoint(place.amp)], [past.job(window="2m")])
    answer = at_desk.backfill(job="usage", start="-45m", end="-5m")
    assert (only(answer)["accepted"], answer["parts"] > 5) == (30, True)
    assert len(place.queries) == 2


# --- What is not granted ----------------------------------------------------------------------------------------------


def test_without_queries_the_clock_is_the_head_and_the_answer_says_so(tmp_path: Path, place: Place) -> None:
    """It goes on with less knowledge, and names the permission."""
    now = now_ms()
    place.amp.denied = frozenset({QUERY})
    points = [point("new", now - 40 * MINUTE_MS), point("gone", now - 50 * MINUTE_MS)]
    answer = desk(tmp_path, [endpoint(place.amp)]).backfill(from_=write_file(tmp_path / "x.om", points))
    found = only(answer)
    assert answer["done"]
    assert len(found["unknown"]) == 1
    assert QUERY in found["unknown"][0]
    assert abs(found["rules"]["newest_sample_ms"] - now) < 15 * SECOND
    assert stored(place.amp)["new"] == [now - 40 * MINUTE_MS]
    assert found["accepted"] + total(found["rejected"]) == 2


def test_without_a_view_of_the_configuration_a_minute_is_assumed(tmp_path: Path) -> None:
    """AMP's default counts, though the window is wider, and the answer names the permission."""
    now = now_ms()
    with workspace(
        [point("live", now)], limits=Limits(out_of_order_seconds=600), denied=frozenset({DESCRIBE})
    ) as place:
        points = [point("live", now - age * SECOND) for age in (40, 300)]
        found = only(desk(tmp_path, [endpoint(place.amp)]).backfill(from_=write_file(tmp_path / "x.om", points)))
        assert found["rules"]["out_of_order_window_seconds"] == 60
        assert found["classes"] == {"accepted": 0, "window": 1, "impossible": 1}
        assert len(found["unknown"]) == 1
        assert DESCRIBE in found["unknown"][0]


# --- Receivers that are no AMP ----------------------------------------------------------------------------------------


def test_another_receivers_max_age_is_respected(tmp_path: Path) -> None:
    """What is older than its config says is not sent; the rest is, in any order."""
    now = now_ms()
    points = [point("a", now - age * DAY_MS) for age in (31, 29, 2, 1)]
    with Receiver(auth=None, limits=ANY_AGE) as receiver:
        at_desk = desk(tmp_path, [other_endpoint(receiver, max_age="30d")])
        found = only(at_desk.backfill(from_=write_file(tmp_path / "x.om", points)))
        late = write_file(tmp_path / "late.om", [point("a", now - 20 * DAY_MS)])
        again = only(desk(tmp_path, [other_endpoint(receiver, max_age="30d")]).backfill(from_=late))
        assert counted(found["dropped"]) == {"too_old": 1}
        assert found["rules"]["max_age_seconds"] == 30 * 86_400
        assert found["unknown"] == []
        assert (found["accepted"], again["accepted"], receiver.refused) == (3, 1, 0)
        assert receiver.control_requests == []


def test_another_receiver_without_max_age_gets_everything_and_the_answer_says_so(tmp_path: Path) -> None:
    points = [point("a", now_ms() - age * DAY_MS) for age in (80, 1)]
    with Receiver(auth=None, limits=ANY_AGE) as receiver:
        found = only(desk(tmp_path, [other_endpoint(receiver)]).backfill(from_=write_file(tmp_path / "x.om", points)))
        assert (found["accepted"], found["classes"]["impossible"]) == (2, 0)
        assert len(found["unknown"]) == 1
        assert "max_age" in found["unknown"][0]


def test_max_age_is_no_matter_of_amp() -> None:
    """Its hour cannot be configured."""
    with Receiver() as amp, pytest.raises(ConfigError) as raised:
        parse_config(config_text([endpoint(amp, max_age="2h")]), "pusher.yaml", {})
    assert "max_age" in str(raised.value)


def test_each_endpoint_has_its_own_rules(tmp_path: Path, place: Place) -> None:
    """AMP gets what it takes, the other one everything; either can be left out."""
    now = now_ms()
    file = write_file(tmp_path / "x.om", [point("new", now - 2 * HOUR_MS), point("new", now - 20 * MINUTE_MS)])
    with Receiver(auth=None, limits=ANY_AGE) as other:
        at_desk = desk(tmp_path, [endpoint(place.amp), other_endpoint(other, max_age="30d")])
        chosen = at_desk.backfill(from_=file, endpoint="other")
        assert ([one["endpoint"] for one in chosen["endpoints"]], place.amp.series("requests_total", id="new")) == (
            ["other"], {},
        )  # fmt: skip
        answer = desk(tmp_path / "2", [endpoint(place.amp), other_endpoint(other, max_age="30d")]).backfill(from_=file)
        amp, rest = answer["endpoints"]
        assert (amp["accepted"], counted(amp["dropped"]), rest["accepted"]) == (1, {"too_old": 1}, 2)


# --- Force, dry run, plan ---------------------------------------------------------------------------------------------


def test_force_sends_everything_and_counts_the_refusals(tmp_path: Path, place: Place) -> None:
    now = now_ms()
    points = of_every_class(now)
    refused = place.amp.refused
    answer = desk(tmp_path, [endpoint(place.amp)]).backfill(from_=write_file(tmp_path / "x.om", points), force=True)
    found = only(answer)
    assert sorted(sent_stamps(place.amp)[3:]) == sorted((str(one[0]["id"]), one[2]) for one in points)
    assert (found["dropped"], found["collected"]) == ({}, 8)
    assert found["classes"]["impossible"] == 4
    assert place.amp.refused - refused >= 4
    assert total(found["rejected"]) >= 4


def test_a_dry_run_reads_and_checks_and_does_nothing_else(tmp_path: Path, place: Place) -> None:
    """No sample is sent, nothing is kept, and the classes are those of a real run."""
    points, sent = of_every_class(now_ms()), len(place.amp.requests)
    file = write_file(tmp_path / "x.om", points)
    answer = desk(tmp_path, [endpoint(place.amp)]).backfill(from_=file, dry_run=True)
    found = only(answer)
    assert answer["done"]
    assert answer["dry_run"]
    assert (answer["samples"], found["accepted"]) == (8, 0)
    assert found["classes"] == {"accepted": 3, "window": 1, "impossible": 4}
    assert len(place.amp.requests) == sent
    assert kept(tmp_path) == []
    assert [one.method for one in place.amp.control_requests] == ["GET"]


def test_a_dry_run_does_not_widen(tmp_path: Path, place: Place) -> None:
    file = write_file(tmp_path / "x.om", of_every_class(now_ms()))
    desk(tmp_path, [endpoint(place.amp)]).backfill(from_=file, dry_run=True, widen_out_of_order=True)
    assert {one.method for one in place.amp.control_requests} == {"GET"}


def test_the_class_of_a_dry_run_is_kept_over_its_windows(tmp_path: Path, place: Place, past: Past) -> None:
    """What one window would have brought counts for the next one: in order, all of it is accepted."""
    past.points = minutes("new", now_ms() - 40 * MINUTE_MS, 30)
    at_desk = desk(tmp_path, [endpoint(place.amp)], [past.job(window="5m")])
    answer = at_desk.backfill(job="usage", start="-45m", end="-5m", dry_run=True)
    assert only(answer)["classes"] == {"accepted": 30, "window": 0, "impossible": 0}


def test_a_plan_fetches_nothing_and_its_resume_does_the_work(tmp_path: Path, place: Place, past: Past) -> None:
    """Done is false, nothing is fetched or sent, and the token alone does the work."""
    past.points = minutes("new", now_ms() - 40 * MINUTE_MS, 30)
    at_desk = desk(tmp_path, [endpoint(place.amp)], [past.job()])
    sent = len(place.amp.requests)
    plan = at_desk.backfill(job="usage", start="-45m", end="-5m", plan=True)
    assert (plan["done"], plan["stopped"], only(plan)["collected"]) == (False, "", 0)
    assert (past.asked, len(place.amp.requests)) == ([], sent)
    assert only(plan)["rules"]["max_age_seconds"] == 3600
    answer = at_desk.backfill(resume=plan["resume"])
    assert (answer["done"], only(answer)["accepted"]) == (True, 30)
    assert stored(place.amp)["new"] == by_series(past.points)["new"]


# --- What is too old to be asked for ----------------------------------------------------------------------------------


def test_only_the_part_that_is_too_old_is_not_fetched(tmp_path: Path, place: Place, past: Past) -> None:
    """Of a range that crosses the hour, the windows on this side are asked for, oldest first."""
    now = now_ms()
    past.points = minutes("new", now - 3 * HOUR_MS, 170)
    answer = desk(tmp_path, [endpoint(place.amp)], [past.job(window="5m")]).backfill(
        job="usage", start="-3h", end="-10m"
    )
    assert answer["done"]
    assert past.asked == sorted(past.asked)
    assert min(start for start, _ in past.asked) > now - HOUR_MS - 6 * MINUTE_MS
    young = [one[2] for one in past.points if now - HOUR_MS + MINUTE_MS < one[2] < now - 10 * MINUTE_MS]
    got = stored(place.amp)["new"]
    assert (got == sorted(got), set(young) <= set(got), place.amp.refused) == (True, True, 0)


@pytest.mark.parametrize("option", ["export", "force", "dry_run"])
def test_with_a_use_for_it_the_too_old_is_fetched(tmp_path: Path, place: Place, past: Past, option: str) -> None:
    """An export wants the impossible samples, force sends them, a dry run counts them."""
    start = now_ms() - 3 * HOUR_MS
    past.points = minutes("new", start + MINUTE_MS, 58)
    value = str(tmp_path / "out.om") if option == "export" else True
    at_desk = desk(tmp_path, [endpoint(place.amp)], [past.job(window="10m")])
    answer = at_desk.backfill(job="usage", start="-3h", end="-2h", **{option: value})
    assert past.asked
    assert (answer["samples"], only(answer)["classes"]["impossible"]) == (58, 58)


def test_another_receiver_is_reason_enough_to_fetch_it(tmp_path: Path, place: Place, past: Past) -> None:
    """One endpoint that takes any age gets it all; AMP's counts say what was too old."""
    past.points = minutes("new", now_ms() - 3 * HOUR_MS + MINUTE_MS, 58)
    with Receiver(auth=None, limits=ANY_AGE) as other:
        at_desk = desk(tmp_path, [endpoint(place.amp), other_endpoint(other, max_age="30d")], [past.job()])
        answer = at_desk.backfill(job="usage", start="-3h", end="-2h")
        amp, rest = answer["endpoints"]
        assert (counted(amp["dropped"]), rest["accepted"]) == ({"too_old": 58}, 58)


# --- Requests ---------------------------------------------------------------------------------------------------------


def test_requests_about_a_workspace_are_signed(tmp_path: Path, past: Past) -> None:
    """With the wrong secret nothing is found out and nothing gets in: the backfill stops and says what to mend."""
    past.points = minutes("new", now_ms() - 40 * MINUTE_MS, 3)
    seen: list[Received] = []
    with workspace(on_request=seen.append) as place:
        entry = endpoint(place.amp)
        entry["sigv4"] |= {"secret_key": "another"}
        answer = desk(tmp_path, [entry], [past.job()]).backfill(job="usage", start="-45m", end="-5m")
        assert (answer["done"], bool(answer["stopped"])) == (False, True)
        assert only(answer)["accepted"] == 0
        assert {one.status for one in seen} <= {403}
        assert [one.status for one in place.amp.control_requests] == [403]
