"""`pusher run` in a thread of the test, between pages that it scrapes and a receiver that writes down what it gets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.scrape.schedule import wall_clock_ms
from lambda_remote_write_cli.run.runner import Runner
from tests.rig import compliance as rig
from tests.rig.delivery import no_session

PATIENCE_SECONDS = 60  # a busy machine must not fail a test


class Process:
    """A running `pusher run`, and what it said so far."""

    def __init__(self, folder: Path, now_ms: Callable[[], int], flush_seconds: float) -> None:
        self.lines: list[str] = []
        self.path = folder / "config.yaml"
        self._dependencies = Dependencies({}, now_ms, no_session)
        self.runner = Runner(self._load, str(self.path), "here", self._dependencies, self.lines.append, flush_seconds)
        self._status: list[int] = []
        self._thread = threading.Thread(target=lambda: self._status.append(self.runner.run()), daemon=True)
        self._thread.start()

    def _load(self) -> Any:
        return self._dependencies.config_source(str(self.path), has_schedule=False, keeps_documents=True).load()

    def reload(self, config: Mapping[str, Any] | str) -> None:
        write(self.path, config)
        self.runner.reload()

    def wait_for(self, is_there: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_there():
            assert time.monotonic() < until, f"not within {PATIENCE_SECONDS}s: {what}; it said: {self.lines[-20:]}"
            time.sleep(0.02)

    def wait_to_hear(self, *words: str) -> str:
        """The first message with all these words."""

        def heard() -> list[str]:
            return [line for line in self.lines if all(word in line for word in words)]

        self.wait_for(heard, f"a message with {words}")
        return heard()[0]

    def stop(self) -> int:
        self.runner.stop()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), self.lines[-20:]
        return self._status[0] if self._status else -1


def write(path: Path, config: Mapping[str, Any] | str) -> None:
    path.write_text(config if isinstance(config, str) else json.dumps(config))


@contextmanager
def running(
    config: Mapping[str, Any],
    folder: Path,
    *,
    now_ms: Callable[[], int] = wall_clock_ms,
    flush_seconds: float = 30,
) -> Iterator[Process]:
    write(folder / "config.yaml", config)
    process = Process(folder, now_ms, flush_seconds)
    try:
        yield process
    finally:
        process.stop()


def stamps(writes: list[rig.Write], name: str) -> list[int]:
    """The times of a series' samples that were accepted, in the order in which they came."""
    return rig.stamps_of([write for write in writes if write.status == 204], name)
