"""What one key of the records holds, and how it becomes a number, a state, a label or a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from lambda_remote_write.config import value_texts
from lambda_remote_write.config.value_texts import Unreadable

from .names import holds_secret, snake, words
from .times import TimeFormat, format_of

HERE = "\0"
"""Where in an expression the record stands, so that the same one can be written for a record further in."""

_MAX_LABEL = 80  # characters of a value that is likely a label, not prose
_STATE_WORDS = words("state status health phase mode condition indicator availability severity lifecycle conclusion")
_PROSE_WORDS = words(
    "trace message msg error errors description reason text detail details comment url uri href link links self "
    "summary body output stacktrace notes note generated_at token cookie password secret cursor etag hash checksum"
)
_STATE_TEXTS = re.compile(
    r"ok|warn(ing)?|fail(ed|ure|ing)?|error|critical|crit|unknown|running|stopped|paused|pending|success(ful)?|healthy|"
    r"unhealthy|degraded|operational|online|offline|idle|active|inactive|ready|not ?ready|open|closed|green|yellow|red|"
    r"started|blue|aborted|not_?built|unstable|disabled|starting|stopping|terminated|completed|cancell?ed|queued|normal|fault|standby|maintenance|passing",
    re.IGNORECASE,
)
_IDENTIFIERS = words(
    "id uuid guid port platform channel slot index idx number no nr pid line zone address serial sn unit_id rank "
    "partition shard version revision build zip code sku lane track phase floor room"
)
PAGE_WORDS = words("page per_page page_size page_number current_page last_page")
_NAMES = words(
    "name id key index host hostname device uuid title label symbol slug arn mac ip ipaddr serial node server station "
    "queue instance pod container pool disk interface service project repo city area region country account sensor"
)
_PERCENT = re.compile(r"[+-]?[\d.]+ ?%")
_MEASURE = re.compile(r"[+-]?\d+(?:[.,]\d+)? ?[A-Za-z%°/]{1,8}")
_WORDS_FOR_PROGRAMS = ("_class", "kind", "apiVersion", "@type", "@odata.type", "icon")  # `10d` is a picture
_NO_DURATION = re.compile(r"0\d+[A-Za-z]|\d+[A-Z]")
_WORDY = re.compile(r"https?://|\S+\s+\S+\s+\S+\s+\S+\s+\S+|\n")
_HAS_NUMBER = re.compile(r"(?<![\w.])([+-]?\d+(?:\.\d+)?)(?![\w]*[.:/-]\d)")
_UNITS_OF_NAMES = (  # the endings of a key that say the unit themselves: factor and Prometheus's base unit
    (re.compile(r"(_ms|_millis|_milliseconds|_msec|_msecs)$"), "1e-3", "seconds"),
    (re.compile(r"(_us|_micros|_microseconds|_usec)$"), "1e-6", "seconds"),
    (re.compile(r"(_ns|_nanos|_nanoseconds|_nsec)$"), "1e-9", "seconds"),
)


class Kind(Enum):
    NUMBER = auto()
    STATE = auto()
    IDENTIFIER = auto()
    LABEL = auto()
    TIME = auto()
    PROSE = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """The keys of a metric that make numbers of a column, the ending of its name, and what to look at."""

    keys: tuple[tuple[str, str], ...] = ()
    ending: str = ""
    notes: tuple[str, ...] = ()
    unit: str = ""  # that the key or the texts say
    strips: str = ""  # the end of the name that `ending` stands for


@dataclass(slots=True)
class Column:
    """One expression over the records. `words` are the keys that lead to it; None stands for a record without it."""

    expression: str
    words: tuple[str, ...]
    values: list[Any] = field(repr=False)
    kind: Kind = Kind.PROSE
    reading: Reading = Reading()
    time: TimeFormat | None = None
    states: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.words[-1] if self.words else ""

    @property
    def given(self) -> list[Any]:
        return [value for value in self.values if value is not None]

    @property
    def names_record(self) -> bool:
        """Whether the key sounds as the name of the record."""
        plain = snake(self.key)
        return plain in _NAMES or plain.endswith(("_name", "_id", "_key", "_uuid"))

    @property
    def is_whole(self) -> bool:
        return all(isinstance(value, str | int) and not isinstance(value, bool) for value in self.given)

    def at(self, scope: str = "") -> str:
        return scoped(self.expression, scope)


def scoped(expression: str, scope: str) -> str:
    """The expression in a record (""), in the object around it (`^.`, `^.^.`), or in the document (`$.`)."""
    whole = scope.removesuffix(".") or "@"
    text = expression.replace(f"{HERE}[", f"{scope.removesuffix('.')}[").replace(f"{HERE}@", whole)
    return text.replace(HERE, scope)


def classified(column: Column, now_ms: int) -> Column:
    """The column with its kind. A column without a value is prose."""
    given = column.given
    column.kind = Kind.PROSE
    if not given or any(isinstance(value, list | dict) for value in given):
        return column
    column.time = format_of(column.key, column.values, now_ms)
    if column.key == "__name__":
        column.kind = Kind.LABEL
    elif column.time:
        column.kind = Kind.TIME
    elif all(isinstance(value, bool | int | float) for value in given):
        is_number = any(isinstance(value, bool | float) for value in given) or not _names_identifier(column.key)
        column.kind, column.reading = Kind.NUMBER if is_number else Kind.IDENTIFIER, _of_key(column.key)
    elif all(isinstance(value, str) for value in given):
        _classify_texts(column, [value.strip() for value in given])
    else:
        column.kind = Kind.NUMBER
        column.reading = _mixed([str(value) for value in given])
    return column


def _names_identifier(key: str) -> bool:
    plain = snake(key)
    return plain in _IDENTIFIERS | PAGE_WORDS or plain.endswith(
        ("_id", "_uuid", "_number", "_no", "_code", "_version", "_port")
    )


def _classify_texts(column: Column, texts: Sequence[str]) -> None:
    last_word = snake(column.key).rpartition("_")[2]
    is_state = last_word in _STATE_WORDS
    numbers = [text for text in texts if is_number(text)]
    booleans = [text for text in texts if value_texts.boolean(text) is not None and not is_number(text)]
    if holds_secret(column.key):
        column.kind = Kind.PROSE
    elif len(numbers) == len(texts):
        column.kind = Kind.IDENTIFIER if _names_identifier(column.key) else Kind.NUMBER
        column.reading = _of_key(column.key)
    elif len(booleans) == len(texts) and not _short(booleans):
        column.kind, column.reading = Kind.NUMBER, Reading((("value_format", "boolean"),))
    elif column.key in _WORDS_FOR_PROGRAMS:
        column.kind = Kind.PROSE
    elif (not _names_identifier(column.key) and (found := _uniform(texts))) or (
        (numbers or (booleans and is_state)) and not column.names_record and (found := _mixed(texts)).keys
    ):
        column.kind, column.reading = Kind.NUMBER, found
    elif is_state or all(_STATE_TEXTS.fullmatch(text) for text in texts):
        column.kind, column.states = Kind.STATE, tuple(filter(None, dict.fromkeys(texts)))
        if not column.states:
            column.kind = Kind.PROSE
        if len(column.states) > 12 or any(len(text) > 40 for text in texts):
            column.kind = Kind.LABEL if len(column.states) <= 12 else Kind.PROSE
    else:
        column.kind = Kind.PROSE if last_word in _PROSE_WORDS or _is_prose(column, texts) else Kind.LABEL


def _is_prose(column: Column, texts: Sequence[str]) -> bool:
    """Whether texts are sentences, measures without a format, names of units or nothing at all."""
    return (
        (all(map(_MEASURE.fullmatch, texts)) and not column.names_record)
        or any("unit" in snake(word).split("_") or "units" in snake(word).split("_") for word in column.words[:-1])
        or any(_WORDY.search(text) or len(text) > _MAX_LABEL for text in texts)
        or not any(texts)
    )


def _short(booleans: Sequence[str]) -> bool:
    """`t`, `f`, `y` and `n` alone are as likely codes of another kind."""
    return any(len(text) < 2 for text in booleans)


def is_number(text: str) -> bool:
    found = value_texts.plain_number(text)
    return found is not None and text.lower().lstrip("+-") not in ("nan", "inf", "infinity")


def _of_key(key: str) -> Reading:
    """A key may state the unit, as `uptimeMs` does."""
    plain = snake(key)
    for pattern, scale, unit in _UNITS_OF_NAMES:
        if found := pattern.search(plain):
            note = f"the key says {found[1].strip('_')}; without scale and the ending _{unit} the value stays as it is"
            return Reading((("scale", scale),), unit, (note,), unit, found[1])
    return Reading()


def _uniform(texts: Sequence[str]) -> Reading | None:
    """Texts that all have one format of `value_format`."""
    if all(_PERCENT.fullmatch(text) for text in texts):
        return Reading((("value_format", "percent"),), "percent", ("7% becomes 7; {percent: ratio} makes it 0.07",))
    if all(any(char.isdigit() for char in text) for text in texts):
        if _all(value_texts.duration, texts) and not any(map(_NO_DURATION.fullmatch, texts)):
            return Reading((("value_format", "duration"),), "seconds", ("durations become seconds",), "seconds")
        if _all(value_texts.quantity, texts):
            return _of_quantity(texts)
        if _all(_hexadecimal, texts):
            return Reading((("value_format", "hex"),))
        if found := _with_marks(texts):
            return found
    return None


def _of_quantity(texts: Sequence[str]) -> Reading:
    is_bytes = all(re.search(r"\d ?([kKMGTPE]i?)?B(ytes?)?$", text) for text in texts)
    note = f"{texts[0]} becomes {_plain(value_texts.quantity(texts[0]))}" + (
        "; GB is 10^9, GiB 2^30" if is_bytes else ""
    )
    return Reading((("value_format", "quantity"),), "bytes" if is_bytes else "", (note,), "bytes" if is_bytes else "")


def _plain(number: Any) -> str:
    return repr(float(number)).removesuffix(".0") if number is not None else ""


def _hexadecimal(text: str) -> Any:
    return value_texts.hexadecimal(text) if text.lower().lstrip("+-").startswith("0x") else None


def _with_marks(texts: Sequence[str]) -> Reading | None:
    """`1.234,56 €`; a text as `1,234` alone may be both, and stays a question."""
    both = [(".", ","), (",", "."), (",", " "), (".", "'"), (".", " ")]
    fitting = [
        (decimal, thousands)
        for decimal, thousands in both
        if all(
            value_texts.separated(value_texts.separated_pattern(decimal, thousands), text) is not None for text in texts
        )
    ]
    if not fitting:
        return None
    decimal, thousands = fitting[0]
    note = (
        f"{texts[0]} is read with {decimal!r} before the decimals and {thousands!r} between thousands: is that right?"
    )
    return Reading(
        (("value_format", f'{{number: {{decimal: "{decimal}", thousands: "{thousands}"}}}}'),), notes=(note,)
    )


def _all(read: Callable[[str], Any], texts: Sequence[str]) -> bool:
    try:
        return all(read(text) is not None for text in texts)
    except (Unreadable, ValueError, ArithmeticError):
        return False


def _mixed(texts: Sequence[str]) -> Reading:
    """Numbers beside switches, times and words, as Home Assistant's states."""
    formats, left = ["number"], [text for text in dict.fromkeys(texts) if not is_number(text)]
    for name, read in (("boolean", value_texts.boolean), ("percent", value_texts.percent), ("rfc3339", _rfc3339)):
        taken = [text for text in left if _all(read, [text])]
        if taken:
            formats.append(name)
            left = [text for text in left if text not in taken]
    if len(left) > 8 or len(left) * 2 > len(set(texts)) + 1:
        return Reading()
    keys = [("value_format", f"[{', '.join(formats)}]")] if formats != ["number"] else [("value_format", "number")]
    notes = []
    if left:
        shown = ", ".join(repr(text[:40]) for text in left[:4])
        notes.append(f"no number: {shown}. value_map gives such a text a number, or null for no value")
        keys.insert(0, ("value_map", "{" + ", ".join(f"{_json(text)}: null" for text in left) + "}"))
    return Reading(tuple(keys), notes=tuple(notes))


def _rfc3339(text: str) -> Any:
    with suppress(ValueError):
        from lambda_remote_write.config.timestamp import parse_format

        return parse_format("rfc3339").milliseconds(text)
    return None


def _json(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def number_in(text: str) -> str:
    """A regular expression that finds the only number of a sentence, with the words around it; "" when there is none,
    or more than one."""
    found = list(_HAS_NUMBER.finditer(text))
    if len(found) != 1:
        return ""
    before = re.search(r"(\S+\s*)$", text[: found[0].start()])
    after = re.match(r"\s*[^\s\d]+", text[found[0].end() :])
    lead = re.escape(before[1]).replace(r"\ ", " ") if before else ""
    tail = re.escape(after[0]).replace(r"\ ", " ") if after and not lead else ""
    return f"{lead}([+-]?[0-9.]+){tail}"
