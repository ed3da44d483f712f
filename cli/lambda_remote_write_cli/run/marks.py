"""How far jobs have come in this process, and how much of that is safe."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from lambda_remote_write.model.scrape import HighWaterMark, Scrape
from lambda_remote_write.state.state import State


@dataclass(frozen=True, slots=True)
class _Mark:
    number: int
    job: str
    mark: HighWaterMark
    is_exact: bool


class Marks:
    """A job's own next scrape counts from its last one, delivered or not (`ahead`, by job). Another process counts from
    what the state object says, which gets a mark only when every endpoint has finished with the scrape's samples."""

    def __init__(self) -> None:
        self.ahead: dict[str, HighWaterMark] = {}
        self._waiting: deque[_Mark] = deque()
        self._lock = threading.Lock()

    def scraped(self, number: int, scrape: Scrape, *, is_exact: bool) -> None:
        """A scrape was put into the queues as part `number`."""
        if scrape.mark is None:
            return
        with self._lock:
            known = self.ahead.get(scrape.job)
            self.ahead[scrape.job] = scrape.mark.merged(known) if known else scrape.mark
            self._waiting.append(_Mark(number, scrape.job, scrape.mark, is_exact))

    def finished(self, number: int, state: State) -> None:
        """Every endpoint has finished its parts up to this number."""
        with self._lock:
            while self._waiting and self._waiting[0].number <= number:
                one = self._waiting.popleft()
                state.mark(one.job, one.mark, is_exact=one.is_exact)

    def lost(self) -> None:
        """Something was lost: jobs go on from where all was safe, so that what can be asked for again is."""
        with self._lock:
            self.ahead.clear()
            self._waiting.clear()
