"""`make demo`: the Lambda handler against the example API and an AMP-like receiver for forty simulated minutes,
then what arrived: a table, a plot, the accounting, and Prometheus's own functions when one is on PATH."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotext
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies

from .amp import Receiver, SigV4
from .api import Api
from .example import USAGE_METRIC
from .prometheus import Prometheus, find

_MINUTES = 40
_FUNCTIONS = ("irate(api_requests_total[10m])", "deriv(api_requests_total[10m])", "idelta(api_requests_total[10m])")
_CONFIG = """\
global: {{external_labels: {{environment: demo}}}}
self_metrics: false
json_configs:
  - job_name: custom_exporter
    url: {api}/usage
    labels: {{team: billing}}
    metrics:
{usage}
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
remote_write:
  - url: {amp}
    sigv4: {{region: us-east-1}}
"""


class Clock:
    """Minutes that pass when told. Seconds since the epoch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def main() -> None:
    """Runs the demo; a little over a second of wall time, plus Prometheus's start."""
    console = Console(width=110, highlight=False)
    clock = Clock(time.time() // 60 * 60 - _MINUTES * 60)
    with contextlib.ExitStack() as stack:
        prometheus = stack.enter_context(Prometheus()) if find() else None
        api = stack.enter_context(Api(now=clock))
        forward = prometheus.write_url if prometheus else None
        signature = SigV4(token="session-token-of-the-demo")
        receiver = stack.enter_context(Receiver(auth=signature, now=clock, forward_url=forward))
        reports, line = _push_every_minute(api, receiver, signature, clock)
        console.print(f"\n[bold]{_MINUTES} scheduled minutes[/], pushed as the schedule does it. Its last log line:")
        console.print(Text(line[:430] + " …", style="dim"))
        _show_series(console, receiver)
        _show_plot(console, receiver)
        _show_accounting(console, reports, receiver)
        if prometheus:
            _show_functions(console, prometheus, clock())
        else:
            console.print(
                "\n(With a Prometheus >= 3.5 on PATH, irate, deriv and idelta over these samples follow here.)"
            )


def _push_every_minute(
    api: Api, receiver: Receiver, signature: SigV4, clock: Clock
) -> tuple[list[dict[str, Any]], str]:
    """Invokes the function once a simulated minute. Returns the reports and the last log line."""
    reports = []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as log:
        config = Path(folder) / "config.yaml"
        config.write_text(_CONFIG.format(usage=USAGE_METRIC, api=api.url.rstrip("/"), amp=receiver.url))
        env_vars = {
            "PUSHER_CONFIG": str(config),
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": signature.access_key,
            "AWS_SECRET_ACCESS_KEY": signature.secret_key,
            "AWS_SESSION_TOKEN": signature.token or "",
        }
        app = App(Dependencies(env_vars, now_ms=lambda: int(clock() * 1000)))
        for _ in range(_MINUTES):
            clock.seconds += 60
            scheduled = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock()))
            reports.append(app.handle({"action": "push", "scheduled_time": scheduled}, None))
    lines = [line for line in log.getvalue().splitlines() if '"report"' in line]
    return reports, lines[-1]


def _show_series(console: Console, receiver: Receiver) -> None:
    table = Table("series", "samples", "first", "last", "newest at", title="What arrived", title_justify="left")
    for labels, samples in receiver.samples.items():
        name = dict(labels)["__name__"]
        if name.startswith("scrape_"):
            continue
        shown = ", ".join(
            f'{key}="{value}"' for key, value in labels if key not in ("__name__", "instance", "environment")
        )
        newest = time.strftime("%H:%M:%S", time.gmtime(samples[-1][0] / 1000))
        table.add_row(
            Text(f"{name}{{{shown}}}"), str(len(samples)), f"{samples[0][1]:g}", f"{samples[-1][1]:g}", newest
        )
    console.print(table)


def _show_plot(console: Console, receiver: Receiver) -> None:
    """Requests per minute, by projectCode, straight from the received samples."""
    lines = {}
    for labels, samples in receiver.samples.items():
        found = dict(labels)
        if found["__name__"] == "api_requests_total":
            steps = itertools.pairwise(samples)
            lines[found["projectCode"]] = [after[1] - before[1] for before, after in steps]
    console.print(Text.from_ansi(_plot("requests per minute, by projectCode", lines)))


def _plot(title: str, lines: Mapping[str, Sequence[float]]) -> str:
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(100, 16)
    plotext.title(title)
    for marker, (name, values) in zip("•+x*o", sorted(lines.items()), strict=False):
        plotext.plot(list(values), label=f"projectCode {name}", marker=marker)
    return str(plotext.build())


def _show_accounting(console: Console, reports: Sequence[dict[str, Any]], receiver: Receiver) -> None:
    endpoints = [report["endpoints"][0] for report in reports]
    fates = ("rejected", "dropped", "undelivered")
    sums = {fate: sum(entry["count"] for one in endpoints for entry in one[fate].values()) for fate in fates}
    collected, accepted = sum(one["collected"] for one in endpoints), sum(one["accepted"] for one in endpoints)
    rest = " + ".join(f"{count} {fate}" for fate, count in sums.items())
    requests, sent = sum(one["requests"] for one in endpoints), sum(one["bytes_sent"] for one in endpoints)
    console.print(f"[bold]Accounting:[/] {collected} collected = {accepted} accepted + {rest}")
    held = f"the receiver holds {receiver.accepted} and refused {receiver.refused}"
    console.print(f"{requests} signed requests, {sent:,} bytes; {held}.")
    console.print(Text(json.dumps(reports[-1]["totals"]), style="dim"))


def _show_functions(console: Console, prometheus: Prometheus, now: float) -> None:
    """What Grafana panels ask for, answered by a real Prometheus that got the same requests."""
    for expression in _FUNCTIONS:
        found = prometheus.query_range(expression, now - (_MINUTES - 2) * 60, now, 60)
        lines = {one["metric"]["projectCode"]: [float(value) for _, value in one["values"]] for one in found}
        console.print(Text.from_ansi(_plot(f"{expression}, asked of a real Prometheus", lines)))


if __name__ == "__main__":
    main()
