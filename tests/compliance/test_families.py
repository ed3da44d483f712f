"""What a request says beyond samples: metadata, exemplars, histograms, start timestamps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from lambda_remote_write.remote_write.encode.generated import types_pb2
from lambda_remote_write.remote_write.encode.generated.io.prometheus.write.v2 import types_pb2 as types_v2
from tests.rig import compliance_pages as pages
from tests.rig.compliance import Exemplar, Metadata, Run, Write, all_series

pytestmark = pytest.mark.slow

# A series -> what its family's TYPE, HELP and UNIT say.
DESCRIBED = {
    "room_celsius": Metadata("gauge", 'Temperature, "inside" and C:\\out\nside 🚀', ""),
    "jobs_total": Metadata("counter", "Jobs that were done", ""),
    "wait_seconds_bucket": Metadata("histogram", "", ""),
    "wait_seconds_sum": Metadata("histogram", "", ""),
    "wait_seconds_count": Metadata("histogram", "", ""),
    "answer_seconds": Metadata("summary", "Time to answer", ""),
    "answer_seconds_count": Metadata("summary", "Time to answer", ""),
    "no_type": Metadata("unspecified", "", ""),
    "requests_total": Metadata("counter", "Requests that were served", ""),
    "duration_seconds_bucket": Metadata("histogram", "Time to serve", "seconds"),
    "rpc_seconds_sum": Metadata("summary", "", "seconds"),
    "depth": Metadata("gauge", "", ""),
    "load_bucket": Metadata("gaugehistogram", "", ""),
    "build_info": Metadata("info", "", ""),
    "feature": Metadata("stateset", "", ""),
    "thing": Metadata("unspecified", "", ""),
    "native_seconds": Metadata("histogram", "Native", ""),
    "native_gauge": Metadata("gaugehistogram", "", ""),
    "served_total": Metadata("counter", "Served", ""),
    "old_seconds_bucket": Metadata("histogram", "Classic", "seconds"),
    "size_bytes": Metadata("summary", "", ""),
    "level": Metadata("gauge", "", ""),
}
# In 1.0, metadata is that of a family, under the name that its TYPE line has.
FAMILIES = {
    "room_celsius": DESCRIBED["room_celsius"],
    "jobs_total": DESCRIBED["jobs_total"],
    "wait_seconds": DESCRIBED["wait_seconds_sum"],
    "answer_seconds": DESCRIBED["answer_seconds"],
    "requests": DESCRIBED["requests_total"],
    "duration_seconds": DESCRIBED["duration_seconds_bucket"],
    "load": DESCRIBED["load_bucket"],
    "build": DESCRIBED["build_info"],
    "feature": DESCRIBED["feature"],
    "served_total": DESCRIBED["served_total"],
    "old_seconds": DESCRIBED["old_seconds_bucket"],
}


# --- Metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DESCRIBED)
def test_metadata_of_a_series(v2: list[Write], name: str) -> None:
    """SHOULD: each TimeSeries of 2.0 carries its family's type, help and unit."""
    found = all_series(v2, name)
    assert found
    assert {one.metadata for one in found} == {DESCRIBED[name]}


def test_no_metadata_without_a_page(v2: list[Write]) -> None:
    """MAY: a series whose family the page says nothing about has none, and no reference to a text."""
    for series in all_series(v2, "last_line"):
        assert series.metadata == Metadata("unspecified", "", "")


@pytest.mark.parametrize("name", FAMILIES)
def test_metadata_of_a_family(v1: list[Write], name: str) -> None:
    """MAY: a sender of 1.0 sends metadata on its own: type, name, help and unit of each family."""
    kinds = types_pb2.MetricMetadata.MetricType
    found = {
        Metadata(kinds.Name(one.type).lower(), one.help, one.unit)
        for write in v1
        for one in write.message.metadata
        if one.metric_family_name == name
    }
    assert found == {FAMILIES[name]}


def test_metadata_again(v1: list[Write]) -> None:
    """MAY: metadata of 1.0 is sent again every send_interval, so that a receiver that lost it learns it again."""
    times = [write for write in v1 if any(one.metric_family_name == "requests" for one in write.message.metadata)]
    assert len(times) >= 2
    assert times[-1].received_at - times[0].received_at < len(times) * 3


# --- Exemplars --------------------------------------------------------------------------------------------------------

EXEMPLARS = {
    "requests_total": Exemplar((("span_id", "def456"), ("trace_id", "abc123")), 0.5, pages.EXEMPLAR_MS),
    "duration_seconds_bucket": Exemplar((("trace_id", "in bucket"),), 0.05, pages.EXEMPLAR_MS),
    "native_seconds": Exemplar((("trace_id", "native"),), 1.5, pages.EXEMPLAR_MS),
    "served_total": Exemplar((("trace_id", "counter"),), 1.0, pages.EXEMPLAR_MS),
    "old_seconds_bucket": Exemplar((("trace_id", "classic"),), 0.25, pages.EXEMPLAR_MS),
}


