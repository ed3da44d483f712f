"""Record sets -> metrics: values, labels, which rows count, and what only the user can say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .column_kinds import PAGE_WORDS, Column, Kind, scoped
from .names import (
    UNITS,
    holds_secret,
    is_generic,
    is_plural,
    label_name,
    metric_name,
    singular,
    snake,
    unique,
    words,
)
from .record_finder import Finder, RecordSet
from .times import TimeFormat, names_sample_time, shown_age

MAX_METRICS = 80
_MAX_LABELS = 12
_CHANGING = words("version firmware revision build commit release")  # each update would begin new series
MANY_VALUES = 200
"""Values of a label in one answer from which on it may be one without bound."""
_SCOPES = words(
    "base region host hostname cluster site location city station symbol zone environment env tenant account project "
    "vhost namespace node server device serial cluster_name"
)
_WRAPPERS = words("metadata metric meta attributes attrs properties props tags labels info details status spec")
_READABLE = re.compile(r"(?=.*[._ -])(?!.*[0-9a-f]{8}).*[A-Za-z]{4}")
_GENERIC_KEYS = ("name", "title", "label", "key", "slug", "code", "abbr", "id", "uuid", "guid")


@dataclass(slots=True)
class Metric:
    """A proposed metric. `keys` are further keys of it; `notes` stand as comments above it. `type` and `unit` are what
    the user has answered, "" while the question is open."""

    name: str
    value: str
    sample: Any
    keys: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    suggested_type: str = "gauge"
    suggested_unit: str = ""
    type: str = ""
    unit: str = ""
    has_stamp: bool = True  # the time of the record may be its time


@dataclass(slots=True)
class Stamp:
    """A time of the records that may be that of their samples."""

    path: str
    time: TimeFormat
    is_likely: bool
    format: str = ""  # what the user has answered
    timezone: str = ""


@dataclass(slots=True)
class Group:
    """Metrics of the same records. `records` is what stands in the config while no timestamp is set, `all_records` with
    one: of a history only the newest rows make sense without their times."""

    records: tuple[str, ...]
    all_records: tuple[str, ...]
    labels: dict[str, str]
    state_labels: dict[str, str]
    metrics: list[Metric]
    stamp: Stamp | None
    notes: tuple[str, ...]
    count: int

    @property
    def used_records(self) -> tuple[str, ...]:
        return self.all_records if self.stamp and self.stamp.format else self.records


@dataclass(slots=True)
class Proposal:
    """What a document gives. `left_out` says what of it is not sent, and why."""

    groups: list[Group] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> list[Metric]:
        return [metric for group in self.groups for metric in group.metrics]


@dataclass(frozen=True, slots=True)
class _Label:
    """A label: its name, its expression in the set that it is of, and its values by record."""

    name: str
    expression: str
    values: tuple[Any, ...] = field(repr=False)


def propose(finder: Finder, prefix: str, now_ms: int) -> Proposal:
    """Metrics for all records of a document."""
    found, identities, taken = Proposal(left_out=list(finder.left_out)), dict[int, list[_Label]](), set[str]()
    for one in finder.sets:
        names = _Names(one, prefix, taken)
        history, own = _identity(one)
        identities[id(one)] = own
        group = _group(one, names, [*_outer(one, identities), *own], history, now_ms)
        found.left_out += names.left_out
        if group.metrics:
            found.groups.append(group)
    _cut(found)
    return found


def _cut(found: Proposal) -> None:
    """Keeps so many metrics that a person can look at."""
    left = MAX_METRICS
    for group in found.groups:
        if len(group.metrics) > left:
            rest = len(group.metrics) - left
            found.left_out.append(
                f"{rest} more numbers of {', '.join(group.records) or 'the document'}; --only PATH picks"
            )
            del group.metrics[left:]
        left -= len(group.metrics)
    found.groups = [group for group in found.groups if group.metrics]


# --- Which columns tell records apart ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _History:
    """Records of several times of the same series."""

    column: Column
    end: Column | None = None


def _identity(of: RecordSet) -> tuple[_History | None, list[_Label]]:
    """The labels that tell the records apart, and the time that does where no label can."""
    keys = _key_labels(of)
    if len(of.chains) < 2 and (of.is_one or not of.steps):
        return None, keys
    rows = _outer_rows(of)
    rows = [(*row, *(label.values[at] for label in keys)) for at, row in enumerate(rows)]
    chosen, rows = _chosen(of, rows)
    labels = [*keys, *(_label(of, column) for column in chosen)]
    if len(set(rows)) == len(rows) and (chosen or keys or len(rows) == 1):
        if not keys and len(rows) == 1 and not chosen:
            of.notes.append("one record, and nothing that tells it from others: add a label when there are more")
        return None, labels
    times = [column for column in of.columns if column.time and _tells(column, rows)]
    if times:
        return _History(times[0], _end_of(of, times[0])), labels
    if not chosen or all(None not in row[-1:] for row in rows):
        labels += _index_label(of)
    else:
        of.notes.append("records without these labels have the same ones as others: the last of them counts")
    return None, labels


def _outer_rows(of: RecordSet) -> list[tuple[Any, ...]]:
    """By record, the places of the records around it: labels of their own tell those apart."""
    return [keys[1:] for keys in of.keys] if of.parent else [() for _ in of.keys]


def _chosen(of: RecordSet, rows: list[tuple[Any, ...]]) -> tuple[list[Column], list[tuple[Any, ...]]]:
    """The fewest columns that make the rows differ, names before other texts before numbers that look like ids."""
    candidates = sorted((column for column in of.columns if _may_name(column)), key=_rank)
    if len(of.chains) == 1:
        candidates = [one for one in candidates if one.kind is not Kind.IDENTIFIER or not one.key.endswith("_id")]
    if not candidates or (of.keyed and of.keyed[-1]):
        return [], rows
    for column in candidates:
        joined = [(*row, value) for row, value in zip(rows, column.values, strict=True)]
        if len(set(joined)) == len(joined):
            return [column], joined
    chosen, count = list[Column](), len(set(rows))
    for column in candidates:
        joined = [(*row, value) for row, value in zip(rows, column.values, strict=True)]
        if len(set(joined)) > count:
            chosen, rows, count = [*chosen, column], joined, len(set(joined))
    return chosen, rows


def _may_name(column: Column) -> bool:
    if holds_secret(column.key) or any(isinstance(value, list | dict) for value in column.given):
        return False
    return column.kind in (Kind.LABEL, Kind.IDENTIFIER) or (column.kind is Kind.PROSE and column.names_record)


def _rank(column: Column) -> tuple[int, int]:
    is_text, plain = column.kind is not Kind.IDENTIFIER, snake(column.key)
    is_here = len(column.words) < 2 or snake(column.words[-2]) in _WRAPPERS
    if plain in _GENERIC_KEYS and is_here and (is_text or plain == "id"):
        return (0 if is_text else 2), _GENERIC_KEYS.index(plain)
    is_name = column.names_record and not plain.endswith("_id") and is_text
    return (1 if is_name else 3 if is_text else 4), len(column.words)


def _tells(column: Column, rows: Sequence[tuple[Any, ...]]) -> bool:
    joined = {(*row, value) for row, value in zip(rows, column.values, strict=True)}
    return len(joined) > len(set(rows)) and len(set(column.given)) > 1


def _end_of(of: RecordSet, start: Column) -> Column | None:
    """The other end of the records' time, as in prices by the hour."""
    ends = ("end", "to", "until", "valid_to", "end_time", "ends_at", "end_date", "time_end", "valid_until", "till")
    is_end = (column for column in of.columns if column.time and column is not start and snake(column.key) in ends)
    return next(is_end, None)


