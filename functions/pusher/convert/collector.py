"""An OpenTelemetry (ADOT) collector's config -> ours: the jobs of its prometheus receivers, and its remote-write
exporters, wired as its pipelines wire them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..config import foreign
from . import expansion, exporter, prometheus
from .exporter import Endpoint
from .render import render
from .tree import Dropped, Entry, List, Losses, Map, Remark, Value, comment, listing, mapping, scalar

_METRICS = "metrics"
_NO_PIPELINE = "no pipeline of metrics uses it"
_NOT_NEEDED = {
    "batch": "not needed: samples are packed into full requests",
    "memory_limiter": "not needed: the function's memory is the limit, and pages are read in pieces",
}
_PROCESSORS = {
    "filter": "write keep and drop rules into metric_relabel_configs",
    "attributes": "write the labels into metric_relabel_configs, or into labels of static_configs",
    "resource": "write the labels into relabel_configs",
    "resourcedetection": "take the labels from the discovery's __meta_ labels with relabel_configs",
    "metricstransform": "write renames and drops into metric_relabel_configs",
    "transform": "write renames and drops into metric_relabel_configs",
    "k8sattributes": "take the labels from the discovery with relabel_configs",
    "cumulativetodelta": "remote write takes cumulative counters as they are; leave it out",
    "deltatorate": "let the query do it: rate()",
}
_RECEIVER = {
    "use_start_time_metric": "remote write 1.0 sends no start times",
    "start_time_metric_regex": "remote write 1.0 sends no start times",
    "trim_metric_suffixes": "CHANGES NAMES: metrics keep the names that their pages give them",
    "target_allocator": "its jobs come from elsewhere: write them here as scrape_configs",
    "api_server": "nothing listens here",
}
_CONFIG = {**foreign.IGNORED_TOP_LEVEL, "scrape_config_files": "put the jobs of these files into this one"}
_NEVER_TAKEN = {
    "connectors": "data goes from the jobs to every endpoint directly",
    "processors": _NO_PIPELINE,
    "extensions": "nothing here needs it",
}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One entry of service.pipelines: names of components."""

    receivers: tuple[str, ...]
    processors: tuple[str, ...]
    exporters: tuple[str, ...]


@dataclass(slots=True)
class Collector:
    """The input, what of it is used, and what is said at the end of the result."""

    top: Map
    losses: Losses
    pipelines: list[Pipeline] = field(default_factory=list)
    leftovers: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)

    def leave(self, entry: Entry, why: str) -> None:
        """What changes data is said first, everything else at the end."""
        remark = self.losses.note(entry, why, name=entry.path)
        (self.warnings if why.startswith("CHANGES") else self.leftovers).append(remark)

    def feeding(self, exporter_name: str) -> set[str]:
        """The receivers whose data reaches an exporter."""
        return {name for line in self.pipelines if exporter_name in line.exporters for name in line.receivers}


@dataclass(slots=True)
class Receiver:
    """A prometheus receiver that is in use, and the jobs it becomes."""

    name: str
    settings: Map
    jobs: list[Entry]

    @property
    def common(self) -> Map:
        """Its `global`."""
        return self.settings.map("config").map("global")


def convert(top: Map, losses: Losses, given: Mapping[str, str]) -> Map:
    """`given` are values of environment variables. The result has global, scrape_configs and remote_write."""
    for entry in top.pairs():
        expansion.expand(entry.value, given)
    collector = Collector(top, losses)
    _read_service(collector)
    receivers = _receivers(collector)
    endpoints = _endpoints(collector, {receiver.name for receiver in receivers})
    result = Map()
    settings = _common(receivers)
    _spread_external_labels(endpoints, settings, given)
    _route(collector, receivers, endpoints)
    if settings.entries:
        result.put("global", settings)
    result.put("scrape_configs", List([job for receiver in receivers for job in receiver.jobs]), top.get("receivers"))
    if endpoints:
        section = result.put("remote_write", List([_as_item(one) for one in endpoints]), top.get("exporters"))
        if any(endpoint.renames for endpoint in endpoints):
            section.above = [*section.above, *comment(exporter.RENAMES)]
    else:
        result.entries.append(Remark(prometheus.NO_ENDPOINT))
    expansion.settle(result, losses)
    _leave_the_rest(collector, endpoints)
    result.entries += [Remark("", above=[""]), *collector.leftovers] if collector.leftovers else []
    result.entries[:0] = [*collector.warnings, Remark("", above=[""])] if collector.warnings else []
    return result


def _as_item(endpoint: Endpoint) -> Entry:
    exporter_entry = endpoint.exporter
    above = exporter_entry.above
    return Entry("", endpoint.finished(), exporter_entry.line, exporter_entry.path, above=above)


# service


