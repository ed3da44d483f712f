"""Reads the spool: lists its entries, shows and exports their samples. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .environment import Environment
from .exposition.writer import Exported, exposition, openmetrics
from .model.reason_counts import ReasonCounts
from .remote_write.encode.decode import unpack
from .report.report import reasons_dict
from .spool.entry import UnreadableEntry
from .spool.spool import ALL_SHARDS, DEAD, SPOOL, Spool, Stored, endpoint_of, started_ms_of
from .store import MAX_LISTED, NotStored

MAX_TEXT_BYTES = 5_000_000  # a synchronous answer of Lambda has 6 MB


class NoSpool(Exception):
    """The config has no spool. The message says how to add one."""


class TooMuch(Exception):
    """The text is larger than an answer may be. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The selected entries: waiting ones or dead letters, of one endpoint or all; or a single entry by key."""

    endpoints: Sequence[str]
    is_dead: bool = False
    key: str = ""

    @property
    def part(self) -> str:
        return DEAD if self.is_dead else SPOOL


@dataclass(slots=True)
class Found:
    """The readable entries, and by key what is wrong with the others. `is_cut` means that an endpoint may have more
    entries than the oldest thousand."""

    stored: list[Stored] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False


def inspect(environment: Environment, options: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """The answer to the `command` list, show or export, as JSON. Raises NoSpool, TooMuch and StoreError."""
    spool = spool_of(environment)
    known = [endpoint.name for endpoint in environment.config.endpoints]
    chosen = choose(spool, known, options, deadline)
    found = entries(spool, chosen, deadline)
    command = options.get("command", "list")
    if command == "list":
        return {"action": "spool", "place": spool.store.place, **listing(found)}
    everything = exported(found)
    return {
        "action": "spool",
        "place": spool.store.place,
        "samples": everything.samples,
        "left_out": reasons_dict(everything.left_out),
        "unreadable": found.unreadable,
        "text": text(everything, is_openmetrics=command == "export", most_bytes=MAX_TEXT_BYTES),
    }


def spool_of(environment: Environment) -> Spool:
    """Raises NoSpool."""
    if environment.spool_state is None:
        raise NoSpool("the config has no spool: set spool.location, or the variable PUSHER_SPOOL")
    return Spool(environment.spool_state.spool.store, ALL_SHARDS)


def choose(spool: Spool, known: Sequence[str], options: Mapping[str, Any], deadline: float) -> Chosen:
    """The entries that `endpoint`, `key` and `dead` of the options select; without `endpoint` those of all endpoints in
    the config or the spool."""
    chosen = Chosen((), bool(options.get("dead")), options.get("key") or "")
    if options.get("endpoint"):
        return replace(chosen, endpoints=[options["endpoint"]])
    return replace(chosen, endpoints=[*known, *sorted(spool.orphaned_entries(known, deadline, chosen.part))])


def entries(spool: Spool, chosen: Chosen, deadline: float) -> Found:
    """Reads the chosen entries, oldest first. Raises StoreError, and NotStored for a key that does not exist."""
    found = Found()
    for key in _keys(spool, chosen, found, deadline):
        try:
            found.stored.append(spool.load(key, deadline))
        except UnreadableEntry as error:
            found.unreadable[key] = str(error)
        except NotStored:  # another run has delivered it meanwhile
            if chosen.key:
                raise
    return found


def _keys(spool: Spool, chosen: Chosen, found: Found, deadline: float) -> Iterator[str]:
    if chosen.key:
        yield chosen.key
        return
    for endpoint in chosen.endpoints:
        keys = spool.keys(endpoint, deadline, chosen.part)
        found.is_cut = found.is_cut or len(keys) >= MAX_LISTED
        yield from keys


def listing(found: Found) -> dict[str, Any]:
    """The entries as JSON, with sums."""
    rows = [_row(stored) for stored in found.stored]
    return {
        "entries": rows,
        "unreadable": found.unreadable,
        "is_cut": found.is_cut,
        "samples": sum(row["samples"] for row in rows),
        "oldest_ms": min((row["oldest_ms"] for row in rows), default=0),
    }


def _row(stored: Stored) -> dict[str, Any]:
    entry, reasons = stored.entry, ReasonCounts()
    for one in entry.pending:
        reasons.add(one.reason or "written_ahead", one.detail or "written ahead of sending", one.request.samples)
    return {
        "key": stored.key,
        "endpoint": endpoint_of(stored.key),
        "started_ms": started_ms_of(stored.key),
        "requests": len(entry.pending),
        "samples": entry.samples,
        "bytes": sum(len(request.body) for request in entry.requests),
        "oldest_ms": entry.oldest_ms,
        "newest_ms": entry.newest_ms,
        "reasons": reasons_dict(reasons),
    }


def exported(found: Found) -> Exported:
    """All samples of the entries."""
    everything = Exported()
    for stored in found.stored:
        for request in stored.entry.requests:
            everything.add(unpack(request)[0])
    return everything


def text(everything: Exported, *, is_openmetrics: bool, most_bytes: int = 0) -> str:
    """The samples in one of the text formats. Raises TooMuch above `most_bytes` (0 for any size)."""
    lines, size = list[str](), 0
    for line in openmetrics(everything) if is_openmetrics else exposition(everything):
        lines.append(line)
        size += len(line.encode())
        if most_bytes and size > most_bytes:
            detail = f"the text has more than {most_bytes} bytes: name a key or an endpoint"
            raise TooMuch(f"{detail}, or use `pusher spool CONFIG export` from a shell")
    return "".join(lines)
