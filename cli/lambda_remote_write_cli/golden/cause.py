"""Why samples have changed: the key of the config that they come from, and what the engine says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lambda_remote_write.config.schema import JsonJob, Metric
from lambda_remote_write.config.yaml_reader import compose
from lambda_remote_write.json_api.failed_metric import nothing_found
from lambda_remote_write.model.drop_reasons import DropReason
from lambda_remote_write.model.scrape import MetricResult

from .run import Collected, Outcome

_KEYS = {
    DropReason.VALUE_MISSING: "value",
    DropReason.NOT_A_NUMBER: "value",
    DropReason.VALUE_REGEX: "value_regex",
    DropReason.TIMESTAMP_MISSING: "timestamp",
    DropReason.TIMESTAMP_INVALID: "timestamp",
    DropReason.LABEL_NOT_SCALAR: "labels",
    DropReason.NAME_MISSING: "name",
    DropReason.NOT_A_LIST: "records",
}
"""Where a record's sample was lost -> the metric's key."""

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """`path` is the key of the config and `line` where it stands, 0 if that is in another file. `message` is the
    engine's, "" for a metric that is well."""

    job: str
    metric: str
    path: str
    line: int
    message: str


def causes(outcome: Outcome, config_file: Path) -> list[Cause]:
    """For each job and metric of a run what it comes from, and what is wrong with it."""
    places = _Places(config_file)
    found = list[Cause]()
    for index, job in enumerate(outcome.config.json_jobs):
        path: Path_ = ("json_configs", index)
        of_job = [one for one in outcome.collected if one.scrape.job == job.job_name]
        for one in of_job:
            found += _of_scrape(job.job_name, one, path, places)
        for position, metric in enumerate(job.metrics):
            found += _of_metric(job, metric, of_job, (*path, "metrics", position), places)
    for index, scrape_job in enumerate(outcome.config.scrape_jobs):
        name, path = scrape_job.job_name, ("scrape_configs", index)
        for one in outcome.collected:
            if one.scrape.job == name:
                found += _of_scrape(name, one, path, places)
        found.append(places.cause(name, "", path, ""))
    return list(dict.fromkeys(found))


def _of_scrape(job: str, one: Collected, path: Path_, places: _Places) -> Iterator[Cause]:
    """A target that is down, unless all that is wrong with it is said of its metrics."""
    scrape = one.scrape
    if scrape.error and scrape.error != "; ".join(scrape.failed.values()):
        yield places.cause(job, "", path, scrape.error)


def _of_metric(
    job: JsonJob, metric: Metric, scraped: Sequence[Collected], path: Path_, places: _Places
) -> Iterator[Cause]:
    position = int(path[-1])
    results = [(one, one.scrape.metrics[position]) for one in scraped if len(one.scrape.metrics) > position]
    said = False
    for one, result in results:
        for key, message in _messages(metric, result, one):
            said = True
            yield places.cause(job.job_name, metric.name, (*path, *key), message)
    if not said:
        yield places.cause(job.job_name, metric.name, path, "")


def _messages(metric: Metric, result: MetricResult, one: Collected) -> Iterator[tuple[Path_, str]]:
    if result.failed:
        yield _key(result), result.failed
        return
    for reason, count in result.skipped.counts.items():
        if reason != DropReason.NULL_IGNORED:
            example = result.skipped.first_examples.get(reason, "")
            yield _key(result), f"{count} of {result.records} records skipped ({reason}); the first: {example}"
    expressions = dict(metric.labels)
    for label in result.labels_not_found:
        if label in expressions and one.documents:
            found = nothing_found(f"label {label}:", expressions[label], metric.records, one.documents)
            yield ("labels", label), f"metric {metric.name}: {found}"


def _key(result: MetricResult) -> Path_:
    """The metric's key at which most records were lost; its records, when there are none."""
    if not result.records:
        return ("records",)
    most = Counter({reason: n for reason, n in result.skipped.counts.items() if reason != DropReason.NULL_IGNORED})
    reason = most.most_common(1)[0][0] if most else ""
    return tuple(key for known, key in _KEYS.items() if known == reason)


class _Places:
    """Where keys stand in a config file."""

    def __init__(self, config_file: Path) -> None:
        self._root = compose(config_file.read_text(encoding="utf-8"), str(config_file))

    def cause(self, job: str, metric: str, path: Path_, message: str) -> Cause:
        return Cause(job, metric, _written(path), self._line(path, job), message)

    def _line(self, path: Path_, job: str) -> int:
        """Of the last part of a path that is written; 0 for a job that stands in another file."""
        node, line = self._root, 0
        for part in path:
            step = _step(node, part)
            if step is None:
                break
            line, node = step
        is_here = _job_name(self._root, path) == job
        return line if is_here else 0


def _step(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    """A key's or an item's line, and its value."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


def _job_name(root: yaml.Node | None, path: Path_) -> str:
    node = root
    for part in (*path[:2], "job_name"):
        step = _step(node, part)
        if step is None:
            return ""
        node = step[1]
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def _written(path: Path_) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
