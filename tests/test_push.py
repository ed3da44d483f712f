"""A whole push: sources to endpoints over real sockets, each endpoint by itself, every sample accounted for."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from sandbox.amp import Limits, Receiver
from sandbox.api import Api
from sandbox.server import Fault
from tests.rig.delivery import ENVIRONMENT, Clock, in_order
from tests.rig.push import SYNTHETIC, Source, config_text, counts, endpoint, job, now_ms, run, tick, warm_of
from tests.rig.tables import table


@pytest.fixture
def source(api: Api) -> Source:
    made = Source(api)
    made.records = lambda: [{"id": str(n), "value": n, "at": now_ms()} for n in range(3)]
    return made


# --- Endpoints are independent ----------------------------------------------------------------------------------------


def test_one_that_hangs_and_one_that_is_down_do_not_cost_the_third(source: Source) -> None:
    with Receiver() as hanging, Receiver() as down, Receiver() as fine:
        hanging.always(Fault.hang())
        down.close()
        text = config_text(
            [job(source.url)], [endpoint(hanging, "hanging"), endpoint(down, "down"), endpoint(fine, "fine")]
        )
        with warm_of(text) as environment:
            before, started = set(threading.enumerate()), time.monotonic()
            report = run(environment, seconds=1.5)
            assert time.monotonic() - started < 10
            left = [thread.name for thread in set(threading.enumerate()) - before]
            assert [name for name in left if "process_request" not in name] == []  # only the stand-ins' own
        all_lost = {"collected": 8, "accepted": 0, "rejected": 0, "dropped": 0, "undelivered": 8}
        assert {one.endpoint: counts(one) for one in report.deliveries} == {
            "hanging": all_lost,
            "down": all_lost,
            "fine": {"collected": 8, "accepted": 8, "rejected": 0, "dropped": 0, "undelivered": 0},
        }
        assert fine.accepted == 8
        assert report.failed


def test_each_endpoint_gets_its_own_view(source: Source) -> None:
    drop_up = [{"source_labels": ["__name__"], "regex": "up|scrape_.*", "action": "drop"}]
    merge = [{"action": "labeldrop", "regex": "id"}]
    with Receiver() as plain, Receiver() as less, Receiver() as merged:
        endpoints = [
            endpoint(plain, "plain"),
            endpoint(less, "less", write_relabel_configs=drop_up),
            endpoint(merged, "merged", write_relabel_configs=merge),
        ]
        with warm_of(
            config_text([job(source.url)], endpoints, **{"global": {"external_labels": {"env": "t"}}})
        ) as environment:
            for _ in range(2):
                report = run(environment)
                assert not report.failed
                time.sleep(0.01)
        found = {one.endpoint: counts(one) for one in report.deliveries}
        assert {name: (one["accepted"], one["dropped"]) for name, one in found.items()} == {
            "plain": (8, 0),
            "less": (3, 5),
            "merged": (6, 2),
        }
        assert all(receiver.refused == 0 for receiver in (plain, less, merged))
        assert all(dict(labels)["env"] == "t" for labels in merged.samples)
        assert len(merged.series("requests_total")) == 1


def test_a_dead_source_is_up_0_and_nothing_else(api: Api, source: Source, receiver: Receiver) -> None:
    dead = api.serve("/dead", Fault.status(500))
    text = config_text([job(source.url), job(dead, "dead")], [endpoint(receiver, "amp")])
    with warm_of(text) as environment:
        report = run(environment)
    assert not report.failed
    assert report.totals()["JobsDown"] == 1
    ups = {dict(labels)["job"]: points[-1][1] for labels, points in receiver.series("up").items()}
    assert ups == {"usage": 1.0, "dead": 0.0}
    assert "dead" in report.summary()


# --- Order: whatever the API does, no request is refused for it -------------------------------------------------------


def moving(clock: Clock, last: int) -> Callable[[], list[dict[str, Any]]]:
    def records() -> list[dict[str, Any]]:
        minute = clock.now_ms() // 60_000 * 60_000
        return [{"id": name, "value": age, "at": minute - 60_000 * age} for name in "ab" for age in range(last)]

    return records


@pytest.mark.parametrize(
    ("kind", "new_each_run"),
    [
        pytest.param("last 20 points", [40, 2, 2, 2], id="returns its last 20 points, newest first"),
        pytest.param("does not move", [2, 0, 0, 0], id="a record that does not move"),
        pytest.param("revised", [2, 0, 0, 0], id="a revised record"),
        pytest.param("steps back", [2, 0, 0, 0], id="an API that steps back"),
    ],
)
@pytest.mark.parametrize("keep_valid", [True, False], ids=["cortex", "prometheus"])
def test_apis_that_repeat_themselves_are_never_refused(
    api: Api, kind: str, new_each_run: list[int], keep_valid: bool
) -> None:
    clock, source = Clock(stands=True), Source(api)  # or a minute might begin within a run
    start_ms = clock.now_ms()
    turn = [0]
    kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "last 20 points": moving(clock, 20),
        "does not move": lambda: [{"id": name, "value": 7, "at": start_ms} for name in "ab"],
        "revised": lambda: [{"id": name, "value": turn[0], "at": start_ms} for name in "ab"],
        "steps back": lambda: [{"id": name, "value": 1, "at": start_ms - 9000 * turn[0]} for name in "ab"],
    }
    source.records = kinds[kind]
    with Receiver(now=clock.time, keep_valid=keep_valid, limits=Limits(out_of_order_seconds=0)) as receiver:
        with warm_of(config_text([job(source.url)], [endpoint(receiver, "amp")]), clock) as environment:
            for new in new_each_run:
                (delivery,) = run(environment).deliveries
                assert delivery.accepted == new + SYNTHETIC
                assert delivery.dropped.counts["not_newer"] == delivery.collected - new - SYNTHETIC
                clock.ahead += 60
                turn[0] += 1
        assert receiver.refused == 0
        assert {record.status for record in receiver.requests} == {200}
        assert in_order(receiver)


# --- The accounting ---------------------------------------------------------------------------------------------------

FAULTS: list[Fault | None] = [
    None, None, None, Fault.status(202), Fault.status(204), Fault.status(301), Fault.status(400, b"bad"),
    Fault.status(403), Fault.status(404), Fault.status(413), Fault.status(415), Fault.status(429),
    Fault.status(429, headers={"Retry-After": "9999"}), Fault.status(500), Fault.status(503), Fault.garbage(),
    Fault.reset(), Fault.reset(before_body=True), Fault.lost_answer(), Fault.half_answer(), Fault.dead_keep_alive(),
    Fault.reset_mid_answer(),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(25))
def test_every_sample_is_accounted_for_once(api: Api, seed: int, receiver: Receiver) -> None:
    """collected = accepted + rejected + dropped + undelivered, per endpoint and run, whatever happens."""
    chance, source = random.Random(seed), Source(api)
    source.records = lambda: [
        {"id": str(chance.randrange(6)), "value": chance.random(), "at": now_ms() - chance.randrange(-900, 4_000_000)}
        for _ in range(chance.randrange(40))
    ]
    rules = [{"source_labels": ["id"], "regex": "[12]", "action": "drop"}, {"regex": "x", "action": "labeldrop"}]
    with Receiver(keep_valid=False) as second:
        endpoints = [
            endpoint(receiver, "first", queue_config={"max_samples_per_send": str(chance.randint(1, 9))}),
            endpoint(second, "second", queue_config={"max_samples_per_send": "7"}, write_relabel_configs=rules),
        ]
        with warm_of(config_text([job(source.url)], endpoints)) as environment:
            for _ in range(3):
                for one in (receiver, second):
                    one.script(*chance.choices(FAULTS, k=chance.randint(0, 8)))
                report = run(environment, seconds=2)
                scraped = sum(len(one.samples) + one.dropped.total() for one in report.scrapes)
                for delivery in report.deliveries:
                    found = counts(delivery)
                    assert found["collected"] == scraped
                    assert scraped == sum(found[key] for key in ("accepted", "rejected", "dropped", "undelivered"))
                    for reasons in (delivery.rejected, delivery.dropped, delivery.undelivered):
                        assert all(reasons.first_examples[reason] for reason, count in reasons.counts.items() if count)
                assert report.failed == any(one.undelivered.total() for one in report.deliveries)
        assert in_order(receiver)
        assert in_order(second)


# --- Metadata ---------------------------------------------------------------------------------------------------------


def metadata_requests(receiver: Receiver) -> list[list[str]]:
    found = [record.message for record in receiver.requests if record.message]
    return [[entry.metric_family_name for entry in message.metadata] for message in found if message.metadata]


@table(
    "config, seconds, sent_in_run",
    [
        ("every minute by default", {}, 59.9, [1, 1, 1, 1]),  # a schedule is not exact
        ("every other minute", {"send_interval": "2m"}, 59.9, [1, 0, 1, 0]),
        ("every hour", {"send_interval": "1h"}, 59.9, [1, 0, 0, 0]),
        ("never", {"send": "false"}, 59.9, [0, 0, 0, 0]),
        ("also though the clock was set back", {}, -7_200, [1, 1]),
    ],
)
def test_metadata_goes_out_at_its_own_pace(
    source: Source, config: dict[str, str], seconds: float, sent_in_run: list[int]
) -> None:
    clock, sent = Clock(), []
    with Receiver(now=clock.time) as receiver:
        text = config_text([job(source.url)], [endpoint(receiver, "amp", metadata_config=config)])
        with warm_of(text, clock) as environment:
            for _ in sent_in_run:
                before = len(metadata_requests(receiver))
                run(environment)
                sent.append(len(metadata_requests(receiver)) - before)
                clock.ahead += seconds
        assert sent == sent_in_run
        assert (receiver.metadata.get("requests_total") is not None) == bool(sum(sent))


@pytest.mark.parametrize(
    ("status", "sent_again"), [(400, False), (404, True), (413, False), (415, False), (503, True)], ids=str
)
def test_metadata_that_is_refused_costs_no_sample_and_comes_again_when_it_may_be_taken(
    source: Source, status: int, sent_again: bool
) -> None:
    clock = Clock()
    with Receiver(now=clock.time) as receiver:
        text = config_text([job(source.url)], [endpoint(receiver, "amp", metadata_config={"send_interval": "1h"})])
        with warm_of(text, clock) as environment:
            receiver.script(None, Fault.status(status, b"metadata is bad", headers={"Retry-After": "9999"}))
            report = run(environment)
            assert not report.failed
            assert counts(report.deliveries[0])["accepted"] == 8
            assert any("metadata is bad" in warning for warning in report.deliveries[0].warnings)
            clock.ahead += 60
            run(environment)
        assert len(metadata_requests(receiver)) == 1 + sent_again
        assert ("requests_total" in receiver.metadata) is sent_again


def test_a_job_that_runs_seldom_gets_its_metadata_through(api: Api, source: Source) -> None:
    """Its metadata is due by itself, not only when another job's happens to be."""
    clock = Clock()
    seldom = job(source.url, "seldom")
    seldom["metrics"][0]["name"] = "seldom_total"
    with Receiver(now=clock.time) as receiver:
        text = config_text(
            [job(source.url), seldom], [endpoint(receiver, "amp", metadata_config={"send_interval": "10m"})]
        )
        with warm_of(text, clock) as environment:
            for due in (["usage"], ["usage"], ["usage", "seldom"]):
                push(environment, tick(environment, *due), time.monotonic() + 5)
                clock.ahead += 60
        assert metadata_requests(receiver) == [["requests_total"], ["seldom_total"]]


