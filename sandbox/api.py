"""The example API, with numbers that move: usage counters, a fleet of hosts, and three ways to page."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from sandbox.server import Answer, Fault, FaultScript, LoopbackServer, Request, Responder, StandIn

Clock = Callable[[], float]

# Counters start here, so that every clock gives the same numbers.
ORIGIN = 1_704_067_200
DAY_MINUTES = 1440
BURST_CYCLE_MINUTES = 15
BURST_MINUTES = 5
# An API reads its shards one after another: their newest points are a few seconds apart, never in the future.
LAG_SECONDS = {"4": 0, "5": 3, "6": 7}
MAX_RANGE_SECONDS = 86_400
ITEMS, PAGE_SIZE = 45, 20
COUNT_FIELD = "apiRequestCount"

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


def usage(now: float, count_field: str = COUNT_FIELD) -> list[dict[str, Any]]:
    """The newest point of each project."""
    minute = int(now // 60) * 60
    return [_record(project, minute - lag, count_field) for project, lag in LAG_SECONDS.items()]


def _record(project: str, at: int, count_field: str) -> dict[str, Any]:
    return {"currentTime": at, count_field: request_count(project, at), "projectCode": project}


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


class Api(StandIn):
    """The API behind a socket; a context manager.

    Paths: `/usage[?from=SECONDS&to=SECONDS]`, `/fleet`, `/paged/link`, `/paged/cursor`, `/paged/number`, and whatever a
    test adds with `serve`. `count_field` may be assigned at any time: a new version of the API has renamed it.
    `answers` are the newest ones by path, without the faults in their sending.
    """

    def __init__(self, *, now: Clock = time.time) -> None:
        self.count_field = COUNT_FIELD
        self.answers: dict[str, Answer] = {}
        self._now = now
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
        self._server = LoopbackServer(self._respond, plan=lambda method, path: self._faults.next(), now=now)

    @property
    def url(self) -> str:
        """The API's root, without a slash at its end."""
        return self._server.base_url

    @property
    def requests(self) -> list[Request]:
        """A copy of the requests so far."""
        with self._lock:
            return list(self._requests)

    def serve(self, path: str, responder: Responder | Answer | Fault) -> str:
        """Answer a path with what the responder makes of the request, or always the same; gives the full URL."""
        fixed = responder
        self._routes[path] = (lambda request: fixed) if isinstance(fixed, Answer | Fault) else fixed
        return self.url + path

    def _respond(self, request: Request) -> Answer | Fault:
        answer = self._answer(request)
        with self._lock:
            self._requests.append(request)
            if isinstance(answer, Answer):
                self.answers[request.path] = answer
        return answer

    def _answer(self, request: Request) -> Answer | Fault:
        if request.fault and not request.fault.handled:
            return request.fault.instead or Answer()
        route = self._routes.get(request.path)
        return route(request) if route else Answer.json({"error": f"no such path: {request.path}"}, 404)

    def _usage(self, request: Request) -> Answer:
        if "from" in request.params or "to" in request.params:
            return self._usage_between(request)
        return Answer.json(usage(self._now(), self.count_field))

    def _usage_between(self, request: Request) -> Answer:
        """The points of each project between two unix times, both included."""
        start, end = (_unix(request.params.get(name, "")) for name in ("from", "to"))
        if start is None or end is None or end - start > MAX_RANGE_SECONDS:
            return Answer.json({"error": f"from and to are unix times, {MAX_RANGE_SECONDS} s apart at most"}, 400)
        minutes = range(-(-start // 60) * 60, end + 60, 60)
        times = {project: [at - lag for at in minutes] for project, lag in LAG_SECONDS.items()}
        return Answer.json([
            _record(project, at, self.count_field)
            for project, found in times.items()
            for at in found
            if start <= at <= min(end, self._now())
        ])  # fmt: skip

    def _page(self, start: int) -> list[dict[str, Any]]:
        end = min(start + PAGE_SIZE, ITEMS)
        return [item(number, self._now()) for number in range(start, end)]

    def _paged_by_link(self, request: Request) -> Answer:
        """`next` holds the whole URL of the next page, null on the last."""
        number = _page_number(request)
        more = number * PAGE_SIZE < ITEMS
        link = f"{self.url}/paged/link?page={number + 1}" if more else None
        return Answer.json({"items": self._page((number - 1) * PAGE_SIZE), "next": link})

    def _paged_by_cursor(self, request: Request) -> Answer:
        """`nextCursor` goes into the next request's `cursor`, null on the last page; an unknown cursor is a 400."""
        cursor = request.params.get("cursor", "after-0")
        start = cursor.removeprefix("after-")
        if not cursor.startswith("after-") or not start.isdecimal():
            return Answer.json({"error": f"unknown cursor: {cursor}"}, 400)
        end = int(start) + PAGE_SIZE
        return Answer.json({"items": self._page(int(start)), "nextCursor": f"after-{end}" if end < ITEMS else None})

    def _paged_by_number(self, request: Request) -> Answer:
        """Pages count from 1; past the last one the list is empty."""
        number = _page_number(request)
        pages = -(-ITEMS // PAGE_SIZE)
        return Answer.json({"items": self._page((number - 1) * PAGE_SIZE), "page": number, "pages": pages})


def _unix(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 10 else None


def _page_number(request: Request) -> int:
    return int(request.params.get("page", "1"))
