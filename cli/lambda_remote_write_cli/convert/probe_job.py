"""A probe of a prometheus.yml -> the targets and settings of a JSON job.

Targets of a list stay as they are written, with the job's rules, and rules that make the parts of `__param_target` the
target.
"""

from __future__ import annotations

import copy
from urllib.parse import urlsplit

from . import prometheus
from .probes import DEFAULT_MODULE, MODULE, PARAM, TARGET, Asked, Probe, parameter
from .relabelling import escaped, rule, rules_of
from .tree import DroppedKeys, Entry, List, Map, Scalar, Value, comment_lines, scalar

_FOUND_PARAMETERS = 3  # of a URL that only discovery will find; each costs a rule
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


def put_global(result: Map, top: Map, dropped: DroppedKeys) -> None:
    """What the prometheus.yml says for all its jobs."""
    settings = Map([_copied(entry) for entry in top.map("global").pairs() if entry.key in _OF_GLOBAL])
    prometheus.tidy_global(settings, dropped)
    if settings.entries:
        result.put("global", settings)


def _copied(entry: Entry) -> Entry:
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
            job.entries.append(found := _without(_copied(entry), probe.elsewhere))
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
    job.entries += [_copied(entry) for key in keys if (entry := probe.job.map.get(key))]


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
    own = _copied(block.get("relabel_configs") or Entry("relabel_configs", List()))
    kept = rules_of(Map([own]), own.key)
    before = [
        _unless_set(f"{PARAM}{name}", scalar(value.replace("$", "$$")))
        for name in ("target", "module")
        if (value := parameter(block, name)) and (name == "target" or probe.varies or _reads(kept, MODULE))
    ]
    _put_instance(kept, keeps=_is_distinct(probe.listed))
    after = _split(max((one.parameters or 0 for one in probe.listed), default=_FOUND_PARAMETERS))
    if probe.varies:
        module = escaped(probe.module) + ("|" if probe.module == DEFAULT_MODULE else "")
        after.insert(0, rule((MODULE,), regex=module, action="keep"))
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
    begin = rule((TARGET,), target_label=url[0])
    begin.above = comment_lines(_APART)
    found = [
        begin,
        rule(regex=f"{PARAM}.+", action="labeldrop"),
        rule(url, regex="(https?)://.*", target_label="__scheme__"),
        rule(url, regex="https?://(?:[^/?#@]*@)?([^/?#]+).*", target_label="__address__"),
        rule(url, regex="https?://[^/?#]+([^?#]*).*", target_label="__metrics_path__"),
    ]
    for index in range(parameters):
        regex = f"[^?#]*\\?{'[^&]*&' * index}([^=&#]+)=([^&#]*).*"
        found.append(rule(url, regex=regex, target_label=f"{PARAM}$1", replacement="$2"))
    return found
