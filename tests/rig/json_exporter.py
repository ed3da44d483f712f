"""A real json_exporter that a real Prometheus asks, and our converted config: what each sends of the same documents."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write_cli.convert import Options, convert
from sandbox.amp import Receiver
from sandbox.process import answers, start, stop, wait_until
from tests.rig.scrape import prometheus_agent

READY_SECONDS = 30
QUEUE = {"batch_send_deadline": "100ms", "max_shards": 1}

Lines = set[str]
"""Series with their first value, as `name{label="value"} value`, and `@milliseconds` where it has a time of its own;
without those that a scrape makes but `up`."""


@contextmanager
def json_exporter(binary: str, config: str, folder: Path) -> Iterator[str]:
    """A running json_exporter; gives its address."""
    path = folder / "json_exporter.yml"
    path.write_text(config, encoding="utf-8")

    def launch(port: int) -> subprocess.Popen[bytes]:
        arguments = [binary, f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}"]
        with (folder / "json_exporter.log").open("wb") as log:
            return subprocess.Popen(arguments, stdout=log, stderr=log)

    started = start(launch, lambda port: answers(f"http://127.0.0.1:{port}/metrics"), READY_SECONDS)
    assert started, (folder / "json_exporter.log").read_text(errors="replace")[-2000:]
    try:
        yield f"127.0.0.1:{started[1]}"
    finally:
        stop(started[0])


def there(agent: str, prometheus: Mapping[str, Any], targets: int, folder: Path) -> Lines:
    """What a Prometheus sends that scrapes so many targets through json_exporter."""
    with Receiver(auth=None) as receiver:
        config = json.dumps({**prometheus, "remote_write": [{"url": receiver.url, "queue_config": QUEUE}]})
        with prometheus_agent(agent, config, folder):
            assert wait_until(lambda: _has_scraped(receiver, targets), READY_SECONDS), lines_of(receiver)
            return lines_of(receiver)


def _has_scraped(receiver: Receiver, targets: int) -> bool:
    """Twice, so that what belongs to the first scrape is there."""
    return sum(len(points) > 1 for points in receiver.series("up").values()) >= targets


def here(config: str, prometheus: Mapping[str, Any], folder: Path, *, exact: bool = False) -> Lines:
    """What one push of the converted config sends."""
    asking = (json.dumps(prometheus), "prometheus.yml")
    found = convert(config, "je.yml", Options(targets=asking, exact=exact))
    assert found.problems == ()
    path = folder / f"converted-{exact}.yaml"
    with Receiver(auth=None) as receiver:
        path.write_text(f"{found.config}\nself_metrics: false\nremote_write: [{{url: '{receiver.url}'}}]\n")
        dependencies = Dependencies({"PUSHER_CONFIG": str(path)})
        try:
            App(dependencies).handle({}, None)
        finally:
            dependencies.transport.close()
        return lines_of(receiver)


def lines_of(receiver: Receiver) -> Lines:
    found, scrapes = set(), {ms for points in receiver.series("up").values() for ms, _ in points}
    for labels, points in receiver.samples.items():
        named = dict(labels)
        name = named.pop("__name__")
        shown = ",".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in sorted(named.items()))
        timestamp_ms, value = points[0]
        stamp = "" if timestamp_ms in scrapes else f" @{timestamp_ms}"
        if not name.startswith("scrape_"):
            found.add(f"{name}{f'{{{shown}}}' if shown else ''} {_number(value)}{stamp}")
    return found


def without_target(lines: Lines) -> Lines:
    """Without the labels that the target adds."""
    bare = (re.sub(r",?(?:instance|job)=\"[^\"]*\"", "", line) for line in lines)
    return {line.replace("{,", "{").replace("{}", "") for line in bare}


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value).removesuffix(".0")


def probe_job(name: str, exporter: str, targets: list[str], **keys: Any) -> dict[str, Any]:
    """A job of Prometheus as json_exporter's README shows it."""
    return {
        "job_name": name,
        "metrics_path": "/probe",
        "params": {"module": [name]},
        "static_configs": [{"targets": targets}],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": exporter},
        ],
        **keys,
    }
