"""Each invocation that ends early leads on: what a receiver has accepted is not sent again, also in the middle of a
part, and three invocations in a row that lead nowhere stop the backfill with the reason."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.backfill.invoke import BadRequest
from lambda_remote_write.store import DirectoryStore
from sandbox.amp import Limits, Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig import backfill as rigs
from tests.rig.backfill import AWAY, Desk, as_records, by_series, counts, example, now_ms, only, other_endpoint, stored
from tests.rig.made import Point

pytestmark = pytest.mark.slow  # deadlines are the subject

PER_REQUEST = 10
ANY_TIME = Limits(max_age_seconds=1e9, out_of_order_seconds=0)
RANGE = {"job": "usage", "start": "-50m", "end": "-5m"}


def history(count: int = 48) -> list[Point]:
    """Samples of two series, in the order of their times, in the last hour."""
    return rigs.two_series(now_ms() - 49 * rigs.MINUTE, count // 2)


@contextmanager
def away(**keys: Any) -> Iterator[Receiver]:
    """A receiver that takes the requests for which it is opened, and no other."""
    with Receiver(auth=None, limits=ANY_TIME, **keys) as receiver:
        receiver.always(AWAY)
        yield receiver


def opened(receiver: Receiver, requests: int) -> None:
    receiver.script(*[None] * requests)


# --- The same history in every kind of source -------------------------------------------------------------------------


def as_csv(points: Sequence[Point]) -> str:
    rows = [f"{one['id']},{one['value']},{one['at']}\n" for one in as_records(points)]
    return "id,value,at\n" + "".join(rows)


FILES: dict[str, Callable[[Sequence[Point]], str]] = {
    "past.om": rigs.as_text,
    "past.ndjson": rigs.as_ndjson,
    "past.json": lambda points: json.dumps(as_records(points)),
    "past.csv": as_csv,
    "past.ndjson.gz": rigs.as_ndjson,
}
SOURCES = [*FILES, "api", "server"]


def server_answer(points: Sequence[Point]) -> Callable[[Request], Answer]:
    """One that speaks Prometheus's query API and has these points."""

    def answer(request: Request) -> Answer:
        found: dict[str, list[tuple[float, str]]] = {}
        for labels, value, stamp in points:
            found.setdefault(str(labels["id"]), []).append((stamp / 1000, repr(value)))
        result = [{"metric": {"__name__": "requests_total", "id": one}, "values": some} for one, some in found.items()]
        return Answer.json({"status": "success", "data": {"resultType": "matrix", "result": result}})

    return answer


@dataclass
class Setting:
    """A backfill of one kind of source, all of it in one part, and where it is run from."""

    desk: Desk
    event: dict[str, Any]
    past: rigs.Past
    points: list[Point]
    receivers: Sequence[Receiver]

    def rounds(self, *requests: int | tuple[int, ...], seconds: float = 30.0) -> list[dict[str, Any]]:
        """Invocations, each with the token of the one before and with receivers that are opened for so many requests,
        until it is done."""
        event, answers = self.event, list[dict[str, Any]]()
        for some in requests:
            for receiver, count in zip(self.receivers, some if isinstance(some, tuple) else (some,), strict=True):
                opened(receiver, count)
            answers.append(self.desk.backfill(seconds, **event))
            if answers[-1]["done"]:
                break
            event = {"resume": answers[-1]["resume"]}
        return answers


@contextmanager
def setting(folder: Path, source: str, *receivers: Receiver, points: Sequence[Point] = ()) -> Iterator[Setting]:
    points = list(points or history())
    with Api() as api, LoopbackServer(server_answer(points)) as server:
        past, top, event = rigs.Past(api, list(points)), dict[str, Any](), dict[str, Any](RANGE)
        job = past.job(window="2h")
        if source == "server":
            servers = [{"job_name": "usage", "url": server.base_url, "match": ["requests_total"], "window": "2h"}]
            top["backfill_configs"], job = servers, past.job(name="unused")
        elif source != "api":
            job["metrics"][0]["records"] = "@"
            content = FILES[source](points).encode()
            (folder / source).write_bytes(gzip.compress(content) if source.endswith(".gz") else content)
            event = {"from": [str(folder / source)]} | ({} if source.endswith(".om") else {"job": "usage"})
        sent = {"max_samples_per_send": PER_REQUEST}
        endpoints = [
            other_endpoint(one, f"e{number}", max_age="30d", queue_config=sent) for number, one in enumerate(receivers)
        ]
        text = rigs.config_text(endpoints, [job], **top)
        yield Setting(Desk(text, DirectoryStore(folder / "store")), event, past, points, receivers)


