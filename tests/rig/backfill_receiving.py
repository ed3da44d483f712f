"""A backfill over real sockets: sources that know their past, a workspace that has samples already, what arrives."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import cramjam
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambda_remote_write.backfill import invoke
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.exposition.writer import series_text
from lambda_remote_write.store import DirectoryStore, Store
from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.command_line import start
from tests.rig.made import Point, stub_message
from tests.rig.push import job

KEYS = SigV4()
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
SECONDS = 30.0
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Answers = Mapping[str, Any]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- Points and where they come from ----------------------------------------------------------------------------------


def point(series: str, stamp_ms: int, metric: str = "requests_total") -> Point:
    """A sample whose value is as good as its time: two of one series and time are equal."""
    return {"__name__": metric, "id": series}, float(stamp_ms % 1_000_000), stamp_ms


def minutes(series: str, first_ms: int, count: int, step_ms: int = MINUTE_MS) -> list[Point]:
    return [point(series, first_ms + index * step_ms) for index in range(count)]


def write_file(path: Path, points: Iterable[Point]) -> str:
    """The points as OpenMetrics. Returns the path as an event names it."""
    lines = [f"{series_text(labels)} {value!r} {stamp / 1000:.3f}\n" for labels, value, stamp in points]
    path.write_text("".join(lines) + "# EOF\n", encoding="utf-8")
    return str(path)


@dataclass
class Past:
    """An API with the records of the points that it is given; `fault` is asked first, by request."""

    api: Api
    points: list[Point] = field(default_factory=list)
    fault: Callable[[Request], Answer | Fault | None] = lambda request: None
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = self.api.serve("/past", self._answer)

    def _answer(self, request: Request) -> Answer | Fault:
        start, end = int(request.params.get("from", 0)), int(request.params.get("to", 0))
        self.asked.append((start, end))
        found = self.fault(request)
        if found is not None:
            return found
        inside = [one for one in self.points if start <= one[2] <= end]
        return Answer.json([{"id": labels["id"], "value": value, "at": stamp} for labels, value, stamp in inside])

    def job(self, window: str = "5m", name: str = "usage", **keys: Any) -> dict[str, Any]:
        backfill = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix_ms", "window": window}
        return job(self.url, name, backfill=backfill, **keys)


# --- Receivers --------------------------------------------------------------------------------------------------------


def endpoint(receiver: Receiver, name: str = "amp", **keys: Any) -> dict[str, Any]:
    """A `remote_write` entry that counts as AMP, with the keys in it."""
    signing = {"region": KEYS.region, "access_key": KEYS.access_key, "secret_key": KEYS.secret_key}
    return other_endpoint(receiver, name, sigv4=signing, **keys)


def other_endpoint(receiver: Receiver, name: str = "other", **keys: Any) -> dict[str, Any]:
    """One that is none."""
    quick = {"min_backoff": "5ms", "max_backoff": "20ms"} | keys.pop("queue_config", {})
    return {"name": name, "url": receiver.url, "queue_config": quick, **keys}


def config_text(endpoints: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]] = (), **top: Any) -> str:
    return json.dumps({"json_configs": list(jobs), "remote_write": list(endpoints), "self_metrics": False, **top})


def signed(method: str, url: str, data: bytes = b"", headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """(status, body) of the answer to a request that botocore signed."""
    request = AWSRequest(method, url, headers=dict(headers or {}), data=data)
    SigV4Auth(Credentials(KEYS.access_key, KEYS.secret_key), "aps", KEYS.region).add_auth(request)
    prepared = urllib.request.Request(url, data or None, dict(request.headers.items()), method=method)
    try:
        with _OPENER.open(prepared, timeout=10) as response:
            return int(response.status), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def write(receiver: Receiver, points: Iterable[Point]) -> int:
    """One request with these samples, as another sender would make it. Returns the status."""
    headers = {
        "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0", "User-Agent": "other",
    }  # fmt: skip
    data = bytes(cramjam.snappy.compress_raw(stub_message(points).SerializeToString()))
    return signed("POST", receiver.url, data, headers)[0]


class Counting:
    """What stands before a Prometheus and remembers the queries that it passes on."""

    def __init__(self, url: str) -> None:
        self.queries: list[str] = []
        self._url, self._lock = url, threading.Lock()
        self._server = LoopbackServer(self._pass)
        self.url = self._server.base_url

    def _pass(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode())) | request.params
        with self._lock:
            self.queries.append(form["query"])
        query = f"?{request.query}" if request.query else ""
        headers = {"Content-Type": request.headers.get("Content-Type", "application/x-www-form-urlencoded")}
        passed = urllib.request.Request(
            f"{self._url}{request.path}{query}", request.body or None, headers, method=request.method
        )
        with _OPENER.open(passed, timeout=10) as response:
            return Answer(response.status, {"Content-Type": response.headers["Content-Type"]}, response.read())

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._server.__exit__(*exc)


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace, and the queries that it was asked."""

    amp: Receiver
    queries: list[str]


@contextmanager
def workspace(points: Iterable[Point] = (), **keys: Any) -> Iterator[Place]:
    """A receiver that has these points, and answers queries by a real Prometheus that has them too."""
    with (
        Prometheus(out_of_order_window="3h") as server,
        Counting(server.url) as counting,
        Receiver(prometheus_url=counting.url, forward_url=server.write_url, **keys) as receiver,
    ):
        seed(receiver, points)
        yield Place(receiver, counting.queries)


def seed(receiver: Receiver, points: Iterable[Point]) -> None:
    """Writes them, oldest first, each in a request of its own."""
    for one in sorted(points, key=lambda one: one[2]):
        assert write(receiver, [one]) == 200


