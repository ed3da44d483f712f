"""How many requests one host gets at the same time, as it measures itself: over all jobs of a run, and in `pusher
run`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.scrape import Scrape
from sandbox.server import Answer, Request
from tests.rig import compliance
from tests.rig.delivery import Clock, no_session
from tests.rig.in_flight import InFlight
from tests.rig.run import running
from tests.rig.scraping import PAGE, scraped

pytestmark = pytest.mark.slow  # servers that take their time, one at a time

METRICS = [{"name": "m", "value": "v", "labels": {"id": "id"}}]
INSTANCE = {"source_labels": ["__address__", "__metrics_path__"], "separator": "", "target_label": "instance"}


def api(count: int) -> Any:
    """`/list` names so many paths, each of which answers as an object of an API."""

    def answer(request: Request) -> Answer:
        if request.path == "/list":
            return Answer.json([{"path": f"/things/{number}"} for number in range(count)])
        return Answer.json({"id": request.path, "v": 1})

    return answer


def chained(url: str, **keys: Any) -> dict[str, Any]:
    """A job that asks for each path of a list."""
    target = f"join('', ['{url}', path])"
    listed = [{"url": f"{url}/list", "target": target}]
    return {"job_name": "chained", "json_sd_configs": listed, "relabel_configs": [INSTANCE], **keys}


def static(address: str, paths: Sequence[str], **keys: Any) -> dict[str, Any]:
    targets = [{"targets": [address], "labels": {"__metrics_path__": path}} for path in paths]
    return {"job_name": "static", "static_configs": targets, "relabel_configs": [INSTANCE], **keys}


def all_scraped(seconds: float = 60.0, **jobs: Sequence[dict[str, Any]]) -> list[Scrape]:
    with_metrics = [{**entry, "metrics": METRICS} for entry in jobs.pop("json_configs", ())]
    text = json.dumps({"json_configs": with_metrics, **jobs, "remote_write": [{"url": "http://127.0.0.1:9/"}]})
    clock = Clock()
    dependencies = Dependencies({}, clock.now_ms, no_session, clock.sleep)
    try:
        return scraped(Environment(parse_config(text, "test.yaml", {}), dependencies), seconds)
    finally:
        dependencies.transport.close()


PATHS = [f"/p/{number}" for number in range(20)]
LIMITS = {
    "a JSON job": ("json_configs", {}, 8),
    "a JSON job that says so": ("json_configs", {"max_requests_per_host": 3}, 3),
    "a scrape job that says so": ("scrape_configs", {"max_requests_per_host": 2}, 2),
}


@pytest.mark.parametrize(("kind", "keys", "limit"), LIMITS.values(), ids=LIMITS)
def test_one_host_gets_so_many_requests_at_once(kind: str, keys: dict[str, Any], limit: int) -> None:
    """And no fewer, when so many are due: the server has seen as many."""
    page = (lambda _: PAGE) if kind == "scrape_configs" else api(0)
    with InFlight(page, 0.1, together=limit) as site:
        scrapes = all_scraped(**{kind: [static(site.address, PATHS, **keys)]})
        assert [scrape.error for scrape in scrapes] == [""] * len(PATHS)
        assert (site.asked, site.most) == (len(PATHS), limit)


def test_without_the_key_a_scrape_job_asks_all_at_once() -> None:
    """As Prometheus does."""
    with InFlight(lambda _: PAGE, 0, together=len(PATHS)) as site:
        all_scraped(scrape_configs=[static(site.address, PATHS)])
        assert site.most == len(PATHS)


def test_every_path_that_an_api_lists_is_asked_and_eight_at_once() -> None:
    """A list of ids and a request for each, as one job: discovery and relabelling."""
    with InFlight(api(30), 0.05) as site:
        scrapes = all_scraped(json_configs=[chained(site.url)])
        assert sorted(scrape.instance for scrape in scrapes) == sorted(
            f"{site.address}/things/{number}" for number in range(30)
        )
        assert [scrape.error for scrape in scrapes] == [""] * 30
        assert site.most <= 8


def test_jobs_share_the_host() -> None:
    """Two jobs of three and of two: never more than three are under way."""
    with InFlight(api(0), 0.1, together=3) as site:
        jobs = [
            static(site.address, PATHS[6:], max_requests_per_host=3),
            static(site.address, PATHS[:6], max_requests_per_host=2) | {"job_name": "other"},
        ]
        scrapes = all_scraped(json_configs=jobs)
        assert [scrape.error for scrape in scrapes] == [""] * len(PATHS)
        assert (site.asked, site.most) == (len(PATHS), 3)


def test_a_slow_host_does_not_hold_up_another() -> None:
    """Of the slow host four may be asked in the run's time, the others are down and say why."""
    with InFlight(api(0), 20) as slow, InFlight(api(0), 0) as quick:
        jobs = [
            static(slow.address, PATHS, max_requests_per_host=4),
            static(quick.address, PATHS) | {"job_name": "quick"},
        ]
        began = time.monotonic()
        scrapes = all_scraped(3.0, json_configs=jobs)
        assert time.monotonic() - began < 15
    of_slow, of_quick = scrapes[: len(PATHS)], scrapes[len(PATHS) :]
    assert [scrape.error for scrape in of_quick] == [""] * len(PATHS)
    waited = [scrape.error for scrape in of_slow if "max_requests_per_host" in scrape.error]
    assert len(waited) == len(PATHS) - 4
    assert all(f"of {slow.address} at most 4 scrapes" in error for error in waited)
    assert all(scrape.error for scrape in of_slow)


@pytest.mark.slow  # it scrapes twice
def test_pusher_run_keeps_to_it_and_a_scrape_that_waits_misses_its_turn(tmp_path: Path) -> None:
    """Ten paths of 0.5 s, two at a time, every two seconds: none is asked again before its last scrape has ended. The
    time for which a scrape waits is not part of its timeout. On a machine that stood still, slower ones show it."""
    for factor in (1, 4):
        down = _of_ten_paths(tmp_path, 0.5 * factor, f"{2 * factor}s")
        if not down:
            return
    assert down == []


def _of_ten_paths(folder: Path, seconds: float, interval: str) -> list[str]:
    """What `pusher run` says of targets that are down, after two scrapes of each."""
    with InFlight(api(0), seconds) as site, compliance.Receiver() as receiver:
        entry = static(site.address, PATHS[:10], max_requests_per_host=2, metrics=METRICS)
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "json_configs": [entry],
            "remote_write": [compliance.endpoint(receiver.url("w"))],
        }
        with running(config, folder) as process:
            process.wait_for(lambda: site.asked >= 22, "two scrapes of each")
            assert process.stop() == 0
        assert site.most == 2
        return [line for line in process.lines if "down" in line]
