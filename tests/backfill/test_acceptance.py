"""What a receiver can take late: sample by sample, and in agreement with a workspace that has the rules of AMP. What a
backfill finds out of it before it sends anything, what it says of it, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_remote_write.backfill.acceptance import Acceptance, Rules, check_acceptance
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.series import label_codec
from sandbox.amp import Limits, Received, Receiver, Workspace
from tests.rig import backfill as rigs
from tests.rig import made
from tests.rig.backfill import HOUR, MINUTE, SECOND, Past, Place, counts, desk, now_ms, only, point, total, workspace

pytestmark = pytest.mark.usefixtures("prometheus")
NOW = 1_716_480_000_000
MARGIN_MS = 15_000  # so near the hour it is open whether a sample arrives in time
DAYS_30 = 30 * 24 * HOUR
ACCEPTED, WINDOW = ("accepted", ""), ("window", "out_of_order")
TOO_OLD, TOO_NEW = ("impossible", "too_old"), ("impossible", "too_far_in_future")
BEHIND = ("impossible", "behind_window")


def rules(window_seconds: int | None = 60, head_age: int = 0, max_age_ms: int = HOUR) -> Rules:
    window_ms = None if window_seconds is None else window_seconds * SECOND
    return Rules(NOW, max_age_ms, window_ms, NOW - head_age * SECOND)


def checked(points: Sequence[made.Point], newest: dict[str, int], known: Rules) -> Acceptance:
    """The points, oldest first, of series whose newest samples are these."""
    cache = made.cache()
    samples = made.samples_of(sorted(points, key=lambda one: one[2]), cache)
    for series in samples.series:
        series.last_ms = newest.get(label_codec.labels_of(series.prefix)["id"], series.last_ms)
    return check_acceptance(samples, known)


def stamps(found: Acceptance) -> dict[str, list[int]]:
    return {name: sorted(getattr(found, name).timestamps_ms) for name in ("accepted", "window", "impossible")}


@pytest.mark.parametrize(
    ("age", "newest_age", "known", "expected"),
    [
        pytest.param(0, None, rules(), ACCEPTED, id="now, a new series"),
        pytest.param(3500, None, rules(), ACCEPTED, id="a minute and a half below the hour"),
        pytest.param(3584, None, rules(), ACCEPTED, id="a second before the margin"),
        pytest.param(3586, None, rules(), TOO_OLD, id="inside the margin"),
        pytest.param(86_400, None, rules(600), TOO_OLD, id="a day, with the widest window"),
        pytest.param(-590, None, rules(), ACCEPTED, id="nearly ten minutes ahead"),
        pytest.param(-601, None, rules(), TOO_NEW, id="over ten minutes ahead"),
        pytest.param(1799, 1800, rules(), ACCEPTED, id="newer than the newest of its series"),
        pytest.param(3570, 3580, rules(), ACCEPTED, id="newer than the newest, which is nearly an hour old"),
        pytest.param(1801, 1800, rules(), BEHIND, id="older than the newest"),
        pytest.param(1800, 1800, rules(), BEHIND, id="as old as the newest"),
        pytest.param(30, 10, rules(), WINDOW, id="older than the newest, inside the window"),
        pytest.param(59, 10, rules(), WINDOW, id="just inside the window"),
        pytest.param(60, 10, rules(), WINDOW, id="at the edge of the window"),
        pytest.param(61, 10, rules(), BEHIND, id="just behind the window"),
        pytest.param(300, 10, rules(600), WINDOW, id="inside a wide window"),
        pytest.param(601, 10, rules(600), BEHIND, id="behind a wide window"),
        pytest.param(1, 0, rules(0), BEHIND, id="no window"),
        pytest.param(0, 1, rules(0), ACCEPTED, id="in order, no window"),
        pytest.param(1850, 1800, rules(60, head_age=1800), WINDOW, id="the window counts from the head"),
        pytest.param(1861, 1800, rules(60, head_age=1800), BEHIND, id="behind a window that counts from the head"),
        pytest.param(200, 100, rules(60, head_age=20), BEHIND, id="the head belongs to another series"),
        pytest.param(7200, None, rules(None, max_age_ms=0), ACCEPTED, id="no limits: two hours"),
        pytest.param(29 * 86_400, None, rules(None, max_age_ms=DAYS_30), ACCEPTED, id="thirty days: 29"),
        pytest.param(31 * 86_400, None, rules(None, max_age_ms=DAYS_30), TOO_OLD, id="thirty days: 31"),
        pytest.param(3601, 0, rules(None, max_age_ms=DAYS_30), WINDOW, id="any order: over an hour behind the newest"),
    ],
)
def test_a_sample_has_its_class(age: int, newest_age: int | None, known: Rules, expected: tuple[str, str]) -> None:
    """One sample of one series: what can become of it, and why."""
    newest = {} if newest_age is None else {"a": NOW - newest_age * SECOND}
    found = checked([point("a", NOW - age * SECOND)], newest, known)
    kind, reason = expected
    assert stamps(found)[kind] == [NOW - age * SECOND]
    assert sum(map(len, stamps(found).values())) == 1
    if kind == "impossible":
        assert dict(found.reasons.counts) == {reason: 1}
        assert found.reasons.first_examples[reason]


# --- In agreement with the rules themselves ---------------------------------------------------------------------------

ages = st.integers(-900, 4200).map(lambda seconds: seconds * SECOND)
histories = st.lists(st.tuples(st.sampled_from("abc"), ages), max_size=12)
windows = st.sampled_from([0, 60, 600])


def at(parts: Sequence[tuple[str, int]], now: int) -> list[made.Point]:
    """(series, age in milliseconds) -> points, each time of a series once, oldest first."""
    return sorted((point(name, now - age) for name, age in set(parts)), key=lambda one: one[2])


def is_near_a_limit(stamp: int, now: int) -> bool:
    """Where the margin lets a judgement be other than the receiver's."""
    return 0 <= HOUR - (now - stamp) <= MARGIN_MS