# --- Time and memory --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_slow_source_does_not_starve_the_delivery_of_the_others(api: Api, source: Source, receiver: Receiver) -> None:
    hanging = api.serve("/hanging", Fault.hang())
    text = config_text([job(source.url), job(hanging, "hanging", scrape_timeout="30s")], [endpoint(receiver, "amp")])
    with warm_of(text) as environment:
        started = time.monotonic()
        report = run(environment, seconds=5)
        assert time.monotonic() - started < 25
    assert not report.failed
    assert report.deliveries[0].accepted == 3 + 2 * SYNTHETIC


def test_a_warm_environment_sends_the_same_series_without_building_them_again(
    source: Source, receiver: Receiver
) -> None:
    with warm_of(config_text([job(source.url)], [endpoint(receiver, "amp")])) as environment:
        for _ in range(3):
            run(environment)
            time.sleep(0.005)
        assert len(environment.series) == 8
        assert receiver.connections == 1
        assert {len(points) for points in receiver.samples.values()} == {3}


def test_what_there_is_to_say_of_a_config_is_in_the_report_of_its_first_run(source: Source) -> None:
    """Not in every run's, as long as the environment has this config."""
    text = config_text([job(source.url)], [], **{"global": {"scrape_interval": "15s"}})
    with warm_of(text) as environment:
        told = [any("15s is below" in detail for detail in run(environment).warnings) for _ in range(3)]
        after = Environment(parse_config(text, "config.yaml", ENVIRONMENT), environment.dependencies, environment)
        told += [any("15s is below" in detail for detail in run(after).warnings) for _ in range(2)]
    assert told == [True, False, False, True, False]


