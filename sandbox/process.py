"""Servers as child processes: a port for them, waiting until they answer, and their end."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

# A port is chosen before the process binds it; another process may be quicker.
START_TRIES = 3
# Proxies from the environment are for the outside world, not for loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
        done = wait_until(lambda: process.poll() is not None or is_ready(port), seconds)  # noqa: B023 - called at once
        if done and process.poll() is None:
            return process, port
        stop(process)
    return None


def stop(process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """SIGTERM, and SIGKILL when that is not heeded in time."""
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    """Whether a GET is answered with a 200."""
    try:
        with OPENER.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:  # the port is not open yet
        pass
    return False


def wait_until(is_done: Callable[[], bool], seconds: float) -> bool:
    """Asks every few hundredths of a second; False when the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_done():
            return True
        time.sleep(0.05)
    return False
