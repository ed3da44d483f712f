"""`spool`, `backfill` and the limits of new series: defaults, and every mistake with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config, SpoolConfig
from tests.rig.push import config_text, job

ENDPOINT = {"url": "http://receiver/api/v1/write"}


def load(env_vars: dict[str, str] | None = None, **top: Any) -> Config:
    return parse_config(config_text([job("http://api/x")], [ENDPOINT], **top), "c.yaml", env_vars or {})


@pytest.mark.parametrize(
    ("env_vars", "written", "expected"),
    [
        pytest.param({}, None, SpoolConfig(), id="nothing"),
        pytest.param({"PUSHER_SPOOL": "s3://kept"}, None, SpoolConfig("s3://kept"), id="the template's"),
        pytest.param({"PUSHER_SPOOL": "s3://kept"}, {"location": "./here"}, SpoolConfig("./here"), id="the file's own"),
        pytest.param({"PUSHER_SPOOL": "s3://kept"}, {"mode": "off"}, SpoolConfig(), id="off"),
        pytest.param({}, {"mode": "off"}, SpoolConfig(), id="off and nowhere"),
        pytest.param(
            {"PUSHER_SPOOL": "s3://kept/a"}, {"mode": "always", "rejected": "keep"},
            SpoolConfig("s3://kept/a", "always", True), id="all keys",
        ),
    ],
)  # fmt: skip
def test_where_the_spool_is(env_vars: dict[str, str], written: dict[str, Any] | None, expected: SpoolConfig) -> None:
    assert load(env_vars, **({"spool": written} if written else {})).spool == expected


# --- backfill ---------------------------------------------------------------------------------------------------------


def with_backfill(backfill: dict[str, Any], **metric: Any) -> str:
    one = job("http://api/x", backfill=backfill)
    one["metrics"][0] |= metric
    one["metrics"][0] = {key: value for key, value in one["metrics"][0].items() if value is not None}
    return config_text([one], [ENDPOINT])


RANGE = {"from": "{start}", "to": "{end}"}


def test_the_defaults_of_backfill() -> None:
    (found,) = parse_config(with_backfill({"query": RANGE}), "c", {}).jobs
    assert found.backfill is not None
    assert (found.backfill.window_ms, found.backfill.step_ms) == (3_600_000, 60_000)
    assert (found.backfill.format.name, found.backfill.url, found.backfill.body) == ("rfc3339", "", None)


def test_other_braces_of_a_body_stand_for_themselves() -> None:
    body = json.dumps({"range": {"gte": "{start}", "lte": "{end}"}, "query": {}})
    (found,) = parse_config(with_backfill({"body": body}), "c", {}).jobs
    assert found.backfill is not None
    assert found.backfill.body == body


def test_limits_of_new_series_fall_back_to_the_global_one() -> None:
    jobs = [job("http://api/x", "a"), job("http://api/y", "b", new_series_limit=5)]
    config = parse_config(config_text(jobs, [ENDPOINT], **{"global": {"new_series_limit": 9}}), "c", {})
    assert [one.new_series_limit for one in config.jobs] == [9, 5]
    assert config.new_series_limit == 0


def test_max_samples_per_second() -> None:
    text = config_text([job("http://api/x")], [ENDPOINT | {"queue_config": {"max_samples_per_second": 500}}])
    assert parse_config(text, "c", {}).endpoints[0].queue.max_samples_per_second == 500
    assert load().endpoints[0].queue.max_samples_per_second == 0
