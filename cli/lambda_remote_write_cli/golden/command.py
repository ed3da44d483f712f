"""`pusher test`: recorded answers through the config, against the samples that they should give."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable, problems_json
from lambda_remote_write.dependencies import Dependencies

from ..command import BAD, NOT_DELIVERED, OK, Add, BadUsage, Command, Example, add_timeout
from ..terminal import counted, say_json
from ..terminal import say as print  # noqa: A004 - nothing here is printed in another way
from .cause import Cause, causes
from .drift import Change, changes
from .file import LOCAL_ONLY, GoldenFile, GoldenTest, read
from .replay import NOT_RECORDED
from .run import NotTestable, Outcome, run

_SHOWN_CHANGES = 20  # of a metric; --json has all
_SHOWN_REQUESTS = 10


@dataclass(frozen=True, slots=True)
class Result:
    """A test, what its run gave, and how that differs from what is expected."""

    file: GoldenFile
    test: GoldenTest
    outcome: Outcome
    changes: Sequence[Change]

    @property
    def is_ok(self) -> bool:
        return not self.changes and not self.outcome.unrecorded


def _run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    if options.record:
        return _record(options, dependencies)
    if options.output or options.jobs:
        raise BadUsage("-o and --job go with --record CONFIG")
    if not options.files:
        raise BadUsage("a file of tests is expected; pusher test --record CONFIG -o pusher_test.yaml writes one")
    tested = [_tested(Path(name)) for name in options.files]
    errors = [one for one in tested if isinstance(one, _Bad)]
    results = [result for one in tested if not isinstance(one, _Bad) for result in one]
    updated = _update(results) if options.update else []
    if options.json:
        say_json(_document(results, errors, updated))
    else:
        for line in _lines(results, errors, updated):
            print(line)
    if errors:
        return BAD
    return (
        OK
        if all(one.is_ok or (one.file.path in updated and not one.outcome.unrecorded) for one in results)
        else NOT_DELIVERED
    )


@dataclass(frozen=True, slots=True)
class _Bad:
    """A file that cannot be tested."""

    path: Path
    error: ConfigError | Unreadable | NotTestable

    def lines(self) -> list[str]:
        if isinstance(self.error, ConfigError):
            return [str(problem) for problem in self.error.problems]
        return [str(self.error)]

    def problems(self) -> list[dict[str, object]]:
        if isinstance(self.error, ConfigError):
            return problems_json(self.error)
        return [{"message": str(self.error)}]


def _tested(path: Path) -> list[Result] | _Bad:
    try:
        file = read(path)
        outcomes = [(test, _outcome(file, test)) for test in file.tests]
    except (ConfigError, Unreadable, NotTestable) as error:
        return _Bad(path, error)
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


def _lines(results: Sequence[Result], errors: Sequence[_Bad], updated: Sequence[Path]) -> Iterator[str]:
    for bad in errors:
        yield from bad.lines()
    for one in results:
        yield f"{one.file.path}: {one.test.name}: {_verdict(one)}"
        yield from (f"  {line}" for line in _detail(one))
    for path in updated:
        yield f"{path}: the expected samples are written anew"
    if any(one.changes and one.file.path not in updated and not one.outcome.unrecorded for one in results):
        yield "if this is what you want to send, write it into the tests: pusher test --update FILE"


def _verdict(one: Result) -> str:
    if one.is_ok:
        return f"ok, {counted(len(one.outcome.samples), 'sample')}"
    kinds = [change.kind for change in one.changes]
    parts = [f"{kinds.count(kind)} {kind}" for kind in ("missing", "unexpected", "different") if kind in kinds]
    if one.outcome.unrecorded:
        parts.append(f"{counted(len(one.outcome.unrecorded), 'request')} not recorded")
    return f"drift: {', '.join(parts)}"


def _detail(one: Result) -> Iterator[str]:
    for request in one.outcome.unrecorded[:_SHOWN_REQUESTS]:
        again = f"pusher test --record {one.file.config} -o {one.file.path} --update"
        yield f"not recorded: {request}; add it to answers, or record again: {again}"
    if one.changes:
        yield from _drift(one)
    if not one.is_ok:
        yield from one.outcome.notes
    for index in one.outcome.unused[:_SHOWN_REQUESTS]:
        yield f"note: answers[{index}], {one.test.answers[index].url}, was not asked for"


def _drift(one: Result) -> Iterator[str]:
    """The changes by job and metric, each with the key of the config."""
    found = causes(one.outcome, one.file.config)
    told = set[Cause]()
    for job, metric in dict.fromkeys(map(_group, one.changes)):
        changed = [change for change in one.changes if _group(change) == (job, metric)]
        yield f"job {job}, {metric}:"
        for cause in _of(found, job, metric):
            if cause not in told and not cause.message.endswith(NOT_RECORDED):
                yield f"  {_place(cause, one.file.config)}{': ' if cause.message else ''}{cause.message}"
            told.add(cause)
        for change in changed[:_SHOWN_CHANGES]:
            yield from (f"  - {change.expected}" for _ in range(change.expected is not None))
            yield from (f"  + {change.actual}" for _ in range(change.actual is not None))
        if len(changed) > _SHOWN_CHANGES:
            yield f"  and {len(changed) - _SHOWN_CHANGES} more; --json shows all"


def _of(found: Sequence[Cause], job: str, metric: str) -> list[Cause]:
    """What concerns a metric: its own causes, and why a target of its job is down. Of `up`, all that failed."""
    of_job = [one for one in found if one.job == job]
    failed = [one for one in of_job if one.message]
    if metric == "up":
        return failed
    own = [one for one in of_job if one.metric == metric]
    return [*(one for one in failed if not one.metric), *own] or of_job[:1]


def _group(change: Change) -> tuple[str, str]:
    labels = change.labels
    return labels.get("job", ""), labels["__name__"]


def _place(cause: Cause, config: Path) -> str:
    return f"{config}:{cause.line}: {cause.path}" if cause.line else f"{config}: {cause.path}"


def _document(results: Sequence[Result], errors: Sequence[_Bad], updated: Sequence[Path]) -> dict[str, Any]:
    problems = [problem for bad in errors for problem in bad.problems()]
    return {
        "ok": not errors and all(one.is_ok for one in results),
        "tests": [_test_document(one) for one in results],
        **({"problems": problems} if problems else {}),
        **({"updated": [str(path) for path in updated]} if updated else {}),
    }


def _test_document(one: Result) -> dict[str, Any]:
    found = causes(one.outcome, one.file.config) if one.changes else []
    return {
        "file": str(one.file.path),
        "test": one.test.name,
        "ok": one.is_ok,
        "samples": len(one.outcome.samples),
        "changes": [_change(change) for change in one.changes],
        "causes": [
            {name: getattr(cause, name) for name in ("job", "metric", "path", "line", "message")}
            for cause in found
            if cause.message
        ],
        "not_recorded": list(one.outcome.unrecorded),
        "not_asked_for": [one.test.answers[index].url for index in one.outcome.unused],
        "notes": list(one.outcome.notes),
    }


def _change(change: Change) -> dict[str, Any]:
    job, metric = _group(change)
    sides = {"expected": change.expected, "actual": change.actual}
    return {"kind": change.kind, "job": job, "metric": metric} | {
        name: None if line is None else str(line) for name, line in sides.items()
    }


def _record(options: argparse.Namespace, dependencies: Dependencies) -> int:
    """Fetches once, and writes a test. Raises ConfigError and BadUsage."""
    from .live import Down, record
    from .record import TooLarge, save

    output, config = Path(options.output or "pusher_test.yaml"), Path(options.record)
    if options.files:
        raise BadUsage("--record writes a test; run it afterwards: pusher test FILE")
    if "://" in options.record or options.record.startswith("ssm:"):
        raise BadUsage(f"{options.record}: {LOCAL_ONLY}")
    if output.exists() and not options.update:
        raise BadUsage(f"{output} exists: choose another file with -o, or replace it with --update")
    options.config = options.record
    try:
        recorded = record(config, options.jobs or (), dependencies, options.timeout)
        outcome = run(recorded.test, config)
        save(config, output, recorded.test, outcome)
    except Down as error:
        return _not_recorded(options, str(error), NOT_DELIVERED)
    except (NotTestable, TooLarge) as error:
        return _not_recorded(options, str(error), BAD)
    except OSError as error:
        return _not_recorded(options, f"{output}: {error.strerror or error}", BAD)
    changed = changes(recorded.samples, outcome.samples)
    lost = list(dict.fromkeys(recorded.masked(str(one.expected or one.actual)) for one in changed))
    answers, samples = len(recorded.test.answers), len(outcome.samples)
    if options.json:
        say_json({"ok": not lost, "file": str(output), "answers": answers, "samples": samples, "changed": lost})
    else:
        found = f"{counted(answers, 'answer')}, {counted(samples, 'sample')}"
        print(f"{output}: {found}; review it, and run: pusher test {output}")
    for line in () if options.json else lost[:_SHOWN_CHANGES]:
        print(f"masking the secrets of the answers has changed this sample: {line}")
    return NOT_DELIVERED if lost else OK


def _not_recorded(options: argparse.Namespace, detail: str, status: int) -> int:
    from ..terminal import refuse

    refuse(f"nothing is recorded: {detail}", as_json=options.json)
    return status


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
