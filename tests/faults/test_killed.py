"""A process that is killed at any moment, with `spool.mode: always` and an API that can be asked again: the next runs
bring everything to the receiver, once and in order."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.amp import Received, Receiver
from sandbox.api import Api
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, Request
from tests.rig.command_line import start
from tests.rig.delivery import KEYS, in_order
from tests.rig.push import config_text, endpoint, job

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20


@dataclass
class History:
    """An API whose every fresh answer is a new point of two series; it also knows all the points that it gave."""

    points: list[int] = field(default_factory=list)

    def answer(self, request: Request) -> Answer:
        if "from" in request.params:
            start, end = int(request.params["from"]), int(request.params["to"])
            wanted = [at for at in self.points if start <= at <= end]
        else:
            self.points.append(int(time.time() * 1000))
            wanted = self.points[-1:]
        return Answer.json([{"id": name, "value": at % 1000, "at": at} for at in wanted for name in "ab"])


@dataclass
class Stage:
    """Where to kill: at the `count`-th request of a kind, which then hangs. `is_down` before that, for a backlog.
    What was not written ahead yet is a `gap`, which shows once the next run is late."""

    what: str
    operation: str
    count: int
    is_down: bool = False
    gap: bool = False


STAGES = [
    Stage("while the API is asked", "fetch", 1),
    Stage("while it reads the state", "get", 1),
    Stage("while it writes ahead", "put", 1, gap=True),
    Stage("while the spool is listed", "list", 1),
    Stage("while the first request is under way", "post", 1),
    Stage("between two requests", "post", 2),
    Stage("while the last request is under way", "post", 3),
    Stage("before its entry is removed", "delete", 1),
    Stage("while it writes the state", "put", 2),
    Stage("while it reads an entry of the backlog", "get", 2, is_down=True),
    Stage("while it sends the backlog", "post", 1, is_down=True),
    Stage("while it sends the rest of the backlog", "post", 2, is_down=True),
    Stage("before it removes an entry of the backlog", "delete", 1, is_down=True),
]


class Place:
    """The whole of the outside, with a hook that says when the moment to kill has come."""

    def __init__(self, folder: Path, stack: list[Any]) -> None:
        self.history, self.moment = History(), threading.Event()
        self.left = 0
        self.kind = ""
        self._lock = threading.Lock()
        self.api, self.amp = Api(), Receiver(on_request=self._posted)
        self.bucket = ObjectStore(on_request=lambda operation, request: self._seen(operation))
        stack += [self.api, self.amp, self.bucket]
        url = self.api.serve("/points", self._fetched)
        queue = {"max_samples_per_send": "3", "max_shards": "1"}
        backfill = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix_ms"}
        text = config_text(
            [job(url, backfill=backfill)],
            [endpoint(self.amp, "amp", queue_config=queue)],
            spool={"location": "s3://spool", "mode": "always"},
            **{"global": {"scrape_interval": "1s"}},
        )
        self.config = folder / "config.yaml"
        self.config.write_text(text)

    def arm(self, stage: Stage) -> None:
        """From now on the stage's request hangs when it comes, before it has an effect."""
        self.kind, self.left = stage.operation, stage.count
        hang = [None] * (stage.count - 1) + [Fault.hang()]
        if stage.operation == "post":
            self.amp.script(*hang)
        elif stage.operation != "fetch":
            self.bucket.script(stage.operation, *hang)

    def _seen(self, kind: str) -> bool:
        with self._lock:
            if kind != self.kind or not self.left:
                return False
            self.left -= 1
            if self.left == 0:
                self.moment.set()
            return self.left == 0

    def _posted(self, received: Received) -> None:
        self._seen("post")

    def _fetched(self, request: Request) -> Answer | Fault:
        if self._seen("fetch"):
            return Fault.hang()
        return self.history.answer(request)

    def start(self) -> subprocess.Popen[str]:
        variables = {"PUSHER_TICK": "1s", "AWS_REGION": KEYS.region, "AWS_ENDPOINT_URL_S3": self.bucket.base_url}
        return start("push", self.config, "--timeout", "8", **variables)

    def push(self) -> str:
        process = self.start()
        return "".join(process.communicate(timeout=60))

    def stored(self) -> dict[str, list[int]]:
        return {
            dict(labels)["id"]: [stamp for stamp, _ in points]
            for labels, points in self.amp.series("requests_total").items()
        }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    stack: list[Any] = []
    try:
        yield Place(tmp_path, stack)
    finally:
        for server in stack:
            server.close()


def killed_when(place: Place, start: Callable[[], subprocess.Popen[str]]) -> None:
    process = start()
    reached = place.moment.wait(PATIENCE_SECONDS)
    time.sleep(0.05)  # what went before the moment has had its effect
    process.send_signal(signal.SIGKILL)
    detail = process.communicate(timeout=30)
    assert reached, detail
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.what)
def test_a_killed_process_loses_nothing(place: Place, stage: Stage) -> None:
    place.push()
    if stage.is_down:
        place.amp.always(Fault.status(403))
        place.push()
        place.amp.always(None)
    place.arm(stage)
    killed_when(place, place.start)
    if stage.gap:
        time.sleep(2.0)
    detail = [place.push(), place.push()]
    assert len(place.history.points) >= 3 + stage.is_down, detail
    assert place.stored() == dict.fromkeys("ab", place.history.points), detail
    assert in_order(place.amp)
    assert [key for key in place.bucket.objects if not key.startswith("state/")] == [], detail
    assert all("undelivered 0" in one or "0 undelivered" in one for one in detail)
