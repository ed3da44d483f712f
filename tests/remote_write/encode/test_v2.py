"""Remote write 2.0: what the protobuf stubs decode is what was given, whatever it was, and the rules of its tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.delivery import WriteRequest
from lambda_remote_write.model.samples import STALE, Exemplar, Histogram, Metadata, Samples
from lambda_remote_write.remote_write.encode import v2
from lambda_remote_write.remote_write.encode.generated.io.prometheus.write.v2 import types_pb2
from tests.rig import made

LABELS = {"__name__": "m", "a": "b"}
HISTOGRAM = Histogram(6, 7.5, 0, 0.001, 1, positive_spans=((0, 2),), positive_buckets=(2, 1))


def encoded(samples: Samples, families: Sequence[Metadata] = ()) -> bytes:
    return v2.encode(made.block(samples), {one.name: one for one in families})


def decoded(samples: Samples, families: Sequence[Metadata] = ()) -> types_pb2.Request:
    return types_pb2.Request.FromString(encoded(samples, families))


def as_request(raw: bytes) -> WriteRequest:
    return WriteRequest(cramjam.snappy.compress_raw(raw), 0, 0, version=2)


families = st.lists(
    st.builds(
        Metadata,
        st.sampled_from(["m", "a:b", "other"]),
        st.sampled_from(made.FAMILY_TYPES),
        st.text(max_size=9),
        st.text(max_size=3),
    ),
    max_size=3,
)


@made.with_pages
@given(made.pages(), families)
def test_whatever_a_page_gives_decodes_to_the_same(samples: Samples, families: list[Metadata]) -> None:
    """Samples in order, exemplars and starts once and beside the newest sample; bytes as the stubs order them."""
    raw = encoded(samples, families)
    assert made.points_in([as_request(raw)]) == made.bits_of_samples(samples)
    assert made.exemplars_in([as_request(raw)]) == made.exemplar_bits(samples)
    assert made.starts_in([as_request(raw)]) == made.start_bits(samples)
    assert types_pb2.Request.FromString(raw).SerializeToString() == raw


@given(st.lists(st.tuples(made.label_sets, made.values, made.stamps), min_size=1, max_size=8))
def test_plain_samples_decode_to_the_same(points: list[made.Point]) -> None:
    raw = encoded(made.samples_of(points))
    assert made.points_in([as_request(raw)]) == made.as_bits(points)
    assert types_pb2.Request.FromString(raw).SerializeToString() == raw


@pytest.mark.parametrize("stamps", [1, 3], ids=["one time", "several times"])
def test_samples_and_zeros_on_the_fast_path_decode_to_the_same(stamps: int) -> None:
    points: list[made.Point] = [
        ({"__name__": f"m{n % 7}", "n": str(n)}, [0.0, -0.0, 1.5, STALE][n % 4], made.NOW_MS + n % stamps)
        for n in range(1000)
    ]
    samples = made.samples_of(points)
    for _ in range(2):  # the second time from what the series keep
        raw = encoded(samples)
        assert made.points_in([as_request(raw)]) == made.as_bits(points)
        assert types_pb2.Request.FromString(raw).SerializeToString() == raw


# --- What the specification says --------------------------------------------------------------------------------------


def starts_of(message: types_pb2.Request) -> list[list[int]]:
    return [[point.start_timestamp for point in (*one.samples, *one.histograms)] for one in message.timeseries]


def with_everything() -> Samples:
    """Two points of a counter, a gauge, a histogram that ends, an exemplar and two starts."""
    intern = made.cache().intern
    counter, gauge = intern({"__name__": "c_total", "B": "1", "a": "1"}), intern({"__name__": "g", "a": "__name__"})
    native = intern({"__name__": "h", "le": "c_total"})
    samples = Samples()
    for series, value, stamp in [
        (counter, 1.0, 0), (counter, 2.0, 1), (gauge, 0.0, 0), (native, HISTOGRAM, 0), (native, STALE, 5),
    ]:  # fmt: skip
        samples.add(series, value, made.NOW_MS + stamp)
    samples.exemplars[counter] = (Exemplar((("trace_id", "a"), ("c_total", "__name__")), 0.5, made.NOW_MS),)
    samples.starts_ms = {counter: made.NOW_MS - 9, native: made.NOW_MS - 8}
    return samples


FAMILIES = [
    Metadata("c", "counter", "What it counts.", "a"),
    Metadata("g", "gauge", "", ""),
    Metadata("x", "info", "", ""),
]


def refs_of(message: types_pb2.Request) -> list[Sequence[int]]:
    return [refs for one in message.timeseries for refs in (one.labels_refs, *(e.labels_refs for e in one.exemplars))]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            lambda message: len(set(message.symbols)) == len(message.symbols),
            id="the symbols table MUST be deduplicated",
        ),
        pytest.param(lambda message: message.symbols[0] == "", id="the first symbol MUST be an empty string"),
        pytest.param(
            lambda message: all(ref < len(message.symbols) for refs in refs_of(message) for ref in refs),
            id="references MUST point to existing symbols",
        ),
        pytest.param(
            lambda message: all(len(refs) % 2 == 0 for refs in refs_of(message)),
            id="the length of labels_refs MUST be a multiple of two",
        ),
        pytest.param(
            lambda message: all(bool(one.samples) != bool(one.histograms) for one in message.timeseries),
            id="a TimeSeries MUST have samples or histograms, and MUST NOT have both",
        ),
        pytest.param(
            lambda message: all(
                list(made.resolved(one.labels_refs, message.symbols))
                == sorted(made.resolved(one.labels_refs, message.symbols), key=str.encode)
                for one in message.timeseries
            ),
            id="labels MUST be sorted by name",
        ),
        pytest.param(
            lambda message: (
                [[s.timestamp - made.NOW_MS for s in one.samples] for one in message.timeseries]
                == [[0, 1], [0], [], [5]]
            ),
            id="samples MUST be sorted by time, oldest first",
        ),
        pytest.param(
            lambda message: made.bits_of(message.timeseries[3].samples[0].value) == 0x7FF0000000000002,
            id="a stale marker MUST be the NaN of its bits, for a histogram too",
        ),
        pytest.param(
            lambda message: starts_of(message) == [[0, made.NOW_MS - 9], [0], [0], [made.NOW_MS - 8]],
            id="start_timestamp SHOULD be given where it is known",
        ),
        pytest.param(
            lambda message: (
                made.resolved(message.timeseries[0].exemplars[0].labels_refs, message.symbols)
                == {"trace_id": "a", "c_total": "__name__"}
            ),
            id="exemplars SHOULD be sent if there are any",
        ),
        pytest.param(
            lambda message: (
                [one.metadata.type for one in message.timeseries] == [1, 2, 0, 0]
                and message.symbols[message.timeseries[0].metadata.help_ref] == "What it counts."
                and message.symbols[message.timeseries[0].metadata.unit_ref] == "a"
            ),
            id="metadata SHOULD go along with each series",
        ),
        pytest.param(
            lambda message: (
                (message.timeseries[1].metadata.help_ref, message.timeseries[1].metadata.unit_ref) == (0, 0)
            ),
            id="a reference of 0 means that there is no help and no unit",
        ),
    ],
)
def test_a_request_of_everything(check: Callable[[types_pb2.Request], bool]) -> None:
    assert check(decoded(with_everything(), FAMILIES))


def test_a_label_value_that_is_called_like_the_name_is_not_taken_for_it() -> None:
    labels = {"A": "__name__", "__name__": "g"}
    (series,) = decoded(made.samples_of([(labels, 1.0, made.NOW_MS)]), FAMILIES).timeseries
    assert series.metadata.type == types_pb2.Metadata.METRIC_TYPE_GAUGE


def test_strings_travel_once_per_request() -> None:
    text = "a long label value that repeats"
    raw = encoded(made.samples_of([({"__name__": "m", "n": str(n), "text": text}, 1.0, made.NOW_MS) for n in range(9)]))
    assert raw.count(text.encode()) == 1


def test_metadata_without_anything_to_say_is_left_out() -> None:
    (series,) = decoded(made.samples_of([(LABELS, 1.0, made.NOW_MS)])).timeseries
    assert not series.HasField("metadata")


@given(st.characters(codec="utf-8"), st.integers(0, 1100), st.sampled_from(["", "µ", "u" * 1100]))
def test_help_and_unit_are_cut_to_amps_kilobyte(char: str, count: int, unit: str) -> None:
    message = decoded(made.samples_of([(LABELS, 1.0, made.NOW_MS)]), [Metadata("m", "gauge", char * count, unit)])
    detail, symbols = message.timeseries[0].metadata, message.symbols
    size = len("m") + len("gauge") + len(symbols[detail.help_ref].encode()) + len(symbols[detail.unit_ref].encode())
    assert size < 1024
    assert (char * count).startswith(symbols[detail.help_ref])


# --- Which family a metric belongs to ---------------------------------------------------------------------------------

BELONGS = {
    "counter": {"a", "a_total", "a_created"},
    "gauge": {"a"},
    "histogram": {"a", "a_bucket", "a_sum", "a_count", "a_created"},
    "gaugehistogram": {"a", "a_bucket", "a_gsum", "a_gcount"},
    "summary": {"a", "a_sum", "a_count", "a_created"},
    "info": {"a", "a_info"},
    "stateset": {"a"},
    "unknown": {"a"},
}
ENDINGS = [
    "", "_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info", "_x", "total", "_", "_a_total",
]  # fmt: skip


@pytest.mark.parametrize("kind", BELONGS)
def test_the_metrics_of_a_family(kind: str) -> None:
    metrics = [f"a{ending}" for ending in ENDINGS]
    samples = made.samples_of([({"__name__": metric}, 1.0, made.NOW_MS) for metric in metrics])
    described = [one.HasField("metadata") for one in decoded(samples, [Metadata("a", kind, "help", "")]).timeseries]
    assert set(itertools.compress(metrics, described)) == BELONGS[kind]


def test_a_family_of_the_metrics_own_name_comes_first() -> None:
    families = [Metadata("a", "histogram", "of the histogram", ""), Metadata("a_count", "gauge", "of the gauge", "")]
    message = decoded(made.samples_of([({"__name__": "a_count"}, 1.0, made.NOW_MS)]), families)
    assert message.symbols[message.timeseries[0].metadata.help_ref] == "of the gauge"
