"""A process on the other side of the sockets: its CPU and memory do not count. It serves HTTP, and takes commands as
JSON lines on standard input, whose end ends it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, Self

from bench.place import credentials

ROOT = Path(__file__).resolve().parent.parent


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
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


# inside of such a process


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request; `port` is the one that it came in at."""

    method: str
    path: str
    headers: Message
    body: bytes
    port: int


Respond = Callable[[Asked], Awaitable[tuple[Mapping[str, str], bytes]]]
"""Headers and body of a 200."""


class Web:
    """Answers on loopback ports, all of them in one thread."""

    def __init__(self, respond: Respond, done: Callable[[Asked], None] = lambda asked: None) -> None:
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
                asked = Asked(method, path, headers, body, port)
                extra, content = await self._respond(asked)
                lines = [f"{name}: {value}" for name, value in {**extra, "Content-Length": len(content)}.items()]
                writer.write("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1") + content)
                await writer.drain()
                self._done(asked)
        writer.close()


def obey(greeting: dict[str, Any], commands: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Says hello, and does what standard input says until it ends."""
    print(json.dumps(greeting), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(commands[command.pop("do")](**command)), flush=True)
