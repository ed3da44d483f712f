"""Label sets that remote write takes: sorted by bytes, unique, not empty, and inside AMP's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import InvalidSeries, Samples, Series
from lambda_remote_write.remote_write.encode import packing
from lambda_remote_write.remote_write.relabelled_series import RelabelledSeries
from lambda_remote_write.series import label_codec
from lambda_remote_write.series.cache import AMP_LIMITS, SeriesCache, SeriesLimits, strings_of, validated
from lambda_remote_write.series.order import order
from tests.rig import made

NONE = SeriesLimits()


@given(made.label_sets)
def test_labels_are_sorted_by_the_bytes_of_their_names(labels: dict[str, str]) -> None:
    pairs = validated(labels, NONE)
    names = [name for name, _ in pairs]
    assert names == sorted(set(names))
    assert dict(pairs) == {name.encode(): value.encode() for name, value in labels.items()}


def test_capitals_sort_before_the_underscore_and_small_letters_after_it() -> None:
    labels = {"a": "1", "_a": "1", "B": "1", "__name__": "m", "a1": "1", "A": "1"}
    assert [name for name, _ in validated(labels, NONE)] == [b"A", b"B", b"__name__", b"_a", b"a", b"a1"]


@pytest.mark.parametrize(
    ("labels", "reason", "detail"),
    [
        pytest.param({}, "invalid_metric_name", "''", id="no labels"),
        pytest.param({"a": "b"}, "invalid_metric_name", "''", id="no metric name"),
        pytest.param({"__name__": ""}, "invalid_metric_name", "''", id="empty metric name"),
        pytest.param({"__name__": "1a"}, "invalid_metric_name", "'1a'", id="metric name starts with a digit"),
        pytest.param({"__name__": "a-b"}, "invalid_metric_name", "'a-b'", id="metric name with a dash"),
        pytest.param({"__name__": "a\n"}, "invalid_metric_name", "a\\n", id="metric name ends with a newline"),
        pytest.param({"__name__": "mé"}, "invalid_metric_name", "mé", id="metric name is not ascii"),
        pytest.param({"__name__": "m", "a:b": "x"}, "invalid_label_name", "'a:b' of metric m", id="label with a colon"),
        pytest.param({"__name__": "m", "a.b": "x"}, "invalid_label_name", "'a.b' of metric m", id="label with a dot"),
        pytest.param({"__name__": "m", "": "x"}, "invalid_label_name", "'' of metric m", id="label without a name"),
        pytest.param({"__name__": "m", "1": "x"}, "invalid_label_name", "'1' of metric m", id="label is a digit"),
        pytest.param({"__name__": "m", "é": "x"}, "invalid_label_name", "'é' of metric m", id="label is not ascii"),
        pytest.param({"__name__": "m", "a\n": "x"}, "invalid_label_name", "a\\n", id="label ends with a newline"),
        pytest.param({"__name__": "m", "a": "\ud800"}, "invalid_label_value", "label a of metric m", id="half a pair"),
    ],
)
def test_what_remote_write_does_not_allow_is_refused_with_its_reason(
    labels: dict[str, str], reason: str, detail: str
) -> None:
    with pytest.raises(InvalidSeries) as caught:
        validated(labels, NONE)
    assert caught.value.reason == reason
    assert detail in str(caught.value)


UTF8 = SeriesLimits(utf8_names=True)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        pytest.param({"__name__": "http.server.requests"}, "", id="metric with dots"),
        pytest.param({"__name__": "žluťoučký kůň\n"}, "", id="any text"),
        pytest.param({"__name__": "m", "k8s.pod/name": "x", "1": "y", "日本": "z"}, "", id="any label name"),
        pytest.param({}, "invalid_metric_name", id="no labels"),
        pytest.param({"__name__": ""}, "invalid_metric_name", id="empty metric name"),
        pytest.param({"__name__": "\ud800"}, "invalid_metric_name", id="half a pair as metric name"),
        pytest.param({"__name__": "m", "": "x"}, "invalid_label_name", id="label without a name"),
        pytest.param({"__name__": "m", "a\udfff": "x"}, "invalid_label_name", id="half a pair in a label name"),
        pytest.param({"__name__": "m", "a": "\ud800"}, "invalid_label_value", id="half a pair in a value"),
    ],
)
def test_with_utf8_names_any_text_is_a_name(labels: dict[str, str], reason: str) -> None:
    if reason:
        with pytest.raises(InvalidSeries) as caught:
            validated(labels, UTF8)
        assert caught.value.reason == reason
    else:
        expected = sorted((name.encode(), value.encode()) for name, value in labels.items())
        assert validated(labels, UTF8) == expected


@given(st.dictionaries(st.text(min_size=1, max_size=300), made.label_values, max_size=5))
def test_labels_of_any_length_come_back_from_a_series(labels: dict[str, str]) -> None:
    given_labels = {"__name__": "m", **labels}
    series = made.cache(limits=UTF8).intern(given_labels)
    assert label_codec.labels_of(series.prefix) == given_labels
    strings = strings_of(series)
    assert dict(zip(strings[::2], strings[1::2], strict=True)) == given_labels
    assert strings_of(series) is strings


@pytest.mark.parametrize("name", ["a:b", ":", "_", "__a", "A9_:"], ids=str)
def test_metric_names_that_are_allowed(name: str) -> None:
    assert validated({"__name__": name}, NONE) == [(b"__name__", name.encode())]


def test_an_empty_value_is_an_absent_label() -> None:
    assert validated({"__name__": "m", "a": "", "b": "x"}, NONE) == [(b"__name__", b"m"), (b"b", b"x")]
    series = made.cache()
    assert series.intern({"__name__": "m", "a": ""}) is series.intern({"__name__": "m"})


def many_labels(count: int) -> dict[str, str]:
    return {"__name__": "m"} | {f"l{n:03}": "x" for n in range(count - 1)}


def sized_labels(size: int) -> dict[str, str]:
    """Names and values of this many bytes together, in two-byte characters where it is even."""
    left = size - len("__name__" + "m" + "a")
    return {"__name__": "m", "a": "é" * (left // 2) + "x" * (left % 2)}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        pytest.param(many_labels(150), "", id="150 labels"),
        pytest.param(many_labels(151), "too_many_labels", id="151 labels"),
        pytest.param(sized_labels(7168), "", id="7 KB"),
        pytest.param(sized_labels(7169), "labels_too_large", id="7 KB and one byte"),
    ],
)
def test_amps_limits_at_the_boundary(labels: dict[str, str], reason: str) -> None:
    if reason:
        with pytest.raises(InvalidSeries, match="the receiver accepts") as caught:
            validated(labels, AMP_LIMITS)
        assert caught.value.reason == reason
    else:
        assert len(validated(labels, AMP_LIMITS)) == len(labels)
    assert len(validated(labels, NONE)) == len(labels)


def test_empty_labels_do_not_count_against_the_limit() -> None:
    assert len(validated(many_labels(150) | {"empty": ""}, AMP_LIMITS)) == 150


EXTERNAL = (("env", "prod"), ("region", "eu"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, {"env": "prod", "region": "eu"}, id="absent ones are filled in"),
        pytest.param({"env": "test"}, {"env": "test", "region": "eu"}, id="a label of the sample wins"),
        pytest.param({"env": ""}, {"env": "prod", "region": "eu"}, id="an empty one is absent"),
    ],
)
def test_external_labels_only_fill_in(labels: dict[str, str], expected: dict[str, str]) -> None:
    series = made.cache(EXTERNAL).intern({"__name__": "m", **labels})
    assert label_codec.labels_of(series.prefix) == {"__name__": "m", **expected}


def test_one_label_set_is_one_series_whatever_its_order() -> None:
    series = made.cache(EXTERNAL)
    first = series.intern({"__name__": "m", "a": "1", "b": "2"})
    assert series.intern({"b": "2", "region": "eu", "a": "1", "__name__": "m"}) is first
    assert series.intern({"__name__": "m", "a": "12"}) is not first
    assert len(series) == 2


def test_above_its_bound_the_cache_forgets_what_was_seen_longest_ago() -> None:
    series = made.cache()
    for run in range(1, 11):
        series.intern({"__name__": "m", "n": str(run)}).seen = run
    assert series.prune(max_series=10) == 0
    assert len(series) == 10
    oldest_kept = series.prune(max_series=9)
    assert 1 < oldest_kept <= 10
    assert len(series) == 10 - oldest_kept + 1


# --- write_relabel_configs: one endpoint's view -----------------------------------------------------------------------


def view_of(rules: str, limits: SeriesLimits = NONE) -> RelabelledSeries:
    text = f"json_configs: []\nremote_write:\n  - url: http://127.0.0.1/\n    write_relabel_configs: {rules}\n"
    (endpoint,) = parse_config(text, "config.yaml", {}).endpoints
    return RelabelledSeries(endpoint.write_relabel, limits)


def apply_write_relabel(view: RelabelledSeries, samples: Samples, dropped: ReasonCounts) -> Samples:
    """What an endpoint gets: relabelled, and in order again."""
    return order(packing.apply_write_relabel(view, samples, dropped), dropped)


def seen_through(
    rules: str, points: list[made.Point], series: SeriesCache | None = None
) -> tuple[list[tuple[dict[str, str], float, int]], dict[str, int]]:
    dropped = ReasonCounts()
    samples = apply_write_relabel(view_of(rules), made.samples_of(points, series), dropped)
    found = [
        (label_codec.labels_of(one.prefix), value, stamp)
        for one, value, stamp in zip(samples.series, samples.values, samples.timestamps_ms, strict=True)
    ]
    return found, dict(dropped.counts)


A = {"__name__": "m", "host": "a"}
B = {"__name__": "m", "host": "b"}
MERGE = "[{action: labeldrop, regex: host}]"


@pytest.mark.parametrize(
    ("rules", "points", "expected", "dropped"),
    [
        pytest.param(
            "[{source_labels: [host], regex: a, action: drop}]",
            [(A, 1.0, 10), (B, 2.0, 10)],
            [(B, 2.0, 10)],
            {"write_relabel": 1},
            id="a dropped series is counted",
        ),
        pytest.param(
            "[{source_labels: [__name__], target_label: __name__, replacement: 'x_$1'}]",
            [(A, 1.0, 10), (B, 2.0, 10)],
            [({**A, "__name__": "x_m"}, 1.0, 10), ({**B, "__name__": "x_m"}, 2.0, 10)],
            {},
            id="renamed",
        ),
        pytest.param(
            MERGE,
            [(A, 1.0, 10), (B, 2.0, 10)],
            [({"__name__": "m"}, 1.0, 10)],
            {"not_newer": 1},
            id="merged at one time: no duplicate",
        ),
        pytest.param(
            MERGE,
            [(A, 1.0, 20), (B, 2.0, 10), (A, 3.0, 30), (B, 4.0, 25)],
            [({"__name__": "m"}, value, stamp) for value, stamp in [(2.0, 10), (1.0, 20), (4.0, 25), (3.0, 30)]],
            {},
            id="merged at several times: sorted",
        ),
        pytest.param(
            "[{target_label: __name__, replacement: 'not a name'}]",
            [(A, 1.0, 10)],
            [],
            {"invalid_metric_name": 1},
            id="renamed to what is no name",
        ),
        pytest.param(
            "[{regex: __name__, action: labeldrop}]", [(A, 1.0, 10)], [], {"invalid_metric_name": 1}, id="name dropped"
        ),
    ],
)
def test_what_an_endpoint_sees_after_its_relabelling(
    rules: str, points: list[made.Point], expected: list[made.Point], dropped: dict[str, int]
) -> None:
    assert seen_through(rules, points) == (expected, dropped)


def test_the_rules_see_external_labels() -> None:
    """As in Prometheus: `write_relabel_configs` come after `external_labels`."""
    found, _ = seen_through("[{source_labels: [env], regex: prod, action: drop}]", [(A, 1.0, 10)], made.cache(EXTERNAL))
    assert found == []


def test_each_endpoint_keeps_its_own_order() -> None:
    """What one endpoint merges does not count against the other's series."""
    series = made.cache()
    merged, plain = view_of(MERGE), view_of("[{source_labels: [host], regex: c, action: drop}]")
    for stamp in (10, 20):
        samples = made.samples_of([(A, 1.0, stamp), (B, 2.0, stamp)], series)
        assert len(apply_write_relabel(merged, samples, ReasonCounts())) == 1
        assert len(apply_write_relabel(plain, samples, ReasonCounts())) == 2


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 6)), max_size=12), st.integers(1, 4))
def test_merging_never_sends_a_duplicate(points: list[tuple[str, int]], runs: int) -> None:
    """Over several runs, whatever comes, times of the merged series strictly increase and all samples are counted."""
    view, series, sent = view_of(MERGE), made.cache(), []
    for run in range(runs):
        dropped = ReasonCounts()
        given_points: list[made.Point] = [
            ({"__name__": "m", "host": host}, 1.0, stamp + 3 * run) for host, stamp in points
        ]
        found: Samples = apply_write_relabel(view, made.samples_of(given_points, series), dropped)
        sent += found.timestamps_ms
        assert len(found) + dropped.total() == len(points)
        assert all(isinstance(one, Series) for one in found.series)
    assert sent == sorted(set(sent))


