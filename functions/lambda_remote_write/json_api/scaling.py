"""`scale` and `offset` of a metric, exact in decimals: 56725789 with `scale: 1e-3` is 56725.789, no digit more.

A float stands for the shortest decimal that reads as it, as the API and the config wrote it. The result is the float
nearest to the exact decimal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import cast

_EXACT = Context(prec=2_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # no three floats need more digits


@dataclass(frozen=True, slots=True)
class Scaling:
    """value * scale + offset. For a whole number this is (value * factor + addend) / divisor in integers (divisor 0:
    there are none). `exponent` is set if the scale is a power of ten and the offset 0."""

    scale: Decimal
    offset: Decimal
    factor: int = 0
    addend: int = 0
    divisor: int = 0
    exponent: int | None = None

    @staticmethod
    def of(scale: float, offset: float) -> Scaling | None:
        """None if neither changes a value."""
        if (scale, offset) == (1.0, 0.0):
            return None
        exact_scale, exact_offset = Decimal(repr(scale)), Decimal(repr(offset))
        if not (math.isfinite(scale) and math.isfinite(offset)):
            return Scaling(exact_scale, exact_offset)
        times, plus = Fraction(exact_scale), Fraction(exact_offset)
        divisor = math.lcm(times.denominator, plus.denominator)
        shift = exact_scale.normalize()
        exponent = shift.adjusted() if not offset and shift.as_tuple()[:2] == (0, (1,)) else None
        return Scaling(exact_scale, exact_offset, int(times * divisor), int(plus * divisor), divisor, exponent)

    def column(self, values: Sequence[float | Decimal]) -> list[float]:
        """Many values. Raises OverflowError for a whole number whose result is beyond floats."""
        kinds = set(map(type, values))
        factor, addend, divisor = self.factor, self.addend, self.divisor
        if divisor and kinds == {int}:
            whole = cast("Sequence[int]", values)
            return [(value * factor + addend) / divisor for value in whole]  # int / int is rounded once
        return list(map(self.one, values))

    def one(self, value: float | Decimal) -> float:
        """One value, infinite beyond the range of floats."""
        text = repr(float(value)) if isinstance(value, float) else str(value)
        if self.exponent is not None and not text.strip("-.0123456789"):  # no exponent yet, neither inf nor nan
            return float(f"{text}e{self.exponent}")
        return float(_EXACT.add(_EXACT.multiply(Decimal(text), self.scale), self.offset))
