"""What a backfill finds out before it sends anything, what it says of it, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from sandbox.amp import Limits, Received, Receiver
from tests.rig import backfill as rigs
from tests.rig.backfill import (
    HOUR,
    MINUTE,
    SECOND,
    Past,
    Place,
    counts,
    desk,
    minutes,
    now_ms,
    only,
    other_endpoint,
    point,
    workspace,
    write_file,
)

pytestmark = pytest.mark.usefixtures("prometheus")
QUERY, DESCRIBE = "aps:QueryMetrics", "aps:DescribeWorkspaceConfiguration"


@pytest.fixture
def place() -> Iterator[Place]:
    """A workspace with a series `live` up to ten seconds ago, and `gone` up to half an hour ago."""
    now = now_ms()
    points = [point("gone", now - 30 * MINUTE), point("live", now - 5 * MINUTE), point("live", now - 10 * SECOND)]
    with workspace(points) as found:
        yield found


def of_every_class(now: int) -> list[Any]:
    """Three that can be accepted, one only inside the window, and two that are impossible for each of two reasons."""
    accepted = [
        point("new", now - 50 * MINUTE),
        point("gone", now - 29 * MINUTE),
        point("live", now - 2 * SECOND),
    ]
    late = [point("live", now - 30 * SECOND), point("live", now - 200 * SECOND), point("gone", now - 35 * MINUTE)]
    return [*accepted, *late, point("new", now - 2 * HOUR), point("gone", now - 3 * HOUR)]


# --- Classes ----------------------------------------------------------------------------------------------------------


def test_every_sample_is_checked_and_only_possible_ones_are_sent(tmp_path: Path, place: Place) -> None:
    """The answer has the classes, the reasons and the rules; the receiver refuses nothing."""
    now = now_ms()
    answer = place.backfill(tmp_path, of_every_class(now))
    found = only(answer)
    assert answer["done"]
    assert (answer["samples"], found["collected"], found["accepted"], found["rejected"]) == (8, 8, 4, {})
    assert found["classes"] == {"accepted": 3, "window": 1, "impossible": 4}
    assert counts(found["dropped"]) == {"too_old": 2, "behind_window": 2}
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
        found = only(place.backfill(tmp_path, points))
        assert found["rules"]["out_of_order_window_seconds"] == window
        inside = {0: 0, 120: 2, 600: 3}[window]
        assert found["classes"] == {"accepted": 0, "window": inside, "impossible": 4 - inside}
        assert (found["accepted"], found["rejected"]) == (inside, {})


def test_the_newest_samples_come_from_one_query_for_new_metrics_and_one_for_the_head(
    tmp_path: Path, place: Place
) -> None:
    """However many series: what is known of a metric is not asked again."""
    now = now_ms()
    points = [point(f"s{n}", now - 40 * MINUTE, metric) for n in range(50) for metric in ("one_total", "two_total")]
    assert place.backfill(tmp_path, points)["done"]
    about = [query for query in place.queries if "one_total" in query or "two_total" in query]
    assert len(about) == 1
    assert len(place.queries) == 2


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_known_after_one_window_counts_for_the_next(
    tmp_path: Path, place: Place, past: Past, dry_run: bool
) -> None:
    """Windows with the same metric cost no query each, and in order all of it is accepted: also in a dry run, where
    nothing arrives."""
    past.points = minutes("new", now_ms() - 40 * MINUTE, 30)
    at_desk = desk(tmp_path, [rigs.endpoint(place.amp)], [past.job(window="2m")])
    answer = at_desk.backfill(job="usage", start="-45m", end="-5m", dry_run=dry_run)
    assert only(answer)["classes"] == {"accepted": 30, "window": 0, "impossible": 0}
    assert (only(answer)["accepted"], answer["parts"] > 5) == (0 if dry_run else 30, True)
    assert len(place.queries) == 2


# --- What is not granted ----------------------------------------------------------------------------------------------


def test_without_queries_the_clock_is_the_head_and_the_answer_says_so(tmp_path: Path, place: Place) -> None:
    """It goes on with less knowledge, and names the permission."""
    now = now_ms()
    place.amp.denied = frozenset({QUERY})
    points = [point("new", now - 40 * MINUTE), point("gone", now - 50 * MINUTE)]
    answer = place.backfill(tmp_path, points)
    found = only(answer)
    assert answer["done"]
    assert len(found["unknown"]) == 1
    assert QUERY in found["unknown"][0]
    assert abs(found["rules"]["newest_sample_ms"] - now) < 15 * SECOND
    assert rigs.stored(place.amp)["new"] == [now - 40 * MINUTE]
    assert found["accepted"] + rigs.total(found["rejected"]) == 2


def test_without_a_view_of_the_configuration_a_minute_is_assumed(tmp_path: Path) -> None:
    """AMP's default counts, though the window is wider, and the answer names the permission."""
    now = now_ms()
    with workspace(
        [point("live", now)], limits=Limits(out_of_order_seconds=600), denied=frozenset({DESCRIBE})
    ) as place:
        points = [point("live", now - age * SECOND) for age in (40, 300)]
        found = only(place.backfill(tmp_path, points))
        assert found["rules"]["out_of_order_window_seconds"] == 60
        assert found["classes"] == {"accepted": 0, "window": 1, "impossible": 1}
        assert len(found["unknown"]) == 1
        assert DESCRIBE in found["unknown"][0]


