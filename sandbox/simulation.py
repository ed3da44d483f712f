"""A small world for the demo: the function itself, an API, a receiver that behaves like AMP, a folder as spool, and a
clock on which they all agree. It passes a minute at a time; switches make it fail."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Self

from lambda_remote_write.app import App
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.remote_write.encode.generated import remote_pb2
from lambda_remote_write.remote_write.explain import Explanation, explain
from lambda_remote_write.spool import entry as entries

from .amp import Labels, Limits, Received, Receiver, SigV4, decode
from .api import COUNT_FIELD, ORIGIN, Api
from .example import RANGES, USAGE_METRIC
from .server import Answer, Fault

START = ORIGIN + 8 * 3600  # the same at every start, so that a picture of the demo is the same
WINDOW_MINUTES = 120  # what is remembered of runs, and shown
LONGEST_MINUTES = 7 * 1440  # the receiver forgets nothing, so that a demo forgotten overnight needs an end
USAGE_JOB = "custom_exporter"
RENAMED_FIELD = "request_count"

_RUN_SECONDS = 20.0  # of real time: the world's clock stands still while a run works
_SLOW_SECONDS = 0.4
_THROTTLED_SAMPLES_PER_SECOND = 10.0  # fewer than a run has
_API_DOWN = Fault.status(503, b'{"error":"down for maintenance"}', {"Content-Type": "application/json"})
_OUTAGE = Fault.status(
    503, b'{"message":"Service Unavailable"}', {"Content-Type": "application/json", "Retry-After": "120"}
)
_CONFIG = """\
global: {{external_labels: {{environment: demo}}}}
self_metrics: false
json_configs:
  - job_name: custom_exporter
    url: {api}/usage
    labels: {{team: billing}}
    metrics:
{usage}{ranges}\
  - job_name: fleet
    url: {api}/fleet
    metrics:
      - name: host_state
        help: 1 when the host is well, 0.5 degraded, 0 failed.
        type: gauge
        records: ["regions[]", "hosts"]
        value: state
        value_map: {{OK: 1, DEGRADED: 0.5, FAIL: 0}}
        labels: {{region: "^.name", host: "@key", release: "$.release"}}
spool: {{location: {spool}}}
remote_write:
  - name: amp
    url: {amp}
    sigv4: {{region: us-east-1}}
    queue_config: {{min_backoff: 1s}} # of the world's time
"""
_numbers = itertools.count()


class Switch(Enum):
    """A way in which the world fails. The value is its name on the page."""

    API_DOWN = "api_down"
    FIELD_RENAMED = "field_renamed"
    THROTTLED = "throttled"
    OUTAGE = "outage"
    SLOW = "slow"


class Over(Exception):
    """The world has an end."""


class Clock:
    """Seconds since the epoch, which pass when a minute is run or a run sleeps."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True, slots=True)
class SentSample:
    """A sample as it is on its way to the receiver."""

    labels: Labels
    timestamp_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class RefusedWrite:
    """An answer of the receiver that was no success, and what the function says about it."""

    at: int
    status: int
    text: str
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Minute:
    """A run at a unix time: its report and sentence, the API's answer, the samples of the job made in this run, and how
    many samples wait in the spool at its end."""

    at: int
    report: Mapping[str, Any]
    sentence: str
    answer: Answer
    samples: tuple[SentSample, ...]
    waiting: int


