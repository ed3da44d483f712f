"""How far jobs have come: what this environment remembers, else the state object, else one query to the receiver."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from ..config.schema import Config, JsonJob
from ..model.scrape import HighWaterMark
from ..remote_write import last_sample
from ..remote_write.client import RemoteWriteClient
from .state import State

_QUERY_SECONDS = 3.0


class JobProgress:
    """Asked by the sources, from their own threads. The receiver is asked once in an environment, and only of jobs
    whose gaps can be healed."""

    def __init__(self, config: Config, state: State, posters: Sequence[RemoteWriteClient]) -> None:
        self._endpoints = list(zip(config.endpoints, posters, strict=True))
        self._healable = {job.job_name: job for job in config.jobs if job.backfill}
        self._state = state
        self._from_receiver: dict[str, HighWaterMark] | None = None
        self._lock = threading.Lock()
        self.warning = ""
        self.ahead: Mapping[
            str, HighWaterMark
        ] = {}  # scraped by this process, by job, but not safe enough for the state

    def mark_of(self, job: str) -> HighWaterMark | None:
        mark = self.ahead.get(job) or self._state.mark_of(job)
        if mark is not None or job not in self._healable:
            return mark
        with self._lock:
            if self._from_receiver is None:
                self._from_receiver = self._ask()
            return self._from_receiver.get(job)

    def _ask(self) -> dict[str, HighWaterMark]:
        """The newest samples that the first receiver which answers queries has."""
        jobs = [job for name, job in self._healable.items() if self._state.mark_of(name) is None]
        metrics = {job.job_name: _names(job) for job in jobs}
        why = "no endpoint"
        for endpoint, client in self._endpoints:
            try:
                deadline = time.monotonic() + _QUERY_SECONDS
                found = last_sample.newest_ms(client, endpoint, metrics, deadline)
                return {job: HighWaterMark(newest_ms, newest_ms) for job, newest_ms in found.items()}
            except last_sample.NotKnown as error:
                why = f"{endpoint.name}: {error}"
        self.warning = f"the last accepted time of {', '.join(metrics)} is not known, a gap before now stays: {why}"
        return {}


def _names(job: JsonJob) -> list[str]:
    return [metric.name for metric in job.metrics]
