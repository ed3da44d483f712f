"""Remote write 1.0, one test for each thing that a sender MUST do. The sentence stands in the test's id.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

from collections.abc import Callable

import cramjam
import pytest

from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.model.samples import InvalidSeries
from lambda_remote_write.remote_write.encode.generated import remote_pb2
from sandbox.amp import Received, Receiver
from sandbox.server import Fault
from tests.rig import made
from tests.rig.delivery import Clock, endpoint_of, rig

Check = Callable[[list[Received]], bool]


def all_of(check: Callable[[Received], bool]) -> Check:
    return lambda records: bool(records) and all(map(check, records))


def message_of(record: Received) -> remote_pb2.WriteRequest:
    return remote_pb2.WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(record.body)))


def is_framed(body: bytes) -> bool:
    try:
        cramjam.snappy.decompress(body)
    except cramjam.DecompressionError:
        return False
    return True


def names_of(record: Received) -> list[list[str]]:
    return [[label.name for label in series.labels] for series in message_of(record).timeseries]


def stamps_by_series(records: list[Received]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for record in records:
        for series in message_of(record).timeseries:
            found.setdefault(str(series.labels), []).extend(sample.timestamp for sample in series.samples)
    return found


@pytest.fixture(scope="module")
def sent() -> list[Received]:
    """What two runs send, awkward labels and values included."""
    with Receiver() as receiver, rig(receiver.url) as made_rig:
        now_ms = made_rig.clock.now_ms()
        odd = {"__name__": "a:b_total", "B": "日本", "a": "1", "_c": "x", "empty": ""}
        values = [0.0, -0.0, float("nan"), float("inf"), made.of_bits(0x7FF0000000000002)]
        points: list[made.Point] = [(odd, value, now_ms - 5000 + n) for n, value in enumerate(values)]
        assert made_rig.deliver([*made_rig.points(), *points]).accepted == 11
        assert made_rig.deliver(made_rig.points(age_ms=5000)).accepted == 6
        return receiver.requests


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            all_of(lambda record: record.request.method == "POST"),
            id="MUST send the message in the body of an HTTP POST",
        ),
        pytest.param(
            all_of(lambda record: message_of(record).ByteSize() > 0),
            id="MUST be compressed with Google's Snappy, in the block format",
        ),
        pytest.param(
            all_of(lambda record: not is_framed(record.body)), id="the framed format of Snappy MUST NOT be used"
        ),
        pytest.param(
            all_of(lambda record: record.headers.get_all("Content-Encoding") == ["snappy"]),
            id="MUST send Content-Encoding snappy",
        ),
        pytest.param(
            all_of(lambda record: record.headers.get_all("Content-Type") == ["application/x-protobuf"]),
            id="MUST send Content-Type application-x-protobuf",
        ),
        pytest.param(
            all_of(lambda record: record.headers.get_all("X-Prometheus-Remote-Write-Version") == ["0.1.0"]),
            id="MUST send X-Prometheus-Remote-Write-Version 0.1.0",
        ),
        pytest.param(
            all_of(lambda record: record.headers["User-Agent"].startswith("lambda-remote-write/")),
            id="MUST send a User-Agent with name and version of the sender",
        ),
        pytest.param(
            all_of(lambda record: all(names == sorted(names, key=str.encode) for names in names_of(record))),
            id="label names MUST be sorted lexicographically",
        ),
        pytest.param(
            all_of(lambda record: all(len(names) == len(set(names)) for names in names_of(record))),
            id="MUST NOT contain repeated label names",
        ),
        pytest.param(
            all_of(
                lambda record: all(
                    label.name and label.value for series in message_of(record).timeseries for label in series.labels
                )
            ),
            id="MUST NOT contain empty label names or values",
        ),
        pytest.param(
            all_of(lambda record: all("__name__" in names for names in names_of(record))),
            id="SHOULD contain a __name__ label",
        ),
        pytest.param(
            lambda records: all(stamps == sorted(set(stamps)) for stamps in stamps_by_series(records).values()),
            id="samples of a series MUST be sent in timestamp order, across requests too",
        ),
        pytest.param(
            all_of(
                lambda record: all(
                    10**12 < sample.timestamp < 10**16
                    for series in message_of(record).timeseries
                    for sample in series.samples
                )
            ),
            id="timestamps MUST be int64 milliseconds since the epoch",
        ),
        pytest.param(
            lambda records: (
                0x7FF0000000000002
                in [
                    made.bits_of(sample.value)
                    for record in records
                    for series in message_of(record).timeseries
                    for sample in series.samples
                ]
            ),
            id="values MUST be float64, a stale marker keeps its bits",
        ),
    ],
)
def test_every_request(sent: list[Received], check: Check) -> None:
    assert check(sent)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599], ids=lambda status: f"MUST retry on {status} with backoff")
def test_retried(status: int) -> None:
    with Receiver() as receiver, rig(receiver.url) as made_rig:
        receiver.script(Fault.status(status), Fault.status(status))
        assert made_rig.deliver(made_rig.points()).accepted == 6
        first, second = made_rig.clock.slept
        assert 0.001 < first < second < 60


@pytest.mark.parametrize(
    "status", [200, 202, 204, 400, 402, 405, 409, 413, 415, 422], ids=lambda status: f"MUST NOT retry on {status}"
)
def test_not_retried(status: int) -> None:
    with Receiver() as receiver, rig(receiver.url) as made_rig:
        receiver.always(Fault.status(status))
        made_rig.deliver(made_rig.points())
        bodies = [record.body for record in receiver.requests]
        assert len(bodies) == len(set(bodies)) == 3
        assert made_rig.clock.slept == []


@pytest.mark.parametrize("detail", [b"400 retry later", b"", b"\x00\xff"], ids=repr)
def test_must_not_interpret_the_text_of_an_error(detail: bytes) -> None:
    """The outcome is the status's alone, whatever the text says."""
    with Receiver() as receiver, rig(receiver.url) as made_rig:
        receiver.always(Fault.status(503, detail))
        delivery = made_rig.deliver(made_rig.points(), seconds=1)
        assert dict(delivery.undelivered.counts) == {"http_503": 6}


@pytest.mark.parametrize(
    "name",
    ["content-encoding", "Content-Type", "X-Prometheus-Remote-Write-Version", "USER-AGENT", "Authorization"],
    ids=lambda name: f"custom headers MUST NOT override {name}",
)
def test_reserved_headers(name: str) -> None:
    with pytest.raises(ConfigError):
        endpoint_of("http://127.0.0.1/", headers={name: "x"})


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"__name__": "a-b"}, id="metric names MUST match [a-zA-Z_:]([a-zA-Z0-9_:])*"),
        pytest.param({"__name__": "a", "b:c": "x"}, id="label names MUST match [a-zA-Z_]([a-zA-Z0-9_])*"),
    ],
)
def test_names(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidSeries):
        made.cache().intern(labels)


def test_order_must_hold_while_requests_are_retried() -> None:
    """A series' next request waits until the one before is settled."""
    clock = Clock()
    with Receiver(now=clock.time) as receiver, rig(receiver.url, clock=clock) as made_rig:
        receiver.script(None, Fault.status(500), Fault.status(503), None, Fault.reset())
        assert made_rig.deliver(made_rig.points(times=6)).accepted == 12
        for points in receiver.samples.values():
            assert [value for _, value in points] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
