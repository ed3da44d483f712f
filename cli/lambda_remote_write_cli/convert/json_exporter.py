"""A json_exporter config -> json_configs: one job per module, or per job of Prometheus that uses it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

from lambda_remote_write.config import scalars, templates

from . import go_template, jsonpath, probe_job, prometheus
from .http_client import AUTHENTICATIONS, move_userinfo, put_headers
from .jsonpath import Untranslatable
from .layouts import ModulesConfig, with_modules
from .probes import Probe, ProbeJobs
from .render import commented, flow_text
from .tree import Comment, DroppedKeys, Entry, List, Map, Scalar, is_empty, listing, mapping, scalar

_PLACEHOLDER = "https://CHANGE.ME/"
_SEVERAL = "# for several addresses: static_configs in its place, as in a scrape job"
_KINDS = {"gauge": "gauge", "counter": "counter", "untyped": ""}
_DIFFERENCES = (
    'Here a text such as "true" is no number (a boolean is), a label that is null is absent, and one that is a list or '
    'an object takes its sample along, which the job\'s `skipped` counts. json_exporter makes 1, "null" and JSON of '
    "them. To have them as there: pusher convert --exact"
)
_OLD_DIFFERENCES = (
    "Here a null value gives no sample; json_exporter 0.1 and 0.2 made NaN of it. A label that is null is absent, and "
    'one that is a list or an object takes its sample along, which the job\'s `skipped` counts; they made "null" and '
    "JSON of them. To have labels as there: pusher convert --exact"
)
_NUMBERS = (
    "A number in a label stays as the document has it. json_exporter writes 1.0 as 1 and 1234567 as 1.234567e+06: "
    "series with such labels begin anew."
)
_COMPARES = (
    "A record that lacks what a filter compares costs json_exporter the whole metric; here the filter passes it over, "
    "so that there may be series that were not there."
)
_ONLY_HERE = (
    "json_exporter compares no JSON number with an integer and finds nothing by this filter (with 5.0 for 5 it would); "
    "here it works, so there are series that were not there"
)
_FIRST_COUNTS = "json_exporter has no value when the path finds several; here the first one counts"
_MILLISECONDS = "milliseconds, as json_exporter reads it; seconds would be unix"
_IGNORED_SPELLING = (
    "json_exporter reads epochtimestamp and ignores this spelling, so its samples had the time of the scrape and still "
    "do. For the record's own time: timestamp: {hint}, or unix when it counts seconds"
)
_OTHER_KEY = "json_exporter does not read this key either"
_BY_HAND = "write it by hand in JMESPath"
_ENGINE = (
    "{name} is for the engine {engine}, and only JSONPath is translated: write its path, values and labels by hand in "
    "JMESPath"
)
_BODY_BY_HAND = (
    "Write the body that is to be sent: {now} and {now-1h} in it are times, {label.NAME} is a label of the target"
)
_BODY_BRACES = (
    "{names}: filled here, where json_exporter sends these characters. Write them in another way: in JSON \\u007b is "
    "the opening brace"
)
_HEADER_COUNTS = "the header Authorization is sent in its place"
_TRANSFORMATION = (
    "a build of json_exporter that reads this key changes the document first, and only JSONPath is translated: write "
    "the paths for the document as the API answers it"
)
_ZONE = "# UTC, where json_exporter took the zone of its machine; another one is a timezone beside format"
_NO_JOB_ASKS = "the parameters are those of Prometheus's request, which pusher convert --prometheus FILE reads"


def convert(top: Map, dropped: DroppedKeys, targets: Map | None = None, *, exact: bool = False) -> Map:
    """`targets` is the prometheus.yml whose jobs use the modules. `exact`: see `jsonpath.label_expression`; and words
    for a truth are numbers."""
    layout = with_modules(top)
    reading = Reading(exact, layout.old_paths)
    jobs = List()
    names: set[str] = set()
    probes = ProbeJobs(targets or Map())
    for module in layout.top.map("modules").pairs():
        if isinstance(module.value, Map):
            jobs.entries += _jobs(_Module(module, module.value, dropped, reading), layout.address, probes, names)
    others = [dropped.note(entry, _OTHER_KEY) for entry in layout.top.pairs() if entry.key != "modules"]
    result = Map([*_comments(layout, exact=exact)])
    if targets:
        probe_job.put_global(result, targets, dropped)
    result.entries += [Entry("json_configs", jobs), *others, Comment(prometheus.NO_ENDPOINT, above=[""])]
    return result


def _comments(layout: ModulesConfig, *, exact: bool) -> list[Comment]:
    """Where samples differ from those of json_exporter."""
    metrics = [metric for module in layout.top.map("modules").pairs() for metric in module.map.maps("metrics")]
    labels = _paths(pair.text for metric in metrics for pair in metric.map("labels").pairs())
    values = _paths(pair.text for metric in metrics for pair in metric.pairs() + metric.map("values").pairs())
    texts = {
        _OLD_DIFFERENCES: layout.old_paths and not exact,
        _DIFFERENCES: not layout.old_paths and not exact,
        _NUMBERS: not layout.old_paths and bool(labels),
        _COMPARES: not layout.old_paths and any(path.compares for path in (*labels, *values)),
    }
    return [Comment(text, below=[""]) for text, is_so in texts.items() if is_so]


def _paths(texts: Iterable[str]) -> list[jsonpath.Path]:
    return [path for text in texts for path in jsonpath.paths_of(text)]


def _jobs(translated: _Module, address: str, probes: ProbeJobs, names: set[str]) -> Iterator[Entry | Comment]:
    """`address` is a comment that says where the target stood, for a module that no job uses."""
    module = translated.entry
    if not translated.metrics.pairs():
        yield translated.dropped.note(module, "none of its metrics is translated")
        yield from translated.metrics.entries
        return
    found: list[Probe | None] = [*probes.of(module.key)]
    above = module.above if found else [*module.above, address]
    for probe in found or [None]:
        name = prometheus.free_name(probe.name if probe else module.key, names)
        names.add(name)
        if probe and probe.name == name:
            above = [*above, *probe.job.above]
        yield Entry("", translated.job(name, probe), module.line, module.path, above=above)
        above = []


@dataclass(frozen=True, slots=True)
class Reading:
    """`exact`: labels and values as json_exporter makes them; `old_paths`: as 0.1 and 0.2 do."""

    exact: bool = False
    old_paths: bool = False


# one module


@dataclass(slots=True)
class _Module:
    """A module, its metrics translated once."""

    entry: Entry
    block: Map
    dropped: DroppedKeys
    reading: Reading = field(default_factory=Reading)
    client: Map = field(default_factory=Map)
    metrics: List = field(default_factory=List)

    def __post_init__(self) -> None:
        for key in self.block.pairs():
            if not is_empty(key.value):
                self._read(key)

    def _read(self, entry: Entry) -> None:
        match entry.key:
            case "metrics":
                for item in entry.items:
                    self.metrics.entries += _metric(item, self.dropped, self.reading)
            case "headers":
                put_headers(self.client, entry, self.dropped, for_remote_write=False)
            case "http_client_config":
                self.client.entries += map(self._client_entry, entry.map.entries)
            case "body":
                pass  # each job has its own
            case "valid_status_codes":
                self.client.put(entry.key, entry.value, entry)
            case _:
                self.client.entries.append(_other_key(entry, self.dropped))

    def _client_entry(self, entry: Entry | Comment) -> Entry | Comment:
        """Go's client leaves a block out where the request has the header already."""
        has_header = any(header.key.lower() == "authorization" for header in self.block.map("headers").pairs())
        if has_header and isinstance(entry, Entry) and entry.key in AUTHENTICATIONS:
            return self.dropped.note(entry, _HEADER_COUNTS)
        return entry

    def _put_body(self, job: Map, probe: Probe | None) -> None:
        """A template is filled with what Prometheus had asked with."""
        content = self.block.map("body").get("content")
        if content is None or not content.text:
            return
        is_template = _is_true(self.block.map("body").text("templatize")) and "{{" in content.text
        if filled := _filled_here(go_template.without_actions(content.text) if is_template else content.text):
            placed = job.put("body", content.value, content)
            self.dropped.change_by_hand(placed, content, _BODY_BRACES.format(names=", ".join(filled)))
            return
        if not is_template:
            job.put("body", content.value, content)
            return
        try:
            body = go_template.translated(content.text, probe.parameter if probe else _unknown)
        except Untranslatable as error:
            job.put("method", scalar("POST"))
            why = f"the body is a Go template, and {error}. {_BODY_BY_HAND}"
            job.entries.append(self.dropped.note(content, why, name="body", below=commented(Map([content]))))
            return
        style = content.value.style if isinstance(content.value, Scalar) else ""
        job.put("body", Scalar(body.text, style), content)
        if body.variables:
            job.put("refs", mapping(flow=True, **{name: f"env:{name}" for name in body.variables}))
        if body.format:
            zone = {"timezone": body.zone} if body.zone not in ("", "UTC") else {}
            written = job.put("templates", mapping(flow=True, format=body.format, **zone))
            written.beside = "" if body.zone else _ZONE

    def job(self, name: str, probe: Probe | None) -> Map:
        """The json_configs entry, for what Prometheus had asked with this module."""
        job = Map()
        job.put("job_name", scalar(name))
        if probe and not probe.one:
            probe_job.put_targets(job, probe, self.dropped)
        else:
            url = job.put("url", scalar(probe.one.url if probe and probe.one else _PLACEHOLDER))
            url.beside = "" if probe else _SEVERAL
        job.entries += copy.deepcopy(self.client.entries)
        self._put_body(job, probe)
        move_userinfo(job, "url")
        if probe:
            probe_job.put_settings(job, probe)
        job.put("metrics", copy.deepcopy(self.metrics))
        return job


