"""The targets of one job over time (Prometheus's scrape pool, scrape/scrape.go): new ones get a scraper, known ones
keep theirs, the series of the others end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic

from ..config.schema import JsonJob
from .collect import EndedTargets, Scraper
from .targets import AnyJob, DroppedTarget, Target, Targets, targets_of, url_target

if TYPE_CHECKING:  # a job with a `url` discovers nothing
    from ..discovery import Discovery, DiscoveryResult


_SHOWN_MISTAKES = 3  # of a job's targets; the plan shows more


class ScrapePool(Generic[AnyJob]):
    """`make` gives a target its scraper, `takes` says by shard key which targets are scraped here. `finder` is None for
    a JSON job with a `url`."""

    def __init__(
        self,
        job: AnyJob,
        finder: Discovery | None,
        make: Callable[[Target[AnyJob]], Scraper],
        ended_targets: EndedTargets,
        takes: Callable[[str], bool] = lambda key: True,
    ) -> None:
        self.job, self.finder, self._make, self._ended_targets, self._takes = job, finder, make, ended_targets, takes
        self.scrapers: dict[str, Scraper] = {}
        self.targets = Targets[AnyJob]()
        self.warnings: list[str] = []
        self.is_unknown = False  # discovery has failed, and there is no earlier list
        self._discovered: DiscoveryResult | None = None
        if isinstance(job, JsonJob) and job.url:
            self._update([url_target(job)])  # type: ignore[list-item]  # its job is this one

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing to discover any more: the targets are in the config."""
        return self.finder is None or (self.finder.is_static and self._discovered is not None)

    def sync(self, discovered: DiscoveryResult) -> None:
        """Brings the scrapers in line with what discovery found."""
        self.warnings, self.is_unknown = discovered.warnings, discovered.is_unknown
        if self._discovered is not None and discovered.groups == self._discovered.groups:
            return
        self._discovered = discovered
        self.targets = targets_of(self.job, discovered.groups)
        self._update(self.targets.active.values())

    def _update(self, targets: Iterable[Target[AnyJob]]) -> None:
        before, scrapers = self.scrapers, dict[str, Scraper]()
        for target in targets:
            if not self._takes(target.shard_key):
                continue
            key = target.identity
            scraper = scrapers[key] = before[key] if key in before else self._scraper(target)
            scraper.forced_error = self.targets.over_limit or target.error
        self.scrapers = scrapers  # at once, because another thread may be reading it
        for key, scraper in before.items():
            if key not in scrapers:
                self._ended_targets.add(scraper)

    def shard_keys(self) -> list[str]:
        """Of all the job's targets, scraped here or not."""
        return [target.shard_key for target in self.targets.active.values()]

    def messages(self) -> list[str]:
        """Discovery that failed, a limit, targets that cannot be scraped."""
        found = self.targets
        detail = [*self.warnings, found.over_limit, found.equal_labels, found.no_host, *_mistakes(found.dropped)]
        return [f"{self.job.job_name}: {message}" for message in dict.fromkeys(detail) if message]

    def _scraper(self, target: Target[AnyJob]) -> Scraper:
        """A scraper for a new target. One that returns keeps its own, unless the config has changed meanwhile."""
        before = self._ended_targets.resume(target.identity)
        scraper = self._make(target)
        if before is not None and before.makes_same_series(scraper):
            return before
        if before is not None:
            scraper.active = before.active
        return scraper


def _mistakes(dropped: Iterable[DroppedTarget]) -> Iterator[str]:
    """Why targets cannot be scraped: the first mistakes, each with its first target, and how many targets have
    others."""
    first: dict[str, str] = {}
    count = Counter[str]()
    for one in dropped:
        if one.error:
            first.setdefault(one.error, one.discovered.get("__address__", ""))
            count[one.error] += 1
    for error in list(first)[:_SHOWN_MISTAKES]:
        address = f"{first[error]!r:.100}"
        more = f" and {count[error] - 1} more" if count[error] > 1 else ""
        yield error if error.startswith(address) and not more else f"{address}{more}: {error}"
    others = sum(list(count.values())[_SHOWN_MISTAKES:])
    if others:
        yield f"{others} more target{'s' if others > 1 else ''} cannot be scraped"
