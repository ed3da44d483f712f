"""What expressions know beside the record: the answer it came in, what encloses it, and what one scrape may cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from .expression_words import Scope, Word

MAX_VISITS = 5_000_000
"""Elements that the expressions of one scrape may look at: some ten seconds of CPU. A filter over m elements in each of
n records looks at n times m; a job of 100,000 records with a few short lists in each stays below."""
CHARACTERS_PER_VISIT = 16  # of the texts that a function reads


class ExpressionFailed(Exception):
    """An expression cannot be applied to what it got; the message says what it expects."""


class BudgetExceeded(Exception):
    """The expressions of one scrape cost too much; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Stands in a column for the value of a record to which an expression cannot be applied."""

    message: str


def _no_json(text: str) -> Any:
    """The decoder of an evaluation that has none."""
    raise ValueError(f"{len(text)} characters that nothing decodes")


@dataclass(slots=True)
class Evaluation:
    """What the expressions of one scrape share. `now_ms` is its start; `decode` reads JSON text, and raises ValueError.
    `left_bytes` may still be decoded from texts (None: any number)."""

    now_ms: int = 0
    decode: Callable[[str], Any] = _no_json
    left_bytes: int | None = None
    left_visits: int = MAX_VISITS
    _decoded: dict[str, Any] = field(default_factory=dict)

    def visit(self, count: int) -> None:
        """Accounts for elements before they are visited. Raises BudgetExceeded."""
        self.left_visits -= count
        if self.left_visits < 0:
            raise BudgetExceeded(
                f"the expressions visit more than {MAX_VISITS:,} elements in one scrape; write "
                "lookup(list, key, value) instead of a filter in each record, or pick fewer records"
            )

    def from_json(self, text: str) -> Any:
        """The document in a text; equal texts are decoded once. Raises ValueError and BudgetExceeded."""
        if text in self._decoded:
            return self._decoded[text]
        if self.left_bytes is not None:
            self.left_bytes -= len(text.encode("utf-8", "surrogatepass"))
            if self.left_bytes < 0:
                raise BudgetExceeded(
                    "from_json decodes more bytes in one scrape than the answer may have: raise body_size_limit, or "
                    "ask for less"
                )
        found = self._decoded[text] = self.decode(text)
        return found


@dataclass(frozen=True, slots=True)
class Document:
    """A decoded answer, and what expressions may ask about it. `memo` keeps what they find in it once and for all."""

    value: Any = field(repr=False)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # by name, however that is written
    evaluation: Evaluation = field(default_factory=Evaluation, repr=False)
    memo: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)


def document_of(answer: Any) -> Document:
    """An answer as a Document; a plain value is one with status 200 and without headers."""
    return answer if type(answer) is Document else Document(answer)


@dataclass(slots=True)
class Position:
    """Where an expression stands: the document, what encloses the record (`enclosing[0]` first), and the record's place
    among its siblings. `outer_keys` and `outer_indices` run in step with `enclosing`."""

    document: Document
    enclosing: tuple[Any, ...] = ()
    outer_keys: tuple[str | None, ...] = ()
    outer_indices: tuple[int | None, ...] = ()
    key: str | None = None
    index: int | None = None


def word_value(word: Word, position: Position) -> Any:
    """What a word stands for at a position."""
    match word.scope:
        case Scope.DOCUMENT:
            return position.document.value
        case Scope.ENCLOSING:
            return position.enclosing[word.levels - 1]
        case Scope.STATUS:
            return position.document.status
        case Scope.HEADER:
            return position.document.headers.get(word.header)
        case Scope.KEY:
            return position.outer_keys[word.levels - 1] if word.levels else position.key
        case _:
            return position.outer_indices[word.levels - 1] if word.levels else position.index


@dataclass(frozen=True, slots=True)
class Columns:
    """Records of which only the fields are kept: name -> one value per record, None where a record has none."""

    count: int
    fields: Mapping[str, list[Any]] = field(repr=False)
    head: bytes = field(default=b"", repr=False)  # how the document begins, for messages


class Rows(Sequence[Any]):
    """Columns as records, each made when it is asked for."""

    def __init__(self, columns: Columns) -> None:
        self._columns, self._names = columns, list(columns.fields)

    def __len__(self) -> int:
        return self._columns.count

    def __iter__(self) -> Iterator[Any]:
        if not self._names:
            return iter([{} for _ in range(len(self))])
        rows = zip(*self._columns.fields.values(), strict=True)
        return (dict(zip(self._names, row, strict=True)) for row in rows)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        return {name: values[index] for name, values in self._columns.fields.items()}
