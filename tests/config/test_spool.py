"""`spool`, `backfill` and the limits of new series: defaults, and every mistake with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config, SpoolConfig
from lambda_remote_write.config.yaml_reader import ConfigError
from tests.rig.push import config_text, job

ENDPOINT = {"url": "http://receiver/api/v1/write"}


def load(env_vars: dict[str, str] | None = None, **top: Any) -> Config:
    return parse_config(config_text([job("http://api/x")], [ENDPOINT], **top), "c.yaml", env_vars or {})


def problems(text: str, env_vars: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_config(text, "c.yaml", env_vars or {})
    return str(raised.value).splitlines()


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


HEAD = "json_configs:\n- {job_name: j, url: 'http://a/', metrics: [{name: m, value: v}]}\nremote_write: [{url: 'http://r/'}]\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        pytest.param(
            "spool: {mode: always}", "4: spool.location", ["is required", "s3://BUCKET", "PUSHER_SPOOL"], id="nowhere"
        ),
        pytest.param(
            "spool:\n  location: s3://B", "5: spool.location", ["'s3://B'", "s3://BUCKET/PREFIX"], id="no bucket"
        ),
        pytest.param(
            "spool: {location: 'http://x/y'}", "4: spool.location", ["'http://x/y'", "a folder"], id="an address"
        ),
        pytest.param(
            "spool: {location: a, mode: sometimes}",
            "4: spool.mode",
            ["'sometimes'", "on_failure, always, off"],
            id="mode",
        ),
        pytest.param(
            "spool: {location: a, rejected: yes}", "4: spool.rejected", ["'yes'", "drop, keep"], id="rejected"
        ),
        pytest.param(
            "spool: {location: a, days: 7}", "4: spool.days", ["unknown key", "location, mode, rejected"], id="a key"
        ),
        pytest.param("self_metrics: 7", "4: self_metrics", ["'7'"], id="no boolean"),
    ],
)
def test_the_message_of_a_mistake_has_its_place(text: str, place: str, words: list[str]) -> None:
    (detail,) = problems(HEAD + text)
    assert detail.startswith(f"c.yaml:{place}: ")
    assert all(word in detail for word in words), detail


def test_a_wrong_variable_is_named() -> None:
    (detail,) = problems(HEAD, {"PUSHER_SPOOL": "https://bucket"})
    assert "PUSHER_SPOOL" in detail
    assert "'https://bucket'" in detail


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


@pytest.mark.parametrize(
    ("backfill", "place", "words"),
    [
        pytest.param({"query": {"from": "{start}"}}, "backfill.query", ["{end} must stand in it"], id="no end"),
        pytest.param(
            {"query": RANGE | {"c": "{cursor_id}"}}, "backfill.query", ["{cursor_id} is unknown", "{step}"], id="a word"
        ),
        pytest.param({"query": RANGE, "format": "iso"}, "backfill.format", ["'iso'", "unix_ms, unix_us"], id="format"),
        pytest.param({"query": RANGE, "timezone": "Mars"}, "backfill.timezone", ["'Mars'", "Asia/Seoul"], id="zone"),
        pytest.param({"query": RANGE, "url": "ftp://x"}, "backfill.url", ["http"], id="url"),
        pytest.param({"query": RANGE, "until": "now"}, "backfill.until", ["unknown key", "docs/config.md"], id="a key"),
    ],
)
def test_a_mistake_in_backfill(backfill: dict[str, Any], place: str, words: list[str]) -> None:
    detail = "\n".join(problems(with_backfill(backfill)))
    assert f"json_configs[0].{place}" in detail
    assert all(word in detail for word in words), detail


def test_a_range_without_timestamps_is_of_no_use() -> None:
    (detail,) = problems(with_backfill({"query": RANGE}, timestamp=None))
    assert "json_configs[0].backfill: every metric needs a timestamp, and requests_total has none" in detail


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
