"""A sender process between a page to scrape and a receiver that writes down what it gets, all on loopback.

Messages are read with the generated stubs, so that no line of the encoder under test has a say in what was sent.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cramjam

from lambda_remote_write.remote_write.encode.generated import remote_pb2
from lambda_remote_write.remote_write.encode.generated.io.prometheus.write.v2 import types_pb2 as v2
from sandbox.server import Answer, Fault, FaultScript, LoopbackServer, Request
from tests.rig.command_line import environment, pusher_command

PROTOCOLS = ("v1", "v2")
MESSAGES = {"v1": "prometheus.WriteRequest", "v2": "io.prometheus.write.v2.Request"}
STALE_BITS = 0x7FF0000000000002
PATIENCE_SECONDS = 30  # a busy machine must not fail a test; a healthy one waits two or three
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
DELIMITED = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    ms: int
    value: float
    start_ms: int = 0


@dataclass(frozen=True, slots=True)
class Exemplar:
    pairs: Pairs
    value: float
    ms: int


@dataclass(frozen=True, slots=True)
class Metadata:
    type: str
    help: str
    unit: str


@dataclass(frozen=True)
class Series:
    """One TimeSeries of either protocol, its labels in the order in which they were sent."""

    pairs: Pairs
    samples: tuple[Sample, ...]
    exemplars: tuple[Exemplar, ...]
    histograms: tuple[Any, ...]
    metadata: Metadata | None = None

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.pairs)

    @property
    def name(self) -> str:
        return self.labels.get("__name__", "")

    @property
    def stamps(self) -> list[int]:
        return [sample.ms for sample in self.samples] + [histogram.timestamp for histogram in self.histograms]


@dataclass(frozen=True)
class Write:
    """One request to the receiver, and the status it was answered with (0: none)."""

    request: Request
    status: int

    @property
    def received_at(self) -> float:
        return self.request.received_at

    @property
    def body(self) -> bytes:
        return self.request.body

    def header(self, name: str) -> list[str]:
        return self.request.headers.get_all(name) or []

    @property
    def protocol(self) -> str:
        return "v2" if "write.v2" in self.request.headers.get("Content-Type", "") else "v1"

    @cached_property
    def message(self) -> Any:
        kind = v2.Request if self.protocol == "v2" else remote_pb2.WriteRequest
        return kind.FromString(bytes(cramjam.snappy.decompress_raw(self.body)))

    @cached_property
    def series(self) -> list[Series]:
        return list((_series_of_v2 if self.protocol == "v2" else _series_of_v1)(self.message))

    def named(self, name: str, **labels: str) -> list[Series]:
        return [one for one in self.series if one.name == name and labels.items() <= one.labels.items()]

    @cached_property
    def scrapes(self) -> set[tuple[str, int]]:
        """Job and time of every scrape whose `up` came with it, found without taking the rest of the message apart."""
        if self.protocol == "v1":
            found = [({pair.name: pair.value for pair in one.labels}, one) for one in self.message.timeseries]
        elif "up" in self.message.symbols:
            symbols, up = self.message.symbols, list(self.message.symbols).index("up")
            found = [
                (dict(_pairs(symbols, one.labels_refs)), one)
                for one in self.message.timeseries
                if up in one.labels_refs
            ]
        else:
            found = []
        return {(labels["job"], one.samples[0].timestamp) for labels, one in found if labels["__name__"] == "up"}

    @property
    def newest_ms(self) -> int:
        return max(stamp for one in self.series for stamp in one.stamps)


def _series_of_v1(message: Any) -> Iterator[Series]:
    for one in message.timeseries:
        yield Series(
            tuple((label.name, label.value) for label in one.labels),
            tuple(Sample(sample.timestamp, sample.value) for sample in one.samples),
            tuple(
                Exemplar(tuple((label.name, label.value) for label in ex.labels), ex.value, ex.timestamp)
                for ex in one.exemplars
            ),
            tuple(one.histograms),
        )


def _series_of_v2(message: Any) -> Iterator[Series]:
    symbols = message.symbols
    for one in message.timeseries:
        described = one.metadata
        kind = v2.Metadata.MetricType.Name(described.type).removeprefix("METRIC_TYPE_").lower()
        yield Series(
            _pairs(symbols, one.labels_refs),
            tuple(Sample(sample.timestamp, sample.value, sample.start_timestamp) for sample in one.samples),
            tuple(Exemplar(_pairs(symbols, ex.labels_refs), ex.value, ex.timestamp) for ex in one.exemplars),
            tuple(one.histograms),
            Metadata(kind, symbols[described.help_ref], symbols[described.unit_ref]),
        )


def _pairs(symbols: Sequence[str], refs: Sequence[int]) -> Pairs:
    return tuple((symbols[refs[at]], symbols[refs[at + 1]]) for at in range(0, len(refs), 2))


def all_series(writes: Iterable[Write], name: str, **labels: str) -> list[Series]:
    """What was sent of the series of that name, in the order of arrival."""
    return [one for write in writes for one in write.named(name, **labels)]


def values_of(writes: Iterable[Write], name: str, **labels: str) -> list[float]:
    return [sample.value for one in all_series(writes, name, **labels) for sample in one.samples]


def stamps_of(writes: Iterable[Write], name: str, **labels: str) -> list[int]:
    return [sample.ms for one in all_series(writes, name, **labels) for sample in one.samples]


def scrape_count(writes: Iterable[Write], job: str = "test") -> int:
    """How many scrapes of the job have arrived."""
    return len({scrape for write in writes for scrape in write.scrapes if scrape[0] == job})


class Receiver:
    """Takes remote writes at any path; each path has a script of faults of its own, and otherwise answers 204."""

    def __init__(self) -> None:
        self._faults: dict[str, FaultScript] = {}
        self._writes: dict[str, list[Write]] = {}
        self._server = LoopbackServer(self._respond, plan=lambda method, path: self.faults(path).next())

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def url(self, path: str) -> str:
        return f"{self._server.base_url}/{path}"

    def faults(self, path: str) -> FaultScript:
        return self._faults.setdefault(path.removeprefix("/"), FaultScript())

    def writes(self, path: str) -> list[Write]:
        return list(self._writes.get(path, ()))

    def _respond(self, request: Request) -> Answer:
        fault = request.fault
        status = 204 if fault is None or fault.handled else fault.instead.status if fault.instead else 0
        write = Write(request, status)
        self._writes.setdefault(request.path.removeprefix("/"), []).append(write)
        return Answer(204, written(write) if write.protocol == "v2" else {})


def written(write: Write) -> dict[str, str]:
    """The headers with which a 2.0 receiver confirms that it has written all."""
    counts = {
        "Samples": sum(len(one.samples) for one in write.series),
        "Histograms": sum(len(one.histograms) for one in write.series),
        "Exemplars": sum(len(one.exemplars) for one in write.series),
    }
    return {f"X-Prometheus-Remote-Write-{kind}-Written": str(count) for kind, count in counts.items()}


class Pages:
    """Pages to scrape, by path; each can be changed, or replaced by a fault, at any time."""

    def __init__(self, pages: Mapping[str, tuple[bytes, str]]) -> None:
        self._pages = dict(pages)
        self._faults: dict[str, Fault] = {}
        self._asked: dict[str, int] = {}
        self._server = LoopbackServer(self._respond, plan=lambda method, path: self._faults.get(path))

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    @property
    def target(self) -> str:
        return self._server.base_url.removeprefix("http://")

    def show(self, path: str, page: str, content_type: str = TEXT) -> None:
        self._faults.pop(path, None)
        self._pages[path] = (page.encode(), content_type)

    def fail(self, path: str, fault: Fault) -> None:
        self._faults[path] = fault

    def asked(self, path: str) -> int:
        return self._asked.get(path, 0)

    def _respond(self, request: Request) -> Answer:
        self._asked[request.path] = self.asked(request.path) + 1
        body, content_type = self._pages[request.path]
        return Answer(200, {"Content-Type": content_type}, body)


class Sender:
    """`pusher run` as a process of its own."""

    def __init__(
        self, config: Mapping[str, Any], folder: Path, *options: str, variables: Mapping[str, str] | None = None
    ) -> None:
        self._log = folder / "said.txt"
        self._path = path = folder / "prometheus.yml"
        self.rewrite(json.dumps(config, indent=1))  # YAML reads JSON
        self.started_at = time.time()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                pusher_command("run", path, *options),
                env=environment(PYTHONUNBUFFERED="1", **(variables or {})),
                stdout=log,
                stderr=log,
                cwd=folder,
            )

    def rewrite(self, config: str) -> None:
        self._path.write_text(config)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def log_text(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, is_there: Callable[[], object], what: str) -> None:
        """Returns as soon as `is_there`; fails when the process ends before that, or patience does."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_there():
            assert self.is_running, f"the sender ended before {what}: {self.log_text[-2000:]}"
            assert time.monotonic() < until, f"not within {PATIENCE_SECONDS}s: {what}; it said: {self.log_text[-2000:]}"
            time.sleep(0.05)

    def interrupt(self, number: int = signal.SIGTERM) -> None:
        """Tells it to end, and does not wait."""
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status."""
        if self.is_running:
            self.interrupt(number)
        return self.wait()

    def wait(self) -> int:
        """The exit status of a process that ends by itself."""
        return self._process.wait(timeout=PATIENCE_SECONDS)

    def kill(self) -> None:
        if self.is_running:
            self._process.kill()
        self._process.wait()


@contextmanager
def sender(
    config: Mapping[str, Any], folder: Path, *options: str, variables: Mapping[str, str] | None = None
) -> Iterator[Sender]:
    """A running sender, with these variables in its environment; killed at the end if it is still running."""
    running = Sender(config, folder, *options, variables=variables)
    try:
        yield running
    finally:
        running.kill()


def endpoint(url: str, protocol: str = "v1", queue: Mapping[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """An entry of remote_write that sends soon and tries again soon."""
    soon = {"batch_send_deadline": "200ms", "min_backoff": "50ms", "max_backoff": "400ms"}
    message = MESSAGES[protocol]
    return {"url": url, "name": url, "protobuf_message": message, "queue_config": {**soon, **(queue or {})}, **keys}


def job(target: str, name: str = "test", path: str = "/metrics", **keys: Any) -> dict[str, Any]:
    return {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [target]}], **keys}


def config(endpoints: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]], **keys: Any) -> dict[str, Any]:
    """A prometheus.yml that scrapes every second."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", **keys},
        "scrape_configs": list(jobs),
        "remote_write": list(endpoints),
    }


@dataclass(frozen=True)
class Run:
    """A run that is over: what each path of the receiver got, and how the process ended."""

    writes: dict[str, list[Write]]
    started_at: float
    status: int
    log_text: str


def seen(run: Run, path: str) -> list[Write]:
    """The requests to one path; there must be some."""
    assert len(run.writes[path]) > 0, "no request was seen"
    return run.writes[path]
