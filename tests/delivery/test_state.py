"""The state object: read at the start of a run, written when something but the clock has changed, and never over what
another run has written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from pusher.delivery.state import State
from pusher.model import JobMark
from tests.stores import MemoryStore

KEY = "state/0"
MINUTE = 60_000


def soon() -> float:
    return time.monotonic() + 5


class World:
    """One store, a clock, and the environments over it."""

    def __init__(self) -> None:
        self.store, self.now_ms = MemoryStore(), 1_800_000_000_000

    def environment(self) -> State:
        return State(self.store, "0", lambda: self.now_ms)

    def run(self, state: State, *acts: Callable[[State], object]) -> State:
        """A run of an environment in which something happens."""
        state.start_reading(soon())
        for act in acts:
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
    return lambda state: state.mark("j", JobMark(ms, ms, ms, 3), is_exact=is_exact)


def test_the_first_run_writes_and_the_next_only_reads(world: World) -> None:
    state = world.run(world.environment())
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
        pytest.param(marks(9, is_exact=True), id="a job that can be healed has come further"),
        pytest.param(lambda state: state.use_config("v2"), id="another config"),
    ],
)
def test_what_is_not_the_clock_is_written_at_once(world: World, act: Callable[[State], object]) -> None:
    state = world.run(world.environment())
    world.run(state, act)
    assert world.store.counts["put"] == 2
    world.run(state, act)
    assert world.store.counts["put"] == 2


def test_a_backlog_is_said_before_its_entry_is_written(world: World) -> None:
    state = world.run(world.environment())
    state.will_spool("amp", "spool/amp/0/1", soon())
    assert world.written()["backlog"] == {"amp": "spool/amp/0/1"}
    state.will_spool("amp", "spool/amp/0/2", soon())  # nobody needs to know more at once
    assert world.store.counts["put"] == 2
    assert world.run(world.environment()).has_backlog("amp")


def test_what_is_drained_is_said_and_does_not_come_back(world: World) -> None:
    """Another environment still remembers the backlog."""
    one, other = world.run(world.environment()), world.run(world.environment())
    world.run(one, spools("spool/amp/0/1"))
    world.run(other)
    assert other.has_backlog("amp")
    world.run(one, lambda state: state.is_drained("amp", "spool/amp/0/1"))
    world.run(other)
    assert not other.has_backlog("amp")
    assert world.written()["backlog"] == {}


def test_a_backlog_that_another_run_has_made_meanwhile_stays(world: World) -> None:
    one, other = world.run(world.environment(), spools("spool/amp/0/1")), world.environment()
    world.run(other)
    one.start_reading(soon())
    one.await_read()
    world.run(other, spools("spool/amp/0/2"))
    one.is_drained("amp", "spool/amp/0/1")
    one.save(soon())
    assert world.written()["backlog"] == {"amp": "spool/amp/0/2"}


def test_two_writers_lose_nothing_of_each_other(world: World) -> None:
    one, other = world.run(world.environment()), world.run(world.environment())
    for state in (one, other):
        state.start_reading(soon())
        state.await_read()
    one.will_spool("amp", "spool/amp/0/1", soon())
    one.mark("a", JobMark(5, 5), is_exact=True)
    other.will_spool("second", "spool/second/0/1", soon())
    other.mark("b", JobMark(6, 6), is_exact=True)
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
    state = world.run(world.environment(), spools("spool/amp/0/1"))
    world.store.objects[KEY] = content
    state.start_reading(soon())
    state.await_read()
    assert "cannot be read" in state.problem
    assert state.has_backlog("amp")
    state.is_drained("amp", "")
    state.save(soon())
    assert world.written()["backlog"] == {}
    world.run(state)
    assert state.problem == ""


def test_a_store_that_is_down_leaves_memory_in_force(world: World) -> None:
    state = world.run(world.environment(), spools("spool/amp/0/1"), marks(7))
    world.store.failing["get"] = 1
    world.run(state)
    assert "this run acts on memory" in state.problem
    assert state.has_backlog("amp")
    assert state.mark_of("j") == JobMark(7, 7, 7, 3)


def test_what_could_not_be_written_is_written_later(world: World) -> None:
    state = world.run(world.environment())
    world.store.failing["put"] = 1
    state.use_config("v2")
    state.save(soon())
    assert "cannot be written" in state.problem
    world.run(state)
    assert world.written()["config_version"] == "v2"


def test_an_environment_that_could_not_read_does_not_write_over_others(world: World) -> None:
    world.run(world.environment(), spools("spool/amp/0/1"), marks(9, is_exact=True))
    late = world.environment()
    world.store.failing["get"] = 1
    late.start_reading(soon())
    late.await_read()
    late.use_config("v3")
    late.save(soon())
    assert world.written()["config_version"] == "v3"
    assert world.written()["backlog"] == {"amp": "spool/amp/0/1"}
    assert late.mark_of("j") == JobMark(9, 9, 9, 3)


def test_of_two_marks_the_later_one_counts(world: World) -> None:
    assert JobMark(5, 9, 3, 7).merged(JobMark(6, 8, 4, 2)) == JobMark(6, 9, 4, 2)
    assert JobMark(6, 8, 4, 2).merged(JobMark(5, 9, 3, 7)) == JobMark(6, 9, 4, 2)


def test_jobs_that_have_left_the_config_are_forgotten_after_a_day(world: World) -> None:
    state = world.run(world.environment(), lambda state: state.mark("gone", JobMark(world.now_ms, 1), is_exact=True))
    assert "gone" in world.written()["jobs"]  # type: ignore[operator]
    world.now_ms += 25 * 60 * MINUTE
    world.run(state)
    assert "gone" not in world.written()["jobs"]  # type: ignore[operator]


def test_without_a_store_it_is_memory(world: World) -> None:
    state = State(None, "0", lambda: world.now_ms)
    world.run(state, spools("spool/amp/0/1"), marks(5))
    assert state.has_backlog("amp")
    assert state.mark_of("j") == JobMark(5, 5, 5, 3)
    assert state.problem == ""
