"""The state object: read at the start of a run, written when something but the clock has changed, and never over what
another run has written."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lambda_remote_write.model.scrape import HighWaterMark
from lambda_remote_write.state.state import State, Unread, decoded
from lambda_remote_write.store import Object
from tests.rig.clock import soon
from tests.rig.stores import MemoryStore
from tests.rig.tables import table

KEY = "state/0"
MINUTE = 60_000


class World:
    """One store, a clock, and the environments over it."""

    def __init__(self) -> None:
        self.store, self.now_ms = MemoryStore(), 1_800_000_000_000

    def new_state(self) -> State:
        return State(self.store, "0", lambda: self.now_ms)

    def read(self, *states: State) -> None:
        for state in states:
            state.start_reading(soon())
            state.await_read()

    def run(self, state: State, *stages: Callable[[State], object]) -> State:
        """A run of an environment in which something happens."""
        state.start_reading(soon())
        for act in stages:
            act(state)
        state.await_read()
        state.save(soon(), ["j"])
        self.now_ms += MINUTE
        return state

    def written(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.store.objects[KEY])
        return found


@pytest.fixture
def world() -> World:
    return World()


def spools(key: str) -> Callable[[State], object]:
    return lambda state: state.will_spool("amp", key, soon())


def marks(ms: int, *, is_exact: bool = False) -> Callable[[State], object]:
    return lambda state: state.mark("j", HighWaterMark(ms, ms, ms, 3), is_exact=is_exact)


def test_the_first_run_writes_and_the_next_only_reads(world: World) -> None:
    state = world.run(world.new_state())
    assert world.store.counts == {"get": 1, "put": 1}
    for _ in range(8):
        world.run(state, marks(world.now_ms))
    assert world.store.counts == {"get": 9, "put": 1}
    assert world.store.transferred == 0  # unchanged: nothing but the question goes over the wire
    for _ in range(3):
        world.run(state, marks(world.now_ms))
    assert world.store.counts["put"] == 2  # ten minutes have passed


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(spools("spool/amp/0/1"), id="a backlog begins"),
        pytest.param(marks(9, is_exact=True), id="a job with gap backfill has newer samples"),
        pytest.param(lambda state: state.use_config("v2"), id="another config"),
    ],
)
def test_what_is_not_the_clock_is_written_at_once(world: World, act: Callable[[State], object]) -> None:
    state = world.run(world.new_state())
    world.run(state, act)
    assert world.store.counts["put"] == 2
    world.run(state, act)
    assert world.store.counts["put"] == 2


def test_a_backlog_is_said_before_its_entry_is_written(world: World) -> None:
    state = world.run(world.new_state())
    state.will_spool("amp", "spool/amp/0/1", soon())
    assert world.written()["backlog"] == {"amp": "spool/amp/0/1"}
    state.will_spool("amp", "spool/amp/0/2", soon())  # no other run needs to know more at once
    assert world.store.counts["put"] == 2
    assert world.run(world.new_state()).has_backlog("amp")


def test_what_is_drained_is_said_and_does_not_come_back(world: World) -> None:
    """Another environment still remembers the backlog."""
    one, other = world.run(world.new_state()), world.run(world.new_state())
    world.run(one, spools("spool/amp/0/1"))
    world.run(other)
    assert other.has_backlog("amp")
    world.run(one, lambda state: state.is_drained("amp", "spool/amp/0/1"))
    world.run(other)
    assert not other.has_backlog("amp")
    assert world.written()["backlog"] == {}


def test_a_backlog_that_another_run_has_made_meanwhile_stays(world: World) -> None:
    one, other = world.run(world.new_state(), spools("spool/amp/0/1")), world.new_state()
    world.run(other)
    world.read(one)
    world.run(other, spools("spool/amp/0/2"))
    one.is_drained("amp", "spool/amp/0/1")
    one.save(soon())
    assert world.written()["backlog"] == {"amp": "spool/amp/0/2"}


def test_two_writers_lose_nothing_of_each_other(world: World) -> None:
    one, other = joined(world)
    one.will_spool("amp", "spool/amp/0/1", soon())
    one.mark("a", HighWaterMark(5, 5), is_exact=True)
    other.will_spool("second", "spool/second/0/1", soon())
    other.mark("b", HighWaterMark(6, 6), is_exact=True)
    one.save(soon())
    other.save(soon())
    assert world.written()["backlog"] == {"amp": "spool/amp/0/1", "second": "spool/second/0/1"}
    assert set(world.written()["jobs"]) == {"a", "b"}  # type: ignore[call-overload]
    assert not one.problem
    assert not other.problem


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"backlog":[],"jobs":{},"config_version":"","written_ms":0}'], ids=repr
)
def test_an_object_that_is_none_leaves_memory_in_force_and_is_written_anew(world: World, content: bytes) -> None:
    state = world.run(world.new_state(), spools("spool/amp/0/1"))
    world.store.objects[KEY] = content
    world.read(state)
    assert "cannot be read" in state.problem
    assert state.has_backlog("amp")
    state.is_drained("amp", "")
    state.save(soon())
    assert world.written()["backlog"] == {}
    world.run(state)
    assert state.problem == ""


def test_a_store_that_is_down_leaves_memory_in_force(world: World) -> None:
    state = world.run(world.new_state(), spools("spool/amp/0/1"), marks(7))
    world.store.failing["get"] = 1
    world.run(state)
    assert "this run acts on memory" in state.problem
    assert state.has_backlog("amp")
    assert state.mark_of("j") == HighWaterMark(7, 7, 7, 3)


def test_an_environment_that_could_not_read_does_not_write_over_others(world: World) -> None:
    world.run(world.new_state(), spools("spool/amp/0/1"), marks(9, is_exact=True))
    late = world.new_state()
    world.store.failing["get"] = 1
    world.read(late)
    late.use_config("v3")
    late.save(soon())
    assert world.written()["config_version"] == "v3"
    assert world.written()["backlog"] == {"amp": "spool/amp/0/1"}
    assert late.mark_of("j") == HighWaterMark(9, 9, 9, 3)


def test_without_a_store_it_is_memory(world: World) -> None:
    state = State(None, "0", lambda: world.now_ms)
    world.run(state, spools("spool/amp/0/1"), marks(5))
    assert state.has_backlog("amp")
    assert state.mark_of("j") == HighWaterMark(5, 5, 5, 3)
    assert state.problem == ""


def test_what_was_noted_of_an_entry_is_known_to_other_environments(world: World) -> None:
    one, other = world.run(world.new_state()), world.run(world.new_state())
    note = Unread(5, '"e" abc')
    world.run(one, lambda state: state.note_unread("spool/amp/0/1", note))
    world.run(other, lambda state: state.note_unread("spool/amp/0/2", Unread(6)))
    assert world.run(one).unread("spool/amp/0/2") == Unread(6)
    assert world.run(world.new_state()).unread("spool/amp/0/1") == note
    world.run(other, lambda state: state.forget_unread(lambda key: key.endswith("1")))
    cold = world.run(world.new_state())
    assert (cold.unread("spool/amp/0/1"), cold.unread("spool/amp/0/2")) == (None, Unread(6))
    assert world.store.counts["put"] == 4  # the first one, and whenever a note came or went


def test_an_object_without_notes_is_one_of_an_older_version() -> None:
    facts = decoded(b'{"backlog":{"amp":"k"},"jobs":{},"config_version":"v","written_ms":3}')
    assert (facts.backlog, facts.unread) == ({"amp": "k"}, {})
    assert decoded(facts.encoded()) == facts


@pytest.mark.parametrize("notes", ["[]", '{"k":5}', '{"k":{}}', '{"k":{"since_ms":"x","fingerprint":""}}'])
def test_notes_that_are_none_make_no_state_object(notes: str) -> None:
    with pytest.raises(ValueError, match=r"Error: |invalid literal"):
        decoded(f'{{"backlog":{{}},"jobs":{{}},"config_version":"","written_ms":3,"unread":{notes}}}'.encode())


def test_a_new_environment_asks_a_store_that_fails_again(world: World) -> None:
    """It knows nothing yet, and needs the answer; one that knows goes on with what it knows."""
    world.run(world.new_state(), spools("spool/amp/0/1"))
    state = world.new_state()
    world.store.failing["get"] = 2
    world.run(state)
    assert (state.is_known, state.has_backlog("amp"), state.problem) == (True, True, "")
    world.store.counts.clear()
    world.store.failing["get"] = 1
    world.run(state)
    assert "cannot be read" in state.problem
    assert world.store.counts["get"] == 1


def test_an_object_that_came_damaged_is_read_again_and_not_written_over(world: World) -> None:
    world.run(world.new_state(), spools("spool/amp/0/1"))
    state = world.new_state()
    world.store.cut = 2
    world.run(state, marks(9, is_exact=True))
    assert (state.problem, state.has_backlog("amp")) == ("", True)
    assert world.written()["backlog"] == {"amp": "spool/amp/0/1"}


def test_an_object_that_was_not_understood_is_not_known_when_it_is_unchanged(world: World) -> None:
    """Its ETag says nothing to an environment that has not seen what is in it."""
    world.run(world.new_state(), spools("spool/amp/0/1"))
    state = world.new_state()
    world.store.cut = 3
    world.read(state)
    assert (state.is_known, state.has_backlog("amp")) == (False, False)
    world.read(state)
    assert (state.is_known, state.has_backlog("amp")) == (True, True)


class Unnamed(MemoryStore):
    """An answer that lost its head on the way."""

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        found = super().get(key, deadline, etag)
        return found and Object(b"", "")


def test_an_answer_without_an_etag_does_not_say_that_there_is_no_object(world: World) -> None:
    world.run(world.new_state(), spools("spool/amp/0/1"))
    content = world.store.objects
    world.store = Unnamed()
    world.store.objects = content
    state = world.new_state()
    state.start_reading(time.monotonic() + 0.1)
    state.await_read()
    assert (state.is_known, "without an ETag" in state.problem) == (False, True)


def joined(world: World) -> tuple[State, State]:
    """Two environments that have both read the object, and have not written since."""
    one, other = world.run(world.new_state()), world.run(world.new_state())
    world.read(one, other)
    return one, other


@pytest.mark.parametrize("object_is", ["missing", "there"])
def test_a_first_run_knows_whether_there_is_an_object(world: World, object_is: str) -> None:
    """An object that is missing is no problem, and what is there is known after the reading."""
    if object_is == "there":
        world.run(world.new_state(), spools("spool/amp/0/1"), marks(7, is_exact=True))
    state = world.new_state()
    assert not state.is_known
    state.start_reading(soon())
    assert state.mark_of("j") == (HighWaterMark(7, 7, 7, 3) if object_is == "there" else None)
    assert state.has_backlog("amp") == (object_is == "there")
    assert (state.is_known, state.problem) == (True, "")


def test_a_mark_that_need_not_be_exact_goes_with_the_next_write(world: World) -> None:
    """It is the clock that has moved: no write of its own, and not lost either."""
    state = world.run(world.new_state())
    world.run(state, marks(5))
    assert world.store.counts["put"] == 1
    world.run(state, lambda state: state.use_config("v2"))
    assert world.store.counts["put"] == 2
    assert world.run(world.new_state()).mark_of("j") == HighWaterMark(5, 5, 5, 3)


@table(
    "first, second, expected",
    [
        ("the second is later", HighWaterMark(5, 5), HighWaterMark(6, 6), HighWaterMark(6, 6)),
        ("the first is later", HighWaterMark(6, 8, 4, 2), HighWaterMark(5, 9, 3, 7), HighWaterMark(6, 9, 4, 2)),
        ("so is all of the second", HighWaterMark(5, 9, 3, 7), HighWaterMark(6, 8, 4, 2), HighWaterMark(6, 9, 4, 2)),
        ("the newest never goes back", HighWaterMark(6, 2, 1, 1), HighWaterMark(5, 9, 4, 8), HighWaterMark(6, 9, 1, 1)),
        ("the same", HighWaterMark(5, 5, 5, 5), HighWaterMark(5, 5, 5, 5), HighWaterMark(5, 5, 5, 5)),
    ],
)
@pytest.mark.parametrize("is_exact", [True, False], ids=["exact", "with the next write"])
def test_of_two_environments_marks_the_later_one_is_written(
    world: World, first: HighWaterMark, second: HighWaterMark, expected: HighWaterMark, is_exact: bool
) -> None:
    """Either writer may write last, and either may have read before the other wrote."""
    one, other = joined(world)
    one.mark("j", first, is_exact=is_exact)
    other.mark("j", second, is_exact=is_exact)
    for state in (one, other):
        state.use_config("v2")
        state.save(soon(), ["j"])
    assert world.run(world.new_state()).mark_of("j") == expected
    assert world.run(one).mark_of("j") == world.run(other).mark_of("j") == expected


def test_a_drained_backlog_stays_drained_when_the_other_has_written_something_else(world: World) -> None:
    """What the writer has cleared is not taken over again from the object that it finds."""
    one, other = joined(world)
    one.will_spool("amp", "spool/amp/0/1", soon())
    other.use_config("v2")
    other.save(soon())
    one.is_drained("amp", "spool/amp/0/1")
    one.save(soon())
    assert (world.written()["backlog"], world.written()["config_version"]) == ({}, "v2")
    assert not world.run(other).has_backlog("amp")


def test_one_endpoints_backlog_is_not_the_others(world: World) -> None:
    """While one environment drains its endpoint the other one's flag of a second endpoint stays."""
    one, other = joined(world)
    one.will_spool("amp", "spool/amp/0/1", soon())
    other.will_spool("second", "spool/second/0/1", soon())
    one.is_drained("amp", "spool/amp/0/1")
    one.save(soon())
    assert world.written()["backlog"] == {"second": "spool/second/0/1"}


