"""Every default in generate/config_keys.yaml is the one in config/schema.py, from which the readers take it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from generate.config_keys import load
from lambda_remote_write.config import schema
from lambda_remote_write.config.scalars import boolean, duration_ms, size_bytes

TABLES = {  # a section: the class that its keys become
    "global": schema.GlobalConfig,
    "top": schema.Config,
    "spool": schema.SpoolConfig,
    "scrape_job": schema.ScrapeJob,
    "json_job": schema.JsonJob,
    "metric": schema.Metric,
    "pagination": schema.Pagination,
    "backfill": schema.Backfill,
    "backfill_server": schema.BackfillServer,
    "authorization": schema.Authorization,
    "tls_config": schema.TlsConfig,
    "login": schema.Login,
    "sigv4": schema.SigV4,
    "signer": schema.SigV4,
    "remote_write": schema.RemoteWriteConfig,
    "metadata_config": schema.MetadataConfig,
    "queue_config": schema.QueueConfig,
}
OTHER_NAMES = {  # of fields whose key is another word
    "body_size_limit": "body_size_bytes", "label_name_length_limit": "label_name_length",
    "label_value_length_limit": "label_value_length", "metric_name_escaping_scheme": "name_escaping",
    "headers": "http_headers", "metric_name_validation_scheme": "name_validation", "query": "params",
    "metric_relabel_configs": "metric_relabel",
    "protobuf_message": "version", "rejected": "keeps_rejected", "relabel_configs": "relabel",
    "scrape_interval": "interval_ms", "static_configs": "discovery", "service_name": "service",
    "write_relabel_configs": "write_relabel",
}  # fmt: skip
MEANS = {  # what a documented word stands for, where it is not the value itself
    "none": None, "none stated": None, "any 2xx": None, "`drop`": False, "`untyped`": "unknown",
    "`prometheus.WriteRequest`": 1, "`rfc3339`": schema.RFC3339, "global, else `50MB`": 50 * 1024 * 1024,
    "`allow-utf-8`, `underscores` with `legacy`": "allow-utf-8", "`GET`, `POST` with a body": "GET",
    "OpenMetrics 1.0.0, 0.0.1, text 1.0.0, 0.0.4": (
        "OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4"
    ),
}  # fmt: skip
LITERAL = re.compile(r"`([^`{}@]+)`(?:, no.*)?")
NO_FIELD = {("metric", "backfill"), ("login", "refs"), ("signer", "session_name")}  # they are elsewhere


def rows() -> Iterator[tuple[str, str, str]]:
    """(section, key, default), for keys that share a row too."""
    sections = load()
    for table in TABLES:
        for row in [one for one in sections[table].rows if not one.is_hidden]:
            yield from ((table, key, row.default if row.default in MEANS else row.default_of(key)) for key in row.keys)


ROWS = [row for row in rows() if (row[2] in MEANS or LITERAL.fullmatch(row[2])) and row[:2] not in NO_FIELD]


def of_schema(table: str, key: str) -> Any:
    """The default of the field that has a key's name, in the class of its table or in what this holds by default."""
    own = {one.name: one.default for one in fields(TABLES[table])}
    held = [{one.name: getattr(value, one.name) for one in fields(value)} for value in own.values() if _is_ours(value)]
    return next(one[name] for one in (own, *held) for name in (key, OTHER_NAMES.get(key), f"{key}_ms") if name in one)


def _is_ours(value: Any) -> bool:
    return is_dataclass(value) and type(value).__module__ == schema.__name__


def written(text: str) -> Any:
    """What a documented default stands for."""
    literal = LITERAL.fullmatch(text)
    if text in MEANS or literal is None:
        return MEANS[text]
    for read in (float, duration_ms, size_bytes, boolean):
        with contextlib.suppress(ValueError):
            return read(literal[1])
    return literal[1]


@pytest.mark.parametrize(("table", "key", "default"), ROWS, ids=lambda text: text[:30])
def test_a_documented_default_is_the_schemas(table: str, key: str, default: str) -> None:
    found = of_schema(table, key)
    assert found == written(default) or (written(default) is None and not found)


def test_every_table_is_looked_at() -> None:
    assert {table for table, _, _ in ROWS} == set(TABLES)
    assert len(ROWS) > 70
