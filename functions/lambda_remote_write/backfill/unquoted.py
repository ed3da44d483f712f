"""Messages about an object in S3 say what is wrong and where, and never quote its content. A caller who may name an
object to the function need not be allowed to read it, and others read the function's log."""

from __future__ import annotations

from .files import is_object

_SAFE = {  # details of these come from the config, the format or the clock
    "after_eof", "bad_line", "duplicate", "metric_relabel", "name_missing", "not_json", "null_ignored", "outside_range",
    "row_length", "timestamp_missing", "too_far_in_future", "value_missing", "write_relabel",
}  # fmt: skip
_WORDS = {
    "invalid_label_name": "a label name that the receivers do not take",
    "invalid_label_value": "a label value that is not Unicode text",
    "invalid_metric_name": "a metric name that the receivers do not take",
    "label_not_scalar": "a label, a state or a metric's name is a list or an object",
    "labels_too_large": "a series with more bytes of labels than the receivers take",
    "not_a_list": "records expects a list where something else stands",
    "not_a_number": "a value that is no number",
    "reserved_name": "a metric's name that is one of a synthetic series",
    "scheduled": "its job is pushed by the schedule: two writers would break the order of its series; use another job "
    "label",
    "timestamp_invalid": "a timestamp that its format does not read",
    "too_many_labels": "a series with more labels than the receivers take",
    "value_regex": "a value that value_regex does not match",
}


def detail_of(place: str, reason: str, detail: str) -> str:
    """The message for a reason: `detail`, which may quote the file, or for an S3 object words that quote nothing."""
    return detail if reason in _SAFE or not is_object(place) else _WORDS.get(reason, reason)
