"""`pusher doctor`: looks at everything that a push needs, and says what to do."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator

from lambda_remote_write.deadline import DeadlineExceeded, call_until
from lambda_remote_write.dependencies import Dependencies

from ..command import BAD, NOT_DELIVERED, OK, Add, Command, Example, add_config, add_timeout, stack_name
from ..stack_config import load_as_stack, of_stack, region_of
from ..terminal import WARNING, WRONG, say, say_json
from . import findings
from .examination import Examination
from .findings import Check, Finding, Status
from .stack_description import StackDescription, read

_STACK_SHARE = 0.4  # of the time, for reading the stack
_STYLES = {Status.FAILED: WRONG, Status.UNKNOWN: WRONG, Status.WARNING: WARNING}


def run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    started = time.monotonic()
    examination = examination_of(options, dependencies)
    found = list(masked(findings.run(checks_of(examination), started + options.timeout), examination))
    if options.json:
        shown = [
            {"check": one.check, "status": one.status.value, "detail": one.detail, "fix": one.fix} for one in found
        ]
        say_json({"ok": _are_good(found), "checks": shown})
    else:
        _print(found)
    return OK if _are_good(found) else NOT_DELIVERED


def examination_of(options: argparse.Namespace, dependencies: Dependencies) -> Examination:
    """What the options name. Raises ConfigError and Unreadable."""
    region = region_of(dependencies)
    stack = _stack(options, dependencies, region) if options.stack else None
    world = of_stack(dependencies, region, stack.known if stack else None)
    return Examination(load_as_stack(options.config, world), options.config, world, region, stack)


def checks_of(examination: Examination) -> list[Check]:
    """In the order in which they are printed."""
    from . import endpoints, identity, secrets, sources, spool, stack

    parts = (identity, endpoints, secrets, sources, spool, stack)
    return [check for part in parts for check in part.checks(examination)]


def _add_arguments(add: Add) -> None:
    add_config(add)
    add(
        "--stack",
        type=stack_name,
        default="",
        metavar="NAME",
        help="look at this stack, too, and take workspace and spool from it",
    )
    add_timeout(add, 30.0, "30")


def _stack(options: argparse.Namespace, dependencies: Dependencies, region: str) -> StackDescription:
    if not region:
        return StackDescription(options.stack, error=ValueError("no region is set"))
    try:
        deadline = time.monotonic() + options.timeout * _STACK_SHARE
        return call_until(lambda: read(options.stack, dependencies, region), deadline)
    except DeadlineExceeded:
        return StackDescription(options.stack, error=TimeoutError("CloudFormation has not answered in time"))


def masked(found: Iterable[Finding], examination: Examination) -> Iterator[Finding]:
    """Without secrets, whatever a receiver or AWS has said."""
    mask = examination.dependencies.secrets.mask
    for one in found:
        yield Finding(mask(one.check), one.status, mask(one.detail), mask(one.fix))


def _are_good(found: Iterable[Finding]) -> bool:
    return all(one.status.is_good for one in found)


def _print(found: Iterable[Finding]) -> None:
    for one in found:
        style = _STYLES.get(one.status, "")
        say(f"{one.status.value:<9}  {one.check}: {one.detail}", style=style)
        if one.fix:
            say(f"{'':<9}  to do: {one.fix}", style=style)


COMMAND = Command(
    "doctor",
    "try out what a config needs: credentials, workspace, a write, clock, sources, secrets, spool, stack",
    _add_arguments,
    run,
    (
        Example("pusher doctor pusher.yaml", "before you deploy: a line for each check, and what to do"),
        Example("pusher doctor pusher.yaml --stack lambda-remote-write", "the same with the workspace of that stack"),
    ),
    (
        (OK, "all is well; there may be warnings"),
        (NOT_DELIVERED, "something failed, or is not known"),
        (BAD, "the usage or the config is bad"),
    ),
)
