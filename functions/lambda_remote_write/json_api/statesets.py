"""`states` of a metric: a stateset as in OpenMetrics. Each record gives one sample for each listed state, 1 for the one
that it is in, or those of a list, and 0 for the others. A record with a state that is not listed is counted."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.schema import States
from ..model.scrape import MetricResult, UnknownStates

Key = str | tuple[str, ...]
Found = str | list[str]
Columns = tuple[list[float], list[int], list[Key]]


class StateSet:
    """The states of one metric. Its length is how many samples a record gives."""

    def __init__(self, states: States) -> None:
        self._values = states.values
        self._places = {text: place for place, text in enumerate(states.texts)}

    def __len__(self) -> int:
        return len(self._values)

    def samples(
        self, states: Sequence[Found], stamps: Sequence[int], keys: Sequence[Key], unknown: UnknownStates
    ) -> Columns:
        """Columns of records -> columns of samples, in which each key ends with the state. A record is in one state, or
        in each of a list."""
        values: list[float] = []
        for state in states:
            values += self._row(state, unknown)
        repeated = [stamp for stamp in stamps for _ in self._values]
        return values, repeated, [(*_parts(key), state) for key in keys for state in self._values]

    def _row(self, found: Found, unknown: UnknownStates) -> list[float]:
        row, unlisted = [0.0] * len(self._values), list[str]()
        for text in [found] if isinstance(found, str) else found:
            place = self._places.get(text)
            if place is None:
                unlisted.append(text)
            else:
                row[place] = 1.0
        if unlisted:  # the record counts once
            unknown.add(unlisted[0])
        return row


def unlisted(result: MetricResult, *, quoting: bool = True) -> str:
    """How many records of a metric have a state that is not listed; when `quoting`, which ones, as far as known."""
    unknown = result.unknown_states
    records = "1 record has a state" if unknown.count == 1 else f"{unknown.count} records have states"
    detail = f"metric {result.metric}: {records} that its states do not list, for which no sample is 1"
    if not quoting:
        return detail
    shown = ", ".join(f"{text!r} ({count})" for text, count in unknown.texts.items())
    others = unknown.count - sum(unknown.texts.values())
    return f"{detail}: {shown}{f' and {others} more' if others else ''}"


def _parts(key: Key) -> tuple[str, ...]:
    return key if isinstance(key, tuple) else (key,)