@pytest.mark.parametrize("name", EXEMPLARS)
def test_exemplar(writes: list[Write], name: str) -> None:
    """SHOULD: exemplars are sent if the page has them, with their labels, their value and their timestamp in
    milliseconds, on the series to which they belong."""
    found = [exemplar for series in all_series(writes, name) for exemplar in series.exemplars]
    assert EXEMPLARS[name] in [Exemplar(tuple(sorted(one.pairs)), one.value, one.ms) for one in found]


def test_exemplars_of_two_buckets(writes: list[Write]) -> None:
    """SHOULD: each bucket has its own exemplar."""
    for le, trace in {"0.1": "in bucket", "0.5": "in another"}.items():
        found = all_series(writes, "duration_seconds_bucket", le=le)
        assert {dict(one.pairs)["trace_id"] for series in found for one in series.exemplars} == {trace}
    assert not any(series.exemplars for series in all_series(writes, "duration_seconds_bucket", le="+Inf"))


def test_exemplar_without_time(writes: list[Write]) -> None:
    """MUST: an exemplar has a timestamp; one without its own has that of its sample."""
    for series in all_series(writes, "requests_total", code="500"):
        for exemplar in series.exemplars:
            assert exemplar.pairs == (("user", "jan"),)
            assert exemplar.ms in series.stamps or not series.samples
    assert any(series.exemplars for series in all_series(writes, "requests_total", code="500"))


def test_exemplars_with_their_sample(v2: list[Write]) -> None:
    """MUST: a TimeSeries of 2.0 has at least one sample or histogram beside its exemplars."""
    for write in v2:
        assert all(series.samples or series.histograms for series in write.series if series.exemplars)


@pytest.mark.parametrize("path", ["v1-plain", "v2-plain"])
def test_no_exemplars_by_default(steady: Run, path: str) -> None:
    """MAY: exemplars are sent where send_exemplars says so, and by default are not."""
    assert all_series(steady.writes[path], "requests_total")
    assert not any(series.exemplars for write in steady.writes[path] for series in write.series)


# --- Histograms -------------------------------------------------------------------------------------------------------

CLASSIC = {
    "wait_seconds": ({"0.1": 50, "0.5": 150, "+Inf": 1e9}, 200.5, 1e9),
    "idle_seconds": ({"+Inf": 0}, 0, 0),
    "duration_seconds": ({"0.1": 50, "0.5": 80, "+Inf": 100}, 12.5, 100),
    "old_seconds": ({"0.5": 3, "+Inf": 4}, 1.5, 4),
}


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_histogram(writes: list[Write], name: str) -> None:
    """MUST: a classic histogram is sent as the series of its buckets, its sum and its count, all of one scrape."""
    buckets, total, count = CLASSIC[name]
    parts = {("_sum", ""): total, ("_count", ""): count} | {("_bucket", le): value for le, value in buckets.items()}
    stamps = []
    for (suffix, le), value in parts.items():
        found = all_series(writes, name + suffix, **({"le": le} if le else {}))
        assert {sample.value for one in found for sample in one.samples} == {value}
        stamps.append({sample.ms for one in found for sample in one.samples})
    assert all(each == stamps[0] for each in stamps)
    assert len(all_series(writes, f"{name}_bucket")) == len(buckets) * len(all_series(writes, f"{name}_count"))


def test_summary(writes: list[Write]) -> None:
    """MUST: a summary is sent as the series of its quantiles, its sum and its count."""
    for quantile, value in {"0.5": 0.05, "0.9": 0.1}.items():
        found = all_series(writes, "answer_seconds", quantile=quantile)
        assert {sample.value for one in found for sample in one.samples} == {value}
    assert all_series(writes, "answer_seconds_sum")
    assert all_series(writes, "answer_seconds_count")
    assert all_series(writes, "size_bytes", quantile="0.5")


def as_scraped(sent: Any) -> dict[str, Any]:
    """The fields of a histogram as it was sent, in the exposition format's words, timestamps left out."""
    return {
        "count": getattr(sent, sent.WhichOneof("count") or "count_int"),
        "zero_count": getattr(sent, sent.WhichOneof("zero_count") or "zero_count_int"),
        "sum": sent.sum,
        "schema": sent.schema,
        "zero_threshold": sent.zero_threshold,
        "spans": (spans(sent.positive_spans), spans(sent.negative_spans)),
        "deltas": (list(sent.positive_deltas), list(sent.negative_deltas)),
        "counts": (list(sent.positive_counts), list(sent.negative_counts)),
    }


