"""An OpenTelemetry (ADOT) collector's config -> ours: the jobs of its prometheus receivers, and its remote-write
exporters, wired as its pipelines wire them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lambda_remote_write.config import unsupported_keys

from . import components, ecs_observer, expansion, exporter, filter_processor, prometheus
from .exporter import Endpoint
from .relabelling import escaped, rule, rules_of
from .render import render
from .tree import Comment, Dropped, DroppedKeys, Entry, List, Map, scalar

_METRICS = "metrics"
_PARTS = ("receivers", "processors", "exporters")
_ANY_EXPORTER = ""
"""Where the samples of a part of a config go that names no exporter."""
_NO_PIPELINE = "no pipeline of metrics uses it"
_NO_PROMETHEUS = "its pipeline has no prometheus receiver"
_NOT_WRITTEN = "what its pipeline gets goes to no remote-write exporter"
_MADE = "what it makes of the samples is not made here"
_FILTERED = "the collector filtered whole metrics, with the series of a histogram or summary"
_STAY = "; up and the scrape_ series stay"
_NO_ENDPOINT = (
    "there is no endpoint: of the exporters ({names}) none that gets scraped data speaks remote write. Write where the "
    "samples go: remote_write: [{{workspace: ws-CHANGE-ME}}]"
)
_RECEIVER = {
    "use_start_time_metric": "remote write 1.0 sends no start times",
    "start_time_metric_regex": "remote write 1.0 sends no start times",
    "trim_metric_suffixes": "CHANGES NAMES: metrics keep the names that their pages give them",
    "target_allocator": "its jobs come from elsewhere: write them here as scrape_configs",
    "api_server": "nothing listens here",
    "scrape_on_shutdown": "nothing is shut down here",
    "discovery_reload_on_startup": "targets are found at the start anyway",
    "initial_scrape_offset": "jobs run on the schedule's tick",
}
_OF_PROMETHEUS = ("global", "scrape_configs", "scrape_config_files")
_MISPLACED = "stands beside config, not inside it, so that it is no job: write config: {{{key}: …}}"
_CONFIG = {**unsupported_keys.IGNORED_TOP_LEVEL, "scrape_config_files": "put the jobs of these files into this one"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One entry of service.pipelines: names of components. `is_metrics` says what it carries."""

    is_metrics: bool
    receivers: tuple[str, ...]
    processors: tuple[str, ...]
    exporters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """One way of samples from a prometheus receiver to an exporter, through every processor and connector between."""

    receiver: str
    between: tuple[str, ...]
    exporter: str


@dataclass(slots=True)
class Collector:
    """The input, the routes through it, what is taken over, and the comments at the top and the end of the result."""

    top: Map
    dropped: DroppedKeys
    pipelines: list[Pipeline] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    receivers: list[PrometheusReceiver] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    leftovers: list[Comment] = field(default_factory=list)
    warnings: list[Comment] = field(default_factory=list)

    def leave(self, entry: Entry, why: str) -> None:
        """Drops an entry. Comments about changed data stand at the top of the result, others at the end."""
        comment = self.dropped.note(entry, why, name=entry.path)
        (self.warnings if why.startswith("CHANGES") else self.leftovers).append(comment)

    def components(self, section: str) -> list[Entry]:
        return self.top.map(section).pairs()

    def names(self, section: str) -> list[str]:
        return [component.key for component in self.components(section)]

    @property
    def written(self) -> list[Route]:
        """The routes that end at a remote-write exporter."""
        defined = self.names("exporters")
        return [
            route
            for route in self.routes
            if route.exporter in defined and components.type_of(route.exporter) == components.REMOTE_WRITE
        ]

    @property
    def kept(self) -> list[Route]:
        """The routes whose jobs are taken over: those that are written, or all when an endpoint has yet to be named."""
        return self.written or self.routes

    def feeding(self, exporter_name: str) -> set[str]:
        """The receivers whose data reaches an exporter."""
        return {route.receiver for route in self.routes if route.exporter == exporter_name}


@dataclass(slots=True)
class PrometheusReceiver:
    """A prometheus receiver that is in use: its `global`, and the jobs it becomes."""

    name: str
    common: Map
    jobs: list[Entry]


