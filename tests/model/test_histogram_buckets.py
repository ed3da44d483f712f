"""Native histograms: what is refused, compact form, and the bounds of a scrape job."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model import histogram_buckets
from lambda_remote_write.model.samples import Histogram


def made(**changes: object) -> Histogram:
    """Schema 3, one observation in the zero bucket, four buckets at 0, 1, 3 and 4 with 1, 1, 1 and 3 observations."""
    given: dict[str, object] = {
        "count": 7, "sum": 3.0, "schema": 3, "zero_threshold": 0.1, "zero_count": 1,
        "positive_spans": ((0, 2), (1, 2)), "positive_buckets": (1, 0, 0, 2),
    }  # fmt: skip
    return Histogram(**(given | changes))  # type: ignore[arg-type]


def test_a_sound_histogram_passes() -> None:
    """Spans, buckets and count that fit together are no mistake."""
    histogram_buckets.check(made())
    histogram_buckets.check(made(sum=float("nan"), count=9))  # observations of NaN are counted, and in no bucket


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        pytest.param({"count": 6}, "count says 6", id="count below the buckets"),
        pytest.param({"count": 8}, "count says 8", id="count above the buckets"),
        pytest.param({"sum": float("nan"), "count": 6}, "count says 6", id="NaN sum, still too few"),
        pytest.param({"positive_spans": ((0, 2), (1, 1))}, "spans need 3 positive", id="fewer places than buckets"),
        pytest.param({"positive_spans": ((0, 2), (-1, 2))}, "overlap", id="negative offset"),
        pytest.param({"positive_buckets": (1, -2, 0, 2)}, "negative count", id="negative bucket"),
        pytest.param({"schema": 9}, "schema 9", id="schema too fine"),
        pytest.param({"schema": -53}, "schema -53", id="custom buckets in a page"),
        pytest.param(
            {"is_float": True, "positive_buckets": (1.0, -0.5, 0.0, 2.0)}, "negative count", id="negative float bucket"
        ),
    ],
)  # fmt: skip
def test_a_histogram_that_contradicts_itself_is_refused(changes: dict[str, object], detail: str) -> None:
    """Prometheus refuses it too (model/histogram, Validate)."""
    with pytest.raises(histogram_buckets.BadHistogram, match=detail):
        histogram_buckets.check(made(**changes))


def test_empty_buckets_go() -> None:
    """Compact(0): no bucket is empty, and neighbours share a span."""
    found = histogram_buckets.compact(made(positive_spans=((2, 3), (0, 2)), positive_buckets=(0, 1, -1, 2, 1), count=7))
    # Absolute: 0, 1, 0, 2, 3 at 2, 3, 4, 5, 6.
    assert found.positive_spans == ((3, 1), (1, 2))
    assert found.positive_buckets == (1, 1, 1)


@pytest.mark.parametrize(
    ("factor", "schema"),
    [(0, 8), (1, 8), (1.002, 8), (1.09, 3), (1.1, 2), (1.5, 0), (2, 0), (3, -1), (4, -1), (65_536, -4), (1e9, -4)],
    ids=str,
)
def test_a_bucket_factor_is_the_finest_schema_that_respects_it(factor: float, schema: int) -> None:
    """The growth factor of schema s is 2 ** (2 ** -s): the finest whose factor is not below the wanted one."""
    assert histogram_buckets.schema_of(factor) == schema
    if -4 < schema < 8:
        assert 2**2**-schema >= factor > 2**2 ** -(schema + 1)


def test_the_resolution_falls_until_the_buckets_fit() -> None:
    """`native_histogram_bucket_limit` and `native_histogram_min_bucket_factor`."""
    fine = made()
    assert histogram_buckets.within(fine, 8, 4) == fine
    coarse = histogram_buckets.within(fine, 8, 3)
    assert (coarse.schema, coarse.count) == (2, 7)
    assert len(coarse.positive_buckets) <= 3
    assert histogram_buckets.within(fine, 1, 0).schema == 1


def test_a_limit_that_no_resolution_meets_fails_the_scrape() -> None:
    """Even in schema -4 a positive and a negative bucket are two."""
    both = made(negative_spans=((0, 1),), negative_buckets=(1,), count=8)
    with pytest.raises(histogram_buckets.BadHistogram, match="native_histogram_bucket_limit"):
        histogram_buckets.within(both, 8, 1)


# leaving out empty buckets

Spans = tuple[tuple[int, int], ...]


def histogram(spans: Spans, counts: list[int], *, is_float: bool = False, **fields: float) -> Histogram:
    """One with these positive buckets, and a count that fits."""
    deltas = tuple(after - before for before, after in itertools.pairwise([0, *counts]))
    detail = {"count": sum(counts), "sum": 1.0, "zero_count": 0} | fields
    return Histogram(
        schema=0, zero_threshold=0.5, positive_spans=spans, positive_buckets=tuple(counts) if is_float else deltas,
        is_float=is_float, **detail,
    )  # type: ignore[arg-type]  # fmt: skip


def places(spans: Spans) -> Iterator[int]:
    at = 0
    for offset, length in spans:
        for _ in range(length):
            yield at + offset
            at += 1
        at += offset


def observations(one: Histogram) -> dict[int, float]:
    """Bucket -> observations, of buckets that have some."""
    counts = one.positive_buckets if one.is_float else itertools.accumulate(one.positive_buckets)
    return {place: count for place, count in zip(places(one.positive_spans), counts, strict=True) if count}


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    first = draw(st.tuples(st.integers(-5, 5), st.integers(0, 3)))
    more = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=5))
    spans = (first, *more)
    size = sum(length for _, length in spans)
    counts = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    return histogram(spans, counts, is_float=draw(st.booleans()))


@given(one=histograms(), max_empty=st.sampled_from([0, 2]))
def test_compacting_keeps_all_observations(one: Histogram, max_empty: int) -> None:
    small = histogram_buckets.compact(one, max_empty)
    assert observations(small) == observations(one)
    assert histogram_buckets.compact(small, max_empty) == small
    assert all(length for _, length in small.positive_spans)
    assert all(offset > max_empty for offset, _ in small.positive_spans[1:])
    if not max_empty:
        assert len(observations(small)) == len(small.positive_buckets)


@pytest.mark.parametrize(
    ("spans", "counts", "max_empty", "expected"),
    [
        (((1, 3), (0, 2), (2, 0), (1, 2)), [0, 2, 0, 0, 5, 0, 1], 0, (((2, 1), (2, 1), (4, 1)), (2, 3, -4))),
        (((0, 4),), [1, 0, 0, 1], 2, (((0, 4),), (1, -1, 0, 1))),
        (((0, 5),), [1, 0, 0, 0, 1], 2, (((0, 1), (3, 1)), (1, 0))),
        (((3, 2),), [0, 0], 0, ((), ())),
        ((), [], 0, ((), ())),
    ],
    ids=["empty ones go", "two stay between", "three do not", "all are empty", "none"],
)
def test_compacting(spans: Spans, counts: list[int], max_empty: int, expected: tuple[Spans, tuple[int, ...]]) -> None:
    small = histogram_buckets.compact(histogram(spans, counts), max_empty)
    assert (small.positive_spans, small.positive_buckets) == expected


def test_a_span_without_end_is_refused_at_once() -> None:
    """A page of a few bytes can claim four billion buckets."""
    with pytest.raises(histogram_buckets.BadHistogram, match="need 4000000000 positive buckets"):
        histogram_buckets.check(histogram(((0, 4_000_000_000),), [1, 1]))


def test_the_counts_of_a_float_histogram_need_not_add_up() -> None:
    """Sums of floats are not exact."""
    histogram_buckets.check(histogram(((0, 1),), [1], is_float=True, count=5))
