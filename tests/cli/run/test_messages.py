"""What the process says, and how often."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest

from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.remote_write.client import WriteResponse
from lambda_remote_write_cli.run.messages import LossLog, Problems, ReceiverWatch
from tests.rig.clock import Clocks

DOWN = WriteResponse(503, "overloaded")
GONE = WriteResponse(0, "no connection")
WELL = WriteResponse(204)


class Messages(list[tuple[int, str]]):
    """Lines as they are printed, each with its second."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks

    def say(self, line: str) -> None:
        self.append((round(self._clocks.monotonic() - 1_000), line))


def watched(answers: Callable[[int], WriteResponse | None], seconds: int) -> Messages:
    """A request and a look every second; None is no answer so far."""
    clocks = Clocks()
    messages = Messages(clocks)
    watch = ReceiverWatch("amp", messages.say, clocks.monotonic)
    for second in range(seconds):
        answer = answers(second)
        watch.asked()
        if answer:
            watch.answered(answer)
        watch.look("7 samples wait")
        clocks.pass_by(1)
    return messages


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(DOWN, ["answered 503", "overloaded"], id="503"),
        pytest.param(GONE, ["no connection"], id="no answer"),
        pytest.param(WriteResponse(401, "who?"), ["answered 401", "who?", "basic_auth"], id="misconfigured"),
    ],
)
def test_a_receiver_that_is_away_is_printed_within_seconds_and_then_once_a_minute(
    answer: WriteResponse, words: list[str]
) -> None:
    messages = watched(lambda second: answer, 130)
    assert [second for second, _ in messages] == [2, 62, 122]
    assert all(word in line for _, line in messages for word in ["amp", "7 samples wait", *words])


def test_one_that_hangs_is_printed_too() -> None:
    messages = watched(lambda second: None, 30)
    assert [second for second, _ in messages] == [10]


def test_recovery_is_printed_once() -> None:
    messages = watched(lambda second: DOWN if second < 20 else WELL, 40)
    assert [second for second, _ in messages] == [2, 20]
    assert "takes samples again, after 20s" in messages[1][1]


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(lambda second: WELL, id="well"),
        pytest.param(lambda second: DOWN if second % 2 else WELL, id="a retry that helps"),
        pytest.param(lambda second: WriteResponse(400, "out of order"), id="a refusal is an answer"),
    ],
)
def test_nothing_is_said_while_it_answers(answers: Callable[[int], WriteResponse]) -> None:
    assert watched(answers, 100) == []


def test_attempts_are_counted_by_their_answers() -> None:
    clocks = Clocks()
    watch = ReceiverWatch("amp", Messages(clocks).say, clocks.monotonic, lambda: 1_000 * round(clocks.monotonic()))
    for attempt, answer in enumerate([DOWN, GONE, DOWN, WELL], 1):
        watch.asked(attempt)
        watch.answered(answer)
        clocks.pass_by(1)
    watch.asked(1)
    watch.answered(WriteResponse(400, "out of order"))
    counts = watch.counts()
    assert dict(counts.answers) == {503: 2, 0: 1, 204: 1, 400: 1}
    assert counts.retries == 3
    assert counts.last_success_ms == 1_003_000


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        pytest.param([], [], id="nothing was sent"),
        pytest.param([WELL], [], id="well"),
        pytest.param([DOWN], ["for 5s", "answered 503", "overloaded"], id="away"),
        pytest.param([DOWN, WELL], [], id="back"),
        pytest.param([GONE], ["for 5s", "no connection"], id="no answer"),
    ],
)
def test_what_is_wrong_with_a_receiver_now(answers: list[WriteResponse], words: list[str]) -> None:
    clocks = Clocks()
    watch = ReceiverWatch("amp", Messages(clocks).say, clocks.monotonic)
    for answer in answers:
        watch.asked()
        watch.answered(answer)
    clocks.pass_by(5)
    assert bool(watch.problem()) == bool(words)
    assert all(word in watch.problem() for word in words)


def test_losses_are_printed_at_once_and_then_once_a_minute_with_their_number() -> None:
    clocks = Clocks()
    messages = Messages(clocks)
    losses = LossLog("amp", messages.say, clocks.monotonic)
    for _ in range(100):
        one = ReasonCounts()
        one.add("http_400", "out of order", 5)
        losses.add("rejected", one)
        losses.look()
        clocks.pass_by(1)
    losses.look(is_end=True)
    losses.look(is_end=True)
    assert [second for second, _ in messages] == [0, 60, 100]
    assert [line.split()[1] for _, line in messages] == ["5", "300", "195"]
    assert "out of order" in messages[0][1]


def test_a_warning_is_printed_once_a_minute() -> None:
    clocks = Clocks()
    messages = Messages(clocks)
    losses = LossLog("amp", messages.say, clocks.monotonic)
    for _ in range(100):
        losses.warn("the spool cannot be listed")
        clocks.pass_by(1)
    assert [second for second, _ in messages] == [0, 60]


class Text(str):
    """One that a weak reference can name."""

    __slots__ = ("__weakref__",)


def test_warnings_of_long_ago_are_forgotten() -> None:
    """A process runs for months, and a receiver may say something else every time."""
    clocks = Clocks()
    losses = LossLog("amp", Messages(clocks).say, clocks.monotonic)
    warning = Text("refused by node 1")
    known = weakref.ref(warning)
    losses.warn(warning)
    del warning
    assert known() is not None
    clocks.pass_by(61)
    losses.warn("refused by node 2")
    assert known() is None


def test_what_fails_once_is_tried_again() -> None:
    """Whatever the exception: it is printed, and it ends nothing."""
    messages = Messages(Clocks())
    problems, calls = Problems(messages.say), list[int]()

    def find() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("unheard of")

    for _ in range(4):
        problems.guard("discovery", find)
    assert len(calls) == 4
    assert [line for _, line in messages] == [
        "discovery: RuntimeError: unheard of, which is a bug",
        "discovery: well again",
    ]
