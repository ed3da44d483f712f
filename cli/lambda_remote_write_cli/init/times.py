"""Finds the times of a document. A number does not tell its unit: a format by its size is a question for the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lambda_remote_write.config.timestamp import DATE_MS, UNIX_FORMATS, BadTimestamp, parse_format

from .names import singular, snake, words

_TIME_WORDS = words(
    "time timestamp ts date datetime dt at when since updated created modified last epoch started finished start end "
    "begin expires reset seen changed observed measured until valid from to clock t day hour triggered published"
)
_SAMPLE_WORDS = ("timestamp", "time", "ts", "dt", "datetime", "date", "at", "t", "epoch", "clock", "currenttime")
_WITHOUT_SECONDS = ("%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M")
_WITHOUT_ZONE = (
    "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f", *_WITHOUT_SECONDS,
    "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y-%b-%d %H:%M:%S", "%d %b %Y %H:%M:%S", "%Y-%m-%d", "%d.%m.%Y",
)  # fmt: skip
_WITH_ZONE = (
    "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%dT%H:%M:%S.%f%z", "%a, %d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%dT%H:%M%z",
)  # fmt: skip
_MAY_BE_TIME = re.compile(r"/Date\(|(?=.*\d)(?=.*[-/.: ]).{6,40}", re.DOTALL)
_SAMPLED = 50


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """`format` as the config writes it. It `is_guess` where the size of a number, or no zone in a text, leaves a
    question open."""

    format: str
    is_guess: bool
    newest_ms: int
    oldest_ms: int
    has_zone: bool = True

    def described(self, now_ms: int) -> str:
        """`unix, 12s old`."""
        age = (now_ms - self.newest_ms) / 1000
        return f"{self.format}, {shown_age(age)}"


def shown_age(seconds: float) -> str:
    """`12s old`, `3h ahead`."""
    size, sense = abs(seconds), "old" if seconds >= 0 else "ahead of the clock"
    for limit, unit, length in ((120, "s", 1), (7_200, "m", 60), (172_800, "h", 3_600)):
        if size < limit:
            return f"{size / length:.0f}{unit} {sense}"
    return f"{size / 86_400:.0f}d {sense}"


def names_time(key: str) -> bool:
    """Whether a key sounds as one of a time."""
    parts = [singular(part) for part in snake(key).split("_")]
    return any(part in _TIME_WORDS for part in (parts[-1], parts[0])) or parts[-1].endswith(("time", "date", "stamp"))


def names_sample_time(key: str) -> bool:
    """Whether a key sounds as the time of a measurement, not as that of another event."""
    plain = singular(snake(key)).replace("_", "")
    if any(word in plain for word in ("creat", "start", "boot", "birth", "begin", "deletion", "expir")):
        return False
    return plain in _SAMPLE_WORDS or plain.endswith(
        (
            "timestamp",
            "observedat",
            "generatedat",
            "asof",
            "reportedat",
            "collectedat",
            "recordedat",
            "sampledat",
            "measuredat",
            "readingtime",
            "unixtime",
            "updatedat",
            "lastupdated",
            "lastupdate",
            "lastchanged",
            "lastcommunicationtime",
            "communicationtime",
        )
    )


def format_of(key: str, values: Sequence[Any], now_ms: int) -> TimeFormat | None:
    """The format that reads all these values; None when they are no times."""
    given = [value for value in values if value is not None][:_SAMPLED]
    if not given:
        return None
    if all(isinstance(value, str) for value in given):
        if all(_MAY_BE_TIME.fullmatch(value) for value in given):
            return _of_texts([values[0], *given] if values[0] is not None else given, values)
        if names_time(key) and all(re.fullmatch(r"\d{9,19}(\.\d+)?", value) for value in given):
            return _of_numbers(key, [float(value) for value in given], values, now_ms)
        return None
    numbers = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
    return _of_numbers(key, numbers, values, now_ms) if len(numbers) == len(given) else None


def _of_texts(given: Sequence[str], values: Sequence[Any]) -> TimeFormat | None:
    for name in ("rfc3339", DATE_MS, *_WITH_ZONE):
        if (found := _read(name, given, values)) is not None:
            return TimeFormat(name, False, max(found), min(found))
    for name in _WITHOUT_ZONE:
        if (found := _read(name, given, values)) is not None:
            return TimeFormat(name, True, max(found), min(found), has_zone=False)
    return None


def _read(name: str, given: Sequence[Any], values: Sequence[Any]) -> list[int] | None:
    reader = parse_format(name)
    with suppress(BadTimestamp, ValueError):
        for value in given:
            reader.milliseconds(value)
        return [reader.milliseconds(value) for value in values if value is not None]
    return None


def _of_numbers(key: str, numbers: Sequence[float], values: Sequence[Any], now_ms: int) -> TimeFormat | None:
    """By size: from the year 2001 to 2100, and for a key that does not name a time within a day of the clock."""
    for name in UNIX_FORMATS:
        per_ms = {"unix": 0.001, "unix_ms": 1, "unix_us": 1_000, "unix_ns": 1_000_000}[name]
        moments = [number / per_ms for number in numbers]
        is_named = names_time(key) and all(978_307_200_000 <= one <= 4_102_444_800_000 for one in moments)
        is_near = all(abs(one - now_ms) < 86_400_000 for one in moments)
        if is_named or is_near:
            found = _read(name, numbers, values)
            return TimeFormat(name, True, max(found), min(found)) if found else None
    return None
