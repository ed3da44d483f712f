"""A site whose pages a real Prometheus and this product scrape side by side, a sink that keeps what each of them sends,
and what one scrape after the other came to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from google.protobuf import text_format

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.exposition.generated import metrics_pb2
from lambda_remote_write.push import push
from lambda_remote_write.relabel import LABEL_NAME
from lambda_remote_write.scrape.schedule import Tick
from sandbox import amp
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.command_line import SOURCES, pusher_command
from tests.rig.delivery import Clock, no_session

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "tests" / "testdata" / "pages"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
INTERVAL_MS = 8_000  # and the time that a scrape may take: all pages at once, by two clients, on a busy machine
STALE = "7ff0000000000002"

Labels = tuple[tuple[str, str], ...]
Page = Answer | Fault


def text(body: str | bytes, content_type: str = TEXT) -> Answer:
    return Answer(200, {"Content-Type": content_type}, body.encode() if isinstance(body, str) else body)


def page_file(path: Path, epoch: int = 1_700_000_000) -> Answer:
    """A page of the corpus as a target serves it. Its times from 1700000000 on, in seconds, count from `epoch`."""
    written = re.sub(rb"17000000(\d\d)", lambda match: b"%d" % (epoch + int(match[1])), path.read_bytes())
    if path.suffix == ".textproto":
        return text(delimited(written.decode()), PROTOBUF)
    return text(written, OPENMETRICS if path.parent.name == "openmetrics" else TEXT)


def delimited(families: str) -> bytes:
    """MetricFamily messages in protobuf's text form, `---` between them -> a page."""
    page = b""
    for one in filter(str.strip, families.split("---\n")):
        message = text_format.Parse(one, metrics_pb2.MetricFamily()).SerializeToString()
        page += varint(len(message)) + message
    return page


def varint(number: int) -> bytes:
    head = bytearray()
    while number > 127:
        head.append(number & 127 | 128)
        number >>= 7
    return bytes([*head, number])


