"""One endpoint's backlog over a store in memory: order, also where a listing has no room for all of it, and where it is
behind the times."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from pusher.delivery.backlog import Backlog, Depot
from pusher.delivery.entry import Entry
from pusher.delivery.spool import Run, Spool
from pusher.delivery.state import State
from pusher.model import Delivery, Kept, WriteRequest
from pusher.store import Keys
from tests.stores import MemoryStore


class Place:
    """A spool with so many entries, one sample each, and what was sent of them."""

    def __init__(self, entries: int, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.spool = Spool(self.store, sleep=lambda seconds: None)
        self.state = State(self.store, "0", lambda: int(time.time() * 1000))
        self.depot = Depot(self.spool, self.state)
        for number in range(entries):
            entry = Entry("amp", number, [Kept(WriteRequest(b"%d" % number, 1, 1, number, number))])
            self.spool.keep(entry, Run(number, "x"), time.monotonic() + 5)
        self.sent: list[int] = []

    def send(self, requests: Sequence[WriteRequest], books: Delivery, disjoint: bool) -> list[Kept]:
        self.sent += [int(request.body) for request in requests]
        books.accepted += len(requests)
        return []

    def drain(self, seconds: float = 20.0) -> tuple[bool, Delivery]:
        books = Delivery("amp")
        until = time.monotonic() + seconds
        is_empty = Backlog(self.depot, Run(10**9, "now"), books, until + 1).drain(self.send, until)
        assert books.balances
        return is_empty, books


def test_a_backlog_longer_than_a_listing_keeps_its_order() -> None:
    """The newest entry is known of, but it is not next."""
    place = Place(1_203)
    place.depot.known["amp"] = {place.spool.key("amp", Run(1_202, "x"))}
    place.state.will_spool("amp", place.spool.key("amp", Run(1_202, "x")), time.monotonic() + 5)
    is_empty, books = place.drain()
    assert (is_empty, books.taken, books.waiting.entries > 0) == (False, 1_000, True)
    is_empty, books = place.drain()
    assert (is_empty, books.taken, books.waiting.entries) == (True, 203, 0)
    assert place.sent == list(range(1_203))
    assert not place.state.has_backlog("amp")


class Stale(MemoryStore):
    """A store whose listings lack what came last."""

    def list(self, prefix: str, deadline: float, most: int = 1000) -> Keys:
        return super().list(prefix, deadline, most)[:-1]


@pytest.mark.parametrize("who", ["this environment", "the state object"])
def test_a_listing_that_is_behind_lacks_nothing_that_is_known_of(who: str) -> None:
    place = Place(3, Stale())
    newest = place.spool.key("amp", Run(2, "x"))
    if who == "this environment":
        place.depot.known["amp"] = {newest}
    else:
        place.state.will_spool("amp", newest, time.monotonic() + 5)
    assert place.drain()[0]
    assert place.sent == [0, 1, 2]


def test_nothing_is_listed_where_nothing_says_that_there_is_something() -> None:
    place = Place(0)
    place.state.save(time.monotonic() + 5)  # a heartbeat is not due
    for _ in range(3):
        assert place.drain()[0]
    assert place.store.counts["list"] == 1  # a new environment looks once
    place.state.will_spool("amp", place.spool.key("amp", Run(5, "x")), time.monotonic() + 5)
    assert place.drain()[0]
    assert place.store.counts["list"] == 2


def test_mode_always_looks_every_time() -> None:
    place = Place(0)
    place.depot.mode = "always"
    for _ in range(3):
        assert place.drain()[0]
    assert place.store.counts["list"] == 3


def test_time_that_is_up_leaves_the_rest_for_the_next_run() -> None:
    place = Place(5)
    is_empty, books = place.drain(seconds=-1.0)
    assert (is_empty, place.sent) == (False, [])
    assert any("cannot be listed" in said for said in books.warnings) or books.waiting.entries == 5


def test_fresh_samples_go_when_a_store_that_nobody_has_used_cannot_be_listed() -> None:
    """Nothing says that anything waits; with a backlog in memory they wait."""
    place = Place(0)
    place.store.failing["list"] = 99
    assert place.drain()[0]
    place.depot.known["amp"] = {"spool/amp/0/0000000000001-x"}
    assert not place.drain()[0]
