"""`plan` tells what a push would send, and sends nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.plan import plan
from lambda_remote_write.report import cost
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}
HOSTS = [
    {"host": "a", "zone": "eu", "cpu_ms": 12},
    {"host": "b", "zone": "eu", "cpu_ms": 7},
    {"host": "c", "zone": "us", "cpu_ms": 1},
]


def planned(
    api: Api,
    job: str,
    *,
    receiver: Receiver | None = None,
    tick: str = "1m",
    more: str = "",
    records: Any = HOSTS,
    now_ms: int | None = None,
) -> dict[str, Any]:
    url = api.serve("/hosts", Answer.json(records))
    text = f"""
json_configs:
  - job_name: hosts
    url: {url}
{job}
remote_write:
  - url: {receiver.url if receiver else "http://127.0.0.1:1/write"}
    sigv4: {{region: us-east-1}}
{more}"""
    config = parse_config(text, "config.yaml", ENVIRONMENT | {"PUSHER_TICK": tick})
    clock = {"now_ms": lambda: now_ms} if now_ms is not None else {}
    return plan(config, Dependencies(ENVIRONMENT, **clock), time.monotonic() + 20)  # type: ignore[arg-type]


CPU = """
    metrics:
      - {name: cpu_seconds, type: gauge, help: CPU time., value: cpu_ms, scale: 0.001, labels: {host: host, zone: zone}}
"""


def test_nothing_is_sent_and_everything_is_counted(api: Api, receiver: Receiver) -> None:
    found = planned(api, CPU, receiver=receiver)
    assert receiver.requests == []
    (job,) = found["jobs"]
    assert (job["series"], job["samples"], job["records"]) == (3, 3 + 5, 3)
    assert job["cardinality"] == {"host": 3, "zone": 2, "__name__": 1, "instance": 1, "job": 1}
    (endpoint,) = found["endpoints"]
    assert (endpoint["samples"], endpoint["requests"], endpoint["url"]) == (8, 1, receiver.url)
    assert job["lint"] == []


def test_labels_are_shown_before_and_after_relabelling(api: Api) -> None:
    rules = """
    metric_relabel_configs:
      - {source_labels: [zone], regex: us, action: drop}
      - {source_labels: [zone], target_label: region}
      - {regex: zone, action: labeldrop}
