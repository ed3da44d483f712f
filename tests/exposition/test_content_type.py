"""What is asked for, and which reader an answer needs."""

from __future__ import annotations

import pytest

from lambda_remote_write.exposition.content_type import OPENMETRICS, PROTOBUF, TEXT, UnknownFormat, media_type

KNOWN = [
    ("text/plain", TEXT),
    ("text/plain; version=0.0.4; charset=utf-8", TEXT),
    ("TEXT/Plain;Version=9", TEXT),
    ("  text/plain  ", TEXT),
    ("text/plain;", TEXT),
    ('text/plain; charset="utf-8"', TEXT),
    ('text/plain; x="a\\"; b"; charset=utf-8', TEXT),
    ("text/plain; version=1; VERSION=1", TEXT),
    ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
    ("application/openmetrics-text; version=3.0.0", OPENMETRICS),
    ("text/plain; version=2.0.0", TEXT),
    ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", PROTOBUF),
]
UNKNOWN = [
    "",
    "text/html",
    "application/json",
    "text",
    "text/plain/x",
    "text/plain, text/plain",
    "text/plain; charset",
    "text/plain; =x",
    "text/plain; version=1; version=2",
    'text/plain; x="open',
    "text/plain version=1",
    "application/openmetrics-text; version=2.0.0; charset=utf-8",  # without the flag openmetrics2
    'application/openmetrics-text;version="2.0.0"',
]


@pytest.mark.parametrize(("header", "expected"), KNOWN)
def test_known_types(header: str, expected: str) -> None:
    assert media_type(header, "") == expected
    assert media_type(header, "PrometheusProto") == expected


@pytest.mark.parametrize("header", UNKNOWN)
def test_other_types_need_the_fallback(header: str) -> None:
    with pytest.raises(UnknownFormat, match="fallback_scrape_protocol"):
        media_type(header, "")
    assert media_type(header, "OpenMetricsText0.0.1") == OPENMETRICS
    assert media_type(header, "PrometheusText0.0.4") == TEXT
    assert media_type(header, "OpenMetricsText2.0.0") == OPENMETRICS
    assert media_type(header, "PrometheusProto") == PROTOBUF
