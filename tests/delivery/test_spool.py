"""The spool over any store: order, removal by one run only, tries, and what is set aside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.delivery.entry import Entry, Unreadable
from pusher.delivery.spool import DEAD, Run, Spool, Stored, endpoint_of, started_ms_of
from pusher.model import Kept, WriteRequest
from pusher.store import MAX_BYTES, Changed, NotStored, Object, StoreError
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


@pytest.mark.parametrize(
    ("endpoint", "shard", "run", "key"),
    [
        pytest.param("amp", "0", Run(0, "a"), "spool/amp/0/0000000000000-a", id="the beginning of time"),
        pytest.param("amp", "0", Run(10**13 - 1, "a"), "spool/amp/0/9999999999999-a", id="13 digits"),
        pytest.param("amp", "7", Run(5, "a-b"), "spool/amp/7/0000000000005-a-b", id="another shard"),
        pytest.param("a/b", "0", Run(5, "a"), "spool/a%2Fb/0/0000000000005-a", id="a slash"),
        pytest.param("a%2Fb", "0", Run(5, "a"), "spool/a%252Fb/0/0000000000005-a", id="a percent sign"),
        pytest.param("..", "0", Run(5, "a"), "spool/%2E%2E/0/0000000000005-a", id="dots"),
        pytest.param("a.b", "0", Run(5, "a"), "spool/a.b/0/0000000000005-a", id="a dot"),
    ],
)
def test_a_key_says_who_and_when(store: MemoryStore, endpoint: str, shard: str, run: Run, key: str) -> None:
    """A key has the endpoint, the shard, 13 digits of milliseconds and the run's id, and tells them again."""
    stored = Spool(store, shard).keep(entry(endpoint, run.started_ms), run, soon())
    assert list(store.objects) == [stored.key] == [key]
    assert (endpoint_of(key), started_ms_of(key)) == (endpoint, run.started_ms)


@given(st.lists(st.integers(0, 10**13 - 1), max_size=20, unique=True))
def test_the_order_of_keys_is_that_of_time(starts: list[int]) -> None:
    """Keys sort by the start of their run, as text and as bytes."""
    spool = Spool(MemoryStore())
    keys = [spool.key("amp", Run(started_ms, "x")) for started_ms in starts]
    assert [started_ms_of(key) for key in sorted(keys, key=str.encode)] == sorted(starts)


@given(st.text(min_size=1, max_size=30))
def test_any_name_of_an_endpoint_comes_back(name: str) -> None:
    """One endpoint has one folder, whatever its name is, and its name is in the key."""
    spool = Spool(MemoryStore())
    key = spool.key(name, Run(5, "x"))
    assert endpoint_of(key) == name
    assert key.count("/") == 3
    assert key.isascii()
    assert not {".", "..", ""} & set(key.split("/"))


@given(st.sets(st.text(st.sampled_from("a./%2EF"), min_size=1, max_size=4), max_size=6))
def test_names_that_look_alike_are_different_endpoints(names: set[str]) -> None:
    """No two names share a folder, and each is a stranger under its own name."""
    spool = Spool(MemoryStore())
    for name in names:
        spool.keep(entry(name), Run(5, "x"), soon())
    assert spool.strangers([], soon()) == dict.fromkeys(names, 1)


def test_an_entry_of_the_same_run_takes_the_place_of_the_one_before(spool: Spool) -> None:
    """A run has one entry for each endpoint."""
    spool.keep(entry("amp", 5, b"a", b"b"), Run(5, "x"), soon())
    second = spool.keep(entry("amp", 5, b"c"), Run(5, "x"), soon())
    assert spool.keys("amp", soon()) == [second.key]
    assert spool.load(second.key, soon()) == second


def test_what_is_left_keeps_what_else_is_said_of_the_entry(spool: Spool) -> None:
    """Replacing takes requests away, and changes neither the run nor whether they share series."""
    old = spool.keep(Entry("amp", 5, entry("amp", 5, b"a", b"b").kept, disjoint=True), Run(5, "x"), soon())
    newer = spool.replace(old, old.entry.kept[1:], soon())
    assert spool.load(old.key, soon()) == newer
    assert (newer.key, newer.entry.started_ms, newer.entry.disjoint) == (old.key, 5, True)


