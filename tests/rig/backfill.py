"""What tests of the backfill stand on: sources that know their past, receivers, and where a backfill is run from.

A `Rig` has a clock that stands still, and a receiver for samples of any age (or AMP's limits). A `Desk` runs by the
real clock, invocation after invocation; a `Shell` is the same in a process of its own, which a signal may end.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import requests

from lambda_remote_write.backfill import invoke
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.exposition import writer
from lambda_remote_write.store import DirectoryStore, Store
from sandbox.amp import Limits, Receiver, SigV4
from sandbox.api import Api
from sandbox.prometheus import Prometheus
from sandbox.s3 import KEYS as S3_KEYS
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig import push, remote_write_client
from tests.rig.clock import StandingClock
from tests.rig.command_line import start
from tests.rig.json_source import counts, example
from tests.rig.made import Point, stub_message
from tests.rig.push import now_ms

__all__ = ["counts", "example", "now_ms"]

NOW_MS = 1_760_000_400_000  # 2025-10-09T09:00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ANY_AGE = Limits(
    max_age_seconds=1e11, out_of_order_seconds=1e11, exemplars=True, max_body_bytes=1 << 30, custom_buckets=True
)
KEYS = SigV4()
TO_AMP = {"region": KEYS.region, "access_key": KEYS.access_key, "secret_key": KEYS.secret_key}
AWAY = Fault.status(503, b"maintenance", headers={"Retry-After": "3600"})
"""A receiver that asks to come back in an hour: no invocation waits so long, and none needs time to notice."""
UNASKED = frozenset({"aps:QueryMetrics"})
"""Denied, a workspace does not say what it has: refusals are all that is known."""
NAME = "__name__"
_PATIENCE_SECONDS = 60
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Points = dict[str, list[tuple[int, float]]]


# --- At a time that stands still --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rig:
    """One receiver for samples of any age, an API beside it, and a folder for files."""

    folder: Path
    clock: StandingClock
    api: Api
    receiver: Receiver
    dependencies: Dependencies
    is_amp: bool
    told: list[Any] = field(default_factory=list)

    def metric(self, name: str = "requests", **keys: Any) -> dict[str, Any]:
        """A metric of records as `{"at": 1760000000, "host": "a", "value": 1}`."""
        timestamp = {"path": "at", "format": "unix"}
        return {"name": name, "value": "value", "labels": {"host": "host"}, "timestamp": timestamp, **keys}

    def job(self, *metrics: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
        """An entry of json_configs; None leaves a key out."""
        found = {"job_name": "j", "url": f"{self.api.url}/doc", "metrics": list(metrics) or [self.metric()], **keys}
        return {key: value for key, value in found.items() if value is not None}

    def text(self, *jobs: Mapping[str, Any], endpoint: Mapping[str, Any] = {}, **top: Any) -> str:
        """A configuration, as JSON, which YAML reads."""
        entry: dict[str, Any] = {"url": self.receiver.url, "name": "here", "remote_timeout": "20s"}
        entry["queue_config"] = {"min_backoff": "5ms", "max_backoff": "20ms"}
        entry |= {"sigv4": TO_AMP} if self.is_amp else {"max_age": "10y"}
        config = {"json_configs": list(jobs), "remote_write": [entry | dict(endpoint)], "self_metrics": False, **top}
        return json.dumps(config)

    def backfill(
        self,
        event: Mapping[str, Any],
        *jobs: Mapping[str, Any],
        tell: Callable[[Any], None] | None = None,
        is_local: bool = True,
        seconds: float = 120.0,
        **top: Any,
    ) -> dict[str, Any]:
        """One backfill with these jobs; its counts must balance. Raises BadRequest."""
        host = invoke.Host(
            self.dependencies, DirectoryStore(self.folder / "state"), is_local=is_local, tell=tell or self.told.append
        )
        return _invoked(event, self.text(*jobs, **top), host, seconds)

    def read(
        self, name: str, content: str | bytes, *jobs: Mapping[str, Any], seconds: float = 120.0, **event: Any
    ) -> dict[str, Any]:
        """A backfill from one file with this content. Records are those of `job()`, unless there is another one."""
        is_text = not jobs and not {"json", "ndjson", "csv"} & {*name.split("."), event.get("format")}
        given = {"from": self.file(name, content), **event} | ({} if is_text else {"job": "j"})
        return self.backfill(given, *(() if is_text else jobs or [self.job()]), seconds=seconds)

    def file(self, name: str, content: str | bytes) -> str:
        """A file in the folder; gives its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def serve(self, document: Any, path: str = "/doc") -> None:
        self.api.serve(path, Answer.json(document))

    @property
    def stored(self) -> Points:
        """What the receiver has, by the series as text, oldest first."""
        return _points(self.receiver)

    @property
    def held(self) -> Points:
        """The same without the labels of the job."""
        return _points(self.receiver, "job", "instance")


