"""A collector's `ecs_observer` extension -> ecs_sd_configs of the jobs that read its file.

It wrote a file of targets; here nothing does. Its labels have other names than those of Prometheus's own discovery.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from lambda_remote_write.config import go_glob

from . import relabelling
from .relabelling import rule
from .tree import DroppedKeys, Entry, List, Map, Scalar, scalar

_DEFAULT_FILE = "/etc/ecs_sd_targets.yaml"
_DEFAULT_LABEL = "ECS_PROMETHEUS_EXPORTER_PORT"
_PREFIX = "__meta_ecs_"
_LABELS = {
    "source": "task_arn",
    "cluster_name": "cluster",
    "service_name": "service",
    "task_launch_type": "launch_type",
    "task_group": "task_group",
    "health_status": "health_status",
    "ec2_instance_id": "ec2_instance_id",
    "ec2_instance_type": "ec2_instance_type",
    "ec2_subnet_id": "subnet_id",
    "ec2_private_ip": "ec2_instance_private_ip",
    "ec2_public_ip": "ec2_instance_public_ip",
}
"""https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/main/extension/observer/ecsobserver/target.go
-> https://prometheus.io/docs/prometheus/latest/configuration/configuration/#aws_sd_config"""
_TAGS = {"task_tags_": "tag_task_", "ec2_tags_": "tag_ec2_"}
_FROM_ARN = {"task_definition_family": r".*/(.+):\d+", "task_definition_revision": r".*:(\d+)"}
"""What the ARN of a task's definition tells."""
_MATCHED = "__tmp_ecs_observer"
_CLUSTER = f"{_PREFIX}cluster"
_KINDS = {"services": ("name_pattern", "service"), "task_definitions": ("arn_pattern", "task_definition")}
_FILE = "this file was written by ecs_observer, and nothing writes it here: its targets are found by ecs_sd_configs now"
_PATTERN_OF_FILES = (
    "files that {pattern} stood for beside it are not read any more: name those that are not of an observer"
)
_NO_PORT = (
    "the port stood in the containers' docker label {label}, which this discovery does not see: write the port here "
    "(80 is the default) and a keep rule into relabel_configs; until then every task of the cluster is a target"
)
_ALSO = "it also found containers by the docker label {label}, which this discovery does not see"
_PATTERN = "the pattern has anchors that a relabel rule cannot hold: write a keep rule for {label}"


@dataclass(frozen=True, slots=True)
class _Observer:
    """An extension, and what its settings or their defaults say."""

    extension: Entry

    @property
    def settings(self) -> Map:
        return self.extension.map

    @property
    def file(self) -> str:
        return self.settings.text("result_file") or _DEFAULT_FILE

    @property
    def cluster(self) -> Scalar:
        name = self.settings.get("cluster_name")
        return name.value if name and isinstance(name.value, Scalar) else scalar("default")

    @property
    def ports(self) -> list[str]:
        filters = [one for kind in _KINDS for one in self.settings.maps(kind)]
        return list(dict.fromkeys(port for one in filters for port in one.texts("metrics_ports")))

    @property
    def docker_labels(self) -> str:
        return ", ".join(one.text("port_label") for one in self.settings.maps("docker_labels")) or _DEFAULT_LABEL


def replace(extensions: list[Entry], jobs: list[Entry], dropped: DroppedKeys) -> set[str]:
    """Puts ecs_sd_configs into every job that reads an observer's file; the names of the observers of such a job."""
    read: set[str] = set()
    for job in jobs:
        names = [name.text for name in _files(job.map)]
        found = [one for one in map(_Observer, extensions) if any(_is_named(one.file, name) for name in names)]
        if found:
            _take_files(job.map, [one.file for one in found])
            _Job(found, job, dropped).convert()
            left = {name.text for name in _files(job.map)}
            for pattern in filter(go_glob.is_pattern, names):
                if pattern not in left:
                    dropped.change(job, _PATTERN_OF_FILES.format(pattern=pattern))
            read |= {one.extension.key for one in found}
    return read