@pytest.mark.parametrize("meanwhile", ["changed", "removed"])
def test_an_entry_that_another_run_was_faster_with_is_left_to_it(
    store: MemoryStore, spool: Spool, meanwhile: str
) -> None:
    """Replacing raises Changed and removing is False, at the first try, and the other run's entry stays as it is."""
    stored, other = spool.keep(entry("amp", 5, b"a", b"b"), Run(5, "x"), soon()), Spool(store)
    theirs = other.load(stored.key, soon())
    if meanwhile == "changed":
        other.replace(theirs, theirs.entry.kept[1:], soon())
    else:
        assert other.remove(theirs, soon())
    left = dict(store.objects)
    store.counts.clear()
    with pytest.raises(Changed):
        spool.replace(stored, stored.entry.kept[:1], soon())
    assert not spool.remove(stored, soon())
    assert store.objects == left
    assert (store.counts["put"], store.counts["delete"]) == (1, 1)


def test_forgetting_asks_for_no_condition(store: MemoryStore, spool: Spool) -> None:
    """The entry goes whatever it holds by now; False when there was none."""
    stored = spool.keep(entry(), Run(5, "x"), soon())
    store.objects[stored.key] = b"another"
    assert spool.forget(stored.key, soon())
    assert not spool.forget(stored.key, soon())


def test_strangers_are_counted_by_name_in_either_part(spool: Spool) -> None:
    """An endpoint that left the config is reported with how much of it waits, or is dead; none is no stranger."""
    for number in range(3):
        spool.keep(entry("left/it"), Run(number, "x"), soon())
    spool.keep(entry("amp"), Run(5, "x"), soon())
    spool.bury("..", Run(5, "x"), entry().kept, soon())
    assert spool.strangers({"amp"}, soon()) == {"left/it": 3}
    assert spool.strangers({"amp", "left/it"}, soon()) == {}
    assert spool.strangers({"amp"}, soon(), DEAD) == {"..": 1}


