"""The receiver's side of remote write 2.0, native histograms and exemplars. Requests are built with the stubs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from lambda_remote_write.remote_write.encode.generated.io.prometheus.write.v2 import types_pb2 as types_2_pb2
from sandbox.amp import Limits, Receiver
from tests.rig.remote_write_client import HEADERS, HEADERS_2, NOW_MS, packed, series, write

LABELS = (("__name__", "up"), ("trace_id", "x"))
ALL = Limits(exemplars=True, custom_buckets=True)
WRITTEN = [f"X-Prometheus-Remote-Write-{kind}-Written" for kind in ("Samples", "Histograms", "Exemplars")]


@pytest.fixture
def amp() -> Iterator[Receiver]:
    with Receiver(auth=None, limits=ALL) as receiver:
        yield receiver


def good() -> types_2_pb2.Request:
    """A float with an exemplar and metadata, and a histogram."""
    message = types_2_pb2.Request(symbols=["", "__name__", "up", "native", "trace_id", "x", "Is it up?", "seconds"])
    up = message.timeseries.add(labels_refs=[1, 2])
    up.samples.add(value=1.0, timestamp=NOW_MS, start_timestamp=NOW_MS - 5)
    up.exemplars.add(labels_refs=[4, 5], value=0.5, timestamp=NOW_MS)
    up.metadata.type, up.metadata.help_ref, up.metadata.unit_ref = 2, 6, 7
    native = message.timeseries.add(labels_refs=[1, 3])
    native.histograms.add(
        count_int=3, sum=1.0, schema=3, zero_threshold=0.1, zero_count_int=1,
        positive_spans=[types_2_pb2.BucketSpan(offset=-1, length=2)], positive_deltas=[1, 0], timestamp=NOW_MS,
    )  # fmt: skip
    return message


def post(amp: Receiver, http: requests.Session, message: object, headers: dict[str, str]) -> requests.Response:
    return http.post(amp.url, packed(message), headers=headers, timeout=5)


def counts(answer: requests.Response) -> list[str | None]:
    return [answer.headers.get(name) for name in WRITTEN]


def test_a_good_request_is_kept_whole_and_counted(amp: Receiver, http: requests.Session) -> None:
    answer = post(amp, http, good(), HEADERS_2)
    assert (answer.status_code, counts(answer)) == (200, ["1", "1", "1"])
    assert amp.samples == {(("__name__", "up"),): [(NOW_MS, 1.0)]}
    assert [histogram.count_int for _, histogram in amp.histograms[(("__name__", "native"),)]] == [3]
    assert amp.exemplars == {(("__name__", "up"),): [((("trace_id", "x"),), NOW_MS, 0.5)]}
    assert amp.metadata == {"up": ("gauge", "Is it up?", "seconds")}
    (record,) = amp.requests
    assert (record.accepted, record.sample_count, record.message_2) == (2, 2, good())


def changed(change: Callable[[types_2_pb2.Request], object]) -> types_2_pb2.Request:
    message = good()
    change(message)
    return message


def neither(message: types_2_pb2.Request) -> None:
    del message.timeseries[1].histograms[:]


ALL_BUT_THE_HISTOGRAM = ["1", "0", "1"]


@pytest.mark.parametrize(
    ("change", "text", "written"),
    [
        pytest.param(lambda m: m.symbols.pop(0), "empty string", None, id="symbols do not begin with an empty one"),
        pytest.param(lambda m: m.symbols.append("up"), "deduplicated", None, id="a symbol twice"),
        pytest.param(lambda m: m.timeseries[0].labels_refs.append(1), "pairs", None, id="half a pair"),
        pytest.param(lambda m: m.timeseries[0].labels_refs.extend([1, 99]), "outside", None, id="a reference"),
        pytest.param(lambda m: m.timeseries[0].exemplars[0].labels_refs.extend([4, 8]), "outside", None,
                     id="an exemplar's"),
        pytest.param(lambda m: setattr(m.timeseries[0].metadata, "help_ref", 8), "outside", None, id="a help"),
        pytest.param(lambda m: m.timeseries[1].samples.add(value=1.0, timestamp=NOW_MS), "either",
                     ALL_BUT_THE_HISTOGRAM, id="samples and histograms in one series"),
        pytest.param(neither, "either", ALL_BUT_THE_HISTOGRAM, id="neither"),
        pytest.param(lambda m: m.timeseries[1].labels_refs.extend([1, 2]), "duplicate label", ALL_BUT_THE_HISTOGRAM,
                     id="a name twice"),
        pytest.param(lambda m: m.timeseries[1].labels_refs.extend([0, 5]), "invalid label", ALL_BUT_THE_HISTOGRAM,
                     id="no label name"),
        pytest.param(lambda m: m.timeseries[1].labels_refs.__setitem__(slice(None), [4, 5, 1, 3]), "not sorted",
                     ALL_BUT_THE_HISTOGRAM, id="not sorted"),
        pytest.param(lambda m: m.symbols.__setitem__(3, "native.dots"), "", ["1", "1", "1"],
                     id="a name with dots is good"),
    ],
)  # fmt: skip
def test_the_rules_of_a_request(
    amp: Receiver, http: requests.Session, change: Callable[[types_2_pb2.Request], object], text: str,
    written: list[str] | None,
) -> None:  # fmt: skip
    answer = post(amp, http, changed(change), HEADERS_2)
    assert (answer.status_code, text in answer.text) == (400 if text else 200, True)
    assert counts(answer) == (written or [None] * 3)


def test_all_or_nothing_writes_nothing(http: requests.Session) -> None:
    with Receiver(auth=None, limits=ALL, keep_valid=False) as amp:
        answer = post(amp, http, changed(neither), HEADERS_2)
        assert (answer.status_code, counts(answer)) == (400, ["0", "0", "0"])
        assert (amp.samples, amp.exemplars, amp.metadata) == ({}, {}, {})


def test_a_receiver_of_1_0_may_refuse_2_0(http: requests.Session) -> None:
    with Receiver(auth=None, version_2="refused") as amp:
        answer = post(amp, http, good(), HEADERS_2)
        assert (answer.status_code, counts(answer)) == (415, [None] * 3)
        assert post(amp, http, remote_pb2.WriteRequest(), HEADERS).status_code == 200


def test_a_receiver_of_1_0_may_read_nothing_and_say_that_all_is_well(http: requests.Session) -> None:
    with Receiver(auth=None, version_2="ignored") as amp:
        answer = post(amp, http, good(), HEADERS_2)
        assert (answer.status_code, counts(answer)) == (200, [None] * 3)
        assert (amp.samples, amp.accepted) == ({}, 0)


# --- Native histograms and exemplars, in 1.0 --------------------------------------------------------------------------


def histogram(**fields: object) -> types_pb2.Histogram:
    usual: dict[str, object] = {
        "count_int": 2, "zero_count_int": 0, "schema": 0, "positive_spans": [types_pb2.BucketSpan(offset=0, length=2)],
        "positive_deltas": [1, 0], "timestamp": NOW_MS,
    }  # fmt: skip
    return types_pb2.Histogram(**{name: value for name, value in (usual | fields).items() if value is not None})


def span(length: int, offset: int = 0) -> types_pb2.BucketSpan:
    return types_pb2.BucketSpan(offset=offset, length=length)


WIDE = {"positive_spans": [span(190)], "positive_deltas": None, "count_int": None, "zero_count_int": None}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({}, "", id="good"),
        pytest.param({"schema": 8}, "", id="the finest"),
        pytest.param({"schema": -4}, "", id="the coarsest"),
        pytest.param({"schema": 9}, "invalid schema", id="too fine"),
        pytest.param({"schema": -5}, "invalid schema", id="too coarse"),
        pytest.param({"schema": -53}, "invalid schema", id="custom buckets"),
        pytest.param(
            {"positive_spans": [span(200)], "positive_deltas": [1] + [0] * 199, "count_int": 200}, "", id="200 buckets"
        ),
        pytest.param(
            {"positive_spans": [span(201)], "positive_deltas": [1] + [0] * 200, "count_int": 201}, "many", id="one more"
        ),
        pytest.param(
            WIDE | {"positive_counts": [0.5] * 190, "count_float": 95.0, "zero_count_float": 0.0}, "", id="1,600 bytes"
        ),
        pytest.param(
            WIDE
            | {"positive_spans": [span(1, 10**9 * (n == 0) + n) for n in range(190)], "positive_counts": [0.5] * 190,
               "count_float": 95.0, "zero_count_float": 0.0},
            "too large", id="over 2,048 bytes",
        ),
        pytest.param({"timestamp": NOW_MS - 7_200_000}, "timestamp too old", id="too old"),
    ],
)  # fmt: skip
def test_what_a_native_histogram_must_be(http: requests.Session, fields: dict[str, object], text: str) -> None:
    with Receiver(auth=None) as amp:
        answer = write(amp, http, series(LABELS, histograms=[histogram(**fields)]))
        assert (answer.status_code, text in answer.text) == (400 if text else 200, True)
        assert [len(points) for points in amp.histograms.values()] == ([] if text else [1])
        assert counts(answer) == [None] * 3


def test_1_0_has_no_custom_buckets_even_where_they_are_taken(amp: Receiver, http: requests.Session) -> None:
    answer = write(amp, http, series(LABELS, histograms=[histogram(schema=-53)]))
    assert "no place in remote write 1.0" in answer.text


def test_floats_and_histograms_of_a_series_share_one_order(amp: Receiver, http: requests.Session) -> None:
    answer = write(amp, http, series(LABELS, histograms=[histogram()]), series(LABELS, (-1, 1.0)))
    assert "out of order" in answer.text


def test_the_same_histogram_again_is_silently_taken_and_another_is_not(amp: Receiver, http: requests.Session) -> None:
    for one, status in ((histogram(), 200), (histogram(), 200), (histogram(count_int=3), 400)):
        assert write(amp, http, series(LABELS, histograms=[one])).status_code == status


def test_exemplars_of_1_0_are_kept_where_they_are_taken(amp: Receiver, http: requests.Session) -> None:
    exemplar = types_pb2.Exemplar(labels=series([("trace_id", "x")]).labels, value=0.5, timestamp=NOW_MS)
    assert write(amp, http, series(LABELS, (0, 1.0), exemplars=[exemplar])).status_code == 200
    assert amp.exemplars == {LABELS: [((("trace_id", "x"),), NOW_MS, 0.5)]}
