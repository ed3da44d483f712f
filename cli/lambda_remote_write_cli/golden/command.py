"""`pusher test`: recorded answers through the config, against the samples that they should give."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable
from lambda_remote_write.dependencies import Dependencies

from ..command import BAD, NOT_DELIVERED, OK, Add, BadUsage, Command, Example, add_timeout
from ..terminal import say_json
from .drift import changes
from .file import GoldenFile, GoldenTest, read
from .result import BadFile, Result, document, show
from .run import NotTestable, Outcome, run


def _run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    if options.record:
        from .recording import record

        return record(options, dependencies)
    if options.output or options.jobs:
        raise BadUsage("-o and --job go with --record CONFIG")
    if not options.files:
        raise BadUsage("a file of tests is expected; pusher test --record CONFIG -o pusher_test.yaml writes one")
    tested = [_tested(Path(name)) for name in options.files]
    errors = [one for one in tested if isinstance(one, BadFile)]
    results = [result for one in tested if not isinstance(one, BadFile) for result in one]
    updated = _update(results) if options.update else []
    if options.json:
        say_json(document(results, errors, updated))
    else:
        show(results, errors, updated)
    if errors:
        return BAD
    return (
        OK
        if all(one.is_ok or (one.file.path in updated and not one.outcome.unrecorded) for one in results)
        else NOT_DELIVERED
    )


def _tested(path: Path) -> list[Result] | BadFile:
    try:
        file = read(path)
        outcomes = [(test, _outcome(file, test)) for test in file.tests]
    except (ConfigError, Unreadable, NotTestable) as error:
        return BadFile(path, error)
    return [Result(file, test, outcome, changes(test.series, outcome.samples)) for test, outcome in outcomes]


def _outcome(file: GoldenFile, test: GoldenTest) -> Outcome:
    try:
        return run(test, file.config)
    except NotTestable as error:
        raise NotTestable(f"{file.path}: test {test.name}: {error}") from None


def _update(results: Sequence[Result]) -> list[Path]:
    """The files that were rewritten. Raises BadUsage."""
    from .update import NotUpdated, update

    updated = []
    for path in dict.fromkeys(one.file.path for one in results):
        found = [one for one in results if one.file.path == path and one.changes and not one.outcome.unrecorded]
        if not found:
            continue
        try:
            update(path, {one.test.name: one.outcome.samples for one in found})
        except (NotUpdated, OSError) as error:
            raise BadUsage(str(error)) from None
        updated.append(path)
    return updated


def _add_arguments(add: Add) -> None:
    add("files", metavar="FILE", nargs="*", help="files of tests, as pusher_test.yaml")
    add("--update", action="store_true", help="write the samples of this run into the files as what is expected")
    add("--record", metavar="CONFIG", help="fetch once what this config asks for, and write a test")
    add("-o", "--output", metavar="FILE", help="what --record writes (default: pusher_test.yaml)")
    add("--job", dest="jobs", action="append", metavar="NAME", help="record only this job; may be repeated")
    add("--json", action="store_true", help="print one JSON document instead of text")
    add_timeout(add)


COMMAND = Command(
    "test",
    "run recorded answers through a config and compare its samples with the expected ones, without network or AWS",
    _add_arguments,
    _run,
    (
        Example("pusher test pusher_test.yaml", "whether the config still makes the expected samples of the answers"),
        Example("pusher test --record pusher.yaml -o pusher_test.yaml", "fetch once, and write such a file"),
        Example("pusher test pusher_test.yaml --update", "after a review: take the samples of this run as expected"),
    ),
    (
        (OK, "the samples are the expected ones"),
        (NOT_DELIVERED, "they are not, or a request has no recorded answer"),
        (BAD, "the usage, a file of tests or the config is bad"),
    ),
)