def _unknown(name: str) -> NoReturn:
    raise Untranslatable(_NO_JOB_ASKS)


def _filled_here(text: str) -> list[str]:
    """What would be filled in a text that json_exporter sends as it is."""
    return [f"{{{name}}}" for name in templates.names(text) if name.startswith(("now", "label.", "ref."))]


def _is_true(text: str) -> bool:
    try:
        return scalars.boolean(text)
    except ValueError:
        return False


def _other_key(entry: Entry, dropped: DroppedKeys) -> Comment:
    """Releases read no such key; builds with jq have one that changes the document."""
    if entry.key.lower().startswith("transform"):
        return dropped.by_hand(entry, f"{entry.key}: {_TRANSFORMATION}")
    return dropped.note(entry, _OTHER_KEY)


# one metric


def _metric(item: Entry, dropped: DroppedKeys, reading: Reading) -> list[Entry | Comment]:
    """The metrics of ours that one of theirs becomes, or a comment with the metric as it was."""
    metric = item.map
    name = metric.text("name") or "a metric without a name"
    if (engine := metric.text("engine")) not in ("", "jsonpath"):
        comment = dropped.by_hand(item, _ENGINE.format(name=name, engine=engine))
        return [replace(comment, above=item.above, below=commented(List([Entry("", metric)])))]
    try:
        of_kind = _of_object if metric.text("type") == "object" else _of_value
        found = of_kind(item, _Metric(metric, dropped, reading))
    except (Untranslatable, RecursionError) as error:
        detail = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        written = commented(List([Entry("", metric)]))
        return [dropped.note(item, f"not translated: {detail}; {_BY_HAND}", name=name, below=written)]
    return found


