"""`pusher spool`: lists, shows, exports and deletes waiting entries and dead letters."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lambda_remote_write.config.schema import Config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.exposition.writer import Exported, exposition, openmetrics
from lambda_remote_write.report.printable import printable
from lambda_remote_write.report.report import reasons_dict
from lambda_remote_write.spool.spool import Spool
from lambda_remote_write.spool_inspect import Chosen, Found, NoSpool, choose, entries, exported, listing, spool_of
from lambda_remote_write.state.shards import WHOLE, Shard
from lambda_remote_write.store import MAX_LISTED, StoreError

from .command import BAD, NOT_DELIVERED, OK, Add, Command, Example, add_config, add_timeout, load
from .push import delivered, pushed
from .terminal import clock, counted, refuse, say_json
from .terminal import say as print  # noqa: A004 - nothing here is printed in another way

_LIST_SECONDS = 30.0


def run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    config = load(options, dependencies)
    if options.do == "drain":
        return max(
            delivered(pushed(options, config, dependencies, (), shard))
            for shard in _waiting_shards(config, dependencies)
        )
    return SpoolCommand(options, Environment(config, dependencies)).run()


def _waiting_shards(config: Config, dependencies: Dependencies) -> list[Shard]:
    """The shards that have waiting entries; the whole config when none has."""
    location, until = config.spool.location, time.monotonic() + _LIST_SECONDS
    try:
        keys = dependencies.store(location).list("spool/", until) if location else []
    except StoreError:  # the push reports it
        keys = []
    names = sorted({key.split("/")[2] for key in keys if key.count("/") > 2})
    return [Shard(0, 0, name) for name in names] or [WHOLE]


class SpoolCommand:
    """One call of the command."""

    def __init__(self, options: argparse.Namespace, environment: Environment) -> None:
        self._options, self._environment = options, environment
        self._deadline = time.monotonic() + options.timeout

    def run(self) -> int:
        """Returns the exit status."""
        try:
            self._spool: Spool = spool_of(self._environment)
        except NoSpool as error:
            return self._fail(str(error), BAD)
        known = [endpoint.name for endpoint in self._environment.config.endpoints]
        try:
            chosen = choose(self._spool, known, vars(self._options), self._deadline)
            if self._options.do == "delete":
                return self._delete(chosen)
            found = entries(self._spool, chosen, self._deadline)
            return self._list(found) if self._options.do == "list" else self._write(found)
        except OSError as error:  # of the store, or of the file that is written
            return self._fail(str(error), NOT_DELIVERED)

    def _fail(self, detail: str, status: int) -> int:
        refuse(detail, as_json=self._options.json)
        return status

    def _list(self, found: Found) -> int:
        listed = listing(found)
        if self._options.json:
            say_json({"place": self._spool.store.place, **listed})
            return OK
        for row in listed["entries"]:
            print(f"{row['key']}  {counted(row['samples'], 'sample')}, the oldest of {clock(row['oldest_ms'])}")
            for reason, entry in row["reasons"].items():
                print(f"    {entry['count']} {reason}: {entry['example']}")
        for key, detail in found.unreadable.items():
            print(f"{key}  unreadable: {detail}")
        for endpoint in self._environment.config.endpoints:
            if any(row["endpoint"] == endpoint.name for row in listed["entries"]):
                print(f"{endpoint.name} is {endpoint.receiver}")
        counts = f"{counted(len(listed['entries']), 'entry')}, {counted(listed['samples'], 'sample')}"
        more = f"; only the oldest {MAX_LISTED} of an endpoint are shown" if found.is_cut else ""
        print(f"{self._spool.store.place}: {counts}{more}")
        return OK

    def _write(self, found: Found) -> int:
        """show and export"""
        everything = exported(found)
        lines = openmetrics(everything) if self._options.do == "export" else exposition(everything)
        if self._options.json:
            counts = {"samples": everything.samples, "left_out": reasons_dict(everything.left_out)}
            say_json({**counts, "unreadable": found.unreadable, "text": "".join(lines)})
            return OK
        is_data = self._options.do == "export"  # promtool reads it; `show` prints for people
        with _output(self._options.output) as write:
            for line in lines:
                write(line if is_data else f"{printable(line.rstrip(chr(10)))}\n")
        for detail in _left_out(everything, found):
            print(detail, file=sys.stderr)
        return OK

    def _delete(self, chosen: Chosen) -> int:
        keys = [chosen.key] if chosen.key else [
            key for endpoint in chosen.endpoints for key in self._spool.keys(endpoint, self._deadline, chosen.part)
        ]  # fmt: skip
        if keys and not self._options.yes and not self._is_confirmed(len(keys)):
            return self._fail("nothing is deleted; --yes deletes without asking", NOT_DELIVERED)
        deleted = sum(self._spool.delete(key, self._deadline) for key in keys)
        if self._options.json:
            say_json({"deleted": deleted, "keys": keys})
        else:
            print(f"{counted(deleted, 'entry')} deleted")
        return OK

    def _is_confirmed(self, count: int) -> bool:
        if not sys.stdin.isatty():
            return False
        with self._options.activity.paused():
            answer = input(f"delete {counted(count, 'entry')} for good? [y/N] ")
        return answer.strip().lower() in ("y", "yes")


@contextlib.contextmanager
def _output(name: str | None) -> Iterator[Callable[[str], object]]:
    """Standard output, or a file that appears only once it is complete."""
    if not name:
        yield sys.stdout.write
        return
    path = Path(name)
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("w", encoding="utf-8", newline="\n") as file:
            yield file.write
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _left_out(everything: Exported, found: Found) -> Iterator[str]:
    for reason, count in everything.left_out.counts.items():
        yield f"left out: {count} {reason}: {everything.left_out.first_examples[reason]}"
    for key, detail in found.unreadable.items():
        yield f"unreadable: {key}: {detail}"


def _add_arguments(add: Add) -> None:
    add_config(add)
    does = "list (the default); show: print as exposition text; export: write as OpenMetrics; delete; drain: send"
    choices = ("list", "show", "export", "delete", "drain")
    add("do", nargs="?", default="list", choices=choices, metavar="DO", help=does)
    add("--endpoint", default="", help="only entries of the endpoint of this name")
    add("--key", default="", help="only the entry of this key")
    add("--dead", action="store_true", help="dead letters, which are not sent again, instead of waiting entries")
    add("-o", "--output", metavar="FILE", help="where show and export write (default: stdout)")
    add("--yes", action="store_true", help="delete without confirmation")
    add_timeout(add)


COMMAND = Command(
    "spool",
    "list, show, export, delete or send samples that could not be delivered",
    _add_arguments,
    run,
    (
        Example("pusher spool pusher.yaml", "what waits, with its reasons"),
        Example("pusher spool pusher.yaml export --dead -o dead.om", "dead letters as OpenMetrics, for promtool"),
        Example("pusher spool pusher.yaml drain", "send what waits, oldest first"),
    ),
    (
        (OK, "done"),
        (NOT_DELIVERED, "the spool cannot be reached, or samples still wait after drain"),
        (BAD, "the usage or the config is bad, or no spool is configured"),
    ),
)
