"""`pusher backfill`: a backfill with a progress bar and a table of what the receiver can accept."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lambda_remote_write.backfill import invoke
from lambda_remote_write.backfill.request import KEYS
from lambda_remote_write.config.schema import Config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.report.report import skipped_lines
from lambda_remote_write.store import DirectoryStore, Store

from .command import BAD, NOT_DELIVERED, OK, Add, Command, Example, add_config, add_timeout, load
from .terminal import Console, counted, refuse, say_json
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way

_SHOWN_ROWS = 40
_HEADER = ("window", "endpoint", "possible", "only in the window", "impossible", "rejected", "why")
_NUMBERS = _HEADER[2:6]
_LEFT_OUT = {"outside_range", "value_missing", "metric_relabel", "write_relabel", "duplicate"}


def _add_arguments(add: Add) -> None:
    """The options of `pusher backfill`, each with the name of its key in the event."""
    add_config(add)
    add("--job", help="of json_configs or backfill_configs; with --from, the job that reads the records")
    add("--start", help="of the range: RFC 3339, Unix seconds, or relative, as -2h")
    add("--end", help="of the range, in the same forms (default: now)")
    add("--step", metavar="DURATION", help="between two samples, for an API that takes one")
    add("--window", metavar="DURATION", help="the longest range of one request")
    add("--from", action="append", metavar="FILE", help="read a path or s3://… instead of the API; may be repeated")
    add("--format", help="of the files: json, ndjson, csv, openmetrics or prometheus (default: by name)")
    add("--columns", default="", metavar="HEADER=FIELD,…", help="of a CSV file, where headers differ from fields")
    add("--endpoint", help="send only to the endpoint of this name")
    exported = "write samples that the receiver cannot accept or rejects to FILE, as OpenMetrics"
    add("--export", metavar="FILE", help=exported)
    add("--dry-run", action="store_true", help="read everything and report what can be accepted, send nothing")
    add("--force", action="store_true", help="also send samples that the receiver cannot accept")
    widened = "raise the workspace's out-of-order window during the backfill, to 600s at most"
    add("--widen-out-of-order", action="store_true", help=widened)
    add("--resume", nargs="?", const=True, metavar="TOKEN", help="continue an interrupted backfill")
    add_timeout(add, 86_400.0, "a day")


def event_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options as the event of the Lambda function. Raises BadRequest."""
    given = vars(options) | {"columns": _columns(options.columns)}
    return {key: given[key] for key in KEYS if given.get(key)}


def _columns(text: str) -> dict[str, str]:
    columns = {}
    for pair in filter(None, text.split(",")):
        header, equals, field = pair.partition("=")
        if not equals or not header or not field:
            raise invoke.BadRequest(f"columns: {pair!r:.60} is not HEADER=FIELD")
        columns[header.strip()] = field.strip()
    return columns


class BackfillCommand:
    """One `pusher backfill`."""

    def __init__(self, options: argparse.Namespace, config: Config, dependencies: Dependencies) -> None:
        self._options, self._config, self._dependencies = options, config, dependencies
        self._console = Console(stderr=True)

    def run(self) -> int:
        """Returns the exit status: 0 everything is delivered, 1 something is not, 2 the request is bad."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            answer = self._answer()
        except invoke.BadRequest as error:
            refuse(str(error) if self._options.json else f"backfill: {error}", as_json=self._options.json)
            return BAD
        except KeyboardInterrupt:
            print("interrupted: to continue, run the same command with --resume", file=sys.stderr)
            return NOT_DELIVERED
        if self._options.json:
            say_json(answer)
        elif not (self._options.quiet and is_delivered(answer)):
            # no line is broken where there is no terminal, as in a pipe
            receivers = {one.name: one.receiver for one in self._config.endpoints}
            print_answer(answer, Console(highlight=False, markup=False, soft_wrap=True), receivers)
        return OK if is_delivered(answer) else NOT_DELIVERED

    def _answer(self) -> dict[str, Any]:
        deadline, activity = time.monotonic() + self._options.timeout, self._options.activity
        has_bar = self._console.is_terminal and not self._options.quiet
        with self._progress(is_shown=has_bar) as bar, activity.paused() if has_bar else contextlib.nullcontext():
            task = bar.add_task("", total=1.0, parts="", samples="", rate="")
            started = time.monotonic()

            def tell(told: invoke.ProgressEvent) -> None:
                of_all = f"/{told.windows}" if told.windows else ""
                rate = told.samples / max(time.monotonic() - started, 0.001)
                activity.detail = f"{told.parts}{of_all} windows, {told.samples:,} samples"
                bar.update(
                    task, completed=told.share, parts=f"{told.parts}{of_all} windows",
                    samples=f"{told.samples:,} samples", rate=f"{rate:,.0f}/s",
                )  # fmt: skip

            host = invoke.Host(self._dependencies, self._store(), is_local=True, tell=tell)
            return invoke.backfill(event_of(self._options), self._config, host, deadline)

    def _progress(self, *, is_shown: bool) -> Progress:
        return Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            *(TextColumn(f"{{task.fields[{name}]}}") for name in ("parts", "samples", "rate")),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not is_shown,
        )

    def _store(self) -> Store:
        """Where checkpoints are: the config's spool, else the user's own folder."""
        location = self._config.spool.location
        if location:
            return self._dependencies.store(location)
        home = self._dependencies.env_vars.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        return DirectoryStore(Path(home) / "pusher")


def is_delivered(answer: Mapping[str, Any]) -> bool:
    """Whether the receiver has (in a dry run: would have) every sample of the source but those left out on purpose."""
    unread = set(answer["skipped"]) - _LEFT_OUT
    lost = any(
        one["rejected"] or one["classes"]["impossible"] or set(one["dropped"]) - _LEFT_OUT
        for one in answer["endpoints"]
    )
    return bool(answer["done"]) and not (unread or lost or answer["unasked"] or answer["stopped"])


def print_answer(answer: Mapping[str, Any], console: Console, receivers: Mapping[str, str]) -> None:
    """Prints what was delivered, and what was not. `receivers` says of each endpoint's name where it sends."""
    console.print(invoke.sentence(answer))
    _print_rows(answer, console)
    for one in answer["endpoints"]:
        if answer["parts"] or one["collected"]:
            shown = {**one, "endpoint": f"{one['endpoint']} ({receivers.get(one['endpoint'], 'not in the config')})"}
            _print_endpoint(shown, console, is_dry=answer["dry_run"])
    for line in skipped_lines(answer["skipped"]):
        console.print(line)
    if answer["exported"]:
        console.print(f"{answer['exported']} samples exported, for promtool tsdb create-blocks-from openmetrics")
    for note in _together(answer["notes"]):
        console.print(note)
    for warning in answer["warnings"]:
        console.print(f"warning: {warning}")
    if "resume" in answer:
        first = "fix that, then " if answer["stopped"] else ""
        console.print(f"to continue: {first}run the same command with --resume (--json gives a token)")


