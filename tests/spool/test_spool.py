"""The spool over any store: order, removal by one run only, tries, and what is set aside."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.aws.s3 import S3Store
from lambda_remote_write.model.delivery import PendingRequest, WriteRequest
from lambda_remote_write.spool import entry as entries
from lambda_remote_write.spool.entry import Entry
from lambda_remote_write.spool.spool import DEAD, Damaged, RunId, Spool, Stored, endpoint_of, started_ms_of
from lambda_remote_write.store import MAX_BYTES, Changed, NotStored, Object, StoreError
from tests.rig.aws import REGION, Aws
from tests.rig.clock import soon
from tests.rig.stores import MemoryStore


def entry(endpoint: str = "amp", started_ms: int = 5, *bodies: bytes) -> Entry:
    return Entry(endpoint, started_ms, [PendingRequest(WriteRequest(body, 1, 1)) for body in bodies or (b"x",)])


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def spool(store: MemoryStore) -> Spool:
    return Spool(store, sleep=lambda seconds: None)


def test_shards_do_not_meet(store: MemoryStore, spool: Spool) -> None:
    other = Spool(store, "1")
    spool.keep(entry(), RunId(5, "x"), soon())
    assert other.keys("amp", soon()) == []
    assert other.orphaned_entries([], soon()) == {}


def test_what_is_dead_is_kept_beside(store: MemoryStore, spool: Spool) -> None:
    dead = [PendingRequest(WriteRequest(b"old", 1, 3), "too_old", "an hour ago")]
    own = spool.write_dead_letters("amp", RunId(5, "x"), dead, soon())
    other = spool.write_dead_letters("amp", RunId(5, "x"), dead, soon(), source="spool/amp/0/0000000000001-y")
    assert (own, other) == ("dead/amp/0/0000000000005-x", "dead/amp/0/0000000000001-y-0000000000005-x")
    assert [one.reason for one in spool.load(own, soon()).entry.pending] == ["too_old"]
    assert spool.keys("amp", soon(), DEAD) == sorted([own, other])


DAMAGED = "spool/amp/0/0000000000001-y"


def damaged(store: MemoryStore, spool: Spool, content: bytes = b"nonsense") -> Damaged:
    """An entry that is none, as a run finds it."""
    store.objects[DAMAGED] = content
    with pytest.raises(Damaged) as raised:
        spool.load(DAMAGED, soon())
    return raised.value


def test_a_damaged_entry_is_set_aside_as_it_is(store: MemoryStore, spool: Spool) -> None:
    aside = spool.set_aside(damaged(store, spool), soon())
    assert store.objects == {aside: b"nonsense"}
    assert aside.startswith("dead/amp/0/")
    store.counts.clear()
    with pytest.raises(Damaged):
        spool.load(aside, soon())
    assert store.counts["get"] == 1  # it is known to be damaged


@pytest.mark.parametrize("reads", [1, 2])
def test_an_entry_that_comes_back_damaged_is_read_again(store: MemoryStore, spool: Spool, reads: int) -> None:
    """The damage may have happened on the way."""
    stored = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
    store.cut = reads
    assert spool.load(stored.key, soon()) == stored


def test_an_entry_is_damaged_when_every_read_of_a_run_says_so(store: MemoryStore, spool: Spool) -> None:
    stored = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
    store.cut = 3
    with pytest.raises(Damaged) as raised:
        spool.load(stored.key, soon())
    assert raised.value.found.content == store.objects[stored.key][: len(store.objects[stored.key]) // 2]
    assert store.counts["get"] == 3


class Unsteady(MemoryStore):
    """Gives other bytes each time, or bytes without an ETag: neither is what is stored."""

    def __init__(self, etag: str = "") -> None:
        super().__init__()
        self.given_etag = etag

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        found = super().get(key, deadline)
        assert found is not None
        if not self.given_etag:
            return Object(b"", "")
        return Object(found.content[: self.counts["get"]], self.given_etag)


@pytest.mark.parametrize(
    ("etag", "detail"), [("", "without an ETag"), ('"e"', "not return the same bytes")], ids=["no ETag", "other bytes"]
)
def test_what_does_not_stay_the_same_is_no_damage_but_a_failure(etag: str, detail: str) -> None:
    store = Unsteady(etag)
    spool = Spool(store, sleep=lambda seconds: None)
    stored = spool.keep(entry(), RunId(5, "x"), soon())
    with pytest.raises(StoreError, match=detail):
        spool.load(stored.key, soon())


def test_no_time_to_read_again_is_a_failure_and_no_damage(store: MemoryStore, spool: Spool) -> None:
    stored = spool.keep(entry(), RunId(5, "x"), soon())
    store.cut = 99
    with pytest.raises(StoreError, match="no time to read it again"):
        spool.load(stored.key, time.monotonic() + 0.1)


def test_an_entry_stays_when_its_copy_is_not_what_was_written(store: MemoryStore, spool: Spool) -> None:
    found = damaged(store, spool)
    store.cut = 1
    with pytest.raises(StoreError, match="the copy is not what was written"):
        spool.set_aside(found, soon())
    assert store.objects[DAMAGED] == b"nonsense"


def test_bytes_that_the_store_does_not_hold_are_not_set_aside(store: MemoryStore, spool: Spool) -> None:
    """Another run has written over them; or the way to the store made them up, ETag included."""
    found = damaged(store, spool)
    store.objects[DAMAGED] = b"another run's"
    with pytest.raises(StoreError, match="does not confirm"):
        spool.set_aside(found, soon())
    assert store.objects == {DAMAGED: b"another run's"}


def test_an_intact_entry_that_is_always_cut_on_its_way_is_not_set_aside(store: MemoryStore, spool: Spool) -> None:
    """The ETag of a copy tells: the same bytes would have the same."""
    stored = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
    before, store.cut = dict(store.objects), 3
    with pytest.raises(Damaged) as raised:
        spool.load(stored.key, soon())
    with pytest.raises(StoreError, match="holds other bytes than it returned"):
        spool.set_aside(raised.value, soon())
    assert store.objects == before


class Encrypted(MemoryStore):
    """ETags that say nothing of the bytes, and are others at every write, as in a bucket with a key in KMS."""

    def __init__(self) -> None:
        super().__init__()
        self.etags: dict[str, str] = {}

    def _etag(self, key: str) -> str:
        return self.etags.setdefault(key, f'"{len(self.etags)}"') if key in self.objects else ""


def test_a_damaged_entry_is_set_aside_where_etags_say_nothing_of_the_bytes() -> None:
    store = Encrypted()
    spool = Spool(store, sleep=lambda seconds: None)
    aside = spool.set_aside(damaged(store, spool), soon())
    assert store.objects == {aside: b"nonsense"}


def test_what_another_run_writes_over_a_damaged_entry_at_the_same_time_stays(store: MemoryStore, spool: Spool) -> None:
    found, real_put = damaged(store, spool), store.put

    def late(key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        store.objects[DAMAGED] = b"another run's"
        return real_put(key, content, deadline, expected)

    store.put = late  # type: ignore[method-assign]
    with pytest.raises(Changed):
        spool.set_aside(found, soon())
    assert store.objects[DAMAGED] == b"another run's"


def test_what_is_set_aside_over_another_s3() -> None:
    """moto knows nothing of what the sandbox's bucket thinks S3 does."""
    with Aws() as aws:
        aws.client("s3").create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
        store = S3Store(aws.objects(), "s3://kept")
        spool = Spool(store, sleep=lambda seconds: None)
        whole = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
        assert spool.load(whole.key, soon()) == whole
        store.put(DAMAGED, b"nonsense", soon())
        with pytest.raises(Damaged) as raised:
            spool.load(DAMAGED, soon())
        aside = spool.set_aside(raised.value, soon())
        assert spool.keys("amp", soon()) == [whole.key]
        assert spool.keys("amp", soon(), DEAD) == [aside]
        found = store.get(aside, soon())
        assert found is not None
        assert found.content == b"nonsense"