class Simulation:
    """A context manager. `forward_url` is where what the receiver accepts is also written, as to a real Prometheus. Not
    thread-safe: callers run one minute at a time."""

    def __init__(self, *, forward_url: str | None = None, start: int = START) -> None:
        self._start = start // 60 * 60
        self.clock = Clock(self._start)
        self.minutes: deque[Minute] = deque(maxlen=WINDOW_MINUTES)
        self.refusal: RefusedWrite | None = None
        self.switches: frozenset[Switch] = frozenset()
        self._resources = contextlib.ExitStack()
        signature = SigV4(token="session-token-of-the-demo")
        self.api = self._resources.enter_context(Api(now=self.clock))
        self.receiver = self._resources.enter_context(Receiver(auth=signature, now=self.clock, forward_url=forward_url))
        # A run that was interrupted may still write there.
        temporary = tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True)
        folder = Path(self._resources.enter_context(temporary))
        self.spool = folder / "spool"
        self.spool.mkdir()
        self._log = io.StringIO()
        self._app = self._new_app(folder / "config.yaml", signature)
        self._seen_requests = 0

    def _new_app(self, config: Path, signature: SigV4) -> App:
        text = _CONFIG.format(
            usage=USAGE_METRIC, ranges=RANGES, api=self.api.url, amp=self.receiver.url, spool=self.spool
        )
        config.write_text(text)
        env_vars = {
            "PUSHER_CONFIG": str(config),
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": signature.access_key,
            "AWS_SECRET_ACCESS_KEY": signature.secret_key,
            "AWS_SESSION_TOKEN": signature.token or "",
            # Loggers of one name share their stream, and this one is read below.
            "POWERTOOLS_SERVICE_NAME": f"demo-{next(_numbers)}",
        }
        self._endpoint = parse_config(text, config.name, env_vars).endpoints[0]
        dependencies = Dependencies(env_vars, now_ms=lambda: int(self.clock() * 1000), sleep=self.clock.sleep)
        self._resources.callback(dependencies.transport.close)
        with contextlib.redirect_stdout(self._log):
            return App(dependencies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def passed(self) -> int:
        """How many minutes have passed."""
        return (int(self.clock()) - self._start) // 60

    # The world and its faults.

    def set_switches(self, *switches: Switch) -> None:
        """Makes the world fail in these ways, and in no others, from the next minute on."""
        self.switches = chosen = frozenset(switches)
        slow = Fault.delay(_SLOW_SECONDS) if Switch.SLOW in chosen else None
        self.api.always(_API_DOWN if Switch.API_DOWN in chosen else slow)
        self.api.count_field = RENAMED_FIELD if Switch.FIELD_RENAMED in chosen else COUNT_FIELD
        self.receiver.always(_OUTAGE if Switch.OUTAGE in chosen else None)
        rate = _THROTTLED_SAMPLES_PER_SECOND if Switch.THROTTLED in chosen else None
        self.receiver.limits = replace(Limits(), samples_per_second=rate)

    # A minute.

    def run_minute(self) -> Minute:
        """The next minute begins, and the schedule invokes the function. Raises Over."""
        if self.passed >= LONGEST_MINUTES:
            days = LONGEST_MINUTES // 1440
            raise Over(f"{days} simulated days have passed, which is as long as this demo lasts: run make demo again")
        at = int(self.clock()) // 60 * 60 + 60
        self.clock.seconds = at
        report, sentence = self._invoke(at)
        requests = self.receiver.requests[self._seen_requests :]
        self._seen_requests += len(requests)
        self.refusal = next(self._refusals(at, reversed(requests)), self.refusal)
        answer = self.api.answers["/usage"]
        samples = tuple(_made_of(answer, at, [*_messages(requests), *self._spooled_at(at)]))
        self.minutes.append(Minute(at, report, sentence, answer, samples, self._waiting_after(report)))
        return self.minutes[-1]

    def _invoke(self, at: int) -> tuple[dict[str, Any], str]:
        """The report, and the sentence of the log line."""
        scheduled = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._log.seek(0)
        self._log.truncate()
        with contextlib.redirect_stdout(self._log):
            report = self._app.handle({"action": "push", "scheduled_time": scheduled}, _Context())
        lines = [json.loads(line) for line in self._log.getvalue().splitlines() if '"report"' in line]
        return report, lines[-1]["message"]

    def _waiting_after(self, report: Mapping[str, Any]) -> int:
        before = self.minutes[-1].waiting if self.minutes else 0
        endpoint = report["endpoints"][0]
        return before - int(endpoint["taken"]) + count_of(endpoint["spooled"])

    def _refusals(self, at: int, requests: Iterator[Received]) -> Iterator[RefusedWrite]:
        for request in requests:
            if request.status is not None and not 200 <= request.status < 300:
                text = " ".join(request.answer.body.decode(errors="replace").split())
                yield RefusedWrite(at, request.status, text, explain(request.status, text, self._endpoint))

    def _spooled_at(self, at: int) -> Iterator[remote_pb2.WriteRequest]:
        """What the run of this minute has left in the spool."""
        for path in self.spool.glob(f"spool/**/{at * 1000:013d}-*"):
            for request in entries.decode(path.read_bytes()).requests:
                yield decode(request.body, Limits().max_body_bytes)


def count_of(reasons: Mapping[str, Any]) -> int:
    """The samples of all reasons of a report."""
    return sum(int(entry["count"]) for entry in reasons.values())


class _Context:
    """Of Lambda's, the part that says how much time is left."""

    def get_remaining_time_in_millis(self) -> int:
        return int(_RUN_SECONDS * 1000)


def _messages(requests: list[Received]) -> Iterator[remote_pb2.WriteRequest]:
    return (request.message for request in requests if request.message is not None)


def _made_of(answer: Answer, at: int, messages: list[remote_pb2.WriteRequest]) -> Iterator[SentSample]:
    """The samples of the job in requests that are of this answer or this minute, each once: not those of runs before,
    which go first."""
    wanted, seen = {at * 1000, *_times_ms(answer)}, set[tuple[Labels, int]]()
    for series in (series for message in messages for series in message.timeseries):
        labels = tuple((label.name, label.value) for label in series.labels)
        if ("job", USAGE_JOB) not in labels:
            continue
        for sample in series.samples:
            if sample.timestamp in wanted and (labels, sample.timestamp) not in seen:
                seen.add((labels, sample.timestamp))
                yield SentSample(labels, sample.timestamp, sample.value)


def _times_ms(answer: Answer) -> list[int]:
    """Those of its records; an error has none."""
    records = json.loads(answer.body)
    return [record["currentTime"] * 1000 for record in records] if isinstance(records, list) else []
