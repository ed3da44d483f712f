"""What a request says of series: labels, values, timestamps, and the symbols of 2.0."""

from __future__ import annotations

import re
import struct

import pytest

from tests.rig import compliance_pages as pages
from tests.rig.compliance import STALE_BITS, Run, Series, Write, all_series, stamps_of, values_of

pytestmark = pytest.mark.slow

METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
TARGET_LABELS = {"job": "text", "region": "eu"}


def every(writes: list[Write]) -> list[Series]:
    found = [one for write in writes for one in write.series]
    assert found
    return found


def bits(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


# --- Labels -----------------------------------------------------------------------------------------------------------


def test_sorted(writes: list[Write]) -> None:
    """MUST: label names are sorted lexicographically."""
    for one in every(writes):
        names = [name.encode() for name, _ in one.pairs]
        assert names == sorted(names)


def test_sorted_by_bytes(writes: list[Write]) -> None:
    """MUST: the order is that of the bytes: capitals and the underscore come before small letters."""
    (first, *_) = all_series(writes, "ordered")
    own = [name for name, _ in first.pairs if name not in ("instance", "job", "region")]
    assert own == ["Alpha", "__name__", "_under", "a", "a_b", "zebra"]


def test_no_repeated_names(writes: list[Write]) -> None:
    """MUST NOT: a label name is not repeated within a series."""
    for one in every(writes):
        assert len(one.labels) == len(one.pairs)


def test_no_empty_labels(writes: list[Write]) -> None:
    """MUST NOT: no label has an empty name or an empty value."""
    assert all_series(writes, "ordered")
    for one in every(writes):
        assert all(name and value for name, value in one.pairs), one.pairs


def test_metric_name(writes: list[Write]) -> None:
    """SHOULD: every series has a label __name__."""
    assert all(one.name for one in every(writes))


def test_metric_names_match(writes: list[Write]) -> None:
    """MUST: a metric name matches [a-zA-Z_:]([a-zA-Z0-9_:])*."""
    assert all(METRIC_NAME.fullmatch(one.name) for one in every(writes))


def test_label_names_match(writes: list[Write]) -> None:
    """MUST: a label name matches [a-zA-Z_]([a-zA-Z0-9_])*."""
    assert all(LABEL_NAME.fullmatch(name) for one in every(writes) for name, _ in one.pairs)


def test_reserved_names(writes: list[Write]) -> None:
    """SHOULD NOT: label names that begin with two underscores are reserved, and are not sent."""
    sent = {name for one in every(writes) for name, _ in one.pairs if name.startswith("__")}
    assert sent == {"__name__"}


def test_complete_set(writes: list[Write]) -> None:
    """MUST: the complete set of labels is sent with each sample: target and external ones in every request."""
    found = all_series(writes, "room_celsius", room="attic")
    assert len({sample.ms for one in found for sample in one.samples}) >= 3
    for one in found:
        assert one.labels.items() >= TARGET_LABELS.items()
        assert one.labels["instance"]
        assert set(one.labels) == {"__name__", "room", "instance", "job", "region"}


def test_clashing_labels(writes: list[Write]) -> None:
    """SHOULD: labels of the page that have the target's names are kept under names of their own."""
    (first, *_) = all_series(writes, "clash")
    assert first.labels.items() >= {"exported_job": "mine", "exported_instance": "here", "job": "text"}.items()
    assert first.labels["instance"] != "here"


def test_colons(writes: list[Write]) -> None:
    """MUST: metric names with colons are kept."""
    assert values_of(writes, "http:request:duration:seconds")[0] == 0.5


def test_unicode_values(writes: list[Write]) -> None:
    """MUST: label values may hold any Unicode characters, and are kept."""
    (first, *_) = all_series(writes, "unicode")
    assert first.labels.items() >= pages.UNICODE.items()


def test_escaped_values(writes: list[Write]) -> None:
    """MUST: quotes, backslashes and line feeds of label values are kept, and not their escapes."""
    (first, *_) = all_series(writes, "escaped")
    assert first.labels.items() >= pages.ESCAPED.items()


def test_long_values(writes: list[Write]) -> None:
    """SHOULD: a label value of ten thousand bytes is kept."""
    assert all_series(writes, "long_value", value=pages.LONG_VALUE)


def test_long_names(writes: list[Write]) -> None:
    """SHOULD: long metric and label names are kept."""
    assert all_series(writes, pages.LONG_NAME)
    assert all_series(writes, "long_label", **{pages.LONG_LABEL: "v"})


def test_many_labels(writes: list[Write]) -> None:
    """SHOULD: a series with many labels is sent with all of them."""
    (first, *_) = all_series(writes, "many")
    assert first.labels.items() >= pages.MANY.items()


def test_last_line(writes: list[Write]) -> None:
    """SHOULD: the last line of a page counts, with or without a line feed."""
    assert values_of(writes, "last_line")[0] == 1


# --- Values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", pages.VALUES)
def test_value(writes: list[Write], kind: str) -> None:
    """MUST: values are 64-bit floats, exact to the last bit."""
    _, meant = pages.VALUES[kind]
    found = values_of(writes, "values", kind=kind)
    assert found
    assert {bits(value) for value in found} == {bits(meant)}


def test_nan(writes: list[Write]) -> None:
    """MUST: NaN is sent as NaN, and never with the bits that are reserved for the stale marker."""
    found = values_of(writes, "nothing")
    assert found
    assert all(value != value and bits(value) != STALE_BITS for value in found)


def test_no_markers_without_cause(writes: list[Write]) -> None:
    """MUST NOT: no stale marker for a series that goes on, and none because the process ends."""
    assert not [one.name for one in every(writes) for sample in one.samples if bits(sample.value) == STALE_BITS]


def test_one_or_the_other(writes: list[Write]) -> None:
    """MUST: a TimeSeries has at least one sample or histogram (an exemplar in 1.0), and not samples and histograms."""
    for one in every(writes):
        assert one.samples or one.histograms or (one.exemplars and one.metadata is None)
        assert not (one.samples and one.histograms)


@pytest.mark.parametrize("job", ["text", "openmetrics", "protobuf"])
def test_up(writes: list[Write], job: str) -> None:
    """SHOULD: a scrape says of itself that it went well, what it took and what it found."""
    assert set(values_of(writes, "up", job=job)) == {1.0}
    for name in ("scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"):
        assert values_of(writes, name, job=job)
    assert values_of(writes, "scrape_series_added", job=job)[0] > 0
    assert values_of(writes, "scrape_series_added", job=job)[-1] == 0


# --- Timestamps -------------------------------------------------------------------------------------------------------


def test_milliseconds(writes: list[Write]) -> None:
    """MUST: timestamps are milliseconds since the epoch: not seconds, and not nanoseconds."""
    for one in every(writes):
        assert all(1e12 < stamp < 1e16 for stamp in one.stamps)


def test_time_of_the_scrape(steady: Run, writes: list[Write]) -> None:
    """SHOULD: a sample without a timestamp of its own has the time of its scrape."""
    for write in writes:
        for one in write.named("room_celsius"):
            assert steady.started_at * 1000 <= min(one.stamps)
            assert max(one.stamps) <= write.received_at * 1000


def test_one_time_for_a_scrape(writes: list[Write]) -> None:
    """SHOULD: all samples of a scrape have the same timestamp, its own metrics too."""
    assert set(stamps_of(writes, "up", job="text")) == set(stamps_of(writes, "last_line"))


def test_stamps_of_the_page(writes: list[Write]) -> None:
    """SHOULD: a timestamp of the page is kept, in milliseconds from text and in seconds from OpenMetrics."""
    assert set(stamps_of(writes, "stamped")) == {pages.STAMPED_MS}
    assert set(stamps_of(writes, "dated")) == {pages.STAMPED_MS}


def test_oldest_first(writes: list[Write]) -> None:
    """MUST: samples of a series are sent in the order of their timestamps, within a request and from one to the next,
    and no sample twice."""
    newest: dict[tuple[tuple[str, str], ...], int] = {}
    for one in every(writes):
        for stamp in one.stamps:
            assert newest.get(one.pairs, 0) < stamp, one.pairs
            newest[one.pairs] = stamp


def test_batched(writes: list[Write]) -> None:
    """SHOULD: samples of many series go in one request."""
    assert max(len({one.pairs for one in write.series}) for write in writes) >= 50


# --- Symbols of 2.0 ---------------------------------------------------------------------------------------------------


def test_first_symbol(v2: list[Write]) -> None:
    """MUST: the first symbol is the empty string."""
    assert all(one.message.symbols[0] == "" for one in v2)


def test_symbols_once(v2: list[Write]) -> None:
    """MUST: the table of symbols is deduplicated."""
    for one in v2:
        assert len(set(one.message.symbols)) == len(one.message.symbols)


def test_no_symbol_for_nothing(v2: list[Write]) -> None:
    """SHOULD: the table holds what the request refers to, and no more."""
    for one in v2:
        used = {0}
        for series in one.message.timeseries:
            used.update(series.labels_refs, [series.metadata.help_ref, series.metadata.unit_ref])
            used.update(ref for exemplar in series.exemplars for ref in exemplar.labels_refs)
        assert used == set(range(len(one.message.symbols)))


def test_references(v2: list[Write]) -> None:
    """MUST: every reference is an index of the table: of labels, of exemplars' labels, of help and unit."""
    for one in v2:
        count = len(one.message.symbols)
        for series in one.message.timeseries:
            exemplars = [ref for exemplar in series.exemplars for ref in exemplar.labels_refs]
            described = [series.metadata.help_ref, series.metadata.unit_ref]
            assert all(ref < count for ref in [*series.labels_refs, *exemplars, *described])


def test_pairs(v2: list[Write]) -> None:
    """MUST: references of labels come in pairs."""
    for one in v2:
        for series in one.message.timeseries:
            assert len(series.labels_refs) % 2 == 0
            assert len(series.labels_refs) > 0
            assert all(len(exemplar.labels_refs) % 2 == 0 for exemplar in series.exemplars)


def test_text_as_it_is(v1: list[Write]) -> None:
    """MUST: a 1.0 message has no table of symbols; each label carries its text."""
    assert all(label.name and label.value for one in v1 for series in one.message.timeseries for label in series.labels)


def test_same_in_both(v1: list[Write], v2: list[Write]) -> None:
    """SHOULD: what is sent does not depend on the protocol: the same series with the same samples."""
    assert {one.pairs for one in every(v1)} == {one.pairs for one in every(v2)}