def as_shown(name: str) -> dict[str, Any]:
    shown = pages.NATIVES.get(name, pages.NATIVE)
    return {
        "count": shown.sample_count or shown.sample_count_float,
        "zero_count": shown.zero_count or shown.zero_count_float,
        "sum": shown.sample_sum,
        "schema": shown.schema,
        "zero_threshold": shown.zero_threshold,
        "spans": (spans(shown.positive_span), spans(shown.negative_span)),
        "deltas": (list(shown.positive_delta), list(shown.negative_delta)),
        "counts": (list(shown.positive_count), list(shown.negative_count)),
    }


def spans(found: Iterable[Any]) -> list[tuple[int, int]]:
    return [(span.offset, span.length) for span in found]


@pytest.mark.parametrize("name", [*pages.NATIVES, "native_gauge"])
def test_native_histogram(writes: list[Write], name: str) -> None:
    """MUST: a native histogram is sent with its count, sum, schema, zero bucket, spans and buckets, as integers or as
    floats, as it was scraped."""
    found = [one for series in all_series(writes, name) for one in series.histograms]
    assert len({one.timestamp for one in found}) >= 3
    for one in found:
        assert as_scraped(one) == as_shown(name)


def test_kind_of_count(writes: list[Write]) -> None:
    """MUST: integer histograms have integer counts, float histograms float ones."""
    for name, kind in {"native_seconds": "int", "native_float": "float", "native_large": "int"}.items():
        for series in all_series(writes, name):
            for one in series.histograms:
                assert one.WhichOneof("count") == f"count_{kind}"
                assert one.WhichOneof("zero_count") == f"zero_count_{kind}"


def test_reset_hint(v1: list[Write], v2: list[Write]) -> None:
    """MUST: a histogram of gauges says that it is one; the others do not."""
    for writes, kinds in ((v1, types_pb2.Histogram), (v2, types_v2.Histogram)):
        gauge = kinds.ResetHint.Value("GAUGE" if writes is v1 else "RESET_HINT_GAUGE")
        for name in ("native_gauge", "native_seconds"):
            hints = {one.reset_hint for series in all_series(writes, name) for one in series.histograms}
            assert (hints == {gauge}) == (name == "native_gauge")


def test_native_instead_of_classic(writes: list[Write]) -> None:
    """MUST NOT: histograms and samples are not mixed in one TimeSeries, nor under one name."""
    for name in [*pages.NATIVES, "native_gauge"]:
        assert not any(series.samples for series in all_series(writes, name))
        assert not all_series(writes, f"{name}_count")


def test_time_of_a_histogram(writes: list[Write]) -> None:
    """MUST: a histogram has the timestamp of its scrape."""
    scraped = {sample.ms for series in all_series(writes, "level") for sample in series.samples}
    assert {one.timestamp for series in all_series(writes, "native_seconds") for one in series.histograms} == scraped


def test_no_native_histograms_by_default(steady: Run) -> None:
    """MAY: native histograms are sent with 1.0 where send_native_histograms says so, and by default are not."""
    assert all_series(steady.writes["v1-plain"], "level")
    assert not any(series.histograms for write in steady.writes["v1-plain"] for series in write.series)


# --- Start timestamps -------------------------------------------------------------------------------------------------

STARTED = [
    "requests_total", "duration_seconds_bucket", "duration_seconds_sum", "duration_seconds_count",
    "rpc_seconds", "rpc_seconds_sum", "rpc_seconds_count",
    "served_total", "old_seconds_bucket", "old_seconds_count", "size_bytes_count",
]  # fmt: skip


@pytest.mark.parametrize("name", STARTED)
def test_start_timestamp(v2: list[Write], name: str) -> None:
    """SHOULD: samples of counters, histograms and summaries have the start timestamp that the page names as
    created."""
    found = [sample.start_ms for series in all_series(v2, name) for sample in series.samples]
    assert found
    assert set(found) == {pages.STARTED_MS}


def test_start_timestamp_of_a_native_histogram(v2: list[Write]) -> None:
    """SHOULD: a cumulative native histogram has a start timestamp."""
    found = [one.start_timestamp for series in all_series(v2, "native_seconds") for one in series.histograms]
    assert set(found) == {pages.STARTED_MS}


@pytest.mark.parametrize("name", ["depth", "level", "room_celsius", "jobs_total", "up", "feature"])
def test_no_start_timestamp(v2: list[Write], name: str) -> None:
    """MUST: an unknown start is zero: that of a gauge, and of a counter whose page does not say when it began."""
    found = [sample.start_ms for series in all_series(v2, name) for sample in series.samples]
    assert set(found) == {0}


def test_start_before_sample(v2: list[Write]) -> None:
    """SHOULD: a start timestamp is not later than its sample's."""
    for write in v2:
        for series in write.series:
            assert all(sample.start_ms <= sample.ms for sample in series.samples)
            assert all(histogram.start_timestamp <= histogram.timestamp for histogram in series.histograms)