def _key_labels(of: RecordSet) -> list[_Label]:
    if not of.keyed or not of.keyed[-1]:
        return []
    return [_Label(label_name(of.key_label or "key"), "@key", tuple(keys[0] for keys in of.keys))]


def _index_label(of: RecordSet) -> list[_Label]:
    if not of.is_list or len(of.chains) < 2:
        return []
    word = of.last_word
    name = singular(snake(word)) if word and is_plural(word) and not is_generic(word) else "index"
    of.notes.append("the records have no name of their own: their place tells them apart")
    return [_Label(label_name(name), "@index", tuple(keys[0] for keys in of.keys))]


def _label(of: RecordSet, column: Column) -> _Label:
    container = of.last_word
    key = column.key if column.key != "__name__" else "name"
    if len(column.words) > 1 and snake(key) in _GENERIC_KEYS and snake(column.words[-2]) not in _WRAPPERS:
        key = f"{singular(column.words[-2])}_{key}"
    if key in ("name", "title") and singular(container) not in ("job", "instance") and is_plural(container):
        key = singular(container) if not is_generic(container) else key
    if key.endswith("_id") and all(isinstance(one, str) and _READABLE.search(one) for one in column.given):
        key = key.removesuffix("_id")  # sensor.kitchen is the name of an entity, not its number
    return _Label(label_name(key or "value"), column.expression, tuple(column.values))


