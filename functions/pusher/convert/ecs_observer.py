"""A collector's `ecs_observer` extension -> ecs_sd_configs of the jobs that read its file.

It wrote a file of targets; here nothing does. Its labels have other names than those of Prometheus's own discovery.
"""

from __future__ import annotations

import re

from . import relabelling
from .relabelling import rule
from .tree import Entry, List, Losses, Map, listing, scalar

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
_KINDS = {"services": ("name_pattern", "service"), "task_definitions": ("arn_pattern", "task_definition")}
_FILE = "this file was written by ecs_observer, and nothing writes it here: its targets are found by ecs_sd_configs now"
_NO_PORT = (
    "the port stood in the containers' docker label {label}, which this discovery does not see: write the port here "
    "(80 is the default) and a keep rule into relabel_configs; until then every task of the cluster is a target"
)
_ALSO = "it also found containers by the docker label {label}, which this discovery does not see"
_PATTERN = "the pattern has anchors that a relabel rule cannot hold: write a keep rule for {label}"


def replace(extension: Entry, jobs: list[Entry], losses: Losses) -> bool:
    """Puts ecs_sd_configs into every job that reads the observer's file; True when one did."""
    settings = extension.value if isinstance(extension.value, Map) else Map()
    file = settings.text("result_file") or _DEFAULT_FILE
    reading = [job for job in jobs if isinstance(job.value, Map) and _take_file(job.value, file)]
    for job in reading:
        assert isinstance(job.value, Map)  # noqa: S101 - looked at just now
        _Job(extension, settings, job, job.value, losses).convert()
    return bool(reading)


def _take_file(job: Map, file: str) -> bool:
    """Takes the observer's file out of a job; True when it was there."""
    found = False
    discoveries = job.get("file_sd_configs")
    for item in job.items("file_sd_configs"):
        files = item.value.get("files") if isinstance(item.value, Map) else None
        if files is None or not isinstance(files.value, List):
            continue
        others = [one for one in files.value.pairs() if one.text != file]
        found = found or len(others) < len(files.value.pairs())
        files.value.entries = list(others)
        if not others and discoveries and isinstance(discoveries.value, List):
            discoveries.value.entries = [one for one in discoveries.value.entries if one is not item]
    return found


