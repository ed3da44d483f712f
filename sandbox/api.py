"""The example API, with numbers that move: usage counters, a fleet of hosts, and three ways to page.

`python -m sandbox.api --port 8080` serves it until interrupted.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from sandbox.server import Answer, Fault, FaultScript, LoopbackServer, Request, Responder

Clock = Callable[[], float]

# Counters start here, so that every clock gives the same numbers.
ORIGIN = 1_704_067_200
DAY_MINUTES = 1440
BURST_CYCLE_MINUTES = 15
BURST_MINUTES = 5
# An API reads its shards one after another: their newest points are a few seconds apart, never in the future.
LAG_SECONDS = {"4": 0, "5": 3, "6": 7}
MAX_POINTS = 10_000
MAX_RANGE_SECONDS = 86_400

HOSTS = {"ap-northeast-2": ("web-1", "web-2", "db-1"), "us-east-1": ("web-1", "web-2")}
RELEASE = "2.14.0"


def request_count(project: str, at: int) -> int:
    """The counter of a project at a unix time; never decreases.

    4 is steady, 5 follows the day between 40 and 200 requests a minute, 6 idles ten minutes and bursts for five.
    """
    minutes = (at - ORIGIN) / 60
    if project == "4":
        return int(50 * minutes)
    if project == "5":
        swing = 80 * DAY_MINUTES / (2 * math.pi)
        return int(120 * minutes + swing * (1 - math.cos(2 * math.pi * minutes / DAY_MINUTES)))
    cycle, phase = divmod(minutes, BURST_CYCLE_MINUTES)
    idle = BURST_CYCLE_MINUTES - BURST_MINUTES
    return int(900 * (cycle * BURST_MINUTES + max(0.0, phase - idle)))


def usage(now: float, last: int = 1) -> list[dict[str, Any]]:
    """The newest `last` points of each project, one per minute, oldest first."""
    minute = int(now // 60) * 60
    records = []
    for project, lag in LAG_SECONDS.items():
        for age in range(last - 1, -1, -1):
            at = minute - lag - 60 * age
            records.append({"currentTime": at, "apiRequestCount": request_count(project, at), "projectCode": project})
    return records


def fleet(now: float) -> dict[str, Any]:
    """Regions with hosts keyed by name; one host after another is degraded, now and then one fails."""
    minute = int(now // 60)
    regions, index = [], 0
    for region, names in HOSTS.items():
        hosts = {}
        for name in names:
            turn = (minute + 3 * index) % 20
            hosts[name] = {"state": "FAIL" if turn == 19 else "DEGRADED" if turn >= 16 else "OK"}
            index += 1
        regions.append({"name": region, "hosts": hosts})
    return {"release": RELEASE, "regions": regions}


def item(number: int, now: float) -> dict[str, Any]:
    """One record of the paged list."""
    return {"id": number, "name": f"item-{number}", "requests": number * (int(now // 60) - ORIGIN // 60)}


class Api:
    """The API behind a socket; a context manager.

    Paths: `/usage[?last=N]`, `/fleet`, `/paged/link`, `/paged/cursor`, `/paged/number` (each over `items` records), and
    whatever a test adds with `serve`.
    """

    def __init__(self, *, port: int = 0, now: Clock = time.time, items: int = 45, page_size: int = 20) -> None:
        self._now = now
        self._items = items
        self._page_size = page_size
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults = FaultScript()
        self._routes: dict[str, Responder] = {
            "/usage": self._usage,
            "/fleet": lambda request: Answer.json(fleet(self._now())),
            "/paged/link": self._paged_by_link,
            "/paged/cursor": self._paged_by_cursor,
            "/paged/number": self._paged_by_number,
        }
        self._server = LoopbackServer(self._respond, plan=lambda method, path: self._faults.next(), port=port, now=now)

    @property
    def url(self) -> str:
        """The API's root, without a slash at its end."""
        return self._server.base_url

    @property
    def requests(self) -> list[Request]:
        """A copy of the requests so far."""
        with self._lock:
            return list(self._requests)

    @property
    def connections(self) -> int:
        return self._server.connections

    def serve(self, path: str, responder: Responder | Answer | Fault) -> str:
        """Answer a path with what the responder makes of the request, or always the same; gives the full URL."""
        fixed = responder
        self._routes[path] = (lambda request: fixed) if isinstance(fixed, Answer | Fault) else fixed
        return self.url + path

    def script(self, *faults: Fault | None) -> None:
        """Queue behaviours for the next requests, one each; None is a request treated well."""
        self._faults.script(*faults)

    def always(self, fault: Fault | None) -> None:
        """Treat every request so while nothing is queued; None ends it."""
        self._faults.always(fault)

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._server.__exit__(*exc)

    def _respond(self, request: Request) -> Answer | Fault:
        with self._lock:
            self._requests.append(request)
        if request.fault and not request.fault.handled:
            return Answer()
        route = self._routes.get(request.path)
        return route(request) if route else Answer.json({"error": f"no such path: {request.path}"}, 404)

    def _usage(self, request: Request) -> Answer:
        if "from" in request.params or "to" in request.params:
            return self._usage_between(request)
        last = _positive(request.params.get("last", "1"))
        if last is None:
            return Answer.json({"error": f"last must be a number from 1 to {MAX_POINTS}"}, 400)
        return Answer.json(usage(self._now(), last))

    def _usage_between(self, request: Request) -> Answer:
        """The points of each project between two unix times, both included."""
        start, end = (_unix(request.params.get(name, "")) for name in ("from", "to"))
        if start is None or end is None or end - start > MAX_RANGE_SECONDS:
            return Answer.json({"error": f"from and to are unix times, {MAX_RANGE_SECONDS} s apart at most"}, 400)
        minutes = range(-(-start // 60) * 60, end + 60, 60)
        times = {project: [at - lag for at in minutes] for project, lag in LAG_SECONDS.items()}
        return Answer.json([
            {"currentTime": at, "apiRequestCount": request_count(project, at), "projectCode": project}
            for project, found in times.items()
            for at in found
            if start <= at <= min(end, self._now())
        ])  # fmt: skip

    def _page(self, start: int) -> list[dict[str, Any]]:
        end = min(start + self._page_size, self._items)
        return [item(number, self._now()) for number in range(start, end)]

    def _paged_by_link(self, request: Request) -> Answer:
        """`next` holds the whole URL of the next page, null on the last."""
        number = _positive(request.params.get("page", "1")) or 1
        more = number * self._page_size < self._items
        link = f"{self.url}/paged/link?page={number + 1}" if more else None
        return Answer.json({"items": self._page((number - 1) * self._page_size), "next": link})

    def _paged_by_cursor(self, request: Request) -> Answer:
        """`nextCursor` goes into the next request's `cursor`, null on the last page; an unknown cursor is a 400."""
        cursor = request.params.get("cursor", "after-0")
        start = cursor.removeprefix("after-")
        if not cursor.startswith("after-") or not start.isdecimal():
            return Answer.json({"error": f"unknown cursor: {cursor}"}, 400)
        end = int(start) + self._page_size
        return Answer.json(
            {"items": self._page(int(start)), "nextCursor": f"after-{end}" if end < self._items else None}
        )

    def _paged_by_number(self, request: Request) -> Answer:
        """Pages count from 1; past the last one the list is empty."""
        number = _positive(request.params.get("page", "1")) or 1
        pages = -(-self._items // self._page_size)
        return Answer.json({"items": self._page((number - 1) * self._page_size), "page": number, "pages": pages})


def _unix(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 10 else None


def _positive(text: str) -> int | None:
    return int(text) if text.isdecimal() and 1 <= int(text) <= MAX_POINTS else None


def main(argv: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.api", description="The example API, with moving numbers.")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Api(port=options.port) as api:
        print(f"{api.url}/usage  {json.dumps(usage(time.time()))}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
