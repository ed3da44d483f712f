"""The targets of one scrape job over time: discovered anew, kept while they are the same, ended when they are gone.

Prometheus's word for it is a scrape pool (scrape/scrape.go).
"""

from __future__ import annotations

from collections.abc import Callable

from ..config.schema import ScrapeJob
from ..discovery import Discovery, Found
from .staleness import EndedTargets
from .target_scraper import TargetSource
from .targets import Target, Targets, targets_of


class ScrapePool:
    """The targets of one job. `make` gives a target its source; targets that are gone go to `ended_targets`. Of all
    targets those are scraped here whose key `takes` lets pass."""

    def __init__(
        self,
        job: ScrapeJob,
        finder: Discovery,
        make: Callable[[Target], TargetSource],
        ended_targets: EndedTargets,
        takes: Callable[[str], bool] = lambda key: True,
    ) -> None:
        self.job, self.finder, self._make, self._ended_targets, self._takes = job, finder, make, ended_targets, takes
        self.sources: dict[str, TargetSource] = {}
        self.targets = Targets()
        self.warnings: list[str] = []
        self.is_unknown = False  # discovery has failed, and there is no earlier list
        self._found: Found | None = None

    def sync(self, found: Found) -> None:
        """Takes over what discovery found: new targets come, known ones stay, the others leave."""
        self.warnings, self.is_unknown = found.warnings, found.is_unknown
        if self._found is not None and found.groups == self._found.groups:
            return
        self._found = found
        self.targets = targets_of(self.job, found.groups)
        before, sources = self.sources, dict[str, TargetSource]()
        for key, target in self.targets.active.items():
            if not self._takes(shard_key(target)):
                continue
            source = sources[key] = before[key] if key in before else self._source(target)
            source.forced_error = self.targets.over_limit or target.error
        self.sources = sources  # at once, because another thread may be reading it
        for key, source in before.items():
            if key not in sources:
                self._ended_targets.add(source)

    def shard_keys(self) -> list[str]:
        """What decides of each target, scraped here or not, in which shard it is."""
        return [shard_key(target) for target in self.targets.active.values()]

    def messages(self) -> list[str]:
        """What people should know: discovery that failed, a limit, targets that cannot be scraped."""
        detail = [*self.warnings, self.targets.over_limit, *(one.error for one in self.targets.dropped)]
        return [f"{self.job.job_name}: {message}" for message in dict.fromkeys(detail) if message]

    def _source(self, target: Target) -> TargetSource:
        """A source for a target that is new, or back; a config that has changed meanwhile counts."""
        known = self._ended_targets.resume(f"{target.job.job_name}/{target.key}")
        source = self._make(target)
        if isinstance(known, TargetSource) and known.works_like(source):
            return known
        if known is not None:
            source.active = known.active
        return source


def shard_key(target: Target) -> str:
    """What decides in which shard a target is scraped: it moves only when its labels or its address change."""
    return f"{target.job.job_name}/{target.key}"
