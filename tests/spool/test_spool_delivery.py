"""What a run cannot deliver waits and is delivered first: across endpoints, protocol versions, refusals, metrics and
the Lambda function itself."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App, PushFailed
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.remote_write.encode.decode import unpack
from lambda_remote_write.spool import entry as entries
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Fault
from tests.rig.delivery import ENVIRONMENT, KEYS, Clock, in_order, no_session
from tests.rig.lambda_context import Context
from tests.rig.push import Runs, endpoint

pytestmark = pytest.mark.slow  # outages take real time

SAMPLES = Runs.SAMPLES
SLOW = {"min_backoff": "5ms", "max_backoff": "20ms"}


class World(Runs):
    """Runs, and what they leave behind."""

    def __init__(self, api: Api, folder: Path) -> None:
        super().__init__(api, folder, Clock(really_sleeps=True))
        self.clock.ahead = -7_200.0

    def new_environment(self, endpoints: list[dict[str, Any]], **spool: Any) -> Environment:
        return self.environment(endpoints, spool)

    def kept(self, part: str) -> list[entries.Entry]:
        return [entries.decode(path.read_bytes()) for path in sorted((self.folder / part).rglob("*-*"))]


@pytest.fixture
def world(api: Api, tmp_path: Path) -> Iterator[World]:
    found = World(api, tmp_path / "kept")
    yield found
    found.dependencies.transport.close()


@pytest.fixture
def amp(world: World) -> Iterator[Receiver]:
    with Receiver(now=world.clock.time) as running:
        yield running


@pytest.mark.slow
def test_an_endpoint_that_is_down_neither_delays_nor_loses_the_others_samples(world: World) -> None:
    with Receiver(now=world.clock.time) as up, Receiver(now=world.clock.time) as down:
        down.always(Fault.hang())
        environment = world.new_environment(
            [endpoint(up, "up"), endpoint(down, "down", remote_timeout="100ms", queue_config=SLOW)]
        )
        for _ in range(3):
            first, second = world.run(environment, seconds=2.0).deliveries
            assert (first.accepted, first.spooled.total(), second.accepted) == (SAMPLES, 0, 0)
        down.always(None)
        first, second = world.run(environment).deliveries
        assert (first.accepted, first.taken) == (SAMPLES, 0)
        assert (second.accepted, second.taken) == (4 * SAMPLES, 3 * SAMPLES)
        assert up.samples == down.samples
        assert in_order(down)


@pytest.mark.slow
def test_progress_of_a_backlog_is_reported_and_bounded_by_the_runs_time(world: World, amp: Receiver) -> None:
    environment = world.new_environment([endpoint(amp, "amp")])
    amp.always(Fault.status(404))
    for _ in range(20):
        world.run(environment)
    amp.always(Fault.delay(0.25))
    seen = []
    for _ in range(20):
        started = time.monotonic()
        (delivery,) = world.run(environment, seconds=2.5).deliveries
        assert time.monotonic() - started < 10
        seen.append((delivery.waiting.entries, delivery.waiting.drained, delivery.spooled.counts["behind_backlog"]))
        if not delivery.waiting.entries:
            break
    assert seen[0][0] > seen[1][0] > 0
    assert all(drained for _, drained, _ in seen)
    assert seen[0][2] == SAMPLES
    assert seen[-1][0] == 0
    assert in_order(amp)
    assert {len(points) for points in amp.samples.values()} == {20 + len(seen)}


def test_what_waits_in_2_0_goes_out_in_1_0_when_the_receiver_wants_that(world: World) -> None:
    message = {"protobuf_message": "io.prometheus.write.v2.Request", "sigv4": None}
    with Receiver(now=world.clock.time, auth=None, version_2="refused") as receiver:
        entry = {key: value for key, value in endpoint(receiver, "r", **message).items() if value is not None}
        environment = world.new_environment([entry])
        receiver.always(Fault.status(404))
        world.run(environment)
        assert [request.version for one in world.kept("spool") for request in one.requests] == [2]
        receiver.always(None)
        (delivery,) = world.run(environment).deliveries
        assert delivery.accepted == 2 * SAMPLES
        assert any("does not take remote write 2.0" in detail for detail in delivery.warnings)
        assert {len(points) for points in receiver.samples.values()} == {2}


def test_what_waited_too_long_is_dead_and_the_rest_of_its_request_goes_out(world: World, amp: Receiver) -> None:
    """A request with some too old is cut; what is cut keeps its reason."""
    environment = world.new_environment([endpoint(amp, "amp", queue_config={"sample_age_limit": "10m"})])
    amp.always(Fault.status(404))
    source = world.records
    old = world.clock.now_ms() - 5 * 60_000
    world.records = lambda: [*source(), {"id": "0", "value": 7, "at": old}]  # type: ignore[method-assign]
    world.run(environment)
    world.records = source  # type: ignore[method-assign]
    world.clock.ahead += 6 * 60
    amp.always(None)
    (delivery,) = world.run(environment).deliveries
    assert delivery.dropped.counts == {"too_old": 1}
    assert (delivery.taken, delivery.accepted, delivery.dead_lettered) == (SAMPLES + 1, 2 * SAMPLES, 1)
    (dead,) = world.kept("dead")
    assert [(one.reason, one.request.samples) for one in dead.pending] == [("too_old", 1)]
    assert unpack(dead.requests[0])[0].timestamps_ms == [old]
    assert world.kept("spool") == []


@pytest.mark.parametrize(("rejected", "count"), [("keep", 1), ("drop", 0)])
def test_refused_requests_are_kept_for_inspection_when_asked_for(
    world: World, rejected: str, count: int, amp: Receiver
) -> None:
    amp.script(Fault.status(400, b"no good"))
    report = world.run(world.new_environment([endpoint(amp, "amp")], rejected=rejected))
    assert report.deliveries[0].rejected.counts == {"http_400": SAMPLES}
    assert report.totals()["DeadLetteredSamples"] == count * SAMPLES
    dead = world.kept("dead")
    assert len(dead) == count
    assert all("no good" in one.detail for entry in dead for one in entry.pending)


def test_what_neither_receiver_nor_spool_took_is_sent_when_the_api_repeats_it(world: World, amp: Receiver) -> None:
    """The same record is no repetition then: it was reported as undelivered, and has not been sent."""
    environment, records = world.new_environment([endpoint(amp, "amp")]), world.records()
    world.records = lambda: records  # type: ignore[method-assign]
    world.folder.write_text("in the way")
    amp.always(Fault.status(404))
    (lost,) = world.run(environment).deliveries
    assert (lost.undelivered.total(), amp.samples) == (SAMPLES, {})
    world.folder.unlink()
    amp.always(None)
    (delivery,) = world.run(environment).deliveries
    assert (delivery.accepted, delivery.dropped.counts) == (SAMPLES, {})
    found = amp.series("requests_total").values()
    assert list(found) == [[(record["at"], float(record["value"]))] for record in records]


def overtaken(world: World, amp: Receiver, **spool: Any) -> Environment:
    """Something waits, and newer samples of the same series go out past it, from an environment without a spool."""
    environment = world.new_environment([endpoint(amp, "amp")], **spool)
    amp.script(Fault.status(404))
    world.run(environment)
    world.clock.ahead += 120
    (delivery,) = world.run(world.new_environment([endpoint(amp, "amp")], mode="off")).deliveries
    assert delivery.accepted == SAMPLES
    return environment


@pytest.mark.parametrize("rejected", ["drop", "keep"])
def test_what_waited_and_is_refused_because_newer_samples_were_first_is_dead(
    world: World, rejected: str, amp: Receiver
) -> None:
    """Whatever the config does with refusals: otherwise it would be lost."""
    (delivery,) = world.run(overtaken(world, amp, rejected=rejected)).deliveries
    assert (delivery.taken, delivery.accepted) == (SAMPLES, SAMPLES)
    assert (delivery.rejected.counts, delivery.dead_lettered) == ({"overtaken": SAMPLES}, SAMPLES)
    (dead,) = world.kept("dead")
    assert {one.reason for one in dead.pending} == {"overtaken"}
    assert dead.samples == SAMPLES
    assert all("too old sample" in one.detail for one in dead.pending)
    assert world.kept("spool") == []


def test_a_fresh_sample_that_comes_too_late_is_refused_as_before(world: World, amp: Receiver) -> None:
    """Only what waited in the spool may have been overtaken by this function."""
    world.run(world.new_environment([endpoint(amp, "amp")], mode="off"))
    world.clock.ahead -= 240
    (delivery,) = world.run(world.new_environment([endpoint(amp, "amp")])).deliveries
    assert (delivery.rejected.counts, delivery.dead_lettered) == ({"sample-too-old": SAMPLES}, 0)
    assert world.kept("dead") == []


def test_overtaken_samples_wait_until_they_can_be_kept_and_are_not_sent_again(world: World, amp: Receiver) -> None:
    environment = overtaken(world, amp)
    (world.folder / "dead").write_text("in the way")
    (delivery,) = world.run(environment).deliveries
    assert (delivery.rejected.total(), delivery.spooled.counts["overtaken"]) == (0, SAMPLES)
    assert delivery.spooled.counts["behind_backlog"] == SAMPLES
    assert any("could not be kept under dead/" in detail for detail in delivery.warnings)
    refused = amp.refused
    (world.folder / "dead").unlink()
    (delivery,) = world.run(environment).deliveries
    assert (delivery.rejected.counts, delivery.dead_lettered) == ({"overtaken": SAMPLES}, SAMPLES)
    assert (delivery.taken, delivery.accepted, amp.refused) == (2 * SAMPLES, 2 * SAMPLES, refused)
    assert sum(one.samples for one in world.kept("dead")) == SAMPLES


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_request_that_was_refused_unread_is_not_maybe_stored(world: World, status: int, amp: Receiver) -> None:
    """It is certainly not stored, so that a later refusal is one."""
    amp.always(Fault.status(status))
    world.run(world.new_environment([endpoint(amp, "amp")]))
    (entry,) = world.kept("spool")
    assert not any(request.maybe_stored for request in entry.requests)


def test_an_entry_holds_no_secrets(world: World, amp: Receiver) -> None:
    amp.always(Fault.status(404))
    keys = {"headers": {"X-Key": "hush-hush"}, "url": f"{amp.url}?token=s3cret"}
    world.run(world.new_environment([endpoint(amp, "amp", **keys)]))
    (path,) = (world.folder / "spool").rglob("*-*")
    for secret in ("hush-hush", "s3cret", amp.url, KEYS.secret_key, KEYS.access_key):
        assert secret.encode() not in path.read_bytes()


# --- The function -----------------------------------------------------------------------------------------------------


def function_of(world: World, amp: Receiver) -> App:
    """Its log is this test's own, and goes to what is the standard output by then."""
    path = world.folder.parent / "config.yaml"
    path.write_text(world.text([endpoint(amp, "amp")]))
    env_vars = ENVIRONMENT | {"PUSHER_CONFIG": str(path), "POWERTOOLS_SERVICE_NAME": f"s-{uuid.uuid4()}"}
    return App(Dependencies(env_vars, world.clock.now_ms, no_session, world.clock.sleep))