def test_no_job_and_no_record_is_a_run_like_any_other(api: Api, receiver: Receiver) -> None:
    source = Source(api)
    with warm_of(config_text([job(source.url)], [endpoint(receiver, "amp")])) as environment:
        assert run(environment).deliveries[0].accepted == SYNTHETIC
        nothing_due = replace(tick(environment), jobs=frozenset())
        empty = push(environment, nothing_due, time.monotonic() + 1)
        assert counts(empty.deliveries[0]) == dict.fromkeys(counts(empty.deliveries[0]), 0)
        assert not empty.failed


@pytest.mark.parametrize("rules", [[{"regex": "zzz", "action": "labeldrop"}], []], ids=["added", "removed"])
def test_a_change_of_write_relabelling_does_not_forget_what_was_sent(rules: list[dict[str, Any]], api: Api) -> None:
    """The revised record stays `not_newer`; a receiver would refuse the whole request for it."""
    other = [] if rules else [{"regex": "zzz", "action": "labeldrop"}]
    with Receiver(keep_valid=False) as amp:
        source, at = Source(api), now_ms()
        source.records = lambda: [{"id": "a", "value": 1, "at": at}]
        with warm_of(config_text([job(source.url)], [endpoint(amp, "amp", write_relabel_configs=other)])) as before:
            run(before)
            source.records = lambda: [{"id": "a", "value": 2, "at": at}]
            text = config_text([job(source.url)], [endpoint(amp, "amp", write_relabel_configs=rules)])
            after = Environment(parse_config(text, "config.yaml", ENVIRONMENT), before.dependencies, before=before)
            (delivery,) = push(after, tick(after), time.monotonic() + 10).deliveries
        assert delivery.dropped.counts == {"not_newer": 1}
        assert (delivery.accepted, amp.refused) == (SYNTHETIC, 0)


def test_two_changes_of_the_config_without_a_scrape_between_do_not_forget_what_was_sent(api: Api) -> None:
    """A job that is not due under the config in the middle still has its marks under the one after it. The labels of
    its series are others in the middle, so that each config has a cache of its own. The other series is older, so that
    the job's own mark lets the repeated sample pass."""
    with Receiver(keep_valid=False) as amp:
        source, at = Source(api), now_ms()
        source.records = lambda: [{"id": "a", "value": 1, "at": at}, {"id": "b", "value": 1, "at": at - 1000}]

        def text(environment: str) -> str:
            labels = {"external_labels": {"env": environment}}
            return config_text([job(source.url)], [endpoint(amp, "amp")], **{"global": labels})

        with warm_of(text("one")) as before:
            run(before)
            now = before
            for name in ("two", "one"):
                now = Environment(parse_config(text(name), "c", ENVIRONMENT), before.dependencies, before=now)
                if name == "two":
                    push(now, replace(tick(now), jobs=frozenset()), time.monotonic() + 10)
            source.records = lambda: [{"id": "a", "value": 2, "at": at}]
            delivery = run(now).deliveries[0]
        assert delivery.dropped.counts == {"not_newer": 1}
        assert amp.refused == 0
