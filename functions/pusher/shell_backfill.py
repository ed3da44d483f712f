"""`pusher backfill`: a backfill from a shell, with a progress bar and a table of what the receiver can take."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .backfill import invoke
from .config.schema import Config
from .report import skipped_lines
from .shell_print import Console, Table
from .shell_print import say as print  # noqa: A004 - nothing here is printed in another way
from .store import DirectoryStore, Store
from .warm import Outside

_OK, _NOT_DELIVERED, _BAD = 0, 1, 2
_SHOWN_ROWS = 40
_LEFT_OUT = {"outside_range", "value_missing", "metric_relabel", "write_relabel", "duplicate"}


def add_arguments(command: argparse.ArgumentParser, seconds: Callable[[str], float]) -> None:
    """What a backfill from a shell can be told."""
    command.add_argument("--job", default="", help="of json_configs or backfill_configs; with --from, whose records")
    command.add_argument("--start", help="RFC 3339, unix seconds, or relative as -2h")
    command.add_argument("--end", help="the same; now, when left out")
    command.add_argument("--step", default="", metavar="DURATION", help="between two samples, where the API is told")
    command.add_argument("--window", default="", metavar="DURATION", help="what one request asks for")
    command.add_argument("--from", dest="files", action="append", default=[], metavar="FILE", help="a path, or s3://…")
    command.add_argument("--format", default="", help="json, ndjson, csv, openmetrics or prometheus; else by the name")
    command.add_argument("--columns", default="", metavar="HEADER=FIELD,…", help="of a csv, where they differ")
    command.add_argument("--endpoint", default="", help="only this one, by its name")
    command.add_argument("--export", default="", metavar="FILE", help="write what is impossible there, as OpenMetrics")
    command.add_argument("--dry-run", action="store_true", help="read and judge everything, send nothing")
    command.add_argument("--force", action="store_true", help="send what is impossible, too")
    command.add_argument("--widen-out-of-order", action="store_true", help="raise AMP's window meanwhile, 10m at most")
    command.add_argument("--resume", nargs="?", const=True, default=False, metavar="TOKEN", help="go on where it ended")
    command.add_argument("--timeout", type=seconds, default=86_400.0, metavar="SECONDS", help="for all of it (a day)")


def event_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options -> the event that says the same. Raises BadRequest."""
    given: dict[str, Any] = {
        "job": options.job, "start": options.start, "end": options.end, "step": options.step,
        "window": options.window, "from": options.files, "format": options.format,
        "columns": _columns(options.columns), "endpoint": options.endpoint, "export": options.export,
        "dry_run": options.dry_run, "force": options.force, "widen_out_of_order": options.widen_out_of_order,
        "resume": options.resume,
    }  # fmt: skip
    return {key: value for key, value in given.items() if value not in ("", None, False, [], {})}


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

    def __init__(
        self,
        options: argparse.Namespace,
        config: Config,
        outside: Outside,
        print_json: Callable[[dict[str, Any]], None],
    ) -> None:
        self._options, self._config, self._outside, self._print_json = options, config, outside, print_json
        self._console = Console(stderr=True)

    def run(self) -> int:
        """Returns the exit status: 0 all of it is delivered, 1 something is not, 2 it cannot be."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            answer = self._answer()
        except invoke.BadRequest as error:
            self._refuse(str(error))
            return _BAD
        except KeyboardInterrupt:
            print("interrupted: the same with --resume goes on where it ended", file=sys.stderr)
            return _NOT_DELIVERED
        if self._options.json:
            self._print_json(answer)
        else:
            print_answer(answer, Console())
        return _OK if is_delivered(answer) else _NOT_DELIVERED

    def _answer(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._options.timeout
        with self._progress() as bar:
            task = bar.add_task("", total=1.0, parts="", samples="", rate="")
            started = time.monotonic()

            def tell(told: invoke.Told) -> None:
                of_all = f"/{told.windows}" if told.windows else ""
                rate = told.samples / max(time.monotonic() - started, 0.001)
                bar.update(
                    task, completed=told.share, parts=f"{told.parts}{of_all} windows",
                    samples=f"{told.samples:,} samples", rate=f"{rate:,.0f}/s",
                )  # fmt: skip

            edges = invoke.Edges(self._outside, self._store(), is_local=True, tell=tell)
            return invoke.backfill(event_of(self._options), self._config, edges, deadline)

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[parts]}"),
            TextColumn("{task.fields[samples]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def _store(self) -> Store:
        """Where `--resume` finds how far it came: the config's spool, else the user's own folder."""
        location = self._config.spool.location
        if location:
            return self._outside.store(location)
        home = self._outside.environment.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        return DirectoryStore(Path(home) / "pusher")

    def _refuse(self, message: str) -> None:
        if self._options.json:
            self._print_json({"ok": False, "problems": [{"message": message}]})
        else:
            print(f"backfill: {message}", file=sys.stderr)


def is_delivered(answer: Mapping[str, Any]) -> bool:
    """Whether every sample that the source has is where it should be (or would be, in a dry run). What somebody has
    left out on purpose does not count."""
    unread = set(answer["skipped"]) - _LEFT_OUT
    lost = any(
        one["rejected"] or one["classes"]["impossible"] or set(one["dropped"]) - _LEFT_OUT
        for one in answer["endpoints"]
    )
    return bool(answer["done"]) and not (unread or lost or answer["unasked"] or answer["stopped"])


def print_answer(answer: Mapping[str, Any], console: Console) -> None:
    """What was done, and what was not, for people."""
    console.print(invoke.sentence(answer), highlight=False, markup=False)
    _print_rows(answer, console)
    for one in answer["endpoints"]:
        if answer["parts"] or one["collected"]:
            _print_endpoint(one, console)
    for line in skipped_lines(answer["skipped"]):
        console.print(line, highlight=False, markup=False)
    if answer["exported"]:
        console.print(f"{answer['exported']} samples exported, for promtool tsdb create-blocks-from openmetrics")
    for note in answer["notes"]:
        console.print(note, highlight=False, markup=False)
    for warning in answer["warnings"]:
        console.print(f"warning: {warning}", highlight=False, markup=False)
    if "resume" in answer:
        first = "when that is mended, " if answer["stopped"] else ""
        console.print(f"to go on: {first}the same with --resume (--json has a token)", highlight=False)


def _print_rows(answer: Mapping[str, Any], console: Console) -> None:
    rows = [row for row in answer["preflight"] if "endpoints" in row]
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("window", "endpoint", "accepted", "only in the window", "impossible", "why"):
        table.add_column(column, justify="right" if column in ("accepted", "impossible") else "left")
    for row in rows[:_SHOWN_ROWS]:
        for name, counts in row["endpoints"].items():
            why = ", ".join(f"{reason} {count}" for reason, count in counts["reasons"].items())
            numbers = ["all" if counts.get(kind) is None else str(counts[kind]) for kind in ("impossible",)]
            accepted, window = (str(counts.get(kind, "")) for kind in ("accepted", "window"))
            table.add_row(row["where"], name, accepted, window, numbers[0], why)
    console.print(table, highlight=False, markup=False)
    if len(rows) > _SHOWN_ROWS:
        console.print(f"and {len(rows) - _SHOWN_ROWS} more windows; --json has them", highlight=False)


def _print_endpoint(one: Mapping[str, Any], console: Console) -> None:
    classes = one["classes"]
    said = f"{classes['accepted']} can be accepted, {classes['window']} only inside the out-of-order window"
    console.print(f"{one['endpoint']}: {said}, {classes['impossible']} impossible", highlight=False, markup=False)
    counts = f"{one['accepted']} of {one['collected']} samples accepted in {one['requests']} requests"
    console.print(f"  {counts}", highlight=False, markup=False)
    for fate in ("rejected", "dropped"):
        for reason, entry in one[fate].items():
            console.print(f"  {fate} {entry['count']}, {reason}: {entry['first']}", highlight=False, markup=False)
    for unknown in one["unknown"]:
        console.print(f"  unknown: {unknown}", highlight=False, markup=False)
    for warning in one["warnings"]:
        console.print(f"  warning: {warning}", highlight=False, markup=False)