def test_a_backlog_that_comes_back_is_said_again(world: World) -> None:
    """After it was drained the first entry is announced before it is written, as ever."""
    state = world.run(world.new_state(), spools("spool/amp/0/1"))
    world.run(state, lambda state: state.is_drained("amp", "spool/amp/0/1"))
    puts = world.store.counts["put"]
    state.will_spool("amp", "spool/amp/0/2", soon())
    assert world.store.counts["put"] == puts + 1
    assert world.written()["backlog"] == {"amp": "spool/amp/0/2"}


def test_a_new_environment_that_spools_before_it_has_read_loses_nothing_of_others(world: World) -> None:
    """The reading that is under way is waited for."""
    world.run(world.new_state(), spools("spool/amp/0/1"), lambda state: state.use_config("v2"))
    state = world.new_state()
    state.start_reading(soon())
    state.will_spool("third", "spool/third/0/1", soon())
    assert world.written()["backlog"] == {"amp": "spool/amp/0/1", "third": "spool/third/0/1"}
    assert world.written()["config_version"] == "v2"


@pytest.mark.parametrize("act", ["will_spool", "is_drained", "mark", "use_config"])
def test_a_store_that_takes_no_writes_leaves_memory_right(world: World, act: str) -> None:
    """Nothing is raised, `problem` says it, this environment acts on what it knows, and writes it when it can."""
    state = world.run(world.new_state(), lambda state: state.will_spool("old", "spool/old/0/1", soon()))
    before = world.store.objects[KEY]
    world.store.failing["put"] = 1
    changes: dict[str, Callable[[], object]] = {
        "will_spool": lambda: state.will_spool("amp", "spool/amp/0/1", soon()),
        "is_drained": lambda: state.is_drained("old", "spool/old/0/1"),
        "mark": lambda: state.mark("j", HighWaterMark(8, 8), is_exact=True),
        "use_config": lambda: state.use_config("v9"),
    }

    def is_right(seen: State) -> bool:
        return {
            "will_spool": seen.has_backlog("amp"),
            "is_drained": not seen.has_backlog("old"),
            "mark": seen.mark_of("j") == HighWaterMark(8, 8),
            "use_config": seen.facts.config_version == "v9",
        }[act]

    changes[act]()
    if act != "will_spool":
        state.save(soon())
    assert world.store.objects[KEY] == before
    assert "cannot be written" in state.problem
    assert is_right(state)
    assert is_right(world.run(state))  # the next reading does not take it back
    assert state.problem == ""
    assert is_right(world.run(world.new_state()))