def convert(top: Map, dropped: DroppedKeys, given: Mapping[str, str]) -> Map:
    """`given` are values of environment variables. The result has global, scrape_configs and remote_write."""
    for entry in top.pairs():
        expansion.expand(entry.value, given)
    collector = Collector(top, dropped)
    _read_service(collector)
    collector.receivers = receivers = _receivers(collector)
    collector.endpoints = endpoints = _endpoints(collector)
    jobs = [job for receiver in receivers for job in receiver.jobs]
    extensions = collector.components("extensions")
    observers = [entry for entry in extensions if components.type_of(entry.key) == components.ECS_OBSERVER]
    in_use = ecs_observer.replace(observers, jobs, dropped)
    result = Map()
    settings = _common(receivers)
    _spread_external_labels(endpoints, settings, given)
    _process(collector)
    _route(collector)
    if settings.entries:
        result.put("global", settings)
    result.put("scrape_configs", List([*jobs]), top.get("receivers"))
    into = dict.fromkeys(route.exporter for route in collector.routes) or collector.names("exporters")
    if endpoints:
        section = result.put("remote_write", List([one.finished() for one in endpoints]), top.get("exporters"))
        section.above = [*section.above, *exporter.what_changes(endpoints)]
    elif (names := ", ".join(into)) and (exporters := top.get("exporters")):
        result.entries.append(dropped.by_hand(exporters, _NO_ENDPOINT.format(names=names)))
    else:
        result.entries.append(Comment(prometheus.NO_ENDPOINT))
    expansion.resolve(result, dropped)
    _leave_the_rest(collector, in_use)
    result.entries += [Comment("", above=[""]), *collector.leftovers] if collector.leftovers else []
    result.entries[:0] = [*collector.warnings, Comment("", above=[""])] if collector.warnings else []
    return result


# service


def _read_service(collector: Collector) -> None:
    service = collector.top.map("service")
    for entry in service.map("pipelines").pairs():
        is_metrics = components.type_of(entry.key) == _METRICS
        collector.pipelines.append(Pipeline(is_metrics, *(tuple(entry.map.texts(key)) for key in _PARTS)))
        if not is_metrics:
            collector.leave(entry, "only metrics are handled here")
    if telemetry := service.get("telemetry"):
        collector.leave(telemetry, "the function reports its own metrics")
    if not service.get("pipelines"):  # a part of a config that was pasted: everything in it counts
        receivers, processors, exporters = (tuple(collector.names(key)) for key in _PARTS)
        collector.pipelines.append(Pipeline(True, receivers, processors, exporters or (_ANY_EXPORTER,)))
    for name in collector.names("receivers"):
        if components.type_of(name) == components.PROMETHEUS:
            collector.routes += dict.fromkeys(_onward(collector, name, name, ()))


def _onward(collector: Collector, start: str, source: str, between: tuple[str, ...]) -> Iterator[Route]:
    """The routes through all pipelines of metrics that a receiver, or a connector in its place, feeds."""
    connectors = collector.names("connectors")
    for pipeline in collector.pipelines:
        if not pipeline.is_metrics or source not in pipeline.receivers:
            continue
        passed = (*between, *pipeline.processors)
        for name in pipeline.exporters:
            if name not in connectors:
                yield Route(start, passed, name)
            elif components.type_of(name) in components.PASSING and name not in between:
                yield from _onward(collector, start, name, (*passed, name))


def _leave_the_rest(collector: Collector, observers: set[str]) -> None:
    """Components that are in no pipeline or mean nothing here, each by name."""
    for entry in collector.components("connectors"):
        _leave_connector(collector, entry)
    referenced = {endpoint.authenticator for endpoint in collector.endpoints} | observers
    for entry in collector.components("extensions"):
        if entry.key not in referenced:
            collector.leave(entry, components.unneeded(entry.key))


