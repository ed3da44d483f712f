"""The process that takes remote writes: it answers at once, and counts by scrape when no request is under way, so
that its own work does not slow down the one that is measured.

All samples of a scrape have its time, those of records are within a minute. With every request the CPU time is noted
that the sender has taken so far; that of a scrape is the one of the request with its last sample.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import snappy

from bench.place import SESSION_TOKEN
from bench.side import Web, cpu_seconds, obey, signature_problem
from lambda_remote_write.remote_write.encode.generated.remote_pb2 import WriteRequest
from sandbox.server import Request

_QUIET_SECONDS = 0.3  # without a request, and the counting may begin


@dataclass(slots=True)
class Landed:
    """What arrived of one scrape: samples of the page, and their sum."""

    samples: int = 0
    total: float = 0.0


@dataclass(slots=True)
class Lane:
    """What one candidate wrote. `size` is what a scrape has, in samples of the same window of time; `pid` is whose CPU
    is noted, 0 for none."""

    size: int
    window_ms: int
    pid: int = 0
    ups: int = 0
    by_time: dict[int, Landed] = field(default_factory=dict)
    complete: list[tuple[float, float]] = field(default_factory=list)  # monotonic time, CPU seconds
    requests: int = 0
    body_bytes: int = 0
    last: Request | None = None
    waiting: list[tuple[float, float, bytes]] = field(default_factory=list)  # time, CPU seconds, body: not counted yet


class Receiver:
    """Lanes by port."""

    def __init__(self) -> None:
        self._web = Web(self._respond, self._take)
        self._queued: dict[int, Lane] = {}

    def open(self, size: int, window_ms: int = 1) -> dict[str, Any]:
        (port,) = self._web.open()
        self._queued[port] = Lane(size, window_ms)
        return {"port": port}

    def watch(self, port: int, pid: int) -> dict[str, Any]:
        self._queued[port].pid = pid
        return {}

    def progress(self, port: int) -> dict[str, Any]:
        complete, ups = self._web.run(self._arrived(port))
        return {"complete": complete, "ups": ups}

    def check(self, port: int, signed: bool, token: bool = True) -> dict[str, Any]:
        """Closes a lane: the scrapes that arrived in the order of their times, and what is wrong with the last
        signature ("" when nothing is)."""
        lane: Lane = self._web.run(self._closed(port))
        scrapes = [(one.samples, one.total) for _, one in sorted(lane.by_time.items())]
        found = {"scrapes": scrapes, "ups": lane.ups, "requests": lane.requests, "bytes": lane.body_bytes}
        problem = "" if lane.last else "nothing was written"
        if signed and lane.last:
            problem = signature_problem(lane.last, SESSION_TOKEN if token else None)
        return found | {"problem": problem}

    async def _arrived(self, port: int) -> tuple[list[tuple[float, float]], int]:
        lane = self._queued[port]
        if lane.waiting and time.monotonic() - lane.waiting[-1][0] > _QUIET_SECONDS:
            _count(lane)
        return lane.complete, lane.ups

    async def _closed(self, port: int) -> Lane:
        lane = self._queued.pop(port)
        _count(lane)
        return lane

    async def _respond(self, request: Request, port: int) -> tuple[Mapping[str, str], bytes]:
        return {}, b""

    def _take(self, request: Request, port: int) -> None:
        lane = self._queued.get(port)
        if lane is None or request.headers.get("Content-Encoding") != "snappy":
            return
        lane.requests, lane.body_bytes, lane.last = lane.requests + 1, lane.body_bytes + len(request.body), request
        lane.waiting.append((time.monotonic(), cpu_seconds(lane.pid) if lane.pid else 0.0, request.body))


def _count(lane: Lane) -> None:
    waiting, lane.waiting = lane.waiting, []
    for seconds, cpu, body in waiting:
        for series in WriteRequest.FromString(snappy.uncompress(body)).timeseries:
            name = series.labels[0].value  # __name__ comes before all other labels
            for sample in series.samples:
                if name == "up":
                    lane.ups += sample.value == 1.0
                elif not name.startswith("scrape_"):
                    landed = lane.by_time.setdefault(sample.timestamp // lane.window_ms, Landed())
                    landed.samples += 1
                    landed.total += sample.value
                    if landed.samples == lane.size and lane.pid:
                        lane.complete.append((seconds, cpu))


def main() -> None:
    receiver = Receiver()
    obey({}, {name: getattr(receiver, name) for name in ("open", "watch", "progress", "check")})


if __name__ == "__main__":
    main()
