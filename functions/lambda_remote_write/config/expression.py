"""The expressions of `json_configs`: JMESPath, with prefixes that widen the scope.

`path` looks in the record, `$.path` in the whole document, `^.path` in the enclosing object (`^.^.path` two levels
up), `@key` is the key of a walked map or the index in a walked list (`^@key` the outer one's). A number or a quoted
`'text'` is a constant.
Plain dotted names, `[]` and constants never touch the jmespath library: they are what a run spends its time on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from . import expression_trace
from .expression_trace import Kind, Trace

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_STEP = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)?(\[\]|\[\*\])?|@)", re.ASCII)
_CONSTANT = re.compile(r"'([^'\\]*)'")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NO_NEWS = re.compile(r"^(?:Bad|Invalid) jmespath expression: |(?:, for expression)?:$", re.I)
_KEY = re.compile(r"(\^*)@key")
_UP = re.compile(r"(?:\^\.)+")


class Scope(Enum):
    """Where an expression is evaluated."""

    RECORD = auto()
    DOCUMENT = auto()
    ENCLOSING = auto()
    KEY = auto()
    CONSTANT = auto()


class InvalidExpression(ValueError):
    """The text is no expression; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Group:
    """Records that lie side by side, with what encloses them.

    `keys` are the records' keys in a walked map, or their indices as text in a walked list, where an expression uses
    them. `enclosing[0]` is the object around the records, `enclosing[-1]` the document; `outer_keys` run in step with
    `enclosing`. `not_a_list` says that `[]` has found something else, which gives no record.
    """

    records: Sequence[Any]
    keys: Sequence[str] | None
    enclosing: tuple[Any, ...]
    outer_keys: tuple[str | None, ...]
    columns: Mapping[str, list[Any]] | None = None
    not_a_list: Trace | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """A document that is a plain list of records, of which only the fields that a job reads were decoded: name ->
    one value per record, None where a record has none."""

    count: int
    fields: Mapping[str, list[Any]] = field(repr=False)
    head: bytes = field(default=b"", repr=False)  # how the document begins, for messages


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. `levels` counts the `^` of its prefix."""

    text: str
    scope: Scope
    levels: int = 0
    path: tuple[str, ...] | None = None
    constant: Any = None
    program: Any = field(default=None, repr=False, compare=False)

    def column(self, group: Group) -> list[Any]:
        """One value per record of the group; None where the expression finds nothing."""
        count = len(group.records)
        match self.scope:
            case Scope.RECORD if group.columns is not None and self.path:
                return group.columns[self.path[0]]
            case Scope.RECORD:
                return self._in_each(group.records)
            case Scope.KEY if self.levels == 0:
                return list(group.keys) if group.keys is not None else [None] * count
            case Scope.KEY:
                return [group.outer_keys[self.levels - 1]] * count
            case Scope.ENCLOSING:
                return [self.one(group.enclosing[self.levels - 1])] * count
            case Scope.DOCUMENT:
                return [self.one(group.enclosing[-1])] * count
            case _:
                return [self.constant] * count

    def _in_each(self, records: Sequence[Any]) -> list[Any]:
        if self.path is not None and len(self.path) == 1:
            name = self.path[0]
            try:
                return [record.get(name) for record in records]
            except AttributeError:  # a record that is no object
                pass
        return [self.one(record) for record in records]

    def as_text(self) -> Expression:
        """For a label: a number that stands for itself is the text that was written (`1.10`, not 1.1)."""
        is_number = self.scope is Scope.CONSTANT and not isinstance(self.constant, str)
        return replace(self, constant=self.text.strip()) if is_number else self

    def trace(self, value: Any) -> Trace:
        """How far the expression goes into one object."""
        return self.follow(Trace(Kind.FOUND, value))

    def follow(self, start: Trace) -> Trace:
        """The same from what was found at `start`."""
        if self.path is not None:
            return expression_trace.follow_names(self.path, start)
        return expression_trace.follow(self.program.parsed, start)

    def one(self, value: Any) -> Any:
        """The expression applied to one object; None where it finds nothing. Raises nothing."""
        if self.path is None:
            try:
                return self.program.search(value)
            except _jmespath_errors():
                return None
        for name in self.path:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value


def parse(text: str) -> Expression:
    """Expression text -> Expression. Raises InvalidExpression."""
    stripped = text.strip()
    if not stripped:
        raise InvalidExpression("an expression is expected, not an empty text")
    if _NUMBER.fullmatch(stripped):
        return Expression(text, Scope.CONSTANT, constant=int(stripped) if stripped.isdigit() else float(stripped))
    if constant := _CONSTANT.fullmatch(stripped):
        return Expression(text, Scope.CONSTANT, constant=constant[1])
    if key := _KEY.fullmatch(stripped):
        return Expression(text, Scope.KEY, levels=len(key[1]))
    if stripped.startswith("$."):
        return _compiled(text, stripped[2:], Scope.DOCUMENT, 0)
    if up := _UP.match(stripped):
        return _compiled(text, stripped[up.end() :], Scope.ENCLOSING, up.end() // 2)
    if stripped[0] in "$^":
        detail = "after $ or ^ comes a dot and a path, as $.release or ^.name"
        is_key = re.fullmatch(r"[$^]\w+", stripped)
        raise InvalidExpression(
            f"{detail}; a key of this name needs double quotes: '\"{stripped}\"'" if is_key else detail
        )
    return _compiled(text, stripped, Scope.RECORD, 0)


def _compiled(text: str, rest: str, scope: Scope, levels: int) -> Expression:
    if rest == "@key" or rest.startswith("@key."):
        raise InvalidExpression("@key stands alone: @key, or ^@key for the key of the enclosing map")
    if _PATH.fullmatch(rest):
        return Expression(text, scope, levels, path=tuple(rest.split(".")))
    if rest == "@":
        return Expression(text, scope, levels, path=())
    return Expression(text, scope, levels, program=_jmespath(rest, prefix=text.strip().removesuffix(rest)))


def _jmespath(text: str, prefix: str = "") -> Any:
    """The compiled text, which stands behind `prefix`. Raises InvalidExpression."""
    import jmespath  # only configs that need more than dotted names pay for it

    if text.startswith("{."):
        raise InvalidExpression("this is JSONPath; expressions are JMESPath, as a.b")
    try:
        program = jmespath.compile(text)
        _check_calls(program.parsed)
    except jmespath.exceptions.JMESPathError as error:
        from .expression_errors import advice  # only a mistake needs it

        detail = _NO_NEWS.sub("", str(error).partition("\n")[0])
        hint = advice(prefix, text, _compiles)
        raise InvalidExpression(f"not a JMESPath expression: {detail}{f'; {hint}' if hint else ''}") from None
    except RecursionError:
        raise InvalidExpression("not a JMESPath expression: it is nested too deeply") from None
    return program


def _compiles(text: str) -> bool:
    import jmespath

    try:
        jmespath.compile(text)
    except (jmespath.exceptions.JMESPathError, ValueError, RecursionError):
        return False
    return True


def _check_calls(node: Mapping[str, Any]) -> None:
    """Names and argument counts of functions, which jmespath itself looks at only when it runs."""
    from jmespath.functions import Functions

    if node["type"] == "function_expression":
        name, given = node["value"], len(node["children"])
        if name not in Functions.FUNCTION_TABLE:
            near = difflib.get_close_matches(name, Functions.FUNCTION_TABLE, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise InvalidExpression(f"not a JMESPath expression: there is no function {name}{hint}")
        signature = Functions.FUNCTION_TABLE[name]["signature"]
        takes, is_open = len(signature), bool(signature and signature[-1].get("variadic"))
        if given < takes or (given > takes and not is_open):
            count = f"{'at least ' if is_open else ''}{takes} argument{'s' if takes != 1 else ''}"
            raise InvalidExpression(f"not a JMESPath expression: {name} takes {count}, not {given}")
    for child in node["children"]:
        if isinstance(child, dict):
            _check_calls(child)


def _jmespath_errors() -> tuple[type[Exception], ...]:
    import jmespath

    return (jmespath.exceptions.JMESPathError, TypeError, ValueError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of `records`: where it looks in the record, and whether a list found there is flattened (`[]`)."""

    expression: Expression
    flatten: bool = False

    def __call__(self, value: Any) -> Any:
        found = self.expression.one(value)
        if not self.flatten:
            return found
        return _flattened(found) if type(found) is list else None

    @property
    def text(self) -> str:
        return self.expression.text

    @property
    def path(self) -> tuple[str, ...] | None:
        return self.expression.path

    @property
    def is_index(self) -> bool:
        """Whether it ends with the choice of one element, as `items[0]` does."""
        parsed = self.expression.program.parsed if self.path is None else {}
        return parsed.get("type") == "index_expression" and parsed["children"][-1]["type"] == "index"

    def without_flatten(self, value: Any) -> Any:
        """What a step that ends with `[]` has before that."""
        step = parse_step(self.text.strip().removesuffix("[]") or "@")
        return step(value)

    def trace(self, start: Trace) -> Trace:
        """How far the step goes from what was found at `start`."""
        at = self.expression.follow(start)
        return expression_trace.flattened(at) if self.flatten and at.kind is Kind.FOUND else at


