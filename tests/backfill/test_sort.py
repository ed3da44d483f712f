"""Samples of a part go out series by series, oldest first; windows cover a range."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.backfill.api_source import Span
from lambda_remote_write.backfill.sort import sort_samples
from lambda_remote_write.backfill.source import Mark
from lambda_remote_write.config.timestamp import parse_format
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Samples, Series
from lambda_remote_write.scrape.gap_backfill import rounded_up

SERIES = [Series(bytes([65 + number])) for number in range(4)]
POINTS = st.lists(st.tuples(st.sampled_from(SERIES), st.floats(allow_nan=False), st.integers(0, 12)), max_size=40)


@given(POINTS)
def test_each_time_of_a_series_goes_out_once_and_in_order(points: list[tuple[Series, float, int]]) -> None:
    """The series in the order in which they come first; of several samples of one time the last counts."""
    samples, dropped = Samples(), ReasonCounts()
    for series, value, stamp in points:
        samples.add(series, value, stamp)
    expected: dict[Series, dict[int, float]] = {}
    for series, value, stamp in points:
        expected.setdefault(series, {})[stamp] = value
    flat = [(series, found[stamp], stamp) for series, found in expected.items() for stamp in sorted(found)]
    arranged = sort_samples(samples, dropped)
    assert list(zip(arranged.series, arranged.values, arranged.timestamps_ms, strict=True)) == flat
    assert dropped.total() == len(points) - len(flat)


@given(
    st.integers(0, 10**6), st.integers(0, 10**5), st.integers(2, 10**4), st.integers(0, 10**6), st.integers(0, 10**5)
)
def test_windows_cover_a_range_without_a_gap(start: int, length: int, longest: int, floor: int, done: int) -> None:
    span = Span(start, start + length, longest, min(floor, start + length + 1))
    found = list(span.windows(Mark(start + min(done, length))))
    assert found[0][0] == start + min(done, length)
    assert found[-1][1] == start + length
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(found))
    wanted = [one for one in found if one[0] >= span.oldest_ms]
    assert all(last - first <= longest for first, last in wanted), "the last moment of a range may come along"


@pytest.mark.parametrize(
    ("form", "step_ms"),
    [("unix", 1_000), ("unix_ms", 1), ("rfc3339", 1), ("%Y-%m-%d %H:%M", 60_000), ("%Y-%m-%d", 86_400_000)],
)
@given(milliseconds=st.integers(0, 2 * 10**12))
def test_the_end_of_a_window_is_written_as_the_next_time_that_can_be(
    form: str, step_ms: int, milliseconds: int
) -> None:
    assert rounded_up(parse_format(form), milliseconds) == -(-milliseconds // step_ms) * step_ms