"""
    (job,) = planned(api, CPU + rules)["jobs"]
    first, _, last = job["metrics"][0]["shown"]
    assert first["before"] | first["after"] == first["before"] | {"region": "eu"}
    assert set(first["after"]) == {"__name__", "job", "instance", "host", "region"}
    assert (last["before"]["zone"], last["after"], last["dropped_by_rule"]) == ("us", None, 0)
    assert job["dropped_by_rule"] == {"metric_relabel_configs[0]": 1}
    assert job["dropped"]["metric_relabel"]["count"] == 1


def test_drops_of_one_endpoint_are_shown_with_it(api: Api) -> None:
    rules = "    write_relabel_configs: [{source_labels: [__name__], regex: up, action: drop}]\n"
    (endpoint,) = planned(api, CPU, more=rules)["endpoints"]
    assert endpoint["samples"] == 7
    assert endpoint["dropped"]["write_relabel"]["count"] == 1


def test_a_job_that_is_down_is_in_the_plan_and_does_not_stop_it(api: Api) -> None:
    api.always(Fault.status(500))
    found = planned(api, CPU)
    (job,) = found["jobs"]
    assert (found["ok"], job["up"], job["series"]) == (False, 0, 0)
    assert "answered 500" in job["error"]


@pytest.mark.parametrize(
    ("metric", "detail"),
    [
        ("name: calls, type: counter, help: h", "calls: a counter's name ends in _total"),
        ("name: load_total, type: gauge, help: h", "load_total: only a counter's name ends in _total"),
        ("name: wait_ms, type: gauge, help: h", "wait_ms: use the base unit seconds"),
        ("name: used_percent, type: gauge, help: h", "used_percent: use the base unit ratio"),
        ("name: sent_megabytes_total, type: counter, help: h", "sent_megabytes_total: use the base unit bytes"),
        ("name: wait, type: gauge, help: h, unit: seconds", "wait: the name does not end in its unit, seconds"),
        ("name: wait, type: histogram, help: h", "wait: one value per record is no histogram"),
        ("name: wait, type: gauge", "wait: no help text"),
    ],
)
def test_lint(metric: str, detail: str, api: Api) -> None:
    (job,) = planned(api, f"    metrics: [{{{metric}, value: cpu_ms, labels: {{host: host}}}}]\n")["jobs"]
    assert len(job["lint"]) == 1
    assert job["lint"][0].startswith(detail)


def test_the_plan_shows_the_real_interval_of_one_below_the_tick(api: Api) -> None:
    found = planned(api, CPU, tick="5m")
    (job,) = found["jobs"]
    assert job["interval"] == "5m"
    (warning,) = [one for one in (*found["warnings"], *job["lint"]) if "tick" in one]
    assert "the real interval is 5m" in warning


def test_too_many_labels_are_in_the_plan(api: Api) -> None:
    labels = ", ".join(f"l{number}: \"'x'\"" for number in range(40))
    (job,) = planned(api, f"    metrics: [{{name: a, help: h, value: cpu_ms, labels: {{{labels}}}}}]\n")["jobs"]
    assert any("43 labels" in message for message in job["lint"])


def test_the_estimate_is_samples_times_price(api: Api) -> None:
    """8 samples a minute over a month of 730 hours; the first 40 million are free."""
    estimate = planned(api, CPU)["estimate"]
    assert estimate == {"samples_per_month": 8 * 43_800, "amp_usd_per_month": 0.0}


@pytest.mark.parametrize(
    ("series", "interval_seconds", "dollars"),
    [(1_000, 60, 0.34), (1_000, 15, 12.17), (10_000, 60, 35.82)],
    ids=["1,000 every minute", "1,000 every 15 s", "10,000 every minute"],
)
def test_amp_prices_as_worked_out_by_hand(series: int, interval_seconds: int, dollars: float) -> None:
    assert cost.ingestion_usd(cost.samples_per_month(series, interval_seconds)) == dollars


def test_amp_prices_fall_with_the_tiers() -> None:
    """2 billion at 0.90, 250 billion at 0.35, the rest at 0.16 dollars per ten million."""
    assert cost.ingestion_usd(cost.FREE_SAMPLES + 2_000_000_000) == 180.0
    assert cost.ingestion_usd(cost.FREE_SAMPLES + 252_000_000_000) == 180.0 + 8750.0
    assert cost.ingestion_usd(cost.FREE_SAMPLES + 262_000_000_000) == 180.0 + 8750.0 + 160.0


# --- What one sees of each metric -------------------------------------------------------------------------------------

NOW_MS = 1_800_000_000_000


def test_each_metrics_first_series_has_value_time_and_age(api: Api) -> None:
    metrics = "metrics: [{name: m, value: v, labels: {host: host}, timestamp: {path: at, format: unix}}]"
    records = [{"host": "a", "v": 7.5, "at": NOW_MS // 1000 - 90}]
    (job,) = planned(api, f"    {metrics}", records=records, now_ms=NOW_MS)["jobs"]
    (metric,) = job["metrics"]
    (shown,) = metric["shown"]
    assert (shown["value"], shown["timestamp_ms"], shown["age_seconds"]) == (7.5, NOW_MS - 90_000, 90.0)
    assert (metric["metric"], metric["series"], metric["not_shown"], metric["records"]) == ("m", 1, 0, 1)


def test_a_series_of_several_samples_shows_the_first_and_how_many_there_are(api: Api) -> None:
    metrics = "metrics: [{name: m, value: v, labels: {host: host}, timestamp: {path: at, format: unix}}]"
    at = NOW_MS // 1000
    records = [{"host": host, "v": age, "at": at - age} for host, age in (("a", 90), ("a", 60), ("a", 30), ("b", 10))]
    (job,) = planned(api, f"    {metrics}", records=records, now_ms=NOW_MS)["jobs"]
    (metric,) = job["metrics"]
    assert [(one["value"], one.get("samples")) for one in metric["shown"]] == [(90, 3), (10, None)]
    assert (metric["series"], metric["not_shown"]) == (2, 0)


def test_no_metric_is_hidden_behind_anothers_series(api: Api) -> None:
    metrics = """
    metrics:
      - {name: many, value: v, labels: {host: host}}
      - {name: one, records: "[:1]", value: v}
      - {name: renamed, value: w}
