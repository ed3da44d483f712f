"""Timestamps of an API in every stated format, and the values that the format does not read."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.timestamp import BadTimestamp, Format, any_of, parse_format

T = 1_716_479_897  # 2024-05-23T15:58:17Z
MS = T * 1_000
SEOUL, BERLIN = "Asia/Seoul", "Europe/Berlin"
DATE_MS = "/Date(ms)/"
STRPTIME = "%d/%m/%Y %H:%M:%S"
UNITS = {"unix": 1, "unix_ms": 1_000, "unix_us": 1_000_000, "unix_ns": 1_000_000_000}

READ: list[tuple[str, str, Any, int]] = [  # (format, timezone, the API's value, milliseconds)
    # whole numbers
    ("unix", "", 0, 0),
    ("unix", SEOUL, T, MS),
    ("unix", "", 253_402_300_799, 253_402_300_799_000),
    # fractions
    ("unix", "", T + 0.5, MS + 500),
    ("unix", "", 1_716_479_897.001, MS + 1),
    ("unix_ms", "", float(MS), MS),
    ("unix_ms", "", MS + 0.75, MS),
    ("unix_ns", "", MS * 1e6, MS),
    ("unix", "", -0.5, -500),
    ("unix", "", -0.0, 0),
    # numbers as text
    ("unix", "", f"{T}.5", MS + 500),
    ("unix", "", "1.716479897e9", MS),
    # RFC 3339
    ("rfc3339", "", "2024-05-23T15:58:17Z", MS),
    ("rfc3339", "", "2024-05-23t15:58:17z", MS),
    ("rfc3339", "", "2024-05-23 15:58:17Z", MS),
    ("rfc3339", "", "2024-05-23T15:58:17-00:00", MS),
    ("rfc3339", "", "2024-05-23T15:58:17.123999999Z", MS + 123),
    ("rfc3339", "", "2016-12-31T23:59:60Z", 1_483_228_800_000),
    ("rfc3339", "", "2016-12-31T23:59:60.5Z", 1_483_228_800_500),
    ("rfc3339", "", "2017-01-01T08:59:60+09:00", 1_483_228_800_000),
    ("rfc3339", "", "1969-12-31T23:59:59.999Z", -1),
    ("rfc3339", "", "0001-01-01T00:00:00Z", -62_135_596_800_000),
    ("rfc3339", SEOUL, "2024-05-24T00:58:17", MS),
    ("rfc3339", SEOUL, "2024-05-23T17:58:17+02:00", MS),
    # Berlin went to summer time on 2024-03-31 at 02:00 and back on 2024-10-27 at 03:00
    ("rfc3339", BERLIN, "2024-10-27T03:00:00", 1_729_994_400_000),
    # strptime
    (STRPTIME, BERLIN, "31/03/2024 03:00:00", 1_711_846_800_000),
    (STRPTIME, BERLIN, "27/10/2024 03:00:00", 1_729_994_400_000),
    ("%Y-%m-%d %I:%M:%S %p", "", "2024-05-23 03:58:17 PM", MS),
    ("%Y-%m-%d %I:%M:%S %p", "", "2024-05-23 12:00:00 AM", 1_716_422_400_000),
    ("%Y-%m-%d %I:%M:%S %p", "", "2024-05-23 12:00:00 PM", 1_716_465_600_000),
    ("%Y-%m-%d %I:%M:%S %p", SEOUL, "2024-05-24 12:58:17 AM", MS),
    ("%Y-%m-%dT%H:%M:%S.%f%z", "", "2024-05-24T00:58:17.250000+0900", MS + 250),
    ("%Y%m%d", "", "20240523", 1_716_422_400_000),
    ("at %Y-%m-%d", "", "at 2024-05-23", 1_716_422_400_000),
    # .NET: the offset is for display, the instant is in UTC
    (DATE_MS, "", f"/Date({MS})/", MS),
    (DATE_MS, BERLIN, f"/Date({MS}+0200)/", MS),
    (DATE_MS, "", f" /Date({MS}-0930)/ ", MS),
    (DATE_MS, "", "/Date(-62135596800000)/", -62_135_596_800_000),
]


@pytest.mark.parametrize(
    ("name", "zone", "value", "milliseconds"), READ, ids=[f"{name} {zone} {value!r}" for name, zone, value, _ in READ]
)
def test_read(name: str, zone: str, value: Any, milliseconds: int) -> None:
    """A value in the stated format is milliseconds since the epoch; what is finer is cut off."""
    assert parse_format(name, zone).milliseconds(value) == milliseconds


BAD: list[tuple[str, Any]] = [
    *(("unix", value) for value in (None, True, False, [], {}, [T], "", " ", "now", "1_000", "0x1f", "--1", "1.2.3")),
    *(("unix", value) for value in (math.nan, math.inf, -math.inf, "NaN", "Inf", "1e999", 1e308, 10**30, -(10**30))),
    ("unix", MS),
    ("unix", "2024-05-23T15:58:17Z"),
    ("unix_ns", 10**40),
    ("unix", 10**400),
    ("unix", "9" * 5_000),
    *(("rfc3339", value) for value in (None, T, float(T), True, [], "", "now", str(T), "2024-05-23", "15:58:17Z")),
    ("rfc3339", "2024-05-23T15:58:17"),
    ("rfc3339", "2024-05-23T15:58:17.Z"),
    ("rfc3339", "2024-05-23T15:58:17,5Z"),
    ("rfc3339", "2024-05-23T15:58:17+0900"),
    ("rfc3339", "2024-05-23T15:58:17 +09:00"),
    ("rfc3339", "2024-05-23T15:58:17+09:60"),
    ("rfc3339", "2024-05-23T15:58:17+24:00"),
    ("rfc3339", "2024-05-23T15:58:61Z"),
    ("rfc3339", "2023-02-29T00:00:00Z"),
    ("rfc3339", "0000-01-01T00:00:00Z"),
    ("rfc3339", "２０２４-05-23T15:58:17Z"),
    ("rfc3339", "2024-05-23T15:58:17Z\nx"),
    *((STRPTIME, value) for value in (None, T, "", "2024-05-23", "23/05/2024 15:58", "31/02/2024 00:00:00", "x")),
    (STRPTIME, "23/05/2024 15:58:17 x"),
    ("%Y-%m-%d %I:%M %p", "2024-05-23 13:00 PM"),
    ("unix", "١٧١٦٤٧٩٨٩٧"),
    (STRPTIME, "23/05/٢٠٢٤ 15:58:17"),
    *(
        (DATE_MS, value)
        for value in (None, MS, str(MS), "/Date()/", "Date(1)", "/Date(1.5)/", "/Date(1+2)/", "/Date(١)/")
    ),
    (DATE_MS, f"/Date({'9' * 20})/"),
    (DATE_MS, f"/Date({'9' * 5_000})/"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda part: f"{part!r:.40}")
def test_bad(name: str, value: Any) -> None:
    """What the format does not read is a BadTimestamp with a short message, never another error."""
    with pytest.raises(BadTimestamp) as raised:
        parse_format(name).milliseconds(value)
    assert 0 < len(str(raised.value)) < 250


TOLD = [("unix", MS, "is the unit right"), ("unix_ms", None, "is not a number; the format is unix_ms")]


@pytest.mark.parametrize(("name", "value", "message"), TOLD, ids=["beyond the year 9999", "no number"])
def test_the_message_of_a_value(name: str, value: Any, message: str) -> None:
    with pytest.raises(BadTimestamp, match=message):
        parse_format(name).milliseconds(value)


def test_no_offset_and_no_timezone() -> None:
    """A time without an offset is not guessed: the message names the key to set."""
    with pytest.raises(BadTimestamp, match="set timezone"):
        parse_format("rfc3339").milliseconds("2024-05-23T15:58:17")


def test_edge_of_time() -> None:
    """The last leap second of the calendar is bad, not a crash; the first hours of the calendar are a time."""
    with pytest.raises(BadTimestamp, match="beyond the year 9999"):
        parse_format("rfc3339").milliseconds("9999-12-31T23:59:60Z")
    assert parse_format("rfc3339").milliseconds("0001-01-01T00:00:00+14:00") == -62_135_596_800_000 - 14 * 3_600_000
    assert parse_format(STRPTIME, SEOUL).milliseconds("01/01/0001 00:00:00") < -62_135_596_800_000


# --- The config's format and timezone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*UNITS, "rfc3339", DATE_MS, STRPTIME, "%y-%j", "%G-W%V-%u", "%c"])
def test_format(name: str) -> None:
    """The five names and strptime formats with a year."""
    assert parse_format(name).name == name


@pytest.mark.parametrize("zone", ["UTC", "utc", "Z", SEOUL, BERLIN, "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_timezone(zone: str) -> None:
    """Names of the time zone database, and UTC."""
    assert parse_format("rfc3339", zone).zone is not None


# --- Several formats --------------------------------------------------------------------------------------------------

SEVERAL = [  # (formats, value, milliseconds)
    (["rfc3339", "unix"], "2024-05-23T15:58:17Z", MS),
    (["rfc3339", "unix"], T, MS),
    (["rfc3339", "unix"], str(T), MS),
    (["unix_ms", "unix"], T, MS),
    (["unix_ms", "unix"], MS, MS),
    (["unix", "unix_ms"], MS, MS),
    (["rfc3339", STRPTIME, DATE_MS], "24/05/2024 00:58:17", MS),
    (["rfc3339", STRPTIME, DATE_MS], "2024-05-24T00:58:17", MS),
    (["rfc3339", STRPTIME, DATE_MS], f"/Date({MS})/", MS),
]


@pytest.mark.parametrize(("names", "value", "milliseconds"), SEVERAL)
def test_the_first_format_that_reads_a_value(names: list[str], value: Any, milliseconds: int) -> None:
    """The zone is for each; a number that would be a time of 1970 is in another unit."""
    several = any_of([parse_format(name) for name in names], ZoneInfo(SEOUL))
    assert several is not None
    assert several.milliseconds(value) == milliseconds
    assert several.column([value, value]) == [milliseconds] * 2


def test_none_of_several_formats() -> None:
    several = any_of([parse_format("rfc3339"), parse_format("unix")], None)
    assert several is not None
    for value in (None, True, "soon", 5, [], 10**400):
        with pytest.raises(BadTimestamp, match="has none of the formats rfc3339, unix"):
            several.milliseconds(value)
    for column in ([T, None], [T, "2024-05-23T15:58:17Z"], [True], [T, 5], [1.5], []):
        with pytest.raises(TypeError):
            several.column(column)


def test_one_format_of_a_list_is_read_as_fast_as_one_alone() -> None:
    assert any_of([parse_format("unix")], None) == parse_format("unix")
    assert any_of([], None) is None


# --- Whole columns ----------------------------------------------------------------------------------------------------

COLUMN_VALUES = st.one_of(
    st.integers(-(10**22), 10**22),
    st.integers(T - 10**6, T + 10**6),
    st.floats(),
    st.text(max_size=5),
    st.none(),
    st.booleans(),
)


@given(st.sampled_from(list(UNITS)), st.lists(COLUMN_VALUES))
def test_column_is_each_value(name: str, values: list[Any]) -> None:
    """A column read at once is what its values read one by one, or is left to be read one by one."""
    with suppress(TypeError):
        assert Format(name).column(values) == [Format(name).milliseconds(value) for value in values]


def test_column_of_whole_numbers() -> None:
    """The usual column needs no look at each value."""
    assert parse_format("unix").column([]) == []
    assert parse_format("unix").column([T, T + 1]) == [MS, MS + 1_000]
    assert parse_format("unix_ms").column([MS]) == [MS]
    assert parse_format("unix_us").column([MS * 1_000]) == [MS]
    assert parse_format("unix_ns").column([MS * 1_000_000]) == [MS]


LOOKED_AT = [[T, None], [T, 1.5], ["1"], [True], [MS], [10**30], [-(10**30)]]


@pytest.mark.parametrize(("name", "values"), [*(("unix", one) for one in LOOKED_AT), ("rfc3339", [T]), (STRPTIME, [T])])
def test_column_that_needs_a_look(name: str, values: list[Any]) -> None:
    """A column with anything else in it is not read at once, nor one of a wrong unit, nor one of texts."""
    with pytest.raises(TypeError):
        parse_format(name).column(values)


# --- Against datetime -------------------------------------------------------------------------------------------------

MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def milliseconds_of(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(MOMENTS, OFFSETS, st.integers(0, 9))
def test_rfc3339_is_datetime(moment: datetime, offset: timezone, digits: int) -> None:
    """Any moment at any offset, its fraction written with any number of digits, is what datetime says."""
    fraction = f"{moment.microsecond:06}000"[:digits]
    kept = moment.replace(microsecond=int(f"{fraction:0<6}"[:6]), tzinfo=offset)
    written = f"{kept.replace(microsecond=0, tzinfo=None).isoformat()}{f'.{fraction}' if fraction else ''}"
    minutes = int(offset.utcoffset(None).total_seconds() // 60)
    sign = "-" if minutes < 0 else "+"
    text = f"{written}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    assert parse_format("rfc3339").milliseconds(text) == milliseconds_of(kept)


@given(MOMENTS, st.sampled_from([SEOUL, BERLIN, "America/New_York", "UTC"]))
def test_strptime_is_datetime(moment: datetime, zone: str) -> None:
    """A local time without an offset is the zone's, on both sides of a change."""
    text = f"{moment:%d/%m}/{moment.year:04} {moment:%H:%M:%S}"
    expected = milliseconds_of(moment.replace(microsecond=0, tzinfo=ZoneInfo(zone)))
    assert parse_format(STRPTIME, zone).milliseconds(text) == expected


@given(st.sampled_from(list(UNITS)), st.integers(-(10**12), 250 * 10**12))
def test_unix_is_exact(name: str, milliseconds: int) -> None:
    """Whole numbers of a finer unit lose no millisecond, as a number or as text."""
    per_ms = UNITS[name] // 1_000 or 1
    value = milliseconds // 1_000 if name == "unix" else milliseconds * per_ms + per_ms - 1
    expected = value * 1_000 if name == "unix" else milliseconds
    assert parse_format(name).milliseconds(value) == expected
    assert parse_format(name).milliseconds(str(value)) == expected


DIRECTIVES = [f"%{char}" for char in "aAwdbBmyYHIMSfzZjUWcxXGuVpqsE-%O0"]


@given(st.lists(st.sampled_from([*DIRECTIVES, "-", " ", "T", "(", "[", "\\", "{", "?", "*", "é", "\0"]), max_size=6))
def test_any_format_reads_or_is_a_mistake(parts: list[str]) -> None:
    """Nothing but a ValueError comes of a format, and nothing but a BadTimestamp of a time in one that loads."""
    try:
        found = parse_format("".join(parts))
    except ValueError:
        return
    with suppress(BadTimestamp):
        found.milliseconds(found.written(MS))
