"""The run's one log line, and its metrics as an EMF line that CloudWatch turns into metrics.

CloudWatch bills each metric, so that only those go out that an alarm watches, unless all or none are asked for.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from .printable import json_text
from .report import Report

_NAMESPACE = "LambdaRemoteWrite"
ALARM_METRICS, ALL_METRICS, NO_METRICS = "alarms", "all", "none"  # values of PUSHER_METRICS


class RunLog:
    """Writes what happened. `service` is the dimension of the metrics and a field of every line; `metrics` says which
    of them go out."""

    def __init__(self, service: str, metrics: str = ALARM_METRICS) -> None:
        self._service, self._metrics = service or "lambda-remote-write", metrics
        self._log = Logger(service=self._service, json_serializer=partial(json_text, default=str))

    def report(self, report: Report, context: dict[str, Any]) -> None:
        """One line for the run, an error when it failed, a warning when something waits (or may), was lost or is down,
        and its metrics in one dimension set."""
        is_odd = report.is_waiting or report.backlog_unknown or report.lost or report.jobs_down
        write = self._log.error if report.failed else self._log.warning if is_odd else self._log.info
        write(report.summary(), extra={"report": report.as_dict(), **context})
        if self._metrics == NO_METRICS:
            return
        metrics = EphemeralMetrics(namespace=_NAMESPACE, service=self._service)
        found = report.totals() if self._metrics == ALL_METRICS else report.alarm_metrics()
        for name, value in found.items():
            unit = MetricUnit.Seconds if name.endswith("Seconds") else MetricUnit.Count
            metrics.add_metric(name=name, unit=unit, value=value)
        metrics.flush_metrics()

    def action(self, message: str, context: dict[str, Any], *, is_error: bool) -> None:
        """What an action other than a push came to."""
        (self._log.error if is_error else self._log.info)(message, extra=context)

    def refused(self, message: str, context: dict[str, Any]) -> None:
        """Something that stopped a run before it began, or a config that was refused."""
        self._log.error(message, extra=context)