def _print_rows(answer: Mapping[str, Any], console: Console) -> None:
    """A table of unbroken lines; a terminal wraps them."""
    rows = [row for row in answer["preflight"] if "endpoints" in row]
    if not rows:
        return
    # Neighbours, of one file where there are several, that say the same of every endpoint, are one.
    alike = itertools.groupby(rows, key=lambda row: (row["where"].rpartition(", ")[0], row["endpoints"]))
    groups = [list(group) for _, group in alike]
    lines: list[tuple[str, ...]] = [_HEADER]
    lines += [line for group in groups[:_SHOWN_ROWS] for line in _lines_of(group)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    for line in lines:
        cells = [
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(_HEADER, line, widths, strict=True)
        ]
        console.print("  ".join(cells).rstrip())
    left = sum(map(len, groups[_SHOWN_ROWS:]))
    if left:
        console.print(f"and {left} more parts; --json has them")


def _lines_of(group: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """One line for each endpoint. The numbers are sums of the rows that stand together."""
    where = _range([row["where"] for row in group])
    for name, counts in group[0]["endpoints"].items():
        why = ", ".join(
            f"{reason} {count * len(group) if isinstance(count, int) else count}"
            for reason, count in counts["reasons"].items()
        )
        numbers = (
            _number(counts.get(kind, 0), len(group)) for kind in ("accepted", "window", "impossible", "rejected")
        )
        yield (where, name, *numbers, why)


def _number(count: int | None, times: int) -> str:
    return "all" if count is None else str(count * times)


def _range(places: Sequence[str]) -> str:
    """From the first to the last of them, with how many there are."""
    if len(places) == 1:
        return places[0]
    return f"{places[0].partition(' to ')[0]} to {places[-1].rpartition(' to ')[2]} ({len(places)} parts)"


def _together(notes: Sequence[str]) -> Iterator[str]:
    """Notes of neighbours that say the same, as one."""
    for (head, colon, detail), group in itertools.groupby(
        (note.partition(": ") for note in notes),
        key=lambda parts: parts if " to " not in parts[0] else ("", *parts[1:]),
    ):
        places = [parts[0] for parts in group]
        yield f"{head or _range(places)}{colon}{detail}"


def _print_endpoint(one: Mapping[str, Any], console: Console, *, is_dry: bool) -> None:
    classes = one["classes"]
    if is_dry:
        detail = f"{classes['accepted']} can be accepted, {classes['window']} only inside the out-of-order window"
        console.print(f"{one['endpoint']}: {detail}, {classes['impossible']} impossible")
    else:
        console.print(f"{one['endpoint']}: {_what_happened(one)}")
    for fate in ("rejected", "dropped"):
        for reason, entry in one[fate].items():
            console.print(f"  {fate} {entry['count']}, {reason}: {entry['example']}")
    for unknown in one["unknown"]:
        console.print(f"  unknown: {unknown}")
    for warning in one["warnings"]:
        console.print(f"  warning: {warning}")


def _what_happened(one: Mapping[str, Any]) -> str:
    """Of what was sent; a request counts when it was accepted."""
    requests = f" in {counted(one['requests'], 'request')}" if one["requests"] else ""
    found = f"{one['accepted']} of {one['collected']} samples accepted{requests}"
    for fate, words in (("rejected", "rejected by the receiver"), ("dropped", "not sent")):
        if count := sum(entry["count"] for entry in one[fate].values()):
            found += f", {count} {words}"
    return found


def _run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    return BackfillCommand(options, load(options, dependencies), dependencies).run()


COMMAND = Command(
    "backfill",
    "send past samples of an API, files or another server, as far as the receiver takes them",
    _add_arguments,
    _run,
    (
        Example("pusher backfill pusher.yaml --job usage --start -50m", "the last fifty minutes of one job's API"),
        Example("pusher backfill pusher.yaml --job usage --start -2h --dry-run", "what the receiver would accept"),
        Example("pusher backfill pusher.yaml --from dump.om --export late.om", "a file, and what AMP would not take"),
    ),
    (
        (OK, "all is delivered"),
        (NOT_DELIVERED, "a sample was not delivered; the last line says how to continue"),
        (BAD, "the usage or the config is bad"),
    ),
)
