"""Serves the demo's page on loopback: the static files, the state, and POSTs that run minutes and set switches.

The page runs the minutes, so that nothing happens while no page is open. Other sites must not: a request names a host
of the loopback, and a POST comes from the page itself.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sandbox.server import Answer, LoopbackServer, Request, Served
from sandbox.simulation import Over, Simulation, Switch

from .panels import Panels
from .state import state

FOLDER = Path(__file__).parent
MAX_COUNT = 60  # minutes of one request

_PAGE = "index.html"
_FILES = {
    "/": (_PAGE, "text/html"),
    "/vendor/uPlot.iife.min.js": ("vendor/uPlot.iife.min.js", "text/javascript"),
    "/vendor/uPlot.min.css": ("vendor/uPlot.min.css", "text/css"),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.S)


class BadPageRequest(Exception):
    """A request that is refused: the status, and a sentence for people."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class PageServer(Served):
    """A context manager. `port` 0 is any that is free. Raises OSError when it is taken."""

    def __init__(self, world: Simulation, panels: Panels, computed_by: str, *, port: int = 0) -> None:
        self._world, self._panels, self._computed_by = world, panels, computed_by
        self._lock = threading.Lock()
        self._has_ended = False
        self._actions: Mapping[tuple[str, str], Callable[[Request], None]] = {
            ("GET", "/state"): lambda request: None,
            ("POST", "/minutes"): self._run_minutes,
            ("POST", "/switches"): self._set_switches,
        }
        self._files = {path: _file(name, media) for path, (name, media) in _FILES.items()}
        self._server = LoopbackServer(self._respond, port=port)
        self.url = f"{self._server.base_url}/"

    def __exit__(self, *exc: Any) -> None:
        """Ends after the request that is being answered: the world ends next."""
        with self._lock:
            self._has_ended = True
        super().__exit__(*exc)

    def _respond(self, request: Request) -> Answer:
        try:
            self._check_host(request)
            if request.method == "GET" and request.path in self._files:
                return self._files[request.path]
            return Answer.json(self._state_after(request), headers=_HEADERS)
        except BadPageRequest as refused:
            return Answer.json({"error": str(refused)}, refused.status, _HEADERS)

    def _check_host(self, request: Request) -> None:
        """Refuses what a page elsewhere has made a browser send: by a name that leads here, or across origins."""
        port = "" if self._server.port == 80 else f":{self._server.port}"  # as browsers write it
        hosts = [f"{name}{port}" for name in ("127.0.0.1", "localhost")]
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if host not in hosts:
            names = " and ".join(f"http://{name}/" for name in hosts)
            raise BadPageRequest(403, f"This page answers at {names} only, and this request asks for {host[:100]!r}.")
        if request.method != "GET" and origin not in (None, f"http://{host}"):
            raise BadPageRequest(
                403, f"Only the page itself may do this, and this request comes from {origin[:100]!r}."
            )

    def _state_after(self, request: Request) -> dict[str, Any]:
        """Does what is asked. Returns the state of the world after it."""
        action = self._actions.get((request.method, request.path))
        if action is None:
            raise BadPageRequest(404, f"There is no {request.method[:10]} {request.path[:100]} here; the page is at /.")
        with self._lock:
            if self._has_ended:
                raise BadPageRequest(503, "The demo has ended.")
            action(request)
            return state(self._world, self._panels, self._computed_by)

    def _run_minutes(self, request: Request) -> None:
        text = request.params.get("count", "1")
        if not re.fullmatch(r"[0-9]{1,3}", text, re.A) or not 1 <= int(text) <= MAX_COUNT:
            raise BadPageRequest(400, f"count is a number of minutes from 1 to {MAX_COUNT}, not {text[:100]!r}.")
        try:
            for _ in range(int(text)):
                self._world.run_minute()
        except Over as over:
            raise BadPageRequest(409, f"{over}.") from None

    def _set_switches(self, request: Request) -> None:
        """Sets those that are named, as `outage=on`. The others stay: another tab may have set them."""
        known = {one.value: one for one in Switch}
        chosen = set(self._world.switches)
        for name, text in request.params.items():
            if name not in known:
                raise BadPageRequest(400, f"There is no switch {name[:100]!r}; there are {', '.join(known)}.")
            if text not in ("on", "off"):
                raise BadPageRequest(400, f"A switch is on or off, not {text[:100]!r}.")
            (chosen.add if text == "on" else chosen.discard)(known[name])
        self._world.set_switches(*chosen)


def _file(name: str, media: str) -> Answer:
    text = (FOLDER / name).read_text()
    policy = content_security_policy(text) if name == _PAGE else "default-src 'none'"
    headers = {"Content-Type": f"{media}; charset=utf-8", **_HEADERS, "Content-Security-Policy": policy}
    return Answer(200, headers, text.encode())


def content_security_policy(page: str) -> str:
    """What the page may load and run: its own script and styles, by their hashes, and what is beside it."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    return "; ".join([
        "default-src 'none'",
        f"script-src 'self' {' '.join(hashes['script'])}",
        f"style-src 'self' {' '.join(hashes['style'])}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ])  # fmt: skip