def _of_value(item: Entry, result: _Metric) -> list[Entry | Comment]:
    """Everything is looked up in the whole document, which is the one record."""
    metric = result.metric
    if metric.text("type") not in ("", "value"):
        raise Untranslatable(f"the type {metric.text('type')!r}: allowed are value and object")
    result.head(metric.text("name"), metric.text("path"))
    if any(map(_begins_with_index, [metric.text("path"), *result.label_texts()])):
        result.block.put("records", scalar("[@]"))
    result.value(metric.text("path"))
    result.tail()
    return [result.item(item)]


def _of_object(item: Entry, whole: _Metric) -> list[Entry | Comment]:
    """One metric per value; labels and values are looked up in each object."""
    records = jsonpath.single_path(whole.metric.text("path"), "path")
    values = whole.metric.map("values").pairs()
    if not values:
        raise Untranslatable("an object has values, and this one names none")
    found: list[Entry | Comment] = []
    for entry in values:
        is_first = entry is values[0]  # what all values lack is remembered once
        result = _Metric(whole.metric, whole.dropped if is_first else DroppedKeys(), whole.reading)
        name = f"{whole.metric.text('name')}_{entry.key}"
        result.head(name, entry.text)
        _put_records(result.block, records, any(map(_begins_with_index, [entry.text, *result.label_texts()])))
        try:
            result.value(entry.text)
        except Untranslatable as error:
            written = commented(Map([entry]))
            found.append(whole.dropped.note(entry, f"not translated: {error}; {_BY_HAND}", name=name, below=written))
            continue
        result.tail()
        found.append(result.item(item, is_first=is_first))
    return found


