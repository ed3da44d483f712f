"""Label sets that remote write takes: sorted by bytes, unique, not empty, inside AMP's limits; and their series."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.samples import InvalidSeries
from lambda_remote_write.series import label_codec
from lambda_remote_write.series.cache import AMP_LIMITS, SeriesCache, SeriesLimits, strings_of, validated
from tests.rig import made
from tests.rig.tables import table

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


UTF8 = SeriesLimits(utf8_names=True)


def many_labels(count: int) -> dict[str, str]:
    return {"__name__": "m"} | {f"l{n:03}": "x" for n in range(count - 1)}


def sized_labels(size: int) -> dict[str, str]:
    """Names and values of this many bytes together, in two-byte characters where it is even."""
    left = size - len("__name__" + "m" + "a")
    return {"__name__": "m", "a": "é" * (left // 2) + "x" * (left % 2)}


LABEL_SETS = [  # (id, limits, labels, reason of the refusal or none, words of it)
    ("no labels", NONE, {}, "invalid_metric_name", "''"),
    ("no metric name", NONE, {"a": "b"}, "invalid_metric_name", "''"),
    ("empty metric name", NONE, {"__name__": ""}, "invalid_metric_name", "''"),
    ("metric name starts with a digit", NONE, {"__name__": "1a"}, "invalid_metric_name", "'1a'"),
    ("metric name with a dash", NONE, {"__name__": "a-b"}, "invalid_metric_name", "'a-b'"),
    ("metric name ends with a newline", NONE, {"__name__": "a\n"}, "invalid_metric_name", "a\\n"),
    ("metric name is not ascii", NONE, {"__name__": "mé"}, "invalid_metric_name", "mé"),
    ("label with a colon", NONE, {"__name__": "m", "a:b": "x"}, "invalid_label_name", "'a:b' of metric m"),
    ("label with a dot", NONE, {"__name__": "m", "a.b": "x"}, "invalid_label_name", "'a.b' of metric m"),
    ("label without a name", NONE, {"__name__": "m", "": "x"}, "invalid_label_name", "'' of metric m"),
    ("label is a digit", NONE, {"__name__": "m", "1": "x"}, "invalid_label_name", "'1' of metric m"),
    ("label is not ascii", NONE, {"__name__": "m", "é": "x"}, "invalid_label_name", "'é' of metric m"),
    ("label ends with a newline", NONE, {"__name__": "m", "a\n": "x"}, "invalid_label_name", "a\\n"),
    ("half a pair", NONE, {"__name__": "m", "a": "\ud800"}, "invalid_label_value", "label a of metric m"),
    *((f"a metric name, {name}", NONE, {"__name__": name}, "", "") for name in ("a:b", ":", "_", "__a", "A9_:")),
    ("an empty value", NONE, {"__name__": "m", "a": "", "b": "x"}, "", ""),
    ("UTF-8, metric with dots", UTF8, {"__name__": "http.server.requests"}, "", ""),
    ("UTF-8, any text", UTF8, {"__name__": "žluťoučký kůň\n"}, "", ""),
    ("UTF-8, any label name", UTF8, {"__name__": "m", "k8s.pod/name": "x", "1": "y", "日本": "z"}, "", ""),
    ("UTF-8, no labels", UTF8, {}, "invalid_metric_name", ""),
    ("UTF-8, empty metric name", UTF8, {"__name__": ""}, "invalid_metric_name", ""),
    ("UTF-8, half a pair as metric name", UTF8, {"__name__": "\ud800"}, "invalid_metric_name", ""),
    ("UTF-8, label without a name", UTF8, {"__name__": "m", "": "x"}, "invalid_label_name", ""),
    ("UTF-8, half a pair in a label name", UTF8, {"__name__": "m", "a\udfff": "x"}, "invalid_label_name", ""),
    ("UTF-8, half a pair in a value", UTF8, {"__name__": "m", "a": "\ud800"}, "invalid_label_value", ""),
    ("150 labels", AMP_LIMITS, many_labels(150), "", ""),
    ("150 labels and an empty one", AMP_LIMITS, many_labels(150) | {"empty": ""}, "", ""),
    ("151 labels", AMP_LIMITS, many_labels(151), "too_many_labels", "the receiver accepts"),
    ("151 labels without limits", NONE, many_labels(151), "", ""),
    ("7 KB", AMP_LIMITS, sized_labels(7168), "", ""),
    ("7 KB and one byte", AMP_LIMITS, sized_labels(7169), "labels_too_large", "the receiver accepts"),
    ("7 KB and one byte without limits", NONE, sized_labels(7169), "", ""),
]


@table("limits, labels, reason, detail", LABEL_SETS)
def test_label_sets_are_taken_or_refused_with_a_reason(
    limits: SeriesLimits, labels: dict[str, str], reason: str, detail: str
) -> None:
    """Of those that are taken, empty values are absent labels."""
    series = made.cache(limits=limits)
    for name in labels:  # names that are known as valid are not looked at again, limits are
        with suppress(InvalidSeries):
            series.intern({"__name__": "m", name: "x"})
    if reason:
        for take in (lambda: validated(labels, limits), lambda: series.intern(labels)):
            with pytest.raises(InvalidSeries) as caught:
                take()
            assert caught.value.reason == reason
            assert detail in str(caught.value)
    else:
        assert label_codec.labels_of(series.intern(labels).prefix) == {name: one for name, one in labels.items() if one}
        expected = sorted((name.encode(), value.encode()) for name, value in labels.items() if value)
        assert validated(labels, limits) == expected


@given(st.dictionaries(st.text(min_size=1, max_size=300), made.label_values, max_size=5))
def test_labels_of_any_length_come_back_from_a_series(labels: dict[str, str]) -> None:
    given_labels = {"__name__": "m", **labels}
    series = made.cache(limits=UTF8).intern(given_labels)
    assert label_codec.labels_of(series.prefix) == given_labels
    strings = strings_of(series)
    assert dict(zip(strings[::2], strings[1::2], strict=True)) == given_labels
    assert strings_of(series) is strings


def test_an_empty_value_is_an_absent_label() -> None:
    series = made.cache()
    assert series.intern({"__name__": "m", "a": ""}) is series.intern({"__name__": "m"})


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


def test_a_name_that_came_with_an_empty_value_is_not_a_valid_one() -> None:
    series = made.cache()
    series.intern({"__name__": "m", "not a name": ""})
    with pytest.raises(InvalidSeries):
        series.intern({"__name__": "m", "not a name": "x"})


def test_times_that_another_cache_knows_never_move_a_series_back() -> None:
    """An older sample would be sent again, and the receiver would refuse the request for it."""
    series, other = made.cache(), made.cache()
    sent = {"ahead": (10, 5), "behind": (5, 10), "new here": (None, 7), "new there": (8, None)}
    for name, (here, there) in sent.items():
        for cache, last_ms in ((series, here), (other, there)):
            if last_ms is not None:
                cache.intern({"__name__": "m", "n": name}).last_ms = last_ms
    series.remember(other.marks())
    found = {name: series.intern({"__name__": "m", "n": name}).last_ms for name in sent}
    assert found == {"ahead": 10, "behind": 10, "new here": 7, "new there": 8}


# --- The fast path: the series of the slow one, or the line is left to that ------------------------------------------

VALUES = st.sampled_from(["x", "é", "y z"])
OWN = st.dictionaries(st.sampled_from(["job", "instance", "a", "b", "zone"]), VALUES, max_size=3)
NAMES = st.sampled_from(["a", "a1", "a_", "A", "b", "job", "le", "zone", "__tmp", "_"])
PAIRS = st.lists(st.tuples(NAMES, st.sampled_from(["1", "é", "v" * 300])), max_size=5)
EXTERNALS = st.lists(st.tuples(NAMES, st.sampled_from(["out", ""])), max_size=2, unique_by=lambda pair: pair[0])


@given(metric=made.metric_names, own=OWN, pairs=PAIRS, external=EXTERNALS, limit=st.sampled_from([0, 3, 400]))
def test_the_series_is_the_same(
    metric: str, own: dict[str, str], pairs: list[tuple[str, str]], external: list[tuple[str, str]], limit: int
) -> None:
    cache = SeriesCache(external, SeriesLimits(labels=limit and 6, label_bytes=limit))
    found = cache.fast_intern(own)(metric, tuple(name for name, _ in pairs), pairs)
    labels = {"__name__": metric} | dict(pairs) | own
    if found is None:
        return
    assert len(labels) == 1 + len(pairs) + len(own), "a label that is there twice takes the slow path"
    assert found is cache.intern(labels)


def test_a_line_of_the_common_form_takes_the_fast_path() -> None:
    """It would be no fast path if the slow one did everything."""
    cache = SeriesCache([("cluster", "c")], AMP_LIMITS)
    fast = cache.fast_intern({"job": "j", "instance": "i"})
    one = fast("up_total", ("code", "method"), [("code", "200"), ("method", "GET")])
    again = fast("up_total", ("method", "code"), [("method", "GET"), ("code", "200")])
    assert one is again is not None
    assert one is cache.intern({"__name__": "up_total", "code": "200", "method": "GET", "job": "j", "instance": "i"})


@pytest.mark.parametrize(
    ("own", "names", "limits"),
    [
        pytest.param({"job": "j"}, ("job",), NONE, id="one of the target's own"),
        pytest.param({"job": "j"}, ("a", "a"), NONE, id="twice"),
        pytest.param({"job": "j"}, ("__name__",), NONE, id="the metric's name"),
        pytest.param({"job": "j"}, ("a", "b"), SeriesLimits(labels=3), id="too many"),
        pytest.param({"job": "j"}, ("a",), SeriesLimits(label_bytes=20), id="too long"),
        pytest.param({"job": "j", "a.b": "x"}, ("c",), NONE, id="a name that 1.0 does not know"),
        pytest.param({"job": "\ud800"}, ("c",), NONE, id="no Unicode"),
    ],
)
def test_other_lines_take_the_slow_path(own: dict[str, str], names: tuple[str, ...], limits: SeriesLimits) -> None:
    cache = SeriesCache((), limits)
    assert cache.fast_intern(own)("m", names, [(name, "value") for name in names]) is None
    assert len(cache) == 0
