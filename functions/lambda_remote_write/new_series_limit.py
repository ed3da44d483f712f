"""`new_series_limit`: AMP cannot delete series, so those of a label that explodes are held back instead of sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from .config.schema import Config
from .model.drop_reasons import DropReason
from .model.samples import STALE, Metadata, Series
from .model.scrape import EXTRA_SYNTHETIC_NAMES, SYNTHETIC_NAMES, Scrape
from .series import label_codec
from .series.cache import SeriesCache
from .state.state import State

_NO_LIMIT = 2**63
_OWN_FIELDS = tuple(label_codec.label_field(("__name__", name)) for name in (*SYNTHETIC_NAMES, *EXTRA_SYNTHETIC_NAMES))


def limiter_of(config: Config, state: State, before: NewSeriesLimiter | None) -> NewSeriesLimiter | None:
    """None where the config has no limit. `before` is the limiter of the config before, which knows what waits."""
    limits = {job.job_name: job.new_series_limit for job in config.jobs if job.new_series_limit}
    has_limit = config.new_series_limit or limits
    return NewSeriesLimiter(config.new_series_limit, limits, state, before) if has_limit else None


class NewSeriesLimiter:
    """Lets as many new series into a run as the config says. The others wait for a later run.

    In a new environment all series are new, so that as many as the job had according to the state object pass, too.
    """

    def __init__(
        self, run_limit: int, limits: Mapping[str, int], state: State, before: NewSeriesLimiter | None = None
    ) -> None:
        """`limits` are those of jobs; a `run_limit` of 0 is none."""
        self._run_limit, self._limits, self._state = run_limit, limits, state
        self._limited: dict[str, set[Series]] = before._limited if before else {}
        self._is_fresh = True  # before the first run of this environment

    def hold_back(self, scrapes: Sequence[Scrape], cache: SeriesCache, known: int) -> int:
        """Takes the samples of series beyond the limits out of the scrapes; the cache's first `known` ones are not new.
        Returns how many series are held back."""
        new = set(cache.since(known))
        by_job: dict[str, list[Scrape]] = defaultdict(list)
        for scrape in scrapes:
            by_job[scrape.job].append(scrape)
        left = self._run_limit + sum(map(self._expected, by_job)) if self._run_limit else _NO_LIMIT
        count = 0
        for job, some in by_job.items():
            candidates = _not_yet_sent(some, new | self._limited.get(job, set()))
            limit = self._limits.get(job)
            allowed = min(limit + self._expected(job) if limit else _NO_LIMIT, left)
            left -= min(len(candidates), allowed)
            count += self._hold(job, some, candidates[allowed:], allowed)
        self._is_fresh = False
        return count

    def _expected(self, job: str) -> int:
        """How many series of a job are new only to this environment: all may be, if the state object is unknown."""
        if not self._is_fresh:
            return 0
        mark = self._state.mark_of(job)
        return mark.series if mark else _NO_LIMIT if self._state.problem else 0

    def _hold(self, job: str, scrapes: Iterable[Scrape], limited: Sequence[Series], allowed: int) -> int:
        """Takes these series out, and the stale marker of one that has been held back until now."""
        before, self._limited[job] = self._limited.get(job, set()), set(limited)
        gone = self._limited[job]
        for scrape in scrapes if before or limited else ():
            samples = scrape.samples
            kept = [
                index
                for index, (series, value) in enumerate(zip(samples.series, samples.values, strict=True))
                if series not in gone and not (value is STALE and series in before)
            ]
            if len(kept) < len(samples):
                detail = f"job {job} brings more than {allowed} new series in one run"
                detail += f"; {exploding(limited)}" if limited else ""
                scrape.dropped.add(DropReason.NEW_SERIES_LIMITED, detail, len(samples) - len(kept))
                scrape.samples = samples.pick(kept)
                scrape.metadata = _with_series(scrape.metadata, limited, scrape.samples.series)
        return len(limited)


def _with_series(
    metadata: tuple[Metadata, ...], limited: Iterable[Series], kept: Iterable[Series]
) -> tuple[Metadata, ...]:
    """The metadata but for metrics of which all series are held back: names may be what explodes."""
    held = {_name(series) for series in limited} & {one.name for one in metadata}
    for series in kept:
        if not held:
            return metadata
        held.discard(_name(series))
    return tuple(one for one in metadata if one.name not in held)


def _name(series: Series) -> str:
    return label_codec.labels_of(series.prefix)["__name__"]


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
