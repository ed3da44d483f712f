"""The grammars of `value_format`: how durations, quantities, percentages and other texts are numbers. Each reads a text
whose blanks and signs are those of ASCII, and gives None when the text does not have its form."""

from __future__ import annotations

import functools
import operator
import re
import unicodedata
from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

from . import scalars

Number = int | float | Decimal
EXACT = Context(prec=1_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # no sum of such a text has more digits
_DIGITS = r"(?:\d+(?:\.\d*)?|\.\d+)"
_NUMBER = rf"[+-]?{_DIGITS}(?:[eE][+-]?\d{{1,4}}(?![0-9A-Za-z]))?"


class Unreadable(ValueError):
    """A text that none of the formats reads; the message says why."""


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


def plain_number(text: str) -> Number | None:
    try:
        return scalars.parse_float(text)
    except ValueError:
        return None


def separated_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    """A number with these marks, in groups of three digits or in none, and a currency on one side."""
    grouped = rf"[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands else ""
    point = re.escape(decimal)
    number = rf"(?P<whole>{grouped}\d*)(?:{point}(?P<fraction>\d+))?"
    around = r"[A-Z]{0,3}[^\w\s.,'+-]|[A-Z]{3}"
    before, after = rf"(?P<before>{around})? ?", rf" ?(?P<after>{around})?"
    return re.compile(rf"(?P<sign>[+-]?){before}(?P<inner>[+-]?){number}{after}", re.ASCII)


def separated(pattern: re.Pattern[str], text: str) -> Number | None:
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


def hexadecimal(text: str) -> Number | None:
    match = _HEX.fullmatch(text)
    return int(match[1] + match[2], 16) if match else None


def percent(text: str) -> Number | None:
    match = _PERCENT.fullmatch(text)
    return Decimal(match[1]) if match else None


def ratio(text: str) -> Number | None:
    match = _PERCENT.fullmatch(text)
    return EXACT.multiply(Decimal(match[1]), Decimal("0.01")) if match else None


def boolean(text: str) -> Number | None:
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


def duration(text: str) -> Number | None:
    """Units (`1d22h`, `3 hours, 5 minutes`), ISO 8601 (`PT5M`) or a clock of three parts (`3 days, 04:05:00`), in
    seconds."""
    if text == "0":
        return 0
    if match := _ISO.fullmatch(text):
        return _iso(match)
    return clock_time(text, "") if ":" in text else _signed(text)


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
        total = EXACT.fma(number, length or Decimal(0), total)
    return total


def _iso(match: re.Match[str]) -> Decimal:
    numbers = [Decimal((number or "0").replace(",", ".")) for number in match.groups()[1:]]
    total = _sum(list(zip(numbers, _LENGTHS, strict=False)))
    return total.copy_negate() if match[1] == "-" and total else total


def clock_time(text: str, parts: str) -> Decimal | None:
    """`h:m:s`, `d:h:m:s`, and a time of two parts where `parts` says which, in seconds. Before it may stand weeks and
    days, with a sign of their own, as Python and PostgreSQL print them."""
    if match := _DAYS_AND_CLOCK.fullmatch(text):
        found = clock_time(f"{match[2]}d {match[3]}", parts)
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
    return EXACT.subtract(before, after) if sign == "-" else EXACT.add(before, after)


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
    return EXACT.add(seconds, Decimal(f"0.{fraction or 0}"))


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


def quantity(text: str, unit: str = "") -> Number | None:
    """A number with prefix and unit, in the unit without prefix. `unit` is the one that the values have."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, blank, suffix = match.groups()
    if not unit and (suffix == "g" or (suffix == "m" and blank)):  # 1500m is Kubernetes's
        raise Unreadable(_TWO_MEANINGS[suffix])
    return EXACT.multiply(Decimal(number), _factor(suffix or "", unit))


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
