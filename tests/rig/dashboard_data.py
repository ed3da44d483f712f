"""A Prometheus with what the dashboards show: runs of a schedule over the example API, with faults of every kind."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from sandbox import prometheus
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.example import USAGE_METRIC
from sandbox.server import Answer, Fault, Request
from tests.rig.clock import StandingClock
from tests.rig.delivery import ENVIRONMENT, KEYS, no_session
from tests.rig.remote_write_client import series_at, write_to

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


@contextmanager
def filled(interval: str, interval_seconds: int) -> Iterator[Filled]:
    """RUNS runs of a schedule, the last one just over. The simulated clock moves only between runs and in backoffs."""
    end = int(time.time()) // 60 * 60
    start = end - RUNS * interval_seconds
    clock = StandingClock(start * 1000)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(prometheus.Prometheus(out_of_order_window="1d"))
        api = stack.enter_context(Api(now=clock.time))
        receiver = stack.enter_context(Receiver(auth=KEYS, now=clock.time, forward_url=server.write_url))
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
                clock.ms = (start + (number + 1) * interval_seconds) * 1000
                _break(receiver, number)
                app.handle({"action": "push", "scheduled_time": _timestamp(clock.time())}, None)
        _write_others(server, start, interval_seconds)
        yield Filled(server, start, end)


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _break(receiver: Receiver, number: int) -> None:
    receiver.always(Fault.status(403, b"{}") if number in OUTAGE else None)  # 403 is not retried within a run
    if number == RETRIED:
        receiver.script(Fault.status(503, b"once"))


def _serve_faults(api: Api, clock: StandingClock) -> None:
    """Records without a value, with a time that AMP refuses, and with ever new labels; and an API that is down."""

    def records(request: Request) -> Answer:
        now = int(clock.time())
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


def _write_others(server: prometheus.Prometheus, start: int, step: int) -> None:
    """On the same schedule: a counter whose name and label are no identifiers, which grows by one a second, and another
    stack of two shards, of which both say that one job is down, and one that the other is."""
    times_ms = [(start + number * step) * 1000 for number in range(1, RUNS + 1)]
    dotted = {"__name__": DOTTED_METRIC, DOTTED_LABEL: "a.b"}
    entries = [series_at(dotted, [(at_ms, number * step) for number, at_ms in enumerate(times_ms, 1)])]
    for job, shard, value in (("half", "0/2", 0), ("half", "1/2", 1), ("whole", "0/2", 1), ("whole", "1/2", 1)):
        labels = {"__name__": "pusher_job_down", "instance": SPLIT_STACK, "job": job, "shard": shard}
        entries.append(series_at(labels, [(at_ms, value) for at_ms in times_ms]))
    write_to(server.write_url, *entries)
