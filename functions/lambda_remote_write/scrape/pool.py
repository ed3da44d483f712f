"""The targets of one scrape job over time (Prometheus's scrape pool, scrape/scrape.go): new ones get a scraper, known
ones keep theirs, the series of the others end."""

from __future__ import annotations

from collections.abc import Callable

from ..config.schema import ScrapeJob
from ..config.sd_configs import StaticConfig
from ..discovery import Discovery, DiscoveryResult
from .collect import EndedTargets
from .target_scraper import TargetScraper
from .targets import Target, Targets, targets_of


class ScrapePool:
    """`make` gives a target its scraper, `takes` says by shard key which targets are scraped here."""

    def __init__(
        self,
        job: ScrapeJob,
        finder: Discovery,
        make: Callable[[Target], TargetScraper],
        ended_targets: EndedTargets,
        takes: Callable[[str], bool] = lambda key: True,
    ) -> None:
        self.job, self.finder, self._make, self._ended_targets, self._takes = job, finder, make, ended_targets, takes
        self.scrapers: dict[str, TargetScraper] = {}
        self.targets = Targets()
        self.warnings: list[str] = []
        self.is_unknown = False  # discovery has failed, and there is no earlier list
        self._discovered: DiscoveryResult | None = None
        self._is_static = all(isinstance(one, StaticConfig) for one in job.discovery)

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing to discover any more: the targets are in the config."""
        return self._is_static and self._discovered is not None

    def sync(self, discovered: DiscoveryResult) -> None:
        """Brings the scrapers in line with what discovery found."""
        self.warnings, self.is_unknown = discovered.warnings, discovered.is_unknown
        if self._discovered is not None and discovered.groups == self._discovered.groups:
            return
        self._discovered = discovered
        self.targets = targets_of(self.job, discovered.groups)
        before, scrapers = self.scrapers, dict[str, TargetScraper]()
        for key, target in self.targets.active.items():
            if not self._takes(target.shard_key):
                continue
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
        detail = [*self.warnings, self.targets.over_limit, *(one.error for one in self.targets.dropped)]
        return [f"{self.job.job_name}: {message}" for message in dict.fromkeys(detail) if message]

    def _scraper(self, target: Target) -> TargetScraper:
        """A scraper for a new target. One that returns keeps its own, unless the config has changed meanwhile."""
        before = self._ended_targets.resume(target.shard_key)
        scraper = self._make(target)
        if isinstance(before, TargetScraper) and before.makes_same_series(scraper):
            return before
        if before is not None:
            scraper.active = before.active
        return scraper