def _flattened(values: list[Any]) -> list[Any]:
    """JMESPath's `[]`: one level of lists is dissolved, and a null is no element."""
    if not any(value is None or type(value) is list for value in values):
        return values
    items = (item for value in values for item in (value if type(value) is list else (value,)))
    return [item for item in items if item is not None]


def parse_step(text: str) -> Step:
    """One step of `records` -> Step. Raises InvalidExpression."""
    stripped = text.strip()
    if not stripped:
        raise InvalidExpression("a step is a JMESPath expression, not an empty text")
    if stripped[0] in "$^" or stripped == "@key":
        raise InvalidExpression("a step walks inside the step before it and takes no $ or ^ prefix")
    simple = _STEP.fullmatch(stripped)
    if simple and simple[2] != "[*]":
        path = tuple(simple[1].split(".")) if simple[1] else ()
        return Step(Expression(text, Scope.RECORD, path=path), flatten=simple[2] == "[]")
    return Step(Expression(text, Scope.RECORD, program=_jmespath(stripped)))


@dataclass(frozen=True, slots=True)
class Records:
    """`records`: steps, each walked inside the one before; `key_levels` are the steps whose objects are walked as
    maps, and whose lists have indices, because some expression of the metric uses their key."""

    steps: tuple[Step, ...]
    key_levels: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        """As it is written: one step, or a list of steps."""
        texts = [step.text for step in self.steps]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    @property
    def is_list(self) -> bool:
        """False for `@`, which takes the document as it is: it says nothing about how many records there are."""
        return self.steps[0].path != () or self.steps[0].flatten

    def walk(self, document: Any) -> Iterator[Group]:
        """The groups of innermost records, in document order."""
        if isinstance(document, Columns):
            yield Group(range(document.count), None, (None,), (None,), document.fields)
            return
        yield from self._walk(document, 0, (document,), (None,))

    def _walk(
        self, value: Any, level: int, enclosing: tuple[Any, ...], outer_keys: tuple[str | None, ...]
    ) -> Iterator[Group]:
        found = self.steps[level](value)
        if found is None:
            at = self.steps[level].trace(Trace(Kind.FOUND, value))
            if at.kind is Kind.NOT_A_LIST:
                yield Group((), None, enclosing, outer_keys, not_a_list=at)
            return
        keys, records = self._records_of(found, level)
        if level == len(self.steps) - 1:
            yield Group(records, keys, enclosing, outer_keys)
            return
        for index, record in enumerate(records):
            key = keys[index] if keys is not None else None
            yield from self._walk(record, level + 1, (record, *enclosing), (key, *outer_keys))

    def _records_of(self, found: Any, level: int) -> tuple[Sequence[str] | None, Sequence[Any]]:
        """What a step has found, as records with their keys where these are used."""
        has_keys = level in self.key_levels
        if type(found) is list:
            return list(map(str, range(len(found)))) if has_keys else None, found
        if type(found) is dict and has_keys:
            return list(found), list(found.values())
        return None, [found]

    def absence(self, documents: Iterable[Any]) -> Trace | None:
        """Why no document has records; None where an empty list says that there are none."""
        whole = [one for one in documents if type(one) is not Columns]
        traces = [self._trace(Trace(Kind.FOUND, document), 0) for document in whole]
        best = expression_trace.first_of(traces)
        return best if best is not None and best.is_absence else None

    def _trace(self, start: Trace, level: int) -> Trace:
        at = self.steps[level].trace(start)
        if at.kind is not Kind.FOUND or level == len(self.steps) - 1:
            return at
        records = self._records_of(at.value, level)[1]
        path = at.path if at.path.endswith("]") or records is not at.value else f"{at.path}[]"
        inner = [self._trace(Trace(Kind.FOUND, record, path), level + 1) for record in records]
        return expression_trace.first_of(inner) or Trace(Kind.EMPTY, [], at.path)


def records(steps: Sequence[Step], expressions: Sequence[Expression]) -> Records:
    """Steps and the expressions evaluated under them -> Records. Raises InvalidExpression for a `^` that leaves
    the document."""
    depth, key_levels = len(steps), set()
    out = f"reaches out of records, which has {depth} step{'s' if depth != 1 else ''}"
    for expression in expressions:
        if expression.scope is Scope.KEY:
            if expression.levels >= depth:
                raise InvalidExpression(out)
            key_levels.add(depth - 1 - expression.levels)
        elif expression.scope is Scope.ENCLOSING and expression.levels > depth:
            raise InvalidExpression(out)
    return Records(tuple(steps), frozenset(key_levels))
