"""Scraping side by side: what goes wrong with one scraper does not affect the others."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from lambda_remote_write.http.fetch import Fetcher, FetchError
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.scrape.collect import ScrapeResponse, collect, explained


class Untouched:
    """HTTP that no test here uses; the messages hold no secret."""

    def masked(self, text: str) -> str:
        return text


FETCHER = cast(Fetcher, Untouched())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Source:
    """A source that does what a test wants."""

    key: str
    answer: Callable[[], Any] = lambda: "answer"
    breaks: bool = False
    forced_error: str = ""
    is_target: bool = True
    name: str = "job"
    instance: str = "here:1"
    interval_ms: int = 60_000
    offset_ms: int = 0
    timeout_ms: int = 10_000
    host: str = "here:1"
    max_requests_per_host: int = 0
    got: list[ScrapeResponse] = field(default_factory=list)

    def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
        return self.answer()

    def to_scrape(self, response: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        self.got.append(response)
        if self.breaks:
            raise KeyError("oops")
        return Scrape(self.name, self.key, response.started_ms, error=response.error, is_target=True)


def test_one_that_hangs_has_waited_from_the_start() -> None:
    """As in Prometheus: the duration of a failed scrape is the time that it took, its time is its beginning."""
    hold = threading.Event()
    hung, well = Source("hung", hold.wait), Source("well")
    began, began_ms = time.monotonic(), time.time_ns() // 1_000_000
    scrapes = collect([hung, well], FETCHER, now_ms, began + 1.0, 1)
    waited = time.monotonic() - began
    hold.set()
    (response,) = hung.got
    assert [scrape.instance for scrape in scrapes] == ["hung", "well"]
    assert "within the run's time" in scrapes[0].error
    assert not scrapes[1].error
    assert 1.0 < waited < 20
    assert 1.0 < response.seconds() < 20
    assert began_ms <= response.started_ms < began_ms + 900


def test_a_bug_in_one_source_costs_itself_and_keeps_its_kind() -> None:
    """The report puts the targets of a job together by that kind."""
    broken, well = Source("broken", breaks=True), Source("well")
    first, second = collect([broken, well], FETCHER, now_ms, time.monotonic() + 5, 1)
    assert "KeyError" in first.error
    assert first.is_target
    assert not second.error


def test_a_thread_that_wakes_up_later_asks_no_other_source() -> None:
    """It is within another run then."""
    hold, asked, threads = threading.Event(), list[str](), set[threading.Thread]()

    def hang() -> None:
        asked.append("hung")
        threads.add(threading.current_thread())
        hold.wait(30)

    def ask() -> None:
        asked.append("well")

    hung = [Source(f"hung {number}", hang) for number in range(128)]
    scrapes = collect(
        [*hung, *(Source(f"well {number}", ask) for number in range(3))], FETCHER, now_ms, time.monotonic() + 1, 1
    )
    assert all("within the run's time" in scrape.error for scrape in scrapes)
    hold.set()
    for thread in threads:
        thread.join(20)
    assert asked == ["hung"] * 128


def test_a_scrape_that_has_not_had_its_turn_is_down_and_names_the_key() -> None:
    """The others of its host took the run's time; those of another host are not concerned."""
    hold, bound = threading.Event(), {"host": "api:443", "max_requests_per_host": 2}
    slow = [Source(f"slow {number}", hold.wait, **bound) for number in range(3)]
    well = Source("well", host="other:443", max_requests_per_host=2)
    first, second, waited, other = collect([*slow, well], FETCHER, now_ms, time.monotonic() + 2, 1)
    hold.set()
    assert "a name look-up may hang" in first.error
    assert "a name look-up may hang" in second.error
    assert "of api:443 at most 2 scrapes" in waited.error
    assert "max_requests_per_host" in waited.error
    assert not other.error


def test_the_timeout_and_the_time_of_a_scrape_begin_with_its_turn() -> None:
    """Three of 0.6 s, one at a time: each begins, and would time out, so much later than the one before it."""
    deadlines = list[float]()

    @dataclass
    class Timed(Source):
        def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
            deadlines.append(deadline)
            time.sleep(0.6)

    timed = [Timed(f"{number}", timeout_ms=20_000, max_requests_per_host=1) for number in range(3)]
    scrapes = collect(timed, FETCHER, now_ms, time.monotonic() + 60, 1)
    assert [scrape.error for scrape in scrapes] == ["", "", ""]
    assert all(later - earlier >= 0.59 for earlier, later in itertools.pairwise(deadlines))
    first, second, third = [scrape.started_ms for scrape in scrapes]
    assert second - first >= 590
    assert third - second >= 590


def test_one_that_is_down_without_a_request_says_why_whether_it_had_its_turn_or_not() -> None:
    hold, bound = threading.Event(), {"host": "api:443", "max_requests_per_host": 1}
    slow = Source("slow", hold.wait, **bound)
    scrapes = collect([slow, Source("bad", forced_error="no address", **bound)], FETCHER, now_ms, time.monotonic(), 1)
    hold.set()
    assert scrapes[1].error == "no address"


@pytest.mark.parametrize(
    ("error", "message"),
    [(FetchError("h:1 answered 500"), "h:1 answered 500"), (KeyError("x"), "KeyError: 'x'")],
    ids=["its own", "a bug's"],
)
def test_only_a_bug_is_named_by_its_class(error: Exception, message: str) -> None:
    assert explained(error) == message