# --- In the middle of a part ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_store", [True, False], ids=["store", "without a store"])
@pytest.mark.parametrize("source", SOURCES)
def test_what_was_accepted_of_a_part_is_not_sent_again(tmp_path: Path, source: str, has_store: bool) -> None:
    """Every invocation ends after one request, and it counts: no sample is sent twice."""
    with away() as receiver, setting(tmp_path, source, receiver) as found:
        if not has_store:
            found.desk.store = None
        answers = found.rounds(*[1] * 6)
        answer = answers[-1]
        assert (answer["done"], answer["stopped"]) == (True, "")
        assert [only(one)["accepted"] for one in answers][:4] == [10, 20, 30, 40]
        assert stored(receiver) == by_series(found.points)
        assert receiver.accepted == len(found.points)
        assert (only(answer)["rejected"], only(answer)["dropped"], only(answer)["collected"]) == ({}, {}, 48)


@pytest.mark.parametrize("is_stored", [True, False], ids=["it was stored", "it was not"])
@pytest.mark.parametrize("source", ["past.om", "api"])
def test_the_request_without_an_answer_alone_is_sent_again(tmp_path: Path, source: str, is_stored: bool) -> None:
    """What is refused of it may have been stored; what is refused of any other is a loss as always."""
    with away() as receiver, setting(tmp_path, source, receiver) as found:
        found.desk.sleep = lambda seconds: None
        receiver.script(None, Fault.lost_answer() if is_stored else Fault.reset(), AWAY, None)
        answer = found.desk.backfill(**found.event)
        assert only(answer)["accepted"] == 10
        receiver.script(None, Fault.status(400, b"none of mine"))
        receiver.always(None)
        answer = found.desk.backfill(resume=answer["resume"])
        assert answer["done"]
        rejected = counts(only(answer)["rejected"])
        assert rejected.pop("maybe_stored", 0) == (10 if is_stored else 0)
        assert list(rejected.values()) == [10]
        assert sum(map(len, stored(receiver).values())) == 38


def test_each_endpoint_goes_on_at_its_own_place(tmp_path: Path) -> None:
    """One that is ahead waits for the other, and neither is sent anything twice."""
    with away() as one, away() as other, setting(tmp_path, "past.om", one, other) as found:
        assert found.rounds((2, 0), (3, 2), (0, 2), (0, 1))[-1]["done"]
        for receiver in (one, other):
            assert stored(receiver) == by_series(found.points)
            assert receiver.accepted == len(found.points)


def padded(points: Sequence[Point], kind: str) -> str:
    """A file of several parts: each line has a kilobyte that no sample is made of, and one is so long that the first
    part ends well before it would otherwise."""
    long, length = (440, 120_000) if kind == "csv" else (1_500, 1_200_000)
    pads = ["x" * (length if number == long else 1_000) for number in range(len(points))]
    rows = [{**row, "pad": pad} for row, pad in zip(as_records(points), pads, strict=True)]
    if kind == "ndjson":
        return "".join(json.dumps(row) + "\n" for row in rows)
    if kind == "json":
        return json.dumps(rows)
    if kind == "csv":
        return "id,value,at,pad\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    *lines, end = rigs.as_text(points).splitlines()
    return "".join(f"{line}\n# {pad}\n" for line, pad in zip(lines, pads, strict=True)) + f"{end}\n"


