"""What a request says of series: labels, values, timestamps, and the symbols of 2.0."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence

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


# --- Every series -----------------------------------------------------------------------------------------------------

OF_EACH: dict[str, Callable[[Series], object]] = {
    "MUST: label names are sorted lexicographically":
        lambda one: one.pairs == tuple(sorted(one.pairs, key=lambda pair: pair[0].encode())),
    "MUST NOT: a label name is not repeated within a series":
        lambda one: len(one.labels) == len(one.pairs),
    "MUST NOT: no label has an empty name or an empty value":
        lambda one: all(name and value for name, value in one.pairs),
    "SHOULD: every series has a label __name__":
        lambda one: one.name,
    "MUST: a metric name matches [a-zA-Z_:]([a-zA-Z0-9_:])*":
        lambda one: METRIC_NAME.fullmatch(one.name),
    "MUST: a label name matches [a-zA-Z_]([a-zA-Z0-9_])*":
        lambda one: all(LABEL_NAME.fullmatch(name) for name in one.labels),
    "SHOULD NOT: label names that begin with two underscores are reserved, and are not sent":
        lambda one: {name for name in one.labels if name.startswith("__")} == {"__name__"},
    "MUST NOT: no stale marker for a series that goes on, and none because the process ends":
        lambda one: all(bits(sample.value) != STALE_BITS for sample in one.samples),
    "MUST: a TimeSeries has at least one sample or histogram (an exemplar in 1.0)":
        lambda one: one.samples or one.histograms or (one.exemplars and one.metadata is None),
    "MUST NOT: a TimeSeries has not samples and histograms":
        lambda one: not (one.samples and one.histograms),
    "MUST: timestamps are milliseconds since the epoch: not seconds, and not nanoseconds":
        lambda one: all(1e12 < stamp < 1e16 for stamp in one.stamps),
}  # fmt: skip


@pytest.mark.parametrize("sentence", OF_EACH)
def test_each_series(writes: list[Write], sentence: str) -> None:
    assert [one for one in every(writes) if not OF_EACH[sentence](one)] == []


# --- Labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "labels"), [
    pytest.param("clash", {"exported_job": "mine", "exported_instance": "here", "job": "text"},
                 id="SHOULD: labels of the page that have the target's names are kept under names of their own"),
    pytest.param("unicode", pages.UNICODE, id="MUST: label values may hold any Unicode characters, and are kept"),
    pytest.param("escaped", pages.ESCAPED,
                 id="MUST: quotes, backslashes and line feeds of label values are kept, and not their escapes"),
    pytest.param("long_value", {"value": pages.LONG_VALUE}, id="SHOULD: a label value of ten thousand bytes is kept"),
    pytest.param("long_label", {pages.LONG_LABEL: "v"}, id="SHOULD: long label names are kept"),
    pytest.param(pages.LONG_NAME, {}, id="SHOULD: long metric names are kept"),
    pytest.param("many", pages.MANY, id="SHOULD: a series with many labels is sent with all of them"),
])  # fmt: skip
def test_labels_are_kept(writes: list[Write], name: str, labels: dict[str, str]) -> None:
    (first, *_) = all_series(writes, name)
    assert first.labels.items() >= labels.items()
    assert first.labels["instance"] not in labels.values()


def test_sorted_by_bytes(writes: list[Write]) -> None:
    """MUST: the order is that of the bytes: capitals and the underscore come before small letters."""
    (first, *_) = all_series(writes, "ordered")
    own = [name for name, _ in first.pairs if name not in ("instance", "job", "region")]
    assert own == ["Alpha", "__name__", "_under", "a", "a_b", "zebra"]


def test_complete_set(writes: list[Write]) -> None:
    """MUST: the complete set of labels is sent with each sample: target and external ones in every request."""
    found = all_series(writes, "room_celsius", room="attic")
    assert len({sample.ms for one in found for sample in one.samples}) >= 3
    for one in found:
        assert one.labels.items() >= TARGET_LABELS.items()
        assert one.labels["instance"]
        assert set(one.labels) == {"__name__", "room", "instance", "job", "region"}


# --- Values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [
    pytest.param("http:request:duration:seconds", 0.5, id="MUST: metric names with colons are kept"),
    pytest.param("last_line", 1, id="SHOULD: the last line of a page counts, with or without a line feed"),
])  # fmt: skip
def test_lines_are_kept(writes: list[Write], name: str, value: float) -> None:
    assert values_of(writes, name)[0] == value


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


@pytest.mark.parametrize("job", ["text", "openmetrics", "protobuf"])
def test_up(writes: list[Write], job: str) -> None:
    """SHOULD: a scrape says of itself that it went well, what it took and what it found."""
    assert set(values_of(writes, "up", job=job)) == {1.0}
    for name in ("scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"):
        assert values_of(writes, name, job=job)
    assert values_of(writes, "scrape_series_added", job=job)[0] > 0
    assert values_of(writes, "scrape_series_added", job=job)[-1] == 0


# --- Timestamps -------------------------------------------------------------------------------------------------------


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


def label_refs(one: Write) -> list[Sequence[int]]:
    """Of series and of exemplars."""
    return [
        refs
        for series in one.message.timeseries
        for refs in (series.labels_refs, *(exemplar.labels_refs for exemplar in series.exemplars))
    ]


def all_refs(one: Write) -> set[int]:
    """Of labels, of help and unit."""
    described = {
        ref for series in one.message.timeseries for ref in (series.metadata.help_ref, series.metadata.unit_ref)
    }
    return described.union(*label_refs(one))


SYMBOLS: dict[str, Callable[[Write], object]] = {
    "MUST: the first symbol is the empty string":
        lambda one: one.message.symbols[0] == "",
    "MUST: the table of symbols is deduplicated":
        lambda one: len(set(one.message.symbols)) == len(one.message.symbols),
    "MUST: every reference is an index of the table; SHOULD: the table holds what is referred to, and no more":
        lambda one: all_refs(one) | {0} == set(range(len(one.message.symbols))),
    "MUST: references of labels come in pairs":
        lambda one: all(len(refs) % 2 == 0 for refs in label_refs(one)),
    "MUST: a series has labels":
        lambda one: all(len(series.labels_refs) > 0 for series in one.message.timeseries),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SYMBOLS)
def test_symbols(v2: list[Write], sentence: str) -> None:
    assert [one for one in v2 if not SYMBOLS[sentence](one)] == []


def test_text_as_it_is(v1: list[Write]) -> None:
    """MUST: a 1.0 message has no table of symbols; each label carries its text."""
    assert all(label.name and label.value for one in v1 for series in one.message.timeseries for label in series.labels)


def test_same_in_both(v1: list[Write], v2: list[Write]) -> None:
    """SHOULD: what is sent does not depend on the protocol: the same series with the same samples."""
    assert {one.pairs for one in every(v1)} == {one.pairs for one in every(v2)}
