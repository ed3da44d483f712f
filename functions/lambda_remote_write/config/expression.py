"""The expressions of `json_configs`: JMESPath, with words that widen the scope and functions of this project.

`path` looks in the record, `$` is the whole document, `^` the enclosing object (`^.^` two levels up), `@key` and
`@index` are the record's place in a walked map or list (`^@key` the outer one's), `@status` and `@header.NAME` are the
answer's. A number or a quoted `'text'` is a constant.
Plain dotted names, words that stand alone, `[]` and constants never touch the jmespath library: they are what a run
spends its time on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import expression_trace
from .expression_context import (
    BudgetExceeded,
    Columns,
    Document,
    ExpressionFailed,
    Failure,
    Position,
    Rows,
    document_of,
    word_value,
)
from .expression_trace import Kind, Trace
from .expression_words import Scope, Word, mistake, words

_KEY = r"(?:[A-Za-z_][A-Za-z0-9_]*|\"(?:[^\"\\]|\\.)*\")"
_KEYS = rf"{_KEY}(?:\.{_KEY})*"
_PATH = re.compile(_KEYS, re.ASCII)
_STEP = re.compile(rf"(?:({_KEYS})?(\[\]|\[\*\])?|@)", re.ASCII)
_CONSTANT = re.compile(r"'([^'\\]*)'")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NO_NEWS = re.compile(r"^(?:Bad|Invalid) jmespath expression: |(?:, for expression)?:$", re.I)
_UP = re.compile(r"(?:\^\.)+")
_SHOWN_TEXT = 80  # characters of an expression, in messages


class InvalidExpression(ValueError):
    """The text is no expression; the message says what is wrong."""


@dataclass(slots=True)
class Group:
    """Records that lie side by side, with what encloses them.

    `keys` are the records' keys in a walked map, or their indices as text in a walked list, where an expression uses
    them; `indices` their places there. `enclosing[0]` is the object around the records, `enclosing[-1]` the document;
    `outer_keys` and `outer_indices` run in step with `enclosing`. `not_a_list` says that `[]` has found something else,
    which gives no record; `failures` are elements that an expression cannot be applied to.
    """

    records: Sequence[Any]
    keys: Sequence[str] | None
    enclosing: tuple[Any, ...]
    outer_keys: tuple[str | None, ...]
    columns: Mapping[str, list[Any]] | None = None
    not_a_list: Trace | None = None
    indices: Sequence[int] | None = None
    outer_indices: tuple[int | None, ...] = ()
    document: Document = Document(None)  # noqa: RUF009 - every group of walk has its own
    failures: Sequence[Failure] = ()

    def position(self, index: int | None = None) -> Position:
        """Where an expression stands that is evaluated in the group, or in one of its records."""
        at = Position(self.document, self.enclosing, self.outer_keys, self.outer_indices)
        if index is not None:
            self.move(at, index)
        return at

    def move(self, position: Position, index: int) -> None:
        """To the record with this index."""
        position.key = self.keys[index] if self.keys is not None else None
        position.index = self.indices[index] if self.indices is not None else None


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. `levels` counts the `^` of its prefix; `words` are those inside of it."""

    text: str
    scope: Scope
    levels: int = 0
    path: tuple[str, ...] | None = None
    constant: Any = None
    program: Any = field(default=None, repr=False, compare=False)
    words: tuple[Word, ...] = ()

    @property
    def is_of_document(self) -> bool:
        """Whether it needs no record: it can be evaluated on a whole answer."""
        return self.scope is not Scope.CONSTANT and all(word.is_of_answer for word in self.words)

    @property
    def unlikely_keys(self) -> list[str]:
        """What is valid in it, and hardly meant."""
        return list(self.program.unlikely_keys) if self.program is not None else []

    def column(self, group: Group) -> list[Any]:
        """One value per record of the group: None where the expression finds nothing, a Failure where it cannot be
        applied."""
        count = len(group.records)
        match self.scope:
            case Scope.RECORD if group.columns is not None and self.path:
                return _dug(group.columns.get(self.path[0]) or [None] * count, self.path[1:])
            case Scope.RECORD:
                return self._in_each(group)
            case Scope.CONSTANT:
                return [self.constant] * count
            case Scope.KEY if self.levels == 0:
                return list(group.keys) if group.keys is not None else [None] * count
            case Scope.INDEX if self.levels == 0:
                return list(group.indices) if group.indices is not None else [None] * count
            case Scope.ENCLOSING if self.path is not None:
                return [_at(self.path, group.enclosing[self.levels - 1])] * count
            case Scope.DOCUMENT if self.path is not None:
                return [_at(self.path, group.enclosing[-1])] * count
            case Scope.KEY:
                return [group.outer_keys[self.levels - 1]] * count
            case _:
                return [self._or_failure(None, group.position())] * count

    def _in_each(self, group: Group) -> list[Any]:
        records = group.records
        if self.path is not None:
            if len(self.path) == 1:
                name = self.path[0]
                try:
                    return [record.get(name) for record in records]
                except AttributeError:  # a record that is no object
                    pass
            return [_at(self.path, record) for record in records]
        position = group.position()
        interpreter, column = self.program.interpreter(position), []
        for index, record in enumerate(records):
            group.move(position, index)
            try:
                column.append(interpreter.found(self.program.parsed, record))
            except ExpressionFailed as error:
                column.append(self.failure(error))
        return column

    def as_text(self) -> Expression:
        """For a label: a number that stands for itself is the text that was written (`1.10`, not 1.1)."""
        is_number = self.scope is Scope.CONSTANT and not isinstance(self.constant, str)
        return replace(self, constant=self.text.strip()) if is_number else self

    def trace(self, value: Any, position: Position | None = None) -> Trace:
        """How far the expression goes into one object."""
        return self.follow(Trace(Kind.FOUND, value), position)

    def follow(self, start: Trace, position: Position | None = None) -> Trace:
        """The same from what was found at `start`."""
        if self.path is not None:
            return expression_trace.follow_names(self.path, start)
        try:
            if self.program is not None:
                interpreter = self.program.interpreter(position)
                return expression_trace.follow(self.program.parsed, start, interpreter)
            found = self.one(None, position or Position(Document(None)))
        except BudgetExceeded:  # dear only where there are elements: it is no absence
            return Trace(Kind.EMPTY, start.value, start.path)
        except (ExpressionFailed, RecursionError):
            found = None
        return Trace(Kind.MISSING, start.value, start.path) if found is None else Trace(Kind.FOUND, found)

    def one(self, value: Any, position: Position | None = None) -> Any:
        """The expression applied to one object at a position, which a plain path does not need; None where it finds
        nothing. Raises ExpressionFailed and BudgetExceeded."""
        match self.scope:
            case Scope.CONSTANT:
                return self.constant
            case Scope.RECORD:
                return self._inside(value, position)
        at = position or Position(Document(value), (value,))
        if self.scope is Scope.DOCUMENT and self.program is not None:
            return self._of_document(at)
        outer = word_value(self.words[0], at)
        return self._inside(outer, at) if self.scope in (Scope.DOCUMENT, Scope.ENCLOSING) else outer

    def _inside(self, value: Any, position: Position | None) -> Any:
        if self.path is not None:
            return _at(self.path, value)
        try:
            return self.program.interpreter(position).found(self.program.parsed, value)
        except ExpressionFailed as error:
            raise ExpressionFailed(self.failure(error).message) from None

    def _of_document(self, at: Position) -> Any:
        """What a document has for all of its records."""
        memo, program = at.document.memo, self.program
        if id(program) not in memo:
            memo[id(program)] = program, self._inside(at.document.value, at)  # the program is kept, and so is its id
        return memo[id(program)][1]

    def _or_failure(self, value: Any, position: Position) -> Any:
        try:
            return self.one(value, position)
        except ExpressionFailed as error:
            return Failure(str(error))

    def failure(self, error: object) -> Failure:
        """Why it cannot be applied to something, with its own text."""
        return Failure(f"{self.text.strip():.{_SHOWN_TEXT}}: {error}")