def _leave_connector(collector: Collector, entry: Entry) -> None:
    detail = components.PASSING.get(components.type_of(entry.key))
    if any(entry.key in route.between for route in collector.written):
        collector.leave(entry, detail or "not needed: samples go from the jobs to every endpoint directly")
    elif any(entry.key in one.exporters for one in collector.pipelines if _carries_scraped(collector, one)):
        collector.leave(entry, _NOT_WRITTEN if detail is not None else _MADE)
    else:
        collector.leave(entry, _NO_PROMETHEUS)


def _carries_scraped(collector: Collector, pipeline: Pipeline) -> bool:
    """True when samples of a prometheus receiver come into a pipeline."""
    carriers = {name for route in collector.routes for name in (route.receiver, *route.between)}
    return pipeline.is_metrics and any(name in carriers for name in pipeline.receivers)


# processors


def _process(collector: Collector) -> None:
    """Says what each processor did to scraped data; a filter by names becomes rules."""
    used = {name for line in collector.pipelines for name in line.processors}
    undefined = sorted(used.difference(collector.names("processors")))
    others = [Entry(name, scalar(""), path=f"service.pipelines.{name}") for name in undefined]
    for entry in [*collector.components("processors"), *others]:
        routes = [route for route in collector.kept if entry.key in route.between]
        using = [line for line in collector.pipelines if entry.key in line.processors]
        if routes:
            if not _filter(collector, entry, routes):
                collector.leave(entry, _of_processor(collector, entry.key, routes))
        elif any(_carries_scraped(collector, line) for line in using):
            collector.leave(entry, _NOT_WRITTEN)
        elif any(line.is_metrics for line in using):
            collector.leave(entry, _NO_PROMETHEUS)
        else:
            collector.leave(entry, "only metrics are handled here" if using else _NO_PIPELINE)


def _of_processor(collector: Collector, name: str, routes: list[Route]) -> str:
    """What a processor did, and to which samples when not all went through it."""
    detail = components.processor(name)
    if components.type_of(name) in components.OF_RESOURCES and not _reaches_series(collector, name, routes):
        return components.ONLY_IN_TARGET_INFO
    if len(routes) == len(collector.kept) or not detail.startswith("CHANGES"):
        return detail
    rest = [route for route in collector.kept if route not in routes]
    whole = dict.fromkeys(route.receiver for route in routes)
    if whole.keys().isdisjoint(route.receiver for route in rest):
        return f"{detail} (what {', '.join(whole)} scraped)"
    ways = dict.fromkeys(f"from {route.receiver} to {route.exporter}" for route in routes)
    return f"{detail} (what went {', '.join(ways)})"


def _reaches_series(collector: Collector, name: str, routes: list[Route]) -> bool:
    """True when what a processor sets in a resource becomes a label: an exporter makes labels of all attributes, and of
    service.name, service.namespace and service.instance.id always (they are job and instance). Other exporters than
    remote write send resources with their samples."""
    if any(components.type_of(route.exporter) != components.REMOTE_WRITE for route in routes):
        return True
    exporters = collector.top.map("exporters")
    converted = (exporters.map(route.exporter).map("resource_to_telemetry_conversion") for route in routes)
    set_here = collector.top.map("processors").map(name).maps("attributes")
    return any(block.text("enabled") == "true" for block in converted) or any(
        block.text("key").startswith("service.") for block in set_here
    )


def _filter(collector: Collector, entry: Entry, routes: list[Route]) -> bool:
    """Puts a filter's rules where all samples of its routes pass, and no others do; True when that could be done."""
    if components.type_of(entry.key) != components.FILTER or any(_is_renamed(route, entry.key) for route in routes):
        return False
    rules = filter_processor.rules(entry.value)
    if rules is None:
        return False
    rest = [route for route in collector.kept if route not in routes]
    filtered = {route.receiver for route in routes}
    into = {route.exporter for route in routes}
    if filtered.isdisjoint(route.receiver for route in rest):
        for job in [job for one in collector.receivers if one.name in filtered for job in one.jobs if rules]:
            detail = Comment(f"{entry.key}: {_FILTERED}{_STAY}")
            rules_of(job.map, "metric_relabel_configs").entries += [detail, *copy.deepcopy(rules)]
    elif into.isdisjoint(route.exporter for route in rest):
        for endpoint in collector.endpoints:
            if rules and endpoint.exporter.key in into:  # before its namespace, which is part of no name there
                endpoint.relabel.entries[:0] = [Comment(f"{entry.key}: {_FILTERED}"), *copy.deepcopy(rules)]
    else:
        return False
    return True


