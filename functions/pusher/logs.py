"""The run's one log line, and its metrics as an EMF line that CloudWatch turns into metrics."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from .report import Report

_NAMESPACE = "LambdaRemoteWrite"


class Journal:
    """Writes what happened. `service` is the dimension of the metrics and a field of every line."""

    def __init__(self, service: str) -> None:
        self._service = service or "lambda-remote-write"
        self._log = Logger(service=self._service)

    def report(self, report: Report, context: dict[str, Any]) -> None:
        """One line for the run, an error when it failed, a warning when something waits or may wait, and its metrics in
        one dimension set."""
        is_pending = report.is_waiting or report.backlog_unknown
        write = self._log.error if report.failed else self._log.warning if is_pending else self._log.info
        write(report.summary(), extra={"report": report.as_dict(), **context})
        metrics = EphemeralMetrics(namespace=_NAMESPACE, service=self._service)
        for name, value in report.metrics().items():
            unit = MetricUnit.Seconds if name.endswith("Seconds") else MetricUnit.Count
            metrics.add_metric(name=name, unit=unit, value=value)
        metrics.flush_metrics()

    def said(self, message: str, context: dict[str, Any], *, is_error: bool) -> None:
        """What an action other than a push came to."""
        (self._log.error if is_error else self._log.info)(message, extra=context)

    def refused(self, message: str, context: dict[str, Any]) -> None:
        """Something that stopped a run before it began, or a config that was refused."""
        self._log.error(message, extra=context)
