"""Texts in the formats of `value_format` -> numbers: what devices and services print, and what other programs write."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambda_remote_write.config import value_format
from lambda_remote_write.config.value_format import Unreadable, ValueFormat
from lambda_remote_write.config.yaml_reader import Diagnostics, Section, compose
from tests.rig.tables import table

COMMA = "{number: {decimal: ',', thousands: .}}"
POINT = "{number: {thousands: ','}}"
BLANK = "{number: {decimal: ',', thousands: ' '}}"
APOSTROPHE = '{number: {thousands: "\'"}}'


def formats(written: str) -> ValueFormat:
    """What the config says as `value_format`."""
    found = value_format.read(Section(compose(f"value_format: {written}", "f"), "", Diagnostics("f")))  # type: ignore[arg-type]
    assert found is not None
    return found


def value(written: str, text: str) -> Fraction:
    return Fraction(str(formats(written).number(text)))


DAY, HOUR, MINUTE = 86_400, 3_600, 60
READ: list[tuple[str, str, str]] = [  # (format, text, number)
    # Prometheus, Go, systemd, MikroTik
    ("duration", "1d22h", f"{46 * HOUR}"),
    ("duration", "1h2m3.5s", "3723.5"),
    ("duration", "1.5h", "5400"),
    ("duration", "-1m30s", "-90"),
    ("duration", "12ms", "0.012"),
    ("duration", "250 µs", "0.00025"),
    ("duration", "250\u03bcs", "0.00025"),
    ("duration", "5us", "0.000005"),
    ("duration", "17ns", "0.000000017"),
    ("duration", "1h 30min", "5400"),
    ("duration", "2w 3d 4h", f"{17 * DAY + 4 * HOUR}"),
    ("duration", "1w2d03h04m05s", "788645"),
    ("duration", "1w2d03:04:05", "788645"),
    # words
    ("duration", "95 min", "5700"),
    ("duration", "2 weeks 3 days", f"{17 * DAY}"),
    ("duration", "1 week, 2 days, 3 hours, 4 minutes", "788640"),
    ("duration", "3 hours, and 5 minutes", "11100"),
    ("duration", "1 Hour and 5 Minutes", "3900"),
    ("duration", "5D 3H 20M", f"{5 * DAY + 3 * HOUR + 20 * MINUTE}"),
    ("duration", "0 years, 3 days", f"{3 * DAY}"),
    ("duration", "12\u00a0seconds", "12"),
    ("duration", "0", "0"),
    # clocks: Python, PostgreSQL, .NET, ps, SNMP
    ("duration", "312:05:09", "1123509"),
    ("duration", "00:00:12.345", "12.345"),
    ("duration", "00:00:12,345", "12.345"),
    ("duration", "-01:00:00", "-3600"),
    ("duration", "3 days, 04:05:00", "273900"),
    ("duration", "3 days 04:05:00", "273900"),
    ("duration", "-1 day, 23:59:00", "-60"),
    ("duration", "-1 days +02:03:00", f"{-DAY + 7380}"),
    ("duration", "-1 days -02:03:00", f"{-DAY - 7380}"),
    ("duration", "1.02:03:04", "93784"),
    ("duration", "-1.02:03:04.5000000", "-93784.5"),
    ("duration", "1-02:03:04", "93784"),
    ("duration", "12T05:23:45", "1056225"),
    ("duration", "0T00:05:23", "323"),
    ("duration", f"-1.02:03:04.{'1' * 40}", f"-93784.{'1' * 40}"),
    ("duration", "5:03:20:10.00", "444010"),
    # ISO 8601, as XML, Java and others write it
    ("duration", "PT5M", "300"),
    ("duration", "P3DT4H5M6.5S", "273906.5"),
    ("duration", "PT1,5S", "1.5"),
    ("duration", "P2W", f"{14 * DAY}"),
    ("duration", "-PT30S", "-30"),
    ("duration", "PT-1H-30M", "-5400"),
    ("duration", "P0Y0M1DT0H", f"{DAY}"),
    ("duration", "pt36h", f"{36 * HOUR}"),
    # times of two parts
    ("{clock: h:m}", "1:02", "3720"),
    ("{clock: h:m}", "312:59", "1126740"),
    ("{clock: h:m}", "1 day, 2:03", "93780"),
    ("{clock: h:m}", "1:02:03", "3723"),
    ("{clock: m:s}", "90:02.5", "5402.5"),
    ("{clock: m:s}", "1:00:02", "3602"),
    # Kubernetes
    ("quantity", "128974848", "128974848"),
    ("quantity", "129e6", "129000000"),
    ("quantity", "129M", "129000000"),
    ("quantity", "123Mi", "128974848"),
    ("quantity", "1500m", "1.5"),
    ("quantity", "100n", "0.0000001"),
    ("quantity", "250u", "0.00025"),
    ("quantity", "1E", "1" + "0" * 18),
    ("quantity", "1E3", "1000"),
    ("quantity", "0.5", "0.5"),
    ("quantity", "-2Ki", "-2048"),
    # with units
    ("quantity", "32 GB", "32000000000"),
    ("quantity", "32\u202fGB", "32000000000"),
    ("quantity", "1.5 GiB", "1610612736"),
    ("quantity", "512 kB", "512000"),
    ("quantity", "512 KB", "512000"),
    ("quantity", "512 KiB", "524288"),
    ("quantity", "300 K", "300000"),
    ("quantity", "3 Bytes", "3"),
    ("quantity", "10 Mbps", "10000000"),
    ("quantity", "10 Mbit/s", "10000000"),
    ("quantity", "7 MB/s", "7000000"),
    ("quantity", "5 kW", "5000"),
    ("quantity", "1.2 MWh", "1200000"),
    ("quantity", "230 V", "230"),
    ("quantity", "2.07 KH", "2070"),
    ("quantity", "12.5 MH", "12500000"),
    ("quantity", "95.5 TH/s", "95500000000000"),
    ("quantity", "1013 hPa", "101300"),
    ("quantity", "5 Pa", "5"),
    ("quantity", "5 km", "5000"),
    ("quantity", "12 cm", "0.12"),
    ("quantity", "-67 dBm", "-67"),
    ("quantity", "21.5 °C", "21.5"),
    ("quantity", "12 µg/m³", "0.000012"),
    ("quantity", "1.2 EH/s", "1200000000000000000"),
    ("quantity", "3 PB", "3000000000000000"),
    ("{quantity: S}", "3 PS", "3000000000000000"),
    ("{quantity: H}", "2.07 KH", "2070"),
    ("{quantity: H}", "12.5 M", "12500000"),
    ("{quantity: H}", "7 H", "7"),
    ("{quantity: H}", "7", "7"),
    ("{quantity: m}", "5 m", "5"),
    ("{quantity: m}", "5 mm", "0.005"),
    ("{quantity: m}", "5 k", "5000"),
    ("{quantity: req/s}", "1.5 kreq/s", "1500"),
    ("{quantity: users}", "12 users", "12"),
    ("{quantity: min}", "12 min", "12"),
    # hex
    ("hex", "0x1F", "31"),
    ("hex", "1f", "31"),
    ("hex", "-0x1", "-1"),
    ("hex", "0X00ff", "255"),
    ("hex", "20000000000001", f"{2**53 + 1}"),
    # percent
    ("percent", "7%", "7"),
    ("percent", "7 %", "7"),
    ("percent", "63.5", "63.5"),
    ("percent", "-0.5 %", "-0.5"),
    ("{percent: ratio}", "0.1%", "0.001"),
    ("{percent: ratio}", "63.5", "0.635"),
    # marks
    (POINT, "1,234,567", "1234567"),
    (POINT, "1,234.50", "1234.5"),
    (POINT, "1234.5", "1234.5"),
    (POINT, "$1,234.50", "1234.5"),
    (POINT, "-$5", "-5"),
    (POINT, "US$ 5.25", "5.25"),
    (POINT, "1,234 USD", "1234"),
    (COMMA, "63,25", "63.25"),
    (COMMA, "1.234,56 €", "1234.56"),
    (COMMA, "1.234,56\u00a0€", "1234.56"),
    (COMMA, "\u221212,5", "-12.5"),
    (COMMA, "1.234", "1234"),
    (BLANK, "1 234,5", "1234.5"),
    (BLANK, "1\u202f234\u202f567,5", "1234567.5"),
    (APOSTROPHE, "1'234.5", "1234.5"),
    (APOSTROPHE, "CHF 1\u2019234.50", "1234.5"),
    ("{number: {decimal: ','}}", "1234,5", "1234.5"),
    # times
    ("unix", "1716479897", "1716479897"),
    ("unix_ms", "1716479897123", "1716479897.123"),
    ("unix_ns", "1716479897123456789", "1716479897.123456789"),
    ("rfc3339", "2024-05-23T15:58:17.25Z", "1716479897.25"),
    ("{format: rfc3339, timezone: Asia/Seoul}", "2024-05-24T00:58:17", "1716479897"),
    ("'%Y-%b-%d %H:%M:%S'", "2024-May-23 15:58:17", "1716479897"),
    ("{format: '%d.%m.%Y %H:%M', timezone: Europe/Berlin}", "23.05.2024 17:58", "1716479880"),
    ("/Date(ms)/", "/Date(1716479897123)/", "1716479897.123"),
    ("/Date(ms)/", "/Date(1716479897123+0200)/", "1716479897.123"),
    # the first of a list that reads the text
    ("[number, duration, percent]", "7", "7"),
    ("[number, duration, percent]", "7 s", "7"),
    ("[number, duration, percent]", "7 %", "7"),
    ("[hex, number]", "10", "16"),
    ("[number, hex]", "10", "10"),
    ("[number, {format: rfc3339}, boolean]", "on", "1"),
]


@pytest.mark.parametrize(("written", "text", "number"), READ, ids=[f"{name} {text}" for name, text, _ in READ])
def test_read(written: str, text: str, number: str) -> None:
    """Exactly, and so with blanks around it, but in a format of strptime."""
    assert value(written, text) == Fraction(number)
    assert "%" in written or value(written, f" {text}\t") == Fraction(number)


TRUE = ["true", "True", "YES", "y", "on", "enabled", "up", "t", "1"]
FALSE = ["false", "No", "n", "OFF", "Disabled", "down", "f", "0"]


@pytest.mark.parametrize(("text", "number"), [*((one, 1) for one in TRUE), *((one, 0) for one in FALSE)])
def test_boolean(text: str, number: int) -> None:
    assert formats("boolean").number(text) == number


REFUSED: list[tuple[str, str, str]] = [  # (format, text, words of the message)
    *(
        ("duration", text, "cannot be read as duration")
        for text in ("", "5", "h", "1e9h", "up 3 days", "Up 3 hours", "a")
    ),
    *(
        ("duration", text, "no fixed length")
        for text in ("1y", "1 year, 2 weeks", "P1Y", "P1M", "1 mon 2 days", "1y 00:00:01")
    ),
    ("duration", "1 day, 2:03", "{clock: h:m} or {clock: m:s}"),
    ("duration", "2:03", "{clock: h:m} or {clock: m:s}"),
    ("duration", "5M", "minutes or months"),
    ("duration", "0Y 5M", "minutes or months"),
    *(("duration", text, "from large to small, each once") for text in ("3s 5m", "5m 5m", "1ms1s")),
    *(
        ("duration", text, "")
        for text in ("12:60:00", "12:00:60", "1 day, 24:00:00", "1.24:00:00", "1:2:3:4:5", "1::2")
    ),
    *(
        ("duration", text, "")
        for text in ("P", "PT", "P1DT", "P5", "PT5", "P1H", "3 days,", ",04:05:00", "1h-30m", "1h,,5m")
    ),
    *(("duration", text, "") for text in ("٣h", "1 h 2", "3 Stunden", "1,5h", "2024-05-23T15:58:17Z")),
    ("{clock: h:m}", "1:60", ""),
    ("{clock: h:m}", "1:02.5", ""),
    ("{clock: h:m}", "5h", ""),
    ("{clock: m:s}", "1 day, 2:03", ""),
    ("quantity", "5 m", "{quantity: m} says metres"),
    ("quantity", "5g", "{quantity: g} says grams"),
    *(("quantity", text, "{quantity: …}") for text in ("12 users", "5 min", "10gb", "5mb", "3 EUR", "1 ki B")),
    *(
        ("quantity", text, "")
        for text in ("", "GB", "1,5 GB", "1.2.3", "1e", "0x10", "5 %", "5 GB free", "1e99999", "1e5e5", "٣ GB")
    ),
    ("{quantity: H}", "5 B", "B is not H"),
    ("{quantity: B}", "5 mB", "mB is not B"),
    ("{quantity: W}", "5 dW", "dW is not W"),
    *(("quantity", text, "{quantity: …}") for text in ("5 cV", "150 PS", "12 EA", "3 PV")),
    *(("hex", text, "") for text in ("", "0x", "g", "1.5", "--1", "0x 1", "1_0", "٣")),
    *(("percent", text, "") for text in ("", "%", "7,5 %", "7%%", "seven", "7 percent")),
    *(("boolean", text, "") for text in ("", "2", "maybe", "unavailable")),
    *(
        (POINT, text, "")
        for text in ("", "-", "$", "1,23,4", "1,23,456", "12,34", ",123", "0,123", "1,234,", "1.2.3", "1 234")
    ),
    *((POINT, text, "") for text in ("$5$", "5 GIB", "5 GB", "5%", "--5", "-$-5", "1e5", "٣")),
    *((COMMA, text, "") for text in ("1,234.5", "1.23", "1,2,3", "1.234.56")),
    ("unix", "now", "is not a number"),
    ("unix", "1716479897000", "is the unit right"),
    ("rfc3339", "2024-05-23T15:58:17", "it names no offset; set timezone"),
    ("/Date(ms)/", "1716479897123", "/Date(1700000000000)/"),
    ("[number, duration]", "n/a", "'n/a' cannot be read as number or duration"),
]


def test_a_reason_that_several_formats_share_is_said_once() -> None:
    with pytest.raises(Unreadable) as raised:
        formats("[duration, quantity, hex]").number("x" * 210)
    assert str(raised.value).endswith("cannot be read as duration or quantity or hex: it has more than 200 characters")


@pytest.mark.parametrize(("written", "text", "words"), REFUSED, ids=[f"{name} {text}" for name, text, _ in REFUSED])
def test_refused(written: str, text: str, words: str) -> None:
    """A text that is not of the format, or has two meanings, is an error that shows it and the formats."""
    with pytest.raises(Unreadable) as raised:
        formats(written).number(text)
    assert f"{text!r} cannot be read as " in str(raised.value)
    assert words in str(raised.value)


EVERY = f"[duration, quantity, '%Y-%m-%d', hex, percent, boolean, {COMMA}, {{clock: h:m}}, rfc3339, unix, /Date(ms)/]"
HOSTILE = [
    *(one * 1_000_000 for one in ("1", "a", " ", "1:", "1d", "P", "-", "1,", "١", "%", "1 ", "\u00a0")),
    *("1e999999999 B", "1e+999999999", "1d " * 66, "\ud800", "\0", f"/Date({'9' * 180})/"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:10]!r} {len(text)}")
def test_a_hostile_text_is_refused(text: str) -> None:
    """In a short message, and not as another error."""
    with pytest.raises(Unreadable) as raised:
        formats(EVERY).number(text)
    assert len(str(raised.value)) < 1_500


LONG = [
    ("hours", "duration", "9" * 199 + "h", int("9" * 199) * HOUR),
    ("a clock", "duration", "9" * 190 + ":00:00", int("9" * 190) * HOUR),
    ("hex", "hex", "f" * 200, 16**200 - 1),
    ("an exponent", "quantity", "1e9999 Ei", 2**60 * 10**9999),
    ("hardly any time", "unix", "1e-999999999", 0),
]


@table("written, text, number", LONG)
def test_a_long_number_is_a_number(written: str, text: str, number: int) -> None:
    found = formats(written).number(text)
    assert Decimal(found) == number or (number == 0 and float(found) == 0)


PIECES = st.sampled_from([*"0123456789.,:+-eEPTdhmsKMGiB% /'()$€", "\u00a0", "ms", "day", "12"])


@given(st.lists(PIECES, max_size=20).map("".join), st.sampled_from(["duration", "quantity", EVERY]))
def test_any_text_is_a_number_or_an_error(text: str, written: str) -> None:
    with suppress(Unreadable):
        float(formats(written).number(text))


NUMBERS = [
    ("whatever the format", "[duration, quantity, hex, boolean]", 12.5, "12.5"),
    ("in another format of time", "rfc3339", 1716479897, "1716479897"),
    ("percent stays as it is", "{percent: ratio}", 63.5, "63.5"),
    ("seconds", "unix", 1716479897.25, "1716479897.25"),
    ("milliseconds", "unix_ms", 1716479897123, "1716479897.123"),
    ("milliseconds with a fraction", "unix_ms", 1716479897123.5, "1716479897.1235"),
    ("nanoseconds to the last digit", "unix_ns", 1716479897123456789, "1716479897.123456789"),
    ("behind a format of texts", "[rfc3339, unix_ms]", 5000, "5"),
    ("number comes first", "[number, unix_ms]", 5000, "5000"),
    ("the second unit", "[unix, unix_ms]", 1716479897123, "1716479897.123"),
]


@table("written, value, number", NUMBERS)
def test_a_number_of_json(written: str, value: float, number: str) -> None:
    """It is itself, but under unix formats."""
    assert Fraction(str(formats(written).number(value))) == Fraction(number)


def test_a_number_that_is_no_time() -> None:
    with pytest.raises(Unreadable, match="is the unit right"):
        formats("[rfc3339, unix_ms]").number(10**30)


# --- What other programs write ----------------------------------------------------------------------------------------

SPANS = st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000))


def exactly(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), 1_000_000)


@given(SPANS)
@example(timedelta(seconds=-60))
def test_a_timedelta_as_python_prints_it(span: timedelta) -> None:
    assert value("duration", str(span)) == exactly(span)


IN_PARTS = [
    "{d}d{h}h{m}m{s}s", "{d} days, {h} hours, {m} minutes and {s} seconds", "P{d}DT{h}H{m}M{s}S", "{d}:{h}:{m}:{s}",
    "{d}.{h:02}:{m:02}:{s}", "{d}-{h:02}:{m:02}:{s}", "{d} days {h:02}:{m:02}:{s}",
]  # fmt: skip


@given(SPANS.map(abs), st.sampled_from(IN_PARTS))
def test_a_duration_in_parts(span: timedelta, written: str) -> None:
    """In every spelling, its fraction at the seconds; a sign holds for all of it, but for days in front of a clock."""
    hours, rest = divmod(span.seconds, HOUR)
    seconds = f"{rest % MINUTE:02}.{span.microseconds:06}"
    text = written.format(d=span.days, h=hours, m=rest // MINUTE, s=seconds)
    assert value("duration", text) == exactly(span)
    assert " days {h:02}:" in written or value("duration", f"-{text}") == -exactly(span)


DECIMALS = st.decimals(-(10**12), 10**12, places=3)


@given(DECIMALS, st.sampled_from([POINT, COMMA, BLANK, APOSTROPHE]))
def test_a_number_with_marks(number: Decimal, written: str) -> None:
    """As Python groups it, with the marks exchanged."""
    decimal, thousands = {POINT: ".,", COMMA: ",.", BLANK: ", ", APOSTROPHE: ".'"}[written]
    text = f"{number:,}".translate(str.maketrans({".": decimal, ",": thousands}))
    assert value(written, text) == Fraction(number)
    assert value(written, text.replace(thousands, "")) == Fraction(number)


@given(st.integers())
def test_a_number_in_hex(number: int) -> None:
    assert formats("hex").number(hex(number)) == number
    assert formats("hex").number(f"{number:X}") == number


@given(DECIMALS)
def test_a_percentage(number: Decimal) -> None:
    assert value("percent", f"{number} %") == Fraction(number)
    assert value("{percent: ratio}", f"{number}%") == Fraction(number) / 100


SI = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@given(
    DECIMALS,
    st.sampled_from(list(SI)),
    st.sampled_from(["", "i"]),
    st.sampled_from(["B", "b", "bps", "B/s", "W", "Hz", "H"]),
)
def test_a_quantity(number: Decimal, prefix: str, binary: str, unit: str) -> None:
    """SI prefixes are powers of 1000, those with an i powers of 1024; named or not, the unit changes nothing."""
    factor = 1024 ** (SI[prefix] // 3) if binary else 10 ** SI[prefix]
    suffix = f"{prefix}{binary if prefix else ''}{unit}"
    expected = Fraction(number) * (factor if prefix else 1)
    for text in (f"{number} {suffix}", f"{number}{suffix}"):
        assert value("quantity", text) == value(f"{{quantity: {unit}}}", text) == expected


MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(lambda one: one.replace(tzinfo=UTC))


@given(MOMENTS)
def test_a_time(moment: datetime) -> None:
    """To the microsecond."""
    expected = Fraction((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), 1_000_000)
    assert value("rfc3339", moment.isoformat()) == expected
    assert value("'%Y-%m-%d %H:%M:%S.%f'", f"{moment:%Y-%m-%d %H:%M:%S.%f}") == expected
    assert value("unix_us", str(int(expected * 1_000_000))) == expected
    assert value("/Date(ms)/", f"/Date({int(expected * 1000)}-0700)/") == Fraction(int(expected * 1000), 1000)


# --- Columns ----------------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.sampled_from(["1h", "2 GB", "7", "n/a", ""]),
    st.integers(-5, 2**70),
    st.floats(allow_nan=False),
    st.none(),
    st.booleans(),
)


@given(
    st.lists(CELLS, max_size=4), st.sampled_from(["duration", "[number, quantity, duration]", "[unix_ms, duration]"])
)
def test_a_column_is_each_value(values: list[Any], written: str) -> None:
    """A column that is read at once is what its values are one by one; any other is left to be read so."""
    found = formats(written)
    with suppress(TypeError):
        assert found.column(values) == [found.number(one) for one in values]


def test_columns_that_are_read_at_once() -> None:
    assert formats("duration").column(["1h", "1m", "1h"]) == [3600, 60, 3600]
    assert formats("duration").column([1, 2.5]) == [1, 2.5]


@pytest.mark.parametrize("values", [["1h", None], ["1h", 5], ["1h", "x"], [True], [[]], [{}]], ids=str)
def test_columns_that_need_a_look_at_each_value(values: list[Any]) -> None:
    with pytest.raises(TypeError):
        formats("duration").column(values)
