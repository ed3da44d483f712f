"""Why samples or records do not reach the receiver. docs/operations.md shows this table to users."""

from __future__ import annotations

from enum import StrEnum


class DropReason(StrEnum):
    """A reason of ours, as it stands in reports: its word, where it is counted, what it means. A receiver's own are
    `http_…` and what `remote_write.refusals` knows. A member is a str, which hashes as fast as its word."""

    where: str
    meaning: str

    def __new__(cls, word: str, where: str, meaning: str) -> DropReason:
        member = str.__new__(cls, word)
        member._value_, member.where, member.meaning = word, where, meaning
        return member

    VALUE_MISSING = "value_missing", "`skipped`", "`value` finds nothing in the record"
    NULL_IGNORED = "null_ignored", "`skipped`", "the value is null, which `on_missing: ignore` says is normal"
    NOT_A_NUMBER = "not_a_number", "`skipped`", "the value is no number, or a text that `value_format` does not read"
    VALUE_REGEX = "value_regex", "`skipped`", "the value does not match `value_regex`"
    TIMESTAMP_MISSING = "timestamp_missing", "`skipped`", "the record has no timestamp where the job reads one"
    TIMESTAMP_INVALID = (
        "timestamp_invalid",
        "`skipped`",
        "the timestamp is not in the job's format, or in or before 1970",
    )
    EXPRESSION_FAILED = (
        "expression_failed",
        "`skipped`",
        "a function or comparison in an expression cannot be applied to what it found there",
    )
    LABEL_NOT_SCALAR = "label_not_scalar", "`skipped`", "a label, a state or a metric's name is a list or an object"
    NAME_MISSING = "name_missing", "`skipped`", "the record has no text where `name` reads the metric's name"
    NOT_A_LIST = "not_a_list", "`skipped`", "`[]` or an index in `records` found something that is no list"
    NOT_JSON = "not_json", "`skipped`", "a line of NDJSON is not JSON"
    BAD_LINE = "bad_line", "a backfill's `skipped`", "a line of a file cannot be read"
    ROW_LENGTH = (
        "row_length",
        "`skipped`",
        "a row of CSV has more cells than its header; in a backfill's file also one that has fewer",
    )
    AFTER_EOF = "after_eof", "a backfill's `skipped`", "lines of a file come after `# EOF`"
    RECORDS_MISSING = (
        "records_missing", "a backfill's `skipped`",
        "an answer for a range does not have the metric's records; `backfill.records` says where they are",
    )  # fmt: skip
    METRIC_RELABEL = "metric_relabel", "`dropped`", "a rule of `metric_relabel_configs` dropped it"
    WRITE_RELABEL = "write_relabel", "`dropped`", "a rule of `write_relabel_configs` dropped it"
    DUPLICATE = (
        "duplicate", "`dropped`",
        "another record has the same labels and time (`duplicates` says which counts), or a page has a series twice "
        "(the first counts)",
    )  # fmt: skip
    TOO_FAR_IN_FUTURE = "too_far_in_future", "`dropped`", "more than ten minutes ahead of the clock: it is lost"
    RESERVED_NAME = "reserved_name", "`dropped`", "the record gives the metric the name of a synthetic series, as `up`"
    INVALID_METRIC_NAME = "invalid_metric_name", "`dropped`", "no endpoint takes the metric's name"
    INVALID_LABEL_NAME = "invalid_label_name", "`dropped`", "no endpoint takes the name of a label"
    INVALID_LABEL_VALUE = "invalid_label_value", "`dropped`", "a label's value is not Unicode text"
    TOO_MANY_LABELS = "too_many_labels", "`dropped`", "the series has more labels than the receiver takes"
    LABELS_TOO_LARGE = (
        "labels_too_large",
        "`dropped`",
        "the labels of the series have more bytes than the receiver takes",
    )
    NATIVE_HISTOGRAMS_OFF = "native_histograms_off", "`dropped`", "the endpoint takes no native histograms"
    CUSTOM_BUCKETS = "custom_buckets", "`dropped`", "the endpoint takes no histograms with custom buckets"
    HISTOGRAM_SCHEMA = "histogram_schema", "`dropped`", "remote write has no place for the histogram's schema"
    HISTOGRAM_TOO_LARGE = "histogram_too_large", "`dropped`", "the histogram is too large even in the coarsest schema"
    NOT_NEWER = (
        "not_newer", "`dropped`",
        "the record did not move, was revised, or stepped back; also what an API repeats from before its series' first "
        "sample",
    )  # fmt: skip
    TOO_OLD = (
        "too_old",
        "`dropped`",
        "older than `sample_age_limit` and newer than what its series sent last: it is lost",
    )
    NEW_SERIES_LIMITED = "new_series_limited", "`dropped`", 'held back; see "Limits of new series" in config.md'
    TOO_LARGE = "too_large", "`dropped`", "one sample that fits no request"
    UNREADABLE = (
        "unreadable", "`dropped`",
        "an entry of the spool was damaged, and is kept under `dead/`; its header said how many samples it had",
    )  # fmt: skip
    SETTLED_ELSEWHERE = (
        "settled_elsewhere", "`dropped`",
        "another run, at the same time, has taken this entry of the spool and accounts for it",
    )  # fmt: skip
    OUTSIDE_RANGE = "outside_range", "a backfill's `dropped`", "its time is outside the range that the backfill is for"
    BEHIND_WINDOW = "behind_window", "a backfill's `dropped`", "older than the workspace's out-of-order window allows"
    OUT_OF_ORDER = "out_of_order", "a backfill's `reasons`", "only possible inside the workspace's out-of-order window"
    SCHEDULED = "scheduled", "why `push_samples` refuses", "the sample's `job` label is that of a scheduled job"
    QUEUE_FULL = (
        "queue_full", "`pusher run`",
        "more samples were waiting than `capacity` × `max_shards`: the oldest are dropped, or with a spool go there",
    )  # fmt: skip
    OVERTAKEN = (
        "overtaken", "`rejected`",
        "waited in the spool while newer samples of its series were sent; kept under `dead/`",
    )  # fmt: skip
    MAYBE_STORED = (
        "maybe_stored", "`rejected`",
        "refused after an attempt without an answer: the receiver may have stored it then",
    )  # fmt: skip
    NOT_WRITTEN = "not_written", "`rejected`", "the receiver took the request and says that it wrote fewer samples"
    UNAVAILABLE = "unavailable", "`spooled`, `undelivered`", "the receiver did not answer"
    MISCONFIGURED = (
        "misconfigured", "`spooled`, `undelivered`",
        "nothing can be sent until the configuration is changed, as with a bad certificate",
    )  # fmt: skip
    DEADLINE = "deadline", "`spooled`, `undelivered`", "the run's time was up before it was sent"
    BEHIND_BACKLOG = (
        "behind_backlog",
        "`spooled`, `undelivered`",
        "what was spooled before goes first, and is still there",
    )
    NO_RESULT = "no_result", "`spooled`, `undelivered`", "a call hangs where no timeout reaches, or a bug"
    SPOOL_FAILED = (
        "spool_failed", "`undelivered`",
        "the spool did not take them, or they are more than 50 MB (compressed), the most of an entry",
    )  # fmt: skip
    NATIVE_HISTOGRAM = (
        "native_histogram",
        "`left_out` of `spool show` and `export`",
        "the text format has no place for it",
    )
    STALE_MARKER = "stale_marker", "`left_out` of `spool show` and `export`", "the text format has no place for it"


LOSSES = (DropReason.TOO_OLD, DropReason.TOO_FAR_IN_FUTURE, DropReason.UNREADABLE, DropReason.NEW_SERIES_LIMITED)
"""Reasons of dropped samples that count as lost: the receiver should have had them."""
