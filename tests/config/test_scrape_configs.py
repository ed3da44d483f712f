"""Reads `scrape_configs`: defaults, what `global` gives, and what is refused with a hint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config, ScrapeJob

TEXT_FORMATS = ("OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4")


def load(*jobs: dict[str, Any], **top: Any) -> Config:
    text = {"scrape_configs": list(jobs), "remote_write": [{"url": "http://r/"}], **top}
    return parse_config(json.dumps(text), "c.yaml", {})


def job(global_keys: dict[str, Any] | None = None, **keys: Any) -> ScrapeJob:
    (found,) = load({"job_name": "j", **keys}, **({"global": global_keys} if global_keys else {})).scrape_jobs
    return found


def test_what_is_not_written_is_the_schemas_default() -> None:
    assert job() == ScrapeJob("j", 60_000, 10_000)


def test_times_are_read_as_those_of_a_json_job() -> None:
    """test_load.py has the table of what is inherited."""
    found = job({"scrape_interval": "5m", "scrape_timeout": "30s"}, scrape_interval="20s")
    assert (found.scrape_interval_ms, found.scrape_timeout_ms) == (20_000, 20_000)


LIMITS = {
    "body_size_limit": ("1KB", 1024, "2KB", 2048),
    "sample_limit": (1, 1, 2, 2),
    "label_limit": (1, 1, 2, 2),
    "label_name_length_limit": (1, 1, 2, 2),
    "label_value_length_limit": (1, 1, 2, 2),
    "target_limit": (1, 1, 2, 2),
    "keep_dropped_targets": (1, 1, 2, 2),
}
FIELDS = {
    "body_size_limit": "body_size_bytes",
    "label_name_length_limit": "label_name_length",
    "label_value_length_limit": "label_value_length",
}


def limit_of(found: ScrapeJob, key: str) -> int:
    held = found if key in ("target_limit", "keep_dropped_targets") else found.limits
    return int(getattr(held, FIELDS.get(key, key)))


@pytest.mark.parametrize("key", LIMITS)
def test_limits_fall_back_to_global_and_cannot_be_turned_off(key: str) -> None:
    general, general_value, own, own_value = LIMITS[key]
    assert limit_of(job({key: general}), key) == general_value
    assert limit_of(job({key: general}, **{key: own}), key) == own_value
    assert limit_of(job({key: general}, **{key: 0}), key) == general_value


FLAGS = (
    "scrape_native_histograms", "always_scrape_classic_histograms", "convert_classic_histograms_to_nhcb",
    "extra_scrape_metrics",
)  # fmt: skip


@pytest.mark.parametrize("key", FLAGS)
def test_flags_fall_back_to_global_and_can_be_turned_off(key: str) -> None:
    assert getattr(job({key: True}), key) is True
    assert getattr(job({key: True}, **{key: False}), key) is False
    assert getattr(job({}, **{key: True}), key) is True


def test_the_old_name_of_classic_histograms() -> None:
    assert job(scrape_classic_histograms=True).always_scrape_classic_histograms
    both = job(scrape_classic_histograms=True, always_scrape_classic_histograms=False)
    assert not both.always_scrape_classic_histograms


@pytest.mark.parametrize(
    ("global_keys", "keys", "expected"),
    [
        ({}, {"scrape_native_histograms": True}, ("PrometheusProto", *TEXT_FORMATS)),
        ({"scrape_native_histograms": True}, {}, ("PrometheusProto", *TEXT_FORMATS)),
        ({"scrape_protocols": ["PrometheusText0.0.4"]}, {}, ("PrometheusText0.0.4",)),
        ({"scrape_protocols": ["PrometheusText0.0.4"]}, {"scrape_native_histograms": True}, ("PrometheusText0.0.4",)),
        (
            {"scrape_protocols": ["PrometheusText0.0.4"]},
            {"scrape_protocols": ["PrometheusText1.0.0", "PrometheusProto"]},
            ("PrometheusText1.0.0", "PrometheusProto"),
        ),
    ],
    ids=["native", "native for all", "global", "global before native", "own"],
)
def test_protocols(global_keys: dict[str, Any], keys: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert job(global_keys, **keys).scrape_protocols == expected


@pytest.mark.parametrize(
    ("general", "own", "expected"),
    [
        ({"validation": "legacy"}, {}, ("legacy", "underscores")),
        ({"validation": "legacy"}, {"validation": "utf8"}, ("utf8", "allow-utf-8")),
        ({"escaping": "dots"}, {}, ("utf8", "dots")),
        ({"escaping": "dots"}, {"escaping": "values"}, ("utf8", "values")),
        ({"escaping": "dots"}, {"validation": "utf8"}, ("utf8", "allow-utf-8")),
        ({"escaping": "allow-utf-8"}, {"validation": "legacy"}, ("legacy", "underscores")),
    ],
)
def test_names(general: dict[str, str], own: dict[str, str], expected: tuple[str, str]) -> None:
    """Prometheus 3.16 config/config.go, ScrapeConfig.Validate: without an escaping scheme of its own, a job's own
    validation scheme decides it, and else the global escaping scheme."""
    global_keys, keys = ({f"metric_name_{key}_scheme": value for key, value in one.items()} for one in (general, own))
    found = job(global_keys, **keys)
    assert (found.name_validation, found.name_escaping) == expected


@pytest.mark.parametrize("scheme", ["HTTP", "Https", "http"])
def test_a_scheme_in_any_case_is_one(scheme: str) -> None:
    assert [detail for detail in load({"job_name": "j", "scheme": scheme}).warnings if "scheme" in detail] == []


@pytest.mark.parametrize(
    ("scheme", "detail"), [("ftp", "'ftp' is neither"), ("", "'' is neither"), ("htps", 'mean "https"?')]
)
def test_another_scheme_is_a_warning(scheme: str, detail: str) -> None:
    """Prometheus 3.16 loads it, and every target is down unless relabelling gives it another one."""
    (warning,) = [one for one in load({"job_name": "j", "scheme": scheme}).warnings if "scheme" in one]
    assert "scrape_configs[0].scheme" in warning
    assert detail in warning


def test_a_log_of_failures_is_only_a_warning() -> None:
    warnings = load({"job_name": "j", "scrape_failure_log_file": "failures.log"}).warnings
    assert [detail for detail in warnings if "scrape_configs[0].scrape_failure_log_file: ignored" in detail]


def test_a_null_in_a_list_of_texts_is_the_empty_text() -> None:
    """As Go reads it into a string."""
    assert job(params={"a": [None, "b"]}).params == (("a", ("", "b")),)