@pytest.mark.parametrize("kind", ["om", "ndjson", "json", "csv"])
def test_the_part_under_way_is_the_same_part_again(tmp_path: Path, kind: str) -> None:
    """The first endpoint has all of the second part, the other one nothing of it: where that part ends does not depend
    on where the reading begins, so that neither misses a sample at its end."""
    start = now_ms() - 5_000_000
    points = [point for second in range(2_500) for point in rigs.minutes("ab"[second % 2], start + second * 1_000, 1)]
    points += [point for second in range(2_500) for point in rigs.minutes("cd"[second % 2], start + second * 1_000, 1)]
    with away() as one, away() as other, setting(tmp_path, "api", one, other, points=points) as found:
        path = tmp_path / f"padded.{kind}"
        path.write_text(padded(points, kind))
        config = json.loads(found.desk.text)
        config["json_configs"][0]["metrics"][0]["records"] = "@"
        for endpoint in config["remote_write"]:
            endpoint["queue_config"]["max_samples_per_send"] = 50
        found.desk.text = json.dumps(config)
        event: dict[str, Any] = {"from": [str(path)]} | ({} if kind == "om" else {"job": "usage"})
        one.always(None)
        other.always(None)
        parts = found.desk.backfill(**event, dry_run=True)["parts"]
        assert parts > 2
        first = found.desk.backfill(**event, dry_run=True)["preflight"][0]["samples"]
        other.script(*[None] * -(-first // 50))
        other.always(AWAY)
        answer = found.desk.backfill(**event)
        assert (answer["done"], answer["parts"], other.accepted) == (False, 1, first)
        assert one.accepted > first
        other.always(None)
        answer = found.desk.backfill(resume=answer["resume"])
        assert answer["done"]
        for receiver in (one, other):
            assert stored(receiver) == by_series(points)
            assert receiver.accepted == len(points)


def test_a_range_that_became_too_old_in_the_middle(tmp_path: Path) -> None:
    """The rest of the window under way is judged as it is now: what was accepted before stays so."""
    with away() as receiver, setting(tmp_path, "api", receiver) as found:
        found.desk.text = found.desk.text.replace('"max_age": "30d"', '"max_age": "1h"')
        opened(receiver, 1)
        answer = found.desk.backfill(**found.event)
        found.desk.clock = lambda: now_ms() + 20 * rigs.MINUTE
        receiver.always(None)
        answer = found.desk.backfill(resume=answer["resume"])
        accounting = only(answer)
        assert answer["done"]
        assert (accounting["collected"], accounting["accepted"] + rigs.total(accounting["dropped"])) == (48, 48)
        assert set(counts(accounting["dropped"])) == {"too_old"}
        assert sum(map(len, stored(receiver).values())) == receiver.accepted == accounting["accepted"]


def test_an_export_has_every_sample_once(tmp_path: Path) -> None:
    """It goes on where the sending does, also in the middle of a part."""
    old = [({**labels, "id": f"old-{labels['id']}"}, value, at - 40 * 86_400_000) for labels, value, at in history(8)]
    points = [one for pair in zip(history(8), old, strict=True) for one in pair]
    points = [*points[:8], *history(48)[8:40], *points[8:]]
    points = sorted(points, key=lambda one: (one[0]["id"], one[2]))
    with away() as receiver, setting(tmp_path, "past.om", receiver, points=points) as found:
        found.event["export"] = str(tmp_path / "old.om")
        answer = found.rounds(*[1] * 8)[-1]
        assert answer["done"]
        lines = (tmp_path / "old.om").read_text().splitlines()
        assert len(lines) == len(set(lines)) == 8 + 1
        assert (answer["exported"], counts(only(answer)["dropped"])["too_old"]) == (8, 8)


class Killed(BaseException):
    """The end of a process, wherever it stands."""


def die(seconds: float) -> None:
    raise Killed


def test_a_killed_invocation_loses_at_most_a_second_of_its_work(tmp_path: Path) -> None:
    """How far it has come in a part is written down again and again."""
    with away() as receiver, setting(tmp_path, "past.om", receiver) as found:
        receiver.script(None, Fault.delay(1.1), Fault.status(503))
        found.desk.sleep = die
        with pytest.raises(Killed):
            found.desk.backfill(**found.event)
        receiver.always(None)
        answer = found.desk.backfill(**found.event, resume=True)
        assert (answer["done"], only(answer)["accepted"], only(answer)["rejected"]) == (True, 48, {})
        assert receiver.accepted == len(found.points)


# --- Three invocations without progress -------------------------------------------------------------------------------


@pytest.mark.parametrize("has_store", [True, False], ids=["store", "without a store"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_receiver_that_takes_nothing_stops_it(tmp_path: Path, source: str, has_store: bool) -> None:
    """The third in a row says which part of what, what the receiver answered last, and what helps."""
    with away() as receiver, setting(tmp_path, source, receiver) as found:
        if not has_store:
            found.desk.store = None
        answers = found.rounds(0, 0, 0)
        assert [bool(answer["stopped"]) for answer in answers] == [False, False, True]
        where = source if source in FILES else " to "
        rigs.assert_says(answers[-1]["stopped"], "3 invocations", "no progress", where, "e0", "503", "maintenance")
        receiver.always(None)
        assert found.desk.backfill(resume=answers[-1]["resume"])["done"]
        assert stored(receiver) == by_series(found.points)


@pytest.mark.parametrize("kind", ["api", "server"])
def test_a_source_that_never_answers_in_time_stops_it(tmp_path: Path, kind: str) -> None:
    with (
        LoopbackServer(lambda request: Fault.hang()) as silent,
        Receiver(auth=None) as receiver,
        setting(tmp_path, kind, receiver) as found,
    ):
        config = json.loads(found.desk.text)
        (config["backfill_configs"] if kind == "server" else config["json_configs"])[0]["url"] = silent.base_url
        found.desk.text = json.dumps(config)
        answers = found.rounds(0, 0, 0, seconds=0.4)
        assert [bool(answer["stopped"]) for answer in answers] == [False, False, True]
        rigs.assert_says(answers[-1]["stopped"], "3 invocations", "no progress", "usage", "more time", "window")


def test_a_limit_on_the_rate_that_no_invocation_can_keep(tmp_path: Path) -> None:
    """The second request would wait for longer than an invocation lasts; each sends one, and that is progress."""
    with Receiver(auth=None, limits=ANY_TIME) as receiver, setting(tmp_path, "past.om", receiver) as found:
        limit = '"max_samples_per_second": 1, '
        found.desk.text = found.desk.text.replace('"max_samples_per_send"', f'{limit}"max_samples_per_send"')
        answers = found.rounds(*[0] * 6, seconds=2.0)
        assert [only(answer)["accepted"] for answer in answers] == [10, 20, 30, 40, 48]
        assert (answers[-1]["done"], receiver.accepted) == (True, 48)
        assert "max_samples_per_second" in " ".join(answers[0]["notes"])


def test_progress_begins_the_count_anew(tmp_path: Path) -> None:
    """Two invocations without, one with, two without: nothing to stop for."""
    with away() as receiver, setting(tmp_path, "past.om", receiver) as found:
        answers = found.rounds(0, 0, 1, 0, 0, 1, 0, 0, 0)
        assert [bool(answer["stopped"]) for answer in answers] == [False] * 8 + [True]
        assert only(answers[-1])["accepted"] == 20


def test_the_first_token_again_and_again_is_counted_too(tmp_path: Path) -> None:
    """The store knows of the invocations of which the token does not."""
    with away() as receiver, setting(tmp_path, "past.om", receiver) as found:
        token = found.desk.backfill(**found.event, plan=True)["resume"]
        stops = [bool(found.desk.backfill(resume=token)["stopped"]) for _ in range(3)]
        assert stops == [False, False, True]


def test_three_that_were_killed_stop_it(tmp_path: Path) -> None:
    """The fourth does not even begin: it says where they were, and that they were killed."""
    with away() as receiver, setting(tmp_path, "past.ndjson", receiver) as found:
        found.desk.sleep = die
        receiver.always(Fault.status(503))
        for _ in range(3):
            with pytest.raises(Killed):
                found.desk.backfill(**found.event, resume=True)
        requests = len(receiver.requests)
        answer = found.desk.backfill(**found.event, resume=True)
        rigs.assert_says(answer["stopped"], "3 invocations", "no progress", "past.ndjson", "killed", "memory")
        assert len(receiver.requests) == requests
        receiver.always(None)
        assert found.desk.backfill(**found.event, resume=True)["done"]


def renamed(point: Point, prefix: str) -> Point:
    labels, value, stamp = point
    return {**labels, "id": f"{prefix}{labels['id']}"}, value, stamp


def test_an_api_that_answers_otherwise_each_time_does_not_run_for_ever(tmp_path: Path) -> None:
    """What is sent of a window again and again is no progress, until more of it has arrived than ever before."""
    with away() as receiver, setting(tmp_path, "api", receiver) as found:
        event, answers = found.event, list[dict[str, Any]]()
        for number in range(8):
            found.past.points = [renamed(one, f"{number}-") for one in found.points]
            opened(receiver, 1)
            answers.append(found.desk.backfill(**event))
            event = {"resume": answers[-1].get("resume")}
            if answers[-1]["stopped"]:
                break
        assert len(answers) == 4
        assert "other samples" in " ".join(answers[1]["notes"])
        found.past.points = found.points
        receiver.always(None)
        assert found.desk.backfill(**event)["done"]
        assert set(by_series(found.points)) <= set(stored(receiver))


# --- Resume before anything was recorded ------------------------------------------------------------------------------


def test_resume_without_a_place_to_keep_it_is_refused(tmp_path: Path) -> None:
    """Without one it would begin anew each time, and send everything again."""
    with Receiver(auth=None, limits=ANY_TIME) as receiver, setting(tmp_path, "past.om", receiver) as found:
        found.desk.store = None
        with pytest.raises(BadRequest, match=r"spool\.location"):
            found.desk.backfill(**found.event, resume=True)
        assert receiver.requests == []


# --- What gives no sample ---------------------------------------------------------------------------------------------


def test_what_was_skipped_is_reported_with_its_first_example(tmp_path: Path) -> None:
    """By reason, once, however many invocations it took."""
    with away() as receiver, setting(tmp_path, "past.ndjson", receiver) as found:
        path = tmp_path / "past.ndjson"
        first, *lines = path.read_text().splitlines()
        broken, nothing = '{"id": "a", "val', json.dumps({"id": "a", "value": None, "at": now_ms()})
        path.write_text("\n".join([first, broken, nothing, *lines, broken, nothing]))
        answer = found.rounds(*[1] * 5)[-1]
        assert answer["done"]
        assert sorted(counts(answer["skipped"]).values()) == [2, 2]
        firsts = [example(entry) for entry in answer["skipped"].values()]
        assert any("line 2" in one for one in firsts)
        assert all("past.ndjson" in one for one in firsts)
