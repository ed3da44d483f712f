"""`value_format` of a metric: texts such as `1d22h`, `32 GB` or `1.234,56 €` -> numbers.

Numbers stay whole or decimal, so that `scale` and `offset` apply exactly and a value is rounded once. Units are stated,
never guessed: what has two meanings is refused, with the format that says which is meant. Only a config that has the
key imports this module.
"""

from __future__ import annotations

import functools
import operator
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

import yaml

from . import scalars, timestamp
from .timestamp import UNIX_FORMATS, BadTimestamp, Format
from .yaml_reader import Section

KEY = "value_format"
Number = int | float | Decimal
Reader = Callable[[Any], Number | None]
"""Reads a text, or a number in a unit of time; None when it does not have the format. Raises Unreadable or BadTimestamp
with the reason."""

_MAX_CHARACTERS = 200  # no value is longer; bounds what a hostile text costs
_EXACT = Context(prec=1_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # no sum of such a text has more digits
_SPELLINGS = str.maketrans(  # of blanks, minus, apostrophe, micro and ohm
    {**dict.fromkeys("\t\u00a0\u2007\u2009\u202f", " "), "\u2212": "-", "\u2019": "'", "\u03bc": "µ", "\u2126": "Ω"}
)
_DIGITS = r"(?:\d+(?:\.\d*)?|\.\d+)"
_NUMBER = rf"[+-]?{_DIGITS}(?:[eE][+-]?\d{{1,4}}(?![0-9A-Za-z]))?"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unreadable(ValueError):
    """A text that none of the formats reads; the message says why."""


@dataclass(frozen=True, slots=True)
class OneFormat:
    """One format. `name` is how the config writes it, `stamp` is set for a timestamp format."""

    name: str
    read: Reader = field(compare=False, repr=False)
    stamp: Format | None = None

    def of_text(self, text: str) -> Number | None:
        """A text as its number; None when it does not have the format. Raises Unreadable or BadTimestamp."""
        if self.name == "number":
            return self.read(text)
        if len(text) > _MAX_CHARACTERS:
            raise Unreadable(f"it has more than {_MAX_CHARACTERS} characters")
        return self.read(text if self.stamp else text.translate(_SPELLINGS).strip())

    @property
    def unit(self) -> Format | None:
        """The timestamp format if it also says what a JSON number means."""
        return self.stamp if self.stamp is not None and self.stamp.name in UNIX_FORMATS else None


@dataclass(frozen=True, slots=True)
class ValueFormat:
    """The formats of a metric's values, tried in this order."""

    formats: tuple[OneFormat, ...]

    @property
    def name(self) -> str:
        return ", ".join(one.name for one in self.formats)

    def number(self, value: str | float) -> Number:
        """A text, or a number of JSON, as its number. Raises Unreadable."""
        return self._of_text(value) if isinstance(value, str) else self._of_number(value)

    def column(self, values: list[Any]) -> list[Number]:
        """A column of texts, each different one read once, or of numbers that are themselves. Raises TypeError when
        the column needs a look at each value."""
        kinds = set(map(type, values))
        if kinds == {str}:
            try:
                known = {text: self._of_text(text) for text in set(values)}
            except Unreadable:
                raise TypeError from None
            return list(map(known.__getitem__, values))
        are_numbers = bool not in kinds and all(issubclass(one, int | float) for one in kinds)
        if not are_numbers or any(one.unit for one in self.formats):
            raise TypeError
        return values

    def _of_text(self, text: str) -> Number:
        reasons = []
        for one in self.formats:
            try:
                found = one.of_text(text)
            except (Unreadable, BadTimestamp) as error:
                reasons.append(_without_value(error, text))
            else:
                if found is not None:
                    return found
        raise self._unreadable(text, reasons)

    def _of_number(self, value: float) -> Number:
        """`number` leaves it as it is, and so do formats of texts alone."""
        reasons = []
        for one in self.formats:
            if one.name == "number":
                return value
            if one.unit is not None:
                try:
                    return _seconds(one.unit, value)
                except BadTimestamp as error:
                    reasons.append(_without_value(error, value))
        if reasons:
            raise self._unreadable(value, reasons)
        return value

    def _unreadable(self, value: object, reasons: Sequence[str]) -> Unreadable:
        names = " or ".join(one.name for one in self.formats)
        detail = "; ".join(dict.fromkeys(reasons))
        return Unreadable(": ".join(filter(None, [f"{value!r:.60} cannot be read as {names}", detail])))


def _without_value(error: ValueError, value: object) -> str:
    """What a timestamp format says begins with the value."""
    reason = str(error)
    rest = reason.removeprefix(f"{value!r:.60} ")
    return reason if rest == reason else f"it {rest}"


# --- The key ----------------------------------------------------------------------------------------------------------


def read(section: Section) -> ValueFormat | None:
    """`value_format` of a metric: one format or a list. None when it is absent or wrong."""
    if not section.has(KEY):
        return None
    nodes = section.items(KEY) if section.is_list(KEY) else [(KEY, section.value(KEY))]
    formats = [found for path, node in nodes if (found := _format(section, path, node))]
    if not nodes:
        section.problem(KEY, "a list of formats holds at least one")
    return ValueFormat(tuple(formats)) if formats else None


def _format(section: Section, path: str, node: yaml.Node | None) -> OneFormat | None:
    if not isinstance(node, yaml.MappingNode):
        return section.converted(node, path, _named, None)
    block = section.at(node, path)
    given = [key for key in (*_WITH_OPTION, "format") if block.has(key)]
    found = None
    if block.has("timezone") and given != ["format"]:
        block.problem("timezone", "stands beside format, as {format: rfc3339, timezone: Asia/Seoul}")
    elif len(given) == 1:
        found = _timestamp(block) if given == ["format"] else _WITH_OPTION[given[0]](block)
    block.close()
    if len(given) != 1 and not block.is_wrong("timezone"):
        section.problem(path, f"one format is expected in a map: {_OPTIONS}, or {{format: …, timezone: …}}", node)
    return found


def _named(text: str) -> OneFormat:
    """A format that is written as one word, or a timestamp format."""
    if text in _PLAIN:
        return OneFormat(text, _PLAIN[text])
    if text == "clock":
        raise ValueError("a clock names its parts: {clock: h:m} or {clock: m:s}")
    if text not in timestamp.NAMES and "%" not in text:
        known = (*_PLAIN, "clock", *timestamp.NAMES)
        words = f"{', '.join(_PLAIN)}, {_OPTIONS}, {', '.join(timestamp.NAMES)}"
        raise ValueError(f"allowed are {words} or an strptime format{timestamp.meant(text, known)}")
    return _of_stamp(timestamp.parse_format(text))


def _timestamp(block: Section) -> OneFormat | None:
    zone = block.read("timezone", timestamp.parse_zone)
    found = block.read("format", timestamp.parse_format)
    return _of_stamp(replace(found, zone=zone)) if found else None


def _of_stamp(stamp: Format) -> OneFormat:
    name = f"{{format: {stamp.name}, timezone: {stamp.zone}}}" if stamp.zone else stamp.name
    return OneFormat(name, functools.partial(_seconds, stamp), stamp)


def _clock_option(block: Section) -> OneFormat | None:
    parts = block.choice("clock", ("h:m", "m:s"), "")
    return OneFormat(f"{{clock: {parts}}}", functools.partial(_clock, parts=parts)) if parts else None


def _percent_option(block: Section) -> OneFormat | None:
    return OneFormat("{percent: ratio}", _ratio) if block.choice("percent", ("ratio",), "") else None


def _quantity_option(block: Section) -> OneFormat | None:
    unit = block.read("quantity", _unit_name)
    return OneFormat(f"{{quantity: {unit}}}", functools.partial(_quantity, unit=unit)) if unit else None


def _unit_name(text: str) -> str:
    plain = text.translate(_SPELLINGS)
    if not re.fullmatch(r"[^\s\d.+%-](?:.{0,30}\S)?", plain):
        raise ValueError("a unit is expected as the values have it, without its prefix, as H/s or °C")
    return plain


def _number_option(block: Section) -> OneFormat | None:
    options = block.section("number")
    if options is None:
        return None
    decimal = options.read("decimal", functools.partial(_mark, _DECIMAL_MARKS), ".")
    thousands = options.read("thousands", functools.partial(_mark, _THOUSANDS_MARKS), "")
    if decimal == thousands:
        options.problem("thousands", f"{thousands!r} is the mark of decimals too; set another one for decimal")
    options.close()
    marks = f"decimal: {decimal!r}" + (f", thousands: {thousands!r}" if thousands else "")
    return OneFormat(f"{{number: {{{marks}}}}}", functools.partial(_separated, _separated_pattern(decimal, thousands)))


_DECIMAL_MARKS = {".": "a point", ",": "a comma"}
_THOUSANDS_MARKS = {**_DECIMAL_MARKS, "'": "an apostrophe", " ": "a blank", "_": "an underscore"}


def _mark(allowed: dict[str, str], text: str) -> str:
    plain = text.translate(_SPELLINGS)
    if plain not in allowed:
        raise ValueError(f"allowed are {', '.join(f'{mark!r} ({name})' for mark, name in allowed.items())}")
    return plain


# --- number, hex, percent, boolean ------------------------------------------------------------------------------------

_CURRENCIES = {  # which are printed often: three capitals alone may also be a unit
    "AUD", "BRL", "CAD", "CHF", "CLP", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "JPY",
    "KRW", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "RUB", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD",
    "VND", "ZAR",
}  # fmt: skip
_HEX = re.compile(r"([+-]?)(?:0[xX])?([0-9a-fA-F]+)", re.ASCII)
_PERCENT = re.compile(rf"({_NUMBER}) ?%?", re.ASCII)
_BOOLEANS = {"true": 1, "t": 1, "yes": 1, "y": 1, "on": 1, "enabled": 1, "up": 1, "1": 1}
_BOOLEANS |= {"false": 0, "f": 0, "no": 0, "n": 0, "off": 0, "disabled": 0, "down": 0, "0": 0}


def _plain_number(text: str) -> Number | None:
    try:
        return scalars.parse_float(text)
    except ValueError:
        return None


def _separated_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    """A number with these marks, in groups of three digits or in none, and a currency on one side."""
    grouped = rf"[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands else ""
    point = re.escape(decimal)
    number = rf"(?P<whole>{grouped}\d*)(?:{point}(?P<fraction>\d+))?"
    around = r"[A-Z]{0,3}[^\w\s.,'+-]|[A-Z]{3}"
    before, after = rf"(?P<before>{around})? ?", rf" ?(?P<after>{around})?"
    return re.compile(rf"(?P<sign>[+-]?){before}(?P<inner>[+-]?){number}{after}", re.ASCII)


def _separated(pattern: re.Pattern[str], text: str) -> Number | None:
    match = pattern.fullmatch(text)
    if match is None or not all(map(_is_currency, filter(None, match.group("before", "after")))):
        return None
    sign, inner, whole, fraction = match.group("sign", "inner", "whole", "fraction")
    if (sign and inner) or (match["before"] and match["after"]) or not (whole or fraction):
        return None
    return Decimal(f"{sign or inner}{re.sub(r'[^0-9]', '', whole)}.{fraction or ''}0")


def _is_currency(text: str) -> bool:
    """A sign, as in € or US$, or a code, as EUR."""
    return text in _CURRENCIES or unicodedata.category(text[-1]) == "Sc"


def _hex(text: str) -> Number | None:
    match = _HEX.fullmatch(text)
    return int(match[1] + match[2], 16) if match else None


def _percent(text: str) -> Number | None:
    match = _PERCENT.fullmatch(text)
    return Decimal(match[1]) if match else None


def _ratio(text: str) -> Number | None:
    match = _PERCENT.fullmatch(text)
    return _EXACT.multiply(Decimal(match[1]), Decimal("0.01")) if match else None


def _boolean(text: str) -> Number | None:
    return _BOOLEANS.get(text.lower())


# --- duration, clock --------------------------------------------------------------------------------------------------

_UNITS_OF_TIME = {
    "y yr yrs year years": None,
    "mo mon mons month months": None,
    "w wk wks week weeks": Decimal(604_800),
    "d day days": Decimal(86_400),
    "h hr hrs hour hours": Decimal(3_600),
    "m min mins minute minutes": Decimal(60),
    "s sec secs second seconds": Decimal(1),
    "ms msec msecs milli millis millisecond milliseconds": Decimal("1e-3"),
    "us µs usec usecs micro micros microsecond microseconds": Decimal("1e-6"),
    "ns nsec nsecs nano nanos nanosecond nanoseconds": Decimal("1e-9"),
}
"""From large to small; years and months have no length."""
_ORDER = {word: order for order, words in enumerate(_UNITS_OF_TIME) for word in words.split()}
_LENGTHS = list(_UNITS_OF_TIME.values())
_DAY = _ORDER["d"]
_PART = re.compile(rf"({_DIGITS}) ?([A-Za-zµ]+)(?: ?, ?(?:and )?| and | |(?=[0-9.])|$)", re.ASCII)
_SIGNED = r"([+-]?\d+(?:[.,]\d+)?)"
_ISO = re.compile(
    rf"([+-]?)P(?=.)(?:{_SIGNED}Y)?(?:{_SIGNED}M)?(?:{_SIGNED}W)?(?:{_SIGNED}D)?"
    rf"(?:T(?=.)(?:{_SIGNED}H)?(?:{_SIGNED}M)?(?:{_SIGNED}S)?)?",
    re.ASCII | re.IGNORECASE,
)
_DAYS_AND_CLOCK = re.compile(  # .NET, ps and Slurm, Tasmota
    r"([+-]?)(\d+)[.T-](\d\d?:\d\d?:\d\d?(?:[.,]\d+)?)", re.ASCII
)
_CLOCK = re.compile(r"(.*?)([+-]?)(\d+(?::\d\d?){1,3})(?:[.,](\d+))?", re.ASCII)
_MOST_OF_CLOCK = (23, 59, 59)  # hours after days, minutes, seconds
_NO_LENGTH = "years and months have no fixed length"
_TWO_PARTS = "a time of two parts is {clock: h:m} or {clock: m:s}"


def _duration(text: str) -> Number | None:
    """Units (`1d22h`, `3 hours, 5 minutes`), ISO 8601 (`PT5M`) or a clock of three parts (`3 days, 04:05:00`), in
    seconds."""
    if text == "0":
        return 0
    if match := _ISO.fullmatch(text):
        return _iso(match)
    return _clock(text, "") if ":" in text else _signed(text)


def _signed(text: str, end: int = len(_LENGTHS)) -> Decimal | None:
    sign, rest = (text[0], text[1:].lstrip()) if text[:1] in ("-", "+") else ("", text)
    found = _units(rest, end)
    return found.copy_negate() if found and sign == "-" else found


def _units(text: str, end: int) -> Decimal | None:
    """Numbers with units, from large to small and each once, of those before `end` in the table."""
    parts, place = [], 0
    text = re.sub(" +", " ", text)
    while place < len(text):
        match = _PART.match(text, place)
        if match is None:
            return None
        parts.append((match[1], match[2]))
        place = match.end()
    orders = [_ORDER.get(unit.lower(), end) for _, unit in parts]
    if not parts or max(orders) >= end or text.endswith(","):
        return None
    if orders != sorted(set(orders)):
        raise Unreadable("units of a duration stand from large to small, each once")
    if any(unit == "M" for _, unit in parts) and {_ORDER["m"]}.issuperset(one for one in orders if one > _ORDER["mo"]):
        raise Unreadable("M alone is minutes or months")
    return _sum([(Decimal(number), _LENGTHS[order]) for (number, _), order in zip(parts, orders, strict=True)])


def _sum(parts: Sequence[tuple[Decimal, Decimal | None]]) -> Decimal:
    total = Decimal(0)
    for number, length in parts:
        if length is None and number:
            raise Unreadable(_NO_LENGTH)
        total = _EXACT.fma(number, length or Decimal(0), total)
    return total


def _iso(match: re.Match[str]) -> Decimal:
    numbers = [Decimal((number or "0").replace(",", ".")) for number in match.groups()[1:]]
    total = _sum(list(zip(numbers, _LENGTHS, strict=False)))
    return total.copy_negate() if match[1] == "-" and total else total


def _clock(text: str, parts: str) -> Decimal | None:
    """`h:m:s`, `d:h:m:s`, and a time of two parts where `parts` says which, in seconds. Before it may stand weeks and
    days, with a sign of their own, as Python and PostgreSQL print them."""
    if match := _DAYS_AND_CLOCK.fullmatch(text):
        found = _clock(f"{match[2]}d {match[3]}", parts)
        return found.copy_negate() if found and match[1] == "-" else found
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    days, sign, clock, fraction = match.groups()
    before = _signed(days.rstrip(" ,"), _DAY + 1) if days else Decimal(0)
    if before is None:
        return None
    after = _of_clock([int(one) for one in clock.split(":")], fraction, parts, has_days=bool(days))
    if after is None:
        return None
    return _EXACT.subtract(before, after) if sign == "-" else _EXACT.add(before, after)


def _of_clock(numbers: list[int], fraction: str | None, parts: str, *, has_days: bool) -> Decimal | None:
    if len(numbers) == 2:
        if not parts:
            raise Unreadable(_TWO_PARTS)
        if fraction if parts == "h:m" else has_days:
            return None
        numbers = [*numbers, 0] if parts == "h:m" else numbers
    if has_days:
        numbers = [0, *numbers]
    most = _MOST_OF_CLOCK[1 - len(numbers) :]  # of the parts after the first, which goes as far as it likes
    if len(numbers) > len(_MOST_OF_CLOCK) + 1 or any(map(operator.gt, numbers[1:], most)):
        return None
    lengths = _LENGTHS[_ORDER["s"] + 1 - len(numbers) :]
    seconds = _sum([(Decimal(number), length) for number, length in zip(numbers, lengths, strict=False)])
    return _EXACT.add(seconds, Decimal(f"0.{fraction or 0}"))


# --- quantity ---------------------------------------------------------------------------------------------------------

_QUANTITY = re.compile(rf"({_NUMBER})( *)([^\d\s.+-].*)?", re.ASCII)
_POWERS = {"n": -9, "u": -6, "µ": -6, "m": -3, "K": 3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21}
_PREFIXES = {prefix: Decimal(10) ** power for prefix, power in _POWERS.items()}  # as devices print it, K is kilo
_PREFIXES |= {f"{prefix}i": Decimal(1024**power) for power, prefix in enumerate("KMGTPEZ", 1)} | {"ki": Decimal(1024)}
_RARE_PREFIXES = {"h": Decimal(100), "d": Decimal("0.1"), "c": Decimal("0.01")}
_WITH_RARE_PREFIXES = {"m", "L", "l", "Pa"}  # hPa, cm, dl; dB is no tenth of a byte
_DATA = {"B", "b", "Byte", "Bytes", "byte", "bytes", "Bit", "Bits", "bit", "bits", "Bps", "bps"}  # no mb: milli or mega
_HUGE_PREFIXES = {"P", "E", "Z"}
_WITH_HUGE_PREFIXES = _DATA | {"H", "h", "FLOPS", "FLOP", "flops", "Hz", "W", "Wh", "J", "eV"}  # 150 PS are horsepower
_UNITS = _DATA | {
    "W", "Wh", "VA", "VAh", "var", "varh", "V", "A", "Ah", "Hz", "H", "h/s", "F", "J", "N", "Pa", "bar", "L", "l", "m",
    "g", "s", "S", "Ω", "ohm", "lm", "lx", "lux", "cd", "cal", "eV", "mol", "Bq", "Sv", "Gy", "°C", "°F", "dB", "dBm",
    "rpm", "ppm", "ppb", "pps", "FLOPS", "FLOP", "flops", "IOPS", "iops", "ops",
}  # fmt: skip
_TWO_MEANINGS = {
    "m": "m is milli or metres: {quantity: m} says metres",
    "g": "g is grams or giga: {quantity: g} says grams",
}


def _quantity(text: str, unit: str = "") -> Number | None:
    """A number with prefix and unit, in the unit without prefix. `unit` is the one that the values have."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, blank, suffix = match.groups()
    if not unit and (suffix == "g" or (suffix == "m" and blank)):  # 1500m is Kubernetes's
        raise Unreadable(_TWO_MEANINGS[suffix])
    return _EXACT.multiply(Decimal(number), _factor(suffix or "", unit))


@functools.lru_cache(maxsize=256)
def _factor(suffix: str, unit: str) -> Decimal:
    """What a prefix, a unit or both stand for. Raises Unreadable."""
    if suffix == unit:  # also none of both
        return Decimal(1)
    if suffix in _PREFIXES:
        return _PREFIXES[suffix]
    if not suffix or (not unit and _is_unit(suffix)):
        return Decimal(1)
    for prefix, factor in (_PREFIXES | _RARE_PREFIXES).items():
        base = suffix.removeprefix(prefix)
        if base == suffix or not _goes_with(prefix, base):
            continue
        if base == unit or (not unit and _is_unit(base) and not _is_word(prefix, base)):
            return factor
    detail = f"is not {unit} with or without a prefix" if unit else "is no unit known: {quantity: …} names one"
    raise Unreadable(f"{suffix[:20]} {detail}")


def _is_unit(text: str) -> bool:
    """A unit, also per something, as in MB/s or W/m²."""
    return text in _UNITS or text.partition("/")[0] in _UNITS


def _goes_with(prefix: str, base: str) -> bool:
    plain = base.partition("/")[0]
    if prefix in _RARE_PREFIXES:
        return plain in _WITH_RARE_PREFIXES
    return plain not in _DATA or _PREFIXES[prefix] > 1


def _is_word(prefix: str, base: str) -> bool:
    """Whether it is hardly meant as a prefix: PS, PV and EA are other units and words."""
    return prefix in _HUGE_PREFIXES and base.partition("/")[0] not in _WITH_HUGE_PREFIXES


# --- timestamps -------------------------------------------------------------------------------------------------------

_PLACES = {"unix": 0, "unix_ms": 3, "unix_us": 6, "unix_ns": 9}


def _seconds(stamp: Format, value: Any) -> Number:
    """A time as unix seconds: of numbers to the last digit, of texts to the microsecond. Raises BadTimestamp."""
    if stamp.name in _PLACES:
        stamp.milliseconds(value)  # raises for what is no time
        text = repr(float(value)) if isinstance(value, float) else str(value).strip()
        return _EXACT.scaleb(Decimal(text), -_PLACES[stamp.name])
    if stamp.name == timestamp.DATE_MS:
        return _EXACT.scaleb(Decimal(stamp.milliseconds(value)), -3)
    return _EXACT.scaleb(Decimal((stamp.moment(value) - _EPOCH) // timedelta(microseconds=1)), -6)


_PLAIN: dict[str, Reader] = {
    "number": _plain_number, "duration": _duration, "quantity": _quantity, "hex": _hex, "percent": _percent,
    "boolean": _boolean,
}  # fmt: skip
_WITH_OPTION: dict[str, Callable[[Section], OneFormat | None]] = {
    "number": _number_option, "clock": _clock_option, "percent": _percent_option, "quantity": _quantity_option,
}  # fmt: skip
_OPTIONS = "{number: {decimal: …, thousands: …}}, {clock: h:m}, {clock: m:s}, {percent: ratio}, {quantity: UNIT}"
