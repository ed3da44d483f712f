"""The committed JSON is what the modules make, what the SDK's own types say, and fit to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.__main__ import FOLDER, MODULES, encode, main
from lambda_remote_write.report.self_metrics import FAMILIES
from tests.rig.grafana_queries import load, panels, variables

ROOT = Path(__file__).parents[2]
NAMES = sorted(MODULES)
PANELS = [pytest.param(name, panel, id=f"{name}/{panel['title']}") for name in NAMES for panel in panels(load(name))]
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's ids of units, by the unit that the family itself states.
UNIT_OF = {"": {"short", "none"}, "seconds": {"s"}, "bytes": {"bytes"}, "ratio": {"percentunit"}}
UNITS = {family.name: UNIT_OF[family.unit] for family in FAMILIES}


def test_making_them_again_leaves_no_diff(tmp_path: Path) -> None:
    """`make dashboards`."""
    main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in FOLDER.glob("*.json"))
    for path in tmp_path.iterdir():
        assert path.read_text() == (FOLDER / path.name).read_text(), "run `make dashboards`"


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_reads_it_and_writes_the_same(name: str) -> None:
    """No key is unknown to the types, and none has another type."""
    register_default_plugins()
    text = (FOLDER / f"{name}.json").read_text()
    assert encode(Dashboard.from_json(json.loads(text))) == text


def data_sources(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from [value["datasource"]] if "datasource" in value else []
        yield from (found for one in value.values() for found in data_sources(one))
    elif isinstance(value, list):
        yield from (found for one in value for found in data_sources(one))


@pytest.mark.parametrize("name", NAMES)
def test_no_data_source_is_fixed(name: str) -> None:
    dashboard = load(name)
    found = list(data_sources(dashboard))
    assert len(found) > 2 * len(list(panels(dashboard)))  # panels, their targets, variables
    assert [one for one in found if one != SOURCE] == []
    chosen = variables(dashboard)["datasource"]
    assert (chosen["type"], chosen["query"]) == ("datasource", "prometheus")
    assert chosen["current"]["value"] == "default"  # not a name or uid, but what Grafana itself takes first
    for panel in panels(dashboard):
        assert panel["datasource"] == SOURCE
        assert all(target["datasource"] == SOURCE for target in panel["targets"])


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_panel_says_what_it_shows_and_in_which_unit(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert re.fullmatch(r"[A-Z].*(\.|\.md)", panel["description"])
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["interval"] == "1m"  # no schedule is shorter
    assert all(target["legendFormat"] for target in panel["targets"])
    references = [target["refId"] for target in panel["targets"]]
    assert sorted(set(references)) == references


@pytest.mark.parametrize(
    ("name", "panel"), [param for param in PANELS if param.values[0] == "pusher"]
)  # fmt: skip
def test_a_unit_is_the_one_of_the_series(name: str, panel: dict[str, Any]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        (family,) = set(re.findall(r"pusher_\w+", target["expr"]))
        assert unit in UNITS[family], family


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_no_query_relies_on_the_five_minutes_of_lookback(name: str, panel: dict[str, Any]) -> None:
    """Every selector has a range, and no range is a number."""
    for target in panel["targets"]:
        expression = re.sub(r"\$\{\w+:\w+\}", "", target["expr"])
        selectors = re.findall(r"\{[^}]*\}(\S{0,20})", expression)
        assert selectors
        assert all(re.match(r"\[\$(window|lookback|__interval|__range)\]", after) for after in selectors), expression


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_gaps_are_joined_only_where_a_slow_schedule_makes_them(name: str, panel: dict[str, Any]) -> None:
    """A line over $__interval has gaps between two runs of an hour; what looks back over a window has none of those."""
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    is_line = panel["type"] == "timeseries" and custom.get("drawStyle") != "bars"
    steps = any("[$__interval]" in target["expr"] for target in panel["targets"])
    assert custom.get("spanNulls") == (7_200_000 if is_line and steps else None)


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_ids_and_places_of_their_own(name: str) -> None:
    every = load(name)["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    titles = [panel["title"] for panel in every]
    assert sorted(set(titles)) == sorted(titles)
    for panel in every:
        place = panel["gridPos"]
        assert place["h"] > 0 < place["w"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= COLUMNS
    for one, other in combinations([panel["gridPos"] for panel in every], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_there_described_and_used(name: str) -> None:
    dashboard = load(name)
    known = variables(dashboard)
    text = json.dumps(dashboard)
    used = {found[0] or found[1] for found in re.findall(r"\$(?:([a-z]\w*)|\{([a-z]\w*)[:}])", text)}
    assert used == set(known)
    assert [variable for variable, one in known.items() if not one["description"] or not one["label"]] == []


def test_the_defaults_are_the_metric_of_the_readme() -> None:
    known = variables(load("custom_metrics"))
    assert known["metric"]["current"]["value"] == "api_requests_total"
    assert known["label"]["current"]["value"] == "projectCode"
    assert known["window"]["current"]["value"] == "10m"


def test_they_are_found_by_uid_and_tag_and_lead_to_one_another() -> None:
    """A uid that changes breaks every bookmark."""
    found = {name: load(name) for name in NAMES}
    uids = {name: dashboard["uid"] for name, dashboard in found.items()}
    assert uids == {"custom_metrics": "lambda-remote-write-custom", "pusher": "lambda-remote-write-pusher"}
    assert all(len(uid) <= 40 for uid in uids.values())  # Grafana's limit
    for dashboard in found.values():
        (link,) = dashboard["links"]
        assert (link["type"], link["tags"], link["keepTime"]) == ("dashboards", dashboard["tags"], True)
        assert dashboard["tags"] == ["lambda-remote-write"]


def test_the_pusher_dashboard_shows_every_series_of_the_pusher() -> None:
    expressions = [target["expr"] for panel in panels(load("pusher")) for target in panel["targets"]]
    shown = set(re.findall(r"pusher_\w+", " ".join(expressions)))
    assert shown == {family.name for family in FAMILIES}


def test_every_runbook_that_is_named_exists() -> None:
    named = set(re.findall(r"docs/runbooks/[\w-]+\.md", (FOLDER / "pusher.json").read_text()))
    assert len(named) > 5
    assert [page for page in sorted(named) if not (ROOT / page).exists()] == []
