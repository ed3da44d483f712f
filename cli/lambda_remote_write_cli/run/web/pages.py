"""Which path gives what, to whom, and by which methods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from ..messages import Say, bug
from ..status import ProcessStatus
from . import metrics, status_page
from .access import host_refusal, origin_refusal
from .server import Request, Response, plain

_READING, _CHANGING = ("GET", "HEAD"), ("POST", "PUT")
_RELOAD_SECONDS = 120.0  # to wait for one; to read a config and discover targets has bounds of its own


class Process(Protocol):
    """What is shown."""

    @property
    def is_ready(self) -> bool: ...
    def status(self) -> ProcessStatus: ...
    def reload(self) -> Future[str]: ...


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The flags `--web.enable-lifecycle` and `--web.allowed-host`."""

    enable_lifecycle: bool = False
    allowed_hosts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Page:
    """`is_guarded` pages are for those that Host and Origin allow."""

    respond: Callable[[Request], Response]
    methods: Sequence[str] = _READING
    is_guarded: bool = False


class Pages:
    """Answers requests. One page is made at a time, so that many requests take no more of the processor than one."""

    def __init__(self, process: Process, options: WebOptions, say: Say) -> None:
        self._process, self._options, self._say = process, options, say
        self._allowed = frozenset(name.lower() for name in options.allowed_hosts)
        self._making = threading.Lock()
        self._config = status_page.ConfigText()
        self._pages = {
            "/": _Page(self._status, is_guarded=True),
            "/metrics": _Page(self._metrics),
            "/-/healthy": _Page(lambda _: plain(200, "pusher is Healthy.")),
            "/-/ready": _Page(self._ready),
            "/-/reload": _Page(self._reload, _CHANGING, is_guarded=True),
        }

    def respond(self, request: Request) -> Response:
        """Raises nothing."""
        try:
            return self._respond(request)
        except Exception as error:
            self._say(f"the page {request.path[:100]} failed: {bug(error)}")
            return plain(500, "the page failed; what pusher run prints says why")

    def _respond(self, request: Request) -> Response:
        page = self._pages.get(request.path)
        if page is None:
            return plain(404, f"there is no such page; there are {', '.join(self._pages)}")
        if request.method not in page.methods:
            allowed = " or ".join(method for method in page.methods if method != "HEAD")
            return plain(405, f"Only {allowed} requests allowed", Allow=", ".join(page.methods))
        if page.is_guarded and (refusal := host_refusal(request.headers, self._allowed)):
            return plain(403, refusal)
        return page.respond(request)

    def _ready(self, _: Request) -> Response:
        return plain(200, "pusher is Ready.") if self._process.is_ready else plain(503, "Service Unavailable")

    def _metrics(self, request: Request) -> Response:
        with self._making:
            body, content_type = metrics.exposition(self._process.status(), request.headers.get("Accept", ""))
        return Response(200, body, content_type)

    def _status(self, _: Request) -> Response:
        with self._making:
            page = status_page.page(self._process.status(), self._config)
        headers = {"Content-Security-Policy": status_page.CONTENT_SECURITY_POLICY}
        return Response(200, page, "text/html; charset=utf-8", headers)

    def _reload(self, request: Request) -> Response:
        if not self._options.enable_lifecycle:
            return plain(403, "Lifecycle API is not enabled.")
        if refusal := origin_refusal(request.headers):
            return plain(403, refusal)
        if not self._process.is_ready:
            return plain(503, "Service Unavailable")
        try:
            refusal = self._process.reload().result(_RELOAD_SECONDS)
        except TimeoutError:
            return plain(504, f"the config was not read within {_RELOAD_SECONDS:.0f} s; the log will say how it ended")
        return plain(500, f"failed to reload config: {refusal}") if refusal else Response(200, b"")