@contextmanager
def failing_after(requests: int, fault: Fault, **keys: Any) -> Iterator[Receiver]:
    """A workspace that takes so many requests and answers all others with `fault`, until a test sets another. It does
    not say what it has."""

    def seen(_: Any) -> None:
        if len(receiver.requests) == requests:
            receiver.always(fault)

    with Receiver(denied=frozenset({"aps:QueryMetrics"}), on_request=seen, **keys) as receiver:
        yield receiver


# --- A process of its own ---------------------------------------------------------------------------------------------


class Shell:
    """`pusher backfill CONFIG` in a process of its own, which a signal may end. Its store is that of `desk`."""

    def __init__(self, folder: Path, text: str, env_vars: Mapping[str, str] | None = None) -> None:
        self.folder, self.config, self.env_vars = folder, folder / "config.yaml", env_vars or {}
        self.config.write_text(text)
        self.desk = Desk(text, DirectoryStore(folder / "kept" / "pusher"), self.env_vars)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        variables = {**self.env_vars, "XDG_STATE_HOME": str(self.folder / "kept")}
        return start("backfill", self.config, *arguments, **variables)

    def end(self, *arguments: str) -> dict[str, Any]:
        """Lets it come to its end. Returns its answer."""
        process = self.start(*arguments, "--json")
        detail, errors = process.communicate(timeout=60)
        assert process.returncode in (0, 1), detail + errors
        found: dict[str, Any] = json.loads(detail)
        return found

    def kill_when(self, moment: threading.Event, *arguments: str) -> None:
        """SIGKILL, once the moment has come."""
        process = self.start(*arguments)
        reached = moment.wait(PATIENCE_SECONDS)
        time.sleep(0.1)  # what went before the moment has had its effect
        process.send_signal(signal.SIGKILL)
        detail = process.communicate(timeout=30)
        assert (reached, process.returncode) == (True, -signal.SIGKILL), detail


# --- What arrived -----------------------------------------------------------------------------------------------------


def stored(receiver: Receiver, metric: str = "requests_total") -> dict[str, list[int]]:
    """The times of each series of a metric in the order of their arrival, by `id`."""
    return {dict(labels)["id"]: [at for at, _ in found] for labels, found in receiver.series(metric).items()}


def sent_stamps(receiver: Receiver, metric: str = "requests_total") -> list[tuple[str, int]]:
    """(id, time) of every sample of a metric in requests that were decoded, repetitions too."""
    found = []
    for record in receiver.requests:
        for series in record.message.timeseries if record.message else ():
            labels = {label.name: label.value for label in series.labels}
            if labels["__name__"] == metric:
                found += [(labels["id"], sample.timestamp) for sample in series.samples]
    return found


def by_series(points: Iterable[Point]) -> dict[str, list[int]]:
    """What `stored` should say of these points, each series in order."""
    found: dict[str, list[int]] = {}
    for labels, _, stamp in sorted(points, key=lambda one: one[2]):
        found.setdefault(str(labels["id"]), []).append(stamp)
    return found


def total(reasons: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(int(entry["count"]) for entry in reasons.values())


def counted(reasons: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {reason: int(entry["count"]) for reason, entry in reasons.items()}


def balances(answer: Answers) -> bool:
    """Every sample that an endpoint should have got is accounted for."""
    return all(
        one["collected"] == one["accepted"] + total(one["rejected"]) + total(one["dropped"])
        for one in answer["endpoints"]
    )


def only(answer: Answers) -> dict[str, Any]:
    """The counts of the only endpoint."""
    (found,) = answer["endpoints"]
    return dict(found)


# --- A backfill -------------------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """Where a backfill is run from: a config, and a store for how far it came."""

    text: str
    store: Store
    env_vars: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], int] = now_ms
    sleep: Callable[[float], None] = time.sleep

    def backfill(
        self, seconds: float = SECONDS, tell: Callable[[Any], None] | None = None, **event: Any
    ) -> dict[str, Any]:
        """One invocation, in an environment of its own. The counts must balance."""
        dependencies = Dependencies(self.env_vars, now_ms=self.clock, sleep=self.sleep)
        given = {key.removesuffix("_"): value for key, value in event.items()}
        told = {"tell": tell} if tell else {}
        host = invoke.Host(dependencies, self.store, is_local=True, **told)
        try:
            config = parse_config(self.text, "pusher.yaml", self.env_vars)
            answer = invoke.backfill(given, config, host, time.monotonic() + seconds)
        finally:
            dependencies.transport.close()
        assert balances(answer), answer
        assert ("resume" in answer) is (not answer["done"])
        return answer

    def to_its_end(self, seconds: float = SECONDS, most: int = 200, **event: Any) -> list[dict[str, Any]]:
        """Invocation after invocation, each with nothing but the token of the one before."""
        answers = [self.backfill(seconds, **event)]
        while not answers[-1]["done"]:
            assert len(answers) < most, answers[-1]
            assert answers[-1]["stopped"] == ""
            answers.append(self.backfill(seconds, resume=answers[-1]["resume"]))
        return answers


def desk(
    folder: Path, endpoints: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]] = (), **keys: Any
) -> Desk:
    return Desk(config_text(endpoints, jobs), DirectoryStore(folder / "store"), **keys)


def kept(folder: Path) -> list[str]:
    """The keys of everything in the store of a desk."""
    store = folder / "store"
    found = store.rglob("*") if store.exists() else ()
    return sorted(str(path.relative_to(store)) for path in found if path.is_file() and path.name != ".lock")
