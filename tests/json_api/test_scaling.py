"""`scale` and `offset`, against exact fractions: the result is the float nearest to the decimal one."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambda_remote_write.json_api.scaling import Scaling

# (value, scale, offset, exactly)
KNOWN = [
    (56725789, 1e-3, 0.0, 56725.789),
    (298405880, 0.01, 0.0, 2984058.8),
    (294.65, 1.0, -273.15, 21.5),
    (0.1, 3.0, 0.0, 0.3),
    (12.34, 0.01, 0.0, 0.1234),
    (7, 1 / 3, 0.0, 7 * (1 / 3)),
    (1e22, 1e-3, 0.0, 1e19),
    (1.5e-7, 1e3, 0.0, 1.5e-4),
    (-40, 1.8, 32.0, -40.0),
    (2**60 + 1, 1e-3, 0.0, 1152921504606846.977),
]


@pytest.mark.parametrize(("value", "scale", "offset", "exactly"), KNOWN)
def test_known_values(value: float, scale: float, offset: float, exactly: float) -> None:
    found = Scaling.of(scale, offset)
    assert found is not None
    assert found.one(value) == exactly
    assert found.column([value]) == [exactly]


def test_without_scale_and_offset_there_is_nothing_to_do() -> None:
    assert Scaling.of(1.0, 0.0) is None


FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
VALUES = st.one_of(st.integers(-(2**63), 2**63), FINITE)


def nearest(value: float, scale: float, offset: float) -> float:
    """By fractions of the shortest decimals."""
    exact = Fraction(repr(value)) * Fraction(repr(scale)) + Fraction(repr(offset))
    return exact.numerator / exact.denominator


@given(VALUES, FINITE, FINITE)
@example(1, 1e-3, 0.0)
def test_any_value_is_rounded_once(value: float, scale: float, offset: float) -> None:
    found = Scaling.of(scale, offset)
    if found is None:
        return
    expected = nearest(value, scale, offset)
    assert found.one(value) == expected
    assert found.column([value, value]) == [expected, expected]


@given(st.lists(VALUES, max_size=5), st.sampled_from([1e-9, 1e-3, 0.01, 0.1, 10.0, 1e6, 3.6, -1.0, 0.0]))
def test_a_column_is_its_values(values: list[float], scale: float) -> None:
    found = Scaling.of(scale, 0.0)
    assert found is not None
    assert found.column(values) == list(map(found.one, values))


DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20)


@given(DECIMALS, FINITE, FINITE)
@example(Decimal("1E+3"), 1e-3, 0.0)
@example(Decimal("1e-7"), 10.0, 0.0)
def test_a_decimal_is_rounded_once(value: Decimal, scale: float, offset: float) -> None:
    """What a format of a text gives has more digits than a float."""
    found = Scaling.of(scale, offset)
    if found is None:
        return
    exact = Fraction(value) * Fraction(repr(scale)) + Fraction(repr(offset))
    assert found.one(value) == exact.numerator / exact.denominator
    assert found.column([value]) == [found.one(value)]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 0.0), (2.0, 1.0), (math.inf, 0.0), (1.0, math.nan), (0.0, 0.0)])
def test_what_is_not_finite_is_as_in_floats(value: float, scale: float, offset: float) -> None:
    found = Scaling.of(scale, offset)
    assert found is not None
    expected = value * scale + offset
    assert found.one(value) == expected or math.isnan(found.one(value)) == math.isnan(expected)


def test_a_whole_number_beyond_floats_is_a_warning() -> None:
    found = Scaling.of(10.0, 0.0)
    assert found is not None
    with pytest.raises(OverflowError):
        found.column([10**400])