def _begins_with_index(text: str) -> bool:
    """True when some action of a template needs a list as its document."""
    return any(path.begins_with_index for path in _paths([text]))


def _put_records(block: Map, path: jsonpath.Path, has_lists: bool) -> None:
    """`[]` walks a list as fast as can be; where a record may be a list itself, `[*]` leaves it whole."""
    groups = list(path.groups)
    if not has_lists:
        groups = [f"{group[:-3]}[]" if group.endswith("[*]") and "||" not in group else group for group in groups]
    elif path.depth == 0:
        groups = [f"[{groups[0]}]"]
    if groups != ["@"]:
        block.put("records", scalar(groups[0]) if len(groups) == 1 else listing(*map(scalar, groups), flow=True))


@dataclass(slots=True)
class _Metric:
    """One metric of ours in the making, from one of theirs."""

    metric: Map
    dropped: DroppedKeys
    reading: Reading = field(default_factory=Reading)
    block: Map = field(default_factory=Map)

    def label_texts(self) -> list[str]:
        return [label.text for label in self.metric.map("labels").pairs()]

    def head(self, name: str, value: str) -> None:
        self.block.put("name", scalar(name))
        texts = [self.metric.text("path"), value, *self.label_texts()]
        if not self.reading.old_paths and any(path.only_here for path in _paths(texts)):
            self.block.entries.append(Comment(_ONLY_HERE))
        kind = self.metric.text("valuetype")
        if _KINDS.get(kind):
            self.block.put("type", scalar(kind))
        if help_text := self.metric.get("help"):
            self.block.put("help", help_text.value)

    def value(self, text: str) -> None:
        expression = jsonpath.value_expression(text)
        if expression.endswith("| [0]") and not self.reading.old_paths:
            self.block.entries.append(Comment(_FIRST_COUNTS))
        self.block.put("value", scalar(expression))
        if self.reading.exact and not self.reading.old_paths and "{" in text:
            truths = [Entry(word, scalar(truth), key_style="'") for word, truth in jsonpath.TRUTHS.items()]
            self.block.put("value_map", Map([*truths], flow=True))

    def tail(self) -> None:
        labels = Map()
        for label in self.metric.map("labels").pairs():
            if expression := jsonpath.label_expression(label.text, exact=self.reading.exact):
                labels.put(label.key, scalar(expression), label)
        if labels.entries:
            self.block.put("labels", labels)
        self._timestamp()
        if _is_true(self.metric.text("allow_missing_key")):
            self.block.put("on_missing", scalar("skip"))
        for entry in self.metric.pairs():
            if entry.key not in _READ:
                self.block.entries.append(_other_key(entry, self.dropped))

    def _timestamp(self) -> None:
        if (entry := self.metric.get("epochtimestamp")) and entry.text:
            if not _paths([entry.text]):
                raise Untranslatable("epochtimestamp has no path in braces")
            path = jsonpath.value_expression(entry.text)
            block = Map([Entry("path", scalar(path)), Entry("format", scalar("unix_ms"))], flow=True)
            self.block.put("timestamp", block, entry).beside = f"# {_MILLISECONDS}"
        if entry := self.metric.get("epochTimestamp"):
            try:
                path_text = jsonpath.single_path(entry.text, "epochTimestamp").text
            except Untranslatable:
                path_text = "at"
            hint = flow_text(mapping(path=path_text, format="unix_ms"))
            self.block.entries.append(self.dropped.note(entry, _IGNORED_SPELLING.format(hint=hint)))

    def item(self, like: Entry, *, is_first: bool = True) -> Entry:
        """The finished metric; the user's comments stand above the first that theirs becomes."""
        return Entry("", self.block, like.line, like.path, above=like.above if is_first else [])


_READ = (
    "name", "type", "path", "labels", "values", "valuetype", "help", "engine", "allow_missing_key", "epochtimestamp",
    "epochTimestamp",
)  # fmt: skip