def _is_renamed(route: Route, name: str) -> bool:
    """True when something before a processor may have changed names."""
    before = route.between[: route.between.index(name)]
    kinds = map(components.type_of, before)
    return not all(kind in components.KEEPS_NAMES or kind in components.PASSING for kind in kinds)


# receivers


def _receivers(collector: Collector) -> list[PrometheusReceiver]:
    """The receivers whose samples are written, or all that have a pipeline when nothing is."""
    running = {name for line in collector.pipelines if line.is_metrics for name in line.receivers}
    used = {route.receiver for route in collector.written} or running
    found: list[PrometheusReceiver] = []
    for entry in collector.components("receivers"):
        if components.type_of(entry.key) != components.PROMETHEUS:
            collector.leave(entry, "only prometheus receivers are taken over: nothing listens or measures here")
        elif entry.key not in used:
            collector.leave(entry, _NOT_WRITTEN if entry.key in running else _NO_PIPELINE)
        else:
            found.append(_receiver(entry, collector))
    _make_names_unique(found, collector.dropped)
    return found


def _receiver(entry: Entry, collector: Collector) -> PrometheusReceiver:
    settings = entry.map
    config = settings.map("config")
    for setting in settings.pairs():
        if setting.key in _OF_PROMETHEUS:
            detail = _MISPLACED.format(key=setting.key)
            collector.dropped.by_hand(setting, detail)
            collector.leftovers.append(Comment(f"TO DO: {setting.path} {detail}"))
        elif setting.key not in ("config", "report_extra_scrape_metrics"):
            collector.leave(setting, _RECEIVER.get(setting.key, "has no counterpart here"))
    for part in config.pairs():
        if part.key not in ("global", "scrape_configs"):
            collector.leave(part, _CONFIG.get(part.key, "has no counterpart here"))
    prometheus.tidy_global(config.map("global"), collector.dropped)
    jobs = prometheus.jobs_of(config)
    for job in jobs:
        prometheus.tidy_job(job, collector.dropped)
    extra = settings.get("report_extra_scrape_metrics")
    receiver = PrometheusReceiver(entry.key, config.map("global"), jobs)
    if extra and extra.text == "true":
        _put_in_jobs(receiver, Entry("extra_scrape_metrics", extra.value))
    return receiver


def _put_in_jobs(receiver: PrometheusReceiver, entry: Entry) -> None:
    for job in receiver.jobs:
        if job.map.get(entry.key) is None:
            job.map.put(entry.key, entry.value)


def _make_names_unique(receivers: list[PrometheusReceiver], dropped: DroppedKeys) -> None:
    """A job name of two receivers: the later job gets another, and keeps its label."""
    taken: set[str] = set()
    for receiver in receivers:
        for job in receiver.jobs:
            entry = job.map.get("job_name")
            if entry is None:
                continue
            if entry.text in taken:
                sets = rule(target_label="job", replacement=entry.text.replace("$", "$$"))
                rules_of(job.map, "relabel_configs").entries.insert(0, sets)
                detail = f"another receiver has a job {entry.text!r}, and names are unique in a file"
                dropped.change(entry, f"renamed: {detail}; the label job stays {entry.text!r}")
                name = f"{entry.text}-{receiver.name.partition('/')[2] or '2'}"
                entry.value = scalar(prometheus.free_name(name, taken))
            taken.add(entry.text)


# global


def _common(receivers: list[PrometheusReceiver]) -> Map:
    """What all receivers have in their `global`; their jobs take over the rest."""
    blocks = [receiver.common for receiver in receivers]
    common = Map([entry for entry in blocks[0].entries if _is_in_all(entry, blocks)]) if blocks else Map()
    own = [(one, entry) for one in receivers for entry in one.common.pairs() if not common.get(entry.key)]
    for receiver, entry in own:
        if entry.key == "external_labels" and isinstance(entry.value, Map):
            _label_jobs(receiver, entry.value)
        else:
            _put_in_jobs(receiver, entry)
    if own:
        common.entries.append(Comment("where the receivers' globals differ, each job has its own"))
    return common


