"""When a batch goes out, as in Prometheus's queue manager (runShard), and what happens to too many samples."""

from __future__ import annotations

import threading

import pytest

from lambda_remote_write.config.schema import QueueConfig
from lambda_remote_write.model.samples import Samples, Series
from lambda_remote_write_cli.run.waiting import SampleQueue
from tests.rig.clock import Clocks

SERIES = Series(b"")


def samples(count: int) -> Samples:
    return Samples([SERIES] * count, [1.0] * count, list(range(count)))


def queue(clocks: Clocks, **keys: int) -> SampleQueue:
    defaults = {"max_samples_per_send": 10, "batch_send_deadline_ms": 5_000}
    return SampleQueue(QueueConfig(**{**defaults, **keys}), clocks.monotonic)


@pytest.mark.parametrize(
    ("put_at", "counts", "goes_at"),
    [
        pytest.param([0], [3], 5, id="few samples wait for the deadline, also the first ones"),
        pytest.param([4], [3], 5, id="which is that of the batch before, not theirs"),
        pytest.param([7], [3], 10, id="while nothing waits the deadline passes, and the next one counts"),
        pytest.param([23], [3], 25, id="after a long pause too"),
        pytest.param([1], [10], 1, id="a full batch goes at once"),
        pytest.param([1, 2], [5, 5], 2, id="also when several scrapes make it full"),
    ],
)
def test_when_a_batch_goes(put_at: list[int], counts: list[int], goes_at: int) -> None:
    clocks = Clocks()
    waiting, went = queue(clocks), None
    for second in range(40):
        for number, (at, count) in enumerate(zip(put_at, counts, strict=True), 1):
            if at == second:
                waiting.put(number, samples(count), keeps_all=False)
        if waiting.wait_seconds() == 0:
            went = second
            break
        clocks.pass_by(1)
    assert went == goes_at


def test_the_deadline_begins_when_a_batch_is_finished() -> None:
    clocks = Clocks()
    waiting = queue(clocks)
    waiting.put(1, samples(10), keeps_all=False)
    assert len(waiting.take() or ()) == 10
    clocks.pass_by(60)  # a receiver in trouble
    waiting.put(2, samples(3), keeps_all=False)
    waiting.finished()
    assert waiting.wait_seconds() == 5


def test_an_idle_queue_sleeps() -> None:
    clocks = Clocks()
    waiting = queue(clocks)
    for _ in range(100):
        wait = waiting.wait_seconds()
        assert wait >= 0.001
        clocks.pass_by(wait)


def test_a_closed_queue_gives_all_of_it_and_then_none() -> None:
    waiting = queue(Clocks(), max_samples_per_send=4)
    for number in (1, 2, 3):
        waiting.put(number, samples(3), keeps_all=False)
    waiting.close()
    assert [len(waiting.take() or ()) for _ in range(3)] == [3, 3, 3]
    assert waiting.take() is None


def test_a_batch_holds_whole_scrapes() -> None:
    """As many as fit a request, and one that is larger than a request by itself; what is left waits."""
    clocks = Clocks()
    waiting = queue(clocks)
    for number, count in enumerate([4, 4, 4, 25], 1):
        waiting.put(number, samples(count), keeps_all=False)
    taken = []
    while waiting.wait_seconds() == 0:
        taken.append(len(waiting.take() or ()))
        waiting.finished()
    assert taken == [8, 4, 25]
    waiting.put(5, samples(6), keeps_all=False)
    waiting.put(6, samples(6), keeps_all=False)
    assert len(waiting.take() or ()) == 6
    waiting.finished()
    assert waiting.wait_seconds() == 5


def test_a_sleeping_taker_wakes_up() -> None:
    """By what makes a batch full, not by time."""
    waiting, taken = queue(Clocks()), list[int]()
    taker = threading.Thread(target=lambda: taken.append(len(waiting.take() or ())), daemon=True)
    taker.start()
    waiting.put(1, samples(12), keeps_all=False)
    taker.join(10)
    assert taken == [12]


# --- Too many ---------------------------------------------------------------------------------------------------------


def test_the_oldest_make_room() -> None:
    waiting = queue(Clocks(), capacity=5, max_shards=2)
    for number in range(1, 5):
        waiting.put(number, samples(4), keeps_all=False)
    dropped = waiting.take_dropped()
    assert dropped.counts == {"queue_full": 8}
    assert len(waiting) == 8
    assert not waiting.take_dropped().counts


def test_a_scrape_that_alone_is_too_large_stays() -> None:
    waiting = queue(Clocks(), capacity=5, max_shards=1)
    waiting.put(1, samples(50), keeps_all=False)
    assert len(waiting) == 50


def test_where_a_spool_takes_them_nothing_is_dropped() -> None:
    waiting = queue(Clocks(), capacity=5, max_shards=2)
    for number in range(1, 5):
        waiting.put(number, samples(4), keeps_all=True)
    assert len(waiting) == 16
    assert len(waiting.take_excess()) == 8
    assert not waiting.take_excess()
    assert not waiting.take_dropped().counts


# --- What is finished -------------------------------------------------------------------------------------------------


def test_what_is_finished_is_known_by_number() -> None:
    waiting = queue(Clocks(), max_samples_per_send=4)
    assert waiting.finished_number == 0
    for number in (1, 2, 3):
        waiting.put(number, samples(2), keeps_all=False)
    assert waiting.finished_number == 0
    waiting.take()
    assert waiting.finished_number == 0
    assert len(waiting) == 6
    waiting.finished()
    assert waiting.finished_number == 2
    waiting.put(4, Samples(), keeps_all=False)  # nothing of it was for this endpoint
    assert waiting.finished_number == 2
    waiting.close()
    waiting.take()
    waiting.finished()
    assert waiting.finished_number == 4


def test_the_oldest_sample_that_is_not_finished() -> None:
    """By its own time, not by its place in the queue; also while it is being sent."""
    waiting = queue(Clocks(), max_samples_per_send=4)
    assert waiting.oldest_ms == 0
    for number, ms in ((1, 3_000), (2, 1_000), (3, 2_000)):
        waiting.put(number, Samples([SERIES, SERIES], [1.0, 1.0], [ms + 500, ms]), keeps_all=True)
    oldest = [waiting.oldest_ms]
    waiting.close()
    for _ in range(2):  # the first two together, and the last
        waiting.take()
        oldest.append(waiting.oldest_ms)
        waiting.finished()
        oldest.append(waiting.oldest_ms)
    assert oldest == [1_000, 1_000, 2_000, 2_000, 0]


def test_its_capacity_is_that_of_all_shards() -> None:
    waiting = queue(Clocks(), capacity=5, max_shards=2)
    assert waiting.capacity == 10
    waiting.configure(QueueConfig(capacity=7, max_shards=3))
    assert waiting.capacity == 21


def test_a_shorter_deadline_of_a_new_config_counts_at_once() -> None:
    clocks = Clocks()
    waiting = queue(clocks, batch_send_deadline_ms=3_600_000)
    waiting.put(1, samples(1), keeps_all=False)
    waiting.configure(QueueConfig(batch_send_deadline_ms=2_000))
    assert waiting.wait_seconds() == 2
