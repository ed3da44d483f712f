"""Why a metric has no samples, or a list of targets no records, in words: what the expressions look for, what is there
instead, and the nearest path.

A metric has failed if its records are missing (an empty list is not), if all records were skipped, or if all samples
are too far in the future.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..config.expression import Columns, Expression, Group, Records, Scope
from ..config.expression_trace import Kind, Trace, first_characters, nearest_path, shown
from ..config.schema import Metric
from ..model.drop_reasons import DropReason
from ..model.scrape import MetricResult

_SHOWN_KEYS = 5


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
    document = documents[0]
    detail = f"records {records.text} {'is' if len(records.steps) == 1 else 'are'} missing"
    place = absence.path or "the document"
    if absence.kind is Kind.NOT_A_LIST:
        return f"{detail}: a list is expected at {place}, but it has {shown(absence.value)}"
    inside = f" in {first_characters(document)}" if absence.value is None and absence.path else ""
    detail += f": {place} is {shown(absence.value)}{inside}"
    detail += _nearest(".".join(step.text for step in records.steps), document, lists=True)
    step = records.steps[-1].text
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
    return f"metric {metric.name}: {of_all} ({most}); the first: {example}"


def nothing_found(key: str, expression: Expression, records: Records, documents: Sequence[Any]) -> str:
    """What an expression looks at in the first record, and the nearest path there."""
    found = _looked_at(expression, records, documents)
    if found is None:
        return f"{key} {expression.text} finds nothing"
    place, value = found
    trace = expression.trace(value) if expression.scope is not Scope.KEY else Trace(Kind.MISSING, value)
    where = f"{trace.path} is {shown(trace.value)} in {place}" if trace.path else f"{place} is {shown(value)}"
    return (
        f"{key} {expression.text} finds nothing; {where}{_nearest(expression.text, value, lists=False)}"
        f"{_shape(records, documents)}"
    )


def _looked_at(expression: Expression, records: Records, documents: Sequence[Any]) -> tuple[str, Any] | None:
    """Name and value of what the expression looks into."""
    for document in documents:
        if isinstance(document, Columns):
            record = _first_record(document)
            return None if record is None else ("the first record", record)
        for group in records.walk(document):
            if group.records:
                return _in_group(expression, group)
    return None


def _in_group(expression: Expression, group: Group) -> tuple[str, Any]:
    match expression.scope:
        case Scope.DOCUMENT:
            return "the document", group.enclosing[-1]
        case Scope.ENCLOSING:
            return "the enclosing object", group.enclosing[expression.levels - 1]
        case _:
            return "the first record", group.records[0]


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
    for document in documents:
        for group in () if isinstance(document, Columns) else records.walk(document):
            if group.records and not isinstance(group.records[0], dict):
                return _shape_of(records, group, document)
    return ""


def _shape_of(records: Records, group: Group, document: Any) -> str:
    step = records.steps[-1]
    around = document if len(records.steps) == 1 else group.enclosing[0]
    plain = step.text.strip()
    inside = step.without_flatten(around) if plain.endswith("[]") else None
    if isinstance(inside, list) and any(isinstance(item, list) for item in inside):
        advice = f'records: "{plain[:-2]}"' if plain[:-2] else "no records at all"
        return f". The records are lists, which [] flattened into their elements: write {advice}"
    if plain.endswith("]") and step.is_index:
        return f". {plain} selects one list, whose elements become the records. A slice keeps it as one record: [-1:]"
    if isinstance(around, list) and plain == "@":
        detail = f". The document is a list, so each element is a record, and the first is {shown(group.records[0])}"
        return f"{detail}. To select one element, put the index into records: [0]"
    return f". The records are not objects: the first is {shown(group.records[0])}"
