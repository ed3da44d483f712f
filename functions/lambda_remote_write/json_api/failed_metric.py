"""Why a metric has no samples, or a list of targets no records, in words: what the expressions look for, what is there
instead, and the nearest path.

A metric has failed if its records are missing (an empty list is not), if all records were skipped, or if all samples
are too far in the future.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..config.expression import Expression, Group, Records
from ..config.expression_context import BudgetExceeded, Columns, Position, document_of
from ..config.expression_trace import Kind, joined, nearest_path
from ..config.expression_words import Scope
from ..config.schema import Metric
from ..config.shown_json import first_characters, shown
from ..model.drop_reasons import DropReason
from ..model.scrape import MetricResult

_SHOWN_KEYS = 5
_WORDS = (Scope.KEY, Scope.INDEX, Scope.STATUS, Scope.HEADER)  # what does not look into a value
_LookedAt = tuple[str, Any, Position | None]


def why(metric: Metric, result: MetricResult, documents: Sequence[Any], ahead: str) -> str:
    """Why a metric without samples has failed; "" if it has not. `ahead` is the message about samples too far in the
    future, "" if there were none."""
    if not result.records:
        missing = records_missing(metric.records, documents)
        return f"metric {metric.name}: {missing}" if missing else ""
    if ahead:
        return ahead
    counted = result.skipped.total() - result.skipped.counts[DropReason.NULL_IGNORED]
    return _all_skipped(metric, result, documents) if counted and not result.mapped else ""


def hints(metric: Metric, result: MetricResult, gone: Sequence[str], documents: Sequence[Any]) -> list[str]:
    """Notes on labels that no record has: where the records are not objects, and on labels that were there before
    (`gone`)."""
    detail = []
    if shape := _shape(metric.records, documents):
        detail.append(
            f"metric {metric.name}: labels {', '.join(result.labels_not_found)} find nothing in any record{shape}"
        )
    expressions = dict(metric.labels)
    for name in () if shape else gone:
        found = nothing_found(f"label {name}:", expressions[name], metric.records, documents)
        detail.append(f"metric {metric.name}: {found}; it was there before, and without it these are other series")
    return detail


def records_missing(records: Records, documents: Sequence[Any]) -> str:
    """Why no document has a list of records; "" if one has."""
    absence = records.absence(documents)
    if absence is None:
        return ""
    document = document_of(documents[0]).value
    detail = f"records {records.text} {'is' if len(records.steps) == 1 else 'are'} missing"
    place = absence.path or "the document"
    if absence.kind is Kind.NOT_A_LIST:
        return f"{detail}: a list is expected at {place}, but it has {shown(absence.value)}"
    inside = f" in {first_characters(document)}" if absence.value is None and absence.path else ""
    detail += f": {place} is {shown(absence.value)}{inside}"
    if _is_json_text(absence.value):
        return f"{detail}{_JSON_TEXT}"
    detail += _nearest(".".join(step.text for step in records.steps), document, lists=True)
    step = records.missing_step(documents).text
    quote = "'" if '"' in step else '"'
    return f"{detail}. If the API leaves the list out when it is empty, write {quote}{step} || `[]`{quote}"


def _all_skipped(metric: Metric, result: MetricResult, documents: Sequence[Any]) -> str:
    reasons = [reason for reason in result.skipped.counts if reason != DropReason.NULL_IGNORED]
    most = max(reasons, key=lambda reason: result.skipped.counts[reason])
    of_all = f"none of {result.records} records gives a sample" if result.records > 1 else "the record gives no sample"
    if most == DropReason.VALUE_MISSING:
        return f"metric {metric.name}: {of_all}: {nothing_found('value', metric.value, metric.records, documents)}"
    if most == DropReason.TIMESTAMP_MISSING and metric.timestamp is not None:
        detail = nothing_found("timestamp", metric.timestamp.path, metric.records, documents)
        return f"metric {metric.name}: {of_all}: {detail}"
    if most == DropReason.NAME_MISSING and metric.record_name is not None:
        detail = nothing_found("name", metric.record_name.path, metric.records, documents)
        return f"metric {metric.name}: {of_all}: {detail}"
    example = result.skipped.first_examples[most].removeprefix(f"metric {metric.name}").lstrip(":, ")
    hint = _reading(metric, documents) if most == DropReason.NOT_A_NUMBER else ""
    return f"metric {metric.name}: {of_all} ({most}); the first: {example}{hint}"


def _reading(metric: Metric, documents: Sequence[Any]) -> str:
    """What would read the first text of a metric whose texts are no numbers; "" when nothing comes to mind."""
    text = next(_texts(metric, documents), None)
    if text is None or metric.value_regex is not None or metric.value_format is not None:
        return ""
    if _is_json_text(text):
        return _JSON_TEXT
    from ..config.value_format import that_reads  # seldom needed

    return f"; value_format: {name} reads it" if (name := that_reads(text)) else ""


def _texts(metric: Metric, documents: Sequence[Any]) -> Iterator[str]:
    with suppress(BudgetExceeded):
        for document in documents:
            for group in metric.records.walk(document):
                yield from (value for value in metric.value.column(group) if isinstance(value, str))


_JSON_TEXT = "; that is JSON in a text, which from_json(…) reads"


def _is_json_text(value: Any) -> bool:
    """Whether a text is an object or a list of JSON, by its ends."""
    return isinstance(value, str) and (value.strip()[:1], value.strip()[-1:]) in (("{", "}"), ("[", "]"))


def nothing_found(key: str, expression: Expression, records: Records, documents: Sequence[Any]) -> str:
    """What an expression looks at in the first record, and the nearest path there."""
    found = _looked_at(expression, records, documents)
    if found is None or expression.scope in _WORDS:
        return f"{key} {expression.text} finds nothing{_shape(records, documents) if found else ''}"
    place, value, position = found
    trace = expression.trace(value, position)
    if position is not None and trace.path[:1] == "$":  # a word inside the expression
        place, value = "the document", position.document.value
    where = f"{trace.path} is {shown(trace.value)} in {place}" if trace.path else f"{place} is {shown(value)}"
    if _is_in_each_value(expression, value) and len(records.steps) - 1 not in records.key_levels:
        detail = "each of its values has it: they are the records when an expression uses @key"
        return f'{key} {expression.text} finds nothing; {where}; {detail}, as labels: {{key: "@key"}}'
    if _is_json_text(trace.value):
        return f"{key} {expression.text} finds nothing; {where}{_JSON_TEXT}"
    nearest = _nearest(expression.text, value, lists=False)
    return f"{key} {expression.text} finds nothing; {where}{nearest}{_shape(records, documents)}"


def _is_in_each_value(expression: Expression, record: Any) -> bool:
    """Whether a plain path finds something in all values of an object: it is a map that has not been walked."""
    if expression.scope is not Scope.RECORD or not expression.path or not isinstance(record, dict):
        return False
    return bool(record) and all(expression.one(value) is not None for value in record.values())


def _looked_at(expression: Expression, records: Records, documents: Sequence[Any]) -> _LookedAt | None:
    """Name and value of what the expression looks into, and where it stands there."""
    with suppress(BudgetExceeded):  # the records may be too dear to be looked at again
        for document in documents:
            columns = document_of(document).value
            if isinstance(columns, Columns):
                record = _first_record(columns)
                return None if record is None else ("the first record", record, None)
            for group in records.walk(document):
                if group.records:
                    return _in_group(expression, group)
    return None


def _in_group(expression: Expression, group: Group) -> _LookedAt:
    position = group.position(0)
    match expression.scope:
        case Scope.DOCUMENT:
            return "the document", group.enclosing[-1], position
        case Scope.ENCLOSING:
            return "the enclosing object", group.enclosing[expression.levels - 1], position
        case _:
            return "the first record", group.records[0], position


def _first_record(columns: Columns) -> Any:
    """The first record of a list whose records were not decoded whole."""
    text = columns.head.decode("utf-8", "ignore").lstrip("\ufeff").lstrip().removeprefix("[").lstrip()
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def _nearest(wanted: str, value: Any, *, lists: bool) -> str:
    if path := nearest_path(wanted, value, lists=lists):
        return f"; the nearest path that exists is {path}"
    if isinstance(value, dict) and value:
        more = ", …" if len(value) > _SHOWN_KEYS else ""
        return f"; it has the keys {', '.join(map(str, list(value)[:_SHOWN_KEYS]))}{more}"
    return ""


def _shape(records: Records, documents: Sequence[Any]) -> str:
    """Why the records are not objects: the three mistakes that lead there."""
    with suppress(BudgetExceeded):
        for document in documents:
            value = document_of(document).value
            for group in () if isinstance(value, Columns) else records.walk(document):
                if group.records and not isinstance(group.records[0], dict):
                    return _shape_of(records, group, value)
    return ""


def _shape_of(records: Records, group: Group, document: Any) -> str:
    step = records.steps[-1]
    around = document if len(records.steps) == 1 else group.enclosing[0]
    plain = step.text.strip()
    inside = step.without_flatten(around, group.position()) if plain.endswith("[]") else None
    if isinstance(inside, list) and any(isinstance(item, list) for item in inside):
        advice = f'records: "{plain[:-2]}"' if plain[:-2] else "no records at all"
        by_name = f', or records: "{call}"' if (call := _rows_call(plain[:-2], around, inside)) else ""
        return f". The records are lists, which [] flattened into their elements: write {advice}{by_name}"
    if plain.endswith("]") and step.is_index:
        return f". {plain} selects one list, whose elements become the records. A slice keeps it as one record: [-1:]"
    if isinstance(around, list) and plain == "@":
        detail = f". The document is a list, so each element is a record, and the first is {shown(group.records[0])}"
        return f"{detail}. To select one element, put the index into records: [0]"
    return f". The records are not objects: the first is {shown(group.records[0])}"


def _rows_call(path: str, around: Any, rows: list[Any]) -> str:
    """The call that gives rows their names, where a list of them is near: beside the rows, or as the first of them."""
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    if not path:
        return "rows([0], [1:])" if width and _are_names(rows[0], width) else ""
    siblings = around.items() if isinstance(around, dict) and "." not in path else ()
    for name, value in siblings:
        if value is not rows and _are_names(value, width):
            return f"rows({joined('', name)}{'[].name' if isinstance(value[0], dict) else ''}, {path})"
    return ""


def _are_names(value: Any, width: int) -> bool:
    """Whether a list holds a name for each cell of a row: texts, or objects with a name."""
    if not isinstance(value, list) or not value or len(value) != width:
        return False
    return all(isinstance(one.get("name") if isinstance(one, dict) else one, str) for one in value)