class _Job:
    """One job on its way from the file to the API."""

    def __init__(self, extension: Entry, settings: Map, job: Entry, block: Map, losses: Losses) -> None:
        self._extension, self._settings, self._losses = extension, settings, losses
        self._job, self._block = job, block
        self._first: list[Entry] = []

    def convert(self) -> None:
        self._losses.change(self._job, _FILE)
        self._select()
        self._put_discovery()
        self._rename()
        if self._first:
            relabelling.rules_of(self._block, "relabel_configs").entries[:0] = self._first

    def _put_discovery(self) -> None:
        """In the place of the file's."""
        discoveries = List([Entry("", self._discovery(port)) for port in self._ports() or [""]])
        place = next((index for index, one in enumerate(self._block.entries) if self._is_files(one)), None)
        written = Entry("ecs_sd_configs", discoveries, self._extension.line, self._extension.path)
        if place is None:
            self._block.entries.append(written)
        elif isinstance(files := self._block.entries[place], Entry) and isinstance(files.value, List):
            written.above = [] if files.value.pairs() else files.above
            self._block.entries[place : place + 1] = [files, written] if files.value.pairs() else [written]

    @staticmethod
    def _is_files(entry: object) -> bool:
        return isinstance(entry, Entry) and entry.key == "file_sd_configs"

    def _ports(self) -> list[str]:
        filters = [item.value for kind in _KINDS for item in self._settings.items(kind)]
        ports = [port for one in filters if isinstance(one, Map) for port in one.texts("metrics_ports")]
        return list(dict.fromkeys(ports))

    def _discovery(self, port: str) -> Map:
        found = Map()
        if region := self._settings.get("cluster_region"):
            found.put("region", region.value, region)
        name = self._settings.get("cluster_name")
        found.put("clusters", listing(name.value if name else scalar("default"), flow=True), name)
        if port:
            found.put("port", scalar(port))
        else:
            found.entries.append(self._losses.by_hand(self._extension, _NO_PORT.format(label=self._docker_labels())))
        if interval := self._settings.get("refresh_interval"):
            found.put(interval.key, interval.value, interval)
        return found

    def _docker_labels(self) -> str:
        items = [item.value for item in self._settings.items("docker_labels")]
        return ", ".join(one.text("port_label") for one in items if isinstance(one, Map)) or _DEFAULT_LABEL

    def _select(self) -> None:
        """What a filter matched is marked, and the rest goes."""
        for kind, (key, label) in _KINDS.items():
            for item in self._settings.items(kind):
                if isinstance(item.value, Map):
                    self._match(item, item.value, key, label)
        if self._first:
            self._first.append(rule((_MATCHED,), regex="keep", action="keep"))
        labels = self._settings.get("docker_labels")
        if self._ports() and not (labels and isinstance(labels.value, List) and not labels.value.pairs()):
            note = _ALSO.format(label=self._docker_labels())
            if labels:
                self._losses.change_by_hand(self._job, labels, note)
            else:
                self._losses.change(self._job, note)

    def _match(self, item: Entry, block: Map, key: str, label: str) -> None:
        pattern, ports = relabelling.anchored(block.text(key)), block.texts("metrics_ports")
        if not ports:  # it matched containers by these ports, so that it found none
            self._losses.change(self._job, f"{item.path.rpartition('.')[2]} has no metrics_ports and found nothing")
            return
        if pattern is None:
            self._losses.change_by_hand(self._job, item, _PATTERN.format(label=_PREFIX + label))
            return
        address = f".*:{relabelling.one_of(ports)}"
        for target, value in (
            (_MATCHED, "keep"),
            ("__metrics_path__", block.text("metrics_path")),
            (self._settings.text("job_label_name") or "prometheus_job", block.text("job_name")),
        ):
            if value:
                value = value.replace("$", "$$")
                self._first.append(
                    rule(
                        ("__address__", _PREFIX + label),
                        regex=f"{address};{pattern}",
                        target_label=target,
                        replacement=value,
                    )
                )
        if container := block.get("container_name_pattern"):
            self._losses.change(self._job, f"{container.key}: this discovery finds tasks, not their containers")

    # labels

    def _rename(self) -> None:
        rules = self._block.get("relabel_configs")
        if rules is None or not isinstance(rules.value, List):
            return
        needed: dict[str, None] = {}
        for item in rules.value.pairs():
            if isinstance(item.value, Map):
                self._rename_in(rules.value, item, item.value, needed)
        for name in needed:
            source = (f"{_PREFIX}task_definition",)
            self._first.append(rule(source, regex=_FROM_ARN[name], target_label=_PREFIX + name))

    def _rename_in(self, rules: List, item: Entry, block: Map, needed: dict[str, None]) -> None:
        unknown = []
        for label in block.items("source_labels"):
            renamed = self._renamed(label.text, needed)
            if renamed:
                label.value = scalar(renamed)
            else:
                unknown.append(label.text)
        if unknown:
            self._without(rules, item, block, unknown)
        elif block.text("action") == "labelmap":
            self._rename_pattern(rules, item, block)

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

    def _without(self, rules: List, item: Entry, block: Map, unknown: list[str]) -> None:
        """A rule about a label that is not there: it sets nothing, or it would drop every target."""
        why = f"ecs_sd_configs has nothing like {', '.join(unknown)}, and the rule would find it empty"
        if block.text("action") in ("", "replace"):
            self._losses.drop(rules, item, f"{why}: it set {block.text('target_label')}", name="a rule")
        else:
            self._losses.drop(rules, item, why, name="a rule")
            self._losses.by_hand(item, why)

    def _rename_pattern(self, rules: List, item: Entry, block: Map) -> None:
        written = block.text("regex")
        if _PREFIX not in written and "__meta_" not in written:
            return
        if re.search(r"container_labels_", written):
            why = "ecs_sd_configs does not see the docker labels of containers"
            self._losses.drop(rules, item, why, name="a rule")
            return
        found = written
        for prefix, ours in _TAGS.items():
            found = found.replace(_PREFIX + prefix, _PREFIX + ours)
        entry = block.get("regex")
        if found != written and entry:
            entry.value = scalar(found)
        else:
            self._losses.change(item, "labels have other names in ecs_sd_configs than in the observer's file")