# --- Receivers that are no AMP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_age", "accepted"), [("30d", 3), (None, 4)])
def test_another_receivers_max_age_is_respected(tmp_path: Path, max_age: str | None, accepted: int) -> None:
    """What is older than its config says is not sent; the rest is, in any order. Without a limit it gets everything,
    and the answer says what to set."""
    now = now_ms()
    points = [point("a", now - age * rigs.DAY) for age in (31, 29, 2, 1)]
    with Receiver(auth=None, limits=rigs.ANY_AGE) as receiver:
        at_desk = desk(tmp_path, [other_endpoint(receiver, **({"max_age": max_age} if max_age else {}))])
        found = only(at_desk.backfill(from_=write_file(tmp_path / "x.om", points)))
        again = only(at_desk.backfill(from_=write_file(tmp_path / "late.om", [point("a", now - 20 * rigs.DAY)])))
        assert found["rules"]["max_age_seconds"] == (30 * 86_400 if max_age else None)
        assert counts(found["dropped"]) == ({"too_old": 1} if max_age else {})
        assert ["max_age" in one for one in found["unknown"]] == ([] if max_age else [True])
        assert (found["accepted"], again["accepted"], receiver.refused) == (accepted, 1, 0)
        assert receiver.control_requests == []


def test_max_age_is_no_matter_of_amp() -> None:
    """Its hour cannot be configured."""
    with Receiver() as amp, pytest.raises(ConfigError) as raised:
        parse_config(rigs.config_text([rigs.endpoint(amp, max_age="2h")]), "pusher.yaml", {})
    assert "max_age" in str(raised.value)


# --- Force, dry run, plan ---------------------------------------------------------------------------------------------


def test_a_dry_run_reads_and_checks_and_does_nothing_else(tmp_path: Path, place: Place) -> None:
    """No sample is sent, nothing is kept, no window is widened, and the classes are those of a real run."""
    points, sent = of_every_class(now_ms()), len(place.amp.requests)
    answer = place.backfill(tmp_path, points, dry_run=True, widen_out_of_order=True)
    found = only(answer)
    assert answer["done"]
    assert answer["dry_run"]
    assert (answer["samples"], found["accepted"]) == (8, 0)
    assert found["classes"] == {"accepted": 3, "window": 1, "impossible": 4}
    assert len(place.amp.requests) == sent
    assert rigs.kept(tmp_path) == []
    assert [one.method for one in place.amp.control_requests] == ["GET"]


# --- What is too old to be asked for ----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["export", "force", "dry_run", "another endpoint"])
def test_with_a_use_for_it_the_too_old_is_fetched(tmp_path: Path, place: Place, past: Past, option: str) -> None:
    """An export wants the impossible samples, force sends them, a dry run counts them, and another receiver takes them:
    AMP's counts say what was too old."""
    past.points = minutes("new", now_ms() - 3 * HOUR + MINUTE, 58)
    keys = {} if option == "another endpoint" else {option: str(tmp_path / "out.om") if option == "export" else True}
    with Receiver(auth=None, limits=rigs.ANY_AGE) as other:
        rest = [] if keys else [other_endpoint(other, max_age="30d")]
        at_desk = desk(tmp_path, [rigs.endpoint(place.amp), *rest], [past.job(window="10m")])
        answer = at_desk.backfill(job="usage", start="-3h", end="-2h", **keys)
        assert past.asked
        assert (answer["samples"], answer["endpoints"][0]["classes"]["impossible"]) == (58, 58)
        assert other.accepted == (0 if keys else 58)


# --- Requests ---------------------------------------------------------------------------------------------------------


def test_requests_about_a_workspace_are_signed(tmp_path: Path, past: Past) -> None:
    """With the wrong secret nothing is found out and nothing gets in: the backfill stops and says what to mend."""
    past.points = minutes("new", now_ms() - 40 * MINUTE, 3)
    seen: list[Received] = []
    with workspace(on_request=seen.append) as place:
        entry = rigs.endpoint(place.amp)
        entry["sigv4"] |= {"secret_key": "another"}
        answer = desk(tmp_path, [entry], [past.job()]).backfill(job="usage", start="-45m", end="-5m")
        assert (answer["done"], bool(answer["stopped"])) == (False, True)
        assert only(answer)["accepted"] == 0
        assert {one.status for one in seen} <= {403}
        assert [one.status for one in place.amp.control_requests] == [403]
