"""A new environment that finds a bad config takes the last good one, which earlier ones have left a note of."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.config.yaml_reader import ConfigError
from tests.rig.config_places import BAD, BETTER, GOOD, Place, place

__all__ = ["place"]  # a fixture


def refused(app: App) -> str:
    result: dict[str, Any] = app.handle({}, None)
    return str(result.get("config_refused", ""))


def test_a_cold_start_finds_the_last_good_one(place: Place) -> None:
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.new_app()) == ""
    place.write(BAD)
    cold = place.new_app()
    assert "the last good one stays in use" in refused(cold)
    assert "json_config" in refused(cold)  # also in the next run, while the newest is bad
    place.write(BETTER)
    assert refused(cold) == ""
    place.write(BAD)
    assert "the last good one stays in use" in refused(place.new_app())


def test_without_a_note_a_bad_config_never_starts(place: Place) -> None:
    place.versioned(on=True)
    place.write(BAD)
    with pytest.raises(ConfigError, match="json_config"):
        place.new_app().handle({}, None)


def test_without_a_spool_there_is_no_note(place: Place) -> None:
    place.versioned(on=True)
    place.write(GOOD)
    assert refused(place.new_app(spool=False)) == ""
    place.write(BAD)
    with pytest.raises(ConfigError):
        place.new_app(spool=False).handle({}, None)


def test_a_bucket_without_versions_has_no_last_good_one(place: Place) -> None:
    place.versioned(on=False)
    place.write(GOOD)
    assert refused(place.new_app()) == ""
    place.write(BAD)
    if place.location.startswith("ssm:"):  # which always keeps versions
        assert "the last good one" in refused(place.new_app())
    else:
        with pytest.raises(ConfigError):
            place.new_app().handle({}, None)
