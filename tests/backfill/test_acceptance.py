"""What a receiver can take late: sample by sample, and in agreement with a workspace that has the rules of AMP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_remote_write.backfill.acceptance import Acceptance, Rules, check_acceptance
from lambda_remote_write.series import label_codec
from sandbox.amp import Limits, Workspace
from tests.rig import backfill as rigs
from tests.rig import made
from tests.rig.backfill import HOUR, SECOND, now_ms, only, point, total, workspace

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
