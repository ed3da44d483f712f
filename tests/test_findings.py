"""Cases that an outsider tried and that once went wrong, end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pusher.app import parse_event
from pusher.config.load import parse_config
from pusher.push import push
from pusher.warm import Warm
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.delivery.rig import ENVIRONMENT
from tests.test_push import SYNTHETIC, Source, config_text, endpoint, job, now_ms, run, tick, warm_of

ROOT = Path(__file__).parents[1]


def pushed(document: Any, metrics: list[dict[str, Any]], runs: int = 1, **keys: Any) -> tuple[dict[str, float], Any]:
    """The newest value of every series of the job's metrics, by its label l (or its name), and the last report."""
    names = {metric["name"] for metric in metrics}
    with Api() as api, Receiver() as amp:
        entry = {"job_name": "j", "url": api.serve("/doc", Answer.json(document)), "metrics": metrics, **keys}
        with warm_of(config_text([entry], [endpoint(amp, "amp")])) as warm:
            for _ in range(runs):
                report = run(warm)
                time.sleep(0.002)
        assert amp.refused == 0
        found = {
            dict(labels).get("l", dict(labels)["__name__"]): samples[-1][1]
            for labels, samples in amp.samples.items()
            if dict(labels)["__name__"] in names
        }
        return found, report


def metric(**keys: Any) -> dict[str, Any]:
    return {"name": "m", "records": "[]", "value": "v", "labels": {"l": "n"}} | keys


@pytest.mark.parametrize("runs", [1, 2], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("document", "keys", "expected"),
    [
        ([{"v": 1.25, "n": "a"}, {"v": "OK", "n": "b"}], {"value_map": {"OK": 1}}, {"a": 1.25, "b": 1}),
        ([{"v": 1.25, "n": "a"}], {"value_map": {"1.25": 10}}, {"a": 10}),
        ([{"v": 3.5, "n": "a"}], {"value_regex": r"^([0-9])[.]5$"}, {"a": 3}),
    ],
    ids=["map beside a fraction", "a fraction in the map", "regex over a fraction"],
)
def test_maps_and_expressions_see_the_text_of_a_fraction(
    document: Any, keys: dict[str, Any], expected: dict[str, float], runs: int
) -> None:
    found, report = pushed(document, [metric(**keys)], runs)
    assert found == expected
    assert report.scrapes[0].error == ""


@pytest.mark.parametrize("runs", [1, 2], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("records", "value", "expected"),
    [("sort_by(a, &v)", "v", {"1.1": 1.5, "2.5": 0.5}), ("a", "abs(v)", {"1.1": 1.5, "2.5": 0.5})],
)
def test_functions_work_on_documents_whose_fractions_are_printed(
    records: str, value: str, expected: dict[str, float], runs: int
) -> None:
    """A label that is a fraction changes how the document is decoded, and nothing else."""
    document = {"a": [{"v": 1.5, "n": 1.1}, {"v": 0.5, "n": 2.5}]}
    assert pushed(document, [metric(records=records, value=value)], runs)[0] == expected


def test_two_metrics_of_one_series_are_a_duplicate_and_the_later_counts() -> None:
    metrics = [{"name": "m", "value": "a"}, {"name": "m", "value": "b"}]
    found, report = pushed({"a": 1, "b": 7}, metrics)
    assert found == {"m": 7}
    assert report.deliveries[0].dropped.counts == {"duplicate": 1}


def test_pages_end_although_a_metric_reads_the_whole_document() -> None:
    asked = []

    def answer(request: Request) -> Answer:
        number = int(request.params["page"])
        asked.append(number)
        items = [{"n": str(number), "v": number}] if number < 4 else []
        return Answer.json({"items": items, "total": 3})

    with Api() as api, Receiver() as amp:
        metrics = [metric(records="items"), {"name": "t", "value": "total"}]
        entry = {"job_name": "j", "url": api.serve("/p", answer), "metrics": metrics, "pagination": {"style": "page"}}
        with warm_of(config_text([entry], [endpoint(amp, "amp")])) as warm:
            assert run(warm).scrapes[0].error == ""
        assert asked == [1, 2, 3, 4]
        assert len(amp.series("m")) == 3