def _outer(of: RecordSet, identities: dict[int, list[_Label]]) -> list[_Label]:
    """What tells the records around these apart, as labels of these, and what the document says of itself."""
    found, level = list[_Label](), 1
    outer = of.parent
    while outer is not None and outer.steps:
        for column in outer.columns:
            if column.kind is Kind.LABEL and snake(column.key) in _SCOPES and not outer.is_one:
                found.insert(
                    0, _Label(label_name(column.key), scoped(column.expression, "^." * level), tuple(column.values))
                )
        names = [_outer_name(label, outer) for label in identities.get(id(outer), [])]
        found = [*(_raised(label, name, level) for label, name in names), *found]
        outer, level = outer.parent, level + 1
    if outer is not None:
        for column in outer.columns:
            if column.kind is Kind.LABEL and snake(column.key) in _SCOPES and len(column.words) < 3:
                found.insert(0, _Label(label_name(column.key), scoped(column.expression, "$."), tuple(column.values)))
    return found


def _outer_name(label: _Label, outer: RecordSet) -> tuple[_Label, str]:
    container = singular(snake(outer.last_word))
    if label.name not in _GENERIC_KEYS or not container or is_generic(outer.last_word):
        return label, label.name
    return label, label_name(f"{container}_id" if label.name in ("id", "uuid", "guid") else container)


def _raised(label: _Label, name: str, level: int) -> _Label:
    if label.expression in ("@key", "@index"):
        return _Label(name, "^" * level + label.expression, label.values)
    return _Label(name, scoped(label.expression, "^." * level), label.values)


# --- A group of metrics -----------------------------------------------------------------------------------------------


class _Names:
    """Names for the metrics of one set, each once in the config."""

    def __init__(self, of: RecordSet, prefix: str, taken: set[str]) -> None:
        self._prefix, self._taken = prefix, taken
        self.left_out: list[str] = []
        words = [word for step in of.names for word in step if not is_generic(word)]
        self._words = [singular(word) for word in words]

    def of(self, column: Column, ending: str = "", strips: str = "") -> str:
        own = [*self._words, *(word.lstrip("@") for word in column.words if word != "#text")]
        base = metric_name(self._prefix, own).removesuffix(strips)
        name = base if not ending or base.endswith(f"_{ending}") else f"{base}_{ending}"
        found = unique(name, self._taken)
        self._taken.add(found)
        return found


def _group(of: RecordSet, names: _Names, identity: list[_Label], history: _History | None, now_ms: int) -> Group:
    labels = _distinct(identity)
    state_labels = dict(labels)
    notes = list(of.notes)
    for column in of.columns:
        is_own = (bool(of.steps) or len(column.words) == 1) and not (
            state_labels and snake(column.key) in ("id", "uuid", "guid", "uid")
        )
        if not is_own or len(labels) >= _MAX_LABELS or _changes(column):
            continue
        if column.kind is Kind.LABEL and not _repeats(column, identity):
            name = _label(of, column).name
            name = name if name not in labels else label_name(column.key)
            if name not in labels:
                labels[name] = column.at()
    notes += [
        f"label {label.name} has {count} values in this answer: is it bounded? AMP cannot delete series"
        for label in identity
        if (count := len(set(label.values))) >= MANY_VALUES
    ]
    stamp = _stamp(of, history, now_ms)
    records, why = _without_times(of, history, now_ms)
    notes += why
    metrics = list(_metrics(of, names, labels))
    times = [one.at() for one in (history.column, history.end) if one] if history else []
    used = {*labels.values(), *times, stamp.path if stamp else ""}
    for column in of.columns:
        _account(column, used, names.left_out, now_ms)
    return Group(records, of.steps, labels, state_labels, metrics, stamp, tuple(notes), len(of.chains))


