"""What the /probe jobs of a prometheus.yml have json_exporter ask -> the targets of JSON jobs.

A static target that stands alone, or whose URL no relabel rule takes apart, becomes the `url` of a job. All others stay
as they are written, with the job's rules, and rules that make the parts of `__param_target` the target.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lambda_remote_write import relabel
from lambda_remote_write.config import relabel_configs
from lambda_remote_write.config.yaml_reader import Diagnostics, Section, compose

from . import prometheus
from .relabelling import escaped, rule, rules_of
from .render import render
from .tree import DroppedKeys, Entry, List, Map, Scalar, Value, comment_lines, scalar

_PATH, _MODULE, _TARGET, _PARAM = "/probe", "__param_module", "__param_target", "__param_"
_DEFAULT_MODULE = "default"  # what json_exporter takes when it is asked for none
_FOUND_PARAMETERS = 3  # of a URL that only discovery will find; each costs a rule
_PLAIN = re.compile(r"https?://[^/?#@%]+(?:/[\w$&+,/:;=@.~-]*)?(?:\?(?P<query>[^#]*))?", re.ASCII)
"""A URL that the rules below take apart without loss: they decode nothing, and labels hold each parameter once."""
_PARAMETERS = re.compile(r"[^=&;%+]+=[^&;%+]+(?:&[^=&;%+]+=[^&;%+]+)*")
_APART = "json_exporter asked the URL in __param_target; here its parts are the target"
_OF_FOUND = (
    f"of a URL here, up to {_FOUND_PARAMETERS} query parameters are carried over, none with a %-escape, "
    "and no login: write it as basic_auth"
)
_TIMES = ("scrape_interval", "scrape_timeout")
_OF_SAMPLES = (
    "honor_labels", "sample_limit", "label_limit", "label_name_length_limit", "label_value_length_limit",
    "metric_relabel_configs",
)  # fmt: skip
_LIMITS_OF_TARGETS = ("target_limit", "keep_dropped_targets")
_OF_GLOBAL = (*_TIMES, "external_labels")


@dataclass(frozen=True, slots=True)
class Asked:
    """A URL that a static target has json_exporter ask. `labels` are the target's after relabelling, `place` is where
    the target stands."""

    url: str
    module: str
    labels: Mapping[str, str]
    place: str

    @property
    def parameters(self) -> int | None:
        """How many query parameters the URL has; None when rules cannot take it apart."""
        match = _PLAIN.fullmatch(self.url)
        query = match["query"] if match else ""
        if not match or (query and not _PARAMETERS.fullmatch(query)):
            return None
        names = [pair.partition("=")[0] for pair in query.split("&")] if query else []
        return len(names) if len(set(names)) == len(names) else None


@dataclass(frozen=True, slots=True)
class Probe:
    """What becomes one JSON job: with `one` a single URL, else the targets of `job`. `listed` are those known now,
    `elsewhere` the places of those that became jobs of their own."""

    job: Entry
    module: str
    one: Asked | None = None
    listed: tuple[Asked, ...] = ()
    elsewhere: frozenset[str] = frozenset()
    varies: bool = False
    """True when the job asks with other modules too."""

    @property
    def name(self) -> str:
        return self.job.map.text("job_name")


def probes_of(module: str, top: Map) -> Iterator[Probe]:
    """How the jobs of a prometheus.yml use a module."""
    for job in prometheus.jobs_of(top):
        if job.map.text("metrics_path") == _PATH:
            asked = _asked(job.map)
            yield from _found(job, module) if asked is None else _static(job, module, asked)


def _found(job: Entry, module: str) -> Iterator[Probe]:
    """A job whose targets only discovery knows."""
    varies = any(_MODULE in rule.text("target_label") for rule in job.map.maps("relabel_configs")) or any(
        group.map("labels").get(_MODULE) for group in job.map.maps("static_configs")
    )
    if varies or (_parameter(job.map, "module") or _DEFAULT_MODULE) == module:
        yield Probe(job, module, varies=varies)


def _static(job: Entry, module: str, asked: list[Asked]) -> Iterator[Probe]:
    mine = [one for one in asked if one.module == module]
    listed = [one for one in mine if one.parameters is not None]
    if len(listed) > 1:
        places = {one.place for one in mine} - {one.place for one in listed}
        varies = any(one.module != module for one in asked)
        yield Probe(job, module, listed=tuple(listed), elsewhere=frozenset(places), varies=varies)
        mine = [one for one in mine if one.place in places]
    yield from (Probe(job, module, one) for one in mine)


def _asked(block: Map) -> list[Asked] | None:
    """What the static targets of a job have json_exporter ask. None when it has others, or a rule that is none."""
    if any(entry.key.endswith("_sd_configs") for entry in block.pairs()):
        return None
    rules = _parsed(block.get("relabel_configs"))
    if rules is None:
        return None
    settings = {"job": block.text("job_name")}
    settings |= {f"{_PARAM}{entry.key}": _parameter(block, entry.key) for entry in block.map("params").pairs()}
    if block.get("static_configs") is None and (url := settings.get(_TARGET)):  # Prometheus would ask nothing
        return [Asked(url, settings.get(_MODULE) or _DEFAULT_MODULE, settings, "")]
    found = []
    for group in block.maps("static_configs"):
        shared = settings | {label.key: label.text for label in group.map("labels").pairs()}
        for target in group.items("targets"):
            labels = relabel.relabel({**shared, "__address__": target.text}, rules)
            if labels and (url := labels.get(_TARGET)):
                found.append(Asked(url, labels.get(_MODULE, _DEFAULT_MODULE), labels, target.path))
    return found


def _parsed(written: Entry | None) -> tuple[relabel.Rule, ...] | None:
    """The rules as the engine reads them; None when one of them is wrong."""
    if written is None:
        return ()
    diagnostics = Diagnostics("")
    section = Section(compose(render(Map([written])), ""), "", diagnostics)  # type: ignore[arg-type]  # it is a map
    rules = relabel_configs.read(section, written.key)
    return None if diagnostics.problems else rules


def _parameter(block: Map, name: str) -> str:
    return next(iter(block.map("params").texts(name)), "")


# as keys of a JSON job


def put_global(result: Map, top: Map, dropped: DroppedKeys) -> None:
    """What the prometheus.yml says for all its jobs."""
    settings = Map([copied(entry) for entry in top.map("global").pairs() if entry.key in _OF_GLOBAL])
    prometheus.tidy_global(settings, dropped)
    if settings.entries:
        result.put("global", settings)


def copied(entry: Entry) -> Entry:
    """An entry of the prometheus.yml. Its lines are none of the file that is converted."""
    found = copy.deepcopy(entry)
    _forget_lines(found)
    return found


def _forget_lines(entry: Entry) -> None:
    entry.line = 0
    for inner in entry.value.pairs() if not isinstance(entry.value, Scalar) else ():
        _forget_lines(inner)


def put_targets(job: Map, probe: Probe, dropped: DroppedKeys) -> None:
    """The targets of the job, in place of a `url`."""
    for entry in probe.job.map.pairs():
        if entry.key == "static_configs" or entry.key.endswith("_sd_configs"):
            job.entries.append(found := _without(copied(entry), probe.elsewhere))
            if not probe.listed and found.items:
                dropped.change(found, _OF_FOUND)
    job.put("relabel_configs", _rules(probe))
    _put(job, probe, _LIMITS_OF_TARGETS)


def put_settings(job: Map, probe: Probe) -> None:
    """What the job of Prometheus says about its samples."""
    _put(job, probe, _TIMES)
    labels = _labels(job, probe)
    if labels.entries:
        job.put("labels", labels)
    _put(job, probe, _OF_SAMPLES)


def _put(job: Map, probe: Probe, keys: tuple[str, ...]) -> None:
    job.entries += [copied(entry) for key in keys if (entry := probe.job.map.get(key))]


def _labels(job: Map, probe: Probe) -> Map:
    """The labels that a single target had, and the name of a job that has another one here."""
    if probe.one is None:
        return Map([Entry("job", scalar(probe.name))] if job.text("job_name") != probe.name else [])
    labels = {name: value for name, value in probe.one.labels.items() if not name.startswith("__")}
    address = probe.one.labels.get("__address__", "")
    if address and "/" not in address:
        labels.setdefault("instance", address)
    login, at, _ = urlsplit(probe.one.url).netloc.rpartition("@")
    host = urlsplit(job.text("url")).netloc
    default = {"job": job.text("job_name"), "instance": host}
    shown = {name: value.replace(login + at, "") if at else value for name, value in labels.items()}
    return Map([Entry(name, scalar(value)) for name, value in shown.items() if default.get(name) != value])


def _without(static: Entry, places: frozenset[str]) -> Entry:
    """`static_configs` without the targets at some places."""
    if not places:
        return static
    for group in static.items:
        if (targets := group.map.get("targets")) and isinstance(targets.value, List):
            entries = targets.value.entries
            targets.value.entries = [one for one in entries if not (isinstance(one, Entry) and one.path in places)]
    if isinstance(static.value, List):
        static.value.entries = [
            one for one in static.value.entries if not isinstance(one, Entry) or one.map.items("targets")
        ]
    return static


# rules


def _rules(probe: Probe) -> List:
    """The job's rules, for the URL instead of the address of json_exporter, and then those that take it apart."""
    block = probe.job.map
    own = copied(block.get("relabel_configs") or Entry("relabel_configs", List()))
    kept = rules_of(Map([own]), own.key)
    before = [
        _unless_set(f"{_PARAM}{name}", scalar(value.replace("$", "$$")))
        for name in ("target", "module")
        if (value := _parameter(block, name)) and (name == "target" or probe.varies or _reads(kept, _MODULE))
    ]
    _put_instance(kept, keeps=_is_distinct(probe.listed))
    after = _split(max((one.parameters or 0 for one in probe.listed), default=_FOUND_PARAMETERS))
    if probe.varies:
        module = escaped(probe.module) + ("|" if probe.module == _DEFAULT_MODULE else "")
        after.insert(0, rule((_MODULE,), regex=module, action="keep"))
    kept.entries = [*before, *kept.entries, *after]
    return kept


