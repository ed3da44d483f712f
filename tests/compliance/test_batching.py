"""How samples are gathered into requests: by count, by time, at the end."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from sandbox.server import Fault
from tests.rig import compliance as rig
from tests.rig.compliance import PROTOCOLS, Run, Write

pytestmark = pytest.mark.slow

SERIES = 1500
DEADLINE = 2  # seconds
PAGE = "".join(f'many{{number="{number}"}} {number}\n' for number in range(SERIES))


@pytest.fixture(scope="module")
def batched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A page larger than a request, to senders that gather differently."""
    with rig.Pages({"/metrics": (PAGE.encode(), rig.TEXT)}) as served, rig.Receiver() as receiver:
        endpoints, paths = [], []
        for protocol in PROTOCOLS:
            message = {"protobuf_message": rig.MESSAGES[protocol]}
            paths += [f"{protocol}-{kind}" for kind in ("default", "small", "slow")]
            default, small, slow = (receiver.url(path) for path in paths[-3:])
            endpoints += [
                {"url": default, **message},
                rig.endpoint(small, protocol, {"max_samples_per_send": 100}),
                rig.endpoint(slow, protocol, {"batch_send_deadline": f"{DEADLINE}s", "max_samples_per_send": 100_000}),
            ]
        config = rig.config(endpoints, [rig.job(served.target)])
        with rig.sender(config, tmp_path_factory.mktemp("batched")) as sender:
            sender.wait_for(
                lambda: all(rig.scrape_count(receiver.writes(path)) >= 5 for path in paths), "five scrapes have arrived"
            )
            status = sender.stop()
            return Run({path: receiver.writes(path) for path in paths}, sender.started_at, status, sender.log_text)


def at(run: Run, protocol: str, kind: str) -> list[Write]:
    return rig.seen(run, f"{protocol}-{kind}")


def sample_count(write: Write) -> int:
    return sum(len(one.samples) for one in write.series)


@pytest.mark.parametrize("kind", ["default", "small", "slow"])
def test_complete(batched: Run, protocol: str, kind: str) -> None:
    """MUST: however samples are gathered, each is sent once and none is left out."""
    counts: dict[int, int] = {}
    for write in at(batched, protocol, kind):
        for stamp in rig.stamps_of([write], "many"):
            counts[stamp] = counts.get(stamp, 0) + 1
    assert set(counts.values()) == {SERIES}


@pytest.mark.parametrize(("kind", "most"), [("default", 2000), ("small", 100)])
def test_max_samples_per_send(batched: Run, protocol: str, kind: str, most: int) -> None:
    """SHOULD: a request holds no more samples than max_samples_per_send, whose default is at most that of others."""
    assert max(map(sample_count, at(batched, protocol, kind))) <= most


def test_reasonable(batched: Run, protocol: str) -> None:
    """SHOULD: batches are of a reasonable size: not a series at a time, and not more than ten thousand."""
    sizes = [len(write.series) for write in at(batched, protocol, "default") if write.series]
    assert max(sizes) <= 10_000
    assert sum(sizes) / len(sizes) >= 100


def test_full_requests(batched: Run, protocol: str) -> None:
    """SHOULD: requests are full where there is enough to send."""
    counts = [count for count in map(sample_count, at(batched, protocol, "small")) if count]
    assert sum(count == 100 for count in counts) >= 0.9 * len(counts)


def test_deadline(batched: Run, protocol: str) -> None:
    """SHOULD: a batch that is not full is sent when its oldest sample has waited for batch_send_deadline. On a machine
    that stood still, single ones are late."""
    found = [(write, rig.stamps_of([write], "up")) for write in at(batched, protocol, "slow")]
    waited = [write.received_at - min(stamps) / 1000 for write, stamps in found if stamps]
    assert median(waited) < DEADLINE + 2


def test_gathered(batched: Run, protocol: str) -> None:
    """SHOULD: until then samples are gathered: the scrapes of that time go in one request."""
    assert max(len(rig.stamps_of([write], "up")) for write in at(batched, protocol, "slow")) >= 2


def test_first_waits_too(batched: Run, protocol: str) -> None:
    """SHOULD: the deadline runs from the start and from the last batch on, as in Prometheus: the first samples after a
    pause wait for it as others do."""
    first = next(write for write in at(batched, protocol, "slow") if write.series)
    assert len(rig.stamps_of([first], "up")) >= 2
    assert first.received_at - min(rig.stamps_of([first], "up")) / 1000 > DEADLINE - 1.5


