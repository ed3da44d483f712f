"""How often something happened, by reason, with examples for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

ANYTHING = "records"
"""What an example is about that concerns no metric."""


@dataclass(slots=True)
class ReasonCounts:
    """Counts by reason, and of each reason the first occurrence in words: one for each subject, as a metric, that it
    concerns."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def first_examples(self) -> dict[str, str]:
        """The first example of each reason."""
        return {reason: next(iter(found.values())) for reason, found in self.examples.items()}

    def add(self, reason: str, example: str, count: int = 1, subject: str = ANYTHING) -> None:
        self.counts[reason] += count
        self.examples.setdefault(reason, {}).setdefault(subject, example)

    def merge(self, other: ReasonCounts) -> None:
        self.counts.update(other.counts)
        for reason, found in other.examples.items():
            own = self.examples.setdefault(reason, {})
            own.update({subject: example for subject, example in found.items() if subject not in own})

    def rewrite(self, change: Callable[[str], str]) -> None:
        """Changes the words of every example."""
        for found in self.examples.values():
            found.update({subject: change(example) for subject, example in found.items()})

    def total(self) -> int:
        return self.counts.total()
