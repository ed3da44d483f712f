"""Timestamps in an API's answer -> milliseconds since the epoch. The config gives the format: the size of a number does
not tell its unit."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from .scalars import parse_float
from .yaml_reader import did_you_mean

UNIX_FORMATS = {"unix": 1_000, "unix_ms": 1, "unix_us": 1_000, "unix_ns": 1_000_000}
DATE_MS = "/Date(ms)/"  # as .NET's older JSON writers print a time
NAMES = (*UNIX_FORMATS, "rfc3339", DATE_MS)
END_OF_1970_MS = 31_536_000_000  # an earlier time is one of today in a unit that is too small
_OTHER_NAMES = {"unix_s": "unix", "epoch": "unix", "epoch_ms": "unix_ms", "iso8601": "rfc3339", "iso": "rfc3339"}
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-]\d\d:[0-5]\d))?",
    re.ASCII,
)
_NEARLY_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d(?:([Tt ])\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?( ?)((?:Z|[+-]\d\d:?\d\d)?)", re.ASCII
)
_DATE_MS = re.compile(r"/Date\((-?\d{1,20})(?:[+-]\d{4})?\)/", re.ASCII)  # the offset does not change the instant
_DIRECTIVE = re.compile(r"%.", re.DOTALL)
_YEAR_DIRECTIVES = ("%Y", "%y", "%G", "%c", "%x")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 253_402_300_799_999  # the end of the year 9999
_MAX_NUMBER = (_MAX_MS + 1) * 1_000_000  # the same in the finest unit


class BadTimestamp(ValueError):
    """A value that does not have the format."""


@dataclass(frozen=True, slots=True)
class Format:
    """`unix`, `unix_ms`, `unix_us`, `unix_ns`, `rfc3339`, `/Date(ms)/` or an strptime format; `zone` is for times that
    name none."""

    name: str
    zone: tzinfo | None = field(default=None)

    def milliseconds(self, value: Any) -> int:
        """One value of the API -> milliseconds. Raises BadTimestamp."""
        if self.name in UNIX_FORMATS:
            return self._from_number(value)
        return _date_ms(value) if self.name == DATE_MS else _to_ms(self.moment(value))

    def moment(self, value: Any) -> datetime:
        """A text in `rfc3339` or an strptime format -> its moment, to the microsecond. Raises BadTimestamp."""
        if not isinstance(value, str):
            raise BadTimestamp(f"{value!r:.60} is not a text in the format {self.name}")
        return _rfc3339(value.strip(), self.zone) if self.name == "rfc3339" else self._strptime(value)

    def written(self, milliseconds: int) -> str:
        """A time as this format writes it, in its zone or UTC."""
        if self.name in UNIX_FORMATS:
            factor = UNIX_FORMATS[self.name]
            return str(milliseconds // factor if self.name == "unix" else milliseconds * factor)
        if self.name == DATE_MS:
            return f"/Date({milliseconds})/"
        moment = (EPOCH + timedelta(milliseconds=milliseconds)).astimezone(self.zone or UTC)
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
                is_whole = value.isascii() and value.strip().lstrip("-").isdigit()
                value = int(value) if is_whole else parse_float(value)
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
            if not text.isascii() and any(one.isdigit() and not one.isascii() for one in text):
                raise ValueError  # digits of other scripts, which strptime reads
            moment = datetime.strptime(text, self.name)
        except ValueError:
            raise BadTimestamp(f"{text!r:.60} does not have the format {self.name}") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self.zone or UTC)


RFC3339 = Format("rfc3339")


@dataclass(frozen=True, slots=True)
class Formats:
    """Several formats, of which the first counts that reads a value. A number that is a time of 1970 in one unit is
    left to the next."""

    formats: tuple[Format, ...]

    @property
    def name(self) -> str:
        return ", ".join(one.name for one in self.formats)

    def milliseconds(self, value: Any) -> int:
        """One value of the API -> milliseconds. Raises BadTimestamp."""
        for one in self.formats:
            try:
                found = one.milliseconds(value)
            except BadTimestamp:
                continue
            if one.name not in UNIX_FORMATS or found >= END_OF_1970_MS:
                return found
        raise BadTimestamp(f"{value!r:.60} has none of the formats {self.name}")

    def column(self, values: list[Any]) -> list[int]:
        """A column of texts or of whole numbers, each different one read once. Raises TypeError for others."""
        if set(map(type, values)) not in ({str}, {int}):
            raise TypeError
        try:
            known = {value: self.milliseconds(value) for value in set(values)}
        except BadTimestamp:
            raise TypeError from None
        return list(map(known.__getitem__, values))


def any_of(formats: Sequence[Format], zone: tzinfo | None) -> Format | Formats | None:
    """The formats of a key, with the zone for times that name none; None for no format."""
    zoned = tuple(replace(one, zone=zone) for one in formats)
    return Formats(zoned) if len(zoned) > 1 else next(iter(zoned), None)


def _date_ms(value: Any) -> int:
    match = _DATE_MS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise BadTimestamp(f"{value!r:.60} is not written as /Date(1700000000000)/")
    if abs(milliseconds := int(match[1])) > _MAX_MS:
        raise BadTimestamp(f"{value!r:.60} is beyond the year 9999")
    return milliseconds


def _rfc3339(text: str, zone: tzinfo | None) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        near = _nearly_rfc3339(text)
        hint = f"; the format {near} reads it" if near else ""
        raise BadTimestamp(f"{text!r:.60} is not RFC 3339, as 2024-05-23T15:58:17Z{hint}")
    day, minute, second, fraction, utc, offset = match.groups()
    if not utc and not offset and zone is None:
        raise BadTimestamp(f"{text!r:.60} names no offset; set timezone beside the format")
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


def _nearly_rfc3339(text: str) -> str:
    """The strptime format of a time that is RFC 3339 but for a part that is left out or written otherwise; "" for any
    other text."""
    match = _NEARLY_RFC3339.fullmatch(text)
    if match is None:
        return ""
    between, seconds, fraction, blank, offset = match.groups()
    clock = f"{between}%H:%M{':%S' if seconds else ''}{'.%f' if fraction else ''}" if between else ""
    return f"%Y-%m-%d{clock}{blank}{'%z' if offset else ''}"


def _to_ms(moment: datetime) -> int:
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def meant(name: str, known: Iterable[str]) -> str:
    """For a message: the known name that an unknown one comes nearest to, or stands for elsewhere."""
    plain = name.lower()
    return did_you_mean(_OTHER_NAMES.get(plain, plain), known)


def parse_format(name: str, timezone: str = "") -> Format:
    """The config's `format` and `timezone` -> Format. Raises ValueError with what is allowed."""
    zone = parse_zone(timezone) if timezone else None
    if name in NAMES:
        return Format(name, zone)
    if "%" not in name:
        raise ValueError(
            f"allowed are {', '.join(NAMES)} or an strptime format such as %d/%m/%Y %H:%M:%S{meant(name, NAMES)}"
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