def test_a_write_whose_answer_was_lost_is_no_other_writers(world: World) -> None:
    """The next save meets this environment's own object, and both sides are right."""
    state = world.run(world.new_state(), spools("spool/amp/0/1"))
    world.store.lost["put"] = 1
    state.is_drained("amp", "spool/amp/0/1")
    state.save(soon())
    state.use_config("v2")
    state.save(soon())
    assert (world.written()["backlog"], world.written()["config_version"]) == ({}, "v2")
    assert not state.has_backlog("amp")


class Busy(MemoryStore):
    """Another environment writes before every write of this one."""

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        number = self.counts["put"]
        facts = {"backlog": {}, "jobs": {}, "config_version": f"v{number}", "written_ms": number}
        self.objects[key] = json.dumps(facts).encode()
        return super().put(key, content, deadline, expected)


def test_a_writer_that_is_never_first_gives_up_and_says_so(world: World) -> None:
    """It ends after a few tries; memory is right, and the object is the others'."""
    world.store = Busy()
    state = world.new_state()
    state.will_spool("amp", "spool/amp/0/1", soon())
    assert "cannot be written" in state.problem
    assert 1 < world.store.counts["put"] <= 5
    assert state.has_backlog("amp")
    assert world.written()["backlog"] == {}


class Hanging(MemoryStore):
    """Reads hang until `go`, whatever their deadline is."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        self.go.wait(10)
        return super().get(key, deadline, etag)


def test_a_read_that_hangs_delays_no_run(world: World) -> None:
    """It starts in the background, and a run that waits for it does so until its deadline and not much longer."""
    world.store = Hanging()
    state, started = world.new_state(), time.monotonic()
    state.start_reading(started + 0.5)
    assert not state.is_known
    state.await_read()
    assert time.monotonic() - started < 8
    assert "this run acts on memory" in state.problem
    assert not state.is_known
    world.store.go.set()


@pytest.mark.parametrize(
    ("hours", "in_config", "is_kept"),
    [
        pytest.param(23, False, True, id="gone for less than a day"),
        pytest.param(25, False, False, id="gone for more than a day"),
        pytest.param(25, True, True, id="still in the config"),
        pytest.param(1_000, True, True, id="in the config, however old"),
    ],
)
def test_who_forgets_which_jobs(world: World, hours: int, in_config: bool, is_kept: bool) -> None:
    """A job is forgotten when it has left the config and has not come back for a day."""
    state = world.run(world.new_state())
    state.mark("old", HighWaterMark(world.now_ms, 1), is_exact=True)
    world.now_ms += hours * 60 * MINUTE
    state.save(soon(), ["j", "old"] if in_config else ["j"])
    assert ("old" in world.written()["jobs"]) == is_kept  # type: ignore[operator]
    assert (state.mark_of("old") is not None) == is_kept


def test_many_threads_lose_nothing(world: World) -> None:
    """Endpoints are delivered side by side, in two environments at once."""
    one, other = joined(world)
    names = [f"e{number}" for number in range(20)]

    def work(at: int) -> None:
        state, name = (one, other)[at % 2], names[at]
        state.will_spool(name, f"spool/{name}/0/1", soon())
        state.mark(name, HighWaterMark(5, 5), is_exact=True)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(work, range(len(names))))
    for state in (one, other, one):
        state.problem = ""
        state.save(soon())
    assert one.problem == other.problem == ""
    assert world.written()["backlog"] == {name: f"spool/{name}/0/1" for name in names}
    assert set(world.written()["jobs"]) == set(names)  # type: ignore[call-overload]