def test_a_change_whose_answer_was_lost_is_this_runs_own(store: MemoryStore, spool: Spool) -> None:
    stored = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
    store.lost["put"] = 1
    newer = spool.replace(stored, list(stored.entry.pending)[1:], soon())
    store.lost["delete"] = 1
    assert spool.remove(newer, soon())
    assert store.objects == {}


@pytest.mark.parametrize("found", ["nothing", "another", "no answer"])
def test_a_write_has_failed_when_a_look_does_not_find_it(store: MemoryStore, spool: Spool, found: str) -> None:
    """What is raised is why the write failed."""
    store.failing["put"] = 3
    if found == "another":
        store.objects[spool.key("amp", RunId(5, "x"))] = b"something else"
    store.failing["get"] = 99 if found == "no answer" else 0
    with pytest.raises(StoreError, match="put fails"):
        spool.keep(entry(), RunId(5, "x"), soon())
    assert (store.counts["put"], store.counts["get"]) == (3, 1)


@pytest.mark.parametrize(
    ("endpoint", "shard", "run", "key"),
    [
        pytest.param("amp", "0", RunId(0, "a"), "spool/amp/0/0000000000000-a", id="the beginning of time"),
        pytest.param("amp", "0", RunId(10**13 - 1, "a"), "spool/amp/0/9999999999999-a", id="13 digits"),
        pytest.param("amp", "7", RunId(5, "a-b"), "spool/amp/7/0000000000005-a-b", id="another shard"),
        pytest.param("a/b", "0", RunId(5, "a"), "spool/a%2Fb/0/0000000000005-a", id="a slash"),
        pytest.param("a%2Fb", "0", RunId(5, "a"), "spool/a%252Fb/0/0000000000005-a", id="a percent sign"),
        pytest.param("..", "0", RunId(5, "a"), "spool/%2E%2E/0/0000000000005-a", id="dots"),
        pytest.param("a.b", "0", RunId(5, "a"), "spool/a.b/0/0000000000005-a", id="a dot"),
    ],
)
def test_a_key_says_who_and_when(store: MemoryStore, endpoint: str, shard: str, run: RunId, key: str) -> None:
    """A key has the endpoint, the shard, 13 digits of milliseconds and the run's id, and tells them again."""
    stored = Spool(store, shard).keep(entry(endpoint, run.started_ms), run, soon())
    assert list(store.objects) == [stored.key] == [key]
    assert (endpoint_of(key), started_ms_of(key)) == (endpoint, run.started_ms)