def _distinct(identity: Sequence[_Label]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label in identity:
        if scoped(label.expression, "") in found.values():
            continue
        name = label.name if label.name not in found else unique(label.name, set(found))
        found[name] = scoped(label.expression, "")
    return found


def _changes(column: Column) -> bool:
    """Whether it says which version of a thing runs. As a label it ends every series at the next update."""
    return not _CHANGING.isdisjoint(snake(column.key).split("_"))


def _repeats(column: Column, identity: Sequence[_Label]) -> bool:
    """Whether it says what a label says already, as the name beside a map's key."""
    values = [None if value is None else str(value) for value in column.values]
    return any(values == [None if v is None else str(v) for v in label.values] for label in identity)


def _metrics(of: RecordSet, names: _Names, labels: dict[str, str]) -> Iterator[Metric]:
    for column in of.columns:
        if column.kind is Kind.NUMBER:
            reading = column.reading
            name = names.of(column, reading.ending, f"_{reading.strips.lstrip('_')}" if reading.strips else "")
            yield Metric(name, column.at(), _shown(column), reading.keys, reading.notes, _type_of(column), reading.unit)
        elif column.kind is Kind.STATE:
            yield _states(column, names, labels)
    if not of.steps or any(column.kind in (Kind.NUMBER, Kind.STATE) for column in of.columns):
        return
    texts = [column for column in of.columns if column.kind is Kind.LABEL]
    if texts and of.is_list and texts[0].expression == "\0@":
        yield Metric(names.of(Column("", ("info",), [])), "1", 1, (), ("no number: 1 for each text",), "info")


def _states(column: Column, names: _Names, labels: dict[str, str]) -> Metric:
    label = label_name(column.key)
    label = unique(label, set(labels)) if label in labels else label
    values = ", ".join(_flow(state) for state in column.states)
    note = "1 for the state that it is in, 0 for the others: add the states that the API has beside these"
    keys = (("states", f"{{label: {label}, values: [{values}]}}"),)
    return Metric(names.of(column), column.at(), _shown(column), keys, (note,), "stateset")


def _flow(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _shown(column: Column) -> Any:
    return next(iter(column.given), None)


_OF_STOCKS = words("capacity memory mem disk space swap size pages heap used free limit max available")
_COUNTERS = words(
    "total requests errors bytes packets hits misses restarts retries failures drops dropped received sent reads "
    "writes calls events messages_total count_total uptime_total energy ops started processed served handled"
)
_ALONE = words("hits misses restarts retries drops dropped ops")  # counters also as the only word of their key


def _type_of(column: Column) -> str:
    """What a question proposes; only the answer is written."""
    parts = snake(column.key).split("_")
    if parts[-2:-1] == ["total"] and parts[-1] in UNITS:
        parts.pop()  # energyTotalWh
    is_whole = all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in column.given)
    is_counter = ("total" in parts[-1:] or (parts[-1] in _COUNTERS and is_whole) or _counts_events(parts)) and (
        (len(parts) > 1 or parts[0] in _ALONE) and _OF_STOCKS.isdisjoint(parts)
    )
    return "counter" if is_counter and is_whole else "gauge"


def _counts_events(parts: Sequence[str]) -> bool:
    """`request_count`, but not `forks_count`."""
    return parts[-1] in ("count", "counter") and any(word in _COUNTERS for word in (*parts[:-1], f"{parts[-2:][0]}s"))


# --- Times ------------------------------------------------------------------------------------------------------------


def _stamp(of: RecordSet, history: _History | None, now_ms: int) -> Stamp | None:
    """The time that is most likely that of the samples: of the record, else of what is around it."""
    if history and history.end:
        return None
    found: RecordSet | None = of
    level = 0
    while found is not None:
        scope = "" if level == 0 else "^." * level if found.steps else "$."
        for column in sorted(found.columns, key=lambda one: (len(one.words), not names_sample_time(one.key))):
            is_likely = names_sample_time(column.key) or (history is not None and column is history.column)
            is_past = column.time is not None and column.time.newest_ms <= now_ms + 600_000
            if column.time and is_likely and is_past and len(column.words) < 4:
                return Stamp(column.at(scope), column.time, is_likely)
        found, level = found.parent, level + 1
    return None


def _without_times(of: RecordSet, history: _History | None, now_ms: int) -> tuple[tuple[str, ...], list[str]]:
    """Records of a history that make sense at the time of the scrape, and why these."""
    if history is None or (time := history.column.time) is None:
        return of.steps, []
    *before, last = of.steps
    found = _holding_now(last, history)
    if not found and time.newest_ms > now_ms + 600_000:
        found = _not_in_future(last, history.column)
    found = found or _newest(of, last, history.column)
    return ((*before, found[0]), [found[1]]) if found else (of.steps, [])


def _holding_now(last: str, history: _History) -> tuple[str, str] | None:
    """Of records with a start and an end, those that hold now."""
    begun, ended = _seconds(history.column), _seconds(history.end) if history.end else ""
    if not history.end or not begun or not ended:
        return None
    why = f"the records whose {history.column.key} and {history.end.key} hold now: no timestamp is needed"
    return f"{last.removesuffix('[]')}[?{begun} <= now() && now() < {ended}]", why


def _not_in_future(last: str, column: Column) -> tuple[str, str] | None:
    """Of a forecast, the last record whose time has come."""
    begun = _seconds(column)
    if not begun:
        return None
    why = f"the list goes on into the future: the last record whose {column.key} has come"
    return f"{last.removesuffix('[]')}[?{begun} <= now()] | [-1:]", why


def _newest(of: RecordSet, last: str, column: Column) -> tuple[str, str] | None:
    """The record at the newer end of the list, or all of its time where the list has several series."""
    rows = _rows_by_parent(of, column)
    is_ascending = all(values == sorted(values) for values in rows)
    is_descending = not is_ascending and all(values == sorted(values, reverse=True) for values in rows)
    if any(len(set(values)) < len(values) for values in rows):
        return _of_newest_time(of, last, column, "-1" if is_ascending else "0")
    part, what = ("[:1]", "the first") if is_descending else ("[-1:]", "the last")
    return f"{last.removesuffix('[]')}{part}", _history_note(column, f"{what} record, the newest,")


def _of_newest_time(of: RecordSet, last: str, column: Column, place: str) -> tuple[str, str] | None:
    if last.endswith(")"):
        return None
    path, scope = last.removesuffix("[]"), "$" if len(of.steps) == 1 else "^"
    inner = f"{scope}.{path}" if path and path[0] not in "[@" else scope
    step = f"{path}[?{column.at()} == {inner}[{place}].{column.at()}]"
    return step, _history_note(column, "the records of the newest time")


def _history_note(column: Column, what: str) -> str:
    return f"a history: {what} at the time of the scrape. With timestamp, write the list without the part in brackets"


def _rows_by_parent(of: RecordSet, column: Column) -> list[list[Any]]:
    found: dict[tuple[str, ...], list[Any]] = {}
    for keys, value in zip(of.keys, column.values, strict=True):
        if value is not None:
            found.setdefault(keys[1:], []).append(value)
    return list(found.values())


def _seconds(column: Column) -> str:
    """The column's time in seconds, as an expression; "" when it has no format that `time()` reads."""
    if column.time is None:
        return ""
    match column.time.format:
        case "unix":
            return column.at()
        case "unix_ms":
            return f"divide({column.at()}, `1000`)"
        case "rfc3339":
            return f"time({column.at()})"
        case name if "%" in name:
            return f"time({column.at()}, '{name}')"
    return ""


def _account(column: Column, used: Collection[str], left_out: list[str], now_ms: int) -> None:
    """Says what becomes of a column that is neither value, label nor time of the samples; those are `used`."""
    at = column.at()
    if column.kind in (Kind.NUMBER, Kind.STATE) or at in used:
        return
    if holds_secret(column.key):
        left_out.append(f"{at}: sounds as a secret")
        return
    if column.kind is Kind.TIME and column.time:
        age = shown_age((now_ms - column.time.newest_ms) / 1000)
        left_out.append(
            f"{at}: a time ({column.time.format}, {age}); value_format: {column.time.format} sends it as value"
        )
    elif column.kind is Kind.PROSE and column.given:
        text = str(column.given[0])[:40]
        is_measure = bool(re.match(r"[+-]?\d", text)) and len(text) < 20
        left_out.append(
            f"{at}: {text!r}, " + ("no format reads it; value_regex finds the number" if is_measure else "no label")
        )
    elif column.kind is Kind.IDENTIFIER and snake(column.key) in PAGE_WORDS:
        left_out.append(f"{at}: the place in the pages")
    elif column.kind is Kind.IDENTIFIER:
        left_out.append(f"{at}: an identifier; the labels tell the records apart without it")
    elif column.kind is Kind.LABEL:
        but = ", but each update begins new series" if _changes(column) else ""
        left_out.append(f"{at}: {str(column.given[0])[:40]!r}, may be a label{but}")
