"""A Prometheus with what the dashboards show: runs of a schedule over the example API, with faults of every kind."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cramjam

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.remote_write.encode.generated import remote_pb2
from sandbox import prometheus
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.example import USAGE_METRIC
from sandbox.process import ask
from sandbox.server import Answer, Fault, Request
from tests.rig.delivery import ENVIRONMENT, KEYS, no_session

RUNS = 24
OUTAGE = range(8, 10)  # nothing is accepted, so the spool fills
RETRIED = 12
STACK, SPLIT_STACK = "shop", "split"
# Names that only a quoted selector and a quoted label take.
DOTTED_METRIC, DOTTED_LABEL = 'today\'s "usage".per project', 'project\'s "code".<b>'


@dataclass(frozen=True, slots=True)
class Filled:
    """A Prometheus, and the times in seconds between which its samples lie."""

    server: prometheus.Prometheus
    start: float
    end: float


class _Clock:
    def __init__(self, at: float) -> None:
        self.at = at

    def seconds(self) -> float:
        return self.at

    def now_ms(self) -> int:
        return int(self.at * 1000)

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@contextmanager
def filled(interval: str, interval_seconds: int) -> Iterator[Filled]:
    """RUNS runs of a schedule, the last one just over. The simulated clock moves only between runs and in backoffs."""
    end = time.time() // 60 * 60
    clock = _Clock(end - RUNS * interval_seconds)
    start = clock.at
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(prometheus.Prometheus(out_of_order_window="1d"))
        api = stack.enter_context(Api(now=clock.seconds))
        receiver = stack.enter_context(Receiver(auth=KEYS, now=clock.seconds, forward_url=server.write_url))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _serve_faults(api, clock)
        (folder / "config.yaml").write_text(_config(api, receiver, folder / "spool", interval))
        env_vars = ENVIRONMENT | {
            "PUSHER_CONFIG": str(folder / "config.yaml"),
            "PUSHER_TICK": interval,
            "AWS_REGION": KEYS.region,
            "AWS_LAMBDA_FUNCTION_NAME": f"{STACK}-PusherFunction",
            "POWERTOOLS_SERVICE_NAME": STACK,
        }
        app = App(Dependencies(env_vars, clock.now_ms, no_session, clock.sleep))
        with contextlib.redirect_stdout(io.StringIO()):
            for number in range(RUNS):
                clock.at = start + (number + 1) * interval_seconds
                _break(receiver, number)
                app.handle({"action": "push", "scheduled_time": _timestamp(clock.at)}, None)
        _write_others(server, start, interval_seconds)
        yield Filled(server, start, end)


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _break(receiver: Receiver, number: int) -> None:
    receiver.always(Fault.status(403, b"{}") if number in OUTAGE else None)  # 403 is not retried within a run
    if number == RETRIED:
        receiver.script(Fault.status(503, b"once"))


def _serve_faults(api: Api, clock: _Clock) -> None:
    """Records without a value, with a time that AMP refuses, and with ever new labels; and an API that is down."""

    def records(request: Request) -> Answer:
        now = int(clock.at)
        return Answer.json(
            [
                {"currentTime": now, "apiRequestCount": None, "projectCode": "empty"},
                {"currentTime": now - 3 * 86400, "apiRequestCount": 1, "projectCode": f"old {now}"},
                *({"currentTime": now, "apiRequestCount": 1, "projectCode": f"new {now} {n}"} for n in range(3)),
            ]
        )

    api.serve("/faulty", records)
    api.serve("/down", Answer(500))


def _config(api: Api, receiver: Receiver, spool: Path, interval: str) -> str:
    faulty = USAGE_METRIC.replace("api_requests_total", "faulty_requests_total")
    renamed = USAGE_METRIC.replace("api_requests_total", "renamed_total").replace('"[]"', '"items[]"')
    return f"""\
global: {{scrape_interval: {interval}, external_labels: {{environment: demo}}}}
spool: {{location: {json.dumps(str(spool))}}}
json_configs:
  - job_name: custom_exporter
    url: {api.url}/usage
    metrics:
{USAGE_METRIC}
  - job_name: faulty
    url: {api.url}/faulty
    new_series_limit: 4
    metrics:
{faulty}{renamed}
  - job_name: down
    url: {api.url}/down
    metrics:
{USAGE_METRIC}
remote_write:
  - name: amp
    url: {receiver.url}
    sigv4: {{region: {KEYS.region}}}
    queue_config: {{min_backoff: 5ms, max_backoff: 20ms}}
"""


def _write_others(server: prometheus.Prometheus, start: float, step: int) -> None:
    """On the same schedule: a counter whose name and label are no identifiers, which grows by one a second, and another
    stack of two shards, of which both say that one job is down, and one that the other is."""
    request = remote_pb2.WriteRequest()
    _add(request, {"__name__": DOTTED_METRIC, DOTTED_LABEL: "a.b"}, [n * step for n in range(1, RUNS + 1)], start, step)
    for job, shard, value in (("half", "0/2", 0), ("half", "1/2", 1), ("whole", "0/2", 1), ("whole", "1/2", 1)):
        labels = {"__name__": "pusher_job_down", "instance": SPLIT_STACK, "job": job, "shard": shard}
        _add(request, labels, [value] * RUNS, start, step)
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    ask("POST", server.write_url, data=body, headers=headers, timeout=30).raise_for_status()


def _add(
    request: remote_pb2.WriteRequest, labels: Mapping[str, str], values: Sequence[int], start: float, step: int
) -> None:
    series = request.timeseries.add()
    for name, value in sorted(labels.items()):
        series.labels.add(name=name, value=value)
    for number, sample in enumerate(values, 1):
        series.samples.add(timestamp=int(start + number * step) * 1000, value=float(sample))
