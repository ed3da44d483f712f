"""A collector's `filter` processor -> keep and drop rules, as far as it matches names of metrics only."""

from __future__ import annotations

import re

from .relabelling import anchored, one_of, rule
from .tree import Entry, List, Map, Value, is_empty

SERIES_OF_ONE = "(?:_bucket|_sum|_count)?"
"""A collector's metric is a whole histogram or summary: its series go with it."""
_OF_METRICS = ("include", "exclude", "metric", "regexp")
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_CONDITION = re.compile(
    rf"(not\s+)?(?:(?:metric\.)?name\s*(==|!=)\s*{_TEXT}|IsMatch\((?:metric\.)?name,\s*{_TEXT}\))"
)  # https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/pkg/ottl


def rules(settings: Value) -> list[Entry] | None:
    """The rules in the order in which they are applied; None when it matches more than names."""
    if not isinstance(settings, Map):
        return None
    found: list[Entry] = []
    metrics = settings.map("metrics")
    if any(pair.key not in _OF_METRICS for pair in metrics.pairs() if not is_empty(pair.value)):
        return None
    for key, action in (("include", "keep"), ("exclude", "drop")):
        if entry := metrics.get(key):
            pattern = _names(entry.value)
            if pattern is None:
                return None
            found.append(_by_name(pattern, action))
    for condition in [*metrics.items("metric"), *settings.items("metric_conditions")]:
        translated = _condition(condition.text)
        if translated is None:
            return None
        found += translated
    return found


def _by_name(pattern: str, action: str) -> Entry:
    series = "" if pattern.endswith(".*") else SERIES_OF_ONE
    return rule(("__name__",), regex=f"{pattern}{series}", action=action)


def _names(block: Value) -> str | None:
    """The pattern of `{match_type, metric_names}`."""
    if not isinstance(block, Map):
        return None
    names = [item.text for item in block.items("metric_names")]
    others = [pair for pair in block.pairs() if pair.key not in ("match_type", "metric_names", "regexp")]
    if not names or any(not (isinstance(pair.value, List) and not pair.value.pairs()) for pair in others):
        return None
    if block.text("match_type") == "strict":
        return one_of(names)
    return _any_of([anchored(name) for name in names]) if block.text("match_type") == "regexp" else None


def _any_of(patterns: list[str | None]) -> str | None:
    known = [pattern for pattern in patterns if pattern is not None]
    if len(known) < len(patterns):
        return None
    return f"(?:{'|'.join(known)})" if len(known) > 1 else known[0]


def _condition(text: str) -> list[Entry] | None:
    """An OTTL condition under which a metric is dropped."""
    found: list[Entry] = []
    for alternative in re.split(r"\s+or\s+", text.strip()):
        parts = [_CONDITION.fullmatch(part.strip()) for part in re.split(r"\s+and\s+", alternative)]
        read = [_compared(part) for part in parts if part]
        pattern = _any_of([one for _, one in read]) if len(read) == len(parts) else None
        if pattern is None:
            return None
        if all(is_negative for is_negative, _ in read):
            found.append(_by_name(pattern, "keep"))
        elif len(read) == 1:
            found.append(_by_name(pattern, "drop"))
        else:
            return None
    return found


def _compared(part: re.Match[str]) -> tuple[bool, str | None]:
    """Whether a comparison is a negative one, and the pattern that it compares with."""
    negated, operator, text, pattern = part.groups()
    is_negative = bool(negated) != (operator == "!=")
    written = re.sub(r"\\(.)", r"\1", text if text is not None else pattern)
    return is_negative, one_of([written]) if text is not None else anchored(written)
