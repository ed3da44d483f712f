"""Numbers as Go reads and writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambda_remote_write.exposition.go_float import NORMAL_NAN, floats_before_breaks, go_float, go_floats
from lambda_remote_write.exposition.line_parser import canonical_float, format_float
from tests.rig.exposition import bits

READ = [
    ("0", 0.0), ("-0", -0.0), ("+1", 1.0), ("1.", 1.0), (".5", 0.5), ("1e3", 1000.0), ("1E-3", 0.001), ("007", 7.0),
    ("1e308", 1e308), ("5e-324", 5e-324), ("1e-999", 0.0), ("-1e-999", -0.0),
    ("12345678901234567890", 12345678901234567890.0),
    ("inf", math.inf), ("+Inf", math.inf), ("-INF", -math.inf), ("Infinity", math.inf), ("nan", NORMAL_NAN),
    ("NaN", NORMAL_NAN),
]  # fmt: skip
REFUSED = [
    "", " ", "1 ", " 1", "1_000", "0x10", "0x1p-2", "0b1", "0o7", "1e999", "-1e999", "+NaN", "-nan", "infin", "e5",
    "1e",
    "1e+", "--1", "+-1", ".", "1.2.3", "1,5", "1e5.5", "one", "1\n", "1\t", "\x001", "1\x00", "١", "１", "½",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ)
def test_read(text: str, expected: float) -> None:
    assert bits(go_float(text.encode())) == bits(expected)


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|is out of range"):
        go_float(text.encode())


def one_by_one(texts: list[bytes]) -> list[str] | None:
    try:
        return [bits(go_float(text)) for text in texts]
    except ValueError:
        return None


TEXTS = st.one_of(
    st.sampled_from([text.encode() for text in [*REFUSED, *(text for text, _ in READ)]]),
    st.floats().map(lambda value: repr(value).encode()),
    st.text("0123456789.eE+-nNaAiIfFtTyY_xpP \n", max_size=6).map(str.encode),
    st.binary(max_size=4),
)


@given(texts=st.lists(TEXTS, max_size=6))
@example(texts=[b"1", b"inf", b"-nan"])
def test_many_at_once_are_what_each_is(texts: list[bytes]) -> None:
    """The quick way may leave a list to the slow one; it may not take what that refuses, nor read another value."""
    found = go_floats(texts)
    if found is not None:
        assert list(map(bits, found)) == one_by_one(texts)


WORDS = TEXTS.filter(lambda text: b" " not in text and b"\n" not in text)  # a page is taken apart at both


@given(texts=st.lists(st.tuples(WORDS, st.sampled_from([b"\n", b"", b"\t", b"\r\n", b",", b",1\n"])), max_size=5))
@example(texts=[(b"-0", b"\n")])
@example(texts=[(b"", b"\n")])
@example(texts=[(b"-0", b"\n"), (b"1", b"\n")])
def test_many_before_breaks_are_what_each_is(texts: list[tuple[bytes, bytes]]) -> None:
    found = floats_before_breaks([text + ending for text, ending in texts])
    if found is not None:
        assert all(ending == b"\n" for _, ending in texts)
        assert list(map(bits, found)) == one_by_one([text for text, _ in texts])


def test_infinite_values_are_read_with_the_others_and_overflow_is_not() -> None:
    """An infinity on a page must not cost all its neighbours a look."""
    assert go_floats([b"1", b"+Inf", b"-inf", b"Infinity", b"2"]) == [1.0, math.inf, -math.inf, math.inf, 2.0]
    assert go_floats([b"1e999", b"+Inf"]) is None
    assert go_floats([b"1e999"]) is None


WRITTEN = [
    (1.0, "1.0"), (0.0, "0.0"), (-0.0, "0.0"), (-1.0, "-1.0"), (0.1, "0.1"), (2.5, "2.5"), (100000.0, "100000.0"),
    (1e6, "1e+06"), (123456.7, "123456.7"), (1234567.0, "1.234567e+06"), (0.0001, "0.0001"), (0.00001, "1e-05"),
    (1e21, "1e+21"), (1e100, "1e+100"), (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
    (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (-2.5e-7, "-2.5e-07"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), WRITTEN)
def test_written(value: float, expected: str) -> None:
    assert format_float(value) == expected


@given(st.floats(allow_nan=False))
def test_what_is_written_reads_back(value: float) -> None:
    assert go_float(format_float(value).encode()) == value


CANONICAL = [
    ("1", "1.0"), ("+1", "1.0"), ("1e6", "1e+06"), ("0.10", "0.1"), ("-0", "0.0"), ("+inf", "+Inf"), ("nan", "NaN"),
    ("0x1p-2", "0.25"), ("0x1.8P+1", "3.0"), ("-0X_1_0p0", "-16.0"), ("1_000", "1000.0"), ("1e-999", "0.0"),
    ("0x10", "0x10"), ("0x1p9999", "0x1p9999"), ("1__0", "1__0"), ("_1", "_1"), ("1_", "1_"), ("1_e3", "1_e3"),
    ("1e999", "1e999"), ("+nan", "+nan"), ("", ""), (" 1", " 1"), ("many", "many"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CANONICAL)
def test_le_and_quantile(text: str, expected: str) -> None:
    """Here Go's literals count, hexadecimal ones and underscores too, which a value may not be."""
    assert canonical_float(text) == expected
