"""Values, timestamps and labels record by record: what stands in each, and why one gives no sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..config.expression_context import Failure
from ..config.scalars import parse_float
from ..config.schema import Metric
from ..config.shown_json import kind_of
from ..config.timestamp import END_OF_1970_MS, UNIX_FORMATS, BadTimestamp
from ..model.drop_reasons import DropReason
from .decode import ExactFloat

if TYPE_CHECKING:
    from decimal import Decimal

    from .scaling import Scaling


class ScrapeFailed(Exception):
    """The whole scrape fails: a limit of the job is exceeded, or a metric's policy is `error`."""


class InexactNumber(Exception):
    """A label is a number with a fraction: decode the document again with `exact`."""


class Skip(Exception):
    """A record gives no sample, for a reason of DropReason."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def label_text(value: Any, *, exact: bool = False, what: str = "a label") -> str:
    """A JSON scalar as a label value; null is the absent label. Raises Skip for lists and objects.

    `exact` says that the document's floats are ExactFloats, so that any other float was computed. `what` is read here.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, ExactFloat):
        return value.text
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not exact:
            raise InexactNumber
        return repr(value).removesuffix(".0")
    check(value)
    raise Skip(DropReason.LABEL_NOT_SCALAR, f"{what} is {kind_of(value)}: {value!r:.60}")


def check(found: Any) -> None:
    """Raises Skip when the expression failed that was to find a value."""
    if type(found) is Failure:
        raise Skip(DropReason.EXPRESSION_FAILED, found.message)


class RecordValues:
    """What the records of one metric have as value and timestamp, one by one."""

    def __init__(self, metric: Metric) -> None:
        self._metric, self._map = metric, dict(metric.value_map)
        self._has_unit = has_unit(metric)
        self.scaling = _scaling_of(metric)

    def value(self, raw: Any, *, exact: bool) -> float | str | list[str]:
        """One value after value_regex, value_map, value_format, scale and offset, or the text of a state or of several.
        Raises Skip, or ScrapeFailed by on_missing."""
        if raw is None:
            return self._missing()
        check(raw)
        if self._metric.states is None:
            return self._number(raw, exact=exact)
        if isinstance(raw, list):
            return [self._state(one, exact=exact) for one in raw]
        return self._state(raw, exact=exact)

    def _number(self, raw: Any, *, exact: bool) -> float:
        if isinstance(raw, list | dict):
            raise _not_a_number(raw)
        if self._metric.value_regex is not None:
            raw = self._extracted(label_text(raw, exact=exact))
        text = label_text(raw, exact=exact) if self._map else ""
        if text not in self._map:
            value = self._formatted(raw)
        elif (mapped := self._map[text]) is not None:
            value = mapped
        else:
            return self._missing(f"is {text!r:.60}, which value_map says is no value")
        return _float(value) if self.scaling is None else self.scaling.one(value)

    def _formatted(self, raw: Any) -> float | Decimal:
        """A text or number in one of the metric's formats. Raises Skip."""
        if self._metric.value_format is None or isinstance(raw, bool):
            return _number(raw)
        try:
            return self._metric.value_format.number(raw)
        except ValueError as error:
            raise Skip(DropReason.NOT_A_NUMBER, str(error)) from None

    def _state(self, raw: Any, *, exact: bool) -> str:
        state = label_text(raw, exact=exact, what="the state")
        return state if self._metric.value_regex is None else self._extracted(state)

    def _missing(self, detail: str = "finds no value") -> float:
        detail, policy = f"{self._metric.value.text} {detail}", self._metric.on_missing
        if policy == "error":
            raise ScrapeFailed(f"metric {self._metric.name}: {detail}, on_missing is error")
        if policy == "skip":
            raise Skip(DropReason.VALUE_MISSING, detail)
        if policy == "ignore":
            raise Skip(DropReason.NULL_IGNORED, f"{detail}; on_missing is ignore")
        return float(policy)

    def _extracted(self, text: str) -> str:
        try:
            match = self._metric.value_regex.search(text)
        except UnicodeEncodeError:
            raise Skip(DropReason.VALUE_REGEX, f"{text!r:.60} is not Unicode text") from None
        group = match and match.group(1 if match.re.groups else 0)
        if not group:
            raise Skip(DropReason.VALUE_REGEX, f"{text!r:.60} does not match value_regex")
        return str(group)

    def timestamp_ms(self, raw: Any, started_ms: int) -> int:
        """In the metric's format; the start of the scrape for a metric without. Raises Skip."""
        if self._metric.timestamp is None:
            return started_ms
        if raw is None:
            raise Skip(DropReason.TIMESTAMP_MISSING, f"{self._metric.timestamp.path.text} finds no timestamp")
        check(raw)
        if isinstance(raw, list):
            detail = "finds a list; records: columns({…}) makes a record of each of its places"
            raise Skip(DropReason.TIMESTAMP_INVALID, f"{self._metric.timestamp.path.text} {detail}")
        try:
            stamp = self._metric.timestamp.format.milliseconds(raw)
        except BadTimestamp as error:
            raise Skip(DropReason.TIMESTAMP_INVALID, str(error)) from None
        if self._has_unit and stamp < END_OF_1970_MS:
            name = self._metric.timestamp.format.name
            detail = f"{raw!r:.60} is in 1970 or before in {name}; is the unit right?"
            raise Skip(DropReason.TIMESTAMP_INVALID, detail)
        return stamp


def _scaling_of(metric: Metric) -> Scaling | None:
    """None without scale and offset: then decimals and fractions are not loaded."""
    if (metric.scale, metric.offset) == (1.0, 0.0):
        return None
    from .scaling import Scaling

    return Scaling.of(metric.scale, metric.offset)


def _number(raw: Any) -> float:
    """A JSON number, boolean or numeric text as a float, infinite beyond the range of floats. Raises Skip."""
    try:
        if isinstance(raw, str):
            return parse_float(raw)
        if isinstance(raw, int | float):
            return _float(raw)
    except ValueError:
        pass
    raise _not_a_number(raw)


def _float(number: float | Decimal) -> float:
    """The nearest float, infinite beyond their range."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _not_a_number(raw: Any) -> Skip:
    text = """; its text is '"#text"' in it""" if isinstance(raw, dict) and "#text" in raw else ""
    return Skip(DropReason.NOT_A_NUMBER, f"{kind_of(raw)} is not a number: {raw!r:.60}{text}")


def has_unit(metric: Metric) -> bool:
    """Whether timestamps are numbers of a unit, which may be the wrong one."""
    return metric.timestamp is not None and metric.timestamp.format.name in UNIX_FORMATS
