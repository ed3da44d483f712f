"""`new_series_limit`: AMP cannot delete series, so that a label which explodes is held back instead of sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from .config.schema import Config, JsonJob, ScrapeJob
from .model.drop_reasons import NEW_SERIES_LIMITED
from .model.samples import STALE, Series
from .model.scrape import Scrape
from .scrape.up import EXTRA_NAMES, NAMES
from .series import label_codec
from .series.cache import SeriesCache
from .state.state import State

_NO_LIMIT = 2**63
_OWN_FIELDS = tuple(label_codec.label_field(("__name__", name)) for name in (*NAMES, *EXTRA_NAMES))


class NewSeriesLimiter:
    """Lets a run bring as many new series as the config says, and holds back the others until their turn comes.

    In a new environment all series are new: as many as the state object says that a job had are let in as well.
    """

    def __init__(self, config: Config, state: State, before: NewSeriesLimiter | None = None) -> None:
        jobs: list[JsonJob | ScrapeJob] = [*config.jobs, *config.scrape_jobs]
        self._limits = {job.job_name: job.new_series_limit for job in jobs if job.new_series_limit}
        self._run_limit = config.new_series_limit
        self._state = state
        self._held: dict[str, set[Series]] = before._held if before else {}
        self._is_fresh = True  # no run has gone through yet
        self.cached = 0

    def start(self, cache: SeriesCache) -> None:
        """Before a run: what the cache has now is not new."""
        self.cached = len(cache)

    def hold_back(self, scrapes: Sequence[Scrape], cache: SeriesCache) -> int:
        """Takes the samples of series beyond the limits out of the scrapes. Returns how many series that are."""
        if not self._limits and not self._run_limit:
            return 0
        new = set(cache.since(self.cached))
        by_job: dict[str, list[Scrape]] = defaultdict(list)
        for scrape in scrapes:
            by_job[scrape.job].append(scrape)
        left = self._run_limit + sum(map(self._expected, by_job)) if self._run_limit else _NO_LIMIT
        count = 0
        for job, some in by_job.items():
            candidates = _not_yet_sent(some, new | self._held.get(job, set()))
            allowed = min(self._allowance(job), left)
            left -= min(len(candidates), allowed)
            count += self._hold(job, some, candidates[allowed:], allowed)
        self._is_fresh = False
        return count

    def _allowance(self, job: str) -> int:
        limit = self._limits.get(job)
        return limit + self._expected(job) if limit else _NO_LIMIT

    def _expected(self, job: str) -> int:
        """How many series of a job are new only to this environment; where nobody can say, all may be."""
        if not self._is_fresh:
            return 0
        mark = self._state.mark_of(job)
        return mark.series if mark else _NO_LIMIT if self._state.problem else 0

    def _hold(self, job: str, scrapes: Iterable[Scrape], held: Sequence[Series], allowed: int) -> int:
        """Takes these series out. The end of one that was held until now is nobody's business either."""
        before, self._held[job] = self._held.get(job, set()), set(held)
        gone = self._held[job]
        for scrape in scrapes if before or held else ():
            samples = scrape.samples
            kept = [
                index
                for index, (series, value) in enumerate(zip(samples.series, samples.values, strict=True))
                if series not in gone and not (value is STALE and series in before)
            ]
            if len(kept) < len(samples):
                detail = f"job {job} brings more than {allowed} new series in one run"
                detail += f"; {exploding(held)}" if held else ""
                scrape.dropped.add(NEW_SERIES_LIMITED, detail, len(samples) - len(kept))
                scrape.samples = samples.pick(kept)
        return len(held)


def _not_yet_sent(scrapes: Iterable[Scrape], wanted: set[Series]) -> list[Series]:
    """Which of these series the scrapes have, but for those that have ended and those that every job has."""
    if not wanted:
        return []
    found: dict[Series, None] = {}
    for scrape in scrapes:
        for series, value in zip(scrape.samples.series, scrape.samples.values, strict=True):
            if series in wanted and value is not STALE:
                found[series] = None
    return [series for series in found if not any(field in series.prefix for field in _OWN_FIELDS)]


def exploding(series: Sequence[Series]) -> str:
    """Names the label that has most values among these series."""
    values: dict[str, dict[str, None]] = defaultdict(dict)
    for one in series:
        for label, value in label_codec.labels_of(one.prefix).items():
            values[label][value] = None
    label, found = max(values.items(), key=lambda item: len(item[1]))
    return f"label {label} has {len(found)} values among the {len(series)} held back, as {next(iter(found))!r:.80}"
