"""Remote write 2.0 over real sockets: only what a receiver says that it wrote counts, and one that does not speak it
gets 1.0.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lambda_remote_write.model.samples import Exemplar, Histogram, Metadata, Samples
from lambda_remote_write.remote_write.client import WrittenCounts, written
from sandbox.amp import Limits, Receiver
from sandbox.server import Answer, Fault
from tests.rig import made
from tests.rig.delivery import QUICK, Clock, Rig, accounting, rig

V2 = {"protobuf_message": "io.prometheus.write.v2.Request", "send_exemplars": True, "send_native_histograms": True}
PLAIN = {"sigv4": None}  # a receiver that is not AMP
HELP = [Metadata("m", "counter", "What it counts.", "")]
HISTOGRAM = Histogram(6, 7.5, 0, 0.001, 1, positive_spans=((0, 2),), positive_buckets=(2, 1))
CUSTOM = Histogram(3, 7.5, -53, 0.0, 0, positive_spans=((0, 2),), positive_buckets=(2, -1), custom_values=(1.0,))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver(clock: Clock) -> Iterator[Receiver]:
    with Receiver(auth=None, now=clock.time, limits=Limits(exemplars=True, custom_buckets=True)) as running:
        yield running


@pytest.fixture
def one(receiver: Receiver, clock: Clock) -> Iterator[Rig]:
    with rig(receiver.url, clock=clock, **V2, **PLAIN) as made_rig:
        yield made_rig


def versions(receiver: Receiver) -> list[str]:
    return [record.headers["X-Prometheus-Remote-Write-Version"] for record in receiver.requests]


def page(one: Rig, histogram: Histogram = HISTOGRAM, age_ms: int = 10_000) -> Samples:
    """Two floats and a histogram, an exemplar each, a start: with QUICK, two requests."""
    now_ms = one.clock.now_ms() - age_ms
    labels = [{"__name__": name, "job": "a"} for name in ("m", "other", "native")]
    samples = made.samples_of([(each, 1.0, now_ms) for each in labels[:2]], one.series)
    samples.add(one.series.intern(labels[2]), histogram, now_ms)
    for series in samples.series:
        samples.exemplars[series] = (Exemplar((("trace_id", "x"),), 0.5, now_ms),)
    samples.starts_ms[samples.series[0]] = now_ms - 60_000
    return samples


def test_everything_arrives(receiver: Receiver, one: Rig) -> None:
    delivery = one.send(page(one), metadata=HELP)
    assert accounting(delivery) == (3, {}, {}, {})
    assert delivery.exemplars_accepted == 3
    found = {dict(labels)["__name__"]: [value for _, value in points] for labels, points in receiver.samples.items()}
    assert found == {"m": [1.0], "other": [1.0]}
    ((_, histogram),) = next(iter(receiver.histograms.values()))
    assert made.bits_in_message(histogram) == made.value_bits(HISTOGRAM)
    assert {len(found) for found in receiver.exemplars.values()} == {1}
    assert len(receiver.exemplars) == 3
    assert receiver.metadata == {"m": ("counter", "What it counts.", "")}


# --- What the receiver says that it wrote -----------------------------------------------------------------------------

SAMPLES, HISTOGRAMS, EXEMPLARS = (
    f"X-Prometheus-Remote-Write-{kind}-Written" for kind in ("Samples", "Histograms", "Exemplars")
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="nothing said"),
        pytest.param({"X-Prometheus-Remote-Write-Version": "2.0.0"}, None, id="something else said"),
        pytest.param({SAMPLES: "0"}, WrittenCounts(0, 0, 0), id="a zero is said"),
        pytest.param({SAMPLES: "3"}, WrittenCounts(3, 0, 0), id="what is missing is zero"),
        pytest.param({EXEMPLARS: "3"}, WrittenCounts(0, 0, 3), id="only exemplars"),
        pytest.param({SAMPLES: "1", HISTOGRAMS: " 2 ", EXEMPLARS: "3"}, WrittenCounts(1, 2, 3), id="all three"),
        pytest.param({SAMPLES: "many", HISTOGRAMS: "2"}, WrittenCounts(0, 2, 0), id="no number"),
        pytest.param({SAMPLES: "-1"}, WrittenCounts(0, 0, 0), id="a negative number"),
        pytest.param({SAMPLES: "1.5"}, WrittenCounts(0, 0, 0), id="half a sample"),
        pytest.param({SAMPLES: "9" * 5000}, WrittenCounts(10**18 - 1, 0, 0), id="an absurd number"),
        pytest.param({SAMPLES: "²"}, WrittenCounts(0, 0, 0), id="a digit that is no number"),
    ],
)
def test_the_headers(headers: dict[str, str], expected: WrittenCounts | None) -> None:
    assert written(headers) == expected


def says(status: int, samples: Any = None, histograms: Any = None, exemplars: Any = None, text: bytes = b"") -> Fault:
    counts = {SAMPLES: samples, HISTOGRAMS: histograms, EXEMPLARS: exemplars}
    return Fault.status(status, text, {name: str(count) for name, count in counts.items() if count is not None})


BIG = {"queue_config": QUICK | {"max_samples_per_send": "10"}}


@pytest.mark.parametrize(
    ("fault", "accepted", "rejected", "exemplars"),
    [
        pytest.param(says(200, 2, 1, 3), 3, {}, 3, id="all of it"),
        pytest.param(says(204, 2, 1, 3), 3, {}, 3, id="all of it, 204"),
        pytest.param(says(200, 2, 1), 3, {}, 0, id="all but the exemplars"),
        pytest.param(says(200, 2), 2, {"not_written": 1}, 0, id="no histogram"),
        pytest.param(says(200, 0, 1), 1, {"not_written": 2}, 0, id="a histogram only"),
        pytest.param(says(200, 0), 0, {"not_written": 3}, 0, id="nothing of it"),
        pytest.param(says(200, 99, 99, 99), 3, {}, 3, id="more than was sent"),
        pytest.param(says(200, 3), 2, {"not_written": 1}, 0, id="floats that were not sent are no histograms"),
        pytest.param(says(200, "x"), 0, {"not_written": 3}, 0, id="what cannot be read"),
        pytest.param(says(400, 2, 0, 1), 2, {"http_400": 1}, 1, id="400 after two"),
        pytest.param(says(400, 0), 0, {"http_400": 3}, 0, id="400 after none"),
        pytest.param(says(400, 2, 1, 3), 3, {}, 3, id="400 after all"),
        pytest.param(says(422, 1), 1, {"http_422": 2}, 0, id="another status of that kind"),
        pytest.param(says(400), 0, {"http_400": 3}, 0, id="400 without a word"),
    ],
)
def test_only_what_was_written_counts(
    receiver: Receiver, clock: Clock, fault: Fault, accepted: int, rejected: dict[str, int], exemplars: int
) -> None:
    receiver.script(fault)
    with rig(receiver.url, clock=clock, **V2, **PLAIN, **BIG) as one:
        delivery = one.send(page(one))
    assert accounting(delivery) == (accepted, rejected, {}, {})
    assert delivery.exemplars_accepted == exemplars
    assert (delivery.attempts, one.endpoint.client.version) == (1, 2)


def test_what_was_not_written_is_counted_exactly(receiver: Receiver, clock: Clock) -> None:
    with rig(receiver.url, clock=clock, **V2, **PLAIN, **BIG) as one:
        receiver.script(says(200, 2))
        assert (
            one.send(page(one))
            .rejected.first_examples["not_written"]
            .startswith("1 samples: the receiver answered 200 and wrote 2 of 3")
        )
        receiver.script(says(400, 2, text=b"because"))
        exact = one.send(page(one, age_ms=9000)).rejected.first_examples["http_400"]
        assert exact.startswith("1 samples: 400: ")
        assert 'it said: "because"' in exact
        receiver.script(Fault.status(400))
        assert one.send(page(one, age_ms=8000)).rejected.first_examples["http_400"].startswith("up to 3 samples: 400: ")


def test_a_part_that_the_receivers_rules_refuse_is_exactly_counted(clock: Clock) -> None:
    """The valid rest of the request is kept, and the receiver says how much that is."""
    with Receiver(auth=None, now=clock.time, limits=Limits(max_series=2)) as receiver:
        with rig(receiver.url, clock=clock, **V2, **PLAIN, **BIG) as one:
            points: list[made.Point] = [({"__name__": name}, 1.0, clock.now_ms()) for name in "abcd"]
            delivery = one.deliver(points)
        assert accounting(delivery) == (2, {"per_user_series_limit": 2}, {}, {})
        assert receiver.accepted == 2


def test_counts_of_a_server_in_trouble_are_not_believed(receiver: Receiver, one: Rig) -> None:
    """The whole request is sent again, and counted once."""
    receiver.script(says(503, 1, 0, 1))
    delivery = one.send(page(one))
    assert accounting(delivery) == (3, {}, {}, {})
    assert delivery.exemplars_accepted == 3


def test_version_1_does_not_believe_the_headers(receiver: Receiver, clock: Clock) -> None:
    """ "MUST NOT" be used where 1.0 was sent: their meaning there is not specified."""
    receiver.always(says(200, 0, 0, 0))
    with rig(receiver.url, clock=clock, **PLAIN, send_native_histograms=True) as one:
        assert accounting(one.send(page(one))) == (3, {}, {}, {})
        receiver.always(says(400, 1, 1, 1))
        assert accounting(one.send(page(one, age_ms=9000))) == (0, {"http_400": 3}, {}, {})


def test_a_lost_answer_before_a_400_that_counts(receiver: Receiver, one: Rig) -> None:
    receiver.script(Fault.lost_answer(), says(400, 1))
    assert accounting(one.send(page(one))) == (2, {"maybe_stored": 1}, {}, {})


# --- A receiver that does not speak it --------------------------------------------------------------------------------

UNSPOKEN = [
    pytest.param("refused", id="415"),
    pytest.param("ignored", id="2xx without a word about what was written"),
]


@pytest.mark.parametrize("version_2", UNSPOKEN)
def test_a_receiver_of_1_0_gets_1_0_from_then_on(clock: Clock, version_2: Any) -> None:
    """The request in hand and all that wait are encoded anew, nothing is lost, and the environment remembers it."""
    limits = Limits(exemplars=True)
    with Receiver(auth=None, now=clock.time, limits=limits, version_2=version_2) as receiver:
        with rig(receiver.url, clock=clock, **V2, **PLAIN) as one:
            delivery = one.send(page(one), metadata=HELP)
            assert accounting(delivery) == (3, {}, {}, {})
            assert (delivery.exemplars_accepted, delivery.metadata_accepted) == (3, 1)
            assert versions(receiver) == ["2.0.0", "0.1.0", "0.1.0", "0.1.0"]
            (warning,) = delivery.warnings
            assert "does not take remote write 2.0" in warning
            assert "protobuf_message" in warning
            later = one.send(page(one, age_ms=5000), metadata=HELP)
            assert accounting(later) == (3, {}, {}, {})
            assert later.warnings == []
            assert set(versions(receiver)[1:]) == {"0.1.0"}
        assert {len(points) for points in receiver.samples.values()} == {2}
        assert {len(points) for points in receiver.histograms.values()} == {2}
        assert receiver.metadata["m"].help == "What it counts."


def test_what_1_0_has_no_place_for_is_a_counted_drop_after_the_fall_back(clock: Clock) -> None:
    with (
        Receiver(auth=None, now=clock.time, limits=Limits(exemplars=True), version_2="refused") as receiver,
        rig(receiver.url, clock=clock, **V2, **PLAIN) as one,
    ):
        assert accounting(one.send(page(one, CUSTOM))) == (2, {}, {"custom_buckets": 1}, {})
        assert accounting(one.send(page(one, CUSTOM, age_ms=5000))) == (2, {}, {"custom_buckets": 1}, {})


def test_the_fall_back_goes_on_with_what_waits_and_repeats_nothing(receiver: Receiver, one: Rig) -> None:
    """A receiver that is set back between two requests: what it has taken already is not sent again."""
    receiver.script(None, Fault.status(415))
    delivery = one.deliver(one.points(times=4))
    assert accounting(delivery) == (8, {}, {}, {})
    assert versions(receiver) == ["2.0.0", "2.0.0", "0.1.0", "0.1.0", "0.1.0"]
    assert {len(points) for points in receiver.samples.values()} == {4}


def test_415_to_1_0_is_a_refusal_like_any(receiver: Receiver, one: Rig) -> None:
    receiver.always(Fault.status(415))
    delivery = one.deliver(one.points(times=2))
    assert accounting(delivery) == (0, {"http_415": 4}, {}, {})
    assert versions(receiver) == ["2.0.0", "0.1.0", "0.1.0"]


def test_after_the_fall_back_trouble_is_retried_as_ever(receiver: Receiver, one: Rig) -> None:
    receiver.script(Fault.status(415), Fault.status(503))
    assert accounting(one.deliver(one.points(times=1))) == (2, {}, {}, {})
    assert [record.headers["Retry-Attempt"] for record in receiver.requests] == [None, None, "1"]


# --- Cutting, and metadata --------------------------------------------------------------------------------------------


def test_metadata_goes_along_only_where_it_is_wanted(receiver: Receiver, clock: Clock) -> None:
    with rig(receiver.url, clock=clock, **V2, **PLAIN, metadata_config={"send": False}) as one:
        assert accounting(one.deliver(one.points(), metadata=HELP)) == (6, {}, {}, {})
    assert receiver.metadata == {}


def test_no_request_of_2_0_is_for_metadata_alone(receiver: Receiver, one: Rig) -> None:
    one.deliver(one.points(times=2), metadata=HELP)
    assert len(receiver.requests) == 2
    assert all(record.sample_count for record in receiver.requests)
    assert receiver.metadata["m"].help == "What it counts."


def test_amp_gets_2_0_if_configured() -> None:
    """Signed, with its headers under the signature; the sandbox checks them."""
    with Receiver() as receiver, rig(receiver.url, **V2 | {"send_exemplars": False}) as one:
        assert accounting(one.send(page(one))) == (3, {}, {}, {})
        signed = receiver.requests[0].headers["Authorization"]
        assert "content-type" in signed


def test_a_receiver_that_answers_a_half_to_everything_ends() -> None:
    """Nothing that a receiver says makes the counts unbalanced or the loop endless."""
    answers = [says(200, 1), Fault.status(413), Fault.status(415), says(200), Fault(instead=Answer(202), handled=False)]
    with Receiver(auth=None) as receiver, rig(receiver.url, **V2, **PLAIN) as one:
        receiver.script(*answers * 3)
        assert one.send(page(one), seconds=5.0).balances
