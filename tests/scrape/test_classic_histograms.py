"""Classic histograms that become native ones with custom buckets when they are scraped, and classic ones again when
they are sent, are what the page says; a real Prometheus that knows the key sends the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox import prometheus
from tests.rig import recorded
from tests.rig import scrape as rig
from tests.rig.needs import Peer
from tests.rig.scrape import Labels, Scrapes, Sink, Site, text

SINCE = (3, 16)  # that `convert_nhcb_to_classic` is a key
HISTOGRAM = """\
# TYPE h histogram
h_bucket{le="0.5"} 2
h_bucket{le="1"} 2
h_bucket{le="5"} 7
h_bucket{le="+Inf"} 8
h_sum 21.5
h_count 8
"""
OTHER_BUCKETS = HISTOGRAM.replace('le="1"', 'le="2"')
PAGES = {"stays": [HISTOGRAM, HISTOGRAM, "a 1\n"], "changes": [HISTOGRAM, OTHER_BUCKETS, OTHER_BUCKETS]}
ROUNDS = 4


def config(site: Site, sink: Sink, names: Mapping[str, bool]) -> str:
    """Jobs by name, each with or without conversion to native histograms."""
    jobs = [
        {
            "job_name": name,
            "metrics_path": f"/{name}",
            "convert_classic_histograms_to_nhcb": converts,
            "static_configs": [{"targets": [site.address], "labels": {"case": name}}],
        }
        for name, converts in names.items()
    ]
    found: dict[str, Any] = json.loads(rig.config_text(jobs, sink))
    for endpoint in found["remote_write"]:
        endpoint |= {"convert_nhcb_to_classic": True, "send_native_histograms": endpoint["name"] == "two"}
    return json.dumps(found)


def series_of(scrapes: Scrapes) -> list[dict[Labels, str]]:
    """The series of the page in each scrape, without those of the target."""
    rounds = scrapes.rounds(ROUNDS)
    return [
        {labels: value for labels, value in one.items() if dict(labels)["__name__"].startswith(("h", "a"))}
        for one in rounds
    ]


def without_case(rounds: list[dict[Labels, str]]) -> list[dict[Labels, str]]:
    return [
        {tuple(pair for pair in labels if pair[0] not in ("case", "job")): value for labels, value in one.items()}
        for one in rounds
    ]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", PAGES)
def test_what_is_sent_is_what_the_page_says(name: str, version: int) -> None:
    """Series, values and markers, scrape after scrape, as of a job that converts nothing."""
    pages = [text(page) for page in PAGES[name]]
    with Site({"plain": pages, "there-and-back": pages}) as site, Sink(lambda: "push") as sink:
        with rig.Lambda(config(site, sink, {"plain": False, "there-and-back": True})) as function:
            for _ in range(ROUNDS):
                function.push()
        found = sink.cases("push", version)
    plain, converted = (without_case(series_of(found[one])) for one in ("plain", "there-and-back"))
    assert len(plain[0]) == 6
    assert converted == plain


@pytest.mark.parametrize("name", PAGES)
def test_a_real_prometheus_sends_the_same(peer: Peer, tmp_path: Path, name: str) -> None:
    """One that knows the key; what one of 3.16 has sent stands in for it where an older one is at hand."""
    binary = peer("prometheus")
    with Site({name: [text(page) for page in PAGES[name]]}) as site, Sink(lambda: "push") as sink:
        written = config(site, sink, {name: True})
        if prometheus.version(binary) >= SINCE:
            with rig.prometheus_agent(binary, written, tmp_path) as agent:

                def missing() -> bool:
                    found = [sink.cases("prometheus", one).get(name, Scrapes({}, {})) for one in (1, 2)]
                    return any(len(one.times()) <= ROUNDS for one in found)

                rig.wait_until_none(missing, [agent])
        with rig.Lambda(written) as function:
            for _ in range(ROUNDS):
                function.push()
        for version in (1, 2):
            case = f"convert_nhcb_to_classic {name} {version}"
            if real := sink.cases("prometheus", version).get(name):
                recorded.compare_or_write(case, series_of(real))
            recorded.compare(case, series_of(sink.cases("push", version)[name]))
