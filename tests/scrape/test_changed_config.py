"""Several runs of one warm environment against a receiver that refuses what comes twice, late or out of order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.scrape.json_scraper import JsonScraper
from sandbox.server import Fault
from tests.rig.json_source import NOW_MS, SYNTHETIC, Rig, dropped

MINUTE_MS = 60_000
TIMED = (
    '{name: requests_total, type: counter, records: "[]", value: v, labels: {n: n, k: k}, '
    "timestamp: {path: t, format: unix}}"
)
Document = list[dict[str, Any]]


def run_all(rig: Rig, app: App, documents: Iterable[Document]) -> list[dict[str, Any]]:
    """One run a minute, each with its document; no request may be refused and no series comes out of order."""
    reports = []
    for document in documents:
        rig.serve(json.dumps(document))
        reports.append(app.handle({}, None))
        rig.clock.ms += MINUTE_MS
    assert rig.receiver.refused == 0
    assert [record.status for record in rig.receiver.requests if record.status != 200] == []
    for labels, points in rig.receiver.samples.items():
        stamps = [ms for ms, _ in points]
        assert stamps == sorted(set(stamps)), labels
    for report in reports:
        for endpoint in report["endpoints"]:
            gone = sum(entry["count"] for entry in endpoint["dropped"].values())
            assert endpoint["collected"] == endpoint["accepted"] + gone
    return reports


def minute(rig: Rig, ago: int = 0) -> int:
    """A unix time on the minute, `ago` minutes before the first run."""
    return NOW_MS // MINUTE_MS * 60 - 60 * ago


def test_the_last_20_points_each_time_arrive_once_and_in_order(rig: Rig) -> None:
    def points(run: int) -> Document:
        return [{"n": n, "v": 1000 - ago + run, "t": minute(rig, ago - run)} for n in ("a", "b") for ago in range(20)]

    reports = run_all(rig, rig.app(rig.job(TIMED)), map(points, range(5)))
    assert [dropped(report) for report in reports] == [{}] + [{"not_newer": 38}] * 4
    for n in ("a", "b"):
        (arrived,) = rig.receiver.series("requests_total", n=n).values()
        assert arrived == [(minute(rig, 19 - i) * 1000, 981 + i) for i in range(24)]


def test_a_label_that_comes_and_goes_makes_two_series_and_no_refusal(rig: Rig) -> None:
    documents: list[Document] = []
    for run in range(6):
        record: dict[str, Any] = {"n": "a", "v": run, "t": minute(rig, -run)}
        documents.append([record | ({"k": "x"} if run % 2 else {})])
    reports = run_all(rig, rig.app(rig.job(TIMED)), documents)
    t = minute(rig)
    assert rig.lines() == sorted(
        [f'requests_total{{k="x",n="a"}} {run} @{t + 60 * run}000' for run in (1, 3, 5)]
        + [f'requests_total{{n="a"}} {run} @{t + 60 * run}000' for run in (0, 2, 4)]
    )
    assert [dropped(report) for report in reports] == [{}] * 6


def test_without_own_timestamps_every_run_gives_one_sample_at_its_start(rig: Rig) -> None:
    metric = '{name: m, records: "[]", value: v}'
    run_all(rig, rig.app(rig.job(metric)), [[{"v": 1}], [{"v": 1}], [{"v": 2}]])
    assert rig.lines() == [f"m {v} @{NOW_MS + run * MINUTE_MS}" for run, v in enumerate((1, 1, 2))]


def test_a_clock_that_does_not_move_drops_the_second_run(rig: Rig) -> None:
    rig.serve('{"v":1}')
    app = rig.app(rig.job("{name: m, value: v}"))
    app.handle({}, None)
    report = app.handle({}, None)
    assert dropped(report) == {"not_newer": 6}
    assert rig.receiver.refused == 0


def test_two_jobs_that_give_one_series_are_no_refusal(rig: Rig) -> None:
    rig.serve('{"v":1,"j":"same","i":"same"}')
    metric = "{name: m, value: v, labels: {job: j, instance: i}}"
    report = rig.push(rig.job(metric, keys="honor_labels: true"), rig.job(metric, name="k", keys="honor_labels: true"))
    assert rig.receiver.refused == 0
    assert dropped(report) == {"not_newer": 1}
    assert rig.lines() == [f"m 1 @{NOW_MS}"]


def test_a_drop_is_explained_in_every_run(rig: Rig) -> None:
    """What was refused once is remembered, with its words."""
    drop = "{source_labels: [n], regex: a, action: drop}"
    rename = "{source_labels: [k], regex: '(.+)', target_label: __name__, replacement: '$1-'}"
    keys = f"metric_relabel_configs: [{drop}, {rename}]"
    app = rig.app(rig.job('{name: m, records: "[]", value: v, labels: {n: n, k: k}}', keys=keys))
    reports = run_all(rig, app, [[{"v": 1, "n": "a"}, {"v": 1, "k": "b"}]] * 2)
    first, second = ({k: e["example"] for k, e in report["jobs"][0]["dropped"].items()} for report in reports)
    assert first == second
    assert "metric_relabel_configs" in first["metric_relabel"]
    assert "b-" in first["invalid_metric_name"]


def test_label_values_without_end_that_relabelling_removes_stay_bounded(rig: Rig) -> None:
    """Memory of a warm environment is bounded, also for identities that give no series of their own."""
    app = rig.app(
        rig.job(
            '{name: m, records: "[]", value: v, labels: {id: id}, duplicates: sum}',
            keys="metric_relabel_configs: [{regex: id, action: labeldrop}]",
        )
    )
    documents = ([{"v": 1, "id": f"{run}-{index}"} for index in range(3000)] for run in range(12))
    run_all(rig, app, documents)
    assert [value for _, value in next(iter(rig.receiver.series("m").values()))] == [3000.0] * 12
    (environment,) = app._environments.values()
    (scraper,) = environment.sources()
    assert isinstance(scraper, JsonScraper)
    (metric,) = scraper.reader.mapper._metrics
    assert len(metric._series) <= 30_000


# --- The synthetic series --------------------------------------------------------------------------------------------


def test_synthetic_series_carry_job_instance_and_job_labels(rig: Rig) -> None:
    rig.serve('{"v":1}')
    rig.push(rig.job("{name: m, value: v}", keys="labels: {team: billing}"))
    instance = rig.api.url.removeprefix("http://")
    for name in SYNTHETIC:
        (labels,) = rig.receiver.series(name)
        assert dict(labels) == {"__name__": name, "job": "j", "instance": instance, "team": "billing"}
        ((stamp, _),) = rig.receiver.samples[labels]
        assert stamp == NOW_MS


RUNS = [
    ("first", ["a", "b"], (1, 2, 2, 2)),
    ("the same again", ["a", "b"], (1, 2, 2, 0)),
    ("one new", ["a", "b", "c"], (1, 3, 3, 1)),
    ("one gone", ["a", "b"], (1, 2, 2, 0)),
    ("it comes back", ["a", "b", "c"], (1, 3, 3, 1)),
    ("the scrape fails", None, (0, 0, 0, 0)),
    ("after a failure nothing is new", ["a", "b", "c"], (1, 3, 3, 0)),
    ("a record that relabelling drops", ["a", "b", "c", "drop"], (1, 4, 3, 0)),
    ("a duplicate counts as scraped and as left after relabelling", ["a", "b", "c", "a"], (1, 4, 4, 0)),
    ("nothing", [], (1, 0, 0, 0)),
    ("all again", ["a", "b"], (1, 2, 2, 2)),
]


def test_synthetic_values_are_those_that_prometheus_defines(rig: Rig) -> None:
    """up, scrape_samples_scraped, scrape_samples_post_metric_relabeling, scrape_series_added, run after run."""
    keys = "metric_relabel_configs: [{source_labels: [n], regex: drop, action: drop}]"
    app = rig.app(rig.job('{name: m, records: "[]", value: "1", labels: {n: n}}', keys=keys))
    for about, names, expected in RUNS:
        rig.serve("not json" if names is None else json.dumps([{"n": name} for name in names]))
        app.handle({}, None)
        found = tuple(rig.value(name) for name in ("up", *SYNTHETIC[2:]))
        assert found == expected, about
        rig.clock.ms += MINUTE_MS
    assert rig.receiver.refused == 0


def test_samples_too_far_ahead_are_scraped_and_left_after_relabelling(rig: Rig) -> None:
    rig.serve(f'[{{"n":"a","v":1,"t":{NOW_MS // 1000 + 700}}},{{"n":"b","v":1,"t":{NOW_MS // 1000}}}]')
    rig.push(rig.job(TIMED))
    assert [rig.value(name) for name in SYNTHETIC[2:4]] == [2, 2]


def test_scrape_duration_is_seconds_of_the_whole_scrape(rig: Rig) -> None:
    rig.serve('{"v":1}')
    rig.api.script(Fault.delay(0.2))
    rig.push(rig.job("{name: m, value: v}"))
    assert 0.2 <= rig.value("scrape_duration_seconds") < 20


@pytest.mark.parametrize("count", [1, 3], ids=["one metric", "three metrics"])
def test_series_added_counts_a_series_once(rig: Rig, count: int) -> None:
    rig.serve('[{"v":1},{"v":2}]')
    metrics = [f'{{name: m{index}, records: "[]", value: v}}' for index in range(count)]
    rig.push(rig.job(*metrics))
    assert rig.value("scrape_series_added") == count


def test_connections_are_kept_over_runs(rig: Rig) -> None:
    rig.serve('{"v":1}')
    app = rig.app(rig.job("{name: m, value: v}"))
    for _ in range(3):
        app.handle({}, None)
        rig.clock.ms += MINUTE_MS
    assert rig.api.connections == 1


def test_the_order_of_the_report_is_the_order_of_the_config(rig: Rig) -> None:
    rig.serve('{"v":1}')
    delays: Callable[[int], Fault] = lambda index: Fault.delay(0.05 * (3 - index))  # noqa: E731
    rig.api.script(*map(delays, range(3)))
    report = rig.push(*(rig.job("{name: m, value: v}", name=name) for name in ("x", "y", "z")))
    assert [job["job"] for job in report["jobs"]] == ["x", "y", "z"]
