"""What a warm environment remembers of what it sent: per endpoint, across failures, and across a changed config."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from sandbox.amp import Authorization, Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.delivery import ENVIRONMENT
from tests.rig.push import SYNTHETIC, Source, config_text, counts, endpoint, job, now_ms, run, tick, warm_of


@pytest.fixture
def still() -> Iterator[Source]:
    """An API whose two records do not move."""
    with Api() as api:
        source = Source(api)
        at = now_ms()
        source.records = lambda: [{"id": str(n), "value": n, "at": at} for n in range(2)]
        yield source


def points(receiver: Receiver) -> list[tuple[int, float]]:
    return sorted(sample for samples in receiver.series("requests_total").values() for sample in samples)


def test_a_record_that_could_not_be_delivered_comes_with_the_next_run(still: Source, receiver: Receiver) -> None:
    """The record did not move, but no receiver has it yet."""
    with warm_of(config_text([job(still.url)], [endpoint(receiver, "amp")])) as environment:
        receiver.always(Fault.status(404))
        assert counts(run(environment).deliveries[0])["undelivered"] == 2 + SYNTHETIC
        receiver.always(None)
        (second,) = run(environment).deliveries
        assert (second.accepted, second.dropped.total()) == (2 + SYNTHETIC, 0)
        (third,) = run(environment).deliveries
        assert third.dropped.counts == {"not_newer": 2}
        assert len(points(receiver)) == 2
        assert receiver.refused == 0


def test_a_bug_on_the_way_does_not_make_records_count_as_sent(
    still: Source, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """They count as undelivered, and come with the next run."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    with warm_of(config_text([job(still.url)], [endpoint(receiver, "amp")])) as environment:
        with monkeypatch.context() as patched:
            patched.setattr(environment.endpoints[0].client, "post", broken)
            (first,) = run(environment).deliveries
        assert first.undelivered.counts == {"no_result": 2 + SYNTHETIC}
        assert "ZeroDivisionError" in first.undelivered.first_examples["no_result"]
        (second,) = run(environment).deliveries
        assert (second.accepted, second.dropped.total()) == (2 + SYNTHETIC, 0)


def test_only_the_requests_that_were_left_come_again(still: Source, receiver: Receiver) -> None:
    """The first of several requests was taken; the run stopped at the second."""
    queue = {"max_samples_per_send": 1, "max_shards": 1}
    with warm_of(config_text([job(still.url)], [endpoint(receiver, "amp", queue_config=queue)])) as environment:
        receiver.script(None, Fault.status(404))
        first = counts(run(environment).deliveries[0])
        assert (first["accepted"], first["undelivered"]) == (1, 1 + SYNTHETIC)
        (second,) = run(environment).deliveries
        assert second.dropped.counts == {"not_newer": 1}
        assert len(points(receiver)) == 2
        assert receiver.refused == 0


def test_several_points_of_a_series_that_were_left_come_again_in_order(api: Api, receiver: Receiver) -> None:
    source = Source(api)
    at = now_ms() - 60_000
    source.records = lambda: [{"id": "a", "value": n, "at": at + n * 1000} for n in (3, 1, 2)]
    with warm_of(config_text([job(source.url)], [endpoint(receiver, "amp")])) as environment:
        receiver.always(Fault.status(404))
        run(environment)
        receiver.always(None)
        assert run(environment).deliveries[0].dropped.total() == 0
        assert points(receiver) == [(at + n * 1000, float(n)) for n in (1, 2, 3)]


def test_endpoints_remember_for_themselves(still: Source) -> None:
    """What one endpoint has got is not taken from another that was down, and not sent twice to the first."""
    with Receiver() as up, Receiver() as down:
        down.always(Fault.status(404))
        with warm_of(config_text([job(still.url)], [endpoint(up, "up"), endpoint(down, "down")])) as environment:
            run(environment)
            down.always(None)
            first, second = run(environment).deliveries
            assert first.dropped.counts == {"not_newer": 2}
            assert (second.accepted, second.dropped.total()) == (2 + SYNTHETIC, 0)
            assert points(up) == points(down)
            assert (up.refused, down.refused) == (0, 0)