def _is_in_all(entry: Entry | Comment, blocks: list[Map]) -> bool:
    if isinstance(entry, Comment):
        return True
    found = [block.get(entry.key) for block in blocks]
    return len({render(Map([Entry("", one.value)])) if one else "" for one in found}) == 1


def _label_jobs(receiver: PrometheusReceiver, labels: Map) -> None:
    """The receiver set them on every series, whatever label was there."""
    for job in receiver.jobs:
        for label in labels.pairs():
            sets = rule(target_label=label.key)
            place = Entry("", label.value, label.line, label.path)
            sets.map.put("replacement", exporter.replacement(label.value), place)
            rules_of(job.map, "relabel_configs").entries.append(sets)


# exporters


def _endpoints(collector: Collector) -> list[Endpoint]:
    receivers = {receiver.name for receiver in collector.receivers}
    used = {name for line in collector.pipelines for name in line.exporters}
    found: list[Endpoint] = []
    for entry in collector.components("exporters"):
        if components.type_of(entry.key) != components.REMOTE_WRITE:
            collector.leave(entry, "only remote write is spoken here")
        elif entry.key not in used:
            collector.leave(entry, _NO_PIPELINE)
        elif not collector.feeding(entry.key) & receivers:
            collector.leave(entry, "no prometheus receiver feeds it")
        else:
            found.append(exporter.endpoint(entry, collector.top.map("extensions"), collector.dropped))
    if len(found) > 1:
        for endpoint in found:
            endpoint.block.put("name", scalar(endpoint.exporter.key))
    return found


def _spread_external_labels(endpoints: list[Endpoint], settings: Map, given: Mapping[str, str]) -> None:
    """Labels that all exporters add are external labels; what only some add goes into their relabelling."""
    if len({render(endpoint.external_labels) for endpoint in endpoints}) > 1:
        for endpoint in endpoints:
            labels = endpoint.external_labels.pairs()
            endpoint.relabel.entries[:0] = [Entry("", exporter.label_rule(label)) for label in labels]
        return
    for label in (label for endpoint in endpoints[:1] for label in endpoint.external_labels.pairs()):
        external = settings.get("external_labels") or settings.put("external_labels", Map())
        if external.map.get(label.key) is None:
            external.map.put(label.key, expansion.external_label(label.value, given), label)


def _route(collector: Collector) -> None:
    """Every job goes to every endpoint here; an exporter that some receivers did not feed keeps the others' jobs."""
    receivers = collector.receivers
    for endpoint in collector.endpoints:
        feeding = collector.feeding(endpoint.exporter.key)
        fed = [receiver for receiver in receivers if receiver.name in feeding]
        if fed == receivers:
            continue
        names = {label for receiver in fed for label in _job_labels(receiver)}
        pattern = "|".join(escaped(name) for name in sorted(names))
        detail = (
            f"only {', '.join(receiver.name for receiver in fed)} fed this exporter: the rule goes by the label job"
        )
        others = {label for receiver in receivers if receiver not in fed for label in _job_labels(receiver)}
        if both := sorted(names & others):
            detail += f", and {', '.join(both)} of another receiver comes along"
            collector.dropped.entries.append(Dropped(endpoint.exporter.path, endpoint.exporter.line, detail))
        endpoint.relabel.entries[:0] = [Comment(detail), rule(("job",), flow=False, regex=pattern, action="keep")]


def _job_labels(receiver: PrometheusReceiver) -> list[str]:
    """The label job of each job: its name, or what its first rule makes of that."""
    found = []
    for block in (job.map for job in receiver.jobs):
        rules = block.maps("relabel_configs")
        is_renamed = bool(rules) and rules[0].text("target_label") == "job" and not rules[0].get("source_labels")
        found.append(rules[0].text("replacement").replace("$$", "$") if is_renamed else block.text("job_name"))
    return found
