"""`value_format` of a metric: texts such as `1d22h`, `32 GB` or `1.234,56 €` -> numbers.

Numbers stay whole or decimal, so that `scale` and `offset` apply exactly and a value is rounded once. Units are stated,
never guessed: what has two meanings is refused, with the format that says which is meant. Only a config that has the
key imports this module.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import yaml

from . import timestamp, value_texts
from .timestamp import EPOCH, UNIX_FORMATS, BadTimestamp, Format
from .value_texts import Number, Unreadable
from .yaml_reader import Section

KEY = "value_format"
Reader = Callable[[Any], Number | None]
"""Reads a text, or a number in a unit of time; None when it does not have the format. Raises Unreadable or BadTimestamp
with the reason."""

_MAX_CHARACTERS = 200  # no value is longer; bounds what a hostile text costs
_SPELLINGS = str.maketrans(  # of blanks, minus, apostrophe, micro and ohm
    {**dict.fromkeys("\t\u00a0\u2007\u2009\u202f", " "), "\u2212": "-", "\u2019": "'", "\u03bc": "µ", "\u2126": "Ω"}
)


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
    return OneFormat(f"{{clock: {parts}}}", functools.partial(value_texts.clock_time, parts=parts)) if parts else None


def _percent_option(block: Section) -> OneFormat | None:
    return OneFormat("{percent: ratio}", value_texts.ratio) if block.choice("percent", ("ratio",), "") else None


def _quantity_option(block: Section) -> OneFormat | None:
    unit = block.read("quantity", _unit_name)
    return OneFormat(f"{{quantity: {unit}}}", functools.partial(value_texts.quantity, unit=unit)) if unit else None


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
    pattern = value_texts.separated_pattern(decimal, thousands)
    return OneFormat(f"{{number: {{{marks}}}}}", functools.partial(value_texts.separated, pattern))


_DECIMAL_MARKS = {".": "a point", ",": "a comma"}
_THOUSANDS_MARKS = {**_DECIMAL_MARKS, "'": "an apostrophe", " ": "a blank", "_": "an underscore"}


def _mark(allowed: dict[str, str], text: str) -> str:
    plain = text.translate(_SPELLINGS)
    if plain not in allowed:
        raise ValueError(f"allowed are {', '.join(f'{mark!r} ({name})' for mark, name in allowed.items())}")
    return plain


# --- timestamps -------------------------------------------------------------------------------------------------------

_PLACES = {"unix": 0, "unix_ms": 3, "unix_us": 6, "unix_ns": 9}


def _seconds(stamp: Format, value: Any) -> Number:
    """A time as unix seconds: of numbers to the last digit, of texts to the microsecond. Raises BadTimestamp."""
    if stamp.name in _PLACES:
        stamp.milliseconds(value)  # raises for what is no time
        text = repr(float(value)) if isinstance(value, float) else str(value).strip()
        return value_texts.EXACT.scaleb(Decimal(text), -_PLACES[stamp.name])
    if stamp.name == timestamp.DATE_MS:
        return value_texts.EXACT.scaleb(Decimal(stamp.milliseconds(value)), -3)
    return value_texts.EXACT.scaleb(Decimal((stamp.moment(value) - EPOCH) // timedelta(microseconds=1)), -6)


_PLAIN: dict[str, Reader] = {
    "number": value_texts.plain_number,
    "duration": value_texts.duration,
    "quantity": value_texts.quantity,
    "hex": value_texts.hexadecimal,
    "percent": value_texts.percent,
    "boolean": value_texts.boolean,
}
_WITH_OPTION: dict[str, Callable[[Section], OneFormat | None]] = {
    "number": _number_option, "clock": _clock_option, "percent": _percent_option, "quantity": _quantity_option,
}  # fmt: skip
_OPTIONS = "{number: {decimal: …, thousands: …}}, {clock: h:m}, {clock: m:s}, {percent: ratio}, {quantity: UNIT}"


def that_reads(text: str) -> str:
    """The name of a format that reads a text, for messages; "" when none without an option does."""
    for name in ("duration", "percent", "quantity", "rfc3339", "boolean"):
        with suppress(Unreadable, BadTimestamp):
            if _named(name).of_text(text) is not None:
                return name
    return ""