@given(st.lists(st.integers(0, 10**13 - 1), max_size=20, unique=True))
def test_the_order_of_keys_is_that_of_time(starts: list[int]) -> None:
    """Keys sort by the start of their run, as text and as bytes."""
    spool = Spool(MemoryStore())
    keys = [spool.key("amp", RunId(started_ms, "x")) for started_ms in starts]
    assert [started_ms_of(key) for key in sorted(keys, key=str.encode)] == sorted(starts)


@given(st.text(min_size=1, max_size=30))
def test_any_name_of_an_endpoint_comes_back(name: str) -> None:
    """One endpoint has one folder, whatever its name is, and its name is in the key."""
    spool = Spool(MemoryStore())
    key = spool.key(name, RunId(5, "x"))
    assert endpoint_of(key) == name
    assert key.count("/") == 3
    assert key.isascii()
    assert not {".", "..", ""} & set(key.split("/"))


@given(st.sets(st.text(st.sampled_from("a./%2EF"), min_size=1, max_size=4), max_size=6))
def test_names_that_look_alike_are_different_endpoints(names: set[str]) -> None:
    """No two names share a folder, and each is counted under its own name."""
    spool = Spool(MemoryStore())
    for name in names:
        spool.keep(entry(name), RunId(5, "x"), soon())
    assert spool.orphaned_entries([], soon()) == dict.fromkeys(names, 1)


def test_an_entry_of_the_same_run_takes_the_place_of_the_one_before(spool: Spool) -> None:
    """A run has one entry for each endpoint."""
    spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
    second = spool.keep(entry("amp", 5, b"c"), RunId(5, "x"), soon())
    assert spool.keys("amp", soon()) == [second.key]
    assert spool.load(second.key, soon()) == second


def test_what_is_left_keeps_the_rest_of_the_entry(spool: Spool) -> None:
    """Replacing takes requests away, and changes neither the run nor whether they share series."""
    old = spool.keep(Entry("amp", 5, entry("amp", 5, b"a", b"b").pending, disjoint=True), RunId(5, "x"), soon())
    newer = spool.replace(old, old.entry.pending[1:], soon())
    assert spool.load(old.key, soon()) == newer
    assert (newer.key, newer.entry.started_ms, newer.entry.disjoint) == (old.key, 5, True)


