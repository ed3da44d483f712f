"""The bench of the scrape path runs, and everything arrives. What it measures is not judged here."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import backfill, fan_out, fleet, http, pages, scrape, scrape_table, spool
from bench.agents import AGENTS

pytestmark = pytest.mark.slow

PLAN = scrape.Plan((scrape.Round(70, 1, 3, 2, 1.0),), scrape.CrowdPlan(6, 5, 0.1, 2))


@pytest.mark.peer  # beside those that are there
def test_the_scrape_bench_measures_everybody() -> None:
    detail: list[str] = []
    results = scrape.measured(PLAN, detail.append)  # fails by itself when a sample does not arrive
    figures = results.sizes[70]
    present = [agent.name for agent in AGENTS if agent.path() and Path("/proc/self/task").exists()]
    assert list(figures) == [scrape.OURS, *present, scrape.SCRIPT]
    assert all(one.cold and one.warm and min(one.peak_mib) > 1 for one in figures.values())
    assert (results.crowd.ups, results.crowd.samples) == (6, 30)
    assert detail == ["70 series, round 1 of 1", "6 targets of 5 series, half of them after 0.1 s"]
    printed = scrape_table.printed(results)
    for name in figures:
        assert f"\n  {name} " in printed
    for agent in AGENTS:
        assert (f"{agent.name}: not on PATH" in printed) is (agent.name not in present)
    assert "6 targets of 5 series on one core" in printed
    assert "100% of the warm scrapes on a connection that was kept" in printed
    targets = printed.partition("Targets of the scrape path\n")[2].partition("\n\n")[0]  # fewer without peers
    verdicts = [line.split()[0] for line in targets.splitlines()]
    assert set(verdicts) <= {"reached", "MISSED"}
    assert json.loads(json.dumps(asdict(results)))["sizes"]["70"]  # as a file of numbers holds it


def test_a_page_has_as_many_series_as_it_should_and_other_values_at_every_scrape() -> None:
    text, total = pages.page(1_234, 3)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    values = [line.rpartition(" ")[2] for line in lines]
    later = [line.rpartition(" ")[2] for line in pages.page(1_234, 4)[0].splitlines() if not line.startswith("#")]
    assert len({line.rpartition(" ")[0] for line in lines}) == 1_234
    assert abs(sum(map(float, values)) - total) < 1e-3
    assert 0.28 < values.count("0") / len(values) < 0.4
    assert sum(before != after for before, after in zip(values, later, strict=True)) > 0.5 * len(values)


def test_the_bench_of_the_spool_measures_all_of_it() -> None:
    results = spool.measured(
        spool.Plan(((50, 3),), 4, 20), lambda detail: None
    )  # fails by itself when samples are missing
    assert (results.drained.entries, results.drained.samples) == (4, 5 * 25)
    assert results.per_run == {"get": 1}
    printed = spool.printed(results)
    assert "Drain of 4 entries" in printed
    assert printed.count("reached") + printed.count("MISSED") == 3


@pytest.mark.peer  # promtool, where it is there
def test_the_bench_of_the_backfill_measures_every_format() -> None:
    results = backfill.measured(
        backfill.Plan(4_000, 1), lambda detail: None
    )  # fails by itself when samples are missing
    assert set(results.ours) == {"ndjson", "csv", "openmetrics"}
    printed = backfill.printed(results)
    assert printed.count("reached") + printed.count("MISSED") == 4
    assert results.encoding > 0
    for name in results.missing:
        assert f"not on PATH: {name}" in printed


@pytest.mark.peer  # vmagent, where it is there
def test_the_bench_of_shards_measures_two_of_them_and_counts_dollars() -> None:
    results = fan_out.measured(fan_out.Plan(8, 20, 2), lambda detail: None)
    assert len(results.two) == 2
    assert results.growth > 0
    assert 6 < results.paper_growth(8) <= 8
    printed = fan_out.printed(results)
    assert "two side by side" in printed
    assert "10,000,000" in printed


def test_the_bench_of_http_measures_ways_in_turn() -> None:
    results = http.measured({1_000: 3}, lambda text: None)  # fails by itself when samples are missing
    assert {http.OURS, http.LEAST, "urllib3's pools"} <= set(results.imports)
    assert all(len(found) == 2 for found in results.pushes[1_000].values())
    printed = http.printed(results)
    for way in http.OTHERS:
        assert (f"{way}: not installed" in printed) is (way not in results.imports)
    assert printed.count("reached") + printed.count("MISSED") == 1


def test_the_bench_of_a_fleet_has_all_devices_up_and_never_more_than_eight_requests_at_one_address() -> None:
    """Six slow addresses of twelve are asked side by side; the forty paths of one take at least five turns of eight."""
    plan = fleet.Plan(fleet.Part(12, 6, 1.0), fleet.Part(40, 40, 0.2))
    results = fleet.measured(plan, lambda detail: None)  # fails by itself when a device is down or a sample is missing
    addresses, paths = results.addresses, results.paths
    assert (addresses.ups, addresses.samples, addresses.most) == (12, 12, 1)
    assert (paths.ups, paths.samples) == (40, 40)
    assert 1 < paths.most <= 8
    assert addresses.seconds >= 1.0
    assert paths.seconds >= 5 * 0.2
    printed = fleet.printed(results)
    assert f"at most {paths.most} at once" in printed
    assert "12 up, 12 samples" in printed
    assert printed.count("reached") + printed.count("MISSED") == 5


def test_what_a_load_costs_grows_with_it_and_the_smallest_instance_that_holds_it_is_found() -> None:
    """A microsecond a sample: ten million samples are ten seconds of a minute, two hundred need five shards."""
    assert fan_out.lambda_dollars(10_000_000, 1e-6)[0] == 1
    assert fan_out.lambda_dollars(200_000_000, 1e-6)[0] == 5
    assert fan_out.collector_dollars(1_000_000, 1e-6)[0] == "t4g.nano"
    assert fan_out.collector_dollars(20_000_000, 1e-6)[0] == "t4g.small"
    assert fan_out.collector_dollars(10**9, 1e-6)[0] == "3 x c7g.2xlarge"
