"""Which jobs are down or have a failed metric: a state that lasts from a job's own scrape to its next one, whether or
not the runs between ask it. The environment remembers it per target, the state object per job.

One target of many that is down is what `up == 0` is for: a job is down when every target is. With several targets, a
metric has failed for the job when it has failed at every target that answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..model.scrape import Scrape
from .state import State


class Source(Protocol):
    """A JSON job or a target: its key in the environment, and its job's name."""

    @property
    def key(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Result:
    """A source's last scrape: the error of one that is down, else the metrics that failed, with reasons."""

    error: str
    failed: Mapping[str, str]


class JobHealth:
    """What the last scrape of each source came to, and what that means for its job."""

    def __init__(self, state: State, before: JobHealth | None = None) -> None:
        self._state = state
        self._results: dict[str, _Result] = dict(before._results) if before else {}
        self._keys: dict[str, list[str]] = (
            dict(before._keys) if before else {}
        )  # of each job's sources, in the last run

    def update(self, scraped: Sequence[tuple[Source, Scrape]], current: Iterable[Source], jobs: Iterable[str]) -> None:
        """After a run: `scraped` are the sources it asked, `current` all that there are. Of `jobs` all targets are
        known. A job that was not asked, and has the same targets, stays as it was said to be: another environment may
        know more."""
        for source, scrape in scraped:
            self._results[source.key] = _Result(scrape.error, scrape.failed)
        asked = {source.name for source, _ in scraped}
        by_job: dict[str, list[str]] = {job: [] for job in jobs}
        for source in current:
            if source.name in by_job:
                by_job[source.name].append(source.key)
        kept = {key for keys in by_job.values() for key in keys}
        self._results = {key: result for key, result in self._results.items() if key in kept}
        for job, keys in by_job.items():
            if job in asked or not keys or self._keys.get(job, keys) != keys:
                self._judge(job, keys)
        self._keys |= by_job

    def _judge(self, job: str, keys: Sequence[str]) -> None:
        """Tells the state object what is wrong with a job; nothing, while too few of its targets were asked here."""
        known = [self._results[key] for key in keys if key in self._results]
        answered = [one for one in known if not one.error]
        if answered:
            self._state.set_problem(job, _common_failure(answered))
        elif len(known) == len(keys):
            self._state.set_problem(job, known[0].error if known else "")

    def problems(self) -> dict[str, str]:
        """Job -> why it is down, or which of its metrics have failed."""
        return self._state.problems()


def _common_failure(answered: Sequence[_Result]) -> str:
    """The metrics that failed wherever there was an answer."""
    failed = [reason for metric, reason in answered[0].failed.items() if all(metric in one.failed for one in answered)]
    return "; ".join(failed)