@settings(max_examples=300)
@given(histories, histories, windows)
def test_acceptance_agrees_with_the_rules_of_amp(
    past: list[tuple[str, int]], wanted: list[tuple[str, int]], window: int
) -> None:
    """What is accepted or inside the window gets in; each impossible one is refused by itself."""
    limits = Limits(out_of_order_seconds=window)
    room = Workspace("owner", limits, keep_valid=True)
    for one in at(past, NOW):
        room.push(made.stub_message([one]), NOW / 1000)
    newest = {dict(labels)["id"]: max(found)[0] for labels, found in room.samples.items()}
    head = max(newest.values(), default=NOW)
    points = [one for one in at(wanted, NOW) if one[2] not in {at for at, _ in room.samples.get(key_of(one), ())}]
    found = checked(points, newest, Rules(NOW, HOUR, window * SECOND, head))
    impossible = set(zip(ids(found.impossible), found.impossible.timestamps_ms, strict=True))
    for one in points:
        if (one[0]["id"], one[2]) in impossible and not is_near_a_limit(one[2], NOW):
            assert room.push(made.stub_message([one]), NOW / 1000).refused == 1, one
    good = [one for one in points if (one[0]["id"], one[2]) not in impossible]
    verdict = room.push(made.stub_message(good), NOW / 1000)
    assert (verdict.accepted, verdict.refused) == (len(good), 0), verdict.answer.body


def key_of(one: made.Point) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(one[0].items()))


def ids(samples: made.Samples) -> list[str]:
    return [label_codec.labels_of(series.prefix)["id"] for series in samples.series]


# --- And of whole backfills -------------------------------------------------------------------------------------------

young = st.integers(0, 4200).map(lambda seconds: seconds * SECOND)
young_histories = st.lists(st.tuples(st.sampled_from("abc"), young), max_size=10)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(young_histories, young_histories, windows)
def test_a_backfill_keeps_what_it_promises(
    tmp_path: Path, past: list[tuple[str, int]], wanted: list[tuple[str, int]], window: int
) -> None:
    """Nothing that is sent is refused; forced, all that was impossible is refused."""
    now = now_ms()
    for force in (False, True):
        with workspace(limits=Limits(out_of_order_seconds=window)) as place:
            for one in at(past, now):
                if now - one[2] < HOUR - 5 * SECOND:
                    rigs.write(place.amp, [one])  # some of it is refused
            had, refused = rigs.stored(place.amp), place.amp.refused
            fresh = [one for one in at(wanted, now) if one[2] not in had.get(str(one[0]["id"]), ())]
            found = only(place.backfill(tmp_path, fresh, force=force))
            assert sum(found["classes"].values()) == found["collected"] == len(fresh)
            impossible, near = found["classes"]["impossible"], sum(is_near_a_limit(one[2], now) for one in fresh)
            if force:
                assert found["dropped"] == {}
                assert place.amp.refused - refused >= impossible - near, (found, had)
                assert total(found["rejected"]) >= impossible - near  # a refusal names one of a request
            else:
                assert (found["rejected"], place.amp.refused) == ({}, refused), (found, had)
                assert total(found["dropped"]) == impossible


