"""The catalogue of refusals: texts of AMP (which descends from Cortex), Prometheus and Mimir, what they mean and what
helps. Sources: AMP's user guide (troubleshooting, quotas, CloudWatch metrics) and the receivers' own code.

A rule is looked at for its statuses only, and its words must all stand in the text. Nothing but the explanation hangs
on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WIDEN = (
    "aws amp update-workspace-configuration --workspace-id {workspace} --region {region} "
    "--out-of-order-time-window-in-seconds 600"
)
_WIDEN_OTHERS = "a longer out-of-order window of the receiver (Prometheus: storage.tsdb.out_of_order_time_window)"
AGE_ADVICE = "lower queue_config.sample_age_limit so that such samples are kept under dead/ instead"
"""What helps a schedule whose samples come too late."""
_OF_AMP = re.compile(r"; AMP's limit is [^;]*| \(AMP: [^)]*\)")
_AWS_COMMAND = re.compile(r"aws (?:amp|service-quotas) [^;]*")
_RAISE = (
    "aws service-quotas request-service-quota-increase --service-code aps --region {region} --quota-code {code} "
    "--desired-value N"
)
_TWO_WRITERS = "give one of them a distinguishing label, as global.external_labels: {{writer: NAME}}"
_RELABEL = "drop or shorten it with metric_relabel_configs or write_relabel_configs"
_BUG = "this is a bug of the sender: please report it with the text"
_POLICY = '{{"Effect": "Allow", "Action": "aps:RemoteWrite", "Resource": "{resource}"}} must be in a policy of the role'


@dataclass(frozen=True, slots=True)
class Refusal:
    """`reason` is AMP's own word of its metric DiscardedSamples, where it has one. `help` may name {workspace},
    {region}, {resource} and {skew}."""

    statuses: tuple[int, ...]
    words: tuple[str, ...]
    reason: str
    meaning: str
    help: str = ""


OUT_OF_ORDER = frozenset({"sample-out-of-order", "sample-too-old"})
TOO_LATE = OUT_OF_ORDER | {"greater_than_max_sample_age", "new-value-for-timestamp"}
"""What a receiver says of samples that would have been in order when they were scraped."""


def for_others(words: str) -> str:
    """Meaning or advice for a receiver that is not AMP: settings of its own in the place of AWS's commands and
    limits."""
    return _OF_AMP.sub("", _AWS_COMMAND.sub("raise the receiver's own limit", words.replace(_WIDEN, _WIDEN_OTHERS)))


def _bad(reason: str, meaning: str, help: str, *texts: str) -> list[Refusal]:  # noqa: A002 - the field's name
    """Rules of a 400: any of the texts; words of one text that need not stand together are parted by " … "."""
    return [Refusal((400, 422), tuple(text.split(" … ")), reason, meaning, help) for text in texts]


def _raise(code: str) -> str:
    return _RAISE.replace("{code}", code)


REFUSALS: tuple[Refusal, ...] = (
    # what the labels, the value or the time of a sample are not allowed to be
    *_bad(
        "new-value-for-timestamp",
        "a series got two values for the same time: there are two writers of it",
        _TWO_WRITERS,
        "duplicate sample for timestamp",
        "err-mimir-sample-duplicate-timestamp",
    ),
    *_bad(
        "sample-out-of-order",
        "a sample is older than the newest of its series: there are two writers of it, or two "
        "requests have overtaken each other",
        f"{_TWO_WRITERS}; or let late samples in: {_WIDEN}",
        "out of order sample",
        "err-mimir-sample-out-of-order",
    ),
    *_bad(
        "sample-too-old",
        "a sample is older than the newest of its series, outside of the out-of-order window",
        f"{_TWO_WRITERS}; or widen the window: {_WIDEN}",
        "too old sample",
    ),
    *_bad(
        "greater_than_max_sample_age",
        "a sample is older than the receiver takes at all; AMP's limit is an hour",
        f"{AGE_ADVICE}; promtool tsdb create-blocks-from openmetrics takes them elsewhere",
        "timestamp too old",
        "out of bounds",
        "err-mimir-sample-timestamp-too-old",
        "err-mimir-too-far-in-past",
    ),
    *_bad(
        "too_far_in_future",
        "a sample lies too far ahead of the receiver's clock",
        "is timestamp.format the right unit, timezone the right zone, and the source's clock right?",
        "timestamp too new",
        "err-mimir-too-far-in-future",
    ),
    *_bad(
        "missing_metric_name",
        "a series has no metric name",
        _BUG,
        "missing metric name",
        "err-mimir-missing-metric-name",
    ),
    *_bad(
        "metric_name_invalid",
        "a metric name is not allowed by the receiver",
        "set metric_name_validation_scheme: legacy, or rename it with metric_relabel_configs",
        "invalid metric name",
        "err-mimir-metric-name-invalid",
    ),
    *_bad(
        "label_invalid",
        "a label name is not allowed by the receiver",
        "rename it with metric_relabel_configs (labelmap)",
        "sample invalid label",
        "err-mimir-label-invalid",
    ),
    *_bad(
        "duplicate_label_names",
        "a label stands twice in a series",
        _BUG,
        "duplicate label name",
        "err-mimir-duplicate-label-names",
    ),
    *_bad(
        "labels_not_sorted",
        "the labels of a series are not in order",
        _BUG,
        "labels not sorted",
        "err-mimir-labels-not-sorted",
    ),
    *_bad(
        "max_label_names_per_series",
        "a series has more labels than the receiver takes (AMP: 150)",
        _RELABEL,
        "has too many labels",
        "err-mimir-max-label-names-per-series",
    ),
    *_bad(
        "label_value_too_long",
        "the labels of a series are longer than the receiver takes (AMP: 7 KB together)",
        _RELABEL,
        "label value too long",
        "label name too long",
        "labels size bytes exceeded",
        "err-mimir-label-value-too-long",
        "err-mimir-label-name-too-long",
    ),
    *_bad(
        "metadata_too_long",
        "the metadata of a metric is longer than the receiver takes (AMP: 1 KB); its samples went in",
        "metadata_config: {{send: false}} leaves metadata out",
        "metadata … value too long",
        "metadata … too long",
    ),
    # native histograms
    *_bad(
        "native_histogram_sample_size_bytes_exceeded",
        "a native histogram is larger than the receiver takes (AMP: 2,048 bytes)",
        "native_histogram_bucket_limit lowers its resolution",
        "native histogram … size … exceeded",
        "histogram … too large",
    ),
    *_bad(
        "native_histogram_buckets_exceeded",
        "a native histogram has more buckets than the receiver takes (AMP: 200)",
        "native_histogram_bucket_limit lowers its resolution",
        "native histogram … buckets",
        "histogram … too many buckets",
    ),
    *_bad(
        "native_histogram_invalid_schema",
        "the receiver does not know the schema of a native histogram (AMP: -4 to 8)",
        "send_native_histograms: false leaves them out",
        "histogram … invalid schema",
        "invalid histogram schema",
    ),
    *_bad(
        "per_user_native_histogram_series_limit",
        "the workspace holds as many series of native histograms as it may",
        _raise("L-EDA8C93C"),
        "native histogram series limit",
    ),
    *_bad(
        "native_histogram_invalid",
        "a native histogram contradicts itself",
        "the exporter is at fault; send_native_histograms: false leaves them out",
        "native histogram",
        "invalid histogram",
        "histogram with",
        "histogram whose",
        "histogram of two kinds",
    ),
    # how many series there may be
    Refusal(
        (400, 429),
        ("per-user series limit",),
        "per_user_series_limit",
        "the workspace holds as many active series as it may; existing ones went in",
        _raise("L-5A151448"),
    ),
    Refusal(
        (400, 429),
        ("per-metric series limit",),
        "per_metric_series_limit",
        "one metric has as many series as the workspace allows",
        "new_series_limit in its job holds new ones back; " + _RELABEL,
    ),
    Refusal(
        (400, 429),
        ("per-labelset series limit",),
        "per_labelset_series_limit",
        "a label set has as many series as the workspace's configuration allows it",
        "raise limitsPerLabelSet: aws amp update-workspace-configuration --workspace-id {workspace} --region {region} "
        "--limits-per-label-set …",
    ),
    Refusal(
        (400, 429),
        ("err-mimir-max-series-per-user",),
        "per_user_series_limit",
        "the tenant holds as many series as it may",
        "raise max_global_series_per_user",
    ),
    # how much at once
    Refusal(
        (429,),
        ("ingestion rate limit",),
        "rate_limited",
        "more samples a second than the workspace takes; nothing of the request went in",
        "pace sending with queue_config.max_samples_per_second, or: " + _raise("L-F4BCE0BA"),
    ),
    Refusal(
        (429,),
        ("err-mimir-tenant-max-ingestion-rate",),
        "rate_limited",
        "more samples a second than the tenant may send",
        "pace sending with queue_config.max_samples_per_second",
    ),
    Refusal(
        (429,),
        ("Rate exceeded",),
        "too_many_requests",
        "more requests a second than the workspace takes",
        "fewer and larger ones: raise queue_config.max_samples_per_send; or: " + _raise("L-4340E931"),
    ),
    Refusal(
        (429,),
        ("err-mimir-tenant-max-request-rate",),
        "too_many_requests",
        "more requests a second than the tenant may send",
        "fewer and larger ones: raise queue_config.max_samples_per_send",
    ),
    Refusal(
        (400, 413),
        ("received message larger than max",),
        "body_too_large",
        "the request is larger than the receiver takes",
        "lower queue_config.max_body_bytes or max_samples_per_send",
    ),
    Refusal(
        (400, 413),
        ("err-mimir-distributor-max-write-message-size",),
        "body_too_large",
        "the request is larger than the receiver takes",
        "lower queue_config.max_body_bytes or max_samples_per_send",
    ),
    *_bad(
        "corrupt_body",
        "the receiver cannot read the body",
        f"something between changes it, or {_BUG}",
        "snappy",
        "proto:",
        "unmarshal",
    ),
    # who may write, and where
    Refusal(
        (401, 403),
        ("Missing Authentication Token",),
        "unsigned",
        "the request was not signed",
        "add sigv4: {{region: {region}}} to this endpoint",
    ),
    Refusal(
        (403,),
        ("not authorized to perform", "explicit deny"),
        "access_denied",
        "a policy denies it explicitly: a permissions boundary, a service control policy, or one of the role's own",
        "look for the Deny; this must be allowed: " + _POLICY,
    ),
    Refusal(
        (403,),
        ("not authorized to perform", "permissions boundary"),
        "access_denied",
        "the role's permissions boundary does not allow it",
        "the boundary must allow aps:RemoteWrite on {resource}",
    ),
    Refusal(
        (403,), ("not authorized to perform",), "access_denied", "the role may not write to this workspace", _POLICY
    ),
    Refusal(
        (403,),
        ("Credential should be scoped to a valid region",),
        "wrong_region",
        "the request was signed for another region than the workspace's",
        "set sigv4.region to the region of the workspace",
    ),
    Refusal(
        (403,),
        ("Credential should be scoped to correct service",),
        "wrong_service",
        "the request was signed for another service",
        "leave out sigv4.service_name: AMP's is aps",
    ),
    Refusal(
        (403,),
        ("Signature expired",),
        "signature_expired",
        "this clock is behind the receiver's{skew}",
        "the clock must be right: set that of this machine (a Lambda's is: did a proxy hold the request back?)",
    ),
    Refusal(
        (403,),
        ("Signature not yet current",),
        "signature_expired",
        "this clock is ahead of the receiver's{skew}",
        "the clock must be right: set that of this machine",
    ),
    Refusal(
        (403,),
        ("signature we calculated does not match",),
        "signature_mismatch",
        "the secret key is wrong, or something changes the request on its way after it was signed",
        "is there a proxy, and does the url end in /api/v1/remote_write, without a second or a last slash?",
    ),
    Refusal(
        (403,),
        ("security token", "expired"),
        "expired_token",
        "the credentials have ended, and fresh ones did not help",
        "a role's session is renewed by itself; keys in a shell must be fetched again",
    ),
    Refusal(
        (403,),
        ("security token", "invalid"),
        "unknown_access_key",
        "AWS does not know this access key, or its session token is missing or another's",
        "check the credentials, and whether they are of this partition",
    ),
    Refusal(
        (404,),
        ("Workspace not found",),
        "workspace_not_found",
        "there is no such workspace in this region and account",
        "check the workspace id, region and account: aws amp list-workspaces --region {region} shows those there are",
    ),
    Refusal(
        (403, 404, 405),
        ("nknown operation",),
        "unknown_operation",
        "the address is not that of remote write",
        "the url ends in /workspaces/{workspace}/api/v1/remote_write, without a slash at the end",
    ),
)