@pytest.mark.parametrize("status", [400, 401, 404, 413])
@pytest.mark.parametrize("protocol_of_it", PROTOCOLS)
def test_refusals_come_no_faster_than_batches(tmp_path: Path, protocol_of_it: str, status: int) -> None:
    """MUST NOT: what is refused is not sent again: a receiver that refuses everything is asked once a deadline."""
    with rig.Pages({"/metrics": (b"refused 1\n", rig.TEXT)}) as served, rig.Receiver() as receiver:
        receiver.faults("w").always(Fault.status(status, b"no"))
        endpoint = rig.endpoint(receiver.url("w"), protocol_of_it, {"batch_send_deadline": f"{DEADLINE}s"})
        with rig.sender(rig.config([endpoint], [rig.job(served.target)]), tmp_path) as sender:
            sender.wait_for(lambda: len(receiver.writes("w")) >= 2, "two requests")
            writes = receiver.writes("w")
            assert sender.stop() == 0, sender.log_text
            at_the_end = len(receiver.writes("w")) - len(writes)
    assert writes[1].received_at - writes[0].received_at >= 0.9 * DEADLINE
    assert at_the_end <= 2  # the flush, and a batch that was due just then
    stamps = rig.stamps_of(receiver.writes("w"), "refused")
    assert len(stamps) == len(set(stamps))


def test_exemplar_of_the_first_scrape(tmp_path: Path) -> None:
    """MAY: an exemplar goes along with the batch of its scrape, also when later scrapes of that batch repeat it."""
    page = b'# TYPE traced counter\ntraced_total 1000 # {trace_id="abc"} 999 1234567890.123\n# EOF\n'
    with rig.Pages({"/metrics": (page, rig.OPENMETRICS)}) as served, rig.Receiver() as receiver:
        endpoint = rig.endpoint(receiver.url("w"), "v2", {"batch_send_deadline": "1h"}, send_exemplars=True)
        with rig.sender(rig.config([endpoint], [rig.job(served.target)]), tmp_path) as sender:
            sender.wait_for(lambda: served.asked("/metrics") >= 3, "three scrapes")
            assert not receiver.writes("w")
            assert sender.stop() == 0, sender.log_text
    (write,) = [write for write in receiver.writes("w") if write.named("traced_total")]
    (exemplar,) = [one for series in write.named("traced_total") for one in series.exemplars]
    assert (exemplar.pairs, exemplar.value, exemplar.ms) == ((("trace_id", "abc"),), 999, 1234567890123)
    assert len(rig.stamps_of([write], "traced_total")) >= 2


def test_in_order(batched: Run, protocol: str) -> None:
    """MUST: requests of the same series are not sent beside each other: their samples arrive in order."""
    for kind in ("default", "small", "slow"):
        stamps = rig.stamps_of(at(batched, protocol, kind), "many", number="7")
        assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("protocol_at_the_end", PROTOCOLS)
def test_flush(tmp_path: Path, protocol_at_the_end: str, number: int) -> None:
    """SHOULD: what still waits when the process gets SIGTERM is sent, without stale markers, and the exit status
    is 0."""
    with rig.Pages({"/metrics": (b"waiting 1\n", rig.TEXT)}) as served, rig.Receiver() as receiver:
        endpoint = rig.endpoint(receiver.url("w"), protocol_at_the_end, {"batch_send_deadline": "1h"})
        with rig.sender(rig.config([endpoint], [rig.job(served.target)]), tmp_path) as sender:
            sender.wait_for(lambda: served.asked("/metrics") >= 3, "three scrapes")
            before = len(receiver.writes("w"))
            assert sender.stop(number) == 0, sender.log_text
            writes = receiver.writes("w")
    assert len(writes) > before == 0, "no request was seen"
    assert rig.scrape_count(writes) >= 2
    assert set(rig.values_of(writes, "waiting")) == {1.0}


def test_flush_of_a_retry(tmp_path: Path) -> None:
    """SHOULD: a request that is being retried when the process gets SIGTERM is still retried, and delivered, and
    so is all that came after it."""
    with rig.Pages({"/metrics": (b"waiting 1\n", rig.TEXT)}) as served, rig.Receiver() as receiver:
        receiver.faults("w").always(Fault.status(503))
        endpoint = rig.endpoint(receiver.url("w"), queue={"max_samples_per_send": 10})  # a scrape and a half
        with rig.sender(rig.config([endpoint], [rig.job(served.target)]), tmp_path) as sender:
            sender.wait_for(lambda: len(receiver.writes("w")) >= 8 and served.asked("/metrics") >= 5, "five scrapes")
            sender.interrupt()
            tried = len(receiver.writes("w"))
            sender.wait_for(lambda: len(receiver.writes("w")) >= tried + 4, "more attempts")
            waited = [after.received_at - one.received_at for one, after in pairwise(receiver.writes("w")[5:])]
            receiver.faults("w").always(None)
            assert sender.stop() == 0, sender.log_text
            writes = receiver.writes("w")
    assert min(waited) >= 0.8 * 0.4  # max_backoff: SIGTERM does not make it hurry
    accepted = [write for write in writes if write.status == 204]
    assert len(accepted) > 0
    assert accepted[0].body == writes[0].body
    assert rig.scrape_count(accepted) >= 4
