"""Candidate: the function of this project, from the event to the report.

Its clock moves on by a minute at every push, as a schedule's would: the job is due and metadata is sent each time. The
variable BENCH_SHARD makes it one shard of several, as 0/2.
"""

from __future__ import annotations

import os
import time

from bench.place import Place, Push
from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.http import Transport

_MINUTE_MS = 60_000


def prepare(place: Place, transport: Transport | None = None) -> Push:
    minutes = 0

    def now_ms() -> int:
        return time.time_ns() // 1_000_000 + minutes * _MINUTE_MS

    dependencies = Dependencies(os.environ | {"PUSHER_CONFIG": place.config}, now_ms=now_ms)
    dependencies.transport = transport or dependencies.transport
    app = App(dependencies)
    index, _, count = os.environ.get("BENCH_SHARD", "0/1").partition("/")
    event = {"shard": int(index), "shards": int(count)}

    def push() -> None:
        nonlocal minutes
        report = app.handle(event, None)
        minutes += 1
        totals = report["totals"]
        if totals["JobsDown"] or not totals["AcceptedSamples"] or totals["RejectedSamples"] + totals["DroppedSamples"]:
            raise RuntimeError(f"not everything was accepted: {report}")

    return push