def test_a_changed_config_keeps_what_each_endpoint_has_got(still: Source) -> None:
    """Two endpoints of one address and the same rules are two all the same."""
    rules = [{"source_labels": ["id"], "target_label": "twin"}]
    with Receiver() as one, Receiver() as two:
        entries = [endpoint(one, "one", write_relabel_configs=rules), endpoint(two, "two", write_relabel_configs=rules)]
        with warm_of(config_text([job(still.url)], entries)) as before:
            run(before)
            text = config_text([job(still.url, honor_labels=True)], entries)
            after = Environment(parse_config(text, "config.yaml", ENVIRONMENT), before.dependencies, before=before)
            report = push(after, tick(after), time.monotonic() + 10)
            assert [one.dropped.counts for one in report.deliveries] == [{"not_newer": 2}] * 2
            assert len({id(endpoint.view) for endpoint in after.endpoints}) == 2
            assert (len(points(one)), len(points(two))) == (2, 2)


def test_amps_limits_do_not_cost_another_receiver_its_series(still: Source, receiver: Receiver) -> None:
    many = {f"l{number}": "x" for number in range(160)}
    with Receiver(auth=None) as other:
        other.limits = type(other.limits)(max_labels=1000)
        entries = [endpoint(receiver, "amp"), endpoint(other, "other") | {"sigv4": None}]
        entries[1].pop("sigv4")
        with warm_of(config_text([job(still.url, labels=many)], entries)) as environment:
            limited, free = run(environment).deliveries
            assert limited.dropped.counts == {"too_many_labels": 2 + SYNTHETIC}
            assert (free.accepted, free.dropped.total()) == (2 + SYNTHETIC, 0)


def test_oauth2_towards_a_receiver(still: Source) -> None:
    """The token is fetched once for several runs, and again when the receiver refuses it."""
    tokens: list[str] = []

    def answer(request: Request) -> Answer:
        assert request.body is not None
        assert b"grant_type=client_credentials" in request.body
        tokens.append(f"token-{len(tokens) + 1}")
        return Answer.json({"access_token": tokens[-1], "expires_in": 3600})

    with LoopbackServer(answer) as issuer, Receiver(auth=Authorization("Bearer token-1")) as receiver:
        oauth2 = {"client_id": "me", "client_secret": "s3cr3t", "token_url": f"{issuer.base_url}/token"}
        entry = endpoint(receiver, "receiver", oauth2=oauth2)
        entry.pop("sigv4")
        with warm_of(config_text([job(still.url)], [entry])) as environment:
            assert counts(run(environment).deliveries[0])["accepted"] == 2 + SYNTHETIC
            run(environment)
            assert tokens == ["token-1"]
            receiver.auth = Authorization("Bearer token-2")
            assert run(environment).deliveries[0].undelivered.total() == 0
            assert tokens == ["token-1", "token-2"]


@pytest.mark.slow
def test_a_name_look_up_that_hangs_is_not_waited_for(
    still: Source, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """No timeout reaches into the resolver; the report comes in time nevertheless."""
    released = threading.Event()
    real = socket.getaddrinfo

    def slow(host: Any, *arguments: Any, **keys: Any) -> Any:
        if host == "hangs.invalid":
            released.wait(20)
        return real(host, *arguments, **keys)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    for jobs, entries in (
        ([job("http://hangs.invalid/x")], [endpoint(receiver, "amp")]),
        ([job(still.url)], [endpoint(receiver, "amp") | {"url": "http://hangs.invalid/write"}]),
    ):
        with warm_of(config_text(jobs, entries)) as environment:
            started = time.monotonic()
            report = run(environment, seconds=1.5)
            assert time.monotonic() - started < 15
            assert report.scrapes[0].error or report.deliveries[0].undelivered.counts == {"no_result": 7}
    released.set()


def test_a_refused_request_does_not_come_again(still: Source, receiver: Receiver) -> None:
    """A 400 is final: the receiver has seen the samples."""
    with warm_of(config_text([job(still.url)], [endpoint(receiver, "amp")])) as environment:
        receiver.script(Fault.status(400, json.dumps({"error": "no"}).encode()))
        assert counts(run(environment).deliveries[0])["rejected"] == 2 + SYNTHETIC
        assert run(environment).deliveries[0].dropped.counts == {"not_newer": 2}
