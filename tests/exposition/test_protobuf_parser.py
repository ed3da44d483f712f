"""The protobuf format: which series a message makes, and which messages are refused."""

from __future__ import annotations

import pytest

from lambda_remote_write.exposition.line_parser import ParseOptions
from tests.rig.exposition import Target, cold, shown
from tests.rig.scrape import delimited, varint
from tests.rig.tables import table

TAKEN: list[tuple[str, str, list[str]]] = [
    ("nothing", "", []),
    ("a counter", 'name: "a" metric { counter { value: 1 } }', ["a{} 1.0"]),
    ("a gauge", 'name: "a" type: GAUGE metric { gauge { value: -inf } }', ["a{} -inf"]),
    ("an untyped metric", 'name: "a" type: UNTYPED metric { untyped { value: 1 } }', ["a{} 1.0"]),
    (
        "values that are not there",
        'name: "a" metric { }\n---\nname: "b" type: GAUGE metric { }',
        ["a{} 0.0", "b{} 0.0"],
    ),
    ("a family without metrics", 'name: "a" type: GAUGE', []),
    ("labels", 'name: "a" metric { label { name: "x" value: "1" } label { name: "y" } }', ["a{x='1'} 0.0"]),
    ("names of any text", 'name: "a.b" metric { label { name: "c d" value: "1" } }', ["a.b{c d='1'} 0.0"]),
    ("timestamps", 'name: "a" metric { timestamp_ms: 5 } metric { timestamp_ms: -5 }', ["a{} 0.0 @5", "a{} 0.0 @-5"]),
    ("timestamp zero is none", 'name: "a" metric { timestamp_ms: 0 }', ["a{} 0.0"]),
    ("a unit", 'name: "a_s" unit: "s" metric { }', ["a_s{} 0.0"]),
    ("a unit that the name lacks", 'name: "a" type: GAUGE unit: "s" metric { }', ["a{} 0.0"]),
    ("a counter's unit", 'name: "a_s_total" unit: "s" metric { }', ["a_s_total{} 0.0"]),
    (
        "a summary",
        'name: "a" type: SUMMARY metric '
        "{ summary { sample_count: 2 sample_sum: 3 quantile { quantile: 1 value: 4 } } }",
        ["a_count{} 2.0", "a_sum{} 3.0", "a{quantile='1.0'} 4.0"],
    ),
    (
        "a histogram",
        'name: "a" type: HISTOGRAM metric { histogram { sample_count: 2 sample_sum: 3 '
        "bucket { cumulative_count: 1 upper_bound: 1e6 } } }",
        ["a_count{} 2.0", "a_sum{} 3.0", "a_bucket{le='1e+06'} 1.0", "a_bucket{le='+Inf'} 2.0"],
    ),
    (
        "a histogram that has its last bucket",
        'name: "a" type: HISTOGRAM metric '
        "{ histogram { sample_count: 2 bucket { cumulative_count: 2 upper_bound: inf } } }",
        ["a_count{} 2.0", "a_sum{} 0.0", "a_bucket{le='+Inf'} 2.0"],
    ),
]

REFUSED = [
    ("a family without a name", "metric { }"),
    ("a label twice", 'name: "a" metric { label { name: "x" value: "1" } label { name: "x" value: "2" } }'),
    ("le twice", 'name: "a" type: HISTOGRAM metric { label { name: "le" value: "1" } histogram { } }'),
    ("the name as a label", 'name: "a" metric { label { name: "__name__" value: "b" } }'),
    ("a label without a name", 'name: "a" metric { label { value: "1" } }'),
]


@table("families, expected", TAKEN)
def test_taken(families: str, expected: list[str]) -> None:
    page = delimited(families)
    target = Target("protobuf")
    for _ in range(2):
        read = target.read(page)
        assert (shown(read), read.error) == (expected, "")
    assert read.scraped == len(expected)