def _at(path: Sequence[str], value: Any) -> Any:
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def _dug(column: list[Any], path: Sequence[str]) -> list[Any]:
    return [_at(path, value) for value in column] if path else column


def parse(text: str) -> Expression:
    """Expression text -> Expression. Raises InvalidExpression."""
    stripped = text.strip()
    if not stripped:
        raise InvalidExpression("an expression is expected, not an empty text")
    if _NUMBER.fullmatch(stripped):
        return Expression(text, Scope.CONSTANT, constant=int(stripped) if stripped.isdigit() else float(stripped))
    if constant := _CONSTANT.fullmatch(stripped):
        return Expression(text, Scope.CONSTANT, constant=constant[1])
    return _with_words(text, stripped) if set(stripped) & set("$^@") else _compiled(text, stripped)


def _with_words(text: str, stripped: str) -> Expression:
    """An expression that has words, or characters that look like one. Raises InvalidExpression."""
    if detail := mistake(stripped):
        raise InvalidExpression(detail)
    found = tuple(words(stripped))
    if found and found[0].end - found[0].start == len(stripped):
        word = found[0]
        is_object = word.scope in (Scope.DOCUMENT, Scope.ENCLOSING)
        return Expression(text, word.scope, word.levels, path=() if is_object else None, words=found)
    up = _UP.match(stripped)
    if stripped.startswith("$.") and len(found) <= 1:
        return _prefixed(text, stripped, Word("$", Scope.DOCUMENT), 2)
    if up and len(found) <= 1:
        return _prefixed(text, stripped, Word(up[0][:-1], Scope.ENCLOSING, up.end() // 2), up.end())
    if stripped[0] in "$^" and not (found and found[0].start == 0):
        detail = "after $ or ^ comes a dot and a path, as $.release or ^.name"
        is_key = re.fullmatch(r"[$^]\w+", stripped)
        raise InvalidExpression(
            f"{detail}; a key of this name needs double quotes: '\"{stripped}\"'" if is_key else detail
        )
    return _compiled(text, stripped)


def _prefixed(text: str, stripped: str, word: Word, end: int) -> Expression:
    """A path behind `$.` or `^.`: what it looks at is the same for many records."""
    rest = stripped[end:]
    if path := _path_of(rest):
        return Expression(text, word.scope, word.levels, path=path, words=(word,))
    if rest == "@":
        return Expression(text, word.scope, word.levels, path=(), words=(word,))
    program = _program(rest, (), prefix=stripped[:end])
    if program.is_of_operands:  # the prefix is the first operand's
        return _compiled(text, stripped)
    return Expression(text, word.scope, word.levels, program=program, words=(word,))


def _compiled(text: str, stripped: str) -> Expression:
    if path := _path_of(stripped):
        return Expression(text, Scope.RECORD, path=path)
    if stripped == "@":
        return Expression(text, Scope.RECORD, path=())
    program = _program(stripped, words(stripped))
    return Expression(text, Scope.RECORD, program=program, words=program.words)


def _path_of(text: str) -> tuple[str, ...] | None:
    """The keys of a dotted path; None for any other expression."""
    if not _PATH.fullmatch(text):
        return None
    if '"' not in text:
        return tuple(text.split("."))
    try:
        return tuple(json.loads(key) if key[0] == '"' else key for key in re.findall(_KEY, text, re.ASCII))
    except ValueError:  # jmespath says where
        return None


def _program(text: str, found: Sequence[Word], prefix: str = "") -> Any:
    """The compiled text, in which these words are, behind `prefix`. Raises InvalidExpression."""
    from jmespath.exceptions import JMESPathError  # only configs that need more than dotted names pay for it

    from .expression_program import Program

    if text.startswith("{."):
        raise InvalidExpression("this is JSONPath; expressions are JMESPath, as a.b")
    try:
        return Program(text, found)
    except JMESPathError as error:
        from .expression_errors import advice  # only a mistake needs it

        detail = _NO_NEWS.sub("", str(error).partition("\n")[0])
        hint = advice(prefix, text, _compiles)
        raise InvalidExpression(f"not a JMESPath expression: {detail}{f'; {hint}' if hint else ''}") from None
    except RecursionError:
        raise InvalidExpression("not a JMESPath expression: it is nested too deeply") from None
    except ValueError as error:
        raise InvalidExpression(f"not a JMESPath expression: {error}") from None


def _compiles(text: str) -> bool:
    from .expression_program import Program

    try:
        Program(text, words(text))
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Step:
    """One step of `records`: where it looks in the record, and whether a list found there is flattened (`[]`)."""

    expression: Expression
    flatten: bool = False

    def __call__(self, value: Any) -> Any:
        """What a step that is a plain path finds."""
        found = _at(self.path or (), value)
        if not self.flatten:
            return found
        return _flattened(found) if type(found) is list else None

    def walk(self, value: Any, position: Position) -> tuple[Any, Sequence[Failure]]:
        """What the step finds at a position, and the elements that it cannot be applied to. Raises BudgetExceeded."""
        if self.path is not None and self.expression.scope is Scope.RECORD:
            return self(value), ()
        expression, failures, found = self.expression, list[Failure](), None
        try:
            if expression.program is None:
                return expression.one(value, position), ()
            base = value if expression.scope is Scope.RECORD else word_value(expression.words[0], position)
            found = expression.program.interpreter(position, failures).records(expression.program.parsed, base)
        except ExpressionFailed as error:
            failures.append(Failure(str(error)))
        return found, [expression.failure(one.message) for one in failures]

    @property
    def text(self) -> str:
        return self.expression.text

    @property
    def path(self) -> tuple[str, ...] | None:
        return self.expression.path

    @property
    def is_index(self) -> bool:
        """Whether it ends with the choice of one element, as `items[0]` does."""
        parsed = self.expression.program.parsed if self.expression.program is not None else {}
        parsed = parsed["children"][0] if parsed.get("type") == "once" else parsed
        return parsed.get("type") == "index_expression" and parsed["children"][-1]["type"] == "index"

    def without_flatten(self, value: Any, position: Position) -> Any:
        """What a step that ends with `[]` has before that. `position` is that of the group of its records."""
        step = parse_step(self.text.strip().removesuffix("[]") or "@")
        return step.walk(value, position)[0]

    def trace(self, start: Trace, position: Position | None = None) -> Trace:
        """How far the step goes from what was found at `start`."""
        if position is not None and self.expression.scope is not Scope.RECORD:
            word = self.expression.words[0]
            start = Trace(Kind.FOUND, word_value(word, position), word.text)
        at = self.expression.follow(start, position)
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
    simple = _STEP.fullmatch(stripped)
    if simple and simple[2] != "[*]" and (path := _path_of(simple[1]) if simple[1] else ()) is not None:
        return Step(Expression(text, Scope.RECORD, path=path), flatten=simple[2] == "[]")
    found = parse(text)
    if found.scope in (Scope.CONSTANT, Scope.KEY, Scope.INDEX, Scope.STATUS, Scope.HEADER):
        raise InvalidExpression("a step finds records: a list, or an object")
    return Step(found)


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

    def walk(self, answer: Any) -> Iterator[Group]:
        """The groups of innermost records, in document order, of a Document or a plain value. Raises
        BudgetExceeded."""
        document = document_of(answer)
        columns = document.value
        if isinstance(columns, Columns):
            found = range(columns.count)
            around = Position(document, (None,), (None,), (None,))
            yield _group(around, found, indices=found, columns=columns.fields)
            return
        around = Position(document, (document.value,), (None,), (None,))
        yield from self._walk(document.value, 0, around)

    def _walk(self, value: Any, level: int, around: Position) -> Iterator[Group]:
        """The groups inside `value`, which is the first that encloses them."""
        step = self.steps[level]
        is_plain = step.path is not None and step.expression.scope is Scope.RECORD
        found, failures = (step(value), ()) if is_plain else step.walk(value, around)
        if found is None and not failures:
            at = step.trace(Trace(Kind.FOUND, value), around)
            if at.kind is Kind.NOT_A_LIST:
                yield _group(around, not_a_list=at)
            return
        keys, records, indices = self._records_of(found, level) if found is not None else (None, (), None)
        if level == len(self.steps) - 1:
            columns = found.fields if type(found) is Columns else None
            yield _group(around, records, keys, indices, columns, failures=failures)
            return
        if failures:
            yield _group(around, failures=failures)
        for index, record in enumerate(records):
            yield from self._walk(record, level + 1, _inside(around, record, index, keys, indices))

    def _records_of(self, found: Any, level: int) -> tuple[Sequence[str] | None, Sequence[Any], Sequence[int] | None]:
        """What a step has found, as records with their keys where these are used, and their indices."""
        has_keys = level in self.key_levels
        if isinstance(found, list | Columns):
            records = Rows(found) if isinstance(found, Columns) else found
            indices = range(len(records))
            return list(map(str, indices)) if has_keys else None, records, indices
        if type(found) is dict and has_keys:
            return list(found), list(found.values()), range(len(found))
        return None, [found], range(1)  # as a list of one, which many an API makes an object of

    def absence(self, answers: Iterable[Any]) -> Trace | None:
        """Why no document has records; None where an empty list says that there are none."""
        documents = [one for one in map(document_of, answers) if type(one.value) is not Columns]
        traces = [
            self._trace(Trace(Kind.FOUND, one.value), 0, Position(one, (one.value,), (None,), (None,)))
            for one in documents
        ]
        best = expression_trace.first_of(traces)
        return best if best is not None and best.is_absence else None

    def missing_step(self, answers: Sequence[Any]) -> Step:
        """The first step that finds nothing where records are absent."""
        for level, step in enumerate(self.steps):
            if Records(self.steps[: level + 1], self.key_levels).absence(answers):
                return step
        return self.steps[-1]

    def _trace(self, start: Trace, level: int, around: Position) -> Trace:
        at = self.steps[level].trace(start, around)
        if at.kind is not Kind.FOUND or level == len(self.steps) - 1:
            return at
        keys, records, indices = self._records_of(at.value, level)
        path = at.path if at.path.endswith("]") or records is not at.value else f"{at.path}[]"
        inner = [
            self._trace(Trace(Kind.FOUND, one, path), level + 1, _inside(around, one, index, keys, indices))
            for index, one in enumerate(records)
        ]
        return expression_trace.first_of(inner) or Trace(Kind.EMPTY, [], at.path)


def _group(
    around: Position,
    records: Sequence[Any] = (),
    keys: Sequence[str] | None = None,
    indices: Sequence[int] | None = None,
    columns: Mapping[str, list[Any]] | None = None,
    not_a_list: Trace | None = None,
    failures: Sequence[Failure] = (),
) -> Group:
    """`around` is the position of what the records lie in."""
    return Group(
        records, keys, around.enclosing, around.outer_keys, columns, not_a_list, indices, around.outer_indices,
        around.document, failures,
    )  # fmt: skip


def _inside(
    around: Position, record: Any, index: int, keys: Sequence[str] | None, indices: Sequence[int] | None
) -> Position:
    """The position of what lies in a record."""
    key, place = keys[index] if keys is not None else None, indices[index] if indices is not None else None
    enclosing = (record, *around.enclosing)
    return Position(around.document, enclosing, (key, *around.outer_keys), (place, *around.outer_indices))


def records(steps: Sequence[Step], expressions: Sequence[Expression]) -> Records:
    """Steps and the expressions evaluated under them -> Records. In both, `^` is what encloses the records. Raises
    InvalidExpression for a `^` that leaves the document."""
    depth, key_levels = len(steps), set()
    for word in (word for expression in expressions for word in expression.words):
        if word.depth > depth:
            raise InvalidExpression(f"reaches out of records, which has {depth} step{'s' if depth != 1 else ''}")
        if word.scope is Scope.KEY:
            key_levels.add(depth - 1 - word.levels)
    for level, word in ((level, word) for level, step in enumerate(steps) for word in step.expression.words):
        is_place = word.scope in (Scope.KEY, Scope.INDEX)
        if is_place and not word.levels:
            raise InvalidExpression(f"a step has no {word.text} of its own: ^{word.text} is that of what it looks into")
        if word.depth > level + 1:
            raise InvalidExpression(f"{word.text} in step {level + 1} reaches out of the document")
        if word.scope is Scope.KEY:
            key_levels.add(level - word.levels)
    return Records(tuple(steps), frozenset(key_levels))
