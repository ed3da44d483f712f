"""Refusals explained: for each text of the receivers (facts on AMP, Cortex, Prometheus, Mimir) the reason under which
samples are counted, what it means, what helps, and the series that it names."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import RemoteWriteConfig
from lambda_remote_write.remote_write.explain import explain

REGION, ID = "eu-west-1", "ws-12345678-1234-1234-1234-123456789012"


def endpoint(**keys: object) -> RemoteWriteConfig:
    entry = {"workspace": f"arn:aws:aps:{REGION}:123456789012:workspace/{ID}", **keys}
    (found,) = parse_config(json.dumps({"json_configs": [], "remote_write": [entry]}), "c", {}).endpoints
    return found


AMP = endpoint()
PREFIX = f"user=123456789012_{ID}: err: "
SERIES = '{__name__="up", instance="10.0.0.1:9100", job="node"}'
WINDOW = (
    f"aws amp update-workspace-configuration --workspace-id {ID} --region {REGION} "
    "--out-of-order-time-window-in-seconds 600"
)
ARN = f"arn:aws:aps:{REGION}:123456789012:workspace/{ID}"
STATEMENT = f'{{"Effect": "Allow", "Action": "aps:RemoteWrite", "Resource": "{ARN}"}}'
DENIED = (
    f"User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized to perform: aps:RemoteWrite on resource: {ARN}"
)


def quota(code: str) -> str:
    return f"request-service-quota-increase --service-code aps --region {REGION} --quota-code {code}"


CASES = [
    (
        400,
        f"out of order sample. timestamp=2024-05-23T16:00:00Z, series={SERIES}",
        "sample-out-of-order",
        WINDOW,
        SERIES,
    ),
    (400, f"too old sample. timestamp=2024-05-23T16:00:00Z, series={SERIES}", "sample-too-old", WINDOW, SERIES),
    (400, 'timestamp too old: 1716480000000 metric: "up"', "greater_than_max_sample_age", "sample_age_limit", "up"),
    (
        400,
        f"out of bounds. timestamp=2024-05-23T16:00:00Z, series={SERIES}",
        "greater_than_max_sample_age",
        "promtool",
        SERIES,
    ),
    (
        400,
        f"duplicate sample for timestamp. timestamp=x, series={SERIES}",
        "new-value-for-timestamp",
        "external_labels",
        SERIES,
    ),
    (
        400,
        f"duplicate sample for timestamp 5; overrides not allowed: existing 1, new value 2, series={SERIES}",
        "new-value-for-timestamp",
        "external_labels",
        SERIES,
    ),
    (400, 'timestamp too new: 1716480000000 metric: "up"', "too_far_in_future", "timestamp.format", "up"),
    (
        400,
        "per-user series limit of 3000000 exceeded, please contact administrator to raise it (local limit: 0 global "
        "limit: 3000000 actual local limit: 92879)",
        "per_user_series_limit",
        quota("L-5A151448"),
        "",
    ),
    (
        429,
        "per-user series limit (local: 0 global: 1000000) exceeded",
        "per_user_series_limit",
        quota("L-5A151448"),
        "",
    ),
    (400, "per-metric series limit of 10 exceeded for metric up", "per_metric_series_limit", "new_series_limit", ""),
    (
        400,
        'per-labelset series limit of 5 exceeded (labelSet: {a="b"})',
        "per_labelset_series_limit",
        "limits-per-label-set",
        "",
    ),
    (400, "sample missing metric name", "missing_metric_name", "report", ""),
    (400, 'sample invalid metric name: "a.b"', "metric_name_invalid", "metric_relabel_configs", ""),
    (400, 'sample invalid label: "a.b" metric "up"', "label_invalid", "metric_relabel_configs", "up"),
    (400, 'duplicate label name: "a" metric "up"', "duplicate_label_names", "report", "up"),
    (400, 'labels not sorted: "a" metric "up"', "labels_not_sorted", "report", "up"),
    (
        400,
        "series has too many labels (actual: 151, limit: 150) series: 'up{a=\"b\"}'",
        "max_label_names_per_series",
        "metric_relabel_configs",
        'up{a="b"}',
    ),
    (
        400,
        'label value too long for metric (actual: 3000, limit: 2048) metric "up"',
        "label_value_too_long",
        "metric_relabel_configs",
        "up",
    ),
    (
        400,
        'labels size bytes exceeded for metric (actual: 9000, limit: 7168) metric: "up"',
        "label_value_too_long",
        "metric_relabel_configs",
        "up",
    ),
    (
        400,
        'metadata \'HELP\' value too long: "long" metric "up"',
        "metadata_too_long",
        "metadata_config: {send: false}",
        "up",
    ),
    (
        400,
        'histogram with invalid schema -53 metric: "h"',
        "native_histogram_invalid_schema",
        "send_native_histograms",
        "h",
    ),
    (
        400,
        'histogram with too many buckets (limit: 200) metric: "h"',
        "native_histogram_buckets_exceeded",
        "native_histogram_bucket_limit",
        "h",
    ),
    (
        400,
        "per-user native histogram series limit of 5 exceeded",
        "per_user_native_histogram_series_limit",
        quota("L-EDA8C93C"),
        "",
    ),
    (400, "snappy: corrupt input", "corrupt_body", "report", ""),
    (400, "received message larger than max (1100000 vs 1000000)", "body_too_large", "max_body_bytes", ""),
    (
        429,
        "ingestion rate limit (70000) exceeded while adding 1000 samples and 10 metadata",
        "rate_limited",
        "max_samples_per_second",
        "",
    ),
    (
        429,
        "ingestion rate limit (70000) exceeded while adding 1000 samples and 10 metadata",
        "rate_limited",
        quota("L-F4BCE0BA"),
        "",
    ),
    (429, '{"message":"Rate exceeded"}', "too_many_requests", quota("L-4340E931"), ""),
    (403, '{"message":"Missing Authentication Token"}', "unsigned", "sigv4: {region: eu-west-1}", ""),
    (403, f'{{"Message":"{DENIED}"}}', "access_denied", STATEMENT, ""),
    (
        403,
        f'{{"Message":"{DENIED} with an explicit deny in a service control policy"}}',
        "access_denied",
        "look for the Deny",
        "",
    ),
    (
        403,
        f'{{"Message":"{DENIED} because no permissions boundary allows the aps:RemoteWrite action"}}',
        "access_denied",
        "the boundary must allow",
        "",
    ),
    (
        403,
        '{"message":"The request signature we calculated does not match the signature you provided."}',
        "signature_mismatch",
        "proxy",
        "",
    ),
    (
        403,
        '{"message":"Credential should be scoped to a valid region, not \'us-east-1\'."}',
        "wrong_region",
        "sigv4.region",
        "",
    ),
    (403, '{"message":"Credential should be scoped to correct service: \'aps\'."}', "wrong_service", "aps", ""),
    (403, '{"message":"The security token included in the request is expired"}', "expired_token", "fetched again", ""),
    (
        403,
        '{"message":"The security token included in the request is invalid."}',
        "unknown_access_key",
        "credentials",
        "",
    ),
    (404, '{"Message":"Workspace not found"}', "workspace_not_found", f"aws amp list-workspaces --region {REGION}", ""),
    (
        404,
        '{"message":"Unknown operation"}',
        "unknown_operation",
        f"/workspaces/{ID}/api/v1/remote_write, without a slash",
        "",
    ),
    (400, "sample rejected (err-mimir-sample-out-of-order)", "sample-out-of-order", "external_labels", ""),
    (400, "err-mimir-sample-timestamp-too-old", "greater_than_max_sample_age", "", ""),
    (400, "err-mimir-sample-duplicate-timestamp", "new-value-for-timestamp", "", ""),
    (400, "err-mimir-too-far-in-future", "too_far_in_future", "", ""),
    (400, "err-mimir-max-series-per-user", "per_user_series_limit", "", ""),
    (429, "err-mimir-tenant-max-ingestion-rate", "rate_limited", "", ""),
    (429, "err-mimir-tenant-max-request-rate", "too_many_requests", "", ""),
    (400, "err-mimir-max-label-names-per-series", "max_label_names_per_series", "", ""),
    (400, "err-mimir-label-value-too-long", "label_value_too_long", "", ""),
    (413, "err-mimir-distributor-max-write-message-size", "body_too_large", "", ""),
]


@pytest.mark.parametrize(("status", "text", "reason", "helps", "series"), CASES)
@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["bare", "as AMP says it"])
def test_every_text_of_the_catalogue(status: int, text: str, reason: str, helps: str, series: str, prefix: str) -> None:
    found = explain(status, prefix + text, AMP)
    assert (found.reason, found.series) == (reason, series)
    assert helps in found.help
    assert found.meaning
    assert not found.meaning.endswith(".")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("Signature expired: 20240523T160000Z is now earlier than 20240523T161200Z - 5 min.",
                     "behind the receiver's, by 12 minutes or more", id="behind"),
        pytest.param("Signature not yet current: 20240523T162000Z is still later than 20240523T160000Z + 5 min.",
                     "ahead of the receiver's, by 20 minutes or more", id="ahead"),
        pytest.param("Signature expired: 2024", "this clock is behind the receiver's", id="cut"),
        pytest.param("Signature expired: 99999999T999999Z is now earlier than 20240523T161200Z",
                     "this clock is behind the receiver's", id="no times"),
    ],
)  # fmt: skip
def test_a_wrong_clock_is_told_by_how_much(text: str, words: str) -> None:
    found = explain(403, f'{{"message":"{text}"}}', AMP)
    assert found.reason == "signature_expired"
    assert words in found.meaning


def test_a_text_of_another_status_explains_nothing() -> None:
    """The status decides: a 500 that quotes an error of samples is trouble of the receiver."""
    assert explain(500, "out of order sample", AMP).reason == "http_500"
    assert explain(400, "not authorized to perform: aps:RemoteWrite", AMP).reason == "http_400"
    assert explain(404, "out of order sample", AMP).reason == "http_404"


def test_what_labels_say_is_not_what_the_receiver_says() -> None:
    hostile = '{__name__="m", said="too old sample, duplicate sample for timestamp"}'
    found = explain(400, f"{PREFIX}out of order sample. timestamp=x, series={hostile}", AMP)
    assert (found.reason, found.series) == ("sample-out-of-order", hostile)


def test_another_receiver_is_not_told_to_use_the_commands_of_aws() -> None:
    other = endpoint(workspace=None, url="http://receiver:9090/api/v1/write")
    for text, advice in (
        ("too old sample", "storage.tsdb.out_of_order_time_window"),
        ("per-user series limit of 10 exceeded", "the receiver's own limit"),
    ):
        found = explain(400, text, other).help
        assert advice in found
        assert "aws " not in found
        assert "aws " in explain(400, text, AMP).help


def test_other_texts_keep_the_meaning_of_their_status() -> None:
    found = explain(400, "something is wrong", AMP)
    assert (found.reason, found.help, found.series) == ("http_400", "", "")
    assert "the receiver refused samples of this request" in found.meaning


@given(st.integers(100, 599), st.text(max_size=1024) | st.sampled_from([case[1] for case in CASES]))
def test_any_answer_is_explained_at_once(status: int, text: str) -> None:
    started = time.process_time()
    found = explain(status, (text * 20)[:1024], AMP)
    assert found.reason
    assert found.meaning
    assert len(found.series) <= 300
    assert time.process_time() - started < 1
