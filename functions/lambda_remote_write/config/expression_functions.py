"""The functions of expressions: JMESPath's own, and those of this project.

A null argument gives null. Whatever else a function cannot be applied to is an ExpressionFailed, which says what the
function expects and what it found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import REVERSE_TYPES_MAP
from jmespath.functions import Functions as StandardFunctions
from jmespath.functions import signature as _signature

from .expression_context import CHARACTERS_PER_VISIT, Columns, Evaluation, ExpressionFailed, Failure
from .shown_json import shown
from .timestamp import BadTimestamp, Format, parse_format

_KINDS = {
    "string": "a text",
    "number": "a number",
    "boolean": "a boolean",
    "array": "a list",
    "object": "an object",
    "array-number": "a list of numbers",
    "array-string": "a list of texts",
    "expref": "an expression such as &name",
}
_TO_NUMBER = {
    **dict.fromkeys(("divide", "abs", "ceil", "floor"), "; to_number reads it"),
    **dict.fromkeys(("sum", "avg"), "; map(&to_number(@), list) reads it"),
}
"""What makes a number of a text, for a message."""
_F = TypeVar("_F", bound=Callable[..., Any])
_OPTIONAL_TEXT = {"types": ["string"], "optional": True}
_CELLS_PER_VISIT = 16  # of a table
_MAX_LOOKUPS = 16  # lists whose elements are kept by a key
_CHEAP = frozenset(("length", "type", "not_null", "to_array", "lookup", "from_json", "columns", "rows"))
"""Functions that do not look at every element, or that account for it themselves."""
TABLES = ("columns", "rows")
"""Functions whose result stays in columns where it is the whole of a step of `records`."""


def signature(*parameters: Mapping[str, Any]) -> Callable[[_F], _F]:
    """The parameters of a function, as jmespath has them; the last ones may be `optional`."""
    return cast(Callable[[_F], _F], _signature(*parameters))


class Functions(StandardFunctions):  # type: ignore[misc]  # jmespath has no types
    """The functions of one evaluation. `failures` gets the bad elements of a list that becomes records; without it one
    fails the expression."""

    def __init__(self, evaluation: Evaluation, lookups: Lookups, failures: list[Failure] | None) -> None:
        self._evaluation, self._lookups, self.failures = evaluation, lookups, failures

    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        """Raises ExpressionFailed and BudgetExceeded."""
        function = self.FUNCTION_TABLE[function_name]["function"]
        if function_name in _OWN and None in resolved_args:
            return None
        try:
            if not _have_types(resolved_args, _types_of(function_name)):
                self._type_check(resolved_args, self.FUNCTION_TABLE[function_name]["signature"], function_name)
            self._evaluation.visit(1 if function_name in _CHEAP else sum(map(_cost, resolved_args)))
            return function(self, *resolved_args)
        except JMESPathTypeError as error:
            return _type_error(error)
        except RecursionError:
            raise ExpressionFailed(f"{function_name} was given something that is nested too deeply") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ExpressionFailed(f"{function_name} cannot be applied: {error}") from None

    def _type_check(self, actual: list[Any], signature: Sequence[Mapping[str, Any]], function_name: str) -> None:
        super()._type_check(actual, signature[: len(actual)], function_name)

    # JMESPath's own, whose cost is more than the length of their arguments

    @signature({"types": ["array", "string"]}, {"types": []})
    def _func_contains(self, subject: Any, search: Any) -> bool:
        if isinstance(subject, str) and not isinstance(search, str):
            raise ExpressionFailed(f"contains expects a text to look for in a text, and found {shown(search)}")
        if isinstance(search, list | dict):
            self._evaluation.visit(len(subject) * weight(search))
        return search in subject

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, array: list[str]) -> str:
        characters = len(separator) * len(array) + sum(map(len, array))
        self._evaluation.visit(characters // CHARACTERS_PER_VISIT)
        return separator.join(array)

    @signature({"types": []})
    def _func_to_string(self, arg: Any) -> str:
        if isinstance(arg, list | dict):
            self._evaluation.visit(weight(arg))
        return str(super()._func_to_string(arg))

    # ours

    @signature({"types": ["object"]})
    def _func_columns(self, fields: dict[str, Any]) -> Columns | None:
        """Parallel lists -> records. The shorter get nulls; what is no list repeats."""
        if all(value is None for value in fields.values()):
            return None
        lists = [value for value in fields.values() if type(value) is list]
        count = max(map(len, lists), default=1)
        self._evaluation.visit(count * len(fields) // _CELLS_PER_VISIT)
        return Columns(count, {name: _filled(value, count) for name, value in fields.items()})

    @signature({"types": ["array"]}, {"types": ["array"]})
    def _func_rows(self, columns: list[Any], rows: list[Any]) -> Columns:
        """Names, and a list of values for each record."""
        names = [_column_name(one) for one in columns]
        self._evaluation.visit(len(rows) * (1 + len(names) // _CELLS_PER_VISIT))
        good = rows if {list}.issuperset(map(type, rows)) else list(self._lists(rows))
        if not {len(names)}.issuperset(map(len, good)):
            good = [row[: len(names)] + [None] * (len(names) - len(row)) for row in good]
        return Columns(len(good), {name: [row[place] for row in good] for place, name in enumerate(names)})

    def _lists(self, rows: list[Any]) -> Iterator[list[Any]]:
        for row in rows:
            if type(row) is list:
                yield row
                continue
            failure = f"rows expects a list in each place of its second argument, and found {shown(row)}"
            if self.failures is None:
                raise ExpressionFailed(failure)
            self.failures.append(Failure(failure))

    @signature({"types": ["object"]})
    def _func_items(self, arg: dict[str, Any]) -> list[Any]:
        return [{"key": key, "value": value} for key, value in arg.items()]

    @signature({"types": ["string"]})
    def _func_from_json(self, text: str) -> Any:
        try:
            return self._evaluation.from_json(text)
        except (ValueError, RecursionError) as error:
            detail = f" ({error})" if "deep" in str(error) else ""
            raise ExpressionFailed(f"from_json expects JSON in a text, and found {shown(text)}{detail}") from None

    @signature({"types": ["array"]}, {"types": ["string"]}, {"types": []})
    def _func_lookup(self, elements: list[Any], key: str, value: Any) -> Any:
        return self._lookups.first(elements, key, value, self._evaluation)

    @signature({"types": ["string"]}, {"types": ["string"]}, {"types": ["number"], "optional": True})
    def _func_split(self, text: str, separator: str, count: float | None = None) -> list[str]:
        """As JMESPath Community's (JEP 14)."""
        if count is not None and (count < 0 or count != int(count)):
            raise ExpressionFailed(f"split expects a whole number that is not negative as count, and found {count}")
        if count == 0:
            return [text]
        if separator:
            found = text.split(separator, -1 if count is None else int(count))
        else:
            at = len(text) if count is None else int(count)
            found = list(text[:at]) + ([text[at:]] if text[at:] else [])
        self._evaluation.visit(len(found))
        return found

    @signature({"types": ["string", "number"]}, _OPTIONAL_TEXT, _OPTIONAL_TEXT)
    def _func_time(self, text: Any, name: str = "rfc3339", timezone: str = "") -> float:
        """A time as text -> seconds since 1970."""
        try:
            return seconds(time_format(name, timezone).milliseconds(text))
        except BadTimestamp as error:
            zone = "name a time zone as the third argument of time"
            detail = str(error).replace("set timezone beside the format", zone)
            raise ExpressionFailed(f"time expects a time: {detail}") from None
        except ValueError as error:
            raise ExpressionFailed(f"time was given the format {name!r:.60}, {timezone!r:.60}: {error}") from None

    @signature()
    def _func_now(self) -> float:
        return seconds(self._evaluation.now_ms)

    @signature({"types": ["number"]}, {"types": ["number"]})
    def _func_divide(self, dividend: float, divisor: float) -> float | None:
        return dividend / divisor if divisor else None


