"""One endpoint's backlog over a store in memory: order, also where a listing has no room for all of it, where it is
behind the times, where there is none, and where an entry cannot be read."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from lambda_remote_write.model.delivery import Delivery, PendingRequest, WriteRequest
from lambda_remote_write.spool.drain import SpoolDrain, SpoolState
from lambda_remote_write.spool.entry import MAGIC, Entry
from lambda_remote_write.spool.spool import RunId, Spool
from lambda_remote_write.state.state import State
from lambda_remote_write.store import Keys, NotStored, StoreError
from tests.rig.clock import soon
from tests.rig.stores import MemoryStore


class Place:
    """A spool with so many entries, one sample each, and what was sent of them."""

    def __init__(self, entries: int, store: MemoryStore | None = None, *, age_limit_ms: int = 0) -> None:
        self.store = store or MemoryStore()
        self.now_ms, self.age_limit_ms = 10**9, age_limit_ms
        self.cold_start()
        for number in range(entries):
            entry = Entry("amp", number, [PendingRequest(WriteRequest(b"%d" % number, 1, 1, number, number))])
            self.spool.keep(entry, RunId(number, "x"), soon())
        self.sent: list[int] = []

    def cold_start(self) -> None:
        """Another environment over the same store."""
        self.slept: list[float] = []
        self.spool = Spool(self.store, sleep=self.slept.append)
        self.state = State(self.store, "0", lambda: int(time.time() * 1000))
        self.spool_state = SpoolState(self.spool, self.state)

    def key(self, number: int) -> str:
        return self.spool.key("amp", RunId(number, "x"))

    def run(self) -> tuple[bool, Delivery]:
        """A run as a push makes it: the state object is read before and written after."""
        self.state.start_reading(soon())
        found = self.drain()
        self.state.save(soon())
        return found

    def waiting(self) -> list[int]:
        return [int(key.split("/")[-1].partition("-")[0]) for key in self.store.objects if key.startswith("spool/")]

    def send(self, requests: Sequence[WriteRequest], accounting: Delivery, disjoint: bool) -> list[PendingRequest]:
        self.sent += [int(request.body) for request in requests]
        accounting.accepted += len(requests)
        return []

    def drain(self, seconds: float = 20.0) -> tuple[bool, Delivery]:
        accounting = Delivery("amp")
        until = time.monotonic() + seconds
        run = RunId(self.now_ms, "now")
        is_empty = SpoolDrain(self.spool_state, run, accounting, until + 1, self.age_limit_ms).drain(self.send, until)
        assert accounting.balances
        return is_empty, accounting


def test_a_backlog_longer_than_a_listing_keeps_its_order() -> None:
    """The newest entry is known of, but it is not next."""
    place = Place(1_203)
    place.spool_state.known["amp"] = {place.spool.key("amp", RunId(1_202, "x"))}
    place.state.will_spool("amp", place.spool.key("amp", RunId(1_202, "x")), soon())
    is_empty, accounting = place.drain()
    assert (is_empty, accounting.taken, accounting.waiting.entries > 0) == (False, 1_000, True)
    is_empty, accounting = place.drain()
    assert (is_empty, accounting.taken, accounting.waiting.entries) == (True, 203, 0)
    assert place.sent == list(range(1_203))
    assert not place.state.has_backlog("amp")


class Stale(MemoryStore):
    """A store whose listings lack what came last."""

    def list(self, prefix: str, deadline: float, most: int = 1000) -> Keys:
        return super().list(prefix, deadline, most)[:-1]


@pytest.mark.parametrize("who", ["this environment", "the state object"])
def test_a_listing_that_is_behind_lacks_nothing_that_is_known_of(who: str) -> None:
    place = Place(3, Stale())
    newest = place.spool.key("amp", RunId(2, "x"))
    if who == "this environment":
        place.spool_state.known["amp"] = {newest}
    else:
        place.state.will_spool("amp", newest, soon())
    assert place.drain()[0]
    assert place.sent == [0, 1, 2]


def test_what_a_run_had_no_time_for_is_known_to_the_next_one() -> None:
    """Also where only the listing told of it."""
    place = Place(3)
    place.state.save(soon())  # no heartbeat is due
    real_send = place.send
    place.send = lambda requests, accounting, disjoint: list(map(PendingRequest, requests))  # type: ignore[method-assign]
    assert not place.drain()[0]
    place.send = real_send  # type: ignore[method-assign]
    assert place.drain()[0]
    assert place.sent == [0, 1, 2]


def test_nothing_is_listed_where_nothing_says_that_there_is_something() -> None:
    place = Place(0)
    place.state.save(soon())  # a heartbeat is not due
    for _ in range(3):
        assert place.drain()[0]
    assert place.store.counts["list"] == 1  # a new environment looks once
    place.state.will_spool("amp", place.spool.key("amp", RunId(5, "x")), soon())
    assert place.drain()[0]
    assert place.store.counts["list"] == 2


def test_mode_always_looks_every_time() -> None:
    place = Place(0)
    place.spool_state.mode = "always"
    for _ in range(3):
        assert place.drain()[0]
    assert place.store.counts["list"] == 3


def test_time_that_is_up_leaves_the_rest_for_the_next_run() -> None:
    place = Place(5)
    is_empty, accounting = place.drain(seconds=-1.0)
    assert (is_empty, place.sent) == (False, [])
    assert any("cannot be listed" in detail for detail in accounting.warnings) or accounting.waiting.entries == 5


# --- A spool that does not say what is in it --------------------------------------------------------------------------

NEVER = 10**6  # more failures than any test has time for


def test_a_store_that_comes_back_within_the_run_keeps_the_order() -> None:
    """Not known is not nothing waits: a new environment asks until it knows."""
    place = Place(3)
    place.store.failing["list"] = 11
    may_go, accounting = place.drain()
    assert (may_go, place.sent, accounting.backlog_unknown, accounting.warnings) == (True, [0, 1, 2], False, [])
    assert {0.5, 1.0, 2.0} <= set(place.slept)  # longer and longer between the rounds


def test_fresh_samples_pass_a_backlog_that_is_not_known() -> None:
    """An outage of the store must not cost the data of its time; the report says that the order was not kept."""
    place = Place(3)
    place.store.failing["list"] = NEVER
    may_go, accounting = place.drain(seconds=0.3)  # the sleeping is not real, but the asking ends with the time
    assert (may_go, place.sent, accounting.backlog_unknown) == (True, [], True)
    assert any(detail.startswith("backlog_unknown: ") for detail in accounting.warnings)
    place.store.failing.clear()
    may_go, accounting = place.drain()
    assert (may_go, place.sent, accounting.backlog_unknown) == (True, [0, 1, 2], False)


@pytest.mark.parametrize("by", ["memory", "the state object"])
def test_fresh_samples_wait_for_a_backlog_that_is_known(by: str) -> None:
    place = Place(0)
    place.store.failing["list"] = NEVER
    if by == "memory":
        place.spool_state.known["amp"] = {place.key(1)}
    else:
        place.state.will_spool("amp", place.key(1), soon())
    may_go, accounting = place.drain()
    assert (may_go, accounting.backlog_unknown) == (False, False)
    assert place.store.counts["list"] == 3


def test_an_environment_that_has_looked_does_not_wait_for_the_store() -> None:
    """It knows what it has left, which is nothing."""
    place = Place(0)
    assert place.drain()[0]
    place.store.failing["list"] = NEVER
    may_go, accounting = place.drain()  # the state object was never written: a heartbeat is due
    assert (may_go, accounting.backlog_unknown, place.store.counts["list"]) == (True, False, 4)


def test_waiting_ends_once_the_order_is_lost_but_the_report_goes_on() -> None:
    place = Place(1)
    place.store.failing["list"] = NEVER
    place.drain(seconds=0.3)
    place.store.counts.clear()
    may_go, accounting = place.drain()
    assert (may_go, accounting.backlog_unknown, place.store.counts["list"]) == (True, True, 3)


class NoBucket(MemoryStore):
    def list(self, prefix: str, deadline: float, most: int = 1000) -> Keys:
        self.counts["list"] += 1
        raise NotStored("no such bucket")


def test_a_bucket_that_is_not_there_is_not_waited_for() -> None:
    place = Place(0, NoBucket())
    may_go, accounting = place.drain()
    assert (may_go, accounting.backlog_unknown, place.store.counts["list"]) == (True, True, 1)


class Impatient(Spool):
    """Waits for nothing, and remembers until when it might have."""

    latest = 0.0

    def wait(self, seconds: float, deadline: float) -> bool:
        self.latest = deadline
        return False


@pytest.mark.parametrize(
    ("seconds", "sending_seconds", "asking_seconds"),
    [
        pytest.param(1_000.0, 10.0, 990.0, id="a long run: as much as sending needs"),
        pytest.param(1_000.0, 900.0, 400.0, id="a run that is short for what it has: more than half"),
    ],
)
def test_time_to_send_is_left_when_the_store_stays_silent(
    seconds: float, sending_seconds: float, asking_seconds: float
) -> None:
    place = Place(0)
    place.store.failing["list"] = NEVER
    spool = Impatient(place.store)
    started = time.monotonic()
    backlog = SpoolDrain(SpoolState(spool, place.state), RunId(1, "now"), Delivery("amp"), started + seconds + 1)
    assert backlog.drain(place.send, started + seconds, sending_seconds)
    assert spool.latest - started == pytest.approx(asking_seconds, abs=30)


# --- What must not be lost --------------------------------------------------------------------------------------------


class WithoutDeadLetters(MemoryStore):
    """A store that takes nothing under dead/ while it `refuses`."""

    refuses = True

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        if self.refuses and key.startswith("dead/"):
            raise StoreError("nothing under dead/")
        return super().put(key, content, deadline, expected)


@pytest.mark.parametrize("reason", ["too_old", "overtaken"])
def test_an_entry_stays_while_its_dead_letters_cannot_be_stored(reason: str) -> None:
    """It is the only place that has them. What has become of the others is done: they are not sent again."""
    store = WithoutDeadLetters()
    place = Place(0, store)
    requests = [WriteRequest(b"%d" % number, 1, 1, number, number) for number in range(2)]
    place.spool.keep(Entry("amp", 0, list(map(PendingRequest, requests))), RunId(0, "x"), time.monotonic() + 5)
    real_send = place.send

    def send(requests: Sequence[WriteRequest], accounting: Delivery, disjoint: bool) -> list[PendingRequest]:
        dead = [PendingRequest(one, reason, "why") for one in requests if one.body == b"0"]
        for one in dead:
            (accounting.dropped if reason == "too_old" else accounting.rejected).add(reason, "why", 1)
            accounting.dead.append(one)
        return real_send([one for one in requests if one.body != b"0"], accounting, disjoint)

    place.send = send  # type: ignore[method-assign]
    may_go, accounting = place.drain()
    assert (may_go, accounting.dead_lettered, accounting.spooled.counts) == (False, 0, {reason: 1})
    assert (place.waiting(), place.sent) == ([0], [1])
    store.refuses = False
    may_go, accounting = place.drain()
    assert (may_go, accounting.taken, accounting.dead_lettered) == (True, 1, 1)
    assert (place.waiting(), place.sent) == ([], [1])


def test_what_is_stored_ahead_of_sending_may_be_stored_by_the_receiver() -> None:
    """The next run cannot tell how far a killed one came: a later 400 to these samples may be no loss."""
    place = Place(0)
    place.spool_state.mode = "always"
    backlog = SpoolDrain(place.spool_state, RunId(7, "x"), Delivery("amp"), time.monotonic() + 5)
    backlog.write_ahead([WriteRequest(b"1", 1, 1, 1, 1)], disjoint=True)
    assert place.waiting() == [7]
    entry = place.spool.load(place.key(7), time.monotonic() + 5).entry
    assert [request.maybe_stored for request in entry.requests] == [True]


# --- Entries that cannot be read --------------------------------------------------------------------------------------


def test_an_intact_entry_whose_reads_were_all_damaged_in_one_run_is_sent_by_the_next() -> None:
    """Nothing overtakes it meanwhile, and nothing is set aside."""
    place = Place(3)
    place.store.cut = 3
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.entries, accounting.waiting.unreadable) == (False, [], 3, 0)
    assert any("later entries wait" in detail for detail in accounting.warnings)
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.entries) == (True, [0, 1, 2], 0)
    assert not [key for key in place.store.objects if key.startswith("dead/")]


@pytest.mark.parametrize("is_cold", [False, True], ids=["same environment", "cold starts"])
def test_a_later_run_that_reads_the_same_bytes_sets_an_entry_aside(*, is_cold: bool) -> None:
    """Its samples are counted as its header says, and what comes after it goes out."""
    place = Place(3)
    place.store.objects[place.key(1)] = content = place.store.objects[place.key(1)][:-1]
    assert (place.run()[0], place.sent) == (False, [0])
    if is_cold:
        place.cold_start()
    may_go, accounting = place.run()
    assert (may_go, place.sent) == (True, [0, 2])
    assert (accounting.taken, accounting.accepted, accounting.dropped.counts, accounting.dead_lettered) == (
        2,
        1,
        {"unreadable": 1},
        1,
    )
    assert accounting.waiting.unreadable == 1
    aside = f"dead/amp/0/{1:013d}-x.unreadable"
    assert {key: one for key, one in place.store.objects.items() if not key.startswith("state")} == {aside: content}
    assert not place.state.facts.unread
    assert aside in accounting.dropped.first_examples["unreadable"]


@pytest.mark.parametrize("content", [b"", b"garbage", MAGIC, MAGIC + b"\0\0\0\x02[]"], ids=repr)
def test_damage_to_the_header_leaves_the_name_and_the_size(content: bytes) -> None:
    place = Place(2)
    place.store.objects[place.key(0)] = content
    place.run()
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.taken, accounting.waiting.unreadable) == (True, [1], 1, 1)
    (detail,) = [detail for detail in accounting.warnings if "is not known" in detail]
    assert place.key(0) in detail
    assert f"its {len(content)} bytes" in detail


def test_other_damage_in_the_next_run_is_no_proof() -> None:
    place = Place(1)
    whole = place.store.objects[place.key(0)]
    for kept in range(1, 5):
        place.store.objects[place.key(0)] = whole[:-kept]
        assert not place.run()[0]
    place.store.objects[place.key(0)] = whole
    assert place.run()[0]
    assert place.sent == [0]


@pytest.mark.parametrize("operation", ["put", "delete"])
def test_a_damaged_entry_stays_while_it_cannot_be_set_aside(operation: str) -> None:
    place = Place(2)
    place.store.objects[place.key(0)] = b"garbage"
    place.run()
    place.store.failing[operation] = 3
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.unreadable) == (False, [], 0)
    assert place.store.objects[place.key(0)] == b"garbage"
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.unreadable) == (True, [1], 1)


def test_a_damaged_entry_that_another_run_has_set_aside_is_not_counted_twice() -> None:
    place = Place(1)
    place.store.objects[place.key(0)] = place.store.objects[place.key(0)][:-1]
    place.run()
    real_delete = place.store.delete

    def late(key: str, deadline: float, expected: str = "") -> bool:
        place.store.objects.pop(key, None)
        return real_delete(key, deadline, expected)

    place.store.delete = late  # type: ignore[method-assign]
    _, accounting = place.run()
    assert (accounting.taken, accounting.waiting.unreadable) == (0, 0)
    may_go, accounting = place.run()
    assert (may_go, accounting.taken, accounting.waiting.entries) == (True, 0, 0)
    assert not place.state.facts.unread


MINUTE_MS, LIMIT_MS = 60_000, 55 * 60_000


def test_what_comes_after_an_entry_waits_while_the_receiver_may_take_its_samples() -> None:
    """Then it goes out; the entry itself stays, and is sent should it be read again."""
    place = Place(3, age_limit_ms=LIMIT_MS)
    place.store.silent = {place.key(1)}
    place.now_ms = LIMIT_MS
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.entries, accounting.waiting.oldest_ms) == (False, [0], 2, 1)
    place.cold_start()
    place.now_ms = LIMIT_MS + 2
    may_go, accounting = place.run()
    assert (may_go, place.sent) == (True, [0, 2])
    assert (accounting.waiting.entries, accounting.waiting.oldest_ms, accounting.waiting.unreadable) == (1, 1, 0)
    assert any("later entries go past it" in detail for detail in accounting.warnings)
    place.store.silent.clear()
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.entries, place.waiting()) == (True, [0, 2, 1], 0, [])
    assert not place.state.has_backlog("amp")


@pytest.mark.parametrize("is_cold", [False, True], ids=["same environment", "cold starts"])
def test_a_receiver_that_takes_any_age_waits_for_an_hour(*, is_cold: bool) -> None:
    """Counted from the first run that could not read, for several entries in a row together."""
    place = Place(4)
    place.store.silent = {place.key(0), place.key(1)}
    for minute in range(60):
        assert not place.run()[0], minute
        place.now_ms += MINUTE_MS
        if is_cold:
            place.cold_start()
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.entries) == (True, [2, 3], 2)
    assert place.waiting() == [0, 1]


def test_an_entry_that_can_be_read_again_starts_anew() -> None:
    place = Place(2)
    place.store.silent = {place.key(0)}
    place.run()
    place.store.silent = {place.key(1)}
    place.now_ms += 61 * MINUTE_MS
    assert (place.run()[0], place.sent) == (False, [0])
    assert list(place.state.facts.unread) == [place.key(1)]


def test_an_entry_that_was_read_parts_what_could_not_be() -> None:
    """Only entries in a row share their hour."""
    place = Place(3)
    place.store.silent = {place.key(0)}
    place.run()
    place.store.silent = {place.key(0), place.key(2)}
    place.now_ms += 61 * MINUTE_MS
    may_go, accounting = place.run()
    assert (may_go, place.sent, accounting.waiting.entries) == (False, [1], 2)


def test_what_was_noted_of_an_entry_goes_with_it() -> None:
    place = Place(2)
    place.store.silent = {place.key(0)}
    place.run()
    assert list(place.state.facts.unread) == [place.key(0)]
    place.spool.delete(place.key(0), soon())
    assert place.run()[0]
    assert not place.state.facts.unread


def test_a_finished_entry_that_another_run_has_replaced_is_not_removed_unsent() -> None:
    """It could not be removed when it was done; what stands there now belongs to the other run."""
    place = Place(1)
    place.store.failing["delete"] = NEVER
    assert place.drain()[0]
    place.store.failing.clear()
    other = Entry("amp", 0, [PendingRequest(WriteRequest(b"7", 1, 1))])
    place.spool.keep(other, RunId(0, "x"), soon())
    assert place.drain()[0]
    assert place.sent == [0, 7]
    assert place.waiting() == []


@pytest.mark.parametrize("left", [0, 1], ids=["all of it", "all but one request"])
def test_an_entry_that_another_run_has_finished_meanwhile_counts_there(left: int) -> None:
    """Whatever this run's receiver said of it: its samples must not count twice."""
    place = Place(0)
    requests = [PendingRequest(WriteRequest(b"%d" % number, 1, 1, number, number)) for number in range(3)]
    place.spool.keep(Entry("amp", 0, requests), RunId(0, "x"), soon())

    def send(requests: Sequence[WriteRequest], accounting: Delivery, disjoint: bool) -> list[PendingRequest]:
        place.store.objects.clear()  # by the other run
        accounting.accepted += 1
        accounting.rejected.add("http_400", "no", 2 - left)
        return [PendingRequest(requests[-1], "unavailable", "503")][:left]

    place.send = send  # type: ignore[method-assign]
    is_empty, accounting = place.drain()
    assert (is_empty, accounting.taken, accounting.accepted) == (True, 3, 0)
    assert (accounting.rejected.total(), accounting.spooled.total()) == (0, 0)
    assert dict(accounting.dropped.counts) == {"settled_elsewhere": 3}
