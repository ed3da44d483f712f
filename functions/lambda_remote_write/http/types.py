"""HTTP requests, how to connect, and the error that says why there is no answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class TransportError(Exception):
    """No answer. The message names the host, the step that failed and the likely cause.

    `kind` is one of dns, connect, tls, timeout, reset, protocol, proxy, refused. What the other side has said is part
    of it, so that it is made one printable line.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Text of another program for a log line or a terminal: one line, printable."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How a connection is made, all secrets resolved: equal options share connections. `unix_socket` is a path that is
    dialled in place of every address, a proxy's too (Prometheus scrape/scrape.go, newUnixSocketScrapeClient)."""

    ca: str = field(default="", repr=False)
    cert: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    server_name: str = ""
    verify: bool = True
    min_version: str = "TLS12"
    max_version: str = ""
    proxy_url: str = field(default="", repr=False)
    proxy_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    refuse_link_local: bool = False
    refuse_loopback: bool = False
    runtime_port: int = 0  # of this machine, where Lambda's runtime listens: refused with link-local addresses
    unix_socket: str = ""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One that `is_verbatim` goes to a host itself with the path as it stands in the URL, already percent-encoded:
    `..`, `.` and `//` are parts of it, not ways (S3's keys)."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    is_verbatim: bool = False
