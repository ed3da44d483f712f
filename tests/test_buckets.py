"""Native histograms: what is refused, compact form, and the bounds of a scrape job."""

from __future__ import annotations

import pytest

from pusher import buckets
from pusher.model import Histogram


def made(**changes: object) -> Histogram:
    """Schema 3, one observation in the zero bucket, four buckets at 0, 1, 3 and 4 with 1, 1, 1 and 3 observations."""
    given: dict[str, object] = {
        "count": 7, "sum": 3.0, "schema": 3, "zero_threshold": 0.1, "zero_count": 1,
        "positive_spans": ((0, 2), (1, 2)), "positive_buckets": (1, 0, 0, 2),
    }  # fmt: skip
    return Histogram(**(given | changes))  # type: ignore[arg-type]


def test_a_sound_histogram_passes() -> None:
    """Spans, buckets and count that fit together are no mistake."""
    buckets.check(made())
    buckets.check(made(sum=float("nan"), count=9))  # observations of NaN are counted, and in no bucket


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"count": 6}, "count says 6", id="count below the buckets"),
        pytest.param({"count": 8}, "count says 8", id="count above the buckets"),
        pytest.param({"sum": float("nan"), "count": 6}, "count says 6", id="NaN sum, still too few"),
        pytest.param({"positive_spans": ((0, 2), (1, 1))}, "positive spans", id="fewer places than buckets"),
        pytest.param({"positive_spans": ((0, 2), (-1, 2))}, "overlap", id="negative offset"),
        pytest.param({"positive_buckets": (1, -2, 0, 2)}, "negative count", id="negative bucket"),
        pytest.param({"schema": 9}, "schema 9", id="schema too fine"),
        pytest.param({"schema": -53}, "schema -53", id="custom buckets in a page"),
        pytest.param(
            {"is_float": True, "positive_buckets": (1.0, -0.5, 0.0, 2.0)}, "negative count", id="negative float bucket"
        ),
    ],
)  # fmt: skip
def test_a_histogram_that_contradicts_itself_is_refused(changes: dict[str, object], said: str) -> None:
    """Prometheus refuses it too (model/histogram, Validate)."""
    with pytest.raises(buckets.BadHistogram, match=said):
        buckets.check(made(**changes))


def test_empty_buckets_go() -> None:
    """Compact(0): no bucket is empty, and neighbours share a span."""
    found = buckets.compact(made(positive_spans=((2, 3), (0, 2)), positive_buckets=(0, 1, -1, 2, 1), count=7))
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
    assert buckets.schema_of(factor) == schema
    if -4 < schema < 8:
        assert 2**2**-schema >= factor > 2**2 ** -(schema + 1)


def test_the_resolution_falls_until_the_buckets_fit() -> None:
    """`native_histogram_bucket_limit` and `native_histogram_min_bucket_factor`."""
    fine = made()
    assert buckets.within(fine, 8, 4) == fine
    coarse = buckets.within(fine, 8, 3)
    assert (coarse.schema, coarse.count) == (2, 7)
    assert len(coarse.positive_buckets) <= 3
    assert buckets.within(fine, 1, 0).schema == 1


def test_a_limit_that_no_resolution_meets_fails_the_scrape() -> None:
    """Even in schema -4 a positive and a negative bucket are two."""
    both = made(negative_spans=((0, 1),), negative_buckets=(1,), count=8)
    with pytest.raises(buckets.BadHistogram, match="native_histogram_bucket_limit"):
        buckets.within(both, 8, 1)