def _files(job: Map) -> list[Entry]:
    return [name for block in job.maps("file_sd_configs") for name in block.items("files")]


def _is_named(file: str, pattern: str) -> bool:
    """True when a name or pattern of file_sd_configs stands for a file."""
    try:
        return go_glob.compiled(posixpath.normpath(pattern)).fullmatch(posixpath.normpath(file)) is not None
    except ValueError:
        return False


def _take_files(job: Map, files: list[str]) -> None:
    """Takes the observers' files out of a job, and the discoveries that have no other."""
    discoveries = job.get("file_sd_configs")
    for item in job.items("file_sd_configs"):
        names = item.map.get("files")
        if names is None or not isinstance(names.value, List):
            continue
        others = [one for one in names.value.pairs() if not any(_is_named(file, one.text) for file in files)]
        is_other = len(others) == len(names.value.pairs())
        names.value.entries = list(others)
        if not others and not is_other and discoveries and isinstance(discoveries.value, List):
            discoveries.value.entries = [one for one in discoveries.value.entries if one is not item]


class _Job:
    """One job on its way from the file to the API."""

    def __init__(self, observers: list[_Observer], job: Entry, dropped: DroppedKeys) -> None:
        self._observers, self._dropped = observers, dropped
        self._job, self._block = job, job.map
        self._first: list[Entry] = []

    def convert(self) -> None:
        self._dropped.change(self._job, _FILE)
        for observer in self._observers:
            self._select(observer)
        self._put_discovery()
        self._keep()
        self._rename()
        if self._first:
            relabelling.rules_of(self._block, "relabel_configs").entries[:0] = self._first

    def _put_discovery(self) -> None:
        """In the place of the file's."""
        observers = self._observers
        discoveries = List([Entry("", self._discovery(one, port)) for one in observers for port in one.ports or [""]])
        files = next(one for one in self._block.pairs() if one.key == "file_sd_configs")
        place = next(index for index, one in enumerate(self._block.entries) if one is files)
        like = observers[0].extension
        written = Entry("ecs_sd_configs", discoveries, like.line, like.path, above=[] if files.items else files.above)
        self._block.entries[place : place + 1] = [files, written] if files.items else [written]

    def _discovery(self, observer: _Observer, port: str) -> Map:
        found = Map()
        if region := observer.settings.get("cluster_region"):
            found.put("region", region.value, region)
        name = observer.settings.get("cluster_name")
        cluster = Entry("", observer.cluster, *((name.line, name.path) if name else ()))
        found.put("clusters", List([cluster], flow=True), name)
        if port:
            found.put("port", scalar(port))
        else:
            found.entries.append(
                self._dropped.by_hand(observer.extension, _NO_PORT.format(label=observer.docker_labels))
            )
        if interval := observer.settings.get("refresh_interval"):
            found.put(interval.key, interval.value, interval)
        return found

    def _select(self, observer: _Observer) -> None:
        """What a filter matched is marked."""
        for kind, (key, label) in _KINDS.items():
            for item in observer.settings.items(kind):
                if isinstance(item.value, Map):
                    self._match(observer, item, key, label)
        labels = observer.settings.get("docker_labels")
        if observer.ports and not (labels and isinstance(labels.value, List) and not labels.value.pairs()):
            note = _ALSO.format(label=observer.docker_labels)
            if labels:
                self._dropped.change_by_hand(self._job, labels, note)
            else:
                self._dropped.change(self._job, note)

    def _match(self, observer: _Observer, item: Entry, key: str, label: str) -> None:
        block = item.map
        pattern, ports = relabelling.anchored(block.text(key)), block.texts("metrics_ports")
        if not ports:  # it matched containers by these ports, so that it found none
            self._dropped.change(self._job, f"{item.path.rpartition('.')[2]} has no metrics_ports and found nothing")
            return
        if pattern is None:
            self._dropped.change_by_hand(self._job, item, _PATTERN.format(label=_PREFIX + label))
            return
        self._set(
            observer,
            ("__address__", _PREFIX + label),
            f".*:{relabelling.one_of(list(ports))};{pattern}",
            {
                _MATCHED: "keep",
                "__metrics_path__": block.text("metrics_path"),
                observer.settings.text("job_label_name") or "prometheus_job": block.text("job_name"),
            },
        )
        if container := block.get("container_name_pattern"):
            self._dropped.change(self._job, f"{container.key}: this discovery finds tasks, not their containers")

    def _set(self, observer: _Observer, sources: tuple[str, ...], pattern: str, labels: dict[str, str]) -> None:
        """Sets labels of the targets that a pattern matches, where several clusters are found those of this one."""
        if len(self._observers) > 1:
            sources, pattern = (_CLUSTER, *sources), f"{relabelling.escaped(observer.cluster.text)};{pattern}"
        for target, value in labels.items():
            if value:
                written = value.replace("$", "$$")
                self._first.append(rule(sources, regex=pattern, target_label=target, replacement=written))

    def _keep(self) -> None:
        """What no filter matched goes; what another observer or another discovery found stays."""
        if not self._first:
            return
        for observer in self._observers:
            if not observer.ports:
                self._set(observer, ("__address__",), ".*", {_MATCHED: "keep"})
        found = [pair.key for pair in self._block.pairs() if pair.key.endswith(("_sd_configs", "static_configs"))]
        if found == ["ecs_sd_configs"]:
            self._first.append(rule((_MATCHED,), regex="keep", action="keep"))
        else:
            self._first.append(rule((_MATCHED, _CLUSTER), regex="keep;.*|;", action="keep"))

    # labels

    def _rename(self) -> None:
        needed: dict[str, None] = {}
        for item in self._block.items("relabel_configs"):
            if isinstance(item.value, Map):
                self._rename_in(relabelling.rules_of(self._block, "relabel_configs"), item, needed)
        for name in needed:
            source = (f"{_PREFIX}task_definition",)
            self._first.append(rule(source, regex=_FROM_ARN[name], target_label=_PREFIX + name))

    def _rename_in(self, rules: List, item: Entry, needed: dict[str, None]) -> None:
        unknown = []
        for label in item.map.items("source_labels"):
            renamed = self._renamed(label.text, needed)
            if renamed:
                label.value = scalar(renamed)
            else:
                unknown.append(label.text)
        if unknown:  # of a label that is not there: it sets nothing, or it would drop every target
            why = f"ecs_sd_configs has nothing like {', '.join(unknown)}, and the rule would find it empty"
            sets = item.map.text("action") in ("", "replace")
            detail = f"{why}: it set {item.map.text('target_label')}" if sets else why
            self._dropped.drop(rules, item, detail, name="a rule")
            if not sets:
                self._dropped.by_hand(item, why)
        elif item.map.text("action") == "labelmap":
            self._rename_pattern(rules, item)

    def _renamed(self, label: str, needed: dict[str, None]) -> str:
        """The name here; empty when this discovery has no such label."""
        if not label.startswith(_PREFIX):
            return label
        name = label.removeprefix(_PREFIX)
        if name in _FROM_ARN:
            needed[name] = None
            return label
        for prefix, ours in _TAGS.items():
            if name.startswith(prefix):
                return f"{_PREFIX}{ours}{name.removeprefix(prefix)}"
        return f"{_PREFIX}{_LABELS[name]}" if name in _LABELS else ""

    def _rename_pattern(self, rules: List, item: Entry) -> None:
        entry = item.map.get("regex")
        if entry is None or "__meta_" not in entry.text:
            return
        if "container_labels_" in entry.text:
            why = "ecs_sd_configs does not see the docker labels of containers"
            self._dropped.drop(rules, item, why, name="a rule")
            return
        found = entry.text
        for prefix, ours in _TAGS.items():
            found = found.replace(_PREFIX + prefix, _PREFIX + ours)
        if found != entry.text:
            entry.value = scalar(found)
        else:
            self._dropped.change(item, "labels have other names in ecs_sd_configs than in the observer's file")
