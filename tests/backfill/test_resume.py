"""A backfill that is interrupted at any moment and goes on: every sample arrives once, and the counts say so."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App, BackfillStopped
from lambda_remote_write.backfill.invoke import BadRequest
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.events import BadEvent
from sandbox.amp import Received, Receiver
from sandbox.api import Api
from sandbox.s3 import KEYS as S3_KEYS
from sandbox.s3 import ObjectStore
from sandbox.server import Fault
from tests.rig.backfill_receiving import (
    MINUTE_MS,
    Desk,
    Past,
    Shell,
    by_series,
    config_text,
    counted,
    desk,
    endpoint,
    failing_after,
    kept,
    minutes,
    now_ms,
    only,
    sent_stamps,
    stored,
    total,
    write_file,
)
from tests.rig.lambda_context import Context

pytestmark = pytest.mark.slow  # processes are killed, receivers are waited for

SECOND = 1_000
HOUR = {"job": "usage", "start": "-50m", "end": "-5m"}
RANGE = ["--start", "-50m", "--end", "-5m"]
QUERY = "aps:QueryMetrics"
ONE_PART = 1.9  # seconds of an invocation: less than what it spares for its end, so that it ends after its first part
AWAY = Fault.status(503, headers={"Retry-After": "3600"})  # no invocation waits so long


@pytest.fixture
def past() -> Iterator[Past]:
    """Forty minutes of two series, inside the range that is asked for: nine windows of five minutes. A test may ask for
    them up to 50 seconds later."""
    with Api() as api:
        start = now_ms() - 50 * MINUTE_MS + 50 * SECOND
        points = [*minutes("a", start, 44), *minutes("b", start + 7 * SECOND, 44)]
        yield Past(api, sorted(points, key=lambda one: one[2]))


@pytest.fixture
def amp() -> Iterator[Receiver]:
    """A workspace that does not say what it has: refusals are all that is known."""
    with Receiver(denied=frozenset({QUERY})) as receiver:
        yield receiver


def arrived(amp: Receiver) -> dict[str, list[int]]:
    """What was sent, request after request, refused or not."""
    found: dict[str, list[int]] = {}
    for name, stamp in sent_stamps(amp):
        found.setdefault(name, []).append(stamp)
    return found


# --- Parts and their acknowledgement ----------------------------------------------------------------------------------


def test_parts_go_oldest_first(tmp_path: Path, amp: Receiver, past: Past) -> None:
    answer = desk(tmp_path, [endpoint(amp)], [past.job()]).backfill(**HOUR)
    assert (answer["done"], only(answer)["accepted"]) == (True, 88)
    assert past.asked == sorted(past.asked)
    assert stored(amp) == by_series(past.points)
    newest = [max(stamps) for stamps in (stamps_of(record) for record in amp.requests) if stamps]
    assert newest == sorted(newest)


def stamps_of(record: Received) -> list[int]:
    return [sample.timestamp for one in (record.message.timeseries if record.message else ()) for sample in one.samples]


def test_what_is_acknowledged_stands_in_the_store(tmp_path: Path, amp: Receiver, past: Past) -> None:
    """Below state/backfill/, one object, also while it runs."""
    places: list[list[str]] = []
    at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
    at_desk.backfill(**HOUR, tell=lambda told: places.append(kept(tmp_path)))
    assert len(places) >= 9
    assert {len(place) for place in places[1:]} == {1}
    assert {key for place in places for key in place} == {places[-1][0]}
    assert places[-1][0].startswith("state/backfill/")


def test_progress_is_reported(tmp_path: Path, amp: Receiver, past: Past) -> None:
    """Parts, samples and the share grow to all there is."""
    told: list[Any] = []
    desk(tmp_path, [endpoint(amp)], [past.job()]).backfill(**HOUR, tell=told.append)
    shares, samples = [one.share for one in told], [one.samples for one in told]
    assert (shares, samples) == (sorted(shares), sorted(samples))
    assert (shares[-1], samples[-1]) == (1.0, 88)


# --- Deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_api_that_is_slower_than_the_time_that_is_left_is_asked_again(
    tmp_path: Path, amp: Receiver, past: Past
) -> None:
    """A request that the deadline cuts off is no failure: the backfill does not stop, and the next one goes on."""
    past.fault = lambda request: Fault.delay(30.0) if len(past.asked) == 3 else None
    at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
    answer = at_desk.backfill(6.0, **HOUR)
    assert (answer["done"], answer["stopped"], only(answer)["accepted"]) == (False, "", 20)
    assert at_desk.to_its_end(resume=answer["resume"])[-1]["done"]
    assert arrived(amp) == by_series(past.points)


@pytest.mark.parametrize("with_keys", [False, True], ids=["without a store", "token and the other keys"])
@pytest.mark.parametrize("seconds", [1.0, ONE_PART, 30.0])
def test_going_on_sends_exactly_the_rest(
    tmp_path: Path, amp: Receiver, past: Past, seconds: float, with_keys: bool
) -> None:
    """However little time each invocation has, every sample is sent once and in order."""
    at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
    keys = HOUR if with_keys else {}
    answers = [at_desk.backfill(**HOUR, plan=True)]
    while not answers[-1]["done"]:
        assert len(answers) < 30
        answers.append(at_desk.backfill(seconds, **keys, resume=answers[-1]["resume"]))
    assert arrived(amp) == stored(amp) == by_series(past.points)
    assert amp.refused == 0
    assert len(answers) > (1 if seconds == 30 else 8)


def test_counts_are_of_the_whole_backfill(tmp_path: Path, amp: Receiver, past: Past) -> None:
    """The last answer counts what the invocations before it did."""
    answers = desk(tmp_path, [endpoint(amp)], [past.job()]).to_its_end(ONE_PART, **HOUR)
    last = answers[-1]
    assert (only(last)["collected"], only(last)["accepted"], last["samples"]) == (88, 88, 88)
    assert last["invocations"] == len(answers)
    grown = [only(answer)["accepted"] for answer in answers]
    assert grown == sorted(grown)


@pytest.mark.parametrize("name", ["x.om", "x.ndjson"])
def test_files_go_on_where_they_were_left(tmp_path: Path, amp: Receiver, past: Past, name: str) -> None:
    """Several files, each with more than one part."""
    files = []
    for index in range(3):
        some = past.points[index * 30 : (index + 1) * 30]
        path = tmp_path / f"{index}{name}"
        if name == "x.om":
            write_file(path, some)
        else:
            records = [{"id": labels["id"], "value": value, "at": stamp} for labels, value, stamp in some]
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
        files.append(str(path))
    event = {"from_": files} | ({"job": "usage"} if name == "x.ndjson" else {})
    job = past.job()
    job["metrics"][0]["records"] = "@"
    at_desk = desk(tmp_path, [endpoint(amp)], [job if name == "x.ndjson" else past.job()])
    answers = at_desk.to_its_end(ONE_PART, **event)
    assert len(answers) >= 3
    assert arrived(amp) == stored(amp) == by_series(past.points)


def test_another_environment_goes_on(amp: Receiver, past: Past, tmp_path: Path) -> None:
    """The store is a bucket, and every invocation is a new one, as in Lambda."""
    with ObjectStore() as bucket:
        env_vars = {
            "AWS_ACCESS_KEY_ID": S3_KEYS.access_key, "AWS_SECRET_ACCESS_KEY": S3_KEYS.secret_key,
            "AWS_REGION": S3_KEYS.region, "AWS_ENDPOINT_URL_S3": bucket.base_url,
        }  # fmt: skip
        dependencies = Dependencies(env_vars)
        at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
        at_desk.store, at_desk.env_vars = dependencies.store("s3://spool"), env_vars
        at_desk.to_its_end(ONE_PART, **HOUR)
        dependencies.transport.close()
        assert arrived(amp) == by_series(past.points)
        assert all(key.startswith("state/backfill/") for key in bucket.objects)


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_used_twice_does_no_harm(tmp_path: Path, amp: Receiver, past: Past) -> None:
    """Step Functions may run an invocation again: the store knows better than the token, and nothing is sent again."""
    at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
    tokens = [answer["resume"] for answer in at_desk.to_its_end(ONE_PART, **HOUR)[:-1]]
    sent = arrived(amp)
    for token in random.Random(1).sample(tokens, 4):
        answer = at_desk.to_its_end(resume=token)[-1]
        assert (answer["done"], only(answer)["accepted"]) == (True, 88)
    assert arrived(amp) == sent
    assert amp.refused == 0


def flipped(token: str, place: int) -> str:
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


@pytest.fixture
def under_way(tmp_path: Path, amp: Receiver, past: Past) -> tuple[Desk, str]:
    """A backfill of which one part is done, and its token."""
    at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
    return at_desk, at_desk.backfill(ONE_PART, **HOUR)["resume"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda token: "", id="empty"),
        pytest.param(lambda token: "x", id="a letter"),
        pytest.param(lambda token: token[:-8], id="its end is missing"),
        pytest.param(lambda token: token[: len(token) // 2], id="half of it"),
        pytest.param(lambda token: token[1:], id="its beginning is missing"),
        pytest.param(lambda token: token + "AAAAAAAA", id="something more"),
        pytest.param(lambda token: token + token, id="twice"),
        pytest.param(lambda token: "b9" + token[2:], id="another version"),
        pytest.param(lambda token: 7, id="a number"),
        pytest.param(lambda token: {"token": token}, id="an object"),
        *(
            pytest.param(lambda token, part=part: flipped(token, len(token) * part // 12), id=f"a letter at {part}/12")
            for part in range(12)
        ),
    ],
)
def test_a_damaged_token_is_refused(under_way: tuple[Desk, str], amp: Receiver, damage: Any) -> None:
    """The message names the key, and nothing is sent."""
    at_desk, token = under_way
    sent = len(amp.requests)
    with pytest.raises(BadRequest) as raised:
        at_desk.backfill(resume=damage(token))
    assert "resume" in str(raised.value)
    assert len(amp.requests) == sent


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        pytest.param({"job": "other"}, "job", id="another job"),
        pytest.param({"start": "-3h"}, "start", id="another start"),
        pytest.param({"end": "-1m"}, "end", id="another end"),
        pytest.param({"step": "17s"}, "step", id="another step"),
        pytest.param({"window": "1m"}, "window", id="another window"),
        pytest.param({"endpoint": "second"}, "endpoint", id="another endpoint"),
        pytest.param({"force": True}, "force", id="force"),
        pytest.param({"dry_run": True}, "dry_run", id="a dry run"),
        pytest.param({"from_": ["x.om"]}, "from", id="files"),
    ],
)
def test_a_token_with_keys_that_contradict_it_is_refused(
    under_way: tuple[Desk, str], amp: Receiver, keys: dict[str, Any], word: str
) -> None:
    """What stands beside it must be what it was made for: the message names the key, and nothing is sent."""
    at_desk, token = under_way
    sent = len(amp.requests)
    with pytest.raises(BadRequest) as raised:
        at_desk.backfill(resume=token, **keys)
    assert word in str(raised.value)
    assert len(amp.requests) == sent


WITHOUT_ID = [{"regex": "id", "action": "labeldrop"}]


@pytest.mark.parametrize("change", ["receiver", "url", "name", "labels", "metric relabelling", "write relabelling"])
def test_a_token_of_another_config_is_refused(tmp_path: Path, amp: Receiver, past: Past, change: str) -> None:
    """A job that asks elsewhere, another receiver, or labels that would be others: nothing is sent."""
    token = desk(tmp_path, [endpoint(amp)], [past.job()]).backfill(ONE_PART, **HOUR)["resume"]
    asked, sent = len(past.asked), len(amp.requests)
    with Receiver() as second, Api() as api:
        elsewhere = Past(api)
        endpoints, jobs, top = [endpoint(amp)], [past.job()], {}
        if change == "receiver":
            endpoints = [endpoint(second)]
        elif change == "url":
            jobs = [elsewhere.job()]
        elif change == "name":
            jobs = [past.job(name="renamed")]
        elif change == "labels":
            top = {"global": {"external_labels": {"zone": "b"}}}
        elif change == "metric relabelling":
            jobs = [past.job(metric_relabel_configs=WITHOUT_ID)]
        else:
            endpoints = [endpoint(amp, write_relabel_configs=WITHOUT_ID)]
        other = desk(tmp_path, endpoints, jobs)
        other.text = config_text(endpoints, jobs, **top)
        with pytest.raises(BadRequest, match="config"):
            other.backfill(resume=token)
        assert (second.requests, elsewhere.asked) == ([], [])
    assert (len(past.asked), len(amp.requests)) == (asked, sent)


def test_a_token_for_files_that_have_changed_is_refused(tmp_path: Path, amp: Receiver, past: Past) -> None:
    """Where it stopped is no place in another content."""
    files = [write_file(tmp_path / f"{n}.om", past.points[n * 30 : n * 30 + 30]) for n in range(3)]
    at_desk = desk(tmp_path, [endpoint(amp)])
    token = at_desk.backfill(ONE_PART, from_=files)["resume"]
    sent = len(amp.requests)
    write_file(tmp_path / "1.om", past.points[:30])
    with pytest.raises(BadRequest) as raised:
        at_desk.to_its_end(resume=token)
    assert "1.om" in str(raised.value)
    assert len(amp.requests) == sent


# --- A receiver that is not there -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.status(503), id="503"),
        pytest.param(Fault.status(429, headers={"Retry-After": "1"}), id="429"),
        pytest.param(Fault.reset(), id="reset"),
        pytest.param(Fault.garbage(), id="garbage"),
        pytest.param(Fault.hang(), id="no answer"),
    ],
)
def test_a_receiver_that_is_down_is_waited_for(tmp_path: Path, amp: Receiver, past: Past, fault: Fault) -> None:
    """Nothing is acknowledged that it does not have: once it is back, it gets every sample once."""
    at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
    amp.always(fault)
    answer = at_desk.backfill(3.0, **HOUR)
    assert (answer["done"], only(answer)["accepted"], total(only(answer)["rejected"])) == (False, 0, 0)
    again = at_desk.backfill(1.0, resume=answer["resume"])
    assert (again["done"], only(again)["accepted"]) == (False, 0)
    amp.always(None)
    last = at_desk.to_its_end(resume=again["resume"])[-1]
    assert stored(amp) == by_series(past.points)
    assert only(last)["accepted"] + total(only(last)["rejected"]) == 88
    assert counted(only(last)["rejected"]).keys() <= {"maybe_stored"}


def test_a_receiver_that_goes_down_in_between(tmp_path: Path, past: Past) -> None:
    """What it has taken before counts, and is not sent again."""
    with failing_after(2, AWAY) as amp:
        at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
        answer = at_desk.backfill(**HOUR)
        assert not answer["done"]
        assert only(answer)["accepted"] == sum(map(len, stored(amp).values())) == 20
        amp.always(None)
        at_desk.to_its_end(resume=answer["resume"])
        assert stored(amp) == by_series(past.points)
        assert amp.refused == 0


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        pytest.param(
            403, b'{"Message":"User is not authorized to perform: aps:RemoteWrite"}', "aps:RemoteWrite", id="403"
        ),
        pytest.param(404, b'{"Message":"Workspace not found"}', "orkspace", id="404"),
    ],
)
def test_a_receiver_that_refuses_all_stops_it(tmp_path: Path, past: Past, status: int, body: bytes, word: str) -> None:
    """The answer says what to mend, nothing is lost, and the token goes on afterwards."""
    with failing_after(1, Fault.status(status, body)) as amp:
        at_desk = desk(tmp_path, [endpoint(amp)], [past.job()])
        answer = at_desk.backfill(**HOUR)
        assert (answer["done"], only(answer)["accepted"], only(answer)["rejected"]) == (False, 10, {})
        assert word in answer["stopped"]
        amp.always(None)
        at_desk.to_its_end(resume=answer["resume"])
        assert stored(amp) == by_series(past.points)


def function(folder: Path, text: str) -> App:
    """The function that people invoke, with its config and spool in a folder."""
    config = folder / "config.yaml"
    config.write_text(text)
    env_vars = {"PUSHER_CONFIG": str(config), "PUSHER_SPOOL": str(folder / "spool")}
    return App(Dependencies(env_vars), ("plan", "spool", "push_samples", "backfill"))


def test_the_function_fails_when_it_is_stopped_and_says_how_it_goes_on(
    tmp_path: Path, amp: Receiver, past: Past
) -> None:
    app = function(tmp_path, desk(tmp_path, [endpoint(amp)], [past.job()]).text)
    amp.always(Fault.status(403, b'{"Message":"User is not authorized to perform: aps:RemoteWrite"}'))
    with pytest.raises(BackfillStopped) as raised:
        app.handle({"action": "backfill", **HOUR}, Context())
    assert "aps:RemoteWrite" in str(raised.value)
    event = json.loads(str(raised.value)[str(raised.value).index('{"action"') :])
    amp.always(None)
    assert app.handle(event, Context())["done"]
    assert stored(amp) == by_series(past.points)


def test_the_function_refuses_what_it_cannot_read(tmp_path: Path, amp: Receiver, past: Past) -> None:
    app = function(tmp_path, desk(tmp_path, [endpoint(amp)], [past.job()]).text)
    with pytest.raises(BadEvent, match="resume"):
        app.handle({"action": "backfill", "resume": "b1.nothing"}, Context())


# --- What may be there already ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_valid", [True, False], ids=["keeps the valid rest", "all or nothing"])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_lost_answer_costs_and_doubles_nothing(tmp_path: Path, past: Past, keep_valid: bool, lost: int) -> None:
    """The request goes again: what is refused then may have been stored, and is counted as that."""
    with Receiver(denied=frozenset({QUERY}), keep_valid=keep_valid) as amp:
        amp.script(*[None] * (lost - 1), Fault.lost_answer())
        answer = desk(tmp_path, [endpoint(amp)], [past.job()]).backfill(**HOUR)
        found = only(answer)
        assert answer["done"]
        assert stored(amp) == by_series(past.points)
        assert counted(found["rejected"]).keys() <= {"maybe_stored"}
        assert found["accepted"] + total(found["rejected"]) == 88
        assert total(found["rejected"]) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("stored_first", [True, False], ids=["after it was stored", "before it was stored"])
@pytest.mark.parametrize("request_number", [1, 2, 5, 9])
def test_a_killed_process_goes_on_from_the_store(
    tmp_path: Path, past: Past, request_number: int, stored_first: bool
) -> None:
    """SIGKILL while a request is under way: with --resume every sample is there once, and what is refused of the
    repeated window may have been stored."""
    moment = threading.Event()

    def seen(_: Any) -> None:
        if len(amp.requests) == request_number:
            moment.set()

    with Receiver(denied=frozenset({QUERY}), on_request=seen) as amp:
        process = Shell(tmp_path, desk(tmp_path, [endpoint(amp)], [past.job()]).text)
        amp.script(*[None] * (request_number - 1), replace(Fault.hang(), handled=stored_first))
        process.kill_when(moment, "--job", "usage", *RANGE)
        answer = process.end("--job", "usage", *RANGE, "--resume")
        found = only(answer)
        assert answer["done"]
        assert stored(amp) == by_series(past.points)
        assert counted(found["rejected"]).keys() <= {"maybe_stored"}
        assert found["accepted"] + total(found["rejected"]) + total(found["dropped"]) == 88
        repeated = len(sent_stamps(amp)) - 88
        assert repeated <= 10
        if stored_first:
            assert total(found["rejected"]) > 0
        else:
            assert found["rejected"] == {}


@pytest.mark.parametrize("request_number", [1, 4])
def test_the_same_token_again_after_a_kill(tmp_path: Path, past: Past, request_number: int) -> None:
    """As Step Functions does it: the part that was under way is sent again, and its refusals may be no loss."""
    moment = threading.Event()

    def seen(_: Any) -> None:
        if len(amp.requests) == request_number:
            moment.set()

    with Receiver(denied=frozenset({QUERY}), on_request=seen) as amp:
        process = Shell(tmp_path, config_text([endpoint(amp)], [past.job()]))
        token = process.desk.backfill(**HOUR, plan=True)["resume"]
        for _ in range(request_number - 1):
            token = process.desk.backfill(ONE_PART, resume=token)["resume"]
        amp.script(replace(Fault.hang(), handled=True))
        process.kill_when(moment, "--resume", token)
        last = process.desk.to_its_end(resume=token)[-1]
        assert stored(amp) == by_series(past.points)
        assert set(counted(only(last)["rejected"])) == {"maybe_stored"}


@pytest.mark.slow
def test_a_process_killed_twice(tmp_path: Path, past: Past) -> None:
    """The second time in the middle of what the first one left."""
    moments = [threading.Event(), threading.Event()]
    limits = {3: 0, 6: 1}

    def seen(_: Any) -> None:
        if len(amp.requests) in limits:
            moments[limits[len(amp.requests)]].set()

    with Receiver(denied=frozenset({QUERY}), on_request=seen) as amp:
        process = Shell(tmp_path, desk(tmp_path, [endpoint(amp)], [past.job()]).text)
        hang = replace(Fault.hang(), handled=True)
        amp.script(None, None, hang, None, None, hang)
        process.kill_when(moments[0], "--job", "usage", *RANGE)
        process.kill_when(moments[1], "--job", "usage", *RANGE, "--resume")
        answer = process.end("--job", "usage", *RANGE, "--resume")
        assert answer["done"]
        assert stored(amp) == by_series(past.points)
        assert counted(only(answer)["rejected"]).keys() <= {"maybe_stored"}
