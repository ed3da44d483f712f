"""What HTTP costs: whole pushes of the function over its own transport and over others that make the same exchanges, in
turn in one process, so that a slow minute of the machine slows all of them."""

from __future__ import annotations

import importlib
import json
import re
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench import with_pusher
from bench.place import Place
from bench.runner import Runner
from bench.table import Target
from bench.worker import timed
from lambda_remote_write.http import HttpRequest, Transport, parsed
from lambda_remote_write.http.response import Headers

FULL, QUICK = {1_000: 61, 100_000: 15}, {1_000: 15}  # records -> pushes of each
LIMITS = {1_000: 0.25, 100_000: 0.10}  # of the CPU of a push, for what its HTTP takes beyond a bare socket's
OURS, LEAST = "lambda-remote-write", "a bare socket"

Answered = tuple[int, Sequence[tuple[str, str]], bytes]
"""Status, headers and body."""
Exchange = Callable[[HttpRequest, float], Answered]
"""Within so many seconds."""


def bare_socket() -> Exchange:
    """The least that works with this other side: no check of anything."""
    kept: dict[str, list[socket.socket]] = {}

    def exchange(request: HttpRequest, seconds: float) -> Answered:
        url = parsed(request.url)
        idle = kept.setdefault(url.netloc or "", [])
        sock = idle.pop() if idle else socket.create_connection((url.host, url.port))
        sock.settimeout(seconds)
        body = request.body or b""
        lines = [f"{request.method} {url.request_uri} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        came = b""
        while b"\r\n\r\n" not in came:
            came += sock.recv(1 << 18)
        head, _, content = came.partition(b"\r\n\r\n")
        pairs = re.findall(r"([^:\r\n]+): *([^\r\n]*)", head.decode("latin-1").partition("\r\n")[2])
        pieces, left = [content], int(dict(pairs)["Content-Length"]) - len(content)
        while left:
            pieces.append(sock.recv(left))
            left -= len(pieces[-1])
        idle.append(sock)
        return int(head[9:12]), pairs, b"".join(pieces)

    return exchange


def urllib3_pools() -> Exchange:
    pools = importlib.import_module("urllib3").PoolManager(maxsize=8)

    def exchange(request: HttpRequest, seconds: float) -> Answered:
        asked = {"body": request.body, "headers": request.headers, "timeout": seconds, "retries": False}
        with pools.urlopen(request.method, request.url, redirect=False, preload_content=False, **asked) as answer:
            return answer.status, list(answer.headers.items()), answer.read(decode_content=False)

    return exchange


def httpcore() -> Exchange:
    pool = importlib.import_module("httpcore").ConnectionPool(max_connections=50)

    def exchange(request: HttpRequest, seconds: float) -> Answered:
        own = {"Host": parsed(request.url).netloc, "Content-Length": str(len(request.body or b""))}
        limits = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
        asked = {"headers": own | dict(request.headers), "content": request.body, "extensions": {"timeout": limits}}
        answer = pool.request(request.method, request.url, **asked)
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
        return answer.status, pairs, answer.content

    return exchange


OTHERS = {LEAST: bare_socket, "urllib3's pools": urllib3_pools, "httpcore": httpcore}


class Other(Transport):
    """Stands where the transport stands."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange_whole = exchange

    def send(self, request: HttpRequest, options: object, timeout_seconds: float, **_: object) -> Any:
        status, pairs, body = self._exchange_whole(request, timeout_seconds)
        return _Answer(status, Headers(pairs), body)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Headers
    body: bytes
    resent: bool = False

    def chunks(self) -> Iterator[bytes]:
        yield self.body

    def read(self, limit: int) -> bytes:
        return self.body[:limit]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Results:
    """Of each way: CPU seconds of its import, once the function is imported, and of its warm pushes by size."""

    imports: dict[str, float]
    pushes: dict[int, dict[str, list[float]]]

    def share(self, size: int, way: str) -> float:
        """Of a push, what it takes beyond one over the bare socket: the median of the same turns."""
        least = self.pushes[size][LEAST]
        return statistics.median(1 - other / own for own, other in zip(self.pushes[size][way], least, strict=True))


def measured(plan: dict[int, int], say: Callable[[str], None]) -> Results:
    found = Results({}, {})
    with Runner(pin=True) as runner:
        for size, pushes in plan.items():
            say(f"HTTP, {size:,} records, {pushes} pushes each")
            answer = runner.turns("bench.http", [OURS, *OTHERS], size, pushes)
            found.imports.update(answer["imports"])
            found.pushes[size] = answer["pushes"]
    return found


def targets(results: Results) -> list[Target]:
    what = "of the CPU of a push, HTTP beyond a bare socket"
    sizes = [size for size in results.pushes if size in LIMITS]
    return [Target(f"{what}, {size:,} records", results.share(size, OURS), LIMITS[size]) for size in sizes]


def printed(results: Results) -> str:
    sizes = list(results.pushes)
    lines = ["HTTP: CPU of a whole push in ms, median, and what of it is beyond a bare socket; CPU of the import in ms"]
    lines.append(f"  {'':<26}" + "".join(f"{f'{size:,} records':>24}" for size in sizes) + f"{'import':>24}")
    for way, seconds in results.imports.items():
        medians = {size: statistics.median(results.pushes[size][way]) * 1e3 for size in sizes}
        cells = [f"{milliseconds:.2f} {results.share(size, way):5.0%}" for size, milliseconds in medians.items()]
        lines.append(f"  {way:<26}" + "".join(f"{cell:>24}" for cell in cells) + f"{seconds * 1e3:>24.0f}")
    lines += [f"  {way}: not installed" for way in OTHERS if way not in results.imports]
    return "\n".join([*lines, "", "Targets of HTTP", *(target.line() for target in targets(results))])


def main() -> None:
    """In the process that is measured: the places of the ways, how often, and where to write the figures."""
    places, count, out = json.loads(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    imports, ready = dict[str, float](), {}
    for way, place in places.items():
        before = time.process_time()
        try:
            transport = Other(OTHERS[way]()) if way in OTHERS else Transport()
        except ImportError:
            continue
        imports[way] = time.process_time() - before
        ready[way] = with_pusher.prepare(Place(**place), transport)
    seconds: dict[str, list[float]] = {way: [] for way in ready}
    for turn in range(count):
        for way in list(ready)[:: -1 if turn % 2 else 1]:
            seconds[way].append(timed(ready[way])[0])
    warm = {way: found[1:] for way, found in seconds.items()}
    out.write_text(json.dumps({"imports": imports, "pushes": warm}), encoding="utf-8")


if __name__ == "__main__":
    main()
