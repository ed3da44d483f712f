"""`pusher init --yes` on answers of every shape: a config that loads and plans, with labels that people choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_remote_write.config.load import parse_config
from tests.rig import init_command
from tests.rig.init_command import WORKSPACE, Case, cases

OTHER_LABELS = {  # what a person knows, and no answer says
    "chained": "the request for each record is a config of its own",
    "columnar": "that dims[0] is a host",
    "index-label": "that the places are phases",
    "sigv4-source": "that Keys[0] is a service",
}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_config_of_any_answer_loads_plans_and_leaves_questions_open(case: Case, tmp_path: Path) -> None:
    """No type and no unit is stated while its question is open."""
    with init_command.rig(tmp_path) as rig:
        status, config = init_command.init(tmp_path, case.serve(rig), "--yes", *case.options)

        assert status == 0
        text = config.read_text(encoding="utf-8")
        assert parse_config(text, "pusher.yaml", WORKSPACE).warnings == ()
        assert init_command.active(config, ("type", "unit", "timestamp", "on_missing", "duplicates")) == []
        if "pagination:" not in text:  # the API has one page for us
            assert init_command.planned(config)["ok"]
        if case.name not in OTHER_LABELS:
            assert case.expected & init_command.recorded_series(config)


def test_most_of_the_answers_give_the_series_that_people_expect() -> None:
    assert len(cases()) - len(OTHER_LABELS) >= 40


def test_a_written_config_pushes(tmp_path: Path) -> None:
    """With a receiver in the place of the workspace; the samples arrive under the names that init showed."""
    with init_command.rig(tmp_path) as rig:
        _, config = init_command.init(tmp_path, Case("usage").serve(rig), "--yes")
        report = rig.app_of(config.read_text(encoding="utf-8")).handle({}, None)

        assert report["ok"]
        assert rig.lines("usage_api_request_count") == [
            f'usage_api_request_count{{projectCode="{code}"}} {value} @{init_command.NOW_MS}'
            for code, value in (("4", 3015), ("5", 17470))
        ]