@pytest.mark.parametrize("rules", [[{"regex": "zzz", "action": "labeldrop"}], []], ids=["added", "removed"])
def test_a_change_of_write_relabelling_does_not_forget_what_was_sent(rules: list[dict[str, Any]]) -> None:
    """The revised record stays `not_newer`; a receiver would refuse the whole request for it."""
    other = [] if rules else [{"regex": "zzz", "action": "labeldrop"}]
    with Api() as api, Receiver(keep_valid=False) as amp:
        source, at = Source(api), now_ms()
        source.records = lambda: [{"id": "a", "value": 1, "at": at}]
        with warm_of(config_text([job(source.url)], [endpoint(amp, "amp", write_relabel_configs=other)])) as before:
            run(before)
            source.records = lambda: [{"id": "a", "value": 2, "at": at}]
            text = config_text([job(source.url)], [endpoint(amp, "amp", write_relabel_configs=rules)])
            after = Warm(parse_config(text, "config.yaml", ENVIRONMENT), before.outside, before=before)
            (delivery,) = push(after, tick(after), time.monotonic() + 10).deliveries
        assert delivery.dropped.counts == {"not_newer": 1}
        assert (delivery.accepted, amp.refused) == (SYNTHETIC, 0)


def test_the_schedulers_own_event_is_a_push() -> None:
    event = {
        "version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.scheduler",
        "account": "123456789012", "time": "2024-05-23T16:00:00Z", "region": "eu-west-1", "resources": [],
        "detail": "{}",
    }  # fmt: skip
    assert parse_event(event) == ("push", {"scheduled_ms": 1_716_480_000_000})


def test_the_error_of_an_invocation_names_what_failed_it() -> None:
    with Api() as api, Receiver() as amp:
        api.always(Fault.status(500))
        amp.always(Fault.status(404, b"Workspace not found"))
        with warm_of(config_text([job(f"{api.url}/x")], [endpoint(amp, "amp")])) as warm:
            assert "Workspace not found" in run(warm).summary()


@pytest.mark.parametrize("key", ["headers", "http_headers"])
def test_a_header_of_ours_gives_way_however_it_is_written(key: str) -> None:
    value: Any = {"values": ["mine"]} if key == "http_headers" else "mine"
    with Api() as api, Receiver() as amp:
        seen: list[list[str]] = []

        def answer(request: Request) -> Answer:
            seen.append([text for name, text in request.headers.items() if name.lower() == "user-agent"])
            return Answer.json([])

        entry = job(api.serve("/h", answer), **{key: {"user-agent": value}})
        with warm_of(config_text([entry], [endpoint(amp, "amp")])) as warm:
            run(warm)
        assert seen == [["mine"]]


def started(config: Path) -> subprocess.Popen[str]:
    environment = ENVIRONMENT | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "functions")}
    command = [sys.executable, "-m", "pusher", "run", str(config)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_run_polls_other_jobs_while_one_hangs(tmp_path: Path) -> None:
    with Api() as api, Receiver() as amp:
        asked: list[float] = []

        def quick(request: Request) -> Answer:
            asked.append(time.monotonic())
            return Answer.json([])

        keys = {"scrape_interval": "10s", "scrape_timeout": "8s"}
        slow = job(api.serve("/slow", Fault.hang()), "slow", **keys)
        fast = job(api.serve("/fast", quick), "fast", scrape_interval="1s")
        config = tmp_path / "config.yaml"
        config.write_text(config_text([slow, fast], [endpoint(amp, "amp")]))
        process = started(config)
        try:
            time.sleep(5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=15) == 0
        finally:
            process.kill()
            process.communicate()
        assert len(asked) >= 4


def test_run_says_what_did_not_fit_its_queue_and_what_was_refused(tmp_path: Path) -> None:
    with Api() as api, Receiver() as amp:
        source = Source(api)
        source.records = lambda: [{"id": str(n), "value": n, "at": now_ms()} for n in range(30)]
        amp.always(Fault.status(503))
        queue = {"capacity": 40, "max_shards": 1, "max_backoff": "100ms", "batch_send_deadline": "100ms"}
        config = tmp_path / "config.yaml"
        text = [job(source.url, scrape_interval="1s")], [endpoint(amp, "amp", queue_config=queue)]
        config.write_text(config_text(*text))
        process = started(config)
        try:
            time.sleep(5)
            amp.always(Fault.status(400, json.dumps({"error": "no"}).encode()))
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=15)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0
        assert "queue_full" in said
        assert "http_400" in said
