"""Documents, pages and headers of a JSON job, from the API to the receiver."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.push import config_text, endpoint, job, run, warm_of


def pushed(document: Any, metrics: list[dict[str, Any]], runs: int = 1, **keys: Any) -> tuple[dict[str, float], Any]:
    """The newest value of every series of the job's metrics, by its label l (or its name), and the last report."""
    names = {metric["name"] for metric in metrics}
    with Api() as api, Receiver() as amp:
        entry = {"job_name": "j", "url": api.serve("/doc", Answer.json(document)), "metrics": metrics, **keys}
        with warm_of(config_text([entry], [endpoint(amp, "amp")])) as environment:
            for _ in range(runs):
                report = run(environment)
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
        with warm_of(config_text([entry], [endpoint(amp, "amp")])) as environment:
            assert run(environment).scrapes[0].error == ""
        assert asked == [1, 2, 3, 4]
        assert len(amp.series("m")) == 3


@pytest.mark.parametrize("key", ["headers", "http_headers"])
def test_a_header_of_ours_gives_way_however_it_is_written(key: str) -> None:
    value: Any = {"values": ["mine"]} if key == "http_headers" else "mine"
    with Api() as api, Receiver() as amp:
        seen: list[list[str]] = []

        def answer(request: Request) -> Answer:
            seen.append([text for name, text in request.headers.items() if name.lower() == "user-agent"])
            return Answer.json([])

        entry = job(api.serve("/h", answer), **{key: {"user-agent": value}})
        with warm_of(config_text([entry], [endpoint(amp, "amp")])) as environment:
            run(environment)
        assert seen == [["mine"]]
