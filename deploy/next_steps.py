"""What follows a deployment: the line of the first run, and the commands to go on with."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from lambda_remote_write.report.printable import printable

from .cloud import Cloud
from .deployment import Deployment
from .errors import FAILED
from .shell import Shell
from .stack import Stack

_SECONDS = {"1m": 60, "2m": 120}
"""The intervals that are short enough to wait for."""
_COLD_START_SECONDS = 45.0  # for the schedule to begin, the first run and its line's way into the log
_POLL_SECONDS = 3.0
_FAILED = re.compile(r"Task timed out|Runtime\.\w+Error|\[ERROR\]")


@dataclass(frozen=True, slots=True)
class FirstLine:
    """The first log line of a run, and whether it reports a failure."""

    text: str
    is_error: bool


def show(deployment: Deployment, stack: Stack, since: float) -> int:
    """Waits for the first run that logs after `since` (unix seconds), and prints its line and what to do next. The
    exit status: 1 when the run reports a failure. Raises ClientError and BotoCoreError."""
    shell = deployment.shell
    interval, state = (stack.parameter(name, deployment.known[name].default) for name in ("Interval", "ScheduleState"))
    seconds = seconds_to_wait(interval, state)
    line = None
    if seconds:
        shell.say(f"waiting up to {seconds:.0f} seconds for the first run; Ctrl-C ends the waiting")
        try:
            line = first_line(deployment.cloud, stack, since, seconds, shell)
            shell.say(f"first run: {line.text}" if line else "no run has logged yet")
        except KeyboardInterrupt:
            shell.say("stopped waiting; the deployment itself is done")
    shell.say("What to do next:")
    for command in commands(deployment.cloud, stack, deployment.config):
        shell.say(command)
    return FAILED if line and line.is_error else 0


def seconds_to_wait(interval: str, state: str) -> float:
    """For the line of the first run; 0 where it is not waited for."""
    seconds = _SECONDS.get(interval, 0) if state == "ENABLED" else 0
    return seconds + _COLD_START_SECONDS if seconds else 0.0


def first_line(cloud: Cloud, stack: Stack, since: float, seconds: float, shell: Shell) -> FirstLine | None:
    """None when no run logs in time."""
    until = shell.now() + seconds
    logs = cloud.client("logs")
    while shell.now() < until:
        events = logs.filter_log_events(logGroupName=stack.output("PusherLogGroupName"), startTime=int(since * 1000))
        for event in events["events"]:
            if found := _read(event["message"]):
                return found
        shell.sleep(_POLL_SECONDS)
    return None


def _read(message: str) -> FirstLine | None:
    """None for the platform's own lines, such as START, and for metrics."""
    try:
        line: Any = json.loads(message)
    except ValueError:
        return FirstLine(printable(message.strip()), True) if _FAILED.search(message) else None
    if not isinstance(line, dict) or "level" not in line:
        return None
    is_error = line["level"] in ("ERROR", "CRITICAL")
    if "report" not in line and not is_error:
        return None
    return FirstLine(printable(f"{line['level']} {line.get('message', '')}"), is_error)


def commands(cloud: Cloud, stack: Stack, config: str) -> list[str]:
    """One for each thing that a user wants next, with the values of this stack."""
    region, workspace = cloud.region, stack.output("WorkspaceId")
    role = f" ROLE_ARN={stack.output('GrafanaRoleArn')}" if stack.output("GrafanaRoleArn") else ""
    return [
        f"  log      aws logs tail {stack.output('PusherLogGroupName')} --follow --region {region}",
        f"  query    PUSHER_WORKSPACE={workspace} AWS_REGION={region} .venv/bin/pusher query {config} 'up'",
        f"  Grafana  make grafana URL=https://… WORKSPACE={workspace} REGION={region}{role}",
    ]