def _is_distinct(listed: tuple[Asked, ...]) -> bool:
    """False when only Prometheus's address of json_exporter would be left to tell targets apart."""
    seen = [{name: value for name, value in one.labels.items() if not name.startswith("__")} for one in listed]
    return all(labels not in seen[:index] for index, labels in enumerate(seen))


def _put_instance(rules: List, *, keeps: bool) -> None:
    """Where no rule sets `instance`, it was the address of json_exporter, and stays so when `keeps`."""
    keeps = keeps and not any(one.map.text("target_label") == "instance" for one in rules.pairs())
    address = next((one for one in rules.pairs() if _is_address(one.map)), None)
    if address is None:
        if keeps:
            written = rule(("instance", "__address__"), regex=";([^/]+)", target_label="instance")
            rules.entries.append(written)
        return
    index = rules.entries.index(address)
    rest = List(rules.entries[index + 1 :])
    if _reads(rest, "__address__"):
        return
    exporter = address.map.get("replacement")
    new = [_unless_set("instance", exporter.value)] if keeps and exporter else []
    rules.entries[index : index + 1] = new


def _is_address(block: Map) -> bool:
    """True for a rule that says where json_exporter is."""
    return block.text("target_label") == "__address__" and {"source_labels", "regex"}.isdisjoint(
        entry.key for entry in block.pairs()
    )