def _read_service(collector: Collector) -> None:
    service = collector.top.map("service")
    for entry in service.map("pipelines").pairs():
        block = entry.value if isinstance(entry.value, Map) else Map()
        if entry.key.partition("/")[0] == _METRICS:
            parts = (tuple(block.texts(key)) for key in ("receivers", "processors", "exporters"))
            collector.pipelines.append(Pipeline(*parts))
        else:
            collector.leave(entry, "only metrics are handled here")
    if telemetry := service.get("telemetry"):
        collector.leave(telemetry, "the function reports its own metrics")
    if not service.get("pipelines"):  # a part of a config that was pasted: everything in it counts
        sections = (collector.top.map(key) for key in ("receivers", "processors", "exporters"))
        collector.pipelines.append(Pipeline(*(tuple(pair.key for pair in section.pairs()) for section in sections)))


def _leave_the_rest(collector: Collector, endpoints: list[Endpoint]) -> None:
    """Components that are in no pipeline or mean nothing here, each by name."""
    used = {name for line in collector.pipelines for name in line.processors}
    referenced = {endpoint.authenticator for endpoint in endpoints}
    for section, why in _NEVER_TAKEN.items():
        for entry in collector.top.map(section).pairs():
            if entry.key in used and section == "processors":
                collector.leave(entry, _of_processor(entry.key))
            elif entry.key not in referenced or section != "extensions":
                collector.leave(entry, why)
    defined = {pair.key for pair in collector.top.map("processors").pairs()}
    for name in sorted(used - defined):
        entry = Entry(name, scalar(""), path=f"service.pipelines.{name}")
        collector.leave(entry, _of_processor(name))


def _of_processor(name: str) -> str:
    kind = name.partition("/")[0]
    if kind in _NOT_NEEDED:
        return _NOT_NEEDED[kind]
    return f"CHANGES DATA and is not translated: {_PROCESSORS.get(kind, 'what it did has to be done in relabelling')}"


# receivers


def _receivers(collector: Collector) -> list[Receiver]:
    used = {name for line in collector.pipelines for name in line.receivers}
    found: list[Receiver] = []
    for entry in collector.top.map("receivers").pairs():
        if entry.key.partition("/")[0] != "prometheus":
            collector.leave(entry, "only prometheus receivers are taken over: nothing listens or measures here")
        elif entry.key not in used:
            collector.leave(entry, _NO_PIPELINE)
        else:
            found.append(_receiver(entry, collector))
    _make_names_unique(found, collector.losses)
    return found


def _receiver(entry: Entry, collector: Collector) -> Receiver:
    settings = entry.value if isinstance(entry.value, Map) else Map()
    config = settings.map("config")
    for setting in settings.pairs():
        if setting.key not in ("config", "report_extra_scrape_metrics"):
            collector.leave(setting, _RECEIVER.get(setting.key, "has no counterpart here"))
    for part in config.pairs():
        if part.key not in ("global", "scrape_configs"):
            collector.leave(part, _CONFIG.get(part.key, "has no counterpart here"))
    prometheus.tidy_global(config.map("global"), collector.losses)
    jobs = prometheus.jobs_of(config)
    for job in jobs:
        prometheus.tidy_job(job, collector.losses)
    extra = settings.get("report_extra_scrape_metrics")
    receiver = Receiver(entry.key, settings, jobs)
    if extra and extra.text == "true":
        _put_in_jobs(receiver, Entry("extra_scrape_metrics", extra.value, extra.line, extra.path))
    return receiver


def _put_in_jobs(receiver: Receiver, entry: Entry) -> None:
    for job in receiver.jobs:
        if isinstance(job.value, Map) and job.value.get(entry.key) is None:
            job.value.put(entry.key, entry.value)


def _make_names_unique(receivers: list[Receiver], losses: Losses) -> None:
    """A job name of two receivers: the later job gets another, and keeps its label."""
    taken: set[str] = set()
    for receiver in receivers:
        for job in receiver.jobs:
            entry = job.value.get("job_name") if isinstance(job.value, Map) else None
            if entry is None or not isinstance(job.value, Map):
                continue
            if entry.text in taken:
                _rename(job, job.value, entry, _free_name(entry.text, receiver.name, taken), losses)
            taken.add(entry.text)


def _free_name(name: str, receiver: str, taken: set[str]) -> str:
    suffix = receiver.partition("/")[2] or "2"
    found, count = f"{name}-{suffix}", 2
    while found in taken:
        found, count = f"{name}-{suffix}-{count}", count + 1
    return found


def _rename(job: Entry, block: Map, entry: Entry, name: str, losses: Losses) -> None:
    rule = mapping(flow=True, target_label="job", replacement=entry.text.replace("$", "$$"))
    said = f"another receiver has a job {entry.text!r}, and names are unique in a file"
    losses.change(entry, f"renamed: {said}; the label job stays {entry.text!r}")
    entry.value = scalar(name)
    _relabel(block).entries.insert(0, Entry("", rule))


def _relabel(block: Map) -> List:
    entry = block.get("relabel_configs")
    if entry is None or not isinstance(entry.value, List):
        entry = block.put("relabel_configs", List())
    assert isinstance(entry.value, List)  # noqa: S101 - it was made a list just now
    return entry.value


# global


