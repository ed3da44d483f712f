"""What a command is doing: each request with `-v`, and a sign of life when it takes longer than two seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.status import Status

from lambda_remote_write.config.yaml_reader import shown_url
from lambda_remote_write.http.client import Answer, Transport
from lambda_remote_write.http.types import ConnectionOptions, HttpRequest, TransportError

from .terminal import Console, counted
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way

_FIRST_SECONDS = 2.0
_LINE_SECONDS = 10.0  # between two lines where there is no terminal
_FRAME_SECONDS = 0.2


class Activity:
    """The requests of one command, as they go. Safe for several threads."""

    def __init__(self, name: str, *, is_verbose: bool = False) -> None:
        self._name, self._is_verbose = name, is_verbose
        self._answered, self._under_way = 0, dict[int, str]()
        self._pauses, self._lock = 0, threading.Lock()
        self.detail = ""
        """What the command itself can say of its progress."""

    def began(self, request: HttpRequest) -> int:
        """A request goes out. The number that is returned is for `ended`."""
        with self._lock:
            number = max(self._under_way, default=0) + 1
            self._under_way[number] = f"{request.method} {shown_url(request.url)}"
            return number

    def ended(self, number: int, outcome: str) -> None:
        with self._lock:
            what = self._under_way.pop(number)
            self._answered += 1
        if self._is_verbose:
            print(f"{what}: {outcome}", file=sys.stderr, flush=True)

    def words(self) -> str:
        """What goes on, on one line."""
        with self._lock:
            waiting = next(iter(self._under_way.values()), "")
            counts = f"{counted(self._answered, 'request')} answered" if self._answered else ""
        parts = (self.detail, counts, f"waiting for {waiting}" if waiting else "")
        return f"{self._name}: {', '.join(filter(None, parts)) or 'working'}"

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is shown while a question is asked, or while a command shows its own progress."""
        with self._lock:
            self._pauses += 1
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1

    @property
    def is_paused(self) -> bool:
        return self._pauses > 0


class WatchedTransport(Transport):
    """A transport whose requests an activity shows."""

    def __init__(self, activity: Activity) -> None:
        super().__init__()
        self._activity = activity

    def send(
        self, request: HttpRequest, options: ConnectionOptions, timeout_seconds: float, *, is_source: bool = False
    ) -> Answer:
        number, started, outcome = self._activity.began(request), time.monotonic(), "given up"
        try:
            answer = super().send(request, options, timeout_seconds, is_source=is_source)
            outcome = str(answer.status)
            return answer
        except TransportError as error:
            outcome = str(error)
            raise
        finally:
            self._activity.ended(number, f"{outcome}, {time.monotonic() - started:.2f} s")


@contextlib.contextmanager
def shown(activity: Activity, console: Console, wait: Callable[[threading.Event, float], bool]) -> Iterator[None]:
    """Shows the activity on the console from two seconds on: on a terminal a line that changes, elsewhere a line every
    ten seconds. `wait` waits for the event so many seconds, and returns whether it came."""
    done = threading.Event()
    show = _on_a_terminal if console.is_terminal else _elsewhere
    thread = threading.Thread(target=show, args=(activity, console, lambda seconds: wait(done, seconds)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


_IsDone = Callable[[float], bool]


def _on_a_terminal(activity: Activity, console: Console, is_done: _IsDone) -> None:
    if is_done(_FIRST_SECONDS):
        return
    status = Status("", console=console)  # which hides the cursor from its start on
    try:
        while not is_done(_FRAME_SECONDS):
            if activity.is_paused:
                status.stop()
            else:
                status.update(console.render_str(activity.words(), markup=False))
                status.start()
    finally:
        status.stop()


def _elsewhere(activity: Activity, console: Console, is_done: _IsDone) -> None:
    seconds = 0.0
    while not is_done(_LINE_SECONDS):
        seconds += _LINE_SECONDS
        if not activity.is_paused:
            console.print(f"{activity.words()}, after {seconds:.0f} s")