def _reads(rules: List, label: str) -> bool:
    return any(label in one.map.texts("source_labels") for one in rules.pairs())


def _unless_set(label: str, value: Value) -> Entry:
    """A rule for a label that is empty otherwise. `value` is a replacement, in which a `$` stands twice."""
    found = rule((label,), regex="", target_label=label)
    found.map.put("replacement", value)
    return found


def _split(parameters: int) -> list[Entry]:
    """Rules that make the parts of the URL in `__param_target` the target, with so many query parameters."""
    url = ("__tmp_url",)
    begin = rule((_TARGET,), target_label=url[0])
    begin.above = comment_lines(_APART)
    found = [
        begin,
        rule(regex=f"{_PARAM}.+", action="labeldrop"),
        rule(url, regex="(https?)://.*", target_label="__scheme__"),
        rule(url, regex="https?://(?:[^/?#@]*@)?([^/?#]+).*", target_label="__address__"),
        rule(url, regex="https?://[^/?#]+([^?#]*).*", target_label="__metrics_path__"),
    ]
    for index in range(parameters):
        regex = f"[^?#]*\\?{'[^&]*&' * index}([^=&#]+)=([^&#]*).*"
        found.append(rule(url, regex=regex, target_label=f"{_PARAM}$1", replacement="$2"))
    return found
