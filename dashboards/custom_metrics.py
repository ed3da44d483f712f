"""*Custom metrics*: a metric of your own by one of its labels, as value, `irate`, `deriv` and `idelta`."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import CustomVariable, TextBoxVariable
from grafana_foundation_sdk.builders.timeseries import Panel as TimePanel
from grafana_foundation_sdk.models.dashboard import Dashboard, VariableOption

from .panels import Query, query_variable, timeline, titled, window_variable

UID = "lambda-remote-write-custom"
METRIC, LABEL = "api_requests_total", "projectCode"
AGGREGATIONS = ("sum", "avg", "max", "min")

# The name as a value of __name__ and the label as a text: so both may be any UTF-8, on every version of PromQL.
# `doublequote` writes the quotes too, and escapes those within; without it Grafana leaves a " as it is, and escapes a '
# twice.
_SELECTOR = "{__name__=${metric:doublequote}, ${filter:raw}}[$window]"
_BY_LABEL = '$aggregation by (chosen) (label_replace(%s, "chosen", "$1", ${label:doublequote}, "(.*)"))'
NO_SAMPLE = "No sample in the window. Choose a window of at least twice the schedule's interval."


def dashboard() -> Dashboard:
    made = (
        titled(
            "Custom metrics",
            UID,
            "A metric that lambda-remote-write collects, by one of its labels.",
            [
                query_variable(
                    "metric", "Metric", "Any name works, also one with dots or spaces.", "label_values(__name__)"
                ).current(VariableOption(True, METRIC, METRIC)),
                query_variable(
                    "label", "Label", "A line for each value of this label.", "label_names($metric)"
                ).current(VariableOption(True, LABEL, LABEL)),
                window_variable(
                    "window",
                    "Window",
                    "How far back a point looks: at least twice the schedule's interval, as 10m for 1m, 1h for 15m.",
                    "5m,10m,15m,30m,1h,3h,6h,1d",
                    "10m",
                ),
            ],
        )
        .with_variable(_aggregation())
        .with_variable(_filter())
    )
    for panel_id, panel in enumerate(_panels(), 1):
        made = made.with_panel(panel.height(9).no_value(NO_SAMPLE).id(panel_id))
    return made.build()


def _aggregation() -> CustomVariable:
    options = [VariableOption(one == "sum", one, one) for one in AGGREGATIONS]
    described = "How series with the same value of the label become one line."
    made = CustomVariable("aggregation").label("Aggregation").description(described).values(",".join(AGGREGATIONS))
    return made.options(options).current(options[0])


def _filter() -> TextBoxVariable:
    described = 'More matchers of series, such as environment="production". Empty takes all.'
    made = TextBoxVariable("filter").label("Filter").description(described).default_value("")
    return made.current(VariableOption(True, "", ""))


def _panels() -> list[TimePanel]:
    """Gaps are never joined: no point means that the whole window has too few samples."""
    return [
        _panel("$metric by $label", "The newest sample of the window.", "short", "last_over_time"),
        _panel(
            "irate by $label", "Per-second rate of a counter, from its last two samples in the window.", "cps", "irate"
        ),
        _panel(
            "deriv by $label", "Per-second slope of a gauge, as a straight line fitted to the window.", "cps", "deriv"
        ),
        _panel("idelta by $label", "Difference between the last two samples in the window.", "short", "idelta"),
    ]


def _panel(title: str, description: str, unit: str, function: str) -> TimePanel:
    return timeline(title, description, unit, Query(_BY_LABEL % f"{function}({_SELECTOR})", "{{chosen}}"))