"""
    records = [{"host": f"h{index}", "v": index} for index in range(50)]
    (job,) = planned(api, metrics, records=records)["jobs"]
    many, one, renamed = job["metrics"]
    assert (many["series"], len(many["shown"]) + many["not_shown"]) == (50, 50)
    assert 1 <= len(many["shown"]) < 50
    assert [shown["value"] for shown in one["shown"]] == [0.0]
    assert (renamed["shown"], renamed["series"]) == ([], 0)
    assert "value w finds nothing" in renamed["failed"]
    assert renamed["skipped"]["value_missing"]["count"] == 50


def test_a_page_of_many_metrics_shows_each_of_them(api: Api) -> None:
    page = "".join(f"metric_{index} {index}\n" for index in range(60)) + 'labelled{a="1"} 1\nlabelled{a="2"} 2\n'
    api.serve("/metrics", Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, page.encode()))
    address = api.url.removeprefix("http://")
    text = f"scrape_configs: [{{job_name: s, static_configs: [{{targets: ['{address}']}}]}}]\n"
    text += "remote_write: [{url: 'http://127.0.0.1:1/w'}]"
    (job,) = plan(parse_config(text, "c", ENVIRONMENT), Dependencies(ENVIRONMENT), time.monotonic() + 20)["jobs"]
    assert {metric["metric"] for metric in job["metrics"]} == {f"metric_{index}" for index in range(60)} | {"labelled"}
    assert all(metric["shown"] and "value" in metric["shown"][0] for metric in job["metrics"])
    (labelled,) = [metric for metric in job["metrics"] if metric["metric"] == "labelled"]
    assert (len(labelled["shown"]), labelled["not_shown"]) == (1, 1)


def test_labels_that_were_never_found_are_named(api: Api) -> None:
    metrics = "metrics: [{name: m, value: cpu_ms, labels: {host: host, zone: zone, region: region, job: host}}]"
    (job,) = planned(api, f"    {metrics}")["jobs"]
    assert job["metrics"][0]["labels_not_found"] == ["region"]


def test_what_each_endpoint_would_drop_is_said_by_reason(api: Api) -> None:
    metrics = "metrics: [{name: m, value: v, labels: {k: k}, timestamp: {path: at, format: unix}}]"
    records = [{"k": "old", "v": 1, "at": NOW_MS // 1000 - 7200}, {"k": "new", "v": 1, "at": NOW_MS // 1000}]
    (endpoint,) = planned(api, f"    {metrics}", records=records, now_ms=NOW_MS)["endpoints"]
    assert {reason: entry["count"] for reason, entry in endpoint["dropped"].items()} == {"too_old": 1}


def test_a_failed_metric_makes_the_plan_fail(api: Api) -> None:
    found = planned(api, "    metrics: [{name: m, value: cpu}, {name: n, records: '[:1]', value: cpu_ms}]")
    assert found["ok"] is False
    assert list(found["jobs_down"]) == ["hosts"]
    assert found["jobs"][0]["error"] == ""


def test_names_from_the_records_are_one_metric_together(api: Api) -> None:
    metric = "{name: {path: host, prefix: cpu_}, type: counter, value: cpu_ms, labels: {zone: zone}}"
    (job,) = planned(api, f"    metrics: [{metric}, {{name: n, help: h, value: cpu_ms, labels: {{host: host}}}}]\n")[
        "jobs"
    ]
    named, plain = job["metrics"][:2]
    assert (named["metric"], named["series"], named["records"], named["names"]) == ("cpu_{host}", 3, 3, 3)
    assert [one["before"]["__name__"] for one in named["shown"]] == ["cpu_a", "cpu_b", "cpu_c"]
    assert [one["value"] for one in named["shown"]] == [12, 7, 1]
    assert (plain["metric"], plain["series"], "names" in plain) == ("n", 3, False)
    assert [one["metric"] for one in job["metrics"]] == ["cpu_{host}", "n"]
    assert job["lint"] == ["cpu_{host}: no help text"]  # the names are the API's


def test_of_many_names_the_first_are_shown(api: Api) -> None:
    records = [{"n": f"m{index}", "v": index} for index in range(100)]
    (job,) = planned(api, "    metrics: [{name: {path: n}, help: h, value: v}]\n", records=records)["jobs"]
    (metric,) = job["metrics"]
    assert (metric["series"], metric["names"], len(metric["shown"]), metric["not_shown"]) == (100, 100, 20, 80)


def test_unknown_states_are_named(api: Api) -> None:
    metric = "{name: m, help: h, value: zone, labels: {host: host}, states: {values: [eu, asia]}}"
    found = planned(api, f"    metrics: [{metric}]\n")
    (job,) = found["jobs"]
    assert (job["records"], job["series"], job["lint"]) == (3, 6, [])
    assert job["metrics"][0]["unknown_states"] == {"count": 1, "states": {"us": 1}}
    assert any("'us' (1)" in warning for warning in found["warnings"])
    assert found["ok"] is True


# --- Signed sources ---------------------------------------------------------------------------------------------------

COST = """
    sigv4: {region: us-east-1, service: ce}
    method: POST
    headers: {X-Amz-Target: AWSInsightsIndexService.GetCostAndUsage}