@table("families", REFUSED)
def test_refused(families: str) -> None:
    assert cold("protobuf", delimited(families)).is_bad


GOOD = delimited('name: "a" metric { counter { value: 1 } }\n---\nname: "b" type: GAUGE metric { gauge { value: 2 } }')


@pytest.mark.parametrize("end", range(1, len(GOOD)))
def test_a_page_that_breaks_off(end: int) -> None:
    """It is refused within a message; between two messages it cannot be seen."""
    first = 1 + GOOD[0]
    assert cold("protobuf", GOOD[:end]).is_bad == (end != first)


@pytest.mark.parametrize(
    "page",
    [varint(3) + b"\xff\xff\xff", b"\xff" * 11, varint(1 << 40), b"\x01\x0a", b"a 1\n", b"# EOF\n"],
    ids=["no message", "no length", "a huge length", "half a field", "text", "OpenMetrics"],
)
def test_bytes_that_are_no_page(page: bytes) -> None:
    assert cold("protobuf", page).is_bad


def test_label_values_cannot_be_taken_for_labels() -> None:
    """However names and values are put together, two series stay two."""
    one = 'metric { label { name: "x" value: "1\\303\\277y\\303\\2772" } counter { value: 1 } }'
    two = 'metric { label { name: "x" value: "1" } label { name: "y" value: "2" } counter { value: 2 } }'
    (first, *_), (second, *_) = cold("protobuf", delimited(f'name: "a" {one} {two}')).samples
    assert first == (("__name__", "a"), ("x", "1ÿyÿ2"))
    assert second == (("__name__", "a"), ("x", "1"), ("y", "2"))


@pytest.mark.parametrize(("native", "classic"), [(False, False), (True, False), (True, True)])
def test_which_histograms_are_wanted(native: bool, classic: bool) -> None:
    page = delimited(
        'name: "h" type: HISTOGRAM metric { histogram { sample_count: 1 sample_sum: 2 zero_threshold: 0.5 '
        "zero_count: 1 bucket { cumulative_count: 1 upper_bound: 1 } } }"
    )
    read = Target("protobuf", ParseOptions(native_histograms=native, classic_histograms=classic)).read(page)
    names = [dict(labels)["__name__"] for labels, _, _ in read.samples]
    assert names == ["h"] * native + ["h_count", "h_sum", "h_bucket", "h_bucket"] * (classic or not native)


def test_exemplars_come_in_their_order_of_time() -> None:
    exemplar = "exemplars {{ label {{ name: 't' value: '{0}' }} timestamp {{ seconds: {0} }} }}".format
    page = delimited(
        'name: "h" type: HISTOGRAM metric { histogram { zero_threshold: 0.5 '
        f"{exemplar(3)} {exemplar(1)} exemplars {{ value: 9 }} {exemplar(2)} }} }}"
    )
    assert [one.timestamp_ms for _, one in cold("protobuf", page).exemplars] == [1000, 2000, 3000]


@pytest.mark.parametrize(
    ("counts", "is_float"),
    [
        pytest.param("positive_count: 0 positive_count: 0", True, id="float, nothing observed"),
        pytest.param("positive_count: 0 positive_count: 2 sample_count_float: 2", True, id="float"),
        pytest.param("positive_delta: 0 positive_delta: 0", False, id="whole numbers, nothing observed"),
    ],
)
def test_the_buckets_of_a_histogram_tell_whether_it_is_one_of_floats(counts: str, is_float: bool) -> None:
    """Prometheus 3.16 model/textparse/protobufparse.go, isFloatHistogram: also where every count is zero."""
    buckets = f"zero_threshold: 0.5 positive_span {{ length: 2 }} {counts}"
    read = cold("protobuf", delimited(f'name: "h" type: HISTOGRAM metric {{ histogram {{ {buckets} }} }}'))
    assert read.error == ""
    ((_, value, _),) = read.samples
    assert f"is_float={is_float}" in value
