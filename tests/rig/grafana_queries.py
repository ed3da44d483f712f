"""What Grafana does to a dashboard's queries before the data source gets them, and what its variables ask for.

From Grafana's documentation: "Global variables" ($__interval, $__range), "Use $__rate_interval", "Query variables" of
the Prometheus data source, and "Advanced variable format options" (raw, doublequote; regular expressions for several
values).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.process import ask

FOLDER = Path(__file__).parents[2] / "dashboards"
# The width of a graph in pixels, which is how many points Grafana asks for at most.
MAX_DATA_POINTS = 1000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}")
ALL = "$__all"


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """A target of a panel, with what stands around it."""

    dashboard: str
    panel: Mapping[str, Any]
    target: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.dashboard}/{self.panel['title']}/{self.target['refId']}"


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, rows left out, those of collapsed rows included."""
    for panel in dashboard["panels"]:
        yield from panel.get("panels", ()) if panel["type"] == "row" else [panel]


def queries(name: str) -> list[PanelQuery]:
    return [PanelQuery(name, panel, target) for panel in panels(load(name)) for target in panel["targets"]]


def variables(dashboard: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in dashboard["templating"]["list"]}


def seconds(duration: str) -> float:
    return float(duration[:-1]) * UNITS[duration[-1]]


def step_seconds(range_seconds: float, min_step: str) -> float:
    """The distance of two points, which is also $__interval."""
    return max(seconds(min_step), -(-range_seconds // MAX_DATA_POINTS))


def interpolated(
    text: str, dashboard: Mapping[str, Any], chosen: Mapping[str, str | list[str]], range_seconds: float, min_step: str
) -> str:
    """The text with the values of its variables: `chosen`, or what the dashboard has chosen itself."""
    known = variables(dashboard)
    step = step_seconds(range_seconds, min_step)
    built_in = {
        "__interval": f"{step:.0f}s",
        "__range": f"{range_seconds:.0f}s",
        "__rate_interval": f"{max(step + seconds(min_step), 4 * seconds(min_step)):.0f}s",
    }

    def value(match: re.Match[str]) -> str:
        name, form = match[1] or match[2], match[3]
        if name in built_in:
            return built_in[name]
        if name not in known:
            return match[0]  # as in label_replace's "$1"
        return _formatted(known[name], chosen.get(name, known[name]["current"]["value"]), form)

    return VARIABLE.sub(value, text)


def _formatted(variable: Mapping[str, Any], value: str | list[str], form: str | None) -> str:
    if not (variable.get("multi") or variable.get("includeAll")):
        assert isinstance(value, str)
        if form == "doublequote":
            return '"' + value.replace('"', '\\"') + '"'
        return value if form == "raw" else value.replace("\\", "\\\\").replace("'", "\\\\'")
    values = [value] if isinstance(value, str) else value
    if values == [ALL]:
        return str(variable["allValue"])  # taken as it is
    escaped = [re.sub(r"[\\^$*+?.()|[\]{}]", r"\\\\\g<0>", one) for one in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def values_of(query: str, prometheus_url: str, start: float, end: float) -> list[str]:
    """What the query of a variable finds, by the functions of the Prometheus data source."""
    params: dict[str, Any] = {"start": str(start), "end": str(end)}
    if query == "label_values(__name__)":
        return _asked(f"{prometheus_url}/api/v1/label/__name__/values", params)
    if found := re.fullmatch(r"label_values\((.+),\s*(\w+)\)", query):
        return _asked(f"{prometheus_url}/api/v1/label/{found[2]}/values", params | {"match[]": found[1]})
    found = re.fullmatch(r"label_names\((.+)\)", query)
    assert found, query
    names = _asked(f"{prometheus_url}/api/v1/labels", params | {"match[]": f'{{__name__=~".*{found[1]}.*"}}'})
    return [name for name in names if name != "__name__"]


def _asked(url: str, params: Mapping[str, Any]) -> list[str]:
    answer = ask("GET", url, params=params, timeout=30)
    answer.raise_for_status()
    return list(answer.json()["data"])