def test_the_function_succeeds_while_the_spool_holds_the_data(
    world: World, capsys: pytest.CaptureFixture[str], amp: Receiver
) -> None:
    """Nothing is lost: the spool's age triggers the alarm, and the log says why."""
    app = function_of(world, amp)
    amp.always(Fault.status(404, b'{"Message":"Workspace not found"}'))
    for _ in range(2):
        result = app.handle({}, None)
        world.clock.ahead += 60
    assert result["ok"] is True
    assert result["totals"]["SpooledSamples"] == 2 * SAMPLES
    assert result["endpoints"][0]["waiting"]["entries"] == 2
    amp.always(None)
    assert app.handle({}, None)["totals"]["AcceptedSamples"] == 3 * SAMPLES
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logs, metrics = [one for one in lines if "_aws" not in one], [one for one in lines if "_aws" in one]
    assert [one["level"] for one in logs] == ["WARNING", "WARNING", "INFO"]
    assert "Workspace not found" in logs[0]["message"]
    assert [one["OldestWaitingSeconds"][0] // 10 for one in metrics] == [0, 6, 0]
    assert [one["LostSamples"][0] for one in metrics] == [0] * 3
    assert [one["Delivered"][0] for one in metrics] == [0, 0, 1]


def test_a_spool_that_takes_nothing_fails_the_function_and_names_the_loss(world: World, amp: Receiver) -> None:
    amp.always(Fault.status(404))
    world.folder.write_text("in the way")
    app = function_of(world, amp)
    with pytest.raises(PushFailed, match=r"8 undelivered.*the spool did not take them"):
        app.handle({}, Context(seconds=5))  # it tries until the time is up
    world.folder.unlink()
    amp.always(None)
    assert app.handle({}, None)["ok"] is True


# --- Where no timeout reaches -----------------------------------------------------------------------------------------


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that hangs for one name until the event is set."""
    released, real = threading.Event(), socket.getaddrinfo

    def slow(host: Any, *arguments: Any, **keys: Any) -> Any:
        if host == "hangs.invalid":
            released.wait(20)
            host = "127.0.0.1"
        return real(host, *arguments, **keys)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    yield released
    released.set()


@pytest.mark.slow
def test_a_look_up_that_hangs_costs_no_sample(world: World, resolver: threading.Event, amp: Receiver) -> None:
    """The run ends in time, and what it could not send waits; the thread that wakes up later records nothing."""
    entry = endpoint(amp, "amp") | {"url": amp.url.replace("127.0.0.1", "hangs.invalid")}
    environment = world.new_environment([entry])
    started = time.monotonic()
    (delivery,) = world.run(environment, seconds=4.0).deliveries
    assert time.monotonic() - started < 15
    assert delivery.spooled.counts == {"no_result": SAMPLES}
    accounting = dict(delivery.spooled.counts), delivery.accepted, delivery.attempts
    resolver.set()
    time.sleep(0.3)
    assert (dict(delivery.spooled.counts), delivery.accepted, delivery.attempts) == accounting
    (later,) = world.run(environment).deliveries
    assert (later.taken, later.accepted) == (SAMPLES, 2 * SAMPLES)
    assert {len(points) for points in amp.samples.values()} == {2}
    assert in_order(amp)


@pytest.mark.slow
def test_a_look_up_that_hangs_in_the_backlog_leaves_it_as_it_is(
    world: World, resolver: threading.Event, amp: Receiver
) -> None:
    environment = world.new_environment([endpoint(amp, "amp")])
    amp.always(Fault.status(404))
    world.run(environment)
    amp.always(None)
    entry = endpoint(amp, "amp") | {"url": amp.url.replace("127.0.0.1", "hangs.invalid")}
    cold = world.new_environment([entry])
    (delivery,) = world.run(cold, seconds=4.0).deliveries
    assert (delivery.taken, delivery.spooled.counts) == (0, {"no_result": SAMPLES})
    assert sum(one.samples for one in world.kept("spool")) == 2 * SAMPLES
    resolver.set()
    world.run(cold)
    assert {len(points) for points in amp.samples.values()} == {3}
    assert in_order(amp)