@contextmanager
def made(
    folder: Path, *, amp: bool = False, limits: Limits | None = None, env_vars: Mapping[str, str] | None = None
) -> Iterator[Rig]:
    """A rig whose receiver takes samples of any age, or is AMP with its documented limits."""
    clock = StandingClock(NOW_MS)
    with (
        Api(now=clock.time) as api,
        Receiver(
            auth=SigV4() if amp else None, limits=limits or (Limits() if amp else ANY_AGE), now=clock.time
        ) as receiver,
    ):
        dependencies = Dependencies(dict(env_vars or {}), now_ms=clock.now_ms)
        try:
            yield Rig(folder, clock, api, receiver, dependencies, amp)
        finally:
            dependencies.transport.close()


@contextmanager
def made_with_bucket(
    folder: Path, *, amp: bool = False, env_vars: Mapping[str, str] | None = None
) -> Iterator[tuple[Rig, ObjectStore]]:
    """A rig with a bucket `spool` in reach."""
    with (
        ObjectStore(auth=None) as bucket,
        made(folder, amp=amp, env_vars={**bucket_environment(bucket), **(env_vars or {})}) as rig,
    ):
        yield rig, bucket


def bucket_environment(bucket: ObjectStore) -> dict[str, str]:
    """The variables with which a process reaches a bucket."""
    return {
        "AWS_ACCESS_KEY_ID": S3_KEYS.access_key, "AWS_SECRET_ACCESS_KEY": S3_KEYS.secret_key,
        "AWS_REGION": S3_KEYS.region, "AWS_ENDPOINT_URL_S3": bucket.base_url,
    }  # fmt: skip


