"""A process on the other side of the sockets: its CPU and memory do not count. It serves HTTP, and takes commands as
JSON lines on standard input, whose end ends it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, Self

from bench.place import ACCESS_KEY, REGION, SECRET_KEY, SESSION_TOKEN, credentials
from sandbox.amp import SigV4
from sandbox.process import stop
from sandbox.server import Request

ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT_SECONDS = 1_800  # a backfill of ten million samples is the longest


class BenchFailed(Exception):
    """A candidate did not run, or its data did not arrive; the message says which and why."""


def env_vars(folder: Path) -> dict[str, str]:
    """For processes of the bench: as bare as Lambda's, so that no proxy or profile of this machine plays a part, and
    with what the template sets."""
    paths = os.pathsep.join((f"{ROOT / 'functions'}:{ROOT / 'cli'}", str(ROOT)))
    base = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "1",
    }
    return base | credentials() | {"PYTHONPATH": paths}


def run_candidate(
    name: str, arguments: Sequence[str], folder: Path, out: Path, more: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Runs Python with these arguments to its end. Returns the JSON that it wrote to `out`. Raises BenchFailed."""
    command, variables = [sys.executable, "-P", *arguments], {**env_vars(folder), **(more or {})}
    try:
        done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchFailed(f"{name} was not done after {_TIMEOUT_SECONDS} s") from None
    if done.returncode:
        detail = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-2_000:]
        raise BenchFailed(f"{name} ended with status {done.returncode}:\n{detail}")
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


@contextmanager
def pinned(*other_pids: int) -> Iterator[bool]:
    """This process, and what it starts meanwhile, on one core, the other sides on the others. Yields whether there are
    cores for that."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(cores) < 2:
        yield False
        return
    for pid in other_pids:
        os.sched_setaffinity(pid, cores - {max(cores)})
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, cores)


def cpu_seconds(pid: int) -> float:
    """User and system time of a running process, from what the scheduler counts for each of its threads."""
    return sum(int(thread.read_text().split()[0]) for thread in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def peak_mib(pid: int) -> float:
    """The largest resident size of a running process so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Side:
    """The process of a module whose `main` prints one JSON line at its start, and one for every command."""

    def __init__(self, module: str, folder: Path) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env_vars(folder), cwd=folder,
        )  # fmt: skip
        self.pid = self._process.pid
        self.greeting = self._answer()

    def ask(self, do: str, **options: Any) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **options}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise BenchFailed(f"{self._module} ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        stop(self._process, 5)
        self._process.stdout.close()


# inside of such a process


def signature_problem(request: Request, token: str | None = SESSION_TOKEN) -> str:
    """What is wrong with a signature, "" when nothing is. Verified with botocore at the time that the request names: a
    candidate's clock may run ahead of ours."""
    date = request.headers.get("X-Amz-Date", "")
    now = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() if date else time.time()
    refusal = SigV4(REGION, ACCESS_KEY, SECRET_KEY, token).refusal(request, now)
    return f"a signature was wrong: {refusal.body[:300]!r}" if refusal else ""


Respond = Callable[[Request, int], Awaitable[tuple[Mapping[str, str], bytes]]]
"""From a request and the port it came in at to headers and body of a 200."""


class Web:
    """Answers on loopback ports, all of them in one thread."""

    def __init__(self, respond: Respond, done: Callable[[Request, int], None] = lambda request, port: None) -> None:
        """`done` is called after the answer was sent."""
        self._respond, self._done = respond, done
        self.connections = 0  # that were made to it
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def open(self, count: int = 1) -> list[int]:
        """Listens on that many new ports."""
        return [self.run(self._listen()) for _ in range(count)]

    def run(self, work: Any) -> Any:
        """Runs a coroutine among the answers."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request_line, _, rest = head.partition(b"\r\n")
                headers = BytesHeaderParser().parsebytes(rest)
                method, path, _ = request_line.decode("latin-1").split(" ", 2)
                body = await reader.readexactly(int(headers.get("Content-Length", "0")))
                request = Request(method, path, "", headers, body, time.time())
                extra, content = await self._respond(request, port)
                lines = [f"{name}: {value}" for name, value in {**extra, "Content-Length": len(content)}.items()]
                writer.write("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1") + content)
                await writer.drain()
                self._done(request, port)
        writer.close()


def obey(greeting: dict[str, Any], commands: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Says hello, and does what standard input says until it ends."""
    print(json.dumps(greeting), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(commands[command.pop("do")](**command)), flush=True)
