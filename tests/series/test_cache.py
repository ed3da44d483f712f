"""Label sets that remote write takes: sorted by bytes, unique, not empty, and inside AMP's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.samples import InvalidSeries
from lambda_remote_write.series import label_codec
from lambda_remote_write.series.cache import AMP_LIMITS, SeriesLimits, strings_of, validated
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