def records(count: int, *, start_ms: int, step_ms: int = MINUTE, hosts: Sequence[str] = ("a",)) -> list[dict[str, Any]]:
    """Records in the order of their times, for each host one at a time."""
    return [
        {"at": (start_ms + index * step_ms) // 1000, "host": host, "value": index + 0.5 * number}
        for index in range(count)
        for number, host in enumerate(hosts)
    ]


# --- Points and where they come from ----------------------------------------------------------------------------------


def point(series: str, stamp_ms: int, metric: str = "requests_total") -> Point:
    """A sample whose value is as good as its time: two of one series and time are equal."""
    return {"__name__": metric, "id": series}, float(stamp_ms % 1_000_000), stamp_ms


def minutes(series: str, first_ms: int, count: int, step_ms: int = MINUTE) -> list[Point]:
    return [point(series, first_ms + index * step_ms) for index in range(count)]


def two_series(first_ms: int, count: int) -> list[Point]:
    """So many minutes of a series `a` and, seven seconds later each, of a series `b`, in the order of their times."""
    return in_time([*minutes("a", first_ms, count), *minutes("b", first_ms + 7 * SECOND, count)])


def in_time(points: Iterable[Point]) -> list[Point]:
    return sorted(points, key=lambda one: one[2])


def as_text(points: Iterable[Point]) -> str:
    """The points as OpenMetrics."""
    lines = [f"{writer.series_text(labels)} {value!r} {stamp / 1000:.3f}\n" for labels, value, stamp in points]
    return "".join([*lines, "# EOF\n"])


def as_records(points: Iterable[Point]) -> list[dict[str, Any]]:
    """The points as records of `Past.job`."""
    return [{"id": labels["id"], "value": value, "at": stamp} for labels, value, stamp in points]


def as_ndjson(points: Iterable[Point]) -> str:
    return "".join(json.dumps(one) + "\n" for one in as_records(points))


def write_file(path: Path, points: Iterable[Point]) -> str:
    """The points as OpenMetrics. Returns the path as an event names it."""
    path.write_text(as_text(points), encoding="utf-8")
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
        return Answer.json(as_records(inside))

    def job(self, window: str = "5m", name: str = "usage", **keys: Any) -> dict[str, Any]:
        backfill = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix_ms", "window": window}
        return push.job(self.url, name, backfill=backfill, **keys)


# --- Receivers --------------------------------------------------------------------------------------------------------


def endpoint(receiver: Receiver, name: str = "amp", **keys: Any) -> dict[str, Any]:
    """A `remote_write` entry that counts as AMP, with the keys in it."""
    return push.endpoint(receiver, name, sigv4=dict(TO_AMP), **keys)


def other_endpoint(receiver: Receiver, name: str = "other", **keys: Any) -> dict[str, Any]:
    """One that is none."""
    found = endpoint(receiver, name, **keys)
    del found["sigv4"]
    return found


def config_text(endpoints: Iterable[Mapping[str, Any]], jobs: Iterable[Mapping[str, Any]] = (), **top: Any) -> str:
    return push.config_text([*map(dict, jobs)], [*map(dict, endpoints)], **top)


def signed(method: str, url: str, data: bytes = b"") -> int:
    """The status of the answer to a request that another client signed."""
    headers = remote_write_client.signed(url, data, KEYS, method=method)
    with requests.Session() as http:
        http.trust_env = False
        return http.request(method, url, data=data, headers=headers, timeout=10).status_code


def write(receiver: Receiver, points: Iterable[Point]) -> int:
    """One request with these samples, as another sender would make it. Returns the status."""
    return signed("POST", receiver.url, remote_write_client.packed(stub_message(points)))


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace, and the queries that it was asked."""

    amp: Receiver
    queries: list[str]

    def backfill(self, folder: Path, points: Iterable[Point], **event: Any) -> dict[str, Any]:
        """A backfill of these points from a file, which waits for nothing."""
        at_desk = desk(folder, [endpoint(self.amp)], sleep=lambda seconds: None)
        return at_desk.backfill(from_=write_file(folder / "x.om", points), **event)


@contextmanager
def workspace(points: Iterable[Point] = (), **keys: Any) -> Iterator[Place]:
    """A receiver that has these points, and answers queries by a real Prometheus that has them too."""
    queries = list[str]()

    def passed(request: Request) -> Answer:
        queries.append((dict(parse_qsl(request.body.decode())) | request.params)["query"])
        query = f"?{request.query}" if request.query else ""
        headers = {"Content-Type": request.headers.get("Content-Type", "application/x-www-form-urlencoded")}
        url, data = f"{server.url}{request.path}{query}", request.body or None
        with _OPENER.open(urllib.request.Request(url, data, headers, method=request.method), timeout=10) as response:
            return Answer(response.status, {"Content-Type": response.headers["Content-Type"]}, response.read())

    with (
        Prometheus(out_of_order_window="3h") as server,
        LoopbackServer(passed) as front,
        Receiver(prometheus_url=front.base_url, forward_url=server.write_url, **keys) as receiver,
    ):
        for one in in_time(points):
            assert write(receiver, [one]) == 200
        yield Place(receiver, queries)


@contextmanager
def failing_after(requests: int, fault: Fault) -> Iterator[Receiver]:
    """A workspace that takes so many requests and answers all others with `fault`, until a test sets another."""

    def seen(_: Any) -> None:
        if len(receiver.requests) == requests:
            receiver.always(fault)

    with Receiver(denied=UNASKED, on_request=seen) as receiver:
        yield receiver


@contextmanager
def telling(*requests: int) -> Iterator[tuple[Receiver, list[threading.Event]]]:
    """A workspace, and the moments at which it has got so many requests."""
    moments = {number: threading.Event() for number in requests}

    def seen(_: Any) -> None:
        if moment := moments.get(len(receiver.requests)):
            moment.set()

    with Receiver(denied=UNASKED, on_request=seen) as receiver:
        yield receiver, list(moments.values())


# --- By the real clock ------------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """Where a backfill is run from: a config, and a store for how far it came."""

    text: str
    store: Store | None
    env_vars: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], int] = now_ms
    sleep: Callable[[float], None] = time.sleep

    def backfill(
        self, seconds: float = 30.0, tell: Callable[[Any], None] | None = None, **event: Any
    ) -> dict[str, Any]:
        """One invocation, in an environment of its own."""
        dependencies = Dependencies(self.env_vars, now_ms=self.clock, sleep=self.sleep)
        host = invoke.Host(dependencies, self.store, is_local=True, tell=tell or (lambda told: None))
        try:
            return _invoked({key.removesuffix("_"): value for key, value in event.items()}, self.text, host, seconds)
        finally:
            dependencies.transport.close()

    def to_its_end(self, seconds: float = 30.0, most: int = 200, **event: Any) -> list[dict[str, Any]]:
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
        reached = moment.wait(_PATIENCE_SECONDS)
        time.sleep(0.1)  # what went before the moment has had its effect
        process.send_signal(signal.SIGKILL)
        detail = process.communicate(timeout=30)
        assert (reached, process.returncode) == (True, -signal.SIGKILL), detail


# --- What was said, and what arrived ----------------------------------------------------------------------------------


def _invoked(event: Mapping[str, Any], text: str, host: invoke.Host, seconds: float) -> dict[str, Any]:
    """The answer of one invocation. It must be JSON, as a Lambda answers, and its counts must balance."""
    config = parse_config(text, "pusher.yaml", host.dependencies.env_vars)
    answer = invoke.backfill(dict(event), config, host, time.monotonic() + seconds)
    json.dumps(answer)
    assert_balances(answer)
    return answer


def assert_balances(answer: Mapping[str, Any]) -> None:
    """Of every endpoint each collected sample has one fate."""
    for one in answer["endpoints"]:
        lost = sum(entry["count"] for fate in ("rejected", "dropped") for entry in one[fate].values())
        assert one["collected"] == one["accepted"] + lost, one
    wanted = {"action", "job", "done", "windows", "parts", "empty", "records", "samples", "skipped", "endpoints"}
    assert wanted | {"preflight", "notes", "warnings", "stopped"} <= set(answer)
    assert answer["action"] == "backfill"
    assert ("resume" in answer) == (not answer["done"]), answer


def assert_says(text: str, *words: str) -> None:
    """A message has these words, in whatever case."""
    missing = [word for word in words if word.lower() not in text.lower()]
    assert not missing, f"{missing} in {text!r}"


def everything(answer: Mapping[str, Any]) -> str:
    """All that an answer says in words."""
    firsts = [example(entry) for entry in answer["skipped"].values()]
    return "\n".join([answer["stopped"], *answer["notes"], *answer["warnings"], *map(str, firsts)])


def only(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of the only endpoint."""
    (found,) = answer["endpoints"]
    return dict(found)


def _points(receiver: Receiver, *without: str) -> Points:
    found: Points = {}
    for labels, points in receiver.samples.items():
        kept = [(name, value) for name, value in labels if name not in without]
        found.setdefault(series_text(dict(kept)), []).extend(points)
    return {text: sorted(points) for text, points in sorted(found.items())}


def series_text(labels: Mapping[str, str]) -> str:
    """`name{label="value"}`, labels by name."""
    rest = {name: value for name, value in sorted(labels.items()) if name != NAME}
    shown = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in rest.items())
    return labels.get(NAME, "") + (f"{{{shown}}}" if shown else "")


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
