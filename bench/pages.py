"""What candidates ask for, and the process that serves it: pages as a large exporter has them and records as an API
has them, with other values at every request.

Of a page, a family has about twenty series, a series six labels and about a hundred bytes. Families are counters,
gauges and histograms in turn; a third of all values is zero and stays so.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.side import Web, obey
from sandbox.server import Request

VARIANTS = 8  # pages that a target serves in turn
MINUTE = 60  # seconds; the records of a minute belong to one request
_PER_FAMILY = 20
_BOUNDS = (
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "25.0", "50.0", "100.0",
    "250.0", "500.0", "1000.0", "+Inf",
)  # fmt: skip
_KINDS = ("counter", "gauge", "histogram")
_ROUTES = ("/api/orders", "/api/carts", "/api/users", "/healthz", "/api/items")
_CODES = ("200", "204", "404", "500")
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_START_MINUTE = int(time.time() // MINUTE)


@dataclass(frozen=True, slots=True)
class Content:
    """One variant of what is served, as it goes over the wire, and the sum of its values."""

    type: str
    plain: bytes
    gzipped: bytes  # empty where nothing is compressed
    total: float


def page(size: int, run: int, seed: int = 0) -> tuple[str, float]:
    """A page of `size` series as it is at scrape number `run`, and the sum of its values."""
    lines: list[str] = []
    values: list[float] = []
    for family in range(-(-size // _PER_FAMILY)):
        count = min(_PER_FAMILY, size - family * _PER_FAMILY)
        kind, name = _KINDS[family % 3], f"app_{_KINDS[family % 3]}_{family:05d}"
        lines += [f"# HELP {name} What the part {family} of the application did.", f"# TYPE {name} {kind}"]
        for head, value in _series(kind, name, family, run, seed)[:count]:
            lines.append(f"{head} {value}")
            values.append(float(value))
    return "\n".join([*lines, ""]), math.fsum(values)


def _series(kind: str, name: str, family: int, run: int, seed: int) -> list[tuple[str, str]]:
    dice = random.Random(family * 7_919 + seed)
    zone = f'zone="eu-west-1{"abc"[family % 3]}",service="svc-{family % 40:02d}"'
    if kind == "histogram":
        labels = f'{zone},route="{_ROUTES[family % 5]}",code="{_CODES[family % 4]}",pod="{family % 97:02x}"'
        return list(_histogram(name, labels, dice, run))
    found = []
    for index in range(_PER_FAMILY):
        labels = f'{zone},route="{_ROUTES[index % 5]}",code="{_CODES[index // 5]}",pod="{family % 97:02x}"'
        found.append((f'{name}{{{labels},shard="{index:02d}"}}', _value(kind, dice, run)))
    return found


def _value(kind: str, dice: random.Random, run: int) -> str:
    size, start, step = dice.random(), dice.random(), dice.random()
    if size < 0.38:
        return "0"
    if kind == "counter":
        return str(int(start * 10 ** (1 + size * 6)) + int(run * (1 + step * 90)))
    return repr(round(start * 10 ** (size * 4) + math.sin(run + step), 3 if size < 0.7 else 9))


def _histogram(name: str, labels: str, dice: random.Random, run: int) -> Iterator[tuple[str, str]]:
    empty = int(dice.random() * 10)  # buckets below the fastest answer
    counts = [0 if place < empty else 5 + int((place - empty) * 40 * dice.random()) for place in range(len(_BOUNDS))]
    total = 0
    for bound, count in zip(_BOUNDS, counts, strict=True):
        total += count * (run + 1)
        yield f'{name}_bucket{{{labels},le="{bound}"}}', str(total)
    yield f"{name}_sum{{{labels}}}", repr(round(total * (0.1 + dice.random()), 6))
    yield f"{name}_count{{{labels}}}", str(total)


@dataclass(slots=True)
class Lane:
    """The targets of one candidate: each port is a target. `slow` ones answer late."""

    contents: list[Content]
    slow: set[int]
    delay_seconds: float
    served: dict[int, int] = field(default_factory=dict)


class Pages:
    """Lanes by port."""

    def __init__(self) -> None:
        self._web = Web(self._respond)
        self._queued: dict[int, Lane] = {}
        self._made: dict[tuple[str, int, int], list[Content]] = {}

    def open(
        self,
        kind: str,
        size: int,
        variants: int = VARIANTS,
        targets: int = 1,
        slow: int = 0,
        delay_seconds: float = 0.0,
    ) -> dict[str, Any]:
        """Makes contents and ports ready; the first `slow` targets answer late. All samples of a request are within
        the same `window_ms`."""
        ports = self._web.open(targets)
        variants = VARIANTS if kind == "page" else variants
        lane = Lane(self._contents(kind, size, variants), set(ports[:slow]), delay_seconds)
        self._queued |= dict.fromkeys(ports, lane)
        totals = [content.total for content in lane.contents]
        first, window_ms = lane.contents[0], MINUTE * 1_000 if kind in SHAPES else 1
        sizes = {"plain_bytes": len(first.plain), "gzip_bytes": len(first.gzipped)}
        return {"ports": ports, "totals": totals, "window_ms": window_ms, **sizes}

    def connections(self) -> dict[str, Any]:
        """How many connections all targets have taken."""
        return {"connections": self._web.connections}

    def _contents(self, *wanted: Any) -> list[Content]:
        if wanted not in self._made:
            kind, size, variants = wanted
            make = _page_content if kind == "page" else partial(_records_content, kind)
            self._made = {wanted: [make(size, run) for run in range(variants)]}
        return self._made[wanted]

    async def _respond(self, request: Request, port: int) -> tuple[Mapping[str, str], bytes]:
        lane = self._queued[port]
        run = lane.served[port] = lane.served.get(port, -1) + 1
        if port in lane.slow:
            await asyncio.sleep(lane.delay_seconds)
        content = lane.contents[run % len(lane.contents)]
        if content.gzipped and "gzip" in request.headers.get("Accept-Encoding", ""):
            return {"Content-Type": content.type, "Content-Encoding": "gzip"}, content.gzipped
        return {"Content-Type": content.type}, content.plain


def _page_content(size: int, run: int) -> Content:
    text, total = page(size, run)
    plain = text.encode()
    return Content(_TYPE, plain, gzip.compress(plain, 6, mtime=0), total)


def _records_content(kind: str, size: int, run: int) -> Content:
    """An API reads its shards one after another: the newest points are up to a minute apart. Every count and time has
    moved since the run before."""
    end = (_START_MINUTE + run + 1) * MINUTE - 1
    records = [
        {
            "currentTime": end - index % MINUTE,
            "apiRequestCount": 1_000 + 37 * index + run * (1 + index % 97),
            "projectCode": str(index),
        }
        for index in range(size)
    ]
    total = float(sum(one["apiRequestCount"] for one in records))  # type: ignore[misc]
    return Content("application/json", json.dumps(SHAPES[kind](records)).encode(), b"", total)


def _columns(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [one[name] for one in records] for name in records[0]}


def _rows(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {"columns": [{"name": name} for name in records[0]], "rows": [list(one.values()) for one in records]}


SHAPES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {"records": list, "columns": _columns, "rows": _rows}
"""How an API may lay out the same records."""


def main() -> None:
    pages = Pages()
    obey({}, {"open": pages.open, "connections": pages.connections})


if __name__ == "__main__":
    main()
