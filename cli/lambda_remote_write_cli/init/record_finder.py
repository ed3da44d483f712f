"""Finds the records of a document: lists, maps whose keys are data, tables and parallel lists, at any depth."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from .column_kinds import HERE, Column, Kind, classified, is_number
from .names import counted_by, is_generic, is_plural, literal, quoted_key, singular, snake
from .times import names_time

MAX_RECORDS = 1_000  # of one list that are looked at
_MAX_DEPTH = 12
_MAX_INDEXED = 60  # places of a list of numbers; a longer one is a history
_HEADERS = ("columns", "fields", "header", "headers", "columnnames", "column_names", "names", "cols")
_DATA_KEY = re.compile(
    r"[^A-Za-z_]*\d[^A-Za-z_]*|.*[-./:@ ].*|[0-9a-fA-F-]{16,}|(?=.*\d)(?=.*[A-Za-z])[\w-]{16,}|.*\d{2,}"
)
_CURRENCY = re.compile(r"[A-Z]{3}|usd|eur|gbp|jpy|chf|cny|krw|aud|cad|inr|btc|eth")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}", re.IGNORECASE)


@dataclass(slots=True)
class RecordSet:
    """Records of one kind. `steps` is `records` of their metrics; `names` are the keys that lead to each step, and
    `keyed` says which steps walk a map. A chain is a record with what is around it, the document last."""

    steps: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    keyed: tuple[bool, ...]
    chains: list[tuple[Any, ...]] = field(repr=False)
    keys: list[tuple[str, ...]] = field(repr=False)
    parent: RecordSet | None = None
    columns: list[Column] = field(default_factory=list)
    is_list: bool = False
    is_one: bool = False  # a filter that finds one record, which needs no label beside it
    key_label: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def records(self) -> list[Any]:
        return [chain[0] for chain in self.chains]

    @property
    def container(self) -> str:
        """The key that says what the records are; "" when none does."""
        words = [word for step in self.names for word in step]
        return next((word for word in reversed(words) if not is_generic(word)), "")

    @property
    def last_word(self) -> str:
        return self.names[-1][-1] if self.names and self.names[-1] else ""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a walk stands: the expression of what it looks at, in the record, and the keys that led there."""

    expression: str
    words: tuple[str, ...] = ()
    depth: int = 0

    def inside(self, key: str) -> Seen:
        base = self.expression
        path = f"{HERE}{quoted_key(key)}" if base == f"{HERE}@" else f"{base}.{quoted_key(key)}"
        return Seen(path, (*self.words, key), self.depth + 1)

    def at(self, index: int) -> Seen:
        base = HERE if self.expression == f"{HERE}@" else self.expression
        return Seen(f"{base}[{index}]", self.words, self.depth + 1)

    def parsed(self) -> Seen:
        return Seen(f"from_json({self.expression})", self.words, self.depth + 1)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of `records`: its expression, what it finds in a value, each with its key or index, and the words that
    it adds to the names of its metrics."""

    expression: str
    elements: Callable[[Any], Iterable[tuple[str, Any]]]
    words: tuple[str, ...] = ()
    is_map: bool = False

    @classmethod
    def of_list(cls, expression: str, elements: Callable[[Any], list[Any]], words: tuple[str, ...] = ()) -> Step:
        return cls(expression, lambda value: ((str(index), one) for index, one in enumerate(elements(value))), words)

    @classmethod
    def of_map(cls, expression: str) -> Step:
        return cls(expression, lambda value: value.items(), is_map=True)


class Finder:
    """Walks a document once; `sets` has its records, outer ones first. `root_name` is what the document's own list or
    map is one of, "" when the URL does not say."""

    def __init__(self, document: Any, root_name: str, now_ms: int, *, is_xml: bool = False) -> None:
        self.sets: list[RecordSet] = []
        self.left_out: list[str] = []
        self._now_ms, self._is_xml = now_ms, is_xml
        root = RecordSet((), (), (), [(document,)], [()])
        here = Seen(f"{HERE}@")
        self._root_name = (root_name,) if root_name else ()
        if isinstance(document, dict) and not _is_map([document], root_name):
            self._add(root)
        else:
            self._value(root, here, [document])
        if root.columns and root not in self.sets:  # of a list that is one record
            self.sets.insert(0, replace(root, steps=("[@]",), names=((),), keyed=(False,)))

    # --- Walking ------------------------------------------------------------------------------------------------------

    def _add(self, found: RecordSet) -> None:
        self.sets.append(found)
        records = found.records
        if all(isinstance(record, list) for record in records):
            self._cells(found, records)
        else:
            self._value(found, Seen(f"{HERE}@"), records, is_record=True)

    def _cells(self, found: RecordSet, records: Sequence[list[Any]]) -> None:
        """Rows without a header: each place is a column."""
        for index in range(max(map(len, records), default=0)):
            cells = [record[index] if index < len(record) else None for record in records]
            place = Seen(f"{HERE}@").at(index)
            column = self._column(found, Seen(place.expression, (f"column {index}",)), cells)
            if column.time:
                column.words = ("time",)
        numbers = [column for column in found.columns if column.kind is Kind.NUMBER]
        if len(numbers) == 1:
            numbers[0].words = ()  # the only one: named after the list

    def _value(self, of: RecordSet, at: Seen, values: list[Any], *, is_record: bool = False) -> None:
        """One expression over all records of a set, with what it gives in each."""
        given = [value for value in values if value is not None]
        if not given or at.depth > _MAX_DEPTH:
            return
        kinds = {type(value) for value in given}
        if kinds <= {dict}:
            self._objects(of, at, values, is_record=is_record)
        elif kinds <= {list}:
            self._lists(of, at, values)
        elif kinds <= {dict, list}:  # one object where there is one, and a list where there are more
            self._child(of, at, Step.of_list(self._path(at), _as_list), values)
        elif kinds <= {str} and (parsed := _embedded(values)):
            self._value(of, at.parsed(), parsed)
        else:
            self._column(of, at, values)

    def _objects(self, of: RecordSet, at: Seen, values: list[Any], *, is_record: bool) -> None:
        given = [value for value in values if isinstance(value, dict)]
        name = at.words[-1] if at.words else (self._root_name[0] if self._root_name and not of.steps else "")
        if not is_record and _is_map(given, name):
            self._map(of, at, values, name)
            return
        if self._is_xml and len(at.words) > 1 and singular(at.words[-2]) == at.words[-1]:
            self._child(of, at, Step.of_list(self._path(at), lambda value: [value]), values)
            return
        keys = list(dict.fromkeys(key for value in given for key in value))
        keys = [key for key in keys if isinstance(key, str)]
        taken = self._tables(of, at, values, keys)
        for key in keys:
            if key not in taken:
                inner = [value.get(key) if isinstance(value, dict) else None for value in values]
                self._value(of, at.inside(key), inner)

    def _tables(self, of: RecordSet, at: Seen, values: list[Any], keys: Sequence[str]) -> set[str]:
        """Keys that are a table together: a header beside rows, or parallel lists."""
        given = [value for value in values if isinstance(value, dict)]
        for header in keys:
            if snake(header) not in _HEADERS:
                continue
            rows = next((key for key in keys if key != header and _are_rows(given, header, key)), "")
            if rows:
                step = f"rows({at.inside(header).expression}, {at.inside(rows).expression})"
                self._child(of, at.inside(rows), Step.of_list(step, _rows_under(header, rows)), values)
                return {header, rows}
        parallel = _parallel(given, keys)
        if not parallel:
            return set()
        if len(parallel) == len(keys):
            step = f"columns({at.expression})"
        else:
            step = f"columns({{{', '.join(f'{quoted_key(key)}: {at.inside(key).expression}' for key in parallel)}}})"
        self._child(of, at, Step.of_list(step, lambda value: _of_columns(value, parallel)), values)
        return set(parallel)

    def _map(self, of: RecordSet, at: Seen, values: list[Any], name: str) -> None:
        words = at.words or self._root_name
        child = self._child(of, at, Step.of_map(self._path(at)), values)
        if child:
            keys = next((list(value) for value in values if value), [])
            holds_objects = all(isinstance(record, dict) for record in child.records)
            label = name or (words[-1] if words else "")
            child.key_label = _label_of_keys(keys, label, holds_objects=holds_objects)

    def _lists(self, of: RecordSet, at: Seen, values: list[Any]) -> None:
        elements = [element for value in values for element in value or ()][:MAX_RECORDS]
        kinds = {type(element) for element in elements if element is not None}
        longest = max((len(value) for value in values if value), default=0)
        if not kinds:
            self.left_out.append(f"{_shown(at)}: an empty list; run init again when it has records")
        elif kinds <= {dict}:
            self._records(of, at, values)
        elif kinds <= {list}:
            self._rows(of, at, values, elements)
        elif kinds <= {int, float} and kinds != {bool}:
            self._numbers(of, at, values, longest)
        elif longest > 1 and kinds <= {str} and not all(map(is_number, filter(None, elements))):
            self._texts(of, at, values)
        elif longest <= 8 and not kinds & {dict, list}:
            for index in range(longest):
                cells = [value[index] if value and index < len(value) else None for value in values]
                column = self._column(of, at.at(index), cells)
                if column.time and longest > 1:
                    column.words = (*column.words, "time")
        else:
            self.left_out.append(f"{_shown(at)}: a list of mixed values")

    def _records(self, of: RecordSet, at: Seen, values: list[Any]) -> None:
        groups = _unlike_groups(values) if len(values) == 1 else []
        if not groups:
            self._child(of, at, Step.of_list(self._path(at, "[]"), list), values)
            return
        for condition, words, members in groups:
            step = Step.of_list(self._path(at, f"[?{condition}]"), _given(members), words)
            child = self._child(of, at, step, values)
            if child:
                child.is_one = len(members) == 1

    def _rows(self, of: RecordSet, at: Seen, values: list[Any], rows: Sequence[list[Any]]) -> None:
        has_header = len(values) == 1 and len(rows) > 1 and None not in rows and _is_header(rows[0], rows[1:])
        if has_header:
            first, rest = at.at(0).expression, f"{HERE if at.expression == f'{HERE}@' else at.expression}[1:]"
            step = Step.of_list(f"rows({first}, {rest})", lambda value: _of_rows(value[0], value[1:]))
            self._child(of, at, step, values)
        elif all(not isinstance(cell, list | dict) for row in rows if row for cell in row):
            self._child(of, at, Step.of_list(self._path(at), list), values)
        else:
            self.left_out.append(f"{_shown(at)}: lists in lists")

    def _numbers(self, of: RecordSet, at: Seen, values: list[Any], longest: int) -> None:
        if longest == 2 and any(classified(Column("", ("t",), [v[0]]), self._now_ms).time for v in values if v):
            for index, name in enumerate(("time", "")):  # a pair of time and value
                cells = [value[index] if value else None for value in values]
                self._column(of, Seen(at.at(index).expression, (*at.words, *filter(None, [name]))), cells)
            return
        child = self._child(
            of, at, Step.of_list(self._path(at, "[-1:]" if longest > _MAX_INDEXED else ""), list), values
        )
        if child and longest > _MAX_INDEXED:
            child.notes.append(f"a list of {longest} numbers without times: the last one; is the newest at the end?")
            child.chains = child.chains[-1:]
            child.keys = child.keys[-1:]
            child.columns.clear()
            self._value(child, Seen(f"{HERE}@"), child.records, is_record=True)

    def _texts(self, of: RecordSet, at: Seen, values: list[Any]) -> None:
        if at.words or of.steps:
            counts = [len(value) if value is not None else None for value in values]
            column = Column(f"length({at.expression})", (*at.words, "count"), counts)
            of.columns.append(classified(column, self._now_ms))
            return
        child = self._child(of, at, Step.of_list("@", list), values)
        if child:
            column = child.columns[0]
            is_address = all(_ADDRESS.fullmatch(text) for text in child.records if text)
            column.words = ("ip" if is_address else singular(self._root_name[0]) if self._root_name else "text",)

    @staticmethod
    def _path(at: Seen, ending: str = "") -> str:
        path = at.expression
        if path == f"{HERE}@" and ending:
            return f"{HERE}{ending}"
        return f"{path}{ending}"

    def _child(self, of: RecordSet, at: Seen, step: Step, values: list[Any]) -> RecordSet | None:
        """The records that a step finds in these values, one value for each record of `of`."""
        every = (
            (element, key, row)
            for row, value in enumerate(values)
            for key, element in (step.elements(value) if value is not None else ())
            if element is not None
        )
        found = list(islice(every, MAX_RECORDS))
        if not found:
            self.left_out.append(f"{_shown(at)}: an empty list; run init again when it has records")
            return None
        names = (*(at.words or (() if of.steps else self._root_name)), *step.words)
        child = RecordSet(
            (*of.steps, step.expression.replace(HERE, "")),
            (*of.names, names),
            (*of.keyed, step.is_map),
            [(element, *of.chains[row]) for element, _, row in found],
            [(key, *of.keys[row]) for _, key, row in found],
            of,
            is_list=not step.is_map,
        )
        self._add(child)
        return child

    def _column(self, of: RecordSet, at: Seen, values: list[Any]) -> Column:
        column = classified(Column(at.expression, at.words, values), self._now_ms)
        of.columns.append(column)
        return column


def _shown(at: Seen) -> str:
    return at.expression.replace(f"{HERE}@", "the document").replace(HERE, "")


def _as_list(value: Any) -> list[Any]:
    """One object stands for a list of one."""
    return value if isinstance(value, list) else [value]


def _embedded(values: Sequence[Any]) -> list[Any]:
    """The documents in texts; [] when none of them holds an object or a list."""
    found: list[Any] = []
    for value in values:
        parsed = None
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                parsed = json.loads(value)
            except (ValueError, RecursionError):
                return []
        elif value:
            return []
        found.append(parsed if isinstance(parsed, dict | list) else None)
    return found if any(one is not None for one in found) else []


# --- Maps -------------------------------------------------------------------------------------------------------------


def _is_map(given: Sequence[dict[str, Any]], name: str) -> bool:
    """Whether the keys of these objects are data, as ids and names of things, and not words of the API."""
    keys = list(dict.fromkeys(key for value in given for key in value))
    values = [value[key] for value in given for key in value if value[key] is not None]
    if not keys or not values:
        return False
    data_like = sum(bool(_DATA_KEY.fullmatch(key)) for key in keys) / len(keys)
    if all(isinstance(value, dict) for value in values):
        if len(keys) == 1 or len(values) == 1:
            return len(keys) == 1 and bool(data_like) and len(values[0]) > 0 and (is_plural(name) or len(keys[0]) > 15)
        likeness = _likeness([set(value) for value in values])
        fields = max(map(len, values))
        if len(given) > 1 and not data_like and not is_plural(name):
            return False  # the same words in every record
        return likeness >= 0.6 and (data_like >= 0.5 or (fields > 1 and likeness >= 0.8) or len(keys) > 2 <= fields)
    if not all(isinstance(value, int | float | str) for value in values):
        return False
    if counted_by(name) or (len(keys) > 1 and all(_CURRENCY.fullmatch(key) for key in keys)):
        return True
    return (
        len(keys) > 2
        and len(set(map(type, values))) == 1
        and all(_DATA_KEY.fullmatch(key) for key in keys)
        and not (isinstance(values[0], str))
    )


def _likeness(sets: Sequence[set[str]]) -> float:
    """The mean Jaccard index of each set and all keys that half of the sets have."""
    counts = Counter(key for one in sets for key in one)
    common = {key for key, count in counts.items() if count * 2 >= len(sets)}
    return sum(len(one & common) / max(len(one | common), 1) for one in sets) / len(sets)


def _label_of_keys(keys: Sequence[str], name: str, *, holds_objects: bool) -> str:
    if found := counted_by(name):
        return found
    if keys and all(_CURRENCY.fullmatch(key) for key in keys):
        return "currency"
    names_things = is_plural(name) or holds_objects  # `wifi` with an object for each band; `load` is a quantity
    return singular(snake(name)) if name and names_things and not is_generic(name) else "key"


# --- Tables -----------------------------------------------------------------------------------------------------------


def _are_rows(given: Sequence[dict[str, Any]], header: str, rows: str) -> bool:
    def fit(value: dict[str, Any]) -> bool:
        names, body = value.get(header), value.get(rows)
        if not isinstance(names, list) or not isinstance(body, list) or not names:
            return False
        is_named = all(isinstance(one, str) or (isinstance(one, dict) and "name" in one) for one in names)
        return is_named and all(isinstance(row, list) and len(row) == len(names) for row in body)

    return any(value.get(rows) for value in given) and all(fit(value) for value in given)


def _rows_under(header: str, rows: str) -> Callable[[Any], list[Any]]:
    return lambda value: _of_rows(value[header], value[rows])


def _of_rows(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[Any]:
    names = [one["name"] if isinstance(one, dict) else str(one) for one in header]
    return [dict(zip(names, row, strict=False)) for row in rows]


def _is_header(first: Sequence[Any], rest: Sequence[Sequence[Any]]) -> bool:
    are_names = all(isinstance(cell, str) and cell and not is_number(cell) for cell in first)
    has_numbers = any(not isinstance(cell, str) or is_number(cell) for row in rest for cell in row if cell is not None)
    return are_names and len(set(first)) == len(first) and has_numbers and all(len(row) == len(first) for row in rest)


def _parallel(given: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[str]:
    """Keys of lists that are columns of one table: of equal length in each object, one of them a time or a name."""

    def length(value: dict[str, Any], key: str) -> int:
        found = value.get(key)
        is_flat = isinstance(found, list) and all(not isinstance(one, list | dict) for one in found)
        return len(found) if is_flat and isinstance(found, list) else -1

    lengths = {key: tuple(length(value, key) for value in given) for key in keys}
    by_length = Counter(one for one in lengths.values() if min(one, default=-1) >= 0 and max(one) > 1)
    for one, count in by_length.most_common():
        found = [key for key in keys if lengths[key] == one]
        has_axis = any(names_time(key) or all(isinstance(x, str) for x in given[0][key]) for key in found)
        if count > 1 and (has_axis or max(one) > 3):
            return found
    return []


def _of_columns(value: dict[str, Any], keys: Sequence[str]) -> list[Any]:
    return [dict(zip(keys, cells, strict=True)) for cells in zip(*(value[key] for key in keys), strict=True)]


# --- Lists of unlike records ------------------------------------------------------------------------------------------


def _given(members: list[Any]) -> Callable[[Any], list[Any]]:
    return lambda _: members


_Group = tuple[str, tuple[str, ...], list[Any]]
_NAMING = ("name", "id", "type", "key", "title", "metric")


def _unlike_groups(values: Sequence[Any]) -> list[_Group]:
    """Records of several kinds in one list, as the beans of JMX: for each kind a condition, the words for its metrics
    and its records. [] when the records are alike."""
    records = [record for record in values[0] or () if isinstance(record, dict)]
    key = next((key for key in _NAMING if _names_each(records, key)), "")
    if len(records) < 2 or len(records) > 200 or not key or _likeness([set(record) for record in records]) >= 0.45:
        return []
    kinds = list[list[Any]]()
    for record in records:
        fitting = (kind for kind in kinds if _shared(set(record), set(kind[0])) >= 0.6)
        kind = next(fitting, None)
        kinds.append([record]) if kind is None else kind.append(record)
    return list(_conditions(kinds, key)) if len(kinds) > 1 else []


def _names_each(records: Sequence[dict[str, Any]], key: str) -> bool:
    names = [record.get(key) for record in records]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _shared(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def _conditions(kinds: Sequence[list[Any]], key: str) -> Iterator[_Group]:
    for kind in kinds:
        if len(kind) == 1:
            name = kind[0][key]
            yield f"{quoted_key(key)} == {literal(name)}", (re.split(r"[=,;:/]", name)[-1],), kind
            continue
        others = {field for other in kinds if other is not kind for record in other for field in record}
        own = next((field for field in kind[0] if field not in others and all(field in one for one in kind)), "")
        if own:
            yield quoted_key(own), (), kind