@functools.cache
def _types_of(name: str) -> tuple[frozenset[str] | None, ...]:
    """The names of the Python types that each parameter takes without a look inside; None for any type."""
    kinds = (parameter["types"] for parameter in Functions.FUNCTION_TABLE[name]["signature"])
    return tuple(
        frozenset(name for kind in one for name in REVERSE_TYPES_MAP.get(kind, ())) if one else None for one in kinds
    )


def _have_types(arguments: list[Any], types: tuple[frozenset[str] | None, ...]) -> bool:
    """Whether arguments have types that are right at first sight: jmespath's own check takes far longer."""
    pairs = zip(arguments, types, strict=False)
    return all(names is None or type(argument).__name__ in names for argument, names in pairs)


_OWN = frozenset(Functions.FUNCTION_TABLE) - frozenset(StandardFunctions.FUNCTION_TABLE)
"""The names of this project's functions."""


class Lookups:
    """Finds the first of a list's elements that has a value under a key. A list that is asked for a second time is
    indexed, so that n look-ups in m elements cost n + m."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], tuple[list[Any], dict[Any, Any] | None]] = {}

    def first(self, elements: list[Any], key: str, value: Any, evaluation: Evaluation) -> Any:
        place = id(elements), key  # the list is kept beside, so that its id stays its own
        known = self._known.get(place)
        if known is None:
            while len(self._known) >= _MAX_LOOKUPS:
                del self._known[next(iter(self._known))]
            self._known[place] = elements, None
        if known is None or isinstance(value, list | dict):
            return _first_of(elements, key, value, evaluation)
        index = known[1]
        if index is None:
            evaluation.visit(len(elements))
            index = _indexed(elements, key)
            self._known[place] = elements, index
        return index.get(_hashed(value))


def _first_of(elements: list[Any], key: str, value: Any, evaluation: Evaluation) -> Any:
    evaluation.visit(len(elements) * (weight(value) if isinstance(value, list | dict) else 1))
    wanted = _hashed(value)
    for one in elements:
        if isinstance(one, dict) and key in one and _hashed(one[key]) == wanted:
            return one
    return None


def _indexed(elements: list[Any], key: str) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for one in elements:
        if isinstance(one, dict) and not isinstance(value := one.get(key), list | dict):
            found.setdefault(_hashed(value), one)
    return found


def _hashed(value: Any) -> Any:
    """A value that equals another one as JMESPath says: true is not 1, and 1 is 1.0."""
    return isinstance(value, bool), value


def seconds(milliseconds: int) -> float:
    """Whole seconds as a whole number."""
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


@functools.lru_cache(maxsize=64)
def time_format(name: str, timezone: str) -> Format:
    """Raises ValueError."""
    return parse_format(name, timezone)


def weight(value: Any) -> int:
    """How many values there are in a value."""
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        count += 1
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return count


def _cost(argument: Any) -> int:
    if isinstance(argument, list | dict):
        return len(argument)
    return 1 + len(argument) // CHARACTERS_PER_VISIT if isinstance(argument, str) else 1


def _type_error(error: JMESPathTypeError) -> None:
    """None for null; ExpressionFailed in words for anything else."""
    if error.current_value is None or error.actual_type in ("null", "NoneType"):
        return
    wanted = [_KINDS.get(kind, kind) for kind in error.expected_types]
    raise ExpressionFailed(f"{error.function_name} expects {' or '.join(wanted)}, and found {_found(error)}")


def _found(error: JMESPathTypeError) -> str:
    if error.actual_type in ("expref", "unknown"):
        return "an expression"
    hint = _TO_NUMBER.get(error.function_name, "") if isinstance(error.current_value, str) else ""
    return shown(error.current_value) + hint


def _filled(value: Any, count: int) -> list[Any]:
    if type(value) is not list:
        return [value] * count
    return value if len(value) == count else value + [None] * (count - len(value))


def _column_name(column: Any) -> str:
    name = column.get("name") if isinstance(column, dict) else column
    if not isinstance(name, str):
        raise ExpressionFailed(f"rows expects names, or objects with a name, first, and found {shown(column)}")
    return name


def arity(name: str) -> tuple[int, int | None]:
    """Least and most arguments of a function; None for any number."""
    parameters = Functions.FUNCTION_TABLE[name]["signature"]
    least = sum(not one.get("optional") for one in parameters)
    return least, None if parameters and parameters[-1].get("variadic") else len(parameters)