class Site:
    """Answers each client's first, second, … request for a path with its first, second, … page; the last one stays."""

    def __init__(self, pages: Mapping[str, Sequence[Page]]) -> None:
        self._pages, self._asked = pages, Counter[tuple[str, str]]()
        self._lock = threading.Lock()
        self.ours = "run"  # which of our two ways is at work
        self._server = LoopbackServer(self._answer)
        self.address = f"127.0.0.1:{self._server.port}"

    def _answer(self, request: Request) -> Page:
        client = client_of(request, self.ours)
        name = request.path.removeprefix("/")
        with self._lock:
            index = self._asked[client, name]
            self._asked[client, name] += 1
        pages = self._pages[name]
        return pages[min(index, len(pages) - 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


def client_of(request: Request, ours: str) -> str:
    return "prometheus" if request.headers.get("User-Agent", "").startswith("Prometheus/") else ours


@dataclass(slots=True)
class Received:
    """What one client has sent in one version of the protocol, by the target's label `case`: points of each series by
    time, the first sample of a time; exemplars of each series; metadata of all together."""

    points: dict[str, dict[Labels, dict[int, str]]] = field(default_factory=lambda: defaultdict(dict))
    exemplars: dict[str, dict[Labels, set[tuple[Labels, str, int]]]] = field(default_factory=lambda: defaultdict(dict))
    metadata: dict[str, tuple[int, str, str]] = field(default_factory=dict)

    def take(self, message: Any) -> None:
        for entry in message.timeseries:
            labels = tuple((label.name, label.value) for label in entry.labels)
            case = dict(labels)["case"]
            points = self.points[case].setdefault(labels, {})
            for sample in entry.samples:
                points.setdefault(sample.timestamp, bits(sample.value))
            for one in entry.histograms:
                stamp = one.timestamp
                one.ClearField("timestamp")
                points.setdefault(stamp, text_format.MessageToString(one, as_one_line=True))
            for one in entry.exemplars:
                detail = tuple((label.name, label.value) for label in one.labels)
                self.exemplars[case].setdefault(labels, set()).add((detail, bits(one.value), one.timestamp))
        for entry in message.metadata:
            self.metadata[entry.metric_family_name] = (entry.type, entry.help, entry.unit)


def bits(value: float) -> str:
    """A value to the last bit, but for the sign of zero: Prometheus loses it when it writes."""
    return struct.pack(">d", value + 0.0).hex() if value == 0 else struct.pack(">d", value).hex()


class Sink:
    """Takes remote writes of both versions from every client."""

    def __init__(self, ours: Callable[[], str]) -> None:
        self._ours, self._lock = ours, threading.Lock()
        self.received: dict[tuple[str, int], Received] = defaultdict(Received)
        self._server = LoopbackServer(self._answer)
        self.url = self._server.base_url

    def _answer(self, request: Request) -> Answer:
        version = amp.check_headers(request)
        large = 1 << 30
        message = (
            amp.decode(request.body, large) if version == 1 else amp.as_version_1(amp.decode_2(request.body, large))
        )
        with self._lock:
            self.received[client_of(request, self._ours()), version].take(message)
        written = {"Samples": 0, "Histograms": 0, "Exemplars": 0}
        for series in message.timeseries:
            written["Samples"] += len(series.samples)
            written["Histograms"] += len(series.histograms)
            written["Exemplars"] += len(series.exemplars)
        return Answer(204, {f"X-Prometheus-Remote-Write-{what}-Written": str(count) for what, count in written.items()})

    def cases(self, client: str, version: int) -> dict[str, Scrapes]:
        with self._lock:
            found = self.received[client, version]
            return {case: Scrapes(dict(points), found.exemplars[case]) for case, points in found.points.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


@dataclass(frozen=True, slots=True)
class Scrapes:
    """The samples of one job with one target, and what each scrape came to."""

    points: Mapping[Labels, Mapping[int, str]]
    exemplars: Mapping[Labels, set[tuple[Labels, str, int]]]

    def times(self) -> list[int]:
        """When it was scraped."""
        for labels, points in self.points.items():
            if dict(labels)["__name__"] == "up":
                return sorted(points)
        return []

    def rounds(self, count: int, ignored: Sequence[str] = ()) -> list[dict[Labels, str]]:
        """For each of the first scrapes: the series with a sample of that time. Of its duration, and of the metrics
        `ignored`, only that they are there."""
        ignored = ("scrape_duration_seconds", *ignored)
        return [
            {
                labels: "ignored" if dict(labels)["__name__"] in ignored else points[stamp]
                for labels, points in self.points.items()
                if stamp in points
            }
            for stamp in self.times()[:count]
        ]

    def values(self) -> dict[Labels, set[str]]:
        """All values of each series, but for how long a scrape took."""
        return {
            labels: set() if dict(labels)["__name__"] == "scrape_duration_seconds" else set(points.values())
            for labels, points in self.points.items()
        }

    def stamped(self, from_ms: int) -> dict[Labels, dict[int, str]]:
        """Samples with times of their own, from a time on: Prometheus sends none from before its start."""
        found = {
            labels: {stamp: value for stamp, value in points.items() if stamp >= from_ms}
            for labels, points in self.points.items()
        }
        return {labels: points for labels, points in found.items() if points}

    def with_escaped_names(self) -> Scrapes:
        """Under the names that 1.0 allows: every other character is an underscore (prometheus/common model/metric.go,
        EscapeName). Of labels that are the same then, the one that stays as it is counts, else the first in order."""

        def escaped(labels: Labels) -> Labels:
            found = {name: value for name, value in labels if LABEL_NAME.fullmatch(name)}
            found["__name__"] = re.sub(r"^[0-9]|[^a-zA-Z0-9_:]", "_", found["__name__"])
            for name, value in sorted(labels):
                found.setdefault(re.sub(r"^[0-9]|[^a-zA-Z0-9_]", "_", name), value)
            return tuple(sorted(found.items()))

        return Scrapes(
            {escaped(labels): points for labels, points in self.points.items()},
            {escaped(labels): found for labels, found in self.exemplars.items()},
        )

    def examples(self) -> dict[Labels, set[tuple[Labels, str, int]]]:
        """Exemplars; those with the time of a scrape have the time 0."""
        times = set(self.times())
        return {
            labels: {(detail, value, 0 if stamp in times else stamp) for detail, value, stamp in found}
            for labels, found in self.exemplars.items()
        }


# --- The clients ------------------------------------------------------------------------------------------------------


def config_text(jobs: Sequence[Mapping[str, Any]], sink: Sink, **global_keys: Any) -> str:
    """One file for all clients; two endpoints, one for each version of remote write."""
    queue = {"batch_send_deadline": "200ms", "sample_age_limit": "0s", "max_samples_per_send": 2000}
    wanted = {"send_exemplars": True, "send_native_histograms": True, "queue_config": queue}
    wanted["metadata_config"] = {"send_interval": "1s"}
    interval = f"{INTERVAL_MS // 1000}s"
    return json.dumps(
        {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, **global_keys},
            "scrape_configs": list(jobs),
            "remote_write": [
                {"name": "one", "url": f"{sink.url}/one", **wanted},
                {
                    "name": "two",
                    "url": f"{sink.url}/two",
                    "protobuf_message": "io.prometheus.write.v2.Request",
                    **wanted,
                },
            ],
        }
    )


@contextmanager
def prometheus_agent(binary: str, config: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    arguments = [
        binary,
        "--agent",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.agent.path={folder / 'agent'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage,native-histograms,extra-scrape-metrics",
        "--log.level=debug",
    ]
    with running(arguments, folder / "prometheus.log") as process:
        yield process


@contextmanager
def pusher_run(config: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "pusher.yml").write_text(config, encoding="utf-8")
    with running(pusher_command("run", folder / "pusher.yml"), folder / "pusher.log", **SOURCES) as process:
        yield process


@contextmanager
def running(arguments: Sequence[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    env_vars = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=out, env=env_vars | variables)
        try:
            yield process
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Lambda:
    """A warm environment and its clock, which moves from one push to the next by the interval."""

    def __init__(self, config: str) -> None:
        config = json.dumps(json.loads(config) | {"self_metrics": False})  # a key that Prometheus does not know
        self.clock = Clock()
        self._dependencies = Dependencies({}, self.clock.now_ms, no_session, self.clock.sleep)
        self._environment = Environment(
            parse_config(config, "config.yaml", {"PUSHER_TICK": f"{INTERVAL_MS // 1000}s"}), self._dependencies
        )

    def push(self) -> None:
        now_ms, environment = self.clock.now_ms(), self._environment
        report = push(environment, Tick(now_ms, None, INTERVAL_MS), time.monotonic() + 30)
        assert report.balances
        self.clock.ahead += INTERVAL_MS / 1000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._dependencies.transport.close()


def wait_until_none(
    missing: Callable[[], object], processes: Sequence[subprocess.Popen[bytes]], seconds: float = 240.0
) -> None:
    """Waits until nothing is missing any more, or a process has ended."""
    until = time.monotonic() + seconds
    while (found := missing()) and all(process.poll() is None for process in processes):
        assert time.monotonic() < until, f"after {seconds} s this is still missing: {found}"
        time.sleep(0.5)  # a look goes through all that has arrived
