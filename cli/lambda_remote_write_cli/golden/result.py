"""What tests have given, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable, problems_json

from ..terminal import WARNING, WRONG, counted, say, wrong
from .cause import Cause, causes
from .drift import Change
from .file import GoldenFile, GoldenTest
from .replay import NOT_RECORDED
from .run import NotTestable, Outcome

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


@dataclass(frozen=True, slots=True)
class BadFile:
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


def show(results: Sequence[Result], errors: Sequence[BadFile], updated: Sequence[Path]) -> None:
    for bad in errors:
        for line in bad.lines():
            wrong(line)
    for one in results:
        style = "" if one.is_ok else WRONG
        say(f"{one.file.path}: {one.test.name}: {_verdict(one)}", style=style)
        for line in _detail(one):
            say(f"  {line}", style=style and (WRONG if line.lstrip().startswith("- ") else WARNING))
    for path in updated:
        say(f"{path}: the expected samples are written anew")
    if any(one.changes and one.file.path not in updated and not one.outcome.unrecorded for one in results):
        say("if this is what you want to send, write it into the tests: pusher test --update FILE")


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


def document(results: Sequence[Result], errors: Sequence[BadFile], updated: Sequence[Path]) -> dict[str, Any]:
    problems = [problem for bad in errors for problem in bad.problems()]
    return {
        "ok": not errors and all(one.is_ok for one in results),
        "tests": [_of_test(one) for one in results],
        **({"problems": problems} if problems else {}),
        **({"updated": [str(path) for path in updated]} if updated else {}),
    }


def _of_test(one: Result) -> dict[str, Any]:
    found = causes(one.outcome, one.file.config) if one.changes else []
    return {
        "file": str(one.file.path),
        "test": one.test.name,
        "ok": one.is_ok,
        "samples": len(one.outcome.samples),
        "changes": [change_document(change) for change in one.changes],
        "causes": [
            {name: getattr(cause, name) for name in ("job", "metric", "path", "line", "message")}
            for cause in found
            if cause.message
        ],
        "not_recorded": list(one.outcome.unrecorded),
        "not_asked_for": [one.test.answers[index].url for index in one.outcome.unused],
        "notes": list(one.outcome.notes),
    }


def change_document(change: Change) -> dict[str, Any]:
    job, metric = _group(change)
    sides = {"expected": change.expected, "actual": change.actual}
    return {"kind": change.kind, "job": job, "metric": metric} | {
        name: None if line is None else str(line) for name, line in sides.items()
    }
