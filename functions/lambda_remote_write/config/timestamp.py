"""Timestamps in an API's answer -> milliseconds since the epoch. The config gives the format: the size of a number does
not tell its unit."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from .scalars import parse_float

UNIX_FORMATS = {"unix": 1_000, "unix_ms": 1, "unix_us": 1_000, "unix_ns": 1_000_000}
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-]\d\d:[0-5]\d))?",
    re.ASCII,
)
_DIRECTIVE = re.compile(r"%.", re.DOTALL)
_YEAR_DIRECTIVES = ("%Y", "%y", "%G", "%c", "%x")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 253_402_300_799_999  # the end of the year 9999
_MAX_NUMBER = (_MAX_MS + 1) * 1_000_000  # the same in the finest unit


class BadTimestamp(ValueError):
    """A value that does not have the format."""


@dataclass(frozen=True, slots=True)
class Format:
    """`unix`, `unix_ms`, `unix_us`, `unix_ns`, `rfc3339` or an strptime format; `zone` is for times that name none."""

    name: str
    zone: tzinfo | None = field(default=None)

    def milliseconds(self, value: Any) -> int:
        """One value of the API -> milliseconds. Raises BadTimestamp."""
        if self.name in UNIX_FORMATS:
            return self._from_number(value)
        if not isinstance(value, str):
            raise BadTimestamp(f"{value!r:.60} is not a text in the format {self.name}")
        if self.name == "rfc3339":
            return _to_ms(_rfc3339(value.strip(), self.zone))
        return _to_ms(self._strptime(value))

    def written(self, milliseconds: int) -> str:
        """A time as this format writes it, in its zone or UTC."""
        if self.name in UNIX_FORMATS:
            factor = UNIX_FORMATS[self.name]
            return str(milliseconds // factor if self.name == "unix" else milliseconds * factor)
        moment = (_EPOCH + timedelta(milliseconds=milliseconds)).astimezone(self.zone or UTC)
        if self.name == "rfc3339":
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return moment.strftime(self.name)

    def column(self, values: list[Any]) -> list[int]:
        """A column of plain integers, or of texts that stand on many records, at once; raises TypeError when the column
        needs a look at each value."""
        if self.name not in UNIX_FORMATS and {str}.issuperset(map(type, values)):
            return self._texts(values)
        if self.name not in UNIX_FORMATS or not set(map(type, values)) <= {int}:
            raise TypeError
        factor = UNIX_FORMATS[self.name]
        if self.name == "unix":
            milliseconds = [value * factor for value in values]
        else:
            milliseconds = values if factor == 1 else [value // factor for value in values]
        if values and (min(milliseconds) < -_MAX_MS or max(milliseconds) > _MAX_MS):
            raise TypeError
        return milliseconds

    def _texts(self, values: list[str]) -> list[int]:
        try:
            known = {text: self.milliseconds(text) for text in set(values)}
        except BadTimestamp:
            raise TypeError from None
        return list(map(known.__getitem__, values))

    def _from_number(self, value: Any) -> int:
        if isinstance(value, str):
            try:
                value = int(value) if value.strip().lstrip("-").isdigit() else parse_float(value)
            except ValueError:
                raise BadTimestamp(f"{value!r:.60} is not a number; the format is {self.name}") from None
        is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        if isinstance(value, bool) or not is_number:
            raise BadTimestamp(f"{value!r:.60} is not a number; the format is {self.name}")
        if abs(value) <= _MAX_NUMBER and abs(milliseconds := self._scaled(value)) <= _MAX_MS:
            return milliseconds
        raise BadTimestamp(f"{value!r:.60} is beyond the year 9999 in {self.name}; is the unit right?")

    def _scaled(self, value: float) -> int:
        factor = UNIX_FORMATS[self.name]
        if isinstance(value, int):
            return value * factor if self.name == "unix" else value // factor
        return round(value * factor) if self.name == "unix" else math.floor(value / factor)

    def _strptime(self, text: str) -> datetime:
        try:
            moment = datetime.strptime(text, self.name)
        except ValueError:
            raise BadTimestamp(f"{text!r:.60} does not have the format {self.name}") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self.zone or UTC)


RFC3339 = Format("rfc3339")


def _rfc3339(text: str, zone: tzinfo | None) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise BadTimestamp(f"{text!r:.60} is not RFC 3339, as 2024-05-23T15:58:17Z")
    day, minute, second, fraction, utc, offset = match.groups()
    if not utc and not offset and zone is None:
        raise BadTimestamp(f"{text!r:.60} names no offset; say timestamp.timezone")
    leap = second == "60"
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}.{(fraction or '0')[:6]:0<6}")
        fixed = (
            moment.replace(tzinfo=UTC if utc else zone)
            if not offset
            else datetime.fromisoformat(f"{moment.isoformat()}{offset}")
        )
    except ValueError:
        raise BadTimestamp(f"{text!r:.60} is no date and time") from None
    try:
        return fixed + timedelta(seconds=1) if leap else fixed
    except OverflowError:
        raise BadTimestamp(f"{text!r:.60} is beyond the year 9999") from None


def _to_ms(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def parse_format(name: str, timezone: str = "") -> Format:
    """The config's `format` and `timezone` -> Format. Raises ValueError with what is allowed."""
    zone = parse_zone(timezone) if timezone else None
    if name in UNIX_FORMATS or name == "rfc3339":
        return Format(name, zone)
    if "%" not in name:
        raise ValueError(
            f"allowed are {', '.join(UNIX_FORMATS)}, rfc3339 or an strptime format such as %d/%m/%Y %H:%M:%S"
        )
    if not any(directive in name for directive in _YEAR_DIRECTIVES):
        raise ValueError("an strptime format needs a year (%Y)")
    directives = Counter(_DIRECTIVE.findall(name))
    twice = next((one for one, count in directives.items() if count > 1 and one != "%%"), "")
    if twice:
        raise ValueError(f"{twice} stands twice; each part of a time may stand once in a format")
    try:
        datetime.strptime(datetime(2024, 5, 23, 15, 58, 17, tzinfo=UTC).strftime(name), name)
    except (ValueError, re.error):  # two directives that stand for the same part, as %c and %Y
        raise ValueError(
            "not an strptime format that Python's datetime reads, as %d/%m/%Y %H:%M:%S; each part may stand once"
        ) from None
    return Format(name, zone)


def parse_zone(name: str) -> tzinfo:
    """The config's `timezone` -> zone. Raises ValueError with what is allowed."""
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("not a time zone; use a name as Asia/Seoul or UTC") from None
