"""Times as users write them: RFC 3339, unix seconds, or relative to now."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from ..config.scalars import duration_ms
from ..config.timestamp import Format

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_RELATIVE = re.compile(r"(?:now)?-(.+)", re.ASCII)
_MAX_SECONDS = 100_000_000_000  # the year 5138; beyond it the unit is not seconds
_UNIX, _RFC3339 = Format("unix"), Format("rfc3339")
ALLOWED = "RFC 3339 (2024-05-23T16:00:00Z), unix seconds (1716480000), or relative to now (-2h, now)"


class BadTime(ValueError):
    """Not a time. The message says what is allowed."""


def parse_time(value: Any, now_ms: int) -> int:
    """A time -> milliseconds since the epoch; `now_ms` is what relative ones count from. Raises BadTime."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadTime(f"{value!r:.60} is no time; allowed are {ALLOWED}")
    text = str(value).strip()
    if text == "now":
        return now_ms
    if _NUMBER.fullmatch(text):
        return _from_unix(text)
    try:
        if relative := _RELATIVE.fullmatch(text):
            return now_ms - duration_ms(relative[1])
        return _RFC3339.milliseconds(text)
    except (ValueError, OverflowError) as error:
        hint = ", with Z or an offset at its end" if "offset" in str(error) else ""
        raise BadTime(f"{text!r:.60} is no time{hint}; allowed are {ALLOWED}") from None


def _from_unix(text: str) -> int:
    seconds = float(text)
    if abs(seconds) >= _MAX_SECONDS:
        raise BadTime(f"{text:.60} is no time in unix seconds: is it in milliseconds? Allowed are {ALLOWED}")
    return _UNIX.milliseconds(int(text) if "." not in text else seconds)


def shown(milliseconds: int) -> str:
    """A time as UTC text, with milliseconds unless they are zero."""
    whole, rest = divmod(milliseconds, 1000)
    try:
        moment = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds} ms"
    return f"{moment}.{rest:03d}Z" if rest else f"{moment}Z"
