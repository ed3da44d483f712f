"""The answer of an invocation: counts over all invocations of the backfill, and a row for each part of this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..model.reason_counts import ReasonCounts
from ..report.report import skipped_dict
from .receiver import EndpointTotals, Receiver, reason_counts_of
from .request import BadRequest, Request
from .source import Part
from .times import shown

_MAX_ROWS = 200
_MAX_NOTES = 50
_IN_ORDER = "where a series has nothing newer"
_COUNTS = ("parts", "empty", "records", "samples", "unasked", "exported", "objects", "export_bytes", "invocations")

Row = dict[str, Any]


@dataclass(slots=True)
class Totals:
    """Counts over all invocations. `unasked` are parts that were not fetched because no receiver accepts anything of
    them, `objects` and `export_bytes` what an export has written."""

    parts: int = 0
    empty: int = 0
    records: int = 0
    samples: int = 0
    unasked: int = 0
    exported: int = 0
    objects: int = 0
    export_bytes: int = 0
    invocations: int = 0
    skipped: ReasonCounts = field(default_factory=ReasonCounts)

    def add(self, part: Part) -> None:
        self.parts += 1
        self.empty += part.is_fetched and not part.records
        self.unasked += not part.is_fetched
        self.records += part.records
        self.samples += len(part.samples)
        self.skipped.merge(part.skipped)

    def as_json(self, receivers: Sequence[Receiver]) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in _COUNTS}
        endpoints = [one.totals.as_json() for one in receivers]
        return {**counts, "skipped": skipped_dict(self.skipped), "endpoints": endpoints}


def totals_of(found: Mapping[str, Any], receivers: Sequence[Receiver]) -> Totals:
    """The counts of a checkpoint; each receiver gets its own. Raises BadRequest."""
    totals = Totals()
    try:
        for name in _COUNTS:
            setattr(totals, name, int(found.get(name, 0)))
        totals.skipped = reason_counts_of(found.get("skipped", {}))
        known = {one["endpoint"]: EndpointTotals.from_json(one) for one in found.get("endpoints", ())}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRequest(f"resume: its counts cannot be read ({type(error).__name__})") from None
    for receiver in receivers:
        receiver.totals = known.get(receiver.name, receiver.totals)
    return totals


@dataclass(slots=True)
class Summary:
    """Of one invocation: a row for each part, notes, warnings, and why it stopped for good."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stopped: str = ""
    is_done: bool = False

    def row(self, part: Part) -> Row:
        """Adds a row whose endpoints the caller fills in. Merges neighbours when there are too many rows."""
        if len(self.rows) >= 2 * _MAX_ROWS:
            self.rows = _half(self.rows)
        row: Row = {"where": part.where, "samples": len(part.samples), "endpoints": {}}
        self.rows.append(row)
        return row

    def warn(self, *messages: str) -> None:
        self.warnings += [message for message in dict.fromkeys(messages) if message and message not in self.warnings]


def answer(
    request: Request, windows: int | None, totals: Totals, receivers: Sequence[Receiver], summary: Summary
) -> dict[str, Any]:
    """Everything but `resume` and `seconds`."""
    counts = totals.as_json(receivers)
    endpoints = [
        {**counts["endpoints"][place], "rules": _rules(one), "unknown": list(one.rules.unknown)}
        for place, one in enumerate(receivers)
    ]
    del counts["export_bytes"]
    rows = summary.rows if len(summary.rows) <= _MAX_ROWS else _half(summary.rows)
    more = len(summary.notes) - _MAX_NOTES
    return {
        "action": "backfill",
        "job": request.job,
        "done": summary.is_done,
        "dry_run": request.dry_run,
        "start_ms": request.start_ms,
        "end_ms": request.end_ms,
        "windows": windows,
        **counts,
        "endpoints": endpoints,
        "preflight": plan_rows(request, receivers) if request.plan else rows,
        "notes": [*summary.notes[:_MAX_NOTES], *([f"and {more} more"] if more > 0 else [])],
        "warnings": summary.warnings,
        "stopped": summary.stopped,
    }


def plan_rows(request: Request, receivers: Sequence[Receiver]) -> list[Row]:
    """Which times of a range each endpoint accepts, by the clock alone, before anything is fetched."""
    start_ms, end_ms, rows = request.start_ms, request.end_ms, list[Row]()
    if start_ms is None or end_ms is None:
        return rows
    for receiver in receivers:
        oldest_ms = receiver.rules.oldest_ms
        cut = start_ms if oldest_ms is None else min(max(oldest_ms, start_ms), end_ms + 1)
        some = [(start_ms, cut - 1, "impossible", "too_old"), (cut, end_ms, "accepted", _IN_ORDER)]
        rows += [
            {"endpoint": receiver.name, "where": f"{shown(first)} to {shown(last)}", "class": kind, "reason": reason}
            for first, last, kind, reason in some
            if first <= last
        ]
    return rows


def _rules(receiver: Receiver) -> dict[str, Any]:
    rules = receiver.rules
    return {
        "max_age_seconds": rules.max_age_ms // 1000 or None,
        "out_of_order_window_seconds": None if rules.window_ms is None else rules.window_ms // 1000,
        "newest_sample_ms": rules.head_ms or None,
    }


def _half(rows: list[Row]) -> list[Row]:
    """Merges neighbouring rows in pairs; the row of a part that was not fetched stays separate."""
    first, rest = (rows[:1], rows[1:]) if _is_unasked(rows[0]) else ([], rows)
    pairs = [rest[at : at + 2] for at in range(0, len(rest), 2)]
    return [*first, *(_both(*pair) if len(pair) == 2 else pair[0] for pair in pairs)]


def _is_unasked(row: Row) -> bool:
    return any(each.get("impossible", 0) is None for each in row["endpoints"].values())


def _both(one: Row, other: Row) -> Row:
    endpoints = {name: _joined(name, one, other) for name in {**one["endpoints"], **other["endpoints"]}}
    (begin, _, _), (same, _, end) = one["where"].rpartition(" to "), other["where"].rpartition(" to ")
    is_one_file = begin.partition(", lines ")[0] == same.partition(", lines ")[0]
    where = f"{begin} to {end if is_one_file or ', lines ' not in same else other['where']}"
    return {"where": where, "samples": one["samples"] + other["samples"], "endpoints": endpoints}


def _joined(endpoint: str, *rows: Row) -> Row:
    """The sums of an endpoint's counts in several rows."""
    some = [row["endpoints"][endpoint] for row in rows if endpoint in row["endpoints"]]
    kinds = {kind for each in some for kind in each if kind != "reasons"}
    reasons = Counter[str]()
    for each in some:
        reasons.update(each["reasons"])
    return {**{kind: sum(each.get(kind, 0) for each in some) for kind in kinds}, "reasons": dict(reasons)}
