"""What both dashboards are made of: variables, queries, and panels with the settings that slow schedules need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    IntervalVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.statetimeline import Panel as StatePanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimePanel
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

DATA_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "lambda-remote-write"
# No schedule is shorter than a minute, so a smaller step would show the same sample again.
MIN_STEP = "1m"
# Joins what a schedule of up to an hour leaves between two points. A longer gap is an outage, and stays one.
CONNECTED_MS = 2 * 3_600_000
GREEN, ORANGE, RED = "green", "orange", "red"

Panel = TimePanel | StatPanel | StatePanel


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and the legend of its series."""

    expression: str
    legend: str


# --- Dashboard and variables ------------------------------------------------------------------------------------------


def titled(title: str, uid: str, description: str, variables: Sequence[QueryVariable | IntervalVariable]) -> Dashboard:
    """A dashboard without panels, over the data source that the user chooses, with links to the others of its tag."""
    link = DashboardLink("lambda-remote-write").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    made = Dashboard(title).uid(uid).description(description).tags([TAG]).time("now-6h", "now").refresh("1m")
    made = made.timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    made = made.link(link.include_vars(True).keep_time(True))
    for variable in (_data_source_variable(), *variables):
        made = made.with_variable(variable)
    return made


def filled(dashboard: Dashboard, rows: Sequence[tuple[str, Sequence[Panel]]]) -> Dashboard:
    """The dashboard with its rows. Panels have ids in the order in which they are read."""
    panel_id = 0
    for title, panels in rows:
        panel_id += 1
        dashboard = dashboard.with_row(Row(title).id(panel_id))
        for panel in panels:
            panel_id += 1
            dashboard = dashboard.with_panel(panel.id(panel_id))
    return dashboard


def _data_source_variable() -> DatasourceVariable:
    described = "Prometheus, Amazon Managed Service for Prometheus, or another that speaks PromQL."
    made = DatasourceVariable("datasource").label("Data source").description(described).type("prometheus")
    return made.current(VariableOption(True, "default", "default"))  # Grafana's own choice: its default, else the first


def query_variable(name: str, label: str, description: str, query: str) -> QueryVariable:
    """One value of those that the data source knows in the range of time that is shown."""
    made = QueryVariable(name).label(label).description(description).query(query).datasource(DATA_SOURCE)
    return made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def choices_variable(name: str, label: str, description: str, query: str) -> QueryVariable:
    """Several values, or all."""
    everything = VariableOption(selected=True, text=["All"], value=["$__all"])
    made = query_variable(name, label, description, query).multi(True).include_all(True).all_value(".*")
    return made.current(everything)


def window_variable(name: str, label: str, description: str, values: str, default: str) -> IntervalVariable:
    """A duration; `values` are separated by commas."""
    options = [VariableOption(one == default, one, one) for one in values.split(",")]
    chosen = VariableOption(True, default, default)
    return IntervalVariable(name).label(label).description(description).values(values).options(options).current(chosen)


# --- Panels -----------------------------------------------------------------------------------------------------------


def timeline(title: str, description: str, unit: str, *queries: Query, width: int = 12) -> TimePanel:
    """Lines over time. Gaps are not joined unless the caller says so."""
    legend = VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    panel = TimePanel().title(title).description(description).datasource(DATA_SOURCE).unit(unit).interval(MIN_STEP)
    panel = panel.span(width).height(8).legend(legend.calcs([])).show_points(VisibilityMode.AUTO)
    panel = panel.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    for target in _targets(queries):
        panel = panel.with_target(target.range())
    return panel


def gauges(title: str, description: str, unit: str, *queries: Query, width: int = 12) -> TimePanel:
    """A gauge of runs over time, joined over the pauses of a slow schedule."""
    return timeline(title, description, unit, *queries, width=width).span_nulls(CONNECTED_MS).min(0)


def bars(title: str, description: str, unit: str, *queries: Query, width: int = 12) -> TimePanel:
    """What the runs of each step add up to. Bars need no sample in each step, so every schedule reads well."""
    panel = timeline(title, description, unit, *queries, width=width).min(0).show_points(VisibilityMode.NEVER)
    panel = panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    return panel.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))


def stat(title: str, description: str, unit: str, query: Query, *steps: Threshold, width: int = 4) -> StatPanel:
    """The newest value as a number; `steps` colour it from a value on."""
    panel = StatPanel().title(title).description(description).datasource(DATA_SOURCE).unit(unit).interval(MIN_STEP)
    panel = panel.span(width).height(4).graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.VALUE)
    panel = panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    for target in _targets((query,)):
        panel = panel.with_target(target.instant())
    colours = [Threshold(value=None, color=GREEN if steps else "text"), *steps]
    return panel.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(colours))


def names(title: str, description: str, query: Query, width: int = 4) -> StatPanel:
    """The legend of each series, in place of its value."""
    return stat(title, description, "none", query, width=width).text_mode(BigValueTextMode.NAME)


def states(title: str, description: str, texts: dict[int, tuple[str, str]], *queries: Query) -> StatePanel:
    """A bar for each series, coloured by its value: `texts` has a text and a colour for each."""
    options = {str(value): ValueMappingResult(text, color) for value, (text, color) in texts.items()}
    panel = StatePanel().title(title).description(description).datasource(DATA_SOURCE).unit("none").interval(MIN_STEP)
    panel = panel.span(12).height(8).show_value(VisibilityMode.NEVER).line_width(0).fill_opacity(70)
    panel = panel.mappings([ValueMap(options=options)])
    for target in _targets(queries):
        panel = panel.with_target(target.range())
    return panel


def _targets(queries: Sequence[Query]) -> list[Dataquery]:
    return [
        Dataquery().ref_id(ref_id).expr(one.expression).legend_format(one.legend).datasource(DATA_SOURCE)
        for ref_id, one in zip("ABCD", queries, strict=False)
    ]