@pytest.mark.parametrize("meanwhile", ["changed", "removed"])
def test_an_entry_that_another_run_was_faster_with_is_left_to_it(
    store: MemoryStore, spool: Spool, meanwhile: str
) -> None:
    """Replacing raises Changed and removing is False, at the first try, and the other run's entry stays as it is."""
    stored, other = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon()), Spool(store)
    theirs = other.load(stored.key, soon())
    if meanwhile == "changed":
        other.replace(theirs, theirs.entry.pending[1:], soon())
    else:
        assert other.remove(theirs, soon())
    left = dict(store.objects)
    store.counts.clear()
    with pytest.raises(Changed):
        spool.replace(stored, stored.entry.pending[:1], soon())
    assert not spool.remove(stored, soon())
    assert store.objects == left
    assert (store.counts["put"], store.counts["delete"]) == (1, 1)


def test_deleting_does_not_compare_etags(store: MemoryStore, spool: Spool) -> None:
    """The entry goes whatever it holds by now; False when there was none."""
    stored = spool.keep(entry(), RunId(5, "x"), soon())
    store.objects[stored.key] = b"another"
    assert spool.delete(stored.key, soon())
    assert not spool.delete(stored.key, soon())


def test_orphaned_entries_are_counted_by_endpoint_in_either_part(spool: Spool) -> None:
    """An endpoint that left the config is reported with its waiting entries or its dead letters."""
    for number in range(3):
        spool.keep(entry("left/it"), RunId(number, "x"), soon())
    spool.keep(entry("amp"), RunId(5, "x"), soon())
    spool.write_dead_letters("..", RunId(5, "x"), entry().pending, soon())
    assert spool.orphaned_entries({"amp"}, soon()) == {"left/it": 3}
    assert spool.orphaned_entries({"amp", "left/it"}, soon()) == {}
    assert spool.orphaned_entries({"amp"}, soon(), DEAD) == {"..": 1}


class Failing(MemoryStore):
    """Fails at everything so many times, with the error that a test sets; remembers the deadlines it was given."""

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

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        self.deadlines.append(deadline)
        return super().put(key, content, deadline, expected)


Act = Callable[[Spool, Stored, float], object]
ACTS: dict[str, Act] = {
    "keys": lambda spool, old, until: spool.keys("amp", until),
    "load": lambda spool, old, until: spool.load(old.key, until),
    "keep": lambda spool, old, until: spool.keep(old.entry, RunId(9, "x"), until),
    "replace": lambda spool, old, until: spool.replace(old, old.entry.pending[1:], until),
    "remove": lambda spool, old, until: spool.remove(old, until),
    "delete": lambda spool, old, until: spool.delete(old.key, until),
    "set_aside": lambda spool, old, until: spool.set_aside(damage_of(old), until),
    "write_dead_letters":
        lambda spool, old, until: spool.write_dead_letters("amp", RunId(9, "x"), old.entry.pending, until),
    "orphaned_entries": lambda spool, old, until: spool.orphaned_entries([], until),
}  # fmt: skip


def damage_of(old: Stored) -> Damaged:
    """An entry as if every read of it had been damaged."""
    return Damaged(old.key, Object(entries.encode(old.entry), old.etag), "damaged")


def with_entry(sleep: Callable[[float], None] = time.sleep) -> tuple[Failing, Spool, Stored]:
    store = Failing()
    spool = Spool(store, sleep=sleep)
    stored = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
    store.counts.clear()
    store.deadlines.clear()
    return store, spool, stored


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_every_act_survives_a_store_that_fails_twice(act: Act, failures: int) -> None:
    """What comes of it is what would have come of it at once."""
    store, spool, stored = with_entry(sleep=lambda seconds: None)
    calm_store, calm, calm_stored = with_entry()
    store.left = failures
    assert act(spool, stored, soon()) == act(calm, calm_stored, soon())
    assert store.objects == calm_store.objects