def test_a_view_keeps_to_the_receivers_limits() -> None:
    rules = "[{target_label: a, replacement: " + "x" * 8000 + "}]"
    dropped = ReasonCounts()
    apply_write_relabel(view_of(rules, AMP_LIMITS), made.samples_of([(A, 1.0, 10)]), dropped)
    assert dict(dropped.counts) == {"labels_too_large": 1}


def test_a_view_of_1_0_leaves_out_the_names_that_another_endpoint_takes() -> None:
    points = [({"__name__": "http.requests"}, 1.0, 10), (A, 1.0, 10)]
    for limits, kept in ((NONE, 1), (UTF8, 2), (None, 2)):
        dropped, series = ReasonCounts(), made.cache(limits=UTF8)
        assert len(apply_write_relabel(RelabelledSeries((), limits), made.samples_of(points, series), dropped)) == kept
        assert dict(dropped.counts) == ({"invalid_metric_name": 1} if kept == 1 else {})


def test_exemplars_and_starts_follow_their_series_through_a_view() -> None:
    samples = made.samples_of([(A, 1.0, 10), (B, 1.0, 10)])
    of_a, of_b = ((made.Exemplar((("trace_id", host),), 1.0, 10),) for host in "ab")
    samples.exemplars = dict(zip(samples.series, (of_a, of_b), strict=True))
    samples.starts_ms = dict(zip(samples.series, (5, 6), strict=True))
    rules = "[{source_labels: [host], regex: a, action: drop}, {target_label: x, replacement: y}]"
    seen = apply_write_relabel(view_of(rules), samples, ReasonCounts())
    assert list(seen.exemplars.items()) == [(seen.series[0], of_b)]
    assert list(seen.starts_ms.items()) == [(seen.series[0], 6)]


def test_a_name_that_came_with_an_empty_value_is_not_a_valid_one() -> None:
    series = made.cache()
    series.intern({"__name__": "m", "not a name": ""})
    with pytest.raises(InvalidSeries):
        series.intern({"__name__": "m", "not a name": "x"})
