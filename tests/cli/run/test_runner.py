"""`pusher run` as a whole: what it says, what it keeps, and what changes while it runs."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write import __version__
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig import compliance as rig
from tests.rig.push import job
from tests.rig.run import running, stamps

pytestmark = pytest.mark.slow

PAGE = "".join(f'm{{number="{number}"}} {number}\n' for number in range(20))
UNAVAILABLE = Fault.status(503, b"overloaded")


@pytest.fixture
def pages() -> Iterator[rig.Pages]:
    with rig.Pages({"/a": (PAGE.encode(), rig.TEXT), "/b": (b"other 1\n", rig.TEXT)}) as served:
        yield served


@pytest.fixture
def receiver() -> Iterator[rig.Receiver]:
    with rig.Receiver() as found:
        yield found


def config_of(pages: rig.Pages, *endpoints: dict[str, Any], path: str = "/a", **top: Any) -> dict[str, Any]:
    return rig.config(endpoints, [rig.job(pages.target, "web", path)]) | top


def endpoint(receiver: rig.Receiver, path: str = "w", name: str = "amp", **queue: Any) -> dict[str, Any]:
    return rig.endpoint(receiver.url(path), queue=queue) | {"name": name}


# --- What it says -----------------------------------------------------------------------------------------------------


def test_says_what_it_does_at_the_start_and_at_the_end(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    hourly = job("http://127.0.0.1:1/", "usage", scrape_interval="1h")
    config = config_of(pages, endpoint(receiver, batch_send_deadline="1h"), json_configs=[hourly])
    with running(config, tmp_path) as process:
        process.wait_for(lambda: pages.asked("/a") >= 2, "two scrapes")
        assert process.stop() == 0
    begin, *_, flush, end = process.lines
    named = (__version__, "config.yaml", "usage every 1h", "web every 1s", "amp at http://127.0.0.1", "memory only")
    assert all(word in begin for word in named)
    assert flush.startswith("flushing ")
    assert int(flush.split()[1]) >= 25  # a page with its synthetic series, at least
    assert end == "stopped"
    assert not any("tick" in line for line in process.lines)


def test_says_that_a_receiver_is_away_and_what_waits_and_that_it_is_back(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    receiver.faults("w").always(UNAVAILABLE)
    with running(config_of(pages, endpoint(receiver)), tmp_path) as process:
        away = process.wait_to_hear("amp (", "): takes nothing", "503", "overloaded")
        assert int(away.rpartition("; ")[2].split()[0]) >= 25
        receiver.faults("w").always(None)
        process.wait_to_hear("amp (", "): takes samples again")
        process.wait_for(lambda: len(stamps(receiver.writes("w"), "up")) >= 4, "all of it")
    assert stamps(receiver.writes("w"), "up") == sorted(set(stamps(receiver.writes("w"), "up")))


def test_targets_of_one_job_and_instance_are_kept_apart(receiver: rig.Receiver, tmp_path: Path) -> None:
    """One is up and one is down: that is no change with every scrape."""
    shown = {"/a": (b"m 1\n", rig.TEXT), "/b": (b"m 2\n", rig.TEXT)}
    with rig.Pages(shown) as pages:
        pages.fail("/b", UNAVAILABLE)
        both = [
            {"targets": [pages.target], "labels": {"__metrics_path__": path, "page": path}} for path in ("/a", "/b")
        ]
        twins = {"job_name": "web", "static_configs": both}
        with running(rig.config([endpoint(receiver)], [twins]), tmp_path) as process:
            process.wait_for(lambda: min(pages.asked("/a"), pages.asked("/b")) >= 4, "four scrapes of each")
            detail = [line for line in process.lines if pages.target in line]
        assert len(detail) == 1
        assert "down" in detail[0]


def test_says_once_what_of_an_answer_became_no_sample_and_when_it_does_again(
    receiver: rig.Receiver, tmp_path: Path
) -> None:
    document: list[dict[str, Any]] = [{"v": 1, "w": 1, "k": "a"}, {"v": "x", "w": 2, "k": "b"}]

    def renamed() -> list[dict[str, Any]]:
        return [{"ww" if name == "w" else name: value for name, value in record.items()} for record in document]

    with Api() as api:
        url = api.serve("/doc", Answer.json(renamed()))
        metrics = [{"name": "a", "value": "v", "labels": {"k": "k"}}, {"name": "b", "value": "w", "labels": {"k": "k"}}]
        usage = {"job_name": "usage", "url": url, "scrape_interval": "1s", "metrics": metrics}
        config = {"json_configs": [usage], "remote_write": [endpoint(receiver)]}
        with running(config, tmp_path) as process:
            process.wait_to_hear("usage", "b: failed", "value w finds nothing", "the nearest path that exists is ww")
            process.wait_to_hear("usage", "a: records skipped: 1, not_a_number: metric a, record 1")
            process.wait_for(lambda: len(api.requests) >= 4, "four scrapes")
            assert len([line for line in process.lines if "finds nothing" in line]) == 1
            api.serve("/doc", Answer.json([document[0]]))
            process.wait_to_hear("b: well again")
            process.wait_to_hear("a: well again")


def test_a_clock_that_is_set_back_is_a_message_and_stops_nothing(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    ahead_ms = [0]

    def now_ms() -> int:
        return int(time.time() * 1000) + ahead_ms[0]

    with running(config_of(pages, endpoint(receiver)), tmp_path, now_ms=now_ms) as process:
        process.wait_for(lambda: pages.asked("/a") >= 2, "two scrapes")
        ahead_ms[0] = -3_600_000
        asked = pages.asked("/a")
        process.wait_for(lambda: pages.asked("/a") >= asked + 3, "scrapes go on")
        process.wait_to_hear("the clock was set back by")


# --- The config again -------------------------------------------------------------------------------------------------


def test_a_good_config_takes_over_what_there_is(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    """Nothing that waited is lost, nothing comes twice, and a target that stays does not end."""
    receiver.faults("w").always(UNAVAILABLE)
    before = config_of(pages, endpoint(receiver))
    after = config_of(pages, endpoint(receiver), endpoint(receiver, "second", "second"))
    after["scrape_configs"] += [rig.job(pages.target, "more", "/b")]
    with running(before, tmp_path) as process:
        process.wait_to_hear("amp (", "): takes nothing")
        first = {sample for write in receiver.writes("w") for sample in rig.stamps_of([write], "up")}
        process.reload(after)
        process.wait_to_hear("the config was read again", "more every 1s", "second at")
        receiver.faults("w").always(None)
        process.wait_for(lambda: stamps(receiver.writes("second"), "other"), "the new job at the new endpoint")
        process.wait_for(lambda: stamps(receiver.writes("w"), "other"), "the new job at the old endpoint")
    accepted = [stamp for write in receiver.writes("w") if write.status == 204 for stamp in stamps([write], "m")]
    assert len(accepted) == len(set(accepted)) * 20
    assert first <= set(accepted)
    values = rig.values_of(receiver.writes("w"), "m", number="3")
    assert set(values) == {3.0}


def test_what_was_sent_before_a_new_config_is_known_after_it(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    """A record that has not moved does not come again, and a target that is gone ends."""
    records = [{"id": "a", "value": 1, "at": int(time.time() * 1000)}]
    with Api() as api:
        usage = job(api.serve("/usage", Answer.json(records)), scrape_interval="1s")
        before = config_of(pages, endpoint(receiver), json_configs=[usage])
        with running(before, tmp_path) as process:
            process.wait_for(lambda: stamps(receiver.writes("w"), "m"), "the page")
            process.wait_for(lambda: stamps(receiver.writes("w"), "requests_total"), "the record")
            process.reload(config_of(pages, endpoint(receiver), path="/b", json_configs=[usage]))
            process.wait_for(lambda: len(stamps(receiver.writes("w"), "other")) >= 3, "the other page")
            process.wait_for(
                lambda: any(map(is_stale, rig.values_of(receiver.writes("w"), "m", number="3"))), "the end of the first"
            )
    assert len(stamps(receiver.writes("w"), "requests_total")) == 1


def is_stale(value: float) -> bool:
    return struct.pack("<d", value) == rig.STALE_BITS.to_bytes(8, "little")


def test_a_request_that_is_being_retried_goes_to_the_new_address(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    receiver.faults("wrong").always(UNAVAILABLE)
    slow = {"min_backoff": "1h", "max_backoff": "1h"}
    with running(config_of(pages, endpoint(receiver, "wrong", **slow)), tmp_path) as process:
        process.wait_for(lambda: receiver.writes("wrong"), "an attempt")
        (tried,) = {stamp for write in receiver.writes("wrong") for stamp in rig.stamps_of([write], "up")}
        process.reload(config_of(pages, endpoint(receiver, "right")))
        process.wait_for(lambda: tried in stamps(receiver.writes("right"), "up"), "the same at the right address")
    assert min(stamps(receiver.writes("right"), "up")) == tried


def test_an_endpoint_that_is_gone_gets_what_waits_for_it(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    lazy = endpoint(receiver, "old", "old", batch_send_deadline="1h")
    with running(config_of(pages, lazy), tmp_path) as process:
        process.wait_for(lambda: pages.asked("/a") >= 2, "two scrapes")
        assert not receiver.writes("old")
        process.reload(config_of(pages, endpoint(receiver, "new", "new")))
        process.wait_for(lambda: stamps(receiver.writes("old"), "up"), "what waited")
        process.wait_for(lambda: stamps(receiver.writes("new"), "up"), "what comes now")
    assert max(stamps(receiver.writes("old"), "up")) < min(stamps(receiver.writes("new"), "up"))


def test_reloads_that_wait_are_one(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    """However many are asked for while a config is taken over."""
    with running(config_of(pages, endpoint(receiver)), tmp_path) as process:
        process.wait_for(lambda: process.runner.is_ready, "readiness")
        with process.runner._scraping.lock:
            asked = [process.runner.reload() for _ in range(20)]
        assert [one.result(30) for one in asked] == [""] * 20
        assert sum("the config was read again" in line for line in process.lines) <= 2


def test_an_order_to_stop_is_obeyed_among_reloads(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    with running(config_of(pages, endpoint(receiver)), tmp_path) as process:
        process.wait_for(lambda: process.runner.is_ready, "readiness")
        with process.runner._scraping.lock:
            before = [process.runner.reload() for _ in range(3)]
            process.runner.stop()
            after = process.runner.reload()
        assert process.stop() == 0
        assert {one.result(0) for one in (*before, after)} <= {"", "the process is stopping"}


# --- What it keeps ----------------------------------------------------------------------------------------------------


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / "spool").rglob("*") if path.is_file())


@pytest.mark.parametrize("mode", ["on_failure", "always"])
def test_what_waits_survives_a_restart(mode: str, pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    """Under a prefix of its own; it goes out first, before anything that is newer."""
    kept = tmp_path / "kept"
    config = config_of(pages, endpoint(receiver), spool={"location": str(kept), "mode": mode})
    receiver.faults("w").always(UNAVAILABLE)
    with running(config, tmp_path, flush_seconds=0.5) as process:
        process.wait_for(lambda: receiver.writes("w") and pages.asked("/a") >= 3, "scrapes that wait")
        assert str(kept) in process.lines[0]
        assert "run-here" in process.lines[0]
        process.stop()
        assert any("spooled" in line for line in process.lines)
        assert not any("undelivered" in line for line in process.lines)
    tried = set(rig.stamps_of(receiver.writes("w"), "up"))
    assert entries(kept)
    assert all(name.startswith("spool/amp/run-here/") for name in entries(kept))
    receiver.faults("w").always(None)
    asked = pages.asked("/a")
    with running(config, tmp_path) as process:
        process.wait_for(lambda: pages.asked("/a") >= asked + 2, "scrapes")
    came = stamps(receiver.writes("w"), "up")
    assert tried <= set(came)
    assert came == sorted(set(came))
    assert len(came) >= 4
    assert not entries(kept)


def test_what_does_not_fit_in_memory_goes_into_the_spool(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    small = endpoint(receiver, capacity=30, max_shards=1, max_samples_per_send=25, max_backoff="100ms")
    config = config_of(pages, small, spool={"location": str(kept)})
    receiver.faults("w").always(UNAVAILABLE)
    with running(config, tmp_path) as process:
        process.wait_for(lambda: len(entries(kept)) >= 2, "entries of the spool")
        receiver.faults("w").always(None)
        process.wait_for(lambda: not entries(kept), "the spool is empty again")
    came = stamps(receiver.writes("w"), "up")
    assert came == sorted(set(came))
    assert len(came) >= 4
    assert len(stamps(receiver.writes("w"), "m")) == 20 * len(came)
    assert not any("dropped" in line or "undelivered" in line for line in process.lines)


def test_a_gap_of_a_job_is_filled(receiver: rig.Receiver, tmp_path: Path) -> None:
    """What the time between two processes has missed is asked for, and goes out before the fresh answer."""
    asked: list[dict[str, str]] = []

    def answer(request: Request) -> Answer:
        asked.append(request.params)
        now = int(time.time() * 1000)
        if "from" not in request.params:
            return Answer.json([{"id": "a", "value": 1, "at": now}])
        start, end = int(request.params["from"]), int(request.params["to"])
        return Answer.json([{"id": "a", "value": 2, "at": (start + end) // 2}])

    with Api() as api:
        ranges = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix_ms"}
        usage = job(api.serve("/usage", answer), backfill=ranges, scrape_interval="1s")
        config = {"json_configs": [usage], "remote_write": [endpoint(receiver)], "self_metrics": False}
        config |= {"spool": {"location": str(tmp_path / "kept")}}
        with running(config, tmp_path) as process:
            process.wait_for(lambda: len(asked) >= 2, "two answers")
        assert not any("from" in query for query in asked)
        last = max(stamps(receiver.writes("w"), "requests_total"))
        time.sleep(2.5)  # the gap
        with running(config, tmp_path) as process:
            process.wait_for(lambda: any("from" in query for query in asked), "the range is asked for")
            process.wait_for(lambda: max(stamps(receiver.writes("w"), "requests_total")) > last, "samples go on")
        (healed,) = [query for query in asked if "from" in query]
        assert int(healed["from"]) == last + 1
        values = rig.values_of(receiver.writes("w"), "requests_total")
        assert 2.0 in values
        came = stamps(receiver.writes("w"), "requests_total")
        assert came == sorted(set(came))