"""


def test_an_api_that_is_billed_by_request_is_priced_for_a_month(api: Api) -> None:
    """$0.01 a request, 43,800 minutes in a month of 730 hours."""
    found = planned(api, CPU + COST)
    (job,) = found["jobs"]
    assert (job["requests_per_month"], job["requests_usd_per_month"]) == (43_800, 438.0)
    (warning,) = [one for one in found["warnings"] if "bills" in one]
    assert "AWS bills each request to this API, $0.01: every 1m that is $438.00 a month" in warning


def test_each_page_is_a_request(api: Api) -> None:
    api.serve("/more", Answer.json({"hosts": HOSTS[:1]}))
    paged = "    pagination: {style: next_link, path: next}\n    scrape_interval: 1d\n"
    metric = "    metrics: [{name: cpu, records: hosts, value: cpu_ms, labels: {host: host}}]\n"
    (job,) = planned(api, metric + COST + paged, records={"hosts": HOSTS, "next": "/more"})["jobs"]
    assert (job["error"], job["requests_per_month"], job["requests_usd_per_month"]) == ("", 60, 0.6)


@pytest.mark.parametrize(("interval", "tick"), [("1d", "1m"), ("12h", "1m")])
def test_a_price_that_is_not_worth_saying_is_no_warning(api: Api, interval: str, tick: str) -> None:
    found = planned(api, f"{CPU}{COST}    scrape_interval: {interval}\n", tick=tick)
    assert [one for one in found["warnings"] if "bills" in one] == []


def test_a_slow_tick_costs_less(api: Api) -> None:
    (job,) = planned(api, CPU + COST, tick="1h")["jobs"]
    assert (job["requests_per_month"], job["requests_usd_per_month"]) == (730, 7.3)


def test_the_iam_statement_of_a_signed_job_is_shown(api: Api) -> None:
    (job,) = planned(api, CPU + COST)["jobs"]
    (needed,) = job["iam"]
    assert needed["statement"] == {"Effect": "Allow", "Action": "ce:GetCostAndUsage", "Resource": "*"}


def test_a_job_that_is_not_signed_needs_none(api: Api) -> None:
    (job,) = planned(api, CPU)["jobs"]
    assert not {"iam", "requests_per_month"} & job.keys()
