"""One endpoint's view of the series: its `write_relabel_configs`, its order, and the limits of its receiver."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Samples, Series
from lambda_remote_write.remote_write.relabelled_series import RelabelledSeries
from lambda_remote_write.series import label_codec
from lambda_remote_write.series.cache import AMP_LIMITS, SeriesCache, SeriesLimits
from lambda_remote_write.series.order import order
from tests.rig import made
from tests.rig.tables import table

NONE, UTF8 = SeriesLimits(), SeriesLimits(utf8_names=True)


def view_of(rules: str, limits: SeriesLimits = NONE) -> RelabelledSeries:
    text = f"json_configs: []\nremote_write:\n  - url: http://127.0.0.1/\n    write_relabel_configs: {rules}\n"
    (endpoint,) = parse_config(text, "config.yaml", {}).endpoints
    return RelabelledSeries(endpoint.write_relabel, limits)


def apply_write_relabel(view: RelabelledSeries, samples: Samples, dropped: ReasonCounts) -> Samples:
    """What an endpoint gets: relabelled, and in order again."""
    return order(view.apply(samples, dropped), dropped)


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


M = {"__name__": "m"}
A, B = M | {"host": "a"}, M | {"host": "b"}
MERGE = "[{action: labeldrop, regex: host}]"


@table("rules, points, expected, dropped", [
    ("a dropped series is counted", "[{source_labels: [host], regex: a, action: drop}]",
     [(A, 1.0, 10), (B, 2.0, 10)], [(B, 2.0, 10)], {"write_relabel": 1}),
    ("renamed", "[{source_labels: [__name__], target_label: __name__, replacement: 'x_$1'}]",
     [(A, 1.0, 10), (B, 2.0, 10)], [(A | {"__name__": "x_m"}, 1.0, 10), (B | {"__name__": "x_m"}, 2.0, 10)], {}),
    ("merged at one time: no duplicate", MERGE,
     [(A, 1.0, 10), (B, 2.0, 10)], [(M, 1.0, 10)], {"not_newer": 1}),
    ("merged at several times: sorted", MERGE,
     [(A, 1.0, 20), (B, 2.0, 10), (A, 3.0, 30), (B, 4.0, 25)],
     [(M, 2.0, 10), (M, 1.0, 20), (M, 4.0, 25), (M, 3.0, 30)], {}),
    ("renamed to what is no name", "[{target_label: __name__, replacement: 'not a name'}]",
     [(A, 1.0, 10)], [], {"invalid_metric_name": 1}),
    ("name dropped", "[{regex: __name__, action: labeldrop}]", [(A, 1.0, 10)], [], {"invalid_metric_name": 1}),
])  # fmt: skip
def test_what_an_endpoint_sees_after_its_relabelling(
    rules: str, points: list[made.Point], expected: list[made.Point], dropped: dict[str, int]
) -> None:
    assert seen_through(rules, points) == (expected, dropped)


def test_the_rules_see_external_labels() -> None:
    """As in Prometheus: `write_relabel_configs` come after `external_labels`."""
    found, _ = seen_through(
        "[{source_labels: [env], regex: prod, action: drop}]", [(A, 1.0, 10)], made.cache((("env", "prod"),))
    )
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
