"""The pages of `pusher run`, asked over loopback sockets: of a process that is made up, or of a running one."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from lambda_remote_write.config.load import YamlDocument, parse_config
from lambda_remote_write_cli.run.messages import AttemptCounts
from lambda_remote_write_cli.run.status import (
    EndpointStatus,
    JobStatus,
    ProcessStatus,
    ReloadStatus,
    TargetState,
    TargetStatus,
)  # fmt: skip
from lambda_remote_write_cli.run.web.listen import listen_address
from lambda_remote_write_cli.run.web.pages import Process, WebOptions
from lambda_remote_write_cli.run.web.serve import serving

NOW_MS = 1_717_200_000_000  # 2024-06-01T00:00:00Z
HTML = '<img src=x onerror="document.title=1">&amp;</td>'
PATIENCE_SECONDS = 30

ENDPOINT = EndpointStatus(
    name="amp", url="https://aps.example.com/api/v1/remote_write", senders=1, queue_samples=7, queue_capacity=100,
    queue_oldest_ms=NOW_MS - 90_000, has_spool=True, spool_entries=2, spool_oldest_ms=NOW_MS - 3_600_000,
    samples={("collected", ""): 20, ("accepted", ""): 10, ("rejected", "http_400"): 3}, bytes_sent=512,
    attempts=AttemptCounts({204: 4, 503: 2, 0: 1}, 3, NOW_MS - 60_000), problem="",
)  # fmt: skip
UP = TargetStatus(
    "web", "http://h:9100/metrics", {"job": "web", "instance": "h:9100"}, False, TargetState.UP, "", NOW_MS, 0.25, 12
)
JOB = JobStatus("web", False, 15_000, 1, 0, 9, 2, False, ())
STATUS = ProcessStatus(
    version="9.8.7", name="here", place="pusher.yaml", started_ms=NOW_MS - 600_000, now_ms=NOW_MS, is_ready=True,
    targets=[UP], jobs=[JOB], endpoints=[ENDPOINT], warnings=[], reload=ReloadStatus(NOW_MS - 600_000), documents=[],
    cached_series=42,
)  # fmt: skip


class MadeUp:
    """A process with the status that a test gives it."""

    def __init__(self, **fields: Any) -> None:
        self.made: ProcessStatus = replace(STATUS, **fields)
        self.reloads = 0
        self.refusal = ""
        self.said: list[str] = []

    @property
    def is_ready(self) -> bool:
        return self.made.is_ready

    def status(self) -> ProcessStatus:
        return self.made

    def reload(self) -> Future[str]:
        self.reloads += 1
        found = Future[str]()
        found.set_result(self.refusal)
        return found


@dataclass(frozen=True)
class PageAnswer:
    """The status, the headers by their lower-case names, and the body."""

    status: int
    headers: Mapping[str, str]
    text: str


class Client:
    """Asks one server."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    def raw(self, head: bytes) -> bytes:
        """What comes back for these very bytes, until the server closes."""
        with self.connect() as connection:
            connection.sendall(head)
            return all_of(connection)

    def ask(self, path: str, method: str = "GET", headers: Sequence[tuple[str, str]] = ()) -> PageAnswer:
        """`headers` replace the usual Host when they have one, or are empty after it."""
        given = list(headers) if any(name == "Host" for name, _ in headers) else [("Host", self.host), *headers]
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given), "", ""]
        return parsed(self.raw("\r\n".join(lines).encode()))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


def all_of(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65_536):
        found += piece
    return found


def parsed(answer: bytes) -> PageAnswer:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return PageAnswer(int(first.split()[1]), headers, body.decode())


@contextmanager
def client_of(process: Process, options: WebOptions | None = None) -> Iterator[Client]:
    """Serves the process at a port that is free."""
    said = process.said if isinstance(process, MadeUp) else list[str]()
    with serving(process, listen_address(":0"), options or WebOptions(), said.append) as server:
        yield Client(server.address[1])


def documents(text: str, env_vars: Mapping[str, str]) -> list[YamlDocument]:
    """The files of a config that loads."""
    found: list[YamlDocument] = []
    parse_config(text, "pusher.yaml", env_vars, documents=found)
    return found


def port_of(log_text: str) -> int:
    """Where a `pusher run` says that it listens, 0 before it does."""
    found = re.search(r"listening at http://127\.0\.0\.1:(\d+)/", log_text)
    return int(found[1]) if found else 0
