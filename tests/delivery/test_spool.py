"""The spool over any store: order, removal by one run only, tries, and what is set aside."""

from __future__ import annotations

import time

import pytest

from pusher.delivery.entry import Entry, Unreadable
from pusher.delivery.spool import DEAD, Run, Spool, endpoint_of, started_ms_of
from pusher.model import Kept, WriteRequest
from pusher.store import Changed, NotStored, StoreError
from tests.stores import MemoryStore


def soon() -> float:
    return time.monotonic() + 5


def entry(endpoint: str = "amp", started_ms: int = 5, *bodies: bytes) -> Entry:
    return Entry(endpoint, started_ms, [Kept(WriteRequest(body, 1, 1)) for body in bodies or (b"x",)])


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def spool(store: MemoryStore) -> Spool:
    return Spool(store, sleep=lambda seconds: None)


def test_keys_are_of_the_stated_form_and_sort_by_time(spool: Spool) -> None:
    for started_ms in (1_716_480_000_000, 7, 999_999_999_999):
        spool.keep(entry("amp", started_ms), Run(started_ms, "abcd"), soon())
    assert spool.keys("amp", soon()) == [
        "spool/amp/0/0000000000007-abcd", "spool/amp/0/0999999999999-abcd", "spool/amp/0/1716480000000-abcd"
    ]  # fmt: skip
    assert [started_ms_of(key) for key in spool.keys("amp", soon())] == [7, 999_999_999_999, 1_716_480_000_000]
    assert started_ms_of("spool/amp/0/strange") == 0


@pytest.mark.parametrize("name", ["amp", "a/b", "..", ".", "a%2Fb", "ü", "a b", "0"])
def test_endpoints_do_not_meet(spool: Spool, name: str) -> None:
    stored = spool.keep(entry(name), Run(5, "x"), soon())
    spool.keep(entry("other"), Run(5, "x"), soon())
    assert spool.keys(name, soon()) == [stored.key]
    assert endpoint_of(stored.key) == name
    assert stored.key.count("/") == 3
    assert spool.strangers([name], soon()) == {"other": 1}


def test_shards_do_not_meet(store: MemoryStore, spool: Spool) -> None:
    other = Spool(store, "1")
    spool.keep(entry(), Run(5, "x"), soon())
    assert other.keys("amp", soon()) == []
    assert other.strangers([], soon()) == {}


def test_what_is_left_takes_the_place_of_an_entry(spool: Spool) -> None:
    spool.keep(entry("amp", 5, b"a", b"b"), Run(5, "x"), soon())
    (key,) = spool.keys("amp", soon())
    stored = spool.load(key, soon())
    newer = spool.replace(stored, list(stored.entry.kept)[1:], soon())
    assert [request.body for request in spool.load(key, soon()).entry.requests] == [b"b"]
    with pytest.raises(Changed):
        spool.replace(stored, [], soon())
    assert not spool.remove(stored, soon())
    assert spool.remove(newer, soon())
    assert not spool.remove(newer, soon())
    with pytest.raises(NotStored):
        spool.load(key, soon())
    with pytest.raises(Changed):
        spool.replace(newer, [], soon())


def test_what_is_dead_is_kept_beside(store: MemoryStore, spool: Spool) -> None:
    dead = [Kept(WriteRequest(b"old", 1, 3), "too_old", "an hour ago")]
    own = spool.bury("amp", Run(5, "x"), dead, soon())
    other = spool.bury("amp", Run(5, "x"), dead, soon(), source="spool/amp/0/0000000000001-y")
    assert (own, other) == ("dead/amp/0/0000000000005-x", "dead/amp/0/0000000000001-y-0000000000005-x")
    assert [one.reason for one in spool.load(own, soon()).entry.kept] == ["too_old"]
    assert spool.keys("amp", soon(), DEAD) == sorted([own, other])


def test_an_unreadable_entry_is_set_aside_as_it_is(store: MemoryStore, spool: Spool) -> None:
    store.objects["spool/amp/0/0000000000001-y"] = b"nonsense"
    with pytest.raises(Unreadable):
        spool.load("spool/amp/0/0000000000001-y", soon())
    aside = spool.set_aside("spool/amp/0/0000000000001-y", soon())
    assert store.objects == {aside: b"nonsense"}
    assert aside.startswith("dead/amp/0/")


@pytest.mark.parametrize("failures", [1, 2])
def test_a_store_that_fails_once_or_twice_is_tried_again(store: MemoryStore, spool: Spool, failures: int) -> None:
    store.failing.update(put=failures, get=failures, list=failures, delete=failures)
    stored = spool.keep(entry(), Run(5, "x"), soon())
    assert spool.keys("amp", soon()) == [stored.key]
    assert spool.load(stored.key, soon()).entry.requests[0].body == b"x"
    assert spool.remove(stored, soon())


def test_a_store_that_fails_on_is_given_up(store: MemoryStore, spool: Spool) -> None:
    store.failing["put"] = 99
    with pytest.raises(StoreError, match="put fails"):
        spool.keep(entry(), Run(5, "x"), soon())
    assert store.counts["put"] == 3
    with pytest.raises(StoreError):
        spool.keep(entry(), Run(5, "x"), time.monotonic() - 1)
    assert store.counts["put"] == 4


def test_what_is_not_there_or_another_is_not_tried_again(store: MemoryStore, spool: Spool) -> None:
    with pytest.raises(NotStored):
        spool.load("spool/amp/0/1", soon())
    assert store.counts["get"] == 1
    stored = spool.keep(entry(), Run(5, "x"), soon())
    store.objects[stored.key] = b"another run's"
    with pytest.raises(Changed):
        spool.replace(stored, [], soon())
    assert store.counts["put"] == 2


def test_a_change_whose_answer_was_lost_is_this_runs_own(store: MemoryStore, spool: Spool) -> None:
    stored = spool.keep(entry("amp", 5, b"a", b"b"), Run(5, "x"), soon())
    store.lost["put"] = 1
    newer = spool.replace(stored, list(stored.entry.kept)[1:], soon())
    store.lost["delete"] = 1
    assert spool.remove(newer, soon())
    assert store.objects == {}
