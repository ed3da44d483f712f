"""Servers as child processes: a port for them, waiting until they answer, and their end."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import requests

# A port is chosen before the process binds it; another process may be quicker.
START_TRIES = 3


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start(
    launch: Callable[[int], subprocess.Popen[bytes]], is_ready: Callable[[int], bool], seconds: float
) -> tuple[subprocess.Popen[bytes], int] | None:
    """The process that was launched with a free port, and that port, once it is ready; None when it never is."""
    for _ in range(START_TRIES):
        port = free_port()
        process = launch(port)
        is_started = False
        try:
            done = wait_until(lambda: process.poll() is not None or is_ready(port), seconds)  # noqa: B023 - called at once
            is_started = done and process.poll() is None
        finally:  # also when the wait was interrupted
            if not is_started:
                stop(process)
        if is_started:
            return process, port
    return None


def stop(process: subprocess.Popen[Any], seconds: float = 10) -> None:
    """SIGTERM, and SIGKILL when that is not heeded in time."""
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ask(method: str, url: str, **options: Any) -> requests.Response:
    """A request to a server on loopback, with which no proxy of the environment has to do."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, **options)


def answers(url: str) -> bool:
    """Whether a GET is answered with a 200."""
    try:
        return ask("GET", url, timeout=2).status_code == 200
    except requests.RequestException:  # the port is not open yet
        return False


def wait_until(is_done: Callable[[], bool], seconds: float) -> bool:
    """Asks every few hundredths of a second; False when the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_done():
            return True
        time.sleep(0.05)
    return False
