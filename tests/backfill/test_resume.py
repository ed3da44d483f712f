"""A backfill that is interrupted at any moment and goes on: every sample arrives once, and the counts say so."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App, BackfillStopped
from lambda_remote_write.backfill.invoke import BadRequest
from lambda_remote_write.dependencies import Dependencies
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.s3 import ObjectStore
from sandbox.server import Fault
from tests.rig import backfill as rigs
from tests.rig.backfill import Desk, Past, Shell, by_series, config_text, counts, desk, only, stored, telling, total
from tests.rig.lambda_context import Context

pytestmark = pytest.mark.slow  # processes are killed, receivers are waited for

EVENT = {"job": "usage", "start": "-50m", "end": "-5m"}
RANGE = ["--start", "-50m", "--end", "-5m"]
ONE_PART = 1.9  # seconds of an invocation: less than what it spares for its end, so that it ends after its first part


@pytest.fixture
def past(past: Past) -> Past:
    """Forty minutes of two series, inside the range that is asked for: nine windows of five minutes. A test may ask for
    them up to 50 seconds later."""
    past.points = rigs.two_series(rigs.now_ms() - 50 * rigs.MINUTE + 50 * rigs.SECOND, 44)
    return past


@pytest.fixture
def at_desk(tmp_path: Path, amp: Receiver, past: Past) -> Desk:
    return desk(tmp_path, [rigs.endpoint(amp)], [past.job()])


@pytest.fixture
def amp() -> Iterator[Receiver]:
    """A workspace that does not say what it has."""
    with Receiver(denied=rigs.UNASKED) as receiver:
        yield receiver


def arrived(amp: Receiver) -> dict[str, list[int]]:
    """What was sent, request after request, refused or not."""
    found: dict[str, list[int]] = {}
    for name, stamp in rigs.sent_stamps(amp):
        found.setdefault(name, []).append(stamp)
    return found


# --- Parts and their acknowledgement ----------------------------------------------------------------------------------


def test_what_is_acknowledged_stands_in_the_store(tmp_path: Path, at_desk: Desk) -> None:
    """Below state/backfill/, one object, also while it runs. Its progress is reported meanwhile: parts, samples and the
    share grow to all there is."""
    places, told = list[list[str]](), list[Any]()

    def tell(event: Any) -> None:
        places.append(rigs.kept(tmp_path))
        told.append(event)

    at_desk.backfill(**EVENT, tell=tell)
    assert len(places) >= 9
    assert {len(place) for place in places[1:]} == {1}
    assert {key for place in places for key in place} == {places[-1][0]}
    assert places[-1][0].startswith("state/backfill/")
    progress = [(one.share, one.samples) for one in told]
    assert progress == sorted(progress)
    assert (progress[-1], [one.parts for one in told]) == ((1.0, 88), [*range(1, len(told) + 1)])


# --- Deadlines --------------------------------------------------------------------------------------------------------


def test_an_api_that_is_slower_than_the_time_that_is_left_is_asked_again(
    at_desk: Desk, amp: Receiver, past: Past
) -> None:
    """A request that the deadline cuts off is no failure: the backfill does not stop, and the next one goes on."""
    past.fault = lambda request: Fault.delay(30.0) if len(past.asked) == 3 else None
    answer = at_desk.backfill(6.0, **EVENT)
    assert (answer["done"], answer["stopped"], only(answer)["accepted"]) == (False, "", 20)
    assert at_desk.to_its_end(resume=answer["resume"])[-1]["done"]
    assert arrived(amp) == by_series(past.points)


@pytest.mark.parametrize("with_keys", [False, True], ids=["without a store", "token and the other keys"])
@pytest.mark.parametrize("seconds", [1.0, ONE_PART, 30.0])
def test_going_on_sends_exactly_the_rest(
    at_desk: Desk, amp: Receiver, past: Past, seconds: float, with_keys: bool
) -> None:
    """However little time each invocation has, every sample is sent once and in order, and the last answer counts what
    the invocations before it did."""
    keys = EVENT if with_keys else {}
    answers = [at_desk.backfill(**EVENT, plan=True)]
    assert (answers[0]["stopped"], only(answers[0])["collected"], past.asked, amp.requests) == ("", 0, [], [])
    while not answers[-1]["done"]:
        assert len(answers) < 30
        answers.append(at_desk.backfill(seconds, **keys, resume=answers[-1]["resume"]))
    assert arrived(amp) == stored(amp) == by_series(past.points)
    assert past.asked == sorted(past.asked)
    assert amp.refused == 0
    assert len(answers) > (1 if seconds == 30 else 8)
    last, grown = answers[-1], [only(answer)["accepted"] for answer in answers]
    assert (only(last)["collected"], only(last)["accepted"], last["samples"]) == (88, 88, 88)
    assert last["invocations"] == len(answers) - 1  # a plan is none
    assert grown == sorted(grown)


@pytest.mark.parametrize("name", ["x.om", "x.ndjson"])
def test_files_go_on_where_they_were_left(tmp_path: Path, amp: Receiver, past: Past, name: str) -> None:
    """Several files, each with more than one part."""
    files = []
    for index in range(3):
        some = past.points[index * 30 : (index + 1) * 30]
        path = tmp_path / f"{index}{name}"
        files.append(rigs.write_file(path, some))
        if name == "x.ndjson":
            path.write_text(rigs.as_ndjson(some))
    event = {"from_": files} | ({"job": "usage"} if name == "x.ndjson" else {})
    job = past.job()
    job["metrics"][0]["records"] = "@"
    at_desk = desk(tmp_path, [rigs.endpoint(amp)], [job if name == "x.ndjson" else past.job()])
    answers = at_desk.to_its_end(ONE_PART, **event)
    assert len(answers) >= 3
    assert arrived(amp) == stored(amp) == by_series(past.points)


def test_another_environment_goes_on(at_desk: Desk, amp: Receiver, past: Past) -> None:
    """The store is a bucket, and every invocation is a new one, as in Lambda."""
    with ObjectStore() as bucket:
        env_vars = rigs.bucket_environment(bucket)
        dependencies = Dependencies(env_vars)
        at_desk.store, at_desk.env_vars = dependencies.store("s3://spool"), env_vars
        at_desk.to_its_end(ONE_PART, **EVENT)
        dependencies.transport.close()
        assert arrived(amp) == by_series(past.points)
        assert all(key.startswith("state/backfill/") for key in bucket.objects)


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_used_twice_does_no_harm(at_desk: Desk, amp: Receiver, past: Past) -> None:
    """Step Functions may run an invocation again: the store knows better than the token, and nothing is sent again."""
    tokens = [answer["resume"] for answer in at_desk.to_its_end(ONE_PART, **EVENT)[:-1]]
    sent = arrived(amp)
    for token in random.Random(1).sample(tokens, 4):
        answer = at_desk.to_its_end(resume=token)[-1]
        assert (answer["done"], only(answer)["accepted"]) == (True, 88)
    assert arrived(amp) == sent
    assert amp.refused == 0


def flipped(token: str, place: int) -> str:
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


@pytest.fixture
def under_way(at_desk: Desk) -> tuple[Desk, str]:
    """A backfill of which one part is done, and its token."""
    return at_desk, at_desk.backfill(ONE_PART, **EVENT)["resume"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda token: "", id="empty"),
        pytest.param(lambda token: token[:-8], id="its end is missing"),
        pytest.param(lambda token: token[1:], id="its beginning is missing"),
        pytest.param(lambda token: token + "AAAAAAAA", id="something more"),
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
    assert_refused(under_way[0], amp, "resume", resume=damage(under_way[1]))


def assert_refused(at_desk: Desk, amp: Receiver, word: str, **event: Any) -> None:
    """The message names the key, and nothing is sent."""
    sent = len(amp.requests)
    with pytest.raises(BadRequest) as raised:
        at_desk.to_its_end(**event)
    assert word in str(raised.value)
    assert len(amp.requests) == sent


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        pytest.param({"job": "other"}, "job", id="another job"),
        pytest.param({"start": "-3h"}, "start", id="another start"),
        pytest.param({"step": "17s"}, "step", id="another step"),
        pytest.param({"endpoint": "second"}, "endpoint", id="another endpoint"),
        pytest.param({"force": True}, "force", id="force"),
        pytest.param({"from_": ["x.om"]}, "from", id="files"),
    ],
)
def test_a_token_with_keys_that_contradict_it_is_refused(
    under_way: tuple[Desk, str], amp: Receiver, keys: dict[str, Any], word: str
) -> None:
    """What stands beside it must be what it was made for."""
    assert_refused(under_way[0], amp, word, resume=under_way[1], **keys)


WITHOUT_ID = [{"regex": "id", "action": "labeldrop"}]


@pytest.mark.parametrize(
    "change", ["receiver", "url", "name", "labels", "metric relabelling", "write relabelling", "value format"]
)
def test_a_token_of_another_config_is_refused(tmp_path: Path, amp: Receiver, past: Past, change: str) -> None:
    """A job that asks elsewhere, another receiver, or labels that would be others: nothing is sent."""
    token = desk(tmp_path, [rigs.endpoint(amp)], [past.job()]).backfill(ONE_PART, **EVENT)["resume"]
    asked, sent = len(past.asked), len(amp.requests)
    with Receiver() as second, Api() as api:
        elsewhere, here, job = Past(api), rigs.endpoint(amp), past.job()
        changed = {
            "receiver": config_text([rigs.endpoint(second)], [job]),
            "url": config_text([here], [elsewhere.job()]),
            "name": config_text([here], [past.job(name="renamed")]),
            "labels": config_text([here], [job], **{"global": {"external_labels": {"zone": "b"}}}),
            "metric relabelling": config_text([here], [past.job(metric_relabel_configs=WITHOUT_ID)]),
            "value format": config_text([here], [job | {"metrics": [job["metrics"][0] | {"value_format": "hex"}]}]),
            "write relabelling": config_text([rigs.endpoint(amp, write_relabel_configs=WITHOUT_ID)], [job]),
        }
        other = desk(tmp_path, [])
        other.text = changed[change]
        with pytest.raises(BadRequest, match="config"):
            other.backfill(resume=token)
        assert (second.requests, elsewhere.asked) == ([], [])
    assert (len(past.asked), len(amp.requests)) == (asked, sent)


def test_a_token_for_files_that_have_changed_is_refused(tmp_path: Path, amp: Receiver, past: Past) -> None:
    """Where it stopped is no place in another content."""
    files = [rigs.write_file(tmp_path / f"{n}.om", past.points[n * 30 : n * 30 + 30]) for n in range(3)]
    at_desk = desk(tmp_path, [rigs.endpoint(amp)])
    token = at_desk.backfill(ONE_PART, from_=files)["resume"]
    rigs.write_file(tmp_path / "1.om", past.points[:30])
    assert_refused(at_desk, amp, "1.om", resume=token)


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
def test_a_receiver_that_is_down_is_waited_for(at_desk: Desk, amp: Receiver, past: Past, fault: Fault) -> None:
    """Nothing is acknowledged that it does not have: once it is back, it gets every sample once."""
    amp.always(fault)
    answer = at_desk.backfill(3.0, **EVENT)
    assert (answer["done"], only(answer)["accepted"], total(only(answer)["rejected"])) == (False, 0, 0)
    again = at_desk.backfill(1.0, resume=answer["resume"])
    assert (again["done"], only(again)["accepted"]) == (False, 0)
    amp.always(None)
    last = at_desk.to_its_end(resume=again["resume"])[-1]
    assert stored(amp) == by_series(past.points)
    assert only(last)["accepted"] + total(only(last)["rejected"]) == 88
    assert counts(only(last)["rejected"]).keys() <= {"maybe_stored"}


def test_the_function_fails_when_it_is_stopped_and_says_how_it_goes_on(
    tmp_path: Path, amp: Receiver, past: Past
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(config_text([rigs.endpoint(amp)], [past.job()]))
    env_vars = {"PUSHER_CONFIG": str(config), "PUSHER_SPOOL": str(tmp_path / "spool")}
    app = App(Dependencies(env_vars), ("backfill",))
    amp.always(Fault.status(403, b'{"Message":"User is not authorized to perform: aps:RemoteWrite"}'))
    with pytest.raises(BackfillStopped) as raised:
        app.handle({"action": "backfill", **EVENT}, Context())
    assert "aps:RemoteWrite" in str(raised.value)
    event = json.loads(str(raised.value)[str(raised.value).index('{"action"') :])
    amp.always(None)
    assert app.handle(event, Context())["done"]
    assert stored(amp) == by_series(past.points)


# --- What may be there already ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_valid", [True, False], ids=["keeps the valid rest", "all or nothing"])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_lost_answer_costs_and_doubles_nothing(tmp_path: Path, past: Past, keep_valid: bool, lost: int) -> None:
    """The request goes again: what is refused then may have been stored, and is counts as that."""
    with Receiver(denied=rigs.UNASKED, keep_valid=keep_valid) as amp:
        amp.script(*[None] * (lost - 1), Fault.lost_answer())
        answer = desk(tmp_path, [rigs.endpoint(amp)], [past.job()]).backfill(**EVENT)
        found = only(answer)
        assert answer["done"]
        assert stored(amp) == by_series(past.points)
        assert counts(found["rejected"]).keys() <= {"maybe_stored"}
        assert found["accepted"] + total(found["rejected"]) == 88
        assert total(found["rejected"]) <= 10


@pytest.mark.parametrize("stored_first", [True, False], ids=["after it was stored", "before it was stored"])
@pytest.mark.parametrize("request_number", [1, 5, 9])
def test_a_killed_process_goes_on_from_the_store(
    tmp_path: Path, past: Past, request_number: int, stored_first: bool
) -> None:
    """SIGKILL while a request is under way: with --resume every sample is there once, and what is refused of the
    repeated window may have been stored."""
    with telling(request_number) as (amp, (moment,)):
        process = Shell(tmp_path, config_text([rigs.endpoint(amp)], [past.job()]))
        amp.script(*[None] * (request_number - 1), replace(Fault.hang(), handled=stored_first))
        process.kill_when(moment, "--job", "usage", *RANGE)
        answer = process.end("--job", "usage", *RANGE, "--resume")
        found = only(answer)
        assert answer["done"]
        assert stored(amp) == by_series(past.points)
        assert set(counts(found["rejected"])) == ({"maybe_stored"} if stored_first else set())
        assert found["accepted"] + total(found["rejected"]) + total(found["dropped"]) == 88
        assert len(rigs.sent_stamps(amp)) - 88 <= 10


@pytest.mark.parametrize("request_number", [1, 4])
def test_the_same_token_again_after_a_kill(tmp_path: Path, past: Past, request_number: int) -> None:
    """As Step Functions does it: the part that was under way is sent again, and its refusals may be no loss."""
    with telling(request_number) as (amp, (moment,)):
        process = Shell(tmp_path, config_text([rigs.endpoint(amp)], [past.job()]))
        token = process.desk.backfill(**EVENT, plan=True)["resume"]
        for _ in range(request_number - 1):
            token = process.desk.backfill(ONE_PART, resume=token)["resume"]
        amp.script(replace(Fault.hang(), handled=True))
        process.kill_when(moment, "--resume", token)
        last = process.desk.to_its_end(resume=token)[-1]
        assert stored(amp) == by_series(past.points)
        assert set(counts(only(last)["rejected"])) == {"maybe_stored"}


def test_a_process_killed_twice(tmp_path: Path, past: Past) -> None:
    """The second time in the middle of what the first one left."""
    with telling(3, 6) as (amp, (first, second)):
        process = Shell(tmp_path, config_text([rigs.endpoint(amp)], [past.job()]))
        hang = replace(Fault.hang(), handled=True)
        amp.script(None, None, hang, None, None, hang)
        process.kill_when(first, "--job", "usage", *RANGE)
        process.kill_when(second, "--job", "usage", *RANGE, "--resume")
        answer = process.end("--job", "usage", *RANGE, "--resume")
        assert answer["done"]
        assert stored(amp) == by_series(past.points)
        assert counts(only(answer)["rejected"]).keys() <= {"maybe_stored"}