@pytest.mark.parametrize(("seconds", "tries"), [(0.05, 1), (0.5, 3)], ids=["no time for another", "for all"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_every_act_gives_up_within_its_deadline(act: Act, seconds: float, tries: int) -> None:
    """A store that always fails is tried three times at most, raises its own error, and costs no more than was left.
    After a write it is asked once whether that was done all the same."""
    store, spool, stored = with_entry()
    store.left = 99
    started = time.monotonic()
    with pytest.raises(StoreError, match="the store is down"):
        act(spool, stored, started + seconds)
    assert time.monotonic() - started < seconds + 5
    assert 1 <= max(store.counts.values()) <= tries
    assert store.counts.total() <= tries + (store.counts["put"] > 0)


@pytest.mark.parametrize("error", [NotStored("no such bucket"), Changed("another was faster")], ids=["gone", "changed"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_is_no_failure_is_never_tried_again(act: Act, error: StoreError) -> None:
    """NotStored and Changed are answers: the first one is raised, without a wait or a second attempt."""
    slept = list[float]()
    store, spool, stored = with_entry(sleep=slept.append)
    store.left, store.error = 1, error
    with pytest.raises(type(error)):
        act(spool, stored, soon())
    assert set(store.counts.values()) == {1}  # a write that is Changed may be this run's own: it looks, once
    assert slept == []


class Mute(MemoryStore):
    """Once it `is_mute` it does the first write, and answers none."""

    is_mute = False

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        if not self.is_mute:
            return super().put(key, content, deadline, expected)
        if not self.counts["put"]:
            super().put(key, content, deadline, expected)
        raise StoreError("no answer")


@pytest.mark.parametrize("name", ["keep", "replace", "write_dead_letters"])
def test_a_write_that_was_done_has_not_failed_although_no_answer_came(name: str) -> None:
    """What the store has is not undelivered: when all tries are over, it is looked at."""
    store = Mute()
    spool = Spool(store, sleep=lambda seconds: None)
    stored = spool.keep(entry("amp", 5, b"a", b"b"), RunId(5, "x"), soon())
    store.counts.clear()
    store.is_mute = True
    calm_store, calm, calm_stored = with_entry()
    assert ACTS[name](spool, stored, soon()) == ACTS[name](calm, calm_stored, soon())
    assert store.objects == calm_store.objects


def test_a_look_has_time_left_after_a_write_that_hangs() -> None:
    """The tries for the write end before the deadline, and the look has the rest."""
    store, spool, stored = with_entry(sleep=lambda seconds: None)
    store.left = 3
    until = time.monotonic() + 8
    with pytest.raises(StoreError, match="the store is down"):
        spool.keep(stored.entry, RunId(9, "x"), until)
    *tries, look = store.deadlines
    assert len(tries) == 3
    assert max(tries) <= until - 0.9
    assert look == pytest.approx(until)


def test_no_try_may_take_longer_than_all_of_them() -> None:
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


def test_a_damaged_entry_that_is_gone_is_not_counted(store: MemoryStore, spool: Spool) -> None:
    """Another run has set it aside, under the same name."""
    found = damaged(store, spool)
    aside = spool.set_aside(found, soon())
    with pytest.raises(NotStored):
        spool.set_aside(found, soon())
    assert store.objects == {aside: b"nonsense"}


def test_an_entry_stays_until_its_copy_is_under_dead(store: MemoryStore, spool: Spool) -> None:
    """When the copy cannot be written nothing is lost."""
    found = damaged(store, spool)
    store.failing["put"] = 99
    with pytest.raises(StoreError):
        spool.set_aside(found, soon())
    assert store.objects == {DAMAGED: b"nonsense"}


@pytest.mark.parametrize(("size", "is_kept"), [(MAX_BYTES - 1_000, True), (MAX_BYTES, False)], ids=["fits", "larger"])
def test_what_could_not_be_read_again_is_not_taken(
    store: MemoryStore, spool: Spool, size: int, *, is_kept: bool
) -> None:
    """An entry is refused when it is written, so that its samples are named, and blocks nothing for ever after."""
    huge = Entry("amp", 5, [PendingRequest(WriteRequest(bytes(size), 1, size, 7, 9))])
    if is_kept:
        assert spool.load(spool.keep(huge, RunId(5, "abcd"), soon()).key, soon()).entry.samples == 1
        return
    with pytest.raises(StoreError, match=f"spool/amp/0/.* {MAX_BYTES} is the limit"):
        spool.keep(huge, RunId(5, "abcd"), soon())
    assert not store.objects
