"""The limits of a job on labels and timestamps. They are here, below `scrape`, because `json_api` checks them too.
Label lengths are in bytes; one violation fails the scrape."""

from __future__ import annotations

from collections.abc import Mapping

from ..config.schema import Limits

MAX_AHEAD_MS = 600_000  # as in Prometheus: a sample more than ten minutes ahead is dropped, the others are not


class LimitCrossed(Exception):
    """A label is beyond a limit of the job; the message names the metric and the limit."""


def check_labels(labels: Mapping[str, str], limits: Limits) -> None:
    """Raises LimitCrossed. All labels count, `__name__`, `job` and `instance` included."""
    if not limits.has_label_limits:
        return
    name = f"metric {labels.get('__name__', '')!r:.50}"
    if limits.label_limit and len(labels) > limits.label_limit:
        raise LimitCrossed(f"{name} has {len(labels)} labels, label_limit is {limits.label_limit}")
    for label, value in labels.items():
        if limits.label_name_length and len(label.encode()) > limits.label_name_length:
            detail = f"label name {label!r:.50} is longer than label_name_length_limit"
            raise LimitCrossed(f"{name}: {detail}, {limits.label_name_length} bytes")
        if limits.label_value_length and len(value.encode("utf-8", "replace")) > limits.label_value_length:
            detail = f"the value of label {label!r:.50} is longer than label_value_length_limit"
            raise LimitCrossed(f"{name}: {detail}, {limits.label_value_length} bytes")