def _common(receivers: list[Receiver]) -> Map:
    """What all receivers have in their `global`; their jobs take over the rest."""
    blocks = [receiver.common for receiver in receivers]
    common = Map([entry for entry in blocks[0].entries if _is_in_all(entry, blocks)]) if blocks else Map()
    for receiver, block in zip(receivers, blocks, strict=True):
        for entry in block.pairs():
            if common.get(entry.key):
                continue
            if entry.key == "external_labels" and isinstance(entry.value, Map):
                _label_jobs(receiver, entry.value)
            else:
                _put_in_jobs(receiver, entry)
    if any(pair for block in blocks for pair in block.pairs() if common.get(pair.key) is None):
        common.entries.append(Remark("where the receivers' globals differ, each job has its own"))
    return common


def _is_in_all(entry: Entry | Remark, blocks: list[Map]) -> bool:
    if isinstance(entry, Remark):
        return True
    others = [block.get(entry.key) for block in blocks]
    return all(
        other and render(Map([Entry("", other.value)])) == render(Map([Entry("", entry.value)])) for other in others
    )


def _label_jobs(receiver: Receiver, labels: Map) -> None:
    """The receiver set them on every series, whatever label was there."""
    for job in receiver.jobs:
        for label in labels.pairs():
            if isinstance(job.value, Map):
                rule = Map([Entry("target_label", scalar(label.key))], flow=True)
                rule.put("replacement", exporter.replacement(label.value)).path = label.path
                rule.pairs()[-1].line = label.line
                _relabel(job.value).entries.append(Entry("", rule))


# exporters


def _endpoints(collector: Collector, receivers: set[str]) -> list[Endpoint]:
    used = {name for line in collector.pipelines for name in line.exporters}
    found: list[Endpoint] = []
    for entry in collector.top.map("exporters").pairs():
        if entry.key.partition("/")[0] not in exporter.KINDS:
            collector.leave(entry, "only remote write is spoken here")
        elif entry.key not in used:
            collector.leave(entry, _NO_PIPELINE)
        elif not collector.feeding(entry.key) & receivers:
            collector.leave(entry, "no prometheus receiver feeds it")
        else:
            found.append(exporter.endpoint(entry, collector.top.map("extensions"), collector.losses))
    if len(found) > 1:
        for endpoint in found:
            endpoint.block.put("name", scalar(endpoint.exporter.key))
    return found


def _spread_external_labels(endpoints: list[Endpoint], settings: Map, given: Mapping[str, str]) -> None:
    """Labels that all exporters add are external labels; what only some add goes into their relabelling."""
    if not endpoints or not any(endpoint.external_labels.pairs() for endpoint in endpoints):
        return
    first = endpoints[0].external_labels
    if len({render(endpoint.external_labels) for endpoint in endpoints}) > 1:
        for endpoint in endpoints:
            labels = endpoint.external_labels.pairs()
            endpoint.relabel.entries[:0] = [Entry("", exporter.label_rule(label)) for label in labels]
        return
    external = settings.get("external_labels") or settings.put("external_labels", Map())
    for label in first.pairs():
        if isinstance(external.value, Map) and external.value.get(label.key) is None:
            external.value.put(label.key, _external(label.value, given), label)


def _external(value: Value, given: Mapping[str, str]) -> Value:
    return value if isinstance(value, Map | List) else expansion.external_label(value, given)


def _route(collector: Collector, receivers: list[Receiver], endpoints: list[Endpoint]) -> None:
    """Every job goes to every endpoint here; an exporter that some receivers did not feed keeps the others' jobs."""
    for endpoint in endpoints:
        feeding = collector.feeding(endpoint.exporter.key)
        if all(receiver.name in feeding for receiver in receivers):
            continue
        fed = [receiver for receiver in receivers if receiver.name in feeding]
        names = {label for receiver in fed for label in _job_labels(receiver)}
        rule = Map()
        rule.put("source_labels", listing(scalar("job"), flow=True))
        rule.put("regex", scalar("|".join(_escaped(name) for name in sorted(names))))
        rule.put("action", scalar("keep"))
        said = f"only {', '.join(receiver.name for receiver in fed)} fed this exporter: the rule goes by the label job"
        others = {label for receiver in receivers if receiver not in fed for label in _job_labels(receiver)}
        if both := sorted(names & others):
            said += f", and {', '.join(both)} of another receiver comes along"
            collector.losses.dropped.append(Dropped(endpoint.exporter.path, endpoint.exporter.line, said))
        endpoint.relabel.entries[:0] = [Remark(said), Entry("", rule)]


def _job_labels(receiver: Receiver) -> list[str]:
    """The label job of each job: its name, or what its first rule makes of that."""
    found = []
    for job in receiver.jobs:
        block = job.value if isinstance(job.value, Map) else Map()
        rules = [item.value for item in block.items("relabel_configs") if isinstance(item.value, Map)]
        is_renamed = bool(rules) and rules[0].text("target_label") == "job" and not rules[0].get("source_labels")
        found.append(rules[0].text("replacement").replace("$$", "$") if is_renamed else block.text("job_name"))
    return found


def _escaped(text: str) -> str:
    """The text as RE2 matches it literally."""
    return re.sub(r"([^A-Za-z0-9_ :/-])", r"\\\1", text)