class Failing(MemoryStore):
    """Fails at everything as often as told, with the error that is told; remembers the deadlines it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.error, self.deadlines = 0, StoreError("the store is down"), list[float]()

    def _begin(self, operation: str) -> None:
        super()._begin(operation)
        if self.left:
            self.left -= 1
            raise self.error

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        self.deadlines.append(deadline)
        return super().get(key, deadline, etag)


ACTS: list[Any] = [
    pytest.param(lambda spool, old, until: spool.keys("amp", until), id="keys"),
    pytest.param(lambda spool, old, until: spool.load(old.key, until), id="load"),
    pytest.param(lambda spool, old, until: spool.keep(old.entry, Run(9, "x"), until), id="keep"),
    pytest.param(lambda spool, old, until: spool.replace(old, old.entry.kept[1:], until), id="replace"),
    pytest.param(lambda spool, old, until: spool.remove(old, until), id="remove"),
    pytest.param(lambda spool, old, until: spool.forget(old.key, until), id="forget"),
    pytest.param(lambda spool, old, until: spool.set_aside(old.key, until), id="set_aside"),
    pytest.param(lambda spool, old, until: spool.bury("amp", Run(9, "x"), old.entry.kept, until), id="bury"),
    pytest.param(lambda spool, old, until: spool.strangers([], until), id="strangers"),
]
Act = Callable[[Spool, Stored, float], object]


def with_entry(sleep: Callable[[float], None] = time.sleep) -> tuple[Failing, Spool, Stored]:
    store = Failing()
    spool = Spool(store, sleep=sleep)
    stored = spool.keep(entry("amp", 5, b"a", b"b"), Run(5, "x"), soon())
    store.counts.clear()
    return store, spool, stored


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize("act", ACTS)
def test_every_act_survives_a_store_that_fails_twice(act: Act, failures: int) -> None:
    """What comes of it is what would have come of it at once."""
    store, spool, stored = with_entry(sleep=lambda seconds: None)
    calm_store, calm, calm_stored = with_entry()
    store.left = failures
    assert act(spool, stored, soon()) == act(calm, calm_stored, soon())
    assert store.objects == calm_store.objects


@pytest.mark.parametrize(("seconds", "tries"), [(0.05, 1), (0.5, 3)], ids=["no time for another", "for all"])
@pytest.mark.parametrize("act", ACTS)
def test_every_act_gives_up_within_its_deadline(act: Act, seconds: float, tries: int) -> None:
    """A store that always fails is tried three times at most, raises its own error, and costs no more than was left."""
    store, spool, stored = with_entry()
    store.left = 99
    started = time.monotonic()
    with pytest.raises(StoreError, match="the store is down"):
        act(spool, stored, started + seconds)
    assert time.monotonic() - started < seconds + 5
    assert 1 <= store.counts.total() <= tries


@pytest.mark.parametrize("error", [NotStored("no such bucket"), Changed("another was faster")], ids=["gone", "changed"])
@pytest.mark.parametrize("act", ACTS)
def test_what_is_no_failure_is_never_tried_again(act: Act, error: StoreError) -> None:
    """NotStored and Changed are answers: the first one is raised, nobody sleeps, and nothing is done twice."""
    slept = list[float]()
    store, spool, stored = with_entry(sleep=slept.append)
    store.left, store.error = 1, error
    with pytest.raises(type(error)):
        act(spool, stored, soon())
    assert set(store.counts.values()) == {1}  # a write that is Changed may be this run's own: it looks, once
    assert slept == []


def test_no_try_may_take_longer_than_all_of_them(store: MemoryStore) -> None:
    """Each try gets a deadline of its own, in order, within the whole; one that hangs leaves time for another."""
    failing, spool, stored = with_entry(sleep=lambda seconds: None)
    failing.left = 99
    until = soon()
    with pytest.raises(StoreError):
        spool.load(stored.key, until)
    assert len(failing.deadlines) == 3
    assert failing.deadlines == sorted(failing.deadlines)
    assert failing.deadlines[0] < until - 1
    assert failing.deadlines[-1] == pytest.approx(until)


def test_an_unreadable_entry_that_is_gone_is_not_set_aside(store: MemoryStore, spool: Spool) -> None:
    """Another run has done it: NotStored, and nothing is made up under dead/."""
    with pytest.raises(NotStored):
        spool.set_aside("spool/amp/0/0000000000001-y", soon())
    assert store.objects == {}


def test_an_entry_stays_until_its_copy_is_under_dead(store: MemoryStore, spool: Spool) -> None:
    """When the copy cannot be written nothing is lost."""
    store.objects["spool/amp/0/0000000000001-y"] = b"nonsense"
    store.failing["put"] = 99
    with pytest.raises(StoreError):
        spool.set_aside("spool/amp/0/0000000000001-y", soon())
    assert store.objects == {"spool/amp/0/0000000000001-y": b"nonsense"}


@pytest.mark.parametrize(("size", "is_kept"), [(MAX_BYTES - 1_000, True), (MAX_BYTES, False)], ids=["fits", "larger"])
def test_what_could_not_be_read_again_is_not_taken(
    store: MemoryStore, spool: Spool, size: int, *, is_kept: bool
) -> None:
    """An entry is refused when it is written, so that its samples are named, and blocks nothing for ever after."""
    huge = Entry("amp", 5, [Kept(WriteRequest(bytes(size), 1, size, 7, 9))])
    if is_kept:
        assert spool.load(spool.keep(huge, Run(5, "abcd"), soon()).key, soon()).entry.samples == 1
        return
    with pytest.raises(StoreError, match=f"spool/amp/0/.* {MAX_BYTES} is the limit"):
        spool.keep(huge, Run(5, "abcd"), soon())
    assert not store.objects