@pytest.mark.parametrize(
    "ages",
    [
        pytest.param({"a": [4000, 1800, 60]}, id="too old and good ones of a series"),
        pytest.param({"a": [4000], "b": [1800]}, id="too old and good ones of two series"),
        pytest.param({"a": [1800, -700]}, id="too far ahead and good ones of a series"),
        pytest.param({"known": [1000, 300, 60]}, id="behind the window and good ones of a series"),
    ],
)
def test_force_costs_no_sample_that_is_possible(tmp_path: Path, ages: dict[str, list[int]]) -> None:
    """A receiver drops all of a series' entry for one bad timestamp: what is good must not stand in it."""
    now = now_ms()
    points = [point(name, now - age * SECOND) for name, some in ages.items() for age in some]
    with workspace([point("known", now - 600 * SECOND)]) as place:
        answer = place.backfill(tmp_path, points, force=True)
        classes = only(answer)["classes"]
        assert classes["impossible"] == place.amp.refused == total(only(answer)["rejected"]) == 1
        assert (only(answer)["dropped"], only(answer)["collected"]) == ({}, len(points))
        assert classes["accepted"] == len(points) - 1
        assert sum(map(len, rigs.stored(place.amp).values())) == len(points)  # one is there from before


@pytest.mark.parametrize("series", ["a", "b"], ids=["its own", "another's"])
@pytest.mark.parametrize("ahead", [2, 120, 540])
def test_a_newest_sample_may_be_ahead_of_the_clock(tmp_path: Path, series: str, ahead: int) -> None:
    """Another writer's clock may go wrong by minutes: then the series' newest, and the window, are there."""
    now = now_ms()
    with workspace([point("a", now - 30 * SECOND), point(series, now + ahead * SECOND)]) as place:
        points = [point("a", now - 40 * SECOND), point("a", now - 59 * SECOND)]
        answer = place.backfill(tmp_path, points)
        assert only(answer)["rejected"] == {}
        assert place.amp.refused == 0


def test_a_head_that_is_ahead_moves_the_lower_bound_of_new_series(tmp_path: Path) -> None:
    """In order, AMP takes what is not older than an hour before its newest sample: the clock does not count there."""
    now = now_ms()
    with workspace([point("a", now + 540 * SECOND)]) as place:
        points = [point("new", now - 3300 * SECOND), point("new", now - 2900 * SECOND)]
        found = only(place.backfill(tmp_path, points))
        assert (found["accepted"], found["rejected"], place.amp.refused) == (1, {}, 0)


# --- Before anything is sent ------------------------------------------------------------------------------------------

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
    past.points = rigs.minutes("new", now_ms() - 40 * MINUTE, 30)
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
    assert found["accepted"] + total(found["rejected"]) == 2


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
        at_desk = desk(tmp_path, [rigs.other_endpoint(receiver, **({"max_age": max_age} if max_age else {}))])
        found = only(at_desk.backfill(from_=rigs.write_file(tmp_path / "x.om", points)))
        again = only(at_desk.backfill(from_=rigs.write_file(tmp_path / "late.om", [point("a", now - 20 * rigs.DAY)])))
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
    past.points = rigs.minutes("new", now_ms() - 3 * HOUR + MINUTE, 58)
    keys = {} if option == "another endpoint" else {option: str(tmp_path / "out.om") if option == "export" else True}
    with Receiver(auth=None, limits=rigs.ANY_AGE) as other:
        rest = [] if keys else [rigs.other_endpoint(other, max_age="30d")]
        at_desk = desk(tmp_path, [rigs.endpoint(place.amp), *rest], [past.job(window="10m")])
        answer = at_desk.backfill(job="usage", start="-3h", end="-2h", **keys)
        assert past.asked
        assert (answer["samples"], answer["endpoints"][0]["classes"]["impossible"]) == (58, 58)
        assert other.accepted == (0 if keys else 58)


# --- Requests ---------------------------------------------------------------------------------------------------------


def test_requests_about_a_workspace_are_signed(tmp_path: Path, past: Past) -> None:
    """With the wrong secret nothing is found out and nothing gets in: the backfill stops and says what to mend."""
    past.points = rigs.minutes("new", now_ms() - 40 * MINUTE, 3)
    seen: list[Received] = []
    with workspace(on_request=seen.append) as place:
        entry = rigs.endpoint(place.amp)
        entry["sigv4"] |= {"secret_key": "another"}
        answer = desk(tmp_path, [entry], [past.job()]).backfill(job="usage", start="-45m", end="-5m")
        assert (answer["done"], bool(answer["stopped"])) == (False, True)
        assert only(answer)["accepted"] == 0
        assert {one.status for one in seen} <= {403}
        assert [one.status for one in place.amp.control_requests] == [403]
